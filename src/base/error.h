/*
 * A failure: what kind, and one sentence for a person. A plain value in the caller's memory:
 * nothing to allocate when memory is short, nothing to free. It is written only on failure, so
 * there is no need to initialise one before a call.
 *
 *   struct error err;
 *   if (model_load(path, &model, &err) != STATUS_OK) log_error(&err, ...);
 *
 *   return fail(err, STATUS_NOT_FOUND, "model '%s' has no version %d", name, version);
 *   TRY(fail_while(err, file_read(path, &bytes, err), "reading '%s'", path));
 *
 * Messages say who, what, why and what to do; they quote values and have no final full stop.
 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include "base/status.h"

#define ERROR_MESSAGE_SIZE 512

struct error {
    enum status status;
    char message[ERROR_MESSAGE_SIZE];
};

_Static_assert(ERROR_MESSAGE_SIZE == sizeof(((struct slipway_error *)0)->message),
               "an engine's message fits ours whole");

/* Writes the failure and returns its status, which is not OK. A message too long is cut. */
enum status fail(struct error *err, enum status status, const char *format, ...) PRINTF_LIKE(3, 4);

/* As fail(), with errno's meaning appended: "...: No such file or directory". Chooses the status.
 */
enum status fail_errno(struct error *err, int error_number, const char *format, ...)
    PRINTF_LIKE(3, 4);

/*
 * Passes a status through; if it is a failure, puts what the caller was doing before the message:
 * "loading 'x': open weights: no such file".
 */
enum status fail_while(struct error *err, enum status status, const char *format, ...)
    PRINTF_LIKE(3, 4);

/*
 * A failure is never OK: said so that the compiler knows, too, that the outputs of a call that did
 * not fail are set.
 */
static inline enum status error_failed(enum status status)
{
    if (status == STATUS_OK) __builtin_unreachable();
    return status;
}

#define fail(err, status, ...) error_failed(fail((err), (status), __VA_ARGS__))
#define fail_errno(err, error_number, ...)                                                         \
    error_failed(fail_errno((err), (error_number), __VA_ARGS__))

/* Copies a failure and returns its status. */
enum status fail_again(struct error *err, const struct error *cause);

#endif
