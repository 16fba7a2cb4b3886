/*
 * From a path to the row of a route table. Pure: no I/O, no memory but the given arena.
 *
 *   static const struct route routes[] = {
 *       {ROUTE_POST, "/v2/models/{}/infer", "infer", handle_infer},
 *       {ROUTE_GET, "/v2/health/live", "live", handle_live},
 *   };
 *   struct route_match match;
 *   switch (router_find(routes, COUNT_OF(routes), ROUTE_POST, path, arena, &match)) ...
 *
 * A path is literals with a capture between each two, at the end also before an empty one: it takes
 * one whole, non-empty segment, or what stands in it before the next literal (":predict"). A slash
 * at the end of a path is ignored. Captures are percent-decoded; a path with one that decodes to a
 * NUL or to something with a slash in it is told apart, so that no name can step out of its
 * directory. The first row that fits wins: put the busiest first.
 */
#ifndef SERVER_ROUTER_H
#define SERVER_ROUTER_H

#include "base/arena.h"

enum { ROUTE_CAPTURES_MAX = 3 };

enum route_method {
    ROUTE_GET = 1 << 0,
    ROUTE_POST = 1 << 1,
    ROUTE_DELETE = 1 << 2,
    ROUTE_PUT = 1 << 3,
    ROUTE_OTHER = 1 << 4, /* a method no row has */
};

struct server_thread;
struct http_exchange;
struct route_match;

/* Answers the exchange, now or later, on the thread it came on. */
typedef void route_handler(struct server_thread *thread, struct http_exchange *exchange,
                           const struct route_match *match);

#define ROUTE_LITERAL(text)                                                                        \
    {                                                                                              \
        "" text, sizeof(text) - 1                                                                  \
    }

struct route {
    unsigned methods;                            /* of enum route_method */
    struct str literals[ROUTE_CAPTURES_MAX + 1]; /* data NULL behind the last */
    const char *name;                            /* for people and metrics: "infer" */
    route_handler *handler;
};

struct route_match {
    const struct route *route;
    struct str captures[ROUTE_CAPTURES_MAX]; /* views of the path, or decoded in the arena */
    size_t capture_count;
    bool unsafe;      /* a capture has a NUL or a slash */
    unsigned allowed; /* on ROUTE_WRONG_METHOD: the methods that the path has */
};

enum route_outcome {
    ROUTE_FOUND,
    ROUTE_NOT_FOUND,
    ROUTE_WRONG_METHOD,
    ROUTE_UNSAFE_NAME, /* a path that fits, with a capture that must not be used */
};

/* HEAD is looked up as GET by the caller. `path` has no query. */
enum route_outcome router_find(const struct route *routes, size_t route_count,
                               enum route_method method, struct str path, struct arena *arena,
                               struct route_match *ret_match);

/* The value of a query parameter, percent-decoded in the arena; data NULL if it is not there. */
struct str query_find(struct str query, struct str name, struct arena *arena);

#endif
