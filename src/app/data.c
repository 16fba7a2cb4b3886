/* From data.url to a database with queues and results in it. */
#include "app/data.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "config/config.h"
#include "config/environment.h"
#include "db/postgres.h"
#include "db/sqlite.h"
#include "net/client_web.h"
#include "queue/queue_postgres.h"
#include "queue/queue_sqlite.h"
#include "store/store_dynamodb.h"
#include "store/store_postgres.h"
#include "store/store_sqlite.h"

#include <errno.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#define MEMORY_URL "memory:"
#define DYNAMODB_URL "dynamodb:"

enum {
    RETRY_FIRST_MS = 100,
    RETRY_MAX_MS = 30 * 1000,
    CLOCK_BEHIND_MS = 5000, /* less is not worth a warning */
};

/* One kind of database. */
struct data_kind {
    struct str prefixes[2]; /* of data.url; data NULL: not used */
    enum status (*open)(const struct config *config, const char *url, bool must_exist,
                        struct database **ret_database, struct error *err);
    /* NULL: it keeps results only. */
    enum status (*queues_new)(struct database *database, struct queue_store **ret_queues,
                              struct error *err);
    enum status (*store_new)(struct database *database, struct store **ret_store,
                             struct error *err);
    /* NULL: the kind has tools of its own. */
    enum status (*backup)(struct database *database, const char *path, struct error *err);
    enum status (*check)(struct database *database, struct error *err);
    const char *warning;                    /* of what a start with it means; NULL: of nothing */
    const char *backup_tools, *check_tools; /* of its own */
};

struct data {
    const struct config *config;
    struct data_parts parts;
    _Atomic bool open; /* parts are set and stay */
    pthread_t thread;
    bool started;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct error problem; /* of the last try, under the mutex */
    bool ending;
};

/* --- kinds ------------------------------------------------------------------------------------ */

/* Makes a directory and those above it. What could not be made is the first that was missing. */
static enum status make_directories(const char *path, struct error *err)
{
    char *part CLEANUP(mem_freep) = mem_copy_text(path);
    for (char *slash = part + 1; *slash; slash++) {
        if (*slash != '/') continue;
        *slash = '\0';
        int problem = mkdir(part, 0755) == 0 ? 0 : errno;
        if (problem != 0 && access(part, X_OK) != 0)
            return fail_errno(err, errno == ENOENT ? problem : errno,
                              "making '%s' of the data directory '%s'; name another by "
                              "data.directory",
                              part, path);
        *slash = '/';
    }
    if (mkdir(part, 0700) == 0 || errno == EEXIST) return STATUS_OK;
    return fail_errno(err, errno, "making the data directory '%s'; name another by data.directory",
                      path);
}

static bool has_text(const char *value)
{
    return value && *value;
}

/* Where data is kept: as set, else what the service manager gives, else the user's own place. */
static char *choose_directory(const struct config *config)
{
    const char *given = environment_get("STATE_DIRECTORY"),
               *state = environment_get("XDG_STATE_HOME"), *home = environment_get("HOME");
    if (*config->data_directory) return mem_copy_text(config->data_directory);
    if (has_text(given)) return mem_copy_text(given);
    if (has_text(state)) return mem_format("%s/slipway", state);
    if (has_text(home) && geteuid() != 0) return mem_format("%s/.local/state/slipway", home);
    return mem_copy_text("/var/lib/slipway");
}

/* The file; its directory is made unless it `must_exist`. Returns owned. */
static enum status choose_file(const struct config *config, const char *url, bool must_exist,
                               char **ret_path, struct error *err)
{
    if (*url) {
        const char *path = url + strlen("sqlite:");
        /* SQLite's own word for what would be another empty database for each connection. */
        if (!*path || str_starts_with(str_of(path), STR(":memory:")))
            return fail(err, STATUS_INVALID_ARGUMENT,
                        "data.url 'sqlite:%s' names no file; 'memory:' keeps data without one",
                        path);
        *ret_path = mem_copy_text(path);
        return STATUS_OK;
    }
    char *directory CLEANUP(mem_freep) = choose_directory(config);
    if (!must_exist) TRY(make_directories(directory, err));
    *ret_path = mem_format("%s/slipway.db", directory);
    return STATUS_OK;
}

static enum status open_sqlite(const struct config *config, const char *url, bool must_exist,
                               struct database **ret_database, struct error *err)
{
    char *path CLEANUP(mem_freep) = NULL;
    TRY(choose_file(config, url, must_exist, &path, err));
    const struct sqlite_options options = {.cache_size = config->data_cache_bytes,
                                           .must_exist = must_exist};
    return sqlite_database_open(path, &options, &(struct database_options){.reader_count = 2},
                                ret_database, err);
}

static enum status open_postgres(const struct config *config, const char *url,
                                 bool must_exist UNUSED, struct database **ret_database,
                                 struct error *err)
{
    const struct database_options options = {.writer_count = (uint32_t)config->data_connections,
                                             .reader_count = 2};
    return postgres_database_open(url, &options, ret_database, err);
}

static enum status open_memory(const struct config *config, const char *url, bool must_exist,
                               struct database **ret_database, struct error *err)
{
    if (strcmp(url, MEMORY_URL) != 0)
        return fail(err, STATUS_INVALID_ARGUMENT, "data.url '%s': nothing follows 'memory:'", url);
    if (must_exist)
        return fail(err, STATUS_FAILED_PRECONDITION,
                    "data.url is 'memory:': what is kept lies in the server that keeps it; ask "
                    "that one, with --url");
    return sqlite_memory_new(config->data_memory_bytes,
                             &(struct database_options){.reader_count = 1}, ret_database, err);
}

static enum status open_dynamodb(const struct config *config, const char *url,
                                 bool must_exist UNUSED, struct database **ret_database,
                                 struct error *err)
{
    const struct store_dynamodb_options options = {.table = url + strlen(DYNAMODB_URL),
                                                   .spill = config->data_results_spill,
                                                   .keep_age_ns = config->record_keep_age_ns};
    if (!*options.table)
        return fail(err, STATUS_INVALID_ARGUMENT, "'%s' names no table: dynamodb:TABLE", url);
    return store_dynamodb_open(&options, ret_database, err);
}

#define PREFIX(text)                                                                               \
    {                                                                                              \
        "" text, sizeof(text) - 1                                                                  \
    }

static const struct data_kind kinds[] = {
    {{PREFIX("sqlite:")},
     open_sqlite,
     queue_sqlite_new,
     store_sqlite_new,
     sqlite_backup,
     sqlite_check,
     NULL,
     NULL,
     NULL},
    {{PREFIX("postgres://"), PREFIX("postgresql://")},
     open_postgres,
     queue_postgres_new,
     store_postgres_new,
     NULL,
     NULL,
     NULL,
     "pg_dump or its archive",
     "pg_amcheck"},
    {{PREFIX(MEMORY_URL)},
     open_memory,
     queue_sqlite_new,
     store_sqlite_new,
     NULL,
     NULL,
     "data.url is 'memory:': queues, jobs and results end with this process",
     "a file",
     "a file"},
    {{PREFIX(DYNAMODB_URL)},
     open_dynamodb,
     NULL,
     store_dynamodb_new,
     NULL,
     NULL,
     NULL,
     "point-in-time recovery",
     "nothing"},
};

static bool is_off(const char *url)
{
    return strcmp(url, "none") == 0;
}

static const struct data_kind *find_kind(const char *url)
{
    if (!*url) return &kinds[0];
    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        for (size_t j = 0; j < COUNT_OF(kinds[i].prefixes); j++)
            if (kinds[i].prefixes[j].data && str_starts_with(str_of(url), kinds[i].prefixes[j]))
                return &kinds[i];
    return NULL;
}

/* --- opening ---------------------------------------------------------------------------------- */

static void close_parts(struct data_parts *parts)
{
    struct database *results = parts->store ? store_database(parts->store) : NULL;
    queue_store_free(parts->queues);
    store_free(parts->store);
    if (results != parts->database) database_free(results);
    database_free(parts->database);
    *parts = (struct data_parts){0};
}

/* Queues and results of data.url; the latter unless they are elsewhere. */
static enum status open_own(const struct config *config, bool must_exist, struct data_parts *parts,
                            struct error *err)
{
    const char *url = config->data_url;
    const struct data_kind *kind = find_kind(url);
    /* The scheme only: what follows may hold a password. */
    if (!kind)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "data.url begins with neither 'sqlite:', 'postgres://' nor 'dynamodb:', and is "
                    "neither 'memory:' nor 'none'");
    TRY(kind->open(config, url, must_exist, &parts->database, err));
    if (kind->queues_new) TRY(kind->queues_new(parts->database, &parts->queues, err));
    if (*config->data_results_url) return STATUS_OK;
    return kind->store_new(parts->database, &parts->store, err);
}

static enum status open_results(const struct config *config, bool must_exist,
                                struct data_parts *parts, struct error *err)
{
    struct database *database;
    const char *url = config->data_results_url;
    if (!str_starts_with(str_of(url), STR(DYNAMODB_URL)))
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "data.results_url '%s' does not begin with 'dynamodb:'; other results go where "
                    "data.url is",
                    url);
    TRY(open_dynamodb(config, url, must_exist, &database, err));
    enum status status = store_dynamodb_new(database, &parts->store, err);
    if (status != STATUS_OK) {
        database_free(database);
        return status;
    }
    if (!parts->database) parts->database = database;
    return STATUS_OK;
}

static enum status open_parts(const struct config *config, bool must_exist,
                              struct data_parts *parts, struct error *err)
{
    bool results = *config->data_results_url;
    if (is_off(config->data_url) && !results)
        return fail(err, STATUS_UNAVAILABLE, "nothing is kept: data.url is 'none'");
    if (!is_off(config->data_url)) TRY(open_own(config, must_exist, parts, err));
    return results ? open_results(config, must_exist, parts, err) : STATUS_OK;
}

/* One try. */
enum status data_open(struct data *data, bool must_exist, struct error *err)
{
    struct data_parts parts = {0};
    enum status status = open_parts(data->config, must_exist, &parts, err);
    (void)pthread_mutex_lock(&data->mutex);
    if (status == STATUS_OK) {
        data->parts = parts;
        atomic_store_explicit(&data->open, true, memory_order_release);
    } else {
        data->problem = *err;
    }
    (void)pthread_cond_broadcast(&data->changed);
    (void)pthread_mutex_unlock(&data->mutex);
    if (status != STATUS_OK) close_parts(&parts);
    return status;
}

static struct timespec time_of(uint64_t monotonic_ns)
{
    return (struct timespec){(time_t)(monotonic_ns / NS_PER_S), (long)(monotonic_ns % NS_PER_S)};
}

/* False when it is the end. */
static bool pause_between(struct data *data, uint64_t pause_ms)
{
    struct timespec until = time_of(clock_monotonic_ns() + pause_ms * NS_PER_MS);
    (void)pthread_mutex_lock(&data->mutex);
    while (!data->ending)
        if (pthread_cond_timedwait(&data->changed, &data->mutex, &until) != 0) break;
    bool go_on = !data->ending;
    (void)pthread_mutex_unlock(&data->mutex);
    return go_on;
}

/* What is worth a word once it is open. */
static void tell_open(struct data *data)
{
    struct database *database = data->parts.database;
    const struct data_kind *kind = find_kind(data->config->data_url);
    uint64_t now_ms = database_now_ms(database), wall_ms = clock_wall_ns() / NS_PER_MS;
    log_info("data store open", LOG_TEXT("kind", database_kind(database)));
    if (kind && kind->warning) log_warning(kind->warning);
    if (now_ms > wall_ms + CLOCK_BEHIND_MS)
        log_warning("the system's clock is behind the latest time in the data store, which goes on "
                    "from there",
                    LOG_U64("seconds", ((now_ms - wall_ms) / 1000)));
}

static void *open_run(void *context)
{
    struct data *data = context;
    struct error err, told = {0};
    uint64_t pause_ms = RETRY_FIRST_MS;
    while (data_open(data, false, &err) != STATUS_OK) {
        if (strcmp(told.message, err.message) != 0)
            log_error("no data store: jobs and queues are refused, results are not kept",
                      LOG_TEXT("error", err.message));
        told = err;
        if (!pause_between(data, pause_ms)) return NULL;
        pause_ms = MIN(2 * pause_ms, (uint64_t)RETRY_MAX_MS);
    }
    tell_open(data);
    return NULL;
}

/* --- life ------------------------------------------------------------------------------------- */

/* Before an engine brings libraries of the same names as curl's, but less in them. A failure is
 * told when the store is opened. */
static void prepare_web(const struct config *config)
{
    struct error unheard;
    if (*config->data_results_url || str_starts_with(str_of(config->data_url), STR(DYNAMODB_URL)))
        (void)!client_web_start(&unheard);
}

struct data *data_new(const struct config *config)
{
    struct data *data = MEM_NEW(struct data);
    prepare_web(config);
    pthread_condattr_t attributes;
    data->config = config;
    (void)pthread_condattr_init(&attributes); /* these cannot fail on Linux */
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&data->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    (void)pthread_mutex_init(&data->mutex, NULL);
    (void)fail(&data->problem, STATUS_UNAVAILABLE, "the data store is being opened; try again");
    return data;
}

enum status data_start(struct data *data, struct error *err)
{
    if (data_is_off(data)) {
        (void)fail(&data->problem, STATUS_UNAVAILABLE, "nothing is kept: data.url is 'none'");
        return STATUS_OK;
    }
    int problem = pthread_create(&data->thread, NULL, open_run, data);
    if (problem != 0) return fail_errno(err, problem, "starting the thread that opens the data");
    data->started = true;
    return STATUS_OK;
}

static enum status refuse(struct data *data, struct error *err)
{
    (void)pthread_mutex_lock(&data->mutex);
    struct error problem = data->problem;
    (void)pthread_mutex_unlock(&data->mutex);
    return fail(err, STATUS_UNAVAILABLE, "%s", problem.message);
}

enum status data_get(struct data *data, struct data_parts *ret_parts, struct error *err)
{
    if (!atomic_load_explicit(&data->open, memory_order_acquire))
        return error_failed(refuse(data, err));
    *ret_parts = data->parts;
    return STATUS_OK;
}

bool data_wait(struct data *data, uint64_t timeout_ns)
{
    struct timespec until = time_of(clock_monotonic_ns() + timeout_ns);
    (void)pthread_mutex_lock(&data->mutex);
    while (!data->open)
        if (pthread_cond_timedwait(&data->changed, &data->mutex, &until) != 0) break;
    bool open = data->open;
    (void)pthread_mutex_unlock(&data->mutex);
    return open;
}

bool data_is_memory(const struct data *data)
{
    return strcmp(data->config->data_url, MEMORY_URL) == 0;
}

bool data_is_off(const struct data *data)
{
    return is_off(data->config->data_url) && !*data->config->data_results_url;
}

void data_free(struct data *data)
{
    if (!data) return;
    (void)pthread_mutex_lock(&data->mutex);
    data->ending = true;
    (void)pthread_cond_broadcast(&data->changed);
    (void)pthread_mutex_unlock(&data->mutex);
    if (data->started) (void)pthread_join(data->thread, NULL);
    close_parts(&data->parts);
    (void)pthread_cond_destroy(&data->changed);
    (void)pthread_mutex_destroy(&data->mutex);
    mem_free(data);
}

enum status data_backup(struct data *data, const char *path, struct error *err)
{
    const struct data_kind *kind = find_kind(data->config->data_url);
    struct data_parts parts = {0};
    TRY(data_get(data, &parts, err));
    if (kind && kind->backup) return kind->backup(parts.database, path, err);
    return fail(err, STATUS_UNIMPLEMENTED, "%s has backups of its own: use %s",
                database_kind(parts.database), kind ? kind->backup_tools : "those of its results");
}

enum status data_check(struct data *data, struct error *err)
{
    const struct data_kind *kind = find_kind(data->config->data_url);
    struct data_parts parts = {0};
    TRY(data_get(data, &parts, err));
    if (kind && kind->check) return kind->check(parts.database, err);
    return fail(err, STATUS_UNIMPLEMENTED, "%s checks its pages by itself: use %s",
                database_kind(parts.database), kind ? kind->check_tools : "nothing");
}
