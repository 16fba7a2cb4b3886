/* Directories, names, dlopen. */
#include "engine/loader.h"

#include "base/mem.h"
#include "engine/host.h"
#include "engine/noise.h"

#include <dirent.h>
#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <unistd.h>

#define FILE_PREFIX "slipway_engine_"
#define FILE_SUFFIX ".so"

enum { DIRECTORY_COUNT_MAX = 3 };

/* One name that was asked for. The lock is held while its shared object is opened. */
struct entry {
    char name[ENGINE_NAME_SIZE];
    pthread_mutex_t lock;
    struct engine *engine; /* NULL until it opened */
};

struct engine_registry {
    char *directories[DIRECTORY_COUNT_MAX];
    size_t directory_count;
    pthread_mutex_t lock; /* the two below */
    struct entry *entries[ENGINE_COUNT_MAX];
    size_t entry_count;
};

/* ---- Where to look ---- */

/* The directory of the running program, "" if the system does not say. */
static void program_directory(char directory[PATH_MAX])
{
    ssize_t size = readlink("/proc/self/exe", directory, PATH_MAX - 1);
    directory[size > 0 ? size : 0] = '\0';
    char *slash = strrchr(directory, '/');
    if (slash) *slash = '\0';
}

struct engine_registry *engine_registry_new(const char *directory)
{
    struct engine_registry *registry = MEM_NEW(struct engine_registry);
    (void)pthread_mutex_init(&registry->lock, NULL); // cannot fail without attributes
    size_t count = 0;
    if (directory && directory[0]) registry->directories[count++] = mem_copy_text(directory);
    char program[PATH_MAX];
    program_directory(program);
    if (program[0]) {
        registry->directories[count++] = mem_format("%s/../lib/slipway/engines", program);
        registry->directories[count++] = mem_format("%s/engines", program);
    }
    assert(count <= DIRECTORY_COUNT_MAX);
    registry->directory_count = count;
    return registry;
}

void engine_registry_free(struct engine_registry *registry)
{
    if (!registry) return;
    for (size_t i = 0; i < registry->entry_count; i++) {
        engine_free(registry->entries[i]->engine);
        (void)pthread_mutex_destroy(&registry->entries[i]->lock);
        mem_free(registry->entries[i]);
    }
    for (size_t i = 0; i < registry->directory_count; i++) mem_free(registry->directories[i]);
    (void)pthread_mutex_destroy(&registry->lock);
    mem_free(registry);
}

bool engine_name_is_valid(struct str name)
{
    if (name.size == 0 || name.size >= ENGINE_NAME_SIZE) return false;
    for (size_t i = 0; i < name.size; i++) {
        char byte = name.data[i];
        bool allowed = (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') || byte == '_';
        if (!allowed) return false;
    }
    return true;
}

/* The path of an engine's file, owned by the caller; NULL if no directory has it. */
static char *find_file(const struct engine_registry *registry, const char *name)
{
    for (size_t i = 0; i < registry->directory_count; i++) {
        char *path CLEANUP(mem_freep) =
            mem_format("%s/" FILE_PREFIX "%s" FILE_SUFFIX, registry->directories[i], name);
        if (access(path, F_OK) == 0) return TAKE(path);
    }
    return NULL;
}

char *engine_file(const struct engine_registry *registry, const char *name)
{
    return engine_name_is_valid(str_of(name)) ? find_file(registry, name) : NULL;
}

bool engine_is_installed(const struct engine_registry *registry, const char *name)
{
    char *path CLEANUP(mem_freep) = engine_file(registry, name);
    return path != NULL;
}

/* ---- Which there are ---- */

struct names {
    char items[ENGINE_COUNT_MAX][ENGINE_NAME_SIZE];
    size_t count;
};

/* Adds the NAME of slipway_engine_NAME.so, once. */
static void add_name(struct names *names, const char *file)
{
    struct str name = str_of(file);
    if (!str_starts_with(name, STR(FILE_PREFIX)) || !str_ends_with(name, STR(FILE_SUFFIX))) return;
    name = str_from(name, strlen(FILE_PREFIX));
    if (name.size <= strlen(FILE_SUFFIX)) return;
    name.size -= strlen(FILE_SUFFIX);
    if (!engine_name_is_valid(name) || names->count == ENGINE_COUNT_MAX) return;
    for (size_t i = 0; i < names->count; i++)
        if (str_equal(str_of(names->items[i]), name)) return;
    char *item = names->items[names->count++];
    memcpy(item, name.data, name.size);
    item[name.size] = '\0';
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void collect_names(const struct engine_registry *registry, struct names *names)
{
    names->count = 0;
    for (size_t i = 0; i < registry->directory_count; i++) {
        DIR *directory = opendir(registry->directories[i]);
        if (!directory) continue; // one that is not there has no engines
        for (struct dirent *entry; (entry = readdir(directory));) add_name(names, entry->d_name);
        (void)closedir(directory);
    }
    qsort(names->items, names->count, sizeof names->items[0], compare_names);
}

void engine_registry_visit(struct engine_registry *registry,
                           void (*visit)(void *context, const char *name), void *context)
{
    struct names names;
    collect_names(registry, &names);
    for (size_t i = 0; i < names.count; i++) visit(context, names.items[i]);
}

static enum status fail_not_found(const struct engine_registry *registry, const char *name,
                                  struct error *err)
{
    struct buffer text;
    buffer_init(&text, 200);
    struct names names;
    collect_names(registry, &names);
    for (size_t i = 0; i < names.count; i++)
        buffer_add_format(&text, "%s%s", i ? ", " : "", names.items[i]);
    struct buffer places;
    buffer_init(&places, 240);
    for (size_t i = 0; i < registry->directory_count; i++)
        buffer_add_format(&places, "%s'%s'", i ? ", " : "", registry->directories[i]);
    enum status status =
        fail(err, STATUS_NOT_FOUND, "engine '%s' is not installed; there are: %s (searched %s)",
             name, names.count ? buffer_text(&text) : "none", buffer_text(&places));
    buffer_clear(&text);
    buffer_clear(&places);
    return status;
}

/* ---- Opening ---- */

static enum status call_entry(void *object, const char *name, const char *path,
                              struct engine **ret_engine, struct error *err)
{
    slipway_engine_entry_function *entry;
    void *symbol = dlsym(object, SLIPWAY_ENGINE_ENTRY_SYMBOL);
    if (!symbol)
        return fail(err, STATUS_FAILED_PRECONDITION,
                    "'%s' is not an engine: it does not export '%s'", path,
                    SLIPWAY_ENGINE_ENTRY_SYMBOL);
    memcpy(&entry, &symbol, sizeof entry); // ISO C has no cast from data to function pointer
    return engine_new(entry(engine_host()), name, path, ret_engine, err);
}

static enum status open_file(const char *path, const char *name, struct engine **ret_engine,
                             struct error *err)
{
    void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!object) {
        const char *reason = dlerror(); // names the file already
        return fail(err, STATUS_FAILED_PRECONDITION, "engine '%s' cannot be opened: %.380s", name,
                    reason ? reason : "unknown reason");
    }
    // Never closed on success: engines have threads and atexit handlers that outlive any model.
    enum status status = call_entry(object, name, path, ret_engine, err);
    if (status != STATUS_OK) (void)dlclose(object);
    return status;
}

static enum status open_quietly(const char *path, const char *name, struct engine **ret_engine,
                                struct error *err)
{
    struct noise noise;
    noise_catch(&noise);
    enum status status = open_file(path, name, ret_engine, err);
    noise_tell(&noise, name);
    return status;
}

/* The entry of a name, made if it is new; NULL if there are too many. */
static struct entry *find_entry(struct engine_registry *registry, const char *name)
{
    struct entry *entry = NULL;
    (void)pthread_mutex_lock(&registry->lock);
    for (size_t i = 0; i < registry->entry_count && !entry; i++)
        if (strcmp(registry->entries[i]->name, name) == 0) entry = registry->entries[i];
    if (!entry && registry->entry_count < ENGINE_COUNT_MAX) {
        entry = MEM_NEW(struct entry);
        memcpy(entry->name, name, strlen(name) + 1);
        (void)pthread_mutex_init(&entry->lock, NULL);
        registry->entries[registry->entry_count++] = entry;
    }
    (void)pthread_mutex_unlock(&registry->lock);
    return entry;
}

/* With the entry's lock held. */
static enum status open_entry(struct entry *entry, const char *path, struct engine **ret_engine,
                              struct error *err)
{
    if (!entry->engine) TRY(open_quietly(path, entry->name, &entry->engine, err));
    *ret_engine = entry->engine;
    return STATUS_OK;
}

enum status engine_open(struct engine_registry *registry, const char *name,
                        struct engine **ret_engine, struct error *err)
{
    if (!engine_name_is_valid(str_of(name)))
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "'%.80s' cannot be an engine's name: it has up to %d lower-case letters, "
                    "digits and '_'",
                    name, ENGINE_NAME_SIZE - 1);
    // A name that is not there takes no entry, so that wrong names do not fill the table.
    char *path CLEANUP(mem_freep) = find_file(registry, name);
    if (!path) return fail_not_found(registry, name, err);
    struct entry *entry = find_entry(registry, name);
    if (!entry)
        return fail(err, STATUS_EXHAUSTED, "engine '%s': there are %d engines already", name,
                    ENGINE_COUNT_MAX);
    (void)pthread_mutex_lock(&entry->lock);
    enum status status = open_entry(entry, path, ret_engine, err);
    (void)pthread_mutex_unlock(&entry->lock);
    return status;
}
