/* The functions of libpq that are used, and where they are. */
#define LIBPQ_PLAIN_NAMES
#include "db/libpq.h"

struct libpq libpq;

#define ROW(name) {#name, &libpq.name},
static const struct library_function functions[] = {LIBPQ_FUNCTIONS(ROW)};

enum status libpq_load(struct error *err)
{
    return library_load("libpq.so.5", "libpq5", functions, COUNT_OF(functions), err);
}
