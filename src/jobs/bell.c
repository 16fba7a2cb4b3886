/* Listeners by id, in buckets under one lock. */
#include "jobs/bell.h"

#include "base/mem.h"

#include <pthread.h>

enum { BUCKETS = 4096 };

struct bell {
    pthread_mutex_t lock;
    uint32_t count;
    struct list buckets[BUCKETS];
};

struct bell *bell_new(void)
{
    struct bell *bell = MEM_NEW(struct bell);
    (void)pthread_mutex_init(&bell->lock, NULL); /* a plain mutex cannot fail on Linux */
    for (size_t i = 0; i < BUCKETS; i++) list_init(&bell->buckets[i]);
    return bell;
}

void bell_free(struct bell *bell)
{
    if (!bell) return;
    assert(bell->count == 0);
    (void)pthread_mutex_destroy(&bell->lock);
    mem_free(bell);
}

/* FNV-1a; the last characters of an id are chance. */
static struct list *bucket_of(struct bell *bell, struct str id)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < id.size; i++) hash = (hash ^ (uint8_t)id.data[i]) * 16777619u;
    return &bell->buckets[hash % BUCKETS];
}

static void receive_ring(struct mail *mail)
{
    struct bell_listener *listener = CONTAINER_OF(mail, struct bell_listener, mail);
    struct bell *bell = listener->bell;
    (void)pthread_mutex_lock(&bell->lock);
    listener->rung = false;
    (void)pthread_mutex_unlock(&bell->lock);
    listener->on_ring(listener);
}

bool bell_listen(struct bell *bell, struct bell_listener *listener, struct loop *loop,
                 struct str id)
{
    assert(id.size == RECORD_ID_SIZE && listener->on_ring);
    listener->left = false;
    listener->loop = loop;
    listener->bell = bell;
    listener->rung = false;
    listener->mail = (struct mail){.receive = receive_ring};
    memcpy(listener->id, id.data, RECORD_ID_SIZE);
    listener->id[RECORD_ID_SIZE] = '\0';
    (void)pthread_mutex_lock(&bell->lock);
    bool fits = bell->count < BELL_LISTENERS_MAX;
    if (fits) {
        bell->count++;
        list_add_last(bucket_of(bell, id), &listener->link);
    }
    (void)pthread_mutex_unlock(&bell->lock);
    return fits;
}

bool bell_leave(struct bell *bell, struct bell_listener *listener)
{
    assert(!listener->left);
    (void)pthread_mutex_lock(&bell->lock);
    list_remove(&listener->link);
    bell->count--;
    listener->left = true;
    bool silent = !listener->rung;
    (void)pthread_mutex_unlock(&bell->lock);
    return silent;
}

void bell_ring(struct bell *bell, struct str id)
{
    if (id.size != RECORD_ID_SIZE) return;
    (void)pthread_mutex_lock(&bell->lock);
    struct list *bucket = bucket_of(bell, id);
    LIST_EACH(link, bucket)
    {
        struct bell_listener *listener = CONTAINER_OF(link, struct bell_listener, link);
        if (listener->rung || memcmp(listener->id, id.data, RECORD_ID_SIZE) != 0) continue;
        listener->rung = true;
        loop_post(listener->loop, &listener->mail);
    }
    (void)pthread_mutex_unlock(&bell->lock);
}
