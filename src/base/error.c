/* Writing failures. */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>

static void __attribute__((format(printf, 2, 0)))
format_message(struct error *err, const char *format, va_list args)
{
    int written = vsnprintf(err->message, sizeof err->message, format, args);
    if (written < 0) err->message[0] = '\0';
}

enum status(fail)(struct error *err, enum status status, const char *format, ...)
{
    assert(status != STATUS_OK);
    va_list args;
    va_start(args, format);
    format_message(err, format, args);
    va_end(args);
    err->status = status;
    return status;
}

static enum status status_from_errno(int error_number)
{
    switch (error_number) {
    case ENOENT:
    case ENOTDIR: return STATUS_NOT_FOUND;
    case EACCES:
    case EPERM:
    case EROFS: return STATUS_PERMISSION_DENIED;
    case EEXIST: return STATUS_ALREADY_EXISTS;
    case ENOMEM:
    case ENOSPC:
    case EDQUOT:
    case EMFILE:
    case ENFILE: return STATUS_EXHAUSTED;
    case ETIMEDOUT: return STATUS_DEADLINE_EXCEEDED;
    case ECONNREFUSED:
    case ECONNRESET:
    case EPIPE:
    case EADDRINUSE: return STATUS_UNAVAILABLE;
    case EINVAL:
    case EISDIR:
    case ELOOP:
    case ENAMETOOLONG: return STATUS_INVALID_ARGUMENT;
    default: return STATUS_INTERNAL;
    }
}

enum status(fail_errno)(struct error *err, int error_number, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    format_message(err, format, args);
    va_end(args);
    size_t used = strlen(err->message);
    char text[128];
    const char *reason = strerror_r(error_number, text, sizeof text);
    (void)snprintf(err->message + used, sizeof err->message - used, ": %s", reason);
    err->status = status_from_errno(error_number);
    return err->status;
}

enum status fail_while(struct error *err, enum status status, const char *format, ...)
{
    if (LIKELY(status == STATUS_OK)) return STATUS_OK;
    struct error cause = *err;
    va_list args;
    va_start(args, format);
    format_message(err, format, args);
    va_end(args);
    size_t used = strlen(err->message);
    (void)snprintf(err->message + used, sizeof err->message - used, ": %s", cause.message);
    err->status = status;
    return status;
}

enum status fail_again(struct error *err, const struct error *cause)
{
    assert(cause->status != STATUS_OK);
    if (err != cause) *err = *cause;
    return cause->status;
}
