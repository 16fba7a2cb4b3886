/*
 * Answers: the only place of the room that calls http_respond, so that every answer is counted and,
 * if wanted, logged. On the exchange's thread; each exchange is answered once.
 */
#ifndef SERVER_ANSWER_H
#define SERVER_ANSWER_H

#include "server/router.h"
#include "server/thread.h"

/* 200 and JSON, the busiest. */
void answer_json(struct server_thread *thread, struct http_exchange *exchange, struct str body);

/* Any status and type. */
void answer_text(struct server_thread *thread, struct http_exchange *exchange, int status,
                 const char *content_type, struct str body);

/* Everything that http_respond takes. */
void answer_response(struct server_thread *thread, struct http_exchange *exchange,
                     const struct http_response *response);

/*
 * {"error": message} with the status' HTTP status; 503 carries Retry-After. Logged once, as a
 * warning for the server's faults (5xx but not 503) and at debug for the client's.
 */
void answer_failure(struct server_thread *thread, struct http_exchange *exchange,
                    const struct error *err);

/* The same with another HTTP status than the table's. */
void answer_failure_as(struct server_thread *thread, struct http_exchange *exchange, int status,
                       const struct error *err);

/* 405 with `Allow`, for methods of enum route_method. */
void answer_wrong_method(struct server_thread *thread, struct http_exchange *exchange,
                         unsigned allowed);

#endif
