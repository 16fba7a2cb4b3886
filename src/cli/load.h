/*
 * A load generator: one thread, one loop, N connections that each hold one request in flight.
 *
 *   closed loop  each connection sends the next request when its answer has come
 *   open loop    requests start by the clock, at a rate; one that finds every connection busy
 *                waits, and its latency counts from when it should have started, so that a stall
 *                of the server shows in every request it delays ("coordinated omission")
 *
 *   struct load_result result;
 *   TRY(load_run(&(struct load_options){...}, &result, err));
 *   ... latency_quantile_ns(result.latency, 0.99) ...
 *   load_result_clear(&result);
 *
 * Without TLS; answers carry Content-Length.
 */
#ifndef CLI_LOAD_H
#define CLI_LOAD_H

#include "base/str.h"
#include "cli/histogram.h"

enum { LOAD_CONNECTIONS_MAX = 10000, LOAD_HEAD_MAX = 64 * 1024 };

struct load_options {
    const char *host; /* numeric or a name */
    uint16_t port;
    struct str request; /* all of it: line, headers, body */
    uint32_t connections;
    double rate; /* requests/s of the open loop; 0: closed loop */
    uint64_t warmup_ns;
    uint64_t duration_ns;
    /* May be NULL: called about ten times a second with the share that is done. */
    void (*progress)(void *context, double share);
    void *progress_context;
};

struct load_result {
    struct latency *latency; /* of answers counted */
    uint64_t answers;        /* with status 2xx, within the measured time */
    uint64_t refused;        /* with another status */
    uint64_t broken;         /* connections lost, or answers that are no HTTP */
    uint64_t unsent;         /* open loop: due within the time and still waiting at its end */
    uint64_t elapsed_ns;
    uint64_t cpu_ns;   /* of this process: near elapsed_ns, the generator is the limit */
    int first_refusal; /* a status, 0: none */
};

/* Fails if the server cannot be reached at the start. *ret_result is cleared by the caller. */
enum status load_run(const struct load_options *options, struct load_result *ret_result,
                     struct error *err) FALLIBLE;
void load_result_clear(struct load_result *result);

/*
 * The end of an answer's head and the size of its body, from the bytes received so far. False if
 * more bytes are needed. *ret_status is 0 if this is no answer that can be followed.
 */
bool load_parse_head(struct str bytes, size_t *ret_head_size, uint64_t *ret_body_size,
                     int *ret_status);

#endif
