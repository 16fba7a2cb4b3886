/* Threads that ask SQS, and the names of its queues. */
#include "queue/queue_sqs.h"

#include "aws/credentials.h"
#include "base/mem.h"
#include "queue/queue_sqs_private.h"
#include "queue/rules.h"

enum { POLL_S_DEFAULT = 5, CALLS_TOGETHER_MAX = QUEUE_BATCH_MAX };

static struct queue_sqs *sqs_of(struct queue_store *queues)
{
    return CONTAINER_OF(queues, struct queue_sqs, base);
}

static struct queue_call *call_of(struct list *link)
{
    return CONTAINER_OF(link, struct queue_call, link);
}

/* --- short calls ------------------------------------------------------------------------------ */

/* Calls that one thread took at once: one, or several whose receipts go in one request. */
struct together {
    struct queue_call *calls[CALLS_TOGETHER_MAX];
    size_t count;
};

static bool has_receipts(const struct queue_call *call)
{
    return call->operation == QUEUE_ACK || call->operation == QUEUE_EXTEND ||
           call->operation == QUEUE_NACK;
}

static void take_more(struct queue_sqs *sqs, struct together *together)
{
    const struct queue_call *first = together->calls[0];
    size_t room = QUEUE_BATCH_MAX - MIN(first->receipts.count, (size_t)QUEUE_BATCH_MAX);
    LIST_EACH_SAFE(link, &sqs->calls)
    {
        struct queue_call *call = call_of(link);
        if (room == 0 || together->count == CALLS_TOGETHER_MAX) return;
        if (call->operation != first->operation || !str_equal(call->queue, first->queue) ||
            call->receipts.count > room)
            continue;
        list_remove(link);
        room -= call->receipts.count;
        together->calls[together->count++] = call;
    }
}

/* False: it is the end. */
static bool take_calls(struct queue_sqs *sqs, struct together *together)
{
    (void)pthread_mutex_lock(&sqs->mutex);
    while (list_is_empty(&sqs->calls) && !sqs->ending)
        (void)pthread_cond_wait(&sqs->some_call, &sqs->mutex);
    struct list *link = list_take_first(&sqs->calls);
    together->count = 0;
    if (link) {
        together->calls[together->count++] = call_of(link);
        if (has_receipts(together->calls[0])) take_more(sqs, together);
    }
    (void)pthread_mutex_unlock(&sqs->mutex);
    return link != NULL;
}

static enum status settle(struct queue_sqs *sqs, struct together *together, struct error *err)
{
    struct arena reasons; /* of one thread, while the calls' own arenas are several */
    struct queue_receipt *receipts[QUEUE_SEND_MAX];
    size_t count = 0;
    arena_init(&reasons, 1 << 20);
    for (size_t i = 0; i < together->count; i++)
        for (size_t j = 0; j < together->calls[i]->receipts.count; j++)
            receipts[count++] = &together->calls[i]->receipts.receipts[j];
    enum status status = sqs_receipts(sqs, together->calls[0], receipts, count, &reasons, err);
    for (size_t i = 0; i < together->count; i++)
        for (size_t j = 0; j < together->calls[i]->receipts.count; j++) {
            struct queue_receipt *receipt = &together->calls[i]->receipts.receipts[j];
            if (!receipt->reason) continue;
            struct str reason = arena_try_copy(together->calls[i]->arena, str_of(receipt->reason));
            receipt->reason = reason.data ? reason.data : "it was refused";
        }
    arena_clear(&reasons);
    return status;
}

static void *caller_run(void *context)
{
    struct queue_sqs *sqs = context;
    struct together together;
    struct error err;
    while (take_calls(sqs, &together)) {
        enum status status = has_receipts(together.calls[0])
                                 ? settle(sqs, &together, &err)
                                 : sqs_call(sqs, together.calls[0], &err);
        for (size_t i = 0; i < together.count; i++)
            queue_store_finish(together.calls[i], status, status == STATUS_OK ? NULL : &err);
    }
    return NULL;
}

/* --- leases ----------------------------------------------------------------------------------- */

static struct queue_call *take_lease(struct queue_sqs *sqs)
{
    (void)pthread_mutex_lock(&sqs->mutex);
    sqs->leasers_idle++;
    while (list_is_empty(&sqs->leases) && !sqs->ending)
        (void)pthread_cond_wait(&sqs->some_lease, &sqs->mutex);
    sqs->leasers_idle--;
    struct list *link = list_take_first(&sqs->leases);
    (void)pthread_mutex_unlock(&sqs->mutex);
    return link ? call_of(link) : NULL;
}

static void *leaser_run(void *context)
{
    struct queue_sqs *sqs = context;
    struct queue_call *call;
    struct error err;
    while ((call = take_lease(sqs))) {
        enum status status = sqs_lease(sqs, call, &err);
        queue_store_finish(call, status, status == STATUS_OK ? NULL : &err);
    }
    return NULL;
}

/* Under the mutex. */
static enum status add_lease(struct queue_sqs *sqs, struct queue_call *call, struct error *err)
{
    size_t waiting = 1;
    LIST_EACH(link, &sqs->leases) waiting++;
    if (sqs->leasers_idle < waiting && sqs->leaser_count < SQS_LEASERS) {
        int problem = pthread_create(&sqs->leasers[sqs->leaser_count], NULL, leaser_run, sqs);
        if (problem == 0)
            sqs->leaser_count++;
        else if (sqs->leaser_count == 0)
            return fail_errno(err, problem, "starting a thread that receives messages");
    }
    list_add_last(&sqs->leases, &call->link);
    (void)pthread_cond_signal(&sqs->some_lease);
    return STATUS_OK;
}

static enum status submit(struct queue_store *queues, struct queue_call *call, struct error *err)
{
    struct queue_sqs *sqs = sqs_of(queues);
    enum status status = STATUS_OK;
    (void)pthread_mutex_lock(&sqs->mutex);
    if (call->operation == QUEUE_LEASE) {
        status = add_lease(sqs, call, err);
    } else {
        list_add_last(&sqs->calls, &call->link);
        (void)pthread_cond_signal(&sqs->some_call);
    }
    (void)pthread_mutex_unlock(&sqs->mutex);
    return status;
}

/* --- names ------------------------------------------------------------------------------------ */

static struct sqs_queue *find(struct queue_sqs *sqs, struct str name)
{
    LIST_EACH(link, &sqs->queues)
    {
        struct sqs_queue *queue = CONTAINER_OF(link, struct sqs_queue, link);
        if (str_equal(str_of(queue->name), name)) return queue;
    }
    return NULL;
}

/* Under the mutex. */
static enum status add(struct queue_sqs *sqs, const struct sqs_queue_name *name,
                       struct sqs_queue **ret_queue, struct error *err)
{
    if (sqs->queue_count == QUEUE_QUEUES_MAX)
        return fail(err, STATUS_EXHAUSTED, "more than %d names of queues", QUEUE_QUEUES_MAX);
    struct sqs_queue *queue = MEM_NEW(struct sqs_queue);
    assert(name->name.size <= QUEUE_NAME_MAX && name->account.size <= SQS_ACCOUNT_SIZE);
    memcpy(queue->name, name->name.data, name->name.size);
    memcpy(queue->account, name->account.data, name->account.size);
    if (name->url.size > 0) queue->url = str_copy(name->url);
    list_add_last(&sqs->queues, &queue->link);
    sqs->queue_count++;
    *ret_queue = queue;
    return STATUS_OK;
}

/* What is known of a name: nothing, or of whose account it is, or its URL as well. */
static void look_up(struct queue_sqs *sqs, struct str name, struct sqs_queue *ret_copy)
{
    *ret_copy = (struct sqs_queue){.url = NULL};
    (void)pthread_mutex_lock(&sqs->mutex);
    const struct sqs_queue *queue = find(sqs, name);
    if (queue) *ret_copy = *queue;
    (void)pthread_mutex_unlock(&sqs->mutex);
}

static enum status remember_url(struct queue_sqs *sqs, struct str name, struct str url,
                                struct str *ret_url, struct error *err)
{
    const struct sqs_queue_name found = {name, url, STR_EMPTY, STR_EMPTY};
    enum status status = STATUS_OK;
    (void)pthread_mutex_lock(&sqs->mutex);
    struct sqs_queue *queue = find(sqs, name);
    if (!queue) status = add(sqs, &found, &queue, err);
    if (status == STATUS_OK && !queue->url) queue->url = str_copy(url);
    if (status == STATUS_OK) *ret_url = str_of(queue->url);
    (void)pthread_mutex_unlock(&sqs->mutex);
    return status;
}

/* Names of queues that are not there are not kept: some come from messages. */
enum status sqs_url(struct queue_sqs *sqs, struct str name, struct str *ret_url, struct error *err)
{
    struct sqs_queue queue;
    struct arena arena;
    struct str url;
    TRY(rules_check_name(name, err));
    look_up(sqs, name, &queue);
    if (queue.url) {
        *ret_url = str_of(queue.url);
        return STATUS_OK;
    }
    arena_init(&arena, 1 << 20);
    const struct sqs_queue_name asked = {.name = name, .account = str_of(queue.account)};
    enum status status = sqs_ask_url(sqs, &asked, &arena, &url, err);
    if (status == STATUS_OK) status = remember_url(sqs, name, url, ret_url, err);
    arena_clear(&arena);
    return status;
}

static enum status check_region(struct queue_sqs *sqs, const struct sqs_queue_name *name,
                                struct str text, struct error *err)
{
    struct str region = str_of(aws_client_region(sqs->client));
    if (name->region.size == 0 || str_equal(name->region, region)) return STATUS_OK;
    return fail(err, STATUS_INVALID_ARGUMENT,
                "queue '%.*s' is in the region '%.*s', not in '%.*s', where this process asks: set "
                "AWS_REGION, or run a process for each region",
                STR_ARGS(text), STR_ARGS(name->region), STR_ARGS(region));
}

enum status queue_sqs_name(struct queue_store *queues, struct str text,
                           char ret_name[QUEUE_NAME_MAX + 1], struct error *err)
{
    struct queue_sqs *sqs = sqs_of(queues);
    struct sqs_queue_name name;
    enum status status = STATUS_OK;
    TRY(sqs_read_name(text, &name, err));
    TRY(check_region(sqs, &name, text, err));
    (void)pthread_mutex_lock(&sqs->mutex);
    struct sqs_queue *queue = find(sqs, name.name);
    if (queue && name.account.size > 0 && !str_equal(str_of(queue->account), name.account))
        status = fail(err, STATUS_INVALID_ARGUMENT,
                      "two queues are called '%.*s', of different accounts: run a process for each",
                      STR_ARGS(name.name));
    else if (!queue)
        status = add(sqs, &name, &queue, err);
    if (status == STATUS_OK) memcpy(ret_name, queue->name, sizeof queue->name);
    (void)pthread_mutex_unlock(&sqs->mutex);
    return status;
}

/* --- life ------------------------------------------------------------------------------------- */

static void join_all(const pthread_t *threads, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) (void)pthread_join(threads[i], NULL);
}

/* What waits is still asked for: it may be the receipt of work that was done. */
static void ending(struct queue_store *queues)
{
    struct queue_sqs *sqs = sqs_of(queues);
    (void)pthread_mutex_lock(&sqs->mutex);
    sqs->ending = true;
    (void)pthread_cond_broadcast(&sqs->some_call);
    (void)pthread_cond_broadcast(&sqs->some_lease);
    (void)pthread_mutex_unlock(&sqs->mutex);
    join_all(sqs->leasers, sqs->leaser_count);
    join_all(sqs->callers, sqs->caller_count);
}

static void close_sqs(struct queue_store *queues)
{
    struct queue_sqs *sqs = sqs_of(queues);
    LIST_EACH_SAFE(link, &sqs->queues)
    {
        struct sqs_queue *queue = CONTAINER_OF(link, struct sqs_queue, link);
        mem_free(queue->url);
        mem_free(queue);
    }
    aws_client_free(sqs->client);
    aws_credentials_free(sqs->credentials);
    (void)pthread_cond_destroy(&sqs->some_lease);
    (void)pthread_cond_destroy(&sqs->some_call);
    (void)pthread_mutex_destroy(&sqs->mutex);
    mem_free(sqs);
}

static const struct queue_ops queue_sqs_ops = {
    .name = "sqs",
    .missing = 1u << QUEUE_BURY | 1u << QUEUE_CANCEL | 1u << QUEUE_LIST | 1u << QUEUE_TAG |
               1u << QUEUE_MOVE_START | 1u << QUEUE_MOVE_LIST | 1u << QUEUE_MOVE_CANCEL,
    .submit = submit,
    .ending = ending,
    .close = close_sqs,
};

static enum status open_client(struct queue_sqs *sqs, const struct queue_sqs_options *options,
                               struct error *err)
{
    struct aws_client_options client = {.service = "sqs",
                                        .region = options->region,
                                        .endpoint = options->endpoint,
                                        .credentials = options->credentials};
    if (!client.credentials) {
        TRY(aws_credentials_new(&(struct aws_credentials_options){0}, &sqs->credentials, err));
        client.credentials = sqs->credentials;
    }
    return aws_client_new(&client, &sqs->client, err);
}

static enum status start_callers(struct queue_sqs *sqs, struct error *err)
{
    for (; sqs->caller_count < SQS_CALLERS; sqs->caller_count++) {
        int problem = pthread_create(&sqs->callers[sqs->caller_count], NULL, caller_run, sqs);
        if (problem) return fail_errno(err, problem, "starting a thread that asks SQS");
    }
    return STATUS_OK;
}

enum status queue_sqs_new(const struct queue_sqs_options *options, struct queue_store **ret_queues,
                          struct error *err)
{
    struct queue_sqs *sqs = MEM_NEW(struct queue_sqs);
    uint64_t poll_s = options->poll_ns / NS_PER_S;
    sqs->poll_s = (uint32_t)MIN(poll_s ? poll_s : POLL_S_DEFAULT, (uint64_t)SQS_WAIT_S_MAX);
    (void)pthread_mutex_init(&sqs->mutex, NULL); /* these cannot fail on Linux */
    (void)pthread_cond_init(&sqs->some_call, NULL);
    (void)pthread_cond_init(&sqs->some_lease, NULL);
    list_init(&sqs->calls);
    list_init(&sqs->leases);
    list_init(&sqs->queues);
    queue_store_init(&sqs->base, &queue_sqs_ops, NULL);
    enum status status = open_client(sqs, options, err);
    if (status == STATUS_OK) status = start_callers(sqs, err);
    if (status != STATUS_OK) {
        queue_store_free(&sqs->base);
        return status;
    }
    *ret_queues = &sqs->base;
    return STATUS_OK;
}
