/* The load threads, their jobs, and what the rest of the server may ask of the repository. */
#include "serve/repository.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

enum { LOW_PRIORITY = 10 }; /* nice, for loads while others serve */

/* --- jobs ----------------------------------------------------------------------------------- */

struct repository_job *repository_job_new(enum repository_job_kind kind, const char *name)
{
    struct repository_job *job = MEM_NEW(struct repository_job);
    job->kind = kind;
    list_init(&job->link);
    if (name) job->name = mem_copy_text(name);
    return job;
}

static void job_free(struct repository_job *job)
{
    overrides_free(job->overrides);
    mem_free(job->name);
    mem_free(job);
}

void repository_add_job(struct repository *repository, struct repository_job *job)
{
    list_add_last(&repository->jobs, &job->link);
    repository->job_count++;
    if (job->starts) repository->start_jobs++;
    pthread_cond_signal(&repository->work);
}

static bool is_free(struct repository *repository, const struct repository_job *job)
{
    if (job->kind == REPOSITORY_SCAN) return !repository->scanning;
    struct repository_entry *entry = entries_find(repository, job->name);
    return !entry || !entry->busy;
}

static void set_busy(struct repository *repository, const struct repository_job *job, bool busy)
{
    if (job->kind == REPOSITORY_SCAN) {
        repository->scanning = busy;
        return;
    }
    struct repository_entry *entry = entries_add(repository, job->name);
    entry->busy = busy;
    /* A name that came to nothing is not kept. */
    if (!busy && !entry->wanted && entry->version_count == 0) entries_remove(repository, entry);
}

/* The first job whose name nobody works on, NULL if there is none. Under the mutex, as all above.
 */
static struct repository_job *take_job(struct repository *repository)
{
    LIST_EACH(link, &repository->jobs)
    {
        struct repository_job *job = CONTAINER_OF(link, struct repository_job, link);
        if (!is_free(repository, job)) continue;
        list_remove(link);
        repository->job_count--;
        set_busy(repository, job, true);
        return job;
    }
    return NULL;
}

/* --- the end of a job ------------------------------------------------------------------------ */

static void receive_end(struct mail *mail)
{
    struct repository_job *job = CONTAINER_OF(mail, struct repository_job, mail);
    job->on_done(job->context, job->status, job->status == STATUS_OK ? NULL : &job->error);
    job_free(job);
}

/* False if the lane is gone, and with it whoever waited. */
static bool post_end(struct serve *serve, struct repository_job *job)
{
    bool there = false;
    pthread_mutex_lock(&serve->mutex);
    for (size_t i = 0; i < SERVE_LANES_MAX && !there; i++) there = serve->lanes[i] == job->lane;
    job->mail.receive = receive_end;
    if (there) loop_post(job->lane->loop, &job->mail);
    pthread_mutex_unlock(&serve->mutex);
    return there;
}

static void tell_end(struct serve *serve, struct repository_job *job)
{
    if (job->on_done && !job->lane)
        receive_end(&job->mail);
    else if (!job->on_done || !post_end(serve, job))
        job_free(job);
}

/* Under the mutex. */
static void end_job(struct repository *repository, const struct repository_job *job)
{
    set_busy(repository, job, false);
    if (job->starts && --repository->start_jobs == 0) pthread_cond_broadcast(&repository->started);
    pthread_cond_broadcast(&repository->work);
}

static void run_job(struct repository *repository, struct repository_job *job)
{
    switch (job->kind) {
    case REPOSITORY_SCAN: jobs_scan(repository, job); break;
    case REPOSITORY_LOAD: job->status = jobs_load(repository, job, &job->error); break;
    case REPOSITORY_UNLOAD: jobs_unload(repository, job->name); break;
    }
}

/* --- threads -------------------------------------------------------------------------------- */

/*
 * Loads after the start give way to those who serve. Not where an engine starts threads of its own
 * while it loads: they would inherit it, and keep it when they serve.
 */
static void give_way(const struct repository *repository)
{
    if (repository->serve->options.engine_threads > 1) return;
    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), LOW_PRIORITY); /* a kindness: may be refused */
}

/* Under the mutex: sleeps until there may be something to do. */
static void wait_for_job(struct repository *repository)
{
    if (repository->next_poll_ns == 0) {
        pthread_cond_wait(&repository->work, &repository->mutex);
        return;
    }
    uint64_t now_ns = clock_monotonic_ns();
    if (now_ns < repository->next_poll_ns) {
        uint64_t at_ns = repository->next_poll_ns;
        struct timespec until = {(time_t)(at_ns / NS_PER_S), (long)(at_ns % NS_PER_S)};
        (void)pthread_cond_timedwait(&repository->work, &repository->mutex, &until);
        return;
    }
    repository->next_poll_ns = now_ns + repository->serve->options.poll_interval_ms * NS_PER_MS;
    repository_add_job(repository, repository_job_new(REPOSITORY_SCAN, NULL));
}

static void *thread_main(void *context)
{
    struct repository *repository = context;
    bool polite = false;
    (void)pthread_setname_np(pthread_self(), "load"); /* only a help in top */
    pthread_mutex_lock(&repository->mutex);
    while (!repository->stopping) {
        struct repository_job *job = take_job(repository);
        if (!job) {
            wait_for_job(repository);
            continue;
        }
        pthread_mutex_unlock(&repository->mutex);
        if (!job->starts && !polite) give_way(repository), polite = true;
        run_job(repository, job);
        pthread_mutex_lock(&repository->mutex);
        end_job(repository, job);
        pthread_mutex_unlock(&repository->mutex);
        tell_end(repository->serve, job);
        pthread_mutex_lock(&repository->mutex);
    }
    pthread_mutex_unlock(&repository->mutex);
    return NULL;
}

/* --- life ----------------------------------------------------------------------------------- */

static void add_start_jobs(struct repository *repository, const struct serve_options *options)
{
    bool all = options->control != SERVE_CONTROL_EXPLICIT;
    for (size_t i = 0; i < options->startup_count && !all; i++)
        all = strcmp(options->startup[i], "*") == 0;
    if (all) {
        struct repository_job *job = repository_job_new(REPOSITORY_SCAN, NULL);
        job->starts = true;
        repository_add_job(repository, job);
        return;
    }
    for (size_t i = 0; i < options->startup_count; i++) {
        struct repository_job *job = repository_job_new(REPOSITORY_LOAD, options->startup[i]);
        job->starts = true;
        entries_add(repository, job->name)->wanted = true;
        repository_add_job(repository, job);
    }
    entries_publish(repository);
}

static enum status check_paths(const struct serve_options *options, struct error *err)
{
    for (size_t i = 0; i < options->repository_count; i++)
        if (access(layout_place_of(options->repositories[i]).path, R_OK) != 0)
            return fail(err, STATUS_NOT_FOUND, "model repository '%s' cannot be read",
                        options->repositories[i]);
    for (size_t i = 0; options->control == SERVE_CONTROL_EXPLICIT && i < options->startup_count;
         i++)
        if (strcmp(options->startup[i], "*") != 0 &&
            !layout_name_is_valid(str_of(options->startup[i])))
            return fail(err, STATUS_INVALID_ARGUMENT,
                        "invalid model name '%s', model name must not contain path traversal "
                        "characters",
                        options->startup[i]);
    return STATUS_OK;
}

enum status serve_start_loading(struct serve *serve, struct error *err)
{
    struct repository *repository = serve->repository;
    assert(repository->thread_count == 0);
    uint32_t wanted = MIN(serve->options.load_threads, (uint32_t)SERVE_LOAD_THREADS_MAX);
    for (uint32_t i = 0; i < wanted; i++) {
        int problem = pthread_create(&repository->threads[i], NULL, thread_main, repository);
        if (problem != 0 && i > 0) return STATUS_OK; /* fewer will do */
        if (problem != 0) return fail_errno(err, problem, "starting a thread");
        repository->thread_count++;
    }
    return STATUS_OK;
}

enum status repository_new(struct serve *serve, const struct serve_options *options,
                           struct repository **ret_repository, struct error *err)
{
    TRY(check_paths(options, err));
    struct repository *repository = MEM_NEW(struct repository);
    repository->serve = serve;
    repository->path_count = options->repository_count;
    for (size_t i = 0; i < options->repository_count; i++)
        repository->paths[i] = mem_copy_text(options->repositories[i]);
    list_init(&repository->jobs);
    pthread_mutex_init(&repository->mutex, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&repository->work, &attributes);
    pthread_cond_init(&repository->started, &attributes);
    pthread_condattr_destroy(&attributes);
    add_start_jobs(repository, options);
    if (options->control == SERVE_CONTROL_POLL)
        repository->next_poll_ns =
            clock_monotonic_ns() + serve->options.poll_interval_ms * NS_PER_MS;
    *ret_repository = repository;
    return STATUS_OK;
}

void repository_free(struct repository *repository)
{
    if (!repository) return;
    pthread_mutex_lock(&repository->mutex);
    repository->stopping = true;
    pthread_cond_broadcast(&repository->work);
    pthread_mutex_unlock(&repository->mutex);
    for (uint32_t i = 0; i < repository->thread_count; i++)
        pthread_join(repository->threads[i], NULL);
    LIST_EACH_SAFE(link, &repository->jobs)
    job_free(CONTAINER_OF(link, struct repository_job, link));
    entries_clear(repository);
    for (size_t i = 0; i < repository->path_count; i++) mem_free(repository->paths[i]);
    pthread_cond_destroy(&repository->work);
    pthread_cond_destroy(&repository->started);
    pthread_mutex_destroy(&repository->mutex);
    mem_free(repository);
}

enum status serve_new(const struct serve_options *options, struct serve **ret_serve,
                      struct error *err)
{
    struct serve *serve;
    TRY(serve_core_new(options, &serve, err));
    enum status status = repository_new(serve, options, &serve->repository, err);
    if (status == STATUS_OK)
        *ret_serve = serve;
    else
        serve_core_free(serve);
    return status;
}

void serve_free(struct serve *serve)
{
    if (!serve) return;
    repository_free(serve->repository);
    serve_core_free(serve);
}

/* --- readiness ------------------------------------------------------------------------------ */

bool serve_wait_started(struct serve *serve, uint64_t timeout_ns)
{
    struct repository *repository = serve->repository;
    uint64_t at_ns = clock_monotonic_ns() + MIN(timeout_ns, UINT64_C(86400) * NS_PER_S);
    struct timespec until = {(time_t)(at_ns / NS_PER_S), (long)(at_ns % NS_PER_S)};
    pthread_mutex_lock(&repository->mutex);
    int late = 0;
    while (repository->start_jobs > 0 && late == 0)
        late = pthread_cond_timedwait(&repository->started, &repository->mutex, &until);
    bool started = repository->start_jobs == 0;
    pthread_mutex_unlock(&repository->mutex);
    return started;
}

bool serve_is_ready(struct serve *serve)
{
    struct repository *repository = serve->repository;
    if (atomic_load(&serve->draining)) return false;
    pthread_mutex_lock(&repository->mutex);
    bool ready = repository->start_jobs == 0 &&
                 (serve->options.ready_despite_failures || entries_are_ready(repository));
    pthread_mutex_unlock(&repository->mutex);
    return ready;
}

/* --- load and unload ------------------------------------------------------------------------- */

static enum status check_request(const struct serve *serve, struct str name, struct error *err)
{
    if (serve->options.control == SERVE_CONTROL_POLL)
        return fail(err, STATUS_UNAVAILABLE,
                    "explicit model load / unload is not allowed if polling is enabled");
    if (serve->options.control == SERVE_CONTROL_NONE)
        return fail(err, STATUS_UNAVAILABLE, "explicit model load / unload is not allowed");
    if (name.size == 0)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "Model name cannot be empty. Please enter a valid name to deploy.");
    if (!layout_name_is_valid(name))
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "invalid model name '%.*s', model name must not contain path traversal "
                    "characters",
                    (int)MIN(name.size, (size_t)SERVE_NAME_SIZE_MAX), name.data);
    return STATUS_OK;
}

static enum status submit(struct repository *repository, struct repository_job *job,
                          struct error *err)
{
    pthread_mutex_lock(&repository->mutex);
    bool full = repository->job_count >= REPOSITORY_JOBS_MAX;
    if (!full) repository_add_job(repository, job);
    pthread_mutex_unlock(&repository->mutex);
    if (!full) return STATUS_OK;
    job_free(job);
    return fail(err, STATUS_EXHAUSTED, "too many loads and unloads are waiting");
}

enum status serve_load(struct serve *serve, struct serve_lane *lane, struct str name,
                       const struct serve_load_overrides *overrides,
                       serve_control_done_function *on_done, void *context, struct error *err)
{
    TRY(check_request(serve, name, err));
    char *text CLEANUP(mem_freep) = str_copy(name);
    struct overrides *copied;
    TRY(overrides_new(overrides, text, serve->options.load_size_max, &copied, err));
    struct repository_job *job = repository_job_new(REPOSITORY_LOAD, text);
    job->overrides = copied;
    job->lane = lane;
    job->on_done = on_done;
    job->context = context;
    return submit(serve->repository, job, err);
}

enum status serve_unload(struct serve *serve, struct serve_lane *lane, struct str name,
                         serve_control_done_function *on_done, void *context, struct error *err)
{
    TRY(check_request(serve, name, err));
    char *text CLEANUP(mem_freep) = str_copy(name);
    struct repository_job *job = repository_job_new(REPOSITORY_UNLOAD, text);
    job->lane = lane;
    job->on_done = on_done;
    job->context = context;
    return submit(serve->repository, job, err);
}

/* --- index ---------------------------------------------------------------------------------- */

static const char *state_text(const struct repository_version *version)
{
    if (version->model) return "READY"; /* also while its successor loads */
    return version->state == REPOSITORY_LOADING ? "LOADING" : "UNAVAILABLE";
}

static void add_row(struct serve_index *index, const char *name, const char *version,
                    const char *state, const char *reason)
{
    index->rows[index->count++] = (struct serve_index_row){.name = mem_copy_text(name),
                                                           .version = mem_copy_text(version),
                                                           .state = state,
                                                           .reason = mem_copy_text(reason)};
}

static void add_entry(struct serve_index *index, const struct repository_entry *entry,
                      bool only_ready)
{
    if (entry->version_count == 0 && !only_ready)
        add_row(index, entry->name, "",
                entry->wanted ? entry->reason ? "UNAVAILABLE" : "LOADING" : "",
                entry->reason ? entry->reason : "");
    for (size_t i = 0; i < entry->version_count; i++) {
        const struct repository_version *version = &entry->versions[i];
        char number[MODEL_VERSION_TEXT_SIZE];
        (void)snprintf(number, sizeof number, "%lld", (long long)version->number);
        if (only_ready && !version->model) continue;
        add_row(index, entry->name, number, state_text(version),
                version->reason && !version->model ? version->reason : "");
    }
}

static int compare_rows(const void *a, const void *b)
{
    const struct serve_index_row *x = a, *y = b;
    int names = strcmp(x->name, y->name);
    if (names != 0) return names;
    int64_t one = plan_parse_version(str_of(x->version)),
            two = plan_parse_version(str_of(y->version));
    return (one > two) - (one < two);
}

/* Names that lie there and that nobody asked for, in the explicit mode only. */
static void find_names(struct serve *serve, struct layout_names *names)
{
    struct error err; /* what cannot be read now has nothing to tell */
    if (serve->options.control != SERVE_CONTROL_EXPLICIT) return;
    for (size_t i = 0; i < serve->repository->path_count; i++)
        if (layout_add_names(serve->options.engines, serve->repository->paths[i], names, &err) !=
            STATUS_OK)
            continue;
}

void serve_index_read(struct serve *serve, bool only_ready, struct serve_index *ret_index)
{
    struct repository *repository = serve->repository;
    struct layout_names names = {0};
    if (!only_ready) find_names(serve, &names);
    pthread_mutex_lock(&repository->mutex);
    size_t total = names.count + 1;
    for (size_t i = 0; i < repository->entry_count; i++)
        total += repository->entries[i]->version_count + 1;
    ret_index->rows = MEM_NEW_ARRAY(struct serve_index_row, total);
    ret_index->count = 0;
    for (size_t i = 0; i < repository->entry_count; i++)
        add_entry(ret_index, repository->entries[i], only_ready);
    for (size_t i = 0; i < names.count; i++)
        if (!entries_find(repository, names.items[i]))
            add_row(ret_index, names.items[i], "", "", "");
    pthread_mutex_unlock(&repository->mutex);
    qsort(ret_index->rows, ret_index->count, sizeof *ret_index->rows, compare_rows);
    layout_names_clear(&names);
}

void serve_index_clear(struct serve_index *index)
{
    for (size_t i = 0; i < index->count; i++) {
        mem_free(index->rows[i].name);
        mem_free(index->rows[i].version);
        mem_free(index->rows[i].reason);
    }
    mem_free(index->rows);
    memset(index, 0, sizeof *index);
}
