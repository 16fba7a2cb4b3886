/*
 * Idempotency-Key on a synchronous inference: the same key with the same input gets the stored
 * answer, with another input 409. Only such requests wait for the store.
 *
 *   1 look     is the key known?                   known: answer from the record, or 409
 *   2 run      the inference, as without a key     failed: answered, nothing is stored
 *   3 admit    record and answer, if the key is still free; somebody else's answer if it is not
 *   4 answer   once that is durable
 *
 * Two requests with the same key at the same time both run; one answer is stored, and both get it.
 * An answer that must not be kept (record.output, redaction) cannot be given again: such a request
 * runs each time.
 */
#ifndef SERVER_IDEMPOTENCY_H
#define SERVER_IDEMPOTENCY_H

#include "server/recording.h"

struct idempotency;

/* Runs the inference; `match` and `face` are those given to idempotency_begin. */
typedef void idempotency_run_function(struct server_thread *thread, struct http_exchange *exchange,
                                      const struct route_match *match, const void *face,
                                      struct idempotency *idempotency);

/*
 * Begins if the request has a key and this server keeps anything: true, and all else comes later.
 * False: go on without.
 */
bool idempotency_begin(struct server_thread *thread, struct http_exchange *exchange,
                       const struct route_match *match, const void *face,
                       idempotency_run_function *run);

/* The inference has succeeded: stores and answers, copying what it needs. */
void idempotency_finish(struct idempotency *idempotency, const struct recording *recording);

/* The inference has failed, and was answered, or its client is gone. */
void idempotency_drop(struct idempotency *idempotency);

#endif
