/*
 * An errand: a request that asks another thread and answers when that has returned. The first
 * member of the handler's own struct, in the exchange's arena; the exchange is held meanwhile.
 *
 *   struct look *look = errand_new(thread, exchange, sizeof *look, &err);
 *   errand_begin(&look->errand, look_returned);
 *   ... ask; the other thread calls errand_return(&look->errand) ...
 *   static void look_returned(struct errand *errand)    // on the exchange's thread
 *   { ... answer ...; errand_end(errand); }             // nothing of it is used after that
 */
#ifndef SERVER_ERRAND_H
#define SERVER_ERRAND_H

#include "loop/loop.h"
#include "server/router.h"
#include "server/thread.h"

struct errand;
typedef void errand_function(struct errand *errand);

/* What exchange->user begins with, if it is set: tells that the client is gone. */
struct exchange_user {
    void (*on_abort)(struct exchange_user *user);
};

struct errand {
    struct exchange_user user;
    struct server_thread *thread;
    struct http_exchange *exchange;
    struct mail mail;
    errand_function *returned;
    bool gone; /* the client is: an answer would not be seen */
};

/*
 * Zeroed memory of `size` bytes that begins with an errand. NULL if there is no data store to ask
 * (UNAVAILABLE with the reason), or no memory.
 */
void *errand_new(struct server_thread *thread, struct http_exchange *exchange, size_t size,
                 struct error *err) FALLIBLE;

/* The same for what asks thread->options->jobs. */
void *errand_new_for_jobs(struct server_thread *thread, struct http_exchange *exchange, size_t size,
                          struct error *err) FALLIBLE;

/* Holds the exchange. */
void errand_begin(struct errand *errand, errand_function *returned);

/* Any thread, once per question. */
void errand_return(struct errand *errand);

void errand_end(struct errand *errand);

/* NOT_FOUND for a text that is no id of a record. */
enum status errand_check_id(struct str id, struct error *err) FALLIBLE;

#endif
