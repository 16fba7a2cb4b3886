/* Workers around one queue, one lock, one condition. */
#include "loop/pool.h"

#include "base/mem.h"
#include "loop/loop.h"

#include <pthread.h>

struct pool {
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct list waiting;
    size_t waiting_count;
    size_t queue_size_max;
    bool ending;
    uint32_t thread_count;
    pthread_t threads[];
};

static void deliver(struct mail *mail)
{
    struct pool_job *job = CONTAINER_OF(mail, struct pool_job, mail);
    job->done(job);
}

/* The next job; NULL if the pool ends and nothing waits any more. */
static struct pool_job *wait_for_job(struct pool *pool)
{
    (void)pthread_mutex_lock(&pool->lock);
    while (list_is_empty(&pool->waiting) && !pool->ending)
        (void)pthread_cond_wait(&pool->work, &pool->lock);
    struct list *link = list_take_first(&pool->waiting);
    if (link) pool->waiting_count--;
    (void)pthread_mutex_unlock(&pool->lock);
    return link ? CONTAINER_OF(link, struct pool_job, link) : NULL;
}

static void *work(void *pool)
{
    for (struct pool_job *job; (job = wait_for_job(pool)) != NULL;) {
        bool wanted = job->done != NULL; /* if not, the job may be gone after it ran */
        job->run(job);
        if (wanted) loop_post(job->loop, &job->mail);
    }
    return NULL;
}

enum status pool_new(uint32_t thread_count, size_t queue_size_max, struct pool **ret_pool,
                     struct error *err)
{
    assert(thread_count >= 1 && thread_count <= POOL_THREADS_MAX && queue_size_max > 0);
    struct pool *pool = mem_new_zeroed(1, sizeof *pool + thread_count * sizeof pool->threads[0]);
    (void)pthread_mutex_init(&pool->lock, NULL);
    (void)pthread_cond_init(&pool->work, NULL);
    list_init(&pool->waiting);
    pool->queue_size_max = queue_size_max;
    for (; pool->thread_count < thread_count; pool->thread_count++) {
        int error = pthread_create(&pool->threads[pool->thread_count], NULL, work, pool);
        if (error == 0) continue;
        pool_free(pool);
        return fail_errno(err, error, "starting a thread of the pool");
    }
    *ret_pool = pool;
    return STATUS_OK;
}

void pool_free(struct pool *pool)
{
    if (!pool) return;
    (void)pthread_mutex_lock(&pool->lock);
    pool->ending = true;
    (void)pthread_cond_broadcast(&pool->work);
    (void)pthread_mutex_unlock(&pool->lock);
    for (uint32_t i = 0; i < pool->thread_count; i++) (void)pthread_join(pool->threads[i], NULL);
    (void)pthread_cond_destroy(&pool->work);
    (void)pthread_mutex_destroy(&pool->lock);
    mem_free(pool);
}

enum status pool_submit(struct pool *pool, struct pool_job *job, struct error *err)
{
    assert(job->run && (!job->done || job->loop));
    list_init(&job->link);
    job->mail = (struct mail){.receive = deliver};
    (void)pthread_mutex_lock(&pool->lock);
    bool full = pool->waiting_count >= pool->queue_size_max;
    if (!full) {
        list_add_last(&pool->waiting, &job->link);
        pool->waiting_count++;
        (void)pthread_cond_signal(&pool->work);
    }
    (void)pthread_mutex_unlock(&pool->lock);
    if (!full) return STATUS_OK;
    return fail(err, STATUS_EXHAUSTED, "the pool has %zu jobs waiting already, its limit",
                pool->queue_size_max);
}

bool pool_cancel(struct pool *pool, struct pool_job *job)
{
    (void)pthread_mutex_lock(&pool->lock);
    bool waiting = list_is_linked(&job->link);
    if (waiting) {
        list_remove(&job->link);
        pool->waiting_count--;
    }
    (void)pthread_mutex_unlock(&pool->lock);
    return waiting;
}
