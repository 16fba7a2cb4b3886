/* The names a repository knows and the versions of each. All under the repository's mutex. */
#include "base/mem.h"
#include "serve/repository.h"

/* --- names ---------------------------------------------------------------------------------- */

static size_t position_of(const struct repository *repository, const char *name)
{
    size_t low = 0, high = repository->entry_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (strcmp(repository->entries[middle]->name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct repository_entry *entries_find(struct repository *repository, const char *name)
{
    size_t at = position_of(repository, name);
    if (at == repository->entry_count) return NULL;
    struct repository_entry *entry = repository->entries[at];
    return strcmp(entry->name, name) == 0 ? entry : NULL;
}

struct repository_entry *entries_add(struct repository *repository, const char *name)
{
    struct repository_entry *entry = entries_find(repository, name);
    if (entry) return entry;
    if (repository->entry_count == repository->entry_capacity) {
        repository->entry_capacity = MAX((size_t)16, repository->entry_capacity * 2);
        repository->entries =
            mem_resize(repository->entries, repository->entry_capacity * sizeof(entry));
    }
    size_t at = position_of(repository, name);
    memmove(repository->entries + at + 1, repository->entries + at,
            (repository->entry_count - at) * sizeof(entry));
    repository->entry_count++;
    entry = MEM_NEW(struct repository_entry);
    entry->name = mem_copy_text(name);
    repository->entries[at] = entry;
    return entry;
}

static void free_entry(struct repository_entry *entry)
{
    for (size_t i = 0; i < entry->version_count; i++) {
        if (entry->versions[i].model) model_unref(entry->versions[i].model);
        mem_free(entry->versions[i].reason);
    }
    overrides_free(entry->overrides);
    mem_free(entry->versions);
    mem_free(entry->reason);
    mem_free(entry->name);
    mem_free(entry);
}

void entries_remove(struct repository *repository, struct repository_entry *entry)
{
    size_t at = position_of(repository, entry->name);
    assert(at < repository->entry_count && repository->entries[at] == entry && !entry->busy);
    repository->entry_count--;
    memmove(repository->entries + at, repository->entries + at + 1,
            (repository->entry_count - at) * sizeof(entry));
    free_entry(entry);
}

void entries_clear(struct repository *repository)
{
    for (size_t i = 0; i < repository->entry_count; i++) free_entry(repository->entries[i]);
    mem_free(repository->entries);
    repository->entries = NULL;
    repository->entry_count = repository->entry_capacity = 0;
}

/* --- versions ------------------------------------------------------------------------------- */

struct repository_version *entry_version(struct repository_entry *entry, int64_t number)
{
    for (size_t i = 0; i < entry->version_count; i++)
        if (entry->versions[i].number == number) return &entry->versions[i];
    return NULL;
}

struct repository_version *entry_add_version(struct repository_entry *entry, int64_t number)
{
    struct repository_version *known = entry_version(entry, number);
    if (known) return known;
    size_t at = entry->version_count++;
    entry->versions = mem_resize(entry->versions, entry->version_count * sizeof *entry->versions);
    for (; at > 0 && entry->versions[at - 1].number > number; at--)
        entry->versions[at] = entry->versions[at - 1];
    entry->versions[at] =
        (struct repository_version){.number = number, .state = REPOSITORY_LOADING};
    return &entry->versions[at];
}

struct model *entry_remove_version(struct repository_entry *entry, int64_t number)
{
    struct repository_version *version = entry_version(entry, number);
    assert(version);
    struct model *model = version->model;
    mem_free(version->reason);
    size_t at = (size_t)(version - entry->versions);
    entry->version_count--;
    memmove(version, version + 1, (entry->version_count - at) * sizeof *version);
    return model;
}

/* --- all ------------------------------------------------------------------------------------ */

bool entries_are_ready(const struct repository *repository)
{
    for (size_t i = 0; i < repository->entry_count; i++) {
        const struct repository_entry *entry = repository->entries[i];
        if (!entry->wanted) continue;
        if (entry->version_count == 0) return false;
        for (size_t k = 0; k < entry->version_count; k++)
            if (!entry->versions[k].model) return false;
    }
    return true;
}

static size_t count_versions(const struct repository *repository)
{
    size_t count = 0;
    for (size_t i = 0; i < repository->entry_count; i++)
        count += repository->entries[i]->version_count + 1;
    return count;
}

void entries_publish(struct repository *repository)
{
    size_t total = count_versions(repository), ready = 0, unready = 0;
    struct model **models CLEANUP(mem_freep) = MEM_NEW_ARRAY(struct model *, total);
    struct plan_unready *rest CLEANUP(mem_freep) = MEM_NEW_ARRAY(struct plan_unready, total);
    for (size_t i = 0; i < repository->entry_count; i++) {
        struct repository_entry *entry = repository->entries[i];
        if (!entry->wanted) continue;
        if (entry->version_count == 0) rest[unready++] = (struct plan_unready){entry->name, 0};
        for (size_t k = 0; k < entry->version_count; k++) {
            if (entry->versions[k].model)
                models[ready++] = entry->versions[k].model;
            else
                rest[unready++] = (struct plan_unready){entry->name, entry->versions[k].number};
        }
    }
    serve_publish(repository->serve, models, ready, rest, unready);
}
