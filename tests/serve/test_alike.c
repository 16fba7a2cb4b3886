/* Calls that ask the same and calls whose answers keep an order: flight.c and order.c in a lane. */
#include "lane_harness.h"

static inline void cached(struct model_settings *settings)
{
    settings->caches = true;
}

static inline void cached_on_runner(struct model_settings *settings)
{
    settings->caches = true;
    settings->placement.mode = PLACEMENT_RUNNER;
}

static const struct serve_options with_cache = {.lane_count = 1, .cache_size_max = 1 << 20};

static void submit_same(struct echo *echo, struct serve_model *model, struct echo_call *calls,
                        size_t count)
{
    for (size_t i = 0; i < count; i++) {
        echo_call_init(&calls[i], model, 1, 7);
        submit(echo, &calls[i]);
    }
}

/* --- single flight ---------------------------------------------------------------------------- */

TEST(calls_that_ask_the_same_run_once)
{
    struct echo echo;
    struct serve_model *model = start(&echo, &patient, 16, ECHO_BATCHABLE "end\n", cached);
    static struct echo_call calls[5], other;
    submit_same(&echo, model, calls, 5);
    echo_call_init(&other, model, 1, 8);
    submit(&echo, &other);
    EXPECT_INT(serve_in_flight(echo.serve), 6);
    loop_turn(echo.loop, 0);
    expect_answered(calls, 5, STATUS_OK);
    expect_answered(&other, 1, STATUS_OK);
    struct statistics_snapshot values = numbers(&echo);
    EXPECT_INT(values.execution_count, 1);
    EXPECT_INT(values.inference_count, 2); /* the leader's row and the other's */
    EXPECT_INT(values.cache_hit.count, 4);
    EXPECT_INT(values.cache_miss.count, 2);
    EXPECT_INT(values.success.count, 6);
    EXPECT_INT(calls[4].batch_rows, 2);
    echo_stop(&echo);
}

TEST(followers_come_while_the_leader_runs)
{
    struct echo echo;
    struct serve_model *model = start_gated(&echo, &with_cache, 1, cached_on_runner);
    static struct echo_call calls[6];
    submit_same(&echo, model, calls, 1);
    turn_until_running(&echo, model, 1);
    submit_same(&echo, model, &calls[1], 5);
    loop_turn(echo.loop, 0);
    EXPECT_INT(runners_waiting(model->model->runners), 0);
    gate_open();
    echo_turn_until_released(&echo, calls, 6);
    expect_answered(calls, 6, STATUS_OK);
    EXPECT_INT(numbers(&echo).execution_count, 1);
    EXPECT_INT(echo.lane->flights.count, 0);
    stop_gated(&echo);
}

TEST(a_leader_that_is_cancelled_in_the_queue_is_replaced)
{
    struct echo echo;
    struct serve_model *model = start(&echo, &patient, 16, ECHO_BATCHABLE "end\n", cached);
    static struct echo_call calls[4];
    submit_same(&echo, model, calls, 4);
    serve_cancel(echo.lane, &calls[0].call);
    EXPECT_INT(calls[0].released_count, 1);
    for (size_t i = 1; i < 4; i++) EXPECT_INT(calls[i].done_count, 0); /* not from inside */
    serve_cancel(echo.lane, &calls[2].call); /* without a leader just now */
    EXPECT_INT(calls[2].released_count, 1);
    echo_turn_until_released(&echo, calls, 4);
    expect_answered(&calls[1], 1, STATUS_OK);
    expect_answered(&calls[3], 1, STATUS_OK);
    EXPECT_INT(numbers(&echo).inference_count, 1);
    echo_stop(&echo);
}

TEST(a_leader_that_is_cancelled_while_it_runs_still_answers)
{
    struct echo echo;
    struct serve_model *model = start_gated(&echo, &with_cache, 1, cached_on_runner);
    static struct echo_call calls[4];
    submit_same(&echo, model, calls, 4);
    turn_until_running(&echo, model, 1);
    serve_cancel(echo.lane, &calls[0].call);
    EXPECT_INT(calls[0].released_count, 0);
    serve_cancel(echo.lane, &calls[2].call);
    EXPECT_INT(calls[2].released_count, 1);
    gate_open();
    echo_turn_until_released(&echo, calls, 4);
    EXPECT_INT(calls[0].done_count + calls[2].done_count, 0);
    expect_answered(&calls[1], 1, STATUS_OK);
    expect_answered(&calls[3], 1, STATUS_OK);
    EXPECT_INT(numbers(&echo).execution_count, 1);
    struct echo_call again; /* what was done for nobody is kept */
    submit_same(&echo, model, &again, 1);
    echo_turn_until_released(&echo, &again, 1);
    EXPECT_INT(numbers(&echo).execution_count, 1);
    stop_gated(&echo);
}

TEST(followers_of_a_leader_that_fails_run_for_themselves)
{
    struct echo echo;
    struct serve_model *model = start(
        &echo, &patient, 4, ECHO_BATCHABLE "fail_negative INTERNAL\nfail_every 7 ABORTED\nend\n",
        cached); /* six runs are the warm-up's: its instance's and the runner's */
    static struct echo_call calls[4];
    submit_same(&echo, model, calls, 4);
    echo_turn_until_released(&echo, calls, 4);
    expect_answered(calls, 1, STATUS_ABORTED);
    expect_answered(&calls[1], 3, STATUS_OK);
    struct statistics_snapshot values = numbers(&echo);
    EXPECT_INT(values.inference_count, 3); /* in one batch, each with a row of its own */
    EXPECT_INT(values.success.count, 3);
    EXPECT_INT(values.fail.count, 1);
    for (size_t i = 0; i < 4; i++) {
        echo_call_init(&calls[i], model, 1, -1);
        submit(&echo, &calls[i]);
    }
    echo_turn_until_released(&echo, calls, 4); /* the same failure for all, each once */
    expect_answered(calls, 4, STATUS_INTERNAL);
    EXPECT_INT(echo.lane->flights.count, 0);
    echo_stop(&echo);
}

TEST(followers_keep_their_own_limits)
{
    struct echo echo;
    struct serve_model *model = start_gated(&echo, &with_cache, 1, cached_on_runner);
    static struct echo_call blocker, calls[3];
    echo_call_init(&blocker, model, 1, 1);
    submit(&echo, &blocker);
    turn_until_running(&echo, model, 1);
    for (size_t i = 0; i < 3; i++) echo_call_init(&calls[i], model, 1, 7);
    calls[1].call.timeout_us = 1000;
    calls[2].call.deadline_ns = clock_monotonic_ns() + 2 * NS_PER_MS;
    for (size_t i = 0; i < 3; i++) submit(&echo, &calls[i]);
    echo_turn_until_released(&echo, &calls[1], 2); /* the leader waits, and they with it */
    EXPECT_STATUS(calls[1].status, STATUS_UNAVAILABLE, calls[1].error);
    EXPECT_STATUS(calls[2].status, STATUS_DEADLINE_EXCEEDED, calls[2].error);
    gate_open();
    echo_turn_until_released(&echo, calls, 1);
    expect_answered(calls, 1, STATUS_OK);
    stop_gated(&echo);
}

TEST(a_queue_time_out_spares_who_follows_a_running_call)
{
    struct echo echo;
    struct serve_model *model = start_gated(&echo, &with_cache, 1, cached_on_runner);
    static struct echo_call calls[2];
    submit_same(&echo, model, calls, 1);
    turn_until_running(&echo, model, 1);
    echo_call_init(&calls[1], model, 1, 7);
    calls[1].call.timeout_us = 1;
    submit(&echo, &calls[1]);
    for (int i = 0; i < 20; i++) loop_turn(echo.loop, NS_PER_MS);
    EXPECT_INT(calls[1].done_count, 0); /* an engine has what it asked for */
    gate_open();
    echo_turn_until_released(&echo, calls, 2);
    expect_answered(calls, 2, STATUS_OK);
    stop_gated(&echo);
}

TEST(a_leader_that_is_late_leaves_its_followers_waiting)
{
    struct echo echo;
    struct serve_model *model = start_gated(&echo, &with_cache, 1, cached_on_runner);
    static struct echo_call blocker, calls[3];
    echo_call_init(&blocker, model, 1, 1);
    submit(&echo, &blocker);
    turn_until_running(&echo, model, 1);
    for (size_t i = 0; i < 3; i++) echo_call_init(&calls[i], model, 1, 7);
    calls[0].call.timeout_us = 1000;
    for (size_t i = 0; i < 3; i++) submit(&echo, &calls[i]);
    echo_turn_until_released(&echo, calls, 1);
    EXPECT_STATUS(calls[0].status, STATUS_UNAVAILABLE, calls[0].error);
    for (int i = 0; i < 5; i++) loop_turn(echo.loop, NS_PER_MS);
    EXPECT_INT(calls[1].done_count + calls[2].done_count, 0);
    EXPECT_INT(runners_waiting(model->model->runners), 1);
    gate_open();
    echo_turn_until_released(&echo, calls, 3);
    expect_answered(&calls[1], 2, STATUS_OK);
    EXPECT_INT(numbers(&echo).execution_count, 2);
    stop_gated(&echo);
}

static inline void with_two_levels(struct model_settings *settings)
{
    settings->caches = true;
    settings->placement.mode = PLACEMENT_RUNNER;
    settings->policy.level_count = 2;
    settings->policy.level_default = 1;
}

TEST(nobody_follows_a_call_that_is_less_urgent)
{
    struct echo echo;
    struct serve_model *model = start_gated(&echo, &with_cache, 1, with_two_levels);
    static struct echo_call blocker, calls[3];
    echo_call_init(&blocker, model, 1, 1);
    submit(&echo, &blocker);
    turn_until_running(&echo, model, 1);
    for (size_t i = 0; i < 3; i++) {
        echo_call_init(&calls[i], model, 1, 7);
        calls[i].call.priority = i == 1 ? 1 : 2;
        submit(&echo, &calls[i]);
        loop_turn(echo.loop, 0);
    }
    EXPECT_INT(runners_waiting(model->model->runners), 2); /* the first and the urgent one */
    gate_open();
    echo_turn_until_released(&echo, calls, 3);
    expect_answered(calls, 3, STATUS_OK);
    stop_gated(&echo);
}

TEST(followers_of_one_leader_are_bounded)
{
    enum { COUNT = FLIGHT_FOLLOWERS_MAX + 3 };
    struct echo echo;
    struct serve_model *model = start_gated(&echo, &with_cache, 8, cached_on_runner);
    struct echo_call *calls = MEM_NEW_ARRAY(struct echo_call, COUNT);
    submit_same(&echo, model, calls, 1);
    turn_until_running(&echo, model, 1);
    submit_same(&echo, model, &calls[1], COUNT - 1);
    loop_turn(echo.loop, 0);
    EXPECT_INT(runners_waiting(model->model->runners), 2);
    gate_open();
    echo_turn_until_released(&echo, calls, COUNT);
    expect_answered(calls, COUNT, STATUS_OK);
    stop_gated(&echo);
    mem_free(calls);
}

TEST(a_full_queue_refuses_the_leader_alone)
{
    struct echo echo;
    struct error err;
    struct serve_options options = with_cache;
    options.queue_size_max = 1;
    struct serve_model *model = start_gated(&echo, &options, 1, cached_on_runner);
    static struct echo_call calls[4];
    submit_same(&echo, model, calls, 2); /* the second follows: it takes no place */
    echo_call_init(&calls[2], model, 1, 8);
    EXPECT_STATUS(serve_submit(echo.lane, &calls[2].call, &err), STATUS_UNAVAILABLE, err);
    EXPECT_INT(echo.lane->flights.count, 1);
    turn_until_running(&echo, model, 1);
    echo_call_init(&calls[3], model, 1, 8);
    submit(&echo, &calls[3]);
    gate_open();
    echo_turn_until_released(&echo, calls, 2);
    echo_turn_until_released(&echo, &calls[3], 1);
    expect_answered(calls, 2, STATUS_OK);
    expect_answered(&calls[3], 1, STATUS_OK);
    stop_gated(&echo);
}

/* --- the order of answers --------------------------------------------------------------------- */

static struct echo_call *answered[16];
static size_t answered_count;
static struct serve_outputs *held_back;

static void note(struct serve_call *call, enum status status, const struct error *err)
{
    echo_done(call, status, err);
    answered[answered_count++] = CONTAINER_OF(call, struct echo_call, call);
}

static void note_and_hold(struct serve_call *call, enum status status, const struct error *err)
{
    note(call, status, err);
    held_back = serve_outputs_hold(call);
}

static void submit_noted(struct echo *echo, struct serve_model *model, struct echo_call *call,
                         float first)
{
    echo_call_init(call, model, 1, first);
    call->call.on_done = note;
    submit(echo, call);
}

static void expect_order(const struct echo_call *calls, const size_t *order, size_t count)
{
    EXPECT_INT(answered_count, count);
    for (size_t i = 0; i < count; i++) EXPECT_INT(answered[i] - calls, order[i]);
}

#define ORDER(...)                                                                                 \
    (const size_t[]){__VA_ARGS__}, sizeof((const size_t[]){__VA_ARGS__}) / sizeof(size_t)

static inline void in_order(struct model_settings *settings)
{
    settings->keeps_order = true;
}

static inline void in_order_on_three(struct model_settings *settings)
{
    settings->keeps_order = true;
    settings->caches = true;
    settings->placement.mode = PLACEMENT_RUNNER;
    settings->instance_count = 3;
}

/* A model that hangs with a negative number, answers all else at once, and keeps the order. */
static struct serve_model *start_in_order(struct echo *echo, const struct serve_options *options)
{
    char text[512];
    (void)snprintf(text, sizeof text, ECHO_BATCHABLE "hang_until %s\nhang_negative 1\nend\n",
                   gate_path());
    answered_count = 0;
    return start(echo, options, 1, text, in_order_on_three);
}

/* Turns until `count` calls are parked. */
static void turn_until_parked(struct echo *echo, const struct echo_call *calls, size_t count)
{
    uint64_t end_ns = clock_monotonic_ns() + 20 * NS_PER_S;
    for (size_t parked = 0; parked < count && clock_monotonic_ns() < end_ns;) {
        loop_turn(echo->loop, NS_PER_MS);
        parked = 0;
        for (size_t i = 0; i < count; i++) parked += calls[i].call.parked != NULL;
    }
    for (size_t i = 0; i < count; i++) EXPECT(calls[i].call.parked != NULL);
}

TEST(answers_wait_for_those_of_earlier_calls)
{
    struct echo echo;
    struct serve_model *model = start_in_order(&echo, &with_cache);
    static struct echo_call calls[5];
    submit_noted(&echo, model, &calls[0], 5);
    echo_turn_until_released(&echo, calls, 1);
    answered_count = 0;
    submit_noted(&echo, model, &calls[0], -7); /* hangs */
    submit_noted(&echo, model, &calls[1], 1);  /* runs beside it */
    submit_noted(&echo, model, &calls[2], 5);  /* is in the cache */
    submit_noted(&echo, model, &calls[3], 2);
    submit_noted(&echo, model, &calls[4], 2); /* follows */
    turn_until_parked(&echo, &calls[1], 4);
    EXPECT_INT(answered_count, 0);
    EXPECT_INT(serve_in_flight(echo.serve), 5);
    gate_open();
    echo_turn_until_released(&echo, calls, 5);
    expect_answered(calls, 5, STATUS_OK);
    expect_order(calls, ORDER(0, 1, 2, 3, 4));
    struct statistics_snapshot values = numbers(&echo);
    EXPECT_INT(values.success.count, 6);
    EXPECT_INT(values.cache_hit.count, 2);
    EXPECT_INT(values.in_flight, 0);
    EXPECT_INT(model->ordered_count, 0);
    stop_gated(&echo);
}

TEST(who_is_gone_holds_nobody_up)
{
    struct echo echo;
    struct serve_model *model = start_in_order(&echo, &with_cache);
    static struct echo_call calls[4];
    submit_noted(&echo, model, &calls[0], -7);
    for (size_t i = 1; i < 4; i++) submit_noted(&echo, model, &calls[i], (float)i);
    turn_until_parked(&echo, &calls[1], 3);
    serve_cancel(echo.lane, &calls[2].call); /* while its answer is parked */
    EXPECT_INT(calls[2].released_count, 1);
    serve_cancel(echo.lane, &calls[0].call); /* its client is gone, its engine hangs */
    EXPECT_INT(answered_count, 0);           /* not from inside */
    echo_turn_until_released(&echo, &calls[1], 3);
    expect_order(calls, ORDER(1, 3));
    EXPECT_INT(calls[0].released_count, 0);
    gate_open();
    echo_turn_until_released(&echo, calls, 1);
    EXPECT_INT(calls[0].done_count, 0);
    stop_gated(&echo);
}

TEST(a_deadline_ends_the_wait_for_an_earlier_answer)
{
    struct echo echo;
    struct serve_model *model = start_in_order(&echo, &with_cache);
    static struct echo_call calls[4];
    submit_noted(&echo, model, &calls[0], -7);
    for (size_t i = 1; i < 4; i++) {
        echo_call_init(&calls[i], model, 1, (float)i);
        calls[i].call.on_done = note;
        if (i == 2) calls[i].call.deadline_ns = clock_monotonic_ns() + 20 * NS_PER_MS;
        submit(&echo, &calls[i]);
    }
    echo_turn_until_released(&echo, &calls[2], 1);
    EXPECT_STATUS(calls[2].status, STATUS_DEADLINE_EXCEEDED, calls[2].error);
    gate_open();
    echo_turn_until_released(&echo, calls, 4);
    expect_order(calls, ORDER(2, 0, 1, 3));
    stop_gated(&echo);
}

TEST(batches_of_shapes_are_answered_in_order)
{
    struct echo echo;
    answered_count = 0;
    struct serve_model *model =
        start(&echo, &patient, 16, "input x FP32 [-1,-1]\noutput y x\nend\n", in_order);
    model->model->settings.shapes_vary = true;
    static struct echo_call calls[6];
    for (size_t i = 0; i < 6; i++) {
        echo_call_init(&calls[i], model, 1, (float)i * 100);
        calls[i].call.on_done = i == 4 ? note_and_hold : note;
        if (i % 2) calls[i].dims[1] = 2, calls[i].input.byte_size = 2 * sizeof(float);
        submit(&echo, &calls[i]);
    }
    held_back = NULL;
    echo_turn_until_released(&echo, calls, 6);
    expect_answered(calls, 6, STATUS_OK); /* also that each got its own rows */
    expect_order(calls, ORDER(0, 1, 2, 3, 4, 5));
    EXPECT_INT(numbers(&echo).execution_count, 2);
    REQUIRE(held_back != NULL);
    serve_outputs_release(held_back);
    EXPECT_INT(echo.lane->held_count, 0);
    echo_stop(&echo);
}

TEST(single_calls_and_failures_are_answered_in_order)
{
    struct echo echo;
    answered_count = 0;
    struct serve_model *model = start(
        &echo, &patient, 16, ECHO_BATCHABLE "fail_negative INVALID_ARGUMENT\nend\n", in_order);
    static struct echo_call calls[8];
    for (size_t i = 0; i < 8; i++)
        submit_noted(&echo, model, &calls[i], i % 3 == 1 ? -5.0F : (float)i);
    echo_turn_until_released(&echo, calls, 8);
    expect_order(calls, ORDER(0, 1, 2, 3, 4, 5, 6, 7));
    for (size_t i = 0; i < 8; i++)
        expect_answered(&calls[i], 1, i % 3 == 1 ? STATUS_INVALID_ARGUMENT : STATUS_OK);
    echo_stop(&echo);
}

TEST(calls_under_way_in_order_are_bounded)
{
    struct echo echo;
    struct error err;
    struct serve_options options = with_cache;
    options.queue_size_max = 3;
    struct serve_model *model = start_in_order(&echo, &options);
    static struct echo_call calls[4];
    submit_noted(&echo, model, &calls[0], -7);
    submit_noted(&echo, model, &calls[1], 1);
    submit_noted(&echo, model, &calls[2], 2);
    turn_until_parked(&echo, &calls[1], 2);
    echo_call_init(&calls[3], model, 1, 3);
    EXPECT_STATUS(serve_submit(echo.lane, &calls[3].call, &err), STATUS_UNAVAILABLE, err);
    EXPECT_TEXT(err.message, "Exceeds maximum queue size");
    gate_open();
    echo_turn_until_released(&echo, calls, 3);
    expect_order(calls, ORDER(0, 1, 2));
    stop_gated(&echo);
}

/* --- a model that goes ------------------------------------------------------------------------ */

TEST(a_model_that_goes_while_it_is_listed_is_forgotten)
{
    struct echo echo;
    struct serve_options options = patient;
    options.inline_turn_max_ns = 1; /* one batch a turn: the rest is left over */
    struct serve_model *model = start(&echo, &options, 1, ECHO_BATCHABLE "end\n", NULL);
    static struct echo_call calls[2];
    for (size_t i = 0; i < 2; i++) {
        echo_call_init(&calls[i], model, 1, (float)i);
        submit(&echo, &calls[i]);
    }
    echo_publish(&echo, NULL); /* in no plan any more, but one call is left on the list */
    loop_turn(echo.loop, 0);
    EXPECT_INT(calls[0].released_count, 1);
    EXPECT_INT(calls[1].released_count, 0);
    serve_cancel(echo.lane, &calls[1].call); /* the last that held it */
    EXPECT_INT(calls[1].released_count, 1);
    struct serve_totals totals;
    uint64_t end_ns = clock_monotonic_ns() + 20 * NS_PER_S;
    do {
        serve_totals_read(echo.serve, &totals);
        (void)usleep(1000);
    } while (totals.unload_count == 0 && clock_monotonic_ns() < end_ns);
    EXPECT_INT(totals.unload_count, 1);
    loop_turn(echo.loop, 0);
    echo_stop(&echo);
}
