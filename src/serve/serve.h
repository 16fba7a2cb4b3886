/*
 * The heart: owns models and the requests in flight. Knows nothing of transports.
 *
 *   struct serve       one per process: repositories, models, the control threads that load them.
 *   struct serve_lane  one per loop thread: that thread's snapshot of the plan (name -> versions ->
 *                      model), its waiting calls, its own engine instances, its own counters. A
 *                      request that runs inline meets no lock and no shared cache line.
 *   struct serve_call  one request on its way through; part of the caller's own request object.
 *
 * One request, on its lane's thread:
 *
 *   READ   serve_find(lane, name, version, &model, &err)
 *          infer_request_bind(serve_model_spec(model), request, &call->bound, &err)
 *          serve_submit(lane, call, &err)            // queues; calls nothing back
 *   RUN    the lane makes batches of what waits and runs the engine, or hands over to the runners
 *          call->on_done(call, status, err)          // encode call->outputs here
 *          call->on_release(call)                    // serve has let go of the request's memory
 *   WRITE  the caller's
 *
 * The turn rule. All calls of one model submitted in one turn's READ phase become one engine call
 * (or several, at batch_size_max), without any waiting: "tick batching". Where it runs:
 *
 *   - on the loop thread itself ("inline") while the model is cheap: the running mean (EWMA, weight
 *     1/8) of the time of its engine calls is at most options.inline_cost_max_ns (100 us);
 *   - on the model's runner threads (one per instance of instance_group) once the mean is above.
 *     The turn's calls are handed over together: one lock, one wake-up; results come back with one
 *     wake-up per batch and lane. It comes back inline when the mean has fallen below half the
 *     limit; between two moves lie at least options.placement_dwell_ns.
 *
 * The first placement comes from the warm-up's timing; without one, a runner tries it first. The
 * model's parameter `placement` ("inline", "runner", "auto") overrides. A model with
 * max_queue_delay > 0 always runs on its runners: a batch waits there for company from all lanes,
 * until a preferred size or the delay is reached. A model that is not batchable runs its calls one
 * after another, inline for at most options.inline_turn_max_ns per turn; what is left waits for the
 * next turn, so that models and connections stay fair to each other.
 *
 * Alike and in order. Of calls that ask the same of a model with a response cache, one runs and the
 * others of its lane get its answer (flight.h). A model whose dynamic_batching has
 * preserve_ordering answers the calls of one lane in the order they were submitted (order.h).
 *
 * Failures. An engine's failure is the error of the calls in that batch, and of those only: a batch
 * refused with INVALID_ARGUMENT is run again row by row once, so that one poisoned request does not
 * fail its neighbours. An engine that hangs on a runner holds its own model only: deadlines and
 * queue time-outs answer its callers, serve_model_ready turns false after
 * options.execution_limit_ns, and other models go on. One that hangs inline holds its lane's whole
 * thread until it returns; the other lanes see that after options.inline_stall_max_ns and give the
 * model to its runners from then on, as does its own lane when it is back. A model that is known to
 * hang belongs on runners from the start.
 *
 * Threads: what takes a lane is for the lane's thread only; the rest says "any thread".
 */
#ifndef SERVE_SERVE_H
#define SERVE_SERVE_H

#include "protocol/infer.h"
#include "serve/batch.h"
#include "serve/deadline.h"
#include "serve/statistics.h"

struct engine_registry;
struct loop;
struct model_config;
struct oip_json_texts;

struct serve;
struct serve_lane;
struct serve_model; /* one version of a model, as one lane sees it */

enum {
    SERVE_LANES_MAX = 256,
    SERVE_REPOSITORIES_MAX = 16,
    SERVE_MODELS_MAX = 10000,  /* names in all repositories */
    SERVE_VERSIONS_MAX = 1000, /* of one name */
    SERVE_LOAD_THREADS_MAX = 64,
    SERVE_NAME_SIZE_MAX = 255, /* bytes of a model's name */
};

/* Who decides what is loaded. */
enum serve_control {
    SERVE_CONTROL_NONE,     /* everything found at the start; nothing changes later */
    SERVE_CONTROL_POLL,     /* the repositories are looked at every poll_interval_ms */
    SERVE_CONTROL_EXPLICIT, /* what `startup` names, then by serve_load and serve_unload */
};

struct serve_options {
    struct engine_registry *engines; /* borrowed, outlives serve */
    /*
     * Each is a model file, a model's directory, or a repository of model directories; the first
     * that has a name wins. Borrowed during serve_new.
     */
    const char *const *repositories;
    size_t repository_count;

    enum serve_control control;
    const char *const *startup; /* EXPLICIT: names to load at the start; "*" is all */
    size_t startup_count;
    uint64_t poll_interval_ms; /* 0: 15,000 */

    uint32_t lane_count;     /* as many serve_lane_new may be called; 0: 1 */
    uint32_t load_threads;   /* loads that run at the same time; 0: 2 */
    uint32_t engine_threads; /* threads one execute may use; 0: the engine's default */
    uint32_t queue_size_max; /* waiting calls of one model where its config sets none; 0: 16,384 */
    uint64_t queue_timeout_ns; /* longest wait where neither model nor request sets one; 0: none */
    const char
        *trial_program; /* tries each model in a child of that file first (trial.h); NULL: no */
    bool ready_despite_failures;  /* once the start's loads are over, also if some failed */
    uint64_t bytes_in_flight_max; /* of inputs, all lanes together; 0: 1 GiB */
    uint64_t cache_size_max;      /* bytes of the response cache; 0: no cache */
    uint64_t load_size_max;       /* bytes of `file:` overrides of one load; 0: 1 GiB */

    uint64_t inline_cost_max_ns;  /* 0: 100,000 */
    uint64_t inline_turn_max_ns;  /* 0: 1,000,000 */
    uint64_t inline_stall_max_ns; /* 0: 10,000,000 */
    uint64_t placement_dwell_ns;  /* 0: 1,000,000,000 */
    uint64_t execution_limit_ns;  /* a longer execute makes its model not ready; 0: 60 s */
};

/*
 * Makes it; nothing is loaded before serve_start_loading, so that a server can listen first. Fails
 * if a repository cannot be read. Any thread; *ret_serve is ended by serve_free.
 */
enum status serve_new(const struct serve_options *options, struct serve **ret_serve,
                      struct error *err) FALLIBLE;

/* Starts the load threads, and with them the first loads, and returns without waiting. Once. */
enum status serve_start_loading(struct serve *serve, struct error *err) FALLIBLE;

/* Ends the control threads and unloads all. Every lane is freed before. Accepts NULL. */
void serve_free(struct serve *serve);

/* Waits until the loads of the start have succeeded or failed, or `timeout_ns` passed: false. Any
 * thread that is no lane's. */
bool serve_wait_started(struct serve *serve, uint64_t timeout_ns);

/*
 * Refuses new calls from now on; accepted ones are still answered. Any thread. serve_drain_wait
 * blocks (so not on a lane's thread, unless nothing is in flight there) until all are answered;
 * false if `grace_ns` passed before. serve_in_flight is for a caller with a timer of its own.
 */
void serve_drain(struct serve *serve);
bool serve_drain_wait(struct serve *serve, uint64_t grace_ns);
uint64_t serve_in_flight(struct serve *serve);

/* True once the start's loads are over, each model that was to be loaded is (unless
 * options.ready_despite_failures), and no drain began.
 * Any thread. */
bool serve_is_ready(struct serve *serve);

/* --- lanes ---------------------------------------------------------------------------------- */

/*
 * Makes the lane of a loop's thread and hooks into the loop's turn. Call on that thread or before
 * it runs. At most options.lane_count. Freed by serve_lane_free on the loop's thread, or after it
 * ended, with none of its calls in flight.
 */
struct serve_lane *serve_lane_new(struct serve *serve, struct loop *loop);
void serve_lane_free(struct serve_lane *lane);

/*
 * The model to run, by name and version; an empty version is the highest that is ready. Valid until
 * the turn ends, and as long as a call on it is in flight or serve_model_hold was called.
 *   INVALID_ARGUMENT  Request for unknown model: 'X' is not found
 *   NOT_FOUND         Request for unknown model: 'X' version 99 is not found
 *   UNAVAILABLE       Request for unknown model: 'X' has no available versions
 */
enum status serve_find(struct serve_lane *lane, struct str name, struct str version,
                       struct serve_model **ret_model, struct error *err) FALLIBLE;

/* Keeps the model loaded while a request's body is still coming. Plain counts, lane's thread. */
void serve_model_hold(struct serve_model *model);
void serve_model_release(struct serve_model *model);

/* What a model is. All valid as long as the model. */
const struct infer_spec *serve_model_spec(const struct serve_model *model);
const struct model_config *serve_model_config(const struct serve_model *model);
struct str serve_model_name(const struct serve_model *model);
struct str serve_model_version(const struct serve_model *model);
const struct oip_json_texts *serve_model_texts(const struct serve_model *model);
const char *serve_model_platform(const struct serve_model *model);
/* SHA-256 of its files and configuration, 32 bytes: what ran, whatever it was called. */
const uint8_t *serve_model_digest(const struct serve_model *model);

/*
 * The labels of output `index`'s classes, from its label file, which was read at load; 0 if it has
 * none. A line that is empty is an empty text.
 */
size_t serve_model_labels(const struct serve_model *model, size_t index,
                          const struct str **ret_labels);

/* The ready versions of a name, ascending, as texts; 0 if the name is unknown. Until turn's end. */
size_t serve_versions(struct serve_lane *lane, struct str name, const struct str **ret_versions);

/* Calls `visit` for each ready model of this lane's plan, by name, then version. */
typedef void serve_model_visit_function(void *context, struct serve_model *model);
void serve_models_each(struct serve_lane *lane, serve_model_visit_function *visit, void *context);

/* False also while an engine hangs in it. Errors as serve_find has them are false too. */
bool serve_model_ready(struct serve_lane *lane, struct str name, struct str version);

/* --- calls ---------------------------------------------------------------------------------- */

struct serve_call;
struct serve_cached;
struct serve_parked;
struct flight;

/*
 * The answer, on the lane's thread, at most once. On STATUS_OK call->outputs holds one tensor per
 * output of the model, in its order, this call's rows only; dtype ANY where it was not wanted.
 * `err` is NULL then. All of it is valid until on_done returns: encode here. May submit, not free.
 */
typedef void serve_done_function(struct serve_call *call, enum status status,
                                 const struct error *err);

/* The last that serve does with a call, exactly once, after on_done or serve_cancel. Until then
 * the call and the memory of its inputs stay where they are. */
typedef void serve_release_function(struct serve_call *call);

struct serve_times {
    uint64_t received_ns; /* monotonic; set by the caller */
    uint64_t queued_ns;
    uint64_t compute_start_ns;
    uint64_t compute_end_ns;
};

enum serve_call_state {
    SERVE_CALL_IDLE,
    SERVE_CALL_WAITING,   /* in the lane */
    SERVE_CALL_QUEUED,    /* in the runners' queue, which their lock guards */
    SERVE_CALL_RUNNING,   /* with an engine */
    SERVE_CALL_FOLLOWING, /* behind a call that asks the same */
    SERVE_CALL_PARKED,    /* its answer is there, and waits for that of an earlier call */
};

/* serve_call_init, set what the first part needs, submit. */
struct serve_call {
    struct serve_model *model;
    struct infer_bound bound; /* its memory stays until on_release */
    uint32_t priority;        /* as in struct infer_request */
    uint64_t timeout_us;
    uint64_t deadline_ns; /* monotonic, end to end; 0: none. DEADLINE_EXCEEDED when it passes */
    serve_done_function *on_done;
    serve_release_function *on_release;
    struct serve_times times;

    /* Valid inside on_done. */
    const struct slipway_tensor *outputs;
    size_t output_count;
    int64_t batch_rows; /* rows of the engine call that made the answer; 0: from the cache */

    /* serve's own. */
    struct serve_lane *lane;
    struct batch_item item; /* waiting: in the lane's queue or a runner's; else in its batch */
    struct deadline deadline;
    int64_t row; /* of the batch, where this call's rows begin */
    uint64_t input_bytes;
    struct serve_cached *cached; /* the answer found in the response cache */
    uint8_t *cache_key;
    enum serve_call_state state; /* once handed over: under the runners' lock */
    bool handed_over;
    bool answered;         /* or cancelled: only on_release is left to come */
    bool counted;          /* as a rejection */
    bool special;          /* its model caches or keeps the order; only then the rest is set */
    bool shares;           /* answered by the cache, or with the call that it follows */
    bool runs_alone;       /* what it followed has failed */
    struct flight *flight; /* that it leads or follows */
    struct serve_parked *parked; /* its answer, if it is PARKED */
    struct list order_link;      /* by submission, if its model keeps the order */
};

/* Without priority, time-out and deadline; everything else is the caller's to set, or serve's. */
static inline void serve_call_init(struct serve_call *call)
{
    call->priority = 0;
    call->timeout_us = 0;
    call->deadline_ns = 0;
}

/*
 * Queues the call; its callbacks come later, never from inside. On failure the call was not taken
 * and no callback comes:
 *   UNAVAILABLE  Exceeds maximum queue size | the server is shutting down
 *   EXHAUSTED    too many bytes in flight
 */
enum status serve_submit(struct serve_lane *lane, struct serve_call *call,
                         struct error *err) FALLIBLE;

/*
 * For a client that is gone: on_done will not come. on_release comes from inside if the call was
 * still waiting, later if it is running: its memory belongs to the engine until then.
 */
void serve_cancel(struct serve_lane *lane, struct serve_call *call);

/*
 * Keeps what call->outputs point to beyond on_done (the memory of the elements, not the array of
 * views): a large answer can be sent from where the engine wrote it. Inside on_done only. NULL for
 * an answer from the response cache: copy it. The engine's result, shared by all calls of a batch,
 * is released with the last holder, and its model stays loaded until then.
 */
struct serve_outputs;
struct serve_outputs *serve_outputs_hold(struct serve_call *call);

/* On the lane's thread, or after its loop has ended; before serve_lane_free. */
void serve_outputs_release(struct serve_outputs *outputs);

/* --- control: any thread ---------------------------------------------------------------------- */

/* What a load may bring along. Borrowed during serve_load. */
struct serve_load_file {
    struct str path; /* "1/model.onnx": what follows `file:` */
    struct str content;
};

struct serve_load_overrides {
    struct str config; /* model configuration as JSON; data NULL: none */
    const struct serve_load_file *files;
    size_t file_count;
};

/* On the lane's thread where a lane was given, else on a control thread. */
typedef void serve_control_done_function(void *context, enum status status,
                                         const struct error *err);

/*
 * Loads or reloads a model by name / unloads it, in a control thread. Refused at once, without a
 * callback, if the name is not one or the control mode forbids it:
 *   UNAVAILABLE       explicit model load / unload is not allowed if polling is enabled
 *   INVALID_ARGUMENT  invalid model name 'X', model name must not contain path traversal characters
 * Later, through on_done:
 *   INTERNAL          failed to load 'X', failed to poll from model repository
 *   INTERNAL          failed to load 'X', no version is available
 */
enum status serve_load(struct serve *serve, struct serve_lane *lane, struct str name,
                       const struct serve_load_overrides *overrides,
                       serve_control_done_function *on_done, void *context,
                       struct error *err) FALLIBLE;
enum status serve_unload(struct serve *serve, struct serve_lane *lane, struct str name,
                         serve_control_done_function *on_done, void *context,
                         struct error *err) FALLIBLE;

/* The repository's index. Names that are not loaded stand there with version and state empty. */
struct serve_index_row {
    char *name;
    char *version;     /* "" if it has none */
    const char *state; /* "READY", "UNAVAILABLE", "LOADING", "UNLOADING", "UNKNOWN" or "" */
    char *reason;      /* "" if there is none */
};

struct serve_index {
    struct serve_index_row *rows; /* by name, then version */
    size_t count;
};

/* Filled for the caller, who clears it. */
void serve_index_read(struct serve *serve, bool only_ready, struct serve_index *ret_index);
void serve_index_clear(struct serve_index *index);

/* Statistics of ready model versions: all, one name's, or one version's (empty texts: any). */
struct serve_lane_row {
    bool runs_inline;
    uint64_t stalls;     /* calls inline that took longer than inline_stall_max_ns */
    uint64_t stalled_ns; /* how long such a call has been running by now; 0: none is */
};

struct serve_statistics_row {
    char *name;
    char *version;
    bool runs_inline; /* on lane 0, for a person */
    struct serve_lane_row *lanes;
    uint32_t lane_count;
    uint64_t hung; /* runners in one execute for longer than execution_limit_ns */
    uint64_t weight_bytes;
    uint64_t load_ns; /* how long the load and warm-up took */
    struct statistics_snapshot values;
};

struct serve_statistics {
    struct serve_statistics_row *rows; /* by name, then version */
    size_t count;
};

void serve_statistics_read(struct serve *serve, struct str name, struct str version,
                           struct serve_statistics *ret_statistics);
void serve_statistics_clear(struct serve_statistics *statistics);

/* Process-wide numbers for /metrics. */
struct serve_totals {
    uint64_t load_success;
    uint64_t load_failure;
    uint64_t unload_count;
    uint64_t bytes_in_flight;
    uint64_t cache_bytes;
    uint64_t cache_entries;
    uint64_t cache_hits;
    uint64_t cache_misses;
    uint64_t cache_evictions;
};

void serve_totals_read(struct serve *serve, struct serve_totals *ret_totals);

#endif
