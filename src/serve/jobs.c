/* What the load threads do: look at the repositories, load, unload. */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "serve/repository.h"

/* --- loading -------------------------------------------------------------------------------- */

static enum status find_layout(struct repository *repository, const char *name,
                               const struct overrides *overrides, struct layout_model *ret_layout,
                               struct error *err)
{
    const struct engine_registry *engines = repository->serve->options.engines;
    const struct model_config *config = overrides ? overrides->config : NULL;
    if (overrides && overrides->directory)
        return layout_find_in(engines, overrides->directory, name, config, ret_layout, err);
    return layout_find(engines, repository->paths, repository->path_count, name, config, ret_layout,
                       err);
}

/* The model that serves this version now, if its content is the same; with a reference. */
static struct model *same_model(struct repository *repository, const char *name, int64_t number,
                                const uint8_t digest[SHA256_SIZE])
{
    struct model *model = NULL;
    pthread_mutex_lock(&repository->mutex);
    struct repository_entry *entry = entries_find(repository, name);
    struct repository_version *version = entry ? entry_version(entry, number) : NULL;
    if (version && version->model && memcmp(version->model->digest, digest, SHA256_SIZE) == 0) {
        model = version->model;
        model_ref(model);
    }
    pthread_mutex_unlock(&repository->mutex);
    return model;
}

static void log_ready(const struct model *model)
{
    log_info(
        "model ready", LOG_TEXT("model", model->name), LOG_TEXT("version", model->version_text),
        LOG_TEXT("engine", engine_name(engine_of_model(model->engine_model))),
        LOG_U64("load_ms", model->load_ns / NS_PER_MS),
        LOG_U64("warm_us", model->warm_cost_ns / NS_PER_US),
        LOG_TEXT("placement", counter_get(&model->lanes[0].runs_inline) ? "inline" : "runner"));
}

/* A file that changed while it was read may have been half of the old and half of the new. */
static enum status check_settled(const struct layout_model *layout,
                                 const struct layout_version *version, struct error *err)
{
    uint8_t now[SHA256_SIZE];
    layout_sign(layout, version, now);
    if (memcmp(now, version->signature, SHA256_SIZE) == 0) return STATUS_OK;
    return fail(err, STATUS_ABORTED, "'%s' changed while it was being loaded", version->path);
}

static enum status load_version(struct repository *repository, const struct layout_model *layout,
                                const struct layout_version *version, struct model **ret_model,
                                struct error *err)
{
    uint8_t digest[SHA256_SIZE];
    if (version->error.status != STATUS_OK) return fail_again(err, &version->error);
    TRY(layout_digest(layout, version, digest, err));
    struct model *model = same_model(repository, layout->name, version->number, digest);
    if (!model) {
        TRY(model_load(repository->serve, layout, version, digest, &model, err));
        enum status status = check_settled(layout, version, err);
        if (status != STATUS_OK) {
            model_unref(model);
            return status;
        }
        log_ready(model);
    }
    *ret_model = model;
    return STATUS_OK;
}

/* Files the outcome of one version; a failure leaves the model that served before. */
static void note_version(struct repository *repository, struct repository_entry *entry,
                         const struct layout_version *layout, struct model *model,
                         const struct error *err)
{
    pthread_mutex_lock(&repository->mutex);
    struct repository_version *version = entry_add_version(entry, layout->number);
    struct model *old = model ? version->model : NULL;
    if (model) version->model = model;
    version->state = version->model ? REPOSITORY_READY : REPOSITORY_UNAVAILABLE;
    mem_free(version->reason);
    version->reason = model ? NULL : mem_copy_text(err->message);
    version->retryable = !model && (status_retryable(err->status) || err->status == STATUS_ABORTED);
    memcpy(version->signature, layout->signature, SHA256_SIZE);
    pthread_mutex_unlock(&repository->mutex);
    if (old) model_unref(old);
}

static void note_loading(struct repository *repository, struct repository_entry *entry,
                         const struct layout_model *layout)
{
    pthread_mutex_lock(&repository->mutex);
    for (size_t i = 0; i < layout->version_count; i++) {
        struct repository_version *version = entry_add_version(entry, layout->versions[i].number);
        if (!version->model) version->state = REPOSITORY_LOADING;
    }
    pthread_mutex_unlock(&repository->mutex);
}

static bool layout_has(const struct layout_model *layout, int64_t number)
{
    for (size_t i = 0; i < layout->version_count; i++)
        if (layout->versions[i].number == number) return true;
    return false;
}

/*
 * Versions that are not wanted any more go, but not as long as one that is wanted failed: it may be
 * their successor.
 */
static void drop_others(struct repository *repository, struct repository_entry *entry,
                        const struct layout_model *layout, bool failed)
{
    struct model *dropped[SERVE_VERSIONS_MAX];
    size_t count = 0;
    pthread_mutex_lock(&repository->mutex);
    for (size_t i = entry->version_count; i > 0 && count < SERVE_VERSIONS_MAX; i--) {
        struct repository_version *version = &entry->versions[i - 1];
        if (layout_has(layout, version->number)) continue;
        if (failed && version->model) continue;
        dropped[count++] = entry_remove_version(entry, version->number);
    }
    entry->failed = failed;
    mem_free(TAKE(entry->reason));
    entries_publish(repository);
    pthread_mutex_unlock(&repository->mutex);
    for (size_t i = 0; i < count; i++)
        if (dropped[i]) model_unref(dropped[i]);
}

static enum status load_versions(struct repository *repository, struct repository_entry *entry,
                                 const struct layout_model *layout, struct error *err)
{
    enum status worst = STATUS_OK;
    note_loading(repository, entry, layout);
    for (size_t i = 0; i < layout->version_count; i++) {
        const struct layout_version *version = &layout->versions[i];
        struct model *model = NULL;
        struct error why;
        enum status status = load_version(repository, layout, version, &model, &why);
        note_version(repository, entry, version, model, &why);
        atomic_fetch_add(status == STATUS_OK ? &repository->serve->load_success
                                             : &repository->serve->load_failure,
                         1);
        if (status == STATUS_OK) continue;
        log_error("model not loaded", LOG_TEXT("model", layout->name),
                  LOG_I64("version", version->number), LOG_TEXT("error", why.message));
        worst = fail(err, STATUS_INTERNAL,
                     "load failed for model '%s': version %lld is at UNAVAILABLE state: %s",
                     layout->name, (long long)version->number, why.message);
    }
    drop_others(repository, entry, layout, worst != STATUS_OK);
    return worst;
}

static void log_warnings(const struct layout_model *layout)
{
    for (size_t i = 0; i < layout->config->warnings.count; i++)
        log_warning("model configuration", LOG_TEXT("model", layout->name),
                    LOG_TEXT("warning", layout->config->warnings.items[i]));
}

/*
 * The name as a whole cannot be loaded; what serves goes on. A name that someone asked for and that
 * no repository has is forgotten again.
 */
static enum status fail_name(struct repository *repository, const struct repository_job *job,
                             const struct error *cause, const char *text, struct error *err)
{
    struct repository_entry *entry = job->entry;
    atomic_fetch_add(&repository->serve->load_failure, 1);
    log_error("model not loaded", LOG_TEXT("model", entry->name),
              LOG_TEXT("error", cause->message));
    enum status status = fail(err, STATUS_INTERNAL, "failed to load '%s', %s", entry->name, text);
    pthread_mutex_lock(&repository->mutex);
    mem_free(entry->reason);
    entry->reason = mem_copy_text(cause->message);
    entry->failed = true;
    if (cause->status == STATUS_NOT_FOUND && entry->version_count == 0 && !job->starts)
        entry->wanted = false;
    entries_publish(repository);
    pthread_mutex_unlock(&repository->mutex);
    return status;
}

static struct repository_entry *begin(struct repository *repository, const char *name)
{
    pthread_mutex_lock(&repository->mutex);
    struct repository_entry *entry = entries_add(repository, name);
    entry->wanted = true;
    pthread_mutex_unlock(&repository->mutex);
    return entry; /* stays: it is busy */
}

static void take_overrides(struct repository *repository, struct repository_entry *entry,
                           struct repository_job *job)
{
    pthread_mutex_lock(&repository->mutex);
    struct overrides *old = entry->overrides;
    entry->overrides = TAKE(job->overrides);
    pthread_mutex_unlock(&repository->mutex);
    overrides_free(old);
}

enum status jobs_load(struct repository *repository, struct repository_job *job, struct error *err)
{
    struct repository_entry *entry = job->entry = begin(repository, job->name);
    struct layout_model layout;
    struct error cause;
    enum status status = STATUS_OK;
    if (job->overrides) status = overrides_write(job->overrides, &cause);
    if (status == STATUS_OK)
        status = find_layout(repository, job->name, job->overrides, &layout, &cause);
    if (status != STATUS_OK)
        return fail_name(repository, job, &cause, "failed to poll from model repository", err);
    take_overrides(repository, entry, job);
    log_warnings(&layout);
    if (layout.version_count == 0) {
        (void)fail(&cause, STATUS_NOT_FOUND, "there is no version that its policy wants");
        status = fail_name(repository, job, &cause, "no version is available", err);
    } else {
        status = load_versions(repository, entry, &layout, err);
    }
    layout_model_clear(&layout);
    return status;
}

/* --- unloading ------------------------------------------------------------------------------ */

void jobs_unload(struct repository *repository, const char *name)
{
    struct model *dropped[SERVE_VERSIONS_MAX];
    size_t count = 0;
    struct overrides *overrides = NULL;
    pthread_mutex_lock(&repository->mutex);
    struct repository_entry *entry = entries_find(repository, name);
    while (entry && entry->version_count > 0 && count < SERVE_VERSIONS_MAX)
        dropped[count++] = entry_remove_version(entry, entry->versions[0].number);
    if (entry) {
        overrides = TAKE(entry->overrides);
        entry->wanted = entry->failed = false;
        mem_free(TAKE(entry->reason));
    }
    entries_publish(repository);
    pthread_mutex_unlock(&repository->mutex);
    for (size_t i = 0; i < count; i++)
        if (dropped[i]) model_unref(dropped[i]);
    overrides_free(overrides);
    if (count > 0) log_info("model unloaded", LOG_TEXT("model", name));
}

/* --- looking for changes --------------------------------------------------------------------- */

/* True if what lies there is not what was tried last. */
static bool has_changed(struct repository *repository, const char *name,
                        const struct layout_model *layout)
{
    bool changed = false;
    pthread_mutex_lock(&repository->mutex);
    struct repository_entry *entry = entries_find(repository, name);
    size_t known = 0;
    for (size_t i = 0; entry && i < layout->version_count; i++) {
        const struct repository_version *version = entry_version(entry, layout->versions[i].number);
        changed |= !version || version->retryable ||
                   memcmp(version->signature, layout->versions[i].signature, SHA256_SIZE) != 0;
        known += version != NULL;
    }
    if (!entry || (!entry->failed && known != entry->version_count)) changed = true;
    pthread_mutex_unlock(&repository->mutex);
    return changed;
}

/* A configuration that cannot be read is reported when it is new, or on each change: not each poll.
 */
static bool wants_load(struct repository *repository, const char *name)
{
    struct layout_model layout;
    struct error err;
    if (find_layout(repository, name, NULL, &layout, &err) != STATUS_OK) {
        pthread_mutex_lock(&repository->mutex);
        struct repository_entry *entry = entries_find(repository, name);
        bool known = entry && entry->reason && strcmp(entry->reason, err.message) == 0;
        pthread_mutex_unlock(&repository->mutex);
        return !known;
    }
    bool changed = has_changed(repository, name, &layout);
    if (layout.version_count == 0) {
        pthread_mutex_lock(&repository->mutex);
        struct repository_entry *entry = entries_find(repository, name);
        changed = !entry || !entry->reason;
        pthread_mutex_unlock(&repository->mutex);
    }
    layout_model_clear(&layout);
    return changed;
}

static bool names_have(const struct layout_names *names, const char *name)
{
    for (size_t i = 0; i < names->count; i++)
        if (strcmp(names->items[i], name) == 0) return true;
    return false;
}

/* Under the mutex. */
static void add_job(struct repository *repository, enum repository_job_kind kind, const char *name,
                    bool starts)
{
    struct repository_job *job = repository_job_new(kind, name);
    job->starts = starts;
    repository_add_job(repository, job);
}

static void unload_missing(struct repository *repository, const struct layout_names *names)
{
    pthread_mutex_lock(&repository->mutex);
    for (size_t i = repository->entry_count; i > 0; i--) {
        struct repository_entry *entry = repository->entries[i - 1];
        if (names_have(names, entry->name) || entry->busy) continue;
        if (entry->version_count > 0 || entry->wanted)
            add_job(repository, REPOSITORY_UNLOAD, entry->name, false);
        else
            entries_remove(repository, entry);
    }
    pthread_mutex_unlock(&repository->mutex);
}

void jobs_scan(struct repository *repository, const struct repository_job *scan)
{
    struct layout_names names = {0};
    bool complete = true;
    for (size_t i = 0; i < repository->path_count; i++) {
        struct error err;
        if (layout_add_names(repository->serve->options.engines, repository->paths[i], &names,
                             &err) == STATUS_OK)
            continue;
        log_error("repository not read", LOG_TEXT("error", err.message));
        complete = false;
    }
    for (size_t i = 0; i < names.count; i++) {
        if (!wants_load(repository, names.items[i])) continue;
        pthread_mutex_lock(&repository->mutex);
        if (scan->starts) entries_add(repository, names.items[i])->wanted = true;
        add_job(repository, REPOSITORY_LOAD, names.items[i], scan->starts);
        pthread_mutex_unlock(&repository->mutex);
    }
    if (scan->starts) {
        pthread_mutex_lock(&repository->mutex);
        entries_publish(repository); /* who asks for one meanwhile is told that it is not ready */
        pthread_mutex_unlock(&repository->mutex);
    }
    if (complete) unload_missing(repository, &names);
    layout_names_clear(&names);
}
