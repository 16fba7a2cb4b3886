/*
 * Failures inside the shim, and how they leave it. Inside, a failure is an exception: Refused for
 * our own, c10::Error and the rest of std::exception for the library's. At the ABI, `guarded` turns
 * each of them into a status and one line of text; nothing else may cross.
 */
#ifndef SHIM_PROBLEM_H
#define SHIM_PROBLEM_H

#include <slipway/engine.h>

#include <exception>
#include <new>
#include <string>

namespace shim
{

/* A failure that knows its status. */
class Refused : public std::exception
{
  public:
    Refused(slipway_status status, std::string message)
        : status_(status), message_(std::move(message))
    {
    }
    slipway_status status() const { return status_; }
    const char *what() const noexcept override { return message_.c_str(); }

  private:
    slipway_status status_;
    std::string message_;
};

[[noreturn]] void refuse(slipway_status status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Fills in an error; returns the status. The text is made one line without control characters. */
slipway_status fail(slipway_error *error, slipway_status status, const char *message) noexcept;

/*
 * What a person needs of a libtorch message: the last "SomeError: text" of a TorchScript traceback,
 * or the text itself, without C++ backtraces, on one line.
 */
std::string essence_of(const char *message);

/* For a catch (...) block: the exception in flight as an error. */
slipway_status fail_in_flight(slipway_error *error) noexcept;

/* Runs `body`; whatever it throws becomes the error. */
template <typename Body> slipway_status guarded(slipway_error *error, Body &&body) noexcept
{
    try {
        body();
        return SLIPWAY_OK;
    } catch (...) {
        return fail_in_flight(error);
    }
}

} // namespace shim

#endif
