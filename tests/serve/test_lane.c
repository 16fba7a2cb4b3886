/* A lane with the echo engine: inline and on runners, batches, failures, time-outs, reloads. */
#include "lane_harness.h"

#include <pthread.h>

TEST(one_turns_calls_are_one_engine_call)
{
    struct echo echo;
    struct serve_model *model = start(&echo, &patient, 16, ECHO_BATCHABLE "end\n", NULL);
    EXPECT(model->placement.runs_inline);
    static struct echo_call calls[6];
    for (size_t i = 0; i < 6; i++) {
        echo_call_init(&calls[i], model, i == 2 ? 3 : 1, (float)i * 100);
        submit(&echo, &calls[i]);
    }
    EXPECT_INT(serve_in_flight(echo.serve), 6);
    loop_turn(echo.loop, 0);
    expect_answered(calls, 6, STATUS_OK);
    EXPECT_INT(calls[0].batch_rows, 8);
    struct statistics_snapshot values = numbers(&echo);
    EXPECT_INT(values.execution_count, 1);
    EXPECT_INT(values.inference_count, 8);
    EXPECT_INT(values.success.count, 6);
    EXPECT_INT(values.in_flight, 0);
    EXPECT_INT(serve_in_flight(echo.serve), 0);
    echo_stop(&echo);
}

TEST(more_than_a_batch_is_several_in_the_same_turn)
{
    struct echo echo;
    struct serve_model *model = start(&echo, &patient, 4, ECHO_BATCHABLE "end\n", NULL);
    static struct echo_call calls[10];
    for (size_t i = 0; i < 10; i++) {
        echo_call_init(&calls[i], model, 1, (float)i);
        submit(&echo, &calls[i]);
    }
    loop_turn(echo.loop, 0);
    expect_answered(calls, 10, STATUS_OK);
    EXPECT_INT(numbers(&echo).execution_count, 3);
    echo_stop(&echo);
}

TEST(what_is_not_batchable_runs_one_after_another)
{
    struct echo echo;
    struct serve_model *model = start(&echo, &patient, 0, ECHO_SINGLE "end\n", NULL);
    static struct echo_call calls[40];
    for (size_t i = 0; i < 40; i++) {
        echo_call_init(&calls[i], model, 0, (float)i);
        submit(&echo, &calls[i]);
    }
    for (int i = 0; i < 10; i++) loop_turn(echo.loop, 0);
    expect_answered(calls, 40, STATUS_OK);
    EXPECT_INT(numbers(&echo).execution_count, 40);
    echo_stop(&echo);
}

TEST(one_poisoned_row_fails_alone)
{
    struct echo echo;
    for (int inline_first = 0; inline_first < 2; inline_first++) {
        struct serve_model *model =
            start(&echo, &plain, 16, ECHO_BATCHABLE "fail_negative INVALID_ARGUMENT\nend\n", NULL);
        model->placement.runs_inline = inline_first != 0;
        static struct echo_call calls[5];
        for (size_t i = 0; i < 5; i++) {
            echo_call_init(&calls[i], model, 1, i == 3 ? -1.0F : (float)i);
            submit(&echo, &calls[i]);
        }
        echo_turn_until_released(&echo, calls, 5);
        expect_answered(calls, 3, STATUS_OK);
        expect_answered(&calls[3], 1, STATUS_INVALID_ARGUMENT);
        expect_answered(&calls[4], 1, STATUS_OK);
        struct statistics_snapshot values = numbers(&echo);
        EXPECT_INT(values.success.count, 4);
        EXPECT_INT(values.fail.count, 1);
        echo_stop(&echo);
    }
}

TEST(another_failure_fails_the_batch_once)
{
    struct echo echo;
    struct serve_model *model =
        start(&echo, &plain, 16, ECHO_BATCHABLE "fail_negative INTERNAL\nend\n", NULL);
    static struct echo_call calls[3];
    for (size_t i = 0; i < 3; i++) {
        echo_call_init(&calls[i], model, 1, i == 1 ? -1.0F : 1.0F);
        submit(&echo, &calls[i]);
    }
    echo_turn_until_released(&echo, calls, 3);
    expect_answered(calls, 3, STATUS_INTERNAL);
    echo_stop(&echo);
}

TEST(shapes_that_differ_do_not_mix)
{
    struct echo echo;
    struct serve_model *model =
        start(&echo, &plain, 16, "input x FP32 [-1,-1]\noutput y x\nend\n", NULL);
    model->model->settings.shapes_vary = true;
    static struct echo_call calls[6];
    for (size_t i = 0; i < 6; i++) {
        echo_call_init(&calls[i], model, 1, (float)i);
        if (i % 2) calls[i].dims[1] = 2, calls[i].input.byte_size = 2 * sizeof(float);
        submit(&echo, &calls[i]);
    }
    echo_turn_until_released(&echo, calls, 6);
    expect_answered(calls, 6, STATUS_OK);
    EXPECT_INT(numbers(&echo).execution_count, 2);
    echo_stop(&echo);
}

TEST(keys_that_collide_are_found_out)
{
    struct echo echo;
    struct serve_model *model =
        start(&echo, &patient, 16, "input x FP32 [-1,-1]\noutput y x\nend\n", NULL);
    model->placement.runs_inline = true; /* shapes_vary is off: all keys are 0 */
    static struct echo_call calls[4];
    for (size_t i = 0; i < 4; i++) {
        echo_call_init(&calls[i], model, 1, (float)i);
        if (i % 2) calls[i].dims[1] = 2, calls[i].input.byte_size = 2 * sizeof(float);
        submit(&echo, &calls[i]);
    }
    echo_turn_until_released(&echo, calls, 4);
    expect_answered(calls, 4, STATUS_OK);
    echo_stop(&echo);
}

TEST(runners_answer_and_batch_what_waited)
{
    struct echo echo;
    struct serve_model *model =
        start(&echo, &plain, 16, ECHO_BATCHABLE "delay_us 2000\nend\n", on_runner);
    EXPECT(model->instance == NULL);
    static struct echo_call calls[20];
    for (size_t i = 0; i < 20; i++) {
        echo_call_init(&calls[i], model, 1, (float)i * 10);
        submit(&echo, &calls[i]);
    }
    echo_turn_until_released(&echo, calls, 20);
    expect_answered(calls, 20, STATUS_OK);
    struct statistics_snapshot values = numbers(&echo);
    EXPECT_INT(values.execution_count, 2);
    EXPECT_INT(values.success.count, 20);
    EXPECT(values.compute_infer.ns >= 20 * 2 * NS_PER_MS);
    echo_stop(&echo);
}

static void with_delay(struct model_settings *settings)
{
    settings->placement.mode = PLACEMENT_RUNNER;
    settings->policy.delay_ns = 30 * NS_PER_MS;
}

static void with_long_delay(struct model_settings *settings)
{
    settings->placement.mode = PLACEMENT_RUNNER;
    settings->policy.delay_ns = 3600 * NS_PER_S;
}

TEST(a_batch_waits_for_company)
{
    struct echo echo;
    struct serve_model *model = start(&echo, &plain, 4, ECHO_BATCHABLE "end\n", with_long_delay);
    static struct echo_call calls[4];
    for (size_t i = 0; i < 4; i++) {
        echo_call_init(&calls[i], model, 1, (float)i * 10);
        submit(&echo, &calls[i]);
        loop_turn(echo.loop, 0);
    }
    echo_turn_until_released(&echo, calls, 4);
    expect_answered(calls, 4, STATUS_OK);
    EXPECT_INT(calls[0].batch_rows, 4);
    echo_stop(&echo);
}

TEST(a_batch_that_stays_small_waits_for_its_delay)
{
    struct echo echo;
    struct serve_model *model = start(&echo, &plain, 4, ECHO_BATCHABLE "end\n", with_delay);
    static struct echo_call calls[6];
    for (size_t i = 0; i < 6; i++) {
        echo_call_init(&calls[i], model, 1, (float)i * 10);
        submit(&echo, &calls[i]);
    }
    echo_turn_until_released(&echo, calls, 6);
    expect_answered(calls, 6, STATUS_OK);
    EXPECT_INT(calls[0].batch_rows, 4);
    EXPECT_INT(calls[5].batch_rows, 2);
    EXPECT(calls[5].times.compute_start_ns - calls[5].times.queued_ns >= 15 * NS_PER_MS);
    echo_stop(&echo);
}

TEST(it_moves_off_the_loop_when_slow_and_back_when_cheap)
{
    struct echo echo;
    struct serve_options options = {.lane_count = 1, .placement_dwell_ns = NS_PER_MS};
    struct serve_model *model =
        start(&echo, &options, 16, ECHO_BATCHABLE "delay_us 2000\nend\n", NULL);
    EXPECT(!model->placement.runs_inline); /* the warm-up saw it */
    static struct echo_call call;
    model->placement.runs_inline = true, model->placement.mean_ns = 1000; /* as if it was cheap */
    int turns = 0;
    for (; model->placement.runs_inline && turns < 30; turns++) {
        echo_call_init(&call, model, 1, 1);
        submit(&echo, &call);
        echo_turn_until_released(&echo, &call, 1);
    }
    EXPECT(turns < 10);
    EXPECT(!model->placement.runs_inline);
    EXPECT_INT(counter_get(&model->runs_inline), 0);
    echo_stop(&echo);

    options.inline_cost_max_ns = 20 * NS_PER_MS; /* also with a processor that is busy */
    model = start(&echo, &options, 16, ECHO_BATCHABLE "end\n", NULL);
    model->placement.runs_inline = false, model->placement.mean_ns = 80 * NS_PER_MS;
    for (turns = 0; !model->placement.runs_inline && turns < 200; turns++) {
        echo_call_init(&call, model, 1, 1);
        submit(&echo, &call);
        echo_turn_until_released(&echo, &call, 1);
        expect_answered(&call, 1, STATUS_OK);
    }
    EXPECT(model->placement.runs_inline);
    echo_stop(&echo);
}

TEST(queue_time_outs_fire_while_the_engine_is_busy)
{
    struct echo echo;
    struct serve_model *model = start_gated(&echo, &plain, 1, on_runner);
    static struct echo_call calls[3];
    for (size_t i = 0; i < 3; i++) echo_call_init(&calls[i], model, 1, (float)i);
    calls[1].call.timeout_us = 10000;
    calls[2].call.deadline_ns = clock_monotonic_ns() + 15 * NS_PER_MS;
    submit(&echo, &calls[0]);
    turn_until_running(&echo, model, 1);
    submit(&echo, &calls[1]);
    submit(&echo, &calls[2]);
    echo_turn_until_released(&echo, &calls[1], 2);
    EXPECT_INT(calls[0].done_count, 0); /* still running */
    EXPECT_STATUS(calls[1].status, STATUS_UNAVAILABLE, calls[1].error);
    EXPECT_TEXT(calls[1].error.message, "Request timeout expired");
    EXPECT_STATUS(calls[2].status, STATUS_DEADLINE_EXCEEDED, calls[2].error);
    gate_open();
    echo_turn_until_released(&echo, calls, 1);
    expect_answered(calls, 1, STATUS_OK);
    struct statistics_snapshot values = numbers(&echo);
    EXPECT_INT(values.rejected[STATISTICS_REJECTED_QUEUE_TIMEOUT], 1);
    EXPECT_INT(values.rejected[STATISTICS_REJECTED_DEADLINE], 1);
    EXPECT_INT(values.fail.count, 2);
    stop_gated(&echo);
}

TEST(a_deadline_answers_for_an_engine_that_is_late)
{
    struct echo echo;
    struct serve_model *model = start_gated(&echo, &plain, 4, on_runner);
    static struct echo_call calls[2];
    for (size_t i = 0; i < 2; i++) echo_call_init(&calls[i], model, 1, (float)i);
    /* The engine has both well before: the deadline is set when it does. */
    calls[0].call.deadline_ns = clock_monotonic_ns() + 3600 * NS_PER_S;
    submit(&echo, &calls[0]);
    submit(&echo, &calls[1]);
    turn_until_running(&echo, model, 1);
    calls[0].call.deadline_ns = clock_monotonic_ns() + 5 * NS_PER_MS;
    deadlines_set(&echo.lane->deadlines, &calls[0].call.deadline, calls[0].call.deadline_ns);
    REQUIRE(loop_timer_start(echo.loop, &echo.lane->timer, calls[0].call.deadline_ns));
    turn_until_done(&echo, &calls[0]);
    EXPECT_STATUS(calls[0].status, STATUS_DEADLINE_EXCEEDED, calls[0].error);
    EXPECT_INT(calls[0].released_count, 0); /* the engine still reads its memory */
    gate_open();
    echo_turn_until_released(&echo, calls, 2);
    EXPECT_INT(calls[0].done_count, 1);
    expect_answered(&calls[1], 1, STATUS_OK);
    stop_gated(&echo);
}

TEST(cancelled_calls_are_released_and_not_answered)
{
    struct echo echo;
    struct serve_model *model = start_gated(&echo, &plain, 1, on_runner);
    static struct echo_call calls[3];
    for (size_t i = 0; i < 3; i++) echo_call_init(&calls[i], model, 1, (float)i);
    submit(&echo, &calls[0]);
    submit(&echo, &calls[1]);
    serve_cancel(echo.lane, &calls[1].call); /* in the lane */
    EXPECT_INT(calls[1].released_count, 1);
    turn_until_running(&echo, model, 1);
    submit(&echo, &calls[2]);
    loop_turn(echo.loop, 0);
    serve_cancel(echo.lane, &calls[0].call); /* running */
    EXPECT_INT(calls[0].released_count, 0);
    serve_cancel(echo.lane, &calls[2].call); /* in the runner's queue */
    EXPECT_INT(calls[2].released_count, 1);
    gate_open();
    echo_turn_until_released(&echo, calls, 3);
    for (size_t i = 0; i < 3; i++) EXPECT_INT(calls[i].done_count, 0);
    EXPECT_INT(numbers(&echo).rejected[STATISTICS_REJECTED_CANCELLED], 3);
    EXPECT_INT(serve_in_flight(echo.serve), 0);
    stop_gated(&echo);
}

TEST(full_queues_and_drained_servers_refuse_at_once)
{
    struct echo echo;
    struct error err;
    struct serve_options options = {.lane_count = 1, .queue_size_max = 2};
    struct serve_model *model = start_gated(&echo, &options, 1, on_runner);
    static struct echo_call calls[6];
    for (size_t i = 0; i < 6; i++) echo_call_init(&calls[i], model, 1, (float)i);
    submit(&echo, &calls[0]);
    submit(&echo, &calls[1]);
    EXPECT_STATUS(serve_submit(echo.lane, &calls[2].call, &err), STATUS_UNAVAILABLE, err);
    EXPECT_TEXT(err.message, "Exceeds maximum queue size");
    turn_until_running(&echo, model, 1); /* one runs, one waits: one more fits */
    submit(&echo, &calls[3]);
    submit(&echo, &calls[4]);
    loop_turn(echo.loop, 0);
    EXPECT_INT(calls[3].done_count, 0);
    EXPECT(calls[4].done_count == 1 && calls[4].status == STATUS_UNAVAILABLE);
    serve_drain(echo.serve);
    EXPECT_STATUS(serve_submit(echo.lane, &calls[5].call, &err), STATUS_UNAVAILABLE, err);
    gate_open();
    echo_turn_until_released(&echo, calls, 2);
    expect_answered(calls, 2, STATUS_OK); /* accepted work is answered */
    echo_turn_until_released(&echo, &calls[3], 2);
    expect_answered(&calls[3], 1, STATUS_OK);
    EXPECT(serve_drain_wait(echo.serve, 0));
    stop_gated(&echo);
}

TEST(bytes_in_flight_are_bounded)
{
    struct echo echo;
    struct error err;
    struct serve_options options = patient;
    options.bytes_in_flight_max = 40;
    struct serve_model *model = start(&echo, &options, 8, ECHO_BATCHABLE "end\n", NULL);
    static struct echo_call calls[3];
    for (size_t i = 0; i < 3; i++) echo_call_init(&calls[i], model, 1, (float)i);
    submit(&echo, &calls[0]);
    submit(&echo, &calls[1]);
    EXPECT_STATUS(serve_submit(echo.lane, &calls[2].call, &err), STATUS_EXHAUSTED, err);
    loop_turn(echo.loop, 0);
    submit(&echo, &calls[2]);
    loop_turn(echo.loop, 0);
    expect_answered(calls, 3, STATUS_OK);
    echo_stop(&echo);
}

TEST(an_old_version_answers_what_it_accepted_then_goes)
{
    struct echo echo;
    struct error err;
    struct serve_model *model =
        start(&echo, &plain, 4, ECHO_BATCHABLE "delay_us 30000\nend\n", on_runner);
    static struct echo_call calls[2];
    echo_call_init(&calls[0], model, 1, 1);
    submit(&echo, &calls[0]);
    loop_turn(echo.loop, 0);
    struct model *newer = echo_model(&echo, "m", 2, 4, ECHO_BATCHABLE "end\n", NULL, &err);
    REQUIRE(newer != NULL);
    echo_publish(&echo, newer);
    struct serve_model *now = find(&echo, "m");
    EXPECT_STR(serve_model_version(now), STR("2"));
    echo_call_init(&calls[1], now, 1, 2);
    submit(&echo, &calls[1]);
    echo_turn_until_released(&echo, calls, 2);
    expect_answered(calls, 2, STATUS_OK);
    uint64_t end_ns = clock_monotonic_ns() + 5 * NS_PER_S;
    struct serve_totals totals;
    do {
        loop_turn(echo.loop, NS_PER_MS);
        serve_totals_read(echo.serve, &totals);
    } while (totals.unload_count == 0 && clock_monotonic_ns() < end_ns);
    EXPECT_INT(totals.unload_count, 1);
    echo_stop(&echo);
}

TEST(a_hung_engine_makes_its_model_not_ready)
{
    struct echo echo;
    struct serve_options options = {.lane_count = 1, .execution_limit_ns = 20 * NS_PER_MS};
    struct serve_model *model = start_gated(&echo, &options, 4, on_runner);
    EXPECT(serve_model_ready(echo.lane, STR("m"), STR("1")));
    static struct echo_call call;
    echo_call_init(&call, model, 1, 1);
    submit(&echo, &call);
    turn_until_running(&echo, model, 1);
    uint64_t end_ns = clock_monotonic_ns() + 20 * NS_PER_S;
    while (serve_model_ready(echo.lane, STR("m"), STR("1")) && clock_monotonic_ns() < end_ns)
        loop_turn(echo.loop, NS_PER_MS);
    EXPECT(!serve_model_ready(echo.lane, STR("m"), STR("1")));
    EXPECT_INT(call.done_count, 0);
    gate_open();
    echo_turn_until_released(&echo, &call, 1);
    EXPECT(serve_model_ready(echo.lane, STR("m"), STR("1")));
    stop_gated(&echo);
}

/* A second lane with a thread of its own. */
struct other_lane {
    struct loop *loop;
    struct serve_lane *lane;
    pthread_t thread;
    struct echo_call call;
};

static void *turn_once(void *context)
{
    struct other_lane *other = context;
    loop_turn(other->loop, 0);
    return NULL;
}

static void start_other_lane(struct echo *echo, struct other_lane *other)
{
    struct error err;
    EXPECT_STATUS(loop_new(&(struct loop_options){0}, &other->loop, &err), STATUS_OK, err);
    other->lane = serve_lane_new(echo->serve, other->loop);
    struct serve_model *model;
    EXPECT_STATUS(serve_find(other->lane, STR("m"), STR(""), &model, &err), STATUS_OK, err);
    EXPECT(model->placement.runs_inline);
    echo_call_init(&other->call, model, 1, -1);
    EXPECT_STATUS(serve_submit(other->lane, &other->call.call, &err), STATUS_OK, err);
    REQUIRE(pthread_create(&other->thread, NULL, turn_once, other) == 0);
    uint64_t end_ns = clock_monotonic_ns() + 20 * NS_PER_S;
    while (counter_get(&model->running_since_ns) == 0 && clock_monotonic_ns() < end_ns)
        (void)usleep(100);
    EXPECT(counter_get(&model->running_since_ns) != 0);
}

static void read_lanes(struct echo *echo, struct serve_lane_row lanes[2])
{
    struct serve_statistics statistics;
    serve_statistics_read(echo->serve, STR(""), STR(""), &statistics);
    REQUIRE(statistics.count == 1 && statistics.rows[0].lane_count == 2);
    memcpy(lanes, statistics.rows[0].lanes, 2 * sizeof *lanes);
    serve_statistics_clear(&statistics);
}

TEST(a_model_that_holds_one_lane_is_kept_from_the_next)
{
    struct echo echo;
    char text[512];
    struct serve_options options = {
        .lane_count = 2, .inline_cost_max_ns = NS_PER_S, .inline_stall_max_ns = 30 * NS_PER_MS};
    (void)snprintf(text, sizeof text, ECHO_BATCHABLE "hang_until %s\nhang_negative 1\nend\n",
                   gate_path());
    struct serve_model *model = start(&echo, &options, 4, text, NULL);
    static struct other_lane other;
    static struct echo_call call;
    start_other_lane(&echo, &other);
    (void)usleep(60 * 1000); /* longer than a stall */
    struct serve_lane_row lanes[2];
    read_lanes(&echo, lanes);
    EXPECT(lanes[1].stalled_ns > 30 * NS_PER_MS && lanes[0].stalled_ns == 0);
    echo_call_init(&call, model, 1, 1);
    submit(&echo, &call);
    echo_turn_until_released(&echo, &call, 1); /* by a runner, which this call does not hold */
    expect_answered(&call, 1, STATUS_OK);
    EXPECT(!model->placement.runs_inline);
    gate_open();
    pthread_join(other.thread, NULL);
    EXPECT_INT(other.call.released_count, 1);
    read_lanes(&echo, lanes);
    EXPECT(!lanes[0].runs_inline && !lanes[1].runs_inline);
    EXPECT(lanes[0].stalls == 0 && lanes[1].stalls == 1 && lanes[1].stalled_ns == 0);
    serve_lane_free(other.lane);
    loop_free(other.loop);
    stop_gated(&echo);
}

static void with_cache(struct model_settings *settings)
{
    settings->caches = true;
}

TEST(the_cache_answers_what_was_asked_before)
{
    struct echo echo;
    struct serve_model *model = start(&echo, &patient, 4, ECHO_BATCHABLE "end\n", with_cache);
    static struct echo_call calls[5];
    static const float firsts[] = {1, 2, 1, 1, 3};
    for (size_t i = 0; i < 5; i++) {
        echo_call_init(&calls[i], model, 1, firsts[i]);
        submit(&echo, &calls[i]);
        if (i == 3) serve_cancel(echo.lane, &calls[i].call);
        loop_turn(echo.loop, 0);
    }
    expect_answered(calls, 3, STATUS_OK);
    EXPECT_INT(calls[2].batch_rows, 0);
    EXPECT(calls[3].done_count == 0 && calls[3].released_count == 1);
    expect_answered(&calls[4], 1, STATUS_OK);
    struct statistics_snapshot values = numbers(&echo);
    EXPECT_INT(values.cache_hit.count, 1);
    EXPECT_INT(values.cache_miss.count, 3);
    EXPECT_INT(values.execution_count, 3);
    struct serve_totals totals;
    serve_totals_read(echo.serve, &totals);
    EXPECT_INT(totals.cache_entries, 3);
    EXPECT_INT(totals.cache_hits, 2);
    echo_stop(&echo);
}

/* --- outputs that stay ------------------------------------------------------------------------ */

/* What a holder keeps: the handle and where its elements lie. */
static struct {
    struct serve_outputs *handle;
    const void *data;
    size_t size;
} kept[8];
static size_t kept_count;

static void keep(struct serve_call *call, enum status status, const struct error *err)
{
    echo_done(call, status, err);
    if (status != STATUS_OK) return;
    kept[kept_count].handle = serve_outputs_hold(call);
    kept[kept_count].data = call->outputs[0].data;
    kept[kept_count++].size = (size_t)call->outputs[0].byte_size;
}

static void expect_kept(size_t index, const struct echo_call *call)
{
    EXPECT(kept[index].handle);
    EXPECT_INT(kept[index].size, call->input.byte_size);
    EXPECT(memcmp(kept[index].data, call->values, kept[index].size) == 0);
}

static void keep_a_batch(const char *text, int64_t batch_size_max)
{
    struct echo echo;
    struct serve_model *model = start(&echo, &plain, batch_size_max, text, NULL);
    static struct echo_call calls[4], others[4];
    kept_count = 0;
    for (size_t i = 0; i < 4; i++) {
        echo_call_init(&calls[i], model, batch_size_max ? 1 : 0, (float)i * 100);
        if (i != 2) calls[i].call.on_done = keep;
        submit(&echo, &calls[i]);
    }
    echo_turn_until_released(&echo, calls, 4);
    EXPECT_INT(kept_count, 3);
    /* The engine's next results lie elsewhere. */
    for (size_t i = 0; i < 4; i++) {
        echo_call_init(&others[i], model, batch_size_max ? 1 : 0, (float)i - 7);
        submit(&echo, &others[i]);
    }
    echo_turn_until_released(&echo, others, 4);
    EXPECT_INT(serve_in_flight(echo.serve), 0);
    static const size_t call_of_kept[] = {0, 1, 3};
    for (size_t i = 0; i < 3; i++) {
        for (size_t k = i; k < 3; k++) expect_kept(k, &calls[call_of_kept[k]]);
        serve_outputs_release(kept[i].handle);
    }
    EXPECT_INT(echo.lane->held_count, 0);
    EXPECT_INT(model->holds, 0);
    echo_stop(&echo);
}

TEST(outputs_of_a_batch_stay_with_their_holders)
{
    keep_a_batch(ECHO_BATCHABLE "end\n", 16);
}

TEST(outputs_of_single_calls_stay_with_their_holders)
{
    keep_a_batch(ECHO_SINGLE "end\n", 0);
}

TEST(outputs_from_a_runner_stay_with_their_holders)
{
    keep_a_batch(ECHO_BATCHABLE "delay_us 2000\nend\n", 16);
}

TEST(a_model_stays_loaded_while_its_outputs_are_held)
{
    struct echo echo;
    struct serve_totals totals;
    struct serve_model *model = start(&echo, &plain, 16, ECHO_BATCHABLE "end\n", NULL);
    static struct echo_call call;
    kept_count = 0;
    echo_call_init(&call, model, 1, 5);
    call.call.on_done = keep;
    submit(&echo, &call);
    echo_turn_until_released(&echo, &call, 1);
    echo_publish(&echo, NULL);
    for (int i = 0; i < 5; i++) loop_turn(echo.loop, NS_PER_MS);
    serve_totals_read(echo.serve, &totals);
    EXPECT_INT(totals.unload_count, 0);
    expect_kept(0, &call);
    serve_outputs_release(kept[0].handle);
    uint64_t end_ns = clock_monotonic_ns() + 20 * NS_PER_S;
    do {
        loop_turn(echo.loop, NS_PER_MS);
        serve_totals_read(echo.serve, &totals);
    } while (totals.unload_count == 0 && clock_monotonic_ns() < end_ns);
    EXPECT_INT(totals.unload_count, 1);
    echo_stop(&echo);
}
