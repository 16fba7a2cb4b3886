/* libtorch's texts are for its developers: what a person needs is cut out of them here. */
#include "problem.h"

#include <c10/util/Exception.h>
#include <cstdarg>
#include <cstdio>
#include <cstring>

namespace shim
{

void refuse(slipway_status status, const char *format, ...)
{
    char message[sizeof(slipway_error::message)];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    throw Refused(status, message);
}

slipway_status fail(slipway_error *error, slipway_status status, const char *message) noexcept
{
    constexpr size_t room = sizeof error->message - 1;
    size_t used = 0;
    for (const char *c = message; *c && used < room; c++) {
        bool blank = static_cast<unsigned char>(*c) <= ' ' || *c == 0x7f;
        if (blank && (used == 0 || error->message[used - 1] == ' ')) continue;
        error->message[used++] = blank ? ' ' : *c;
    }
    // a character of several bytes is not cut in two
    if (used == room)
        while (used > 0 && (error->message[used - 1] & 0x80)) used--;
    while (used > 0 && (error->message[used - 1] == ' ' || error->message[used - 1] == '.')) used--;
    error->message[used] = '\0';
    error->status = status;
    return status;
}

/* True for "ValueError: ...", "torch.jit.Error: ..." at the start of a line. */
static bool names_an_error(const std::string &line)
{
    size_t colon = line.find(": ");
    if (colon == std::string::npos || colon == 0) return false;
    for (size_t i = 0; i < colon; i++)
        if (!isalnum(static_cast<unsigned char>(line[i])) && line[i] != '_' && line[i] != '.')
            return false;
    auto ends_with = [&](const char *end) {
        size_t size = strlen(end);
        return colon >= size && line.compare(colon - size, size, end) == 0;
    };
    return ends_with("Error") || ends_with("Exception");
}

std::string essence_of(const char *message)
{
    std::string text(message);
    size_t trace = text.find("Exception raised from");
    if (trace != std::string::npos) text.resize(trace);
    size_t place = std::string::npos;
    for (size_t start = 0; start < text.size();) {
        size_t end = std::min(text.find('\n', start), text.size());
        if (names_an_error(text.substr(start, end - start))) place = start;
        start = end + 1;
    }
    if (place != std::string::npos) text.erase(0, place);
    return text;
}

static bool says(const char *message, const char *words)
{
    return strstr(message, words) != nullptr;
}

/* The library has one kind of exception for nearly everything: its text has to tell. */
static slipway_status status_of(const char *message)
{
    if (says(message, "can't allocate memory") || says(message, "not enough memory") ||
        says(message, "std::bad_alloc"))
        return SLIPWAY_EXHAUSTED;
    if (says(message, "INTERNAL ASSERT FAILED")) return SLIPWAY_INTERNAL;
    return SLIPWAY_INVALID_ARGUMENT;
}

static slipway_status fail_with_text(slipway_error *error, const char *message) noexcept
{
    slipway_status status = status_of(message);
    try {
        return fail(error, status, essence_of(message).c_str());
    } catch (...) { // no memory to tidy the text
        return fail(error, status, message);
    }
}

slipway_status fail_in_flight(slipway_error *error) noexcept
{
    try {
        throw;
    } catch (const Refused &refused) {
        return fail(error, refused.status(), refused.what());
    } catch (const std::bad_alloc &) {
        return fail(error, SLIPWAY_EXHAUSTED, "out of memory");
    } catch (const c10::Error &problem) {
        return fail_with_text(error, problem.what_without_backtrace());
    } catch (const std::exception &problem) {
        return fail_with_text(error, problem.what());
    } catch (...) {
        return fail(error, SLIPWAY_INTERNAL, "libtorch threw something that is no exception");
    }
}

} // namespace shim
