#include "loop/pool.c"
#include "test.h"

enum { JOBS = 200 };

struct counted_job {
    struct pool_job job;
    int input;
    int result;
};

static struct loop *loop;
static int done_count, sum;
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static void square(struct pool_job *job)
{
    struct counted_job *counted = CONTAINER_OF(job, struct counted_job, job);
    (void)pthread_mutex_lock(&gate); /* closed while a test wants the queue to fill up */
    (void)pthread_mutex_unlock(&gate);
    counted->result = counted->input * counted->input;
}

static void collect(struct pool_job *job)
{
    sum += CONTAINER_OF(job, struct counted_job, job)->result;
    done_count++;
}

static void prepare(struct counted_job *job, int input)
{
    *job =
        (struct counted_job){.job = {.run = square, .done = collect, .loop = loop}, .input = input};
}

TEST(jobs_run_and_come_back)
{
    struct error err;
    struct pool *pool = NULL;
    static struct counted_job jobs[JOBS];
    EXPECT_STATUS(loop_new(&(struct loop_options){0}, &loop, &err), STATUS_OK, err);
    EXPECT_STATUS(pool_new(3, JOBS, &pool, &err), STATUS_OK, err);
    int expected = 0;
    done_count = sum = 0;
    for (int i = 0; i < JOBS; i++) {
        prepare(&jobs[i], i);
        expected += i * i;
        EXPECT_STATUS(pool_submit(pool, &jobs[i].job, &err), STATUS_OK, err);
    }
    for (int turns = 0; done_count < JOBS && turns < 100000; turns++) loop_turn(loop, NS_PER_S);
    EXPECT_INT(sum, expected);
    pool_free(pool);
    loop_free(loop);
}

TEST(a_full_queue_refuses_and_waiting_jobs_can_be_cancelled)
{
    struct error err;
    struct pool *pool = NULL;
    static struct counted_job jobs[8];
    EXPECT_STATUS(loop_new(&(struct loop_options){0}, &loop, &err), STATUS_OK, err);
    EXPECT_STATUS(pool_new(1, 2, &pool, &err), STATUS_OK, err);
    done_count = sum = 0;
    int accepted = 0, cancelled = 0;
    (void)pthread_mutex_lock(&gate);
    for (int i = 0; i < 8; i++) {
        prepare(&jobs[i], 1);
        if (pool_submit(pool, &jobs[i].job, &err) != STATUS_OK) {
            EXPECT_INT(err.status, STATUS_EXHAUSTED);
            break;
        }
        accepted++;
    }
    /* Two wait; a third may be with the worker. */
    EXPECT(accepted == 2 || accepted == 3);
    EXPECT(pool_cancel(pool, &jobs[accepted - 1].job));
    cancelled++;
    EXPECT(!pool_cancel(pool, &jobs[accepted - 1].job));
    (void)pthread_mutex_unlock(&gate);
    pool_free(pool); /* what waits still runs */
    loop_turn(loop, 0);
    EXPECT_INT(done_count, accepted - cancelled);
    loop_free(loop);
}
