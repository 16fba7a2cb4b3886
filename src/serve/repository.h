/*
 * Which models there are and in what state, and the threads that change that.
 *
 *   jobs (scan, load, unload) --> load threads --> entries --> serve_publish --> lanes
 *
 * One mutex guards entries and jobs; it is never held while a model loads. Two jobs for one name
 * never run at the same time. What works is never taken away by what fails: a version goes only
 * when its successor is ready, its files are gone, or someone unloads it.
 */
#ifndef SERVE_REPOSITORY_H
#define SERVE_REPOSITORY_H

#include "serve/core.h"
#include "serve/layout.h"
#include "serve/overrides.h"

enum { REPOSITORY_REASON_MAX = ERROR_MESSAGE_SIZE, REPOSITORY_JOBS_MAX = 65536 };

enum repository_state { REPOSITORY_LOADING, REPOSITORY_READY, REPOSITORY_UNAVAILABLE };

/* One version of an entry. */
struct repository_version {
    int64_t number;
    enum repository_state state;
    struct model *model; /* a reference; also while a newer load of it runs or has failed */
    char *reason;        /* why it is not ready; NULL: it is */
    bool retryable;      /* the failure may pass without a change of files */
    uint8_t signature[SHA256_SIZE]; /* of the files at the last try */
};

/* A name. Versions are known once someone wanted it loaded. */
struct repository_entry {
    char *name;
    bool busy;    /* a job works on it; only that job's thread changes `overrides` */
    bool failed;  /* its last load did not fully succeed */
    bool wanted;  /* to be loaded: counts for readiness */
    char *reason; /* of the name as a whole; NULL: none */
    struct repository_version *versions; /* ascending */
    size_t version_count;
    struct overrides *overrides; /* of the last load; NULL: none */
};

enum repository_job_kind { REPOSITORY_SCAN, REPOSITORY_LOAD, REPOSITORY_UNLOAD };

struct repository_job {
    struct list link;
    struct mail mail; /* its end, to a lane */
    enum repository_job_kind kind;
    char *name;                     /* NULL: scan */
    struct repository_entry *entry; /* of a load, once it runs */
    struct overrides *overrides;
    bool starts; /* one of the start's */
    struct serve_lane *lane;
    serve_control_done_function *on_done; /* NULL: nobody waits */
    void *context;
    enum status status;
    struct error error;
};

struct repository {
    struct serve *serve;
    char *paths[SERVE_REPOSITORIES_MAX];
    size_t path_count;
    pthread_mutex_t mutex;
    pthread_cond_t work;    /* a job came, or one ended that others waited for */
    pthread_cond_t started; /* the start's last job ended */
    struct list jobs;
    size_t job_count;
    size_t start_jobs; /* the start's that have not ended */
    bool scanning;
    bool stopping;
    uint64_t next_poll_ns;
    struct repository_entry **entries; /* by name */
    size_t entry_count;
    size_t entry_capacity;
    pthread_t threads[SERVE_LOAD_THREADS_MAX];
    uint32_t thread_count;
};

/* Notes the start's jobs; serve_start_loading begins with them. */
enum status repository_new(struct serve *serve, const struct serve_options *options,
                           struct repository **ret_repository, struct error *err) FALLIBLE;

/* Ends the threads after their present job, and lets go of all models. */
void repository_free(struct repository *repository);

/* --- entries.c: all under the mutex --- */

struct repository_entry *entries_find(struct repository *repository, const char *name);
struct repository_entry *entries_add(struct repository *repository, const char *name);
void entries_remove(struct repository *repository, struct repository_entry *entry);
void entries_clear(struct repository *repository);

struct repository_version *entry_version(struct repository_entry *entry, int64_t number);

/* The version, made if it is not there; LOADING unless a model is ready. */
struct repository_version *entry_add_version(struct repository_entry *entry, int64_t number);

/* Takes the version out; returns its model, the caller's reference, NULL if it had none. */
struct model *entry_remove_version(struct repository_entry *entry, int64_t number);

/* True if all that was to be loaded is ready. */
bool entries_are_ready(const struct repository *repository);

/* Publishes what is ready now. */
void entries_publish(struct repository *repository);

/* --- jobs.c: on the load threads, without the mutex --- */

void jobs_scan(struct repository *repository, const struct repository_job *scan);
enum status jobs_load(struct repository *repository, struct repository_job *job,
                      struct error *err) FALLIBLE;
void jobs_unload(struct repository *repository, const char *name);

/* Queues a job, which is the repository's from here on; under the mutex. */
void repository_add_job(struct repository *repository, struct repository_job *job);
struct repository_job *repository_job_new(enum repository_job_kind kind, const char *name);

#endif
