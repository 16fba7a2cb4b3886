/*
 * Everything at once, from a printed seed: two lanes submit and cancel, with time-outs and
 * deadlines, while versions are published and unpublished. Each call is answered or cancelled
 * exactly once, released exactly once, and nothing is in flight at the end. Worth the most under
 * TSan and ASan.
 */
#include "echo.h"

#include <pthread.h>

enum { LANES = 2, CALLS = 64, ROUNDS = 400, RELOADS = 30 };

struct client {
    struct echo *echo;
    struct loop *loop;
    struct serve_lane *lane;
    pthread_t thread;
    struct prng prng;
    uint64_t submissions[2];          /* of the two models that keep the order */
    uint64_t answers[2][RELOADS + 2]; /* the submission answered last, by model and version */
    struct stress_call {
        struct echo_call echo;
        bool busy;
        bool cancelled;
        int order; /* which of the two, -1: none */
        uint64_t submission;
        int64_t version;
        struct client *client;
    } calls[CALLS];
    uint64_t submitted, refused, answered, cancelled, released;
};

/* Answers of a version that keeps the order come as the calls did; refusals when they may. */
static void expect_order(struct stress_call *stress)
{
    uint64_t *last = &stress->client->answers[stress->order][stress->version];
    EXPECT(stress->submission > *last);
    *last = stress->submission;
}

static void stress_done(struct serve_call *call, enum status status, const struct error *err)
{
    struct stress_call *stress =
        CONTAINER_OF(CONTAINER_OF(call, struct echo_call, call), struct stress_call, echo);
    echo_done(call, status, err);
    EXPECT(stress->busy && !stress->cancelled);
    EXPECT_INT(stress->echo.done_count, 1);
    if (status == STATUS_OK) EXPECT(stress->echo.matches);
    if (status == STATUS_OK && stress->order >= 0) expect_order(stress);
    bool negative = stress->echo.values[0] < 0;
    EXPECT(status == STATUS_OK || (status == STATUS_INVALID_ARGUMENT && negative) ||
           status == STATUS_UNAVAILABLE || status == STATUS_DEADLINE_EXCEEDED);
}

static void stress_released(struct serve_call *call)
{
    struct stress_call *stress =
        CONTAINER_OF(CONTAINER_OF(call, struct echo_call, call), struct stress_call, echo);
    echo_released(call);
    EXPECT(stress->busy);
    EXPECT_INT(stress->echo.released_count, 1);
    EXPECT_INT(stress->echo.done_count, stress->cancelled ? 0 : 1);
    stress->busy = false;
    memset(stress->echo.values, 0xAA, sizeof stress->echo.values); /* the memory is ours again */
}

static void submit_one(struct client *client, struct stress_call *stress)
{
    struct error err;
    struct serve_model *model;
    static const char *const names[] = {"fast", "slow", "alike", "ordered", "both"};
    size_t which = (size_t)prng_below(&client->prng, COUNT_OF(names));
    const char *name = names[which];
    if (serve_find(client->lane, str_of(name), STR(""), &model, &err) != STATUS_OK) return;
    int64_t rows = 1 + (int64_t)prng_below(&client->prng, 3);
    float first = (float)prng_below(&client->prng, 1000);
    if (prng_below(&client->prng, 40) == 0) first = -5;
    if (which == 2 || which == 4) first = (float)((int)first % 10), rows = 1; /* often the same */
    echo_call_init(&stress->echo, model, rows, first);
    stress->echo.call.on_done = stress_done;
    stress->echo.call.on_release = stress_released;
    if (prng_below(&client->prng, 4) == 0)
        stress->echo.call.timeout_us = 1 + prng_below(&client->prng, 3000);
    if (prng_below(&client->prng, 4) == 0)
        stress->echo.call.deadline_ns = clock_monotonic_ns() + prng_below(&client->prng, 3000000);
    stress->busy = true;
    stress->client = client;
    stress->order = which >= 3 ? (int)which - 3 : -1;
    if (which >= 3) stress->submission = ++client->submissions[which - 3];
    stress->version = model->model->version;
    stress->cancelled = false;
    client->submitted++;
    if (serve_submit(client->lane, &stress->echo.call, &err) == STATUS_OK) return;
    stress->busy = false;
    client->refused++;
}

static void cancel_one(struct client *client, struct stress_call *stress)
{
    if (stress->echo.done_count > 0 || stress->cancelled) return;
    stress->cancelled = true;
    client->cancelled++;
    serve_cancel(client->lane, &stress->echo.call);
}

static void *client_main(void *context)
{
    struct client *client = context;
    for (int round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < CALLS; i++) {
            struct stress_call *stress = &client->calls[i];
            if (!stress->busy && prng_below(&client->prng, 2)) submit_one(client, stress);
            if (stress->busy && prng_below(&client->prng, 20) == 0) cancel_one(client, stress);
        }
        loop_turn(client->loop, prng_below(&client->prng, 3) * 200 * NS_PER_US);
    }
    uint64_t end_ns = clock_monotonic_ns() + 30 * NS_PER_S;
    bool busy = true;
    while (busy && clock_monotonic_ns() < end_ns) {
        loop_turn(client->loop, NS_PER_MS);
        busy = false;
        for (size_t i = 0; i < CALLS; i++) busy |= client->calls[i].busy;
    }
    EXPECT(!busy);
    return NULL;
}

static void alike(struct model_settings *settings)
{
    settings->caches = true;
}

static void ordered(struct model_settings *settings)
{
    settings->keeps_order = true;
    settings->instance_count = 3;
}

static void both(struct model_settings *settings)
{
    alike(settings);
    ordered(settings);
}

static struct model *load(struct echo *echo, const char *name, int64_t version, const char *text,
                          echo_settings_function *change)
{
    struct error err;
    struct model *model = echo_model(echo, name, version, 8, text, change, &err);
    if (!model) test_failed(__FILE__, __LINE__, "%s", err.message);
    return model;
}

/* All names at growing versions, sometimes one of them missing. */
static void reload(struct echo *echo, struct prng *prng, int64_t version)
{
    static const struct {
        const char *name;
        const char *text;
        echo_settings_function *change;
    } kinds[] = {
        {"fast", ECHO_BATCHABLE "fail_negative INVALID_ARGUMENT\nend\n", NULL},
        {"slow", ECHO_BATCHABLE "fail_negative INVALID_ARGUMENT\ndelay_us 1500\nend\n", NULL},
        {"alike", ECHO_BATCHABLE "fail_negative INVALID_ARGUMENT\ndelay_us 500\nend\n", alike},
        {"ordered", ECHO_BATCHABLE "fail_negative INVALID_ARGUMENT\ndelay_us 300\nend\n", ordered},
        {"both", ECHO_BATCHABLE "fail_negative INVALID_ARGUMENT\nspin_us 60\nend\n", both},
    };
    struct model *models[COUNT_OF(kinds)];
    size_t count = 0;
    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        if (prng_below(prng, 8))
            models[count++] = load(echo, kinds[i].name, version, kinds[i].text, kinds[i].change);
    serve_publish(echo->serve, models, count, NULL, 0);
    for (size_t i = 0; i < count; i++) model_unref(models[i]);
}

static void start_client(struct echo *echo, struct client *client, uint64_t seed)
{
    struct error err;
    memset(client, 0, sizeof *client);
    client->echo = echo;
    prng_seed(&client->prng, seed);
    EXPECT_STATUS(loop_new(&(struct loop_options){0}, &client->loop, &err), STATUS_OK, err);
    client->lane = serve_lane_new(echo->serve, client->loop);
}

TEST(each_call_is_answered_once_whatever_happens)
{
    static struct client clients[LANES];
    struct echo echo;
    struct error err;
    struct prng prng;
    prng_seed(&prng, test_seed());
    struct serve_options options = {.lane_count = LANES,
                                    .queue_size_max = 60,
                                    .placement_dwell_ns = NS_PER_MS,
                                    .cache_size_max =
                                        64 << 10 /* small: answers are dropped as well */};
    echo.registry = engine_registry_new(ENGINE_DIRECTORY);
    options.engines = echo.registry;
    EXPECT_STATUS(serve_core_new(&options, &echo.serve, &err), STATUS_OK, err);
    reload(&echo, &prng, 1);
    for (size_t i = 0; i < LANES; i++) start_client(&echo, &clients[i], prng_u64(&prng));
    for (size_t i = 0; i < LANES; i++)
        pthread_create(&clients[i].thread, NULL, client_main, &clients[i]);
    for (int64_t version = 2; version < 2 + RELOADS; version++) {
        reload(&echo, &prng, version);
        struct serve_statistics statistics; /* any thread, at any time */
        serve_statistics_read(echo.serve, STR(""), STR(""), &statistics);
        serve_statistics_clear(&statistics);
        (void)usleep(5000);
    }
    for (size_t i = 0; i < LANES; i++) pthread_join(clients[i].thread, NULL);
    EXPECT_INT(serve_in_flight(echo.serve), 0);
    serve_publish(echo.serve, NULL, 0, NULL, 0);
    for (size_t i = 0; i < LANES; i++) {
        EXPECT(clients[i].submitted > 1000);
        loop_turn(clients[i].loop, 0);
        serve_lane_free(clients[i].lane);
        loop_free(clients[i].loop);
    }
    serve_core_free(echo.serve);
    engine_registry_free(echo.registry);
}
