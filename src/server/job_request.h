/*
 * How a job is to be run, as a request says it: by header, by query, or in a JSON wrapper around
 * the inference's own body. Later ones are stronger.
 *
 *   header               query         member of the wrapper, which has "request": the body
 *   Slipway-Group        group         group
 *   Slipway-Delay        delay         delay             seconds, or a duration: 1m30s
 *   Slipway-Start-At     start_at      start_at          2026-01-02T03:04:05Z or epoch seconds
 *   Slipway-Ttl          ttl           ttl               seconds, or a duration
 *   Slipway-Expires-At   expires_at    expires_at        a time
 *   Slipway-Priority     priority      priority          0 (first) to 9
 *   Slipway-Callback     callback      callback          a URL
 *   Idempotency-Key                    idempotency_key
 */
#ifndef SERVER_JOB_REQUEST_H
#define SERVER_JOB_REQUEST_H

#include "jobs/jobs.h"
#include "net/http.h"

/*
 * Fills group, priority, start, expiry, callback, key, request and trace id of the record, and
 * *body: the inference's own body, which is the exchange's unless it is a wrapper. Texts are views
 * of the exchange. INVALID_ARGUMENT names what is wrong.
 */
enum status job_request_read(struct http_exchange *exchange, bool may_be_wrapped, uint64_t now_ms,
                             struct record *record, struct str *ret_body,
                             struct error *err) FALLIBLE;

/* True if a `Prefer` header asks for an answer before the work is done (RFC 7240). */
bool job_request_prefers_async(struct str prefer);

enum { JOB_WAIT_S_MAX = 60 };

/* What a `Prefer` header asks for (RFC 7240). */
struct job_preference {
    bool async;      /* respond-async */
    bool waits;      /* wait=SECONDS: answer as the synchronous call if it is done by then */
    uint32_t wait_s; /* at most JOB_WAIT_S_MAX: longer ones are cut to that */
};

/* As the RFC has it, what is unknown or malformed is ignored, and of repetitions the first counts.
 */
struct job_preference job_preference_read(struct str prefer);

/* "2026-01-02T03:04:05.678Z", or seconds since 1970 with at most three decimals. False: neither. */
bool job_time_read(struct str text, uint64_t *ret_ms) FALLIBLE;

#endif
