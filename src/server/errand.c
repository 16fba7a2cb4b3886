/* There and back. */
#include "server/errand.h"

#include "app/data.h"
#include "jobs/jobs.h"

static enum status check_data(const struct server_thread *thread, struct error *err)
{
    struct data_parts parts;
    const struct server_options *options = thread->options;
    if (!options->data)
        return fail(err, STATUS_UNAVAILABLE, "this server keeps nothing: it has no data store");
    return data_get(options->data, &parts, err);
}

static void note_gone(struct exchange_user *user)
{
    CONTAINER_OF(user, struct errand, user)->gone = true;
}

void *errand_new(struct server_thread *thread, struct http_exchange *exchange, size_t size,
                 struct error *err)
{
    if (check_data(thread, err) != STATUS_OK) return NULL;
    struct errand *errand = arena_try_zeroed(exchange->arena, 1, size);
    if (!errand) {
        fail(err, STATUS_EXHAUSTED, "no memory for one more request");
        return NULL;
    }
    errand->user.on_abort = note_gone;
    errand->thread = thread;
    errand->exchange = exchange;
    return errand;
}

void *errand_new_for_jobs(struct server_thread *thread, struct http_exchange *exchange, size_t size,
                          struct error *err)
{
    void *errand = errand_new(thread, exchange, size, err);
    if (!errand || (thread->options->jobs && jobs_are_ready(thread->options->jobs))) return errand;
    fail(err, STATUS_UNAVAILABLE, "the jobs' queues are being opened; try again");
    return NULL;
}

static void receive(struct mail *mail)
{
    struct errand *errand = CONTAINER_OF(mail, struct errand, mail);
    errand->returned(errand);
}

void errand_begin(struct errand *errand, errand_function *returned)
{
    errand->returned = returned;
    errand->mail.receive = receive;
    errand->exchange->user = &errand->user;
    errand->thread->errands++;
    http_exchange_hold(errand->exchange);
}

void errand_return(struct errand *errand)
{
    loop_post(errand->thread->loop, &errand->mail);
}

void errand_end(struct errand *errand)
{
    errand->thread->errands--;
    errand->exchange->user = NULL;
    http_exchange_release(errand->exchange);
}

enum status errand_check_id(struct str id, struct error *err)
{
    if (record_id_is_valid(id)) return STATUS_OK;
    return fail(err, STATUS_NOT_FOUND, "there is no job '%.*s'", (int)MIN(id.size, (size_t)64),
                id.data);
}
