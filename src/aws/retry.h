/*
 * When to ask AWS again: what a failure means, how long to wait, and how often in all. Pure: chance
 * and time are arguments.
 *
 *   enum aws_fault fault = aws_fault_of(http_status, code);
 *   if (fault_is_retryable(fault) && attempt < limit && retry_budget_take(&budget, fault))
 *       wait(retry_delay_ns(fault, attempt, &prng));
 *
 * The budget is one for all calls to a service: while most of them fail, few are repeated, so that
 * a service in trouble is not asked more often than one that is well. A call that ends well gives
 * back what its last retry took, and a little if it needed none. One thread at a time per budget.
 */
#ifndef AWS_RETRY_H
#define AWS_RETRY_H

#include "base/rand.h"
#include "base/str.h"

enum {
    RETRY_BUDGET_MAX = 500,
    RETRY_COST = 5,
    RETRY_COST_TRANSPORT = 10, /* no answer at all: dearer, it held a connection until its end */
    RETRY_GAIN = 1,            /* of a call that needed no retry */
};

enum aws_fault {
    AWS_FAULT_NONE,
    AWS_FAULT_PERMANENT, /* the same request will fail again */
    AWS_FAULT_TRANSIENT, /* the service's own trouble */
    AWS_FAULT_TRANSPORT, /* no answer, or half of one */
    AWS_FAULT_THROTTLED, /* too much was asked */
    AWS_FAULT_EXPIRED,   /* credentials are over: again with new ones */
    AWS_FAULT_SKEWED,    /* the clocks differ: again by the service's */
};

/*
 * Of an answer: its HTTP status (0: there was none) and the error's code, as it was sent
 * ("com.amazonaws.dynamodb.v20120810#ThrottlingException", "Throttling:http://..."), which counts
 * before the status.
 */
enum aws_fault aws_fault_of(int http_status, struct str code);

/* "Throttling" of all the forms above. */
struct str aws_error_name(struct str code);

bool fault_is_retryable(enum aws_fault fault);

/* Full jitter: anything from 0 to a ceiling that doubles with each attempt (0: the first retry) and
 * is 20 s at most. Nothing for expired credentials and clocks. */
uint64_t retry_delay_ns(enum aws_fault fault, unsigned attempt, struct prng *prng);

struct retry_budget {
    unsigned left;
};

void retry_budget_init(struct retry_budget *budget);

/* False: nothing is left, and the failure is the answer. */
bool retry_budget_take(struct retry_budget *budget, enum aws_fault fault) FALLIBLE;

/* A call ended well; `last` is the fault that its last retry was for, AWS_FAULT_NONE without one.
 */
void retry_budget_give(struct retry_budget *budget, enum aws_fault last);

/* Seconds since 1970 of a header Date, "Sun, 06 Nov 1994 08:49:37 GMT"; false if it is none. */
bool retry_read_http_date(struct str text, uint64_t *ret_seconds) FALLIBLE;

#endif
