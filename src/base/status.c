/* The table of outcomes, as data. */
#include "base/status.h"

struct status_row {
    const char *name;
    int http;
    int exit_code;
    bool retryable;
    const char *text;
};

static const struct status_row rows[] = {
#define X(name, http, exit_code, retryable, text)                                                  \
    [STATUS_##name] = {#name, http, exit_code, retryable, text},
    STATUS_TABLE(X)
#undef X
};

_Static_assert(COUNT_OF(rows) == STATUS_COUNT, "every canonical code has its row");

static const struct status_row *row_of(enum status status)
{
    return &rows[status_from_number((int64_t)status)];
}

const char *status_name(enum status status)
{
    return row_of(status)->name;
}
int status_http(enum status status)
{
    return row_of(status)->http;
}
int status_exit_code(enum status status)
{
    return row_of(status)->exit_code;
}
bool status_retryable(enum status status)
{
    return row_of(status)->retryable;
}
const char *status_text(enum status status)
{
    return row_of(status)->text;
}

enum status status_from_number(int64_t number)
{
    if (number < 0 || number >= STATUS_COUNT) return STATUS_UNKNOWN;
    return (enum status)number;
}
