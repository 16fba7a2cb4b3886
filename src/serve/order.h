/*
 * Answers in the order of their requests, for models that ask for it (dynamic_batching's
 * preserve_ordering): per lane, so also per connection. Calls still run as they like, on several
 * instances, in batches of one shape, from the cache; an answer that comes before that of an
 * earlier call is parked, its outputs held, until the earlier one is answered, fails, or is gone.
 * Refusals are not held back: queue time-outs, deadlines, full queues.
 *
 *   order_enter(call)            submitted; at most the queue's size_max of them at a time
 *   order_may_answer(call)       false: order_park it; its link is free, it comes back by itself
 *   order_leave(lane, call)      answered, refused or cancelled: the next may go
 *   order_flush(lane)            RUN phase: answers what was parked and is first now
 */
#ifndef SERVE_ORDER_H
#define SERVE_ORDER_H

#include "serve/serve.h"

struct serve_parked;

/* False if as many calls are under way as may wait. */
bool order_enter(struct serve_call *call);

bool order_may_answer(const struct serve_call *call);

/* Keeps what on_done will see: the outputs that `call` shows, or the failure. */
void order_park(struct serve_call *call, enum status status, const struct error *err);

/* Safe to repeat, and for a call that never entered. */
void order_leave(struct serve_lane *lane, struct serve_call *call);

/* What was parked for the call, if anything, is no longer needed. */
void order_forget(struct serve_call *call);

void order_flush(struct serve_lane *lane);

/* The held result of a parked call; NULL if its outputs are the cache's. */
struct serve_outputs *order_outputs(const struct serve_call *call);

#endif
