/*
 * A shared library that is opened when it is first needed: what only some users need (a PostgreSQL
 * client, say, with twenty libraries behind it) costs the others no start-up time and no memory.
 *
 *   #define FUNCTIONS(X) X(PQfinish) X(PQstatus)
 *   static struct { LIBRARY_MEMBERS(FUNCTIONS) } pq;
 *   static const struct library_function functions[] = {{"PQfinish", &pq.PQfinish}, ...};
 *   TRY(library_load("libpq.so.5", "libpq5", functions, COUNT_OF(functions), err));
 *   pq.PQfinish(connection);
 *
 * The types come from the library's own header, so a wrong call does not compile.
 */
#ifndef BASE_LIBRARY_H
#define BASE_LIBRARY_H

#include "base/error.h"

struct library_function {
    const char *name;
    void *pointer; /* to the function pointer that is set */
};

#define LIBRARY_MEMBER(name) __typeof__(&(name)) name;
#define LIBRARY_MEMBERS(functions) functions(LIBRARY_MEMBER)

/*
 * Opens the library `name` for the rest of the process's life and sets the pointers. Any thread;
 * several may do it at the same time, with the same result. FAILED_PRECONDITION names `package`,
 * what to install, or the function that this version of the library lacks.
 */
enum status library_load(const char *name, const char *package,
                         const struct library_function *functions, size_t count,
                         struct error *err) FALLIBLE;

#endif
