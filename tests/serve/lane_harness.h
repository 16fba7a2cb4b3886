/*
 * One lane with one model of the echo engine, and an engine that stands still until it may go on.
 */
#ifndef TEST_LANE_HARNESS_H
#define TEST_LANE_HARNESS_H

#include "echo.h"

static UNUSED const struct serve_options plain = {.lane_count = 1};

/* Nothing here takes that long: a thread that has to wait for a processor is not taken for a slow
 * model, and a turn is not cut short. For tests of what happens inside one turn. */
static UNUSED const struct serve_options patient = {.lane_count = 1,
                                                    .cache_size_max = 1 << 20,
                                                    .inline_cost_max_ns = 60 * NS_PER_S,
                                                    .inline_turn_max_ns = 60 * NS_PER_S,
                                                    .inline_stall_max_ns = 60 * NS_PER_S};

static inline struct serve_model *find(struct echo *echo, const char *name)
{
    struct error err;
    struct serve_model *model = NULL;
    EXPECT_STATUS(serve_find(echo->lane, str_of(name), STR(""), &model, &err), STATUS_OK, err);
    return model;
}

static inline struct serve_model *start(struct echo *echo, const struct serve_options *options,
                                        int64_t batch_size_max, const char *text,
                                        echo_settings_function *change)
{
    struct error err;
    echo_start(echo, options);
    struct model *model = echo_model(echo, "m", 1, batch_size_max, text, change, &err);
    if (!model) test_failed(__FILE__, __LINE__, "%s", err.message);
    echo_publish(echo, model);
    return find(echo, "m");
}

/* --- engines that stand still until they may go on --- */

static const char *gate_path(void)
{
    static char path[256];
    (void)snprintf(path, sizeof path, WORK_DIRECTORY "/gate.%d", (int)getpid());
    return path;
}

static inline void gate_open(void)
{
    FILE *file = fopen(gate_path(), "w");
    assert(file);
    (void)fclose(file);
}

/* As start, with an engine that hangs in each call until gate_open. */
static inline struct serve_model *start_gated(struct echo *echo,
                                              const struct serve_options *options,
                                              int64_t batch_size_max,
                                              echo_settings_function *change)
{
    char text[512];
    (void)snprintf(text, sizeof text, ECHO_BATCHABLE "hang_until %s\nend\n", gate_path());
    gate_open(); /* for the warm-up */
    struct serve_model *model = start(echo, options, batch_size_max, text, change);
    (void)unlink(gate_path());
    return model;
}

static inline void stop_gated(struct echo *echo)
{
    echo_stop(echo);
    (void)unlink(gate_path());
}

/* Turns the loop until `count` runners are inside the engine: how soon is the scheduler's choice.
 */
static inline void turn_until_running(struct echo *echo, struct serve_model *model, uint32_t count)
{
    uint64_t end_ns = clock_monotonic_ns() + 20 * NS_PER_S;
    while (runners_stuck(model->model->runners, UINT64_MAX) != count) {
        loop_turn(echo->loop, NS_PER_MS);
        if (clock_monotonic_ns() < end_ns) continue;
        test_failed(__FILE__, __LINE__, "the engine was not entered in time");
        return;
    }
}

static inline void turn_until_done(struct echo *echo, const struct echo_call *call)
{
    uint64_t end_ns = clock_monotonic_ns() + 20 * NS_PER_S;
    while (!call->done_count && clock_monotonic_ns() < end_ns) loop_turn(echo->loop, NS_PER_MS);
    EXPECT_INT(call->done_count, 1);
}

static inline void submit(struct echo *echo, struct echo_call *call)
{
    struct error err;
    EXPECT_STATUS(serve_submit(echo->lane, &call->call, &err), STATUS_OK, err);
    EXPECT_INT(call->done_count, 0); /* never from inside */
}

static inline void expect_answered(const struct echo_call *calls, size_t count, enum status status)
{
    for (size_t i = 0; i < count; i++) {
        EXPECT_STATUS(calls[i].status, status, calls[i].error);
        EXPECT_INT(calls[i].done_count, 1);
        EXPECT_INT(calls[i].released_count, 1);
        if (status == STATUS_OK) EXPECT(calls[i].matches);
    }
}

static inline struct statistics_snapshot numbers(struct echo *echo)
{
    struct serve_statistics statistics;
    serve_statistics_read(echo->serve, STR(""), STR(""), &statistics);
    struct statistics_snapshot values = statistics.rows[0].values;
    values.batches = NULL; /* the rows' own */
    serve_statistics_clear(&statistics);
    return values;
}

static inline void on_runner(struct model_settings *settings)
{
    settings->placement.mode = PLACEMENT_RUNNER;
}

#endif
