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

/* The head of an answer that http_stream_write then fills. */
void answer_stream_start(struct server_thread *thread, struct http_exchange *exchange,
                         const struct http_response *response);

/*
 * {"error": message} with the status' HTTP status; 503 carries Retry-After. Logged, once: as a
 * warning if it is the server's fault (5xx), else for information.
 */
void answer_failure(struct server_thread *thread, struct http_exchange *exchange,
                    const struct error *err);

/* The same with another HTTP status than the table's, or with the id that the request's body has.
 */
struct failure {
    int status;
    struct str request_id; /* empty: the header X-Request-Id is looked at */
    const struct error *err;
};

void answer_failure_of(struct server_thread *thread, struct http_exchange *exchange,
                       const struct failure *failure);

/* Only the line in the log, for those who answer in a form of their own. */
void answer_log_failure(struct server_thread *thread, const struct http_exchange *exchange,
                        const struct failure *failure);

/* 405 with `Allow`, for methods of enum route_method. */
void answer_wrong_method(struct server_thread *thread, struct http_exchange *exchange,
                         unsigned allowed);

#endif
