/* What lies in the repositories. */
#include "serve/layout.h"

#include "base/mem.h"
#include "serve/file.h"
#include "serve/plan.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- names ---------------------------------------------------------------------------------- */

bool layout_name_is_valid(struct str name)
{
    return name.size <= SERVE_NAME_SIZE_MAX && str_find(name, '/') == SIZE_MAX &&
           file_path_is_inside(name);
}

struct layout_place layout_place_of(const char *text)
{
    const char *sign = strchr(text, '=');
    struct str name = {text, sign ? (size_t)(sign - text) : 0};
    if (!sign || !layout_name_is_valid(name) || access(text, F_OK) == 0)
        return (struct layout_place){.path = text};
    return (struct layout_place){name, sign + 1};
}

static bool names_have(const struct layout_names *names, const char *name)
{
    for (size_t i = 0; i < names->count; i++)
        if (strcmp(names->items[i], name) == 0) return true;
    return false;
}

static enum status add_name(struct layout_names *names, struct str name, struct error *err)
{
    char *copy CLEANUP(mem_freep) = str_copy(name);
    if (names_have(names, copy)) return STATUS_OK;
    if (names->count >= SERVE_MODELS_MAX)
        return fail(err, STATUS_EXHAUSTED, "more than %d models in the repositories",
                    SERVE_MODELS_MAX);
    if (names->count == names->capacity) {
        names->capacity = MAX((size_t)16, names->capacity * 2);
        names->items = mem_resize(names->items, names->capacity * sizeof *names->items);
    }
    names->items[names->count++] = TAKE(copy);
    return STATUS_OK;
}

void layout_names_clear(struct layout_names *names)
{
    for (size_t i = 0; i < names->count; i++) mem_free(names->items[i]);
    mem_free(names->items);
    memset(names, 0, sizeof *names);
}

/* --- what a path is ------------------------------------------------------------------------- */

static struct str base_name(const char *path)
{
    struct str name = str_of(path);
    while (name.size > 1 && name.data[name.size - 1] == '/') name.size--;
    for (size_t i = name.size; i > 0; i--)
        if (name.data[i - 1] == '/') return str_from(name, i);
    return name;
}

static struct str extension(struct str name)
{
    for (size_t i = name.size; i > 1; i--)
        if (name.data[i - 1] == '.') return str_from(name, i);
    return STR_EMPTY;
}

static struct str stem(struct str name)
{
    struct str end = extension(name);
    return end.size ? (struct str){name.data, name.size - end.size - 1} : name;
}

static bool is_directory(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0 && S_ISDIR(about.st_mode);
}

static bool is_file(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0 && S_ISREG(about.st_mode);
}

/* By its extension only: a repository may hold any other file. */
static bool is_model_name(const struct engine_registry *engines, struct str name)
{
    static const char *const known[] = {"onnx", "pt", "pth", "torchscript"};
    struct str end = extension(name);
    if (name.size == 0 || name.data[0] == '.' || end.size == 0) return false;
    for (size_t i = 0; i < COUNT_OF(known); i++)
        if (str_equal(end, str_of(known[i]))) return true;
    if (!engine_name_is_valid(end)) return false;
    char *text CLEANUP(mem_freep) = str_copy(end);
    return engine_is_installed(engines, text);
}

typedef bool entry_function(void *context, const char *name);

/* Calls visit for each entry that does not begin with '.', in no order, until it is false. */
static enum status each_entry(const char *directory, entry_function *visit, void *context,
                              struct error *err)
{
    DIR *stream = opendir(directory);
    if (!stream) return fail_errno(err, errno, "reading directory '%s'", directory);
    struct dirent *entry;
    while ((entry = readdir(stream)))
        if (entry->d_name[0] != '.' && !visit(context, entry->d_name)) break;
    (void)closedir(stream);
    return STATUS_OK;
}

/* --- model files ---------------------------------------------------------------------------- */

/* The first by name of the model.* in a directory. */
struct file_search {
    const struct engine_registry *engines;
    char *found;
};

static bool look_for_file(void *context, const char *name)
{
    struct file_search *search = context;
    bool fits =
        str_equal(stem(str_of(name)), STR("model")) && is_model_name(search->engines, str_of(name));
    if (!fits || (search->found && strcmp(search->found, name) <= 0)) return true;
    mem_free(search->found);
    search->found = mem_copy_text(name);
    return true;
}

/* The name of the model's file in a directory, NULL if there is none; owned by the caller. */
static char *find_file(const struct engine_registry *engines, const char *directory,
                       const struct model_config *config)
{
    struct file_search search = {.engines = engines};
    struct error err;
    if (config && config->default_model_filename && config->default_model_filename[0]) {
        if (!file_path_is_inside(str_of(config->default_model_filename))) return NULL;
        char *path CLEANUP(mem_freep) =
            mem_format("%s/%s", directory, config->default_model_filename);
        struct stat about;
        return stat(path, &about) == 0 ? mem_copy_text(config->default_model_filename) : NULL;
    }
    if (each_entry(directory, look_for_file, &search, &err) != STATUS_OK) return NULL;
    return search.found;
}

struct model_search {
    const struct engine_registry *engines;
    const char *directory;
    bool found;
};

static bool look_for_version(void *context, const char *name)
{
    struct model_search *search = context;
    if (plan_parse_version(str_of(name)) <= 0) return true;
    char *path CLEANUP(mem_freep) = mem_format("%s/%s", search->directory, name);
    search->found = is_directory(path);
    return !search->found;
}

/* True for a directory that is one model's. */
static bool is_model_directory(const struct engine_registry *engines, const char *directory)
{
    struct error err;
    char *config CLEANUP(mem_freep) = model_config_find_file(directory);
    if (config) return true;
    char *file CLEANUP(mem_freep) = find_file(engines, directory, NULL);
    if (file) return true;
    struct model_search search = {.engines = engines, .directory = directory};
    if (each_entry(directory, look_for_version, &search, &err) != STATUS_OK) return false;
    return search.found;
}

/* --- names of a repository ------------------------------------------------------------------ */

/* A lone file's model: named by the file; model.* is named by its directory. */
static char *name_of_file(const char *path)
{
    struct str name = stem(base_name(path));
    if (!str_equal(name, STR("model"))) return str_copy(name);
    char *real CLEANUP(mem_freep) = mem_new_zeroed(1, PATH_MAX);
    if (!realpath(path, real)) return str_copy(name);
    struct str directory = {real, strlen(real) - base_name(real).size};
    while (directory.size > 1 && directory.data[directory.size - 1] == '/') directory.size--;
    char *text CLEANUP(mem_freep) = str_copy(directory);
    return str_copy(base_name(text));
}

/* A directory's own name, also for "." and "..". */
static char *name_of_directory(const char *path)
{
    char *real CLEANUP(mem_freep) = mem_new_zeroed(1, PATH_MAX);
    return str_copy(base_name(realpath(path, real) ? real : path));
}

struct name_search {
    const struct engine_registry *engines;
    const char *repository;
    struct layout_names *names;
    enum status status;
    struct error *err;
};

static bool look_for_name(void *context, const char *name)
{
    struct name_search *search = context;
    char *path CLEANUP(mem_freep) = mem_format("%s/%s", search->repository, name);
    if (is_directory(path)) {
        if (is_model_directory(search->engines, path))
            search->status = add_name(search->names, str_of(name), search->err);
    } else if (is_model_name(search->engines, str_of(name))) {
        search->status = add_name(search->names, stem(str_of(name)), search->err);
    }
    return search->status == STATUS_OK;
}

static enum status add_own_names(const struct engine_registry *engines, const char *repository,
                                 struct layout_names *names, struct error *err)
{
    if (is_file(repository)) {
        char *name CLEANUP(mem_freep) = name_of_file(repository);
        return add_name(names, str_of(name), err);
    }
    if (is_model_directory(engines, repository)) {
        char *name CLEANUP(mem_freep) = name_of_directory(repository);
        return add_name(names, str_of(name), err);
    }
    struct name_search search = {engines, repository, names, STATUS_OK, err};
    TRY(each_entry(repository, look_for_name, &search, err));
    return search.status;
}

enum status layout_add_names(const struct engine_registry *engines, const char *repository,
                             struct layout_names *names, struct error *err)
{
    struct layout_place place = layout_place_of(repository);
    if (place.name.size > 0) return add_name(names, place.name, err);
    return add_own_names(engines, place.path, names, err);
}

/* --- versions ------------------------------------------------------------------------------- */

struct version_search {
    const char *directory;
    int64_t numbers[SERVE_VERSIONS_MAX];
    size_t count;
};

static bool note_version(void *context, const char *name)
{
    struct version_search *search = context;
    int64_t number = name[0] == '0' ? 0 : plan_parse_version(str_of(name));
    char *path CLEANUP(mem_freep) = mem_format("%s/%s", search->directory, name);
    if (number > 0 && is_directory(path)) search->numbers[search->count++] = number;
    return search->count < SERVE_VERSIONS_MAX;
}

static int compare_numbers(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static bool has_number(const struct model_config_dims *list, int64_t number)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->items[i] == number) return true;
    return false;
}

/* Leaves in `search` what the policy wants, ascending. */
static void apply_policy(struct version_search *search,
                         const struct model_config_version_policy *policy)
{
    if (search->count > 0)
        qsort(search->numbers, search->count, sizeof *search->numbers, compare_numbers);
    if (policy && policy->all) return;
    if (policy && policy->specific) {
        size_t kept = 0;
        for (size_t i = 0; i < search->count; i++)
            if (has_number(&policy->specific->versions, search->numbers[i]))
                search->numbers[kept++] = search->numbers[i];
        search->count = kept;
        return;
    }
    size_t wanted = policy && policy->latest ? policy->latest->num_versions : 1;
    wanted = MAX(wanted, (size_t)1);
    if (search->count <= wanted) return;
    memmove(search->numbers, search->numbers + (search->count - wanted),
            wanted * sizeof *search->numbers);
    search->count = wanted;
}

static enum status choose_engine(const struct engine_registry *engines,
                                 const struct model_config *config, const char *path,
                                 char *ret_engine, struct error *err)
{
    const char *said = config->backend && config->backend[0] ? config->backend : config->platform;
    if (!said || !said[0]) return engine_for_file(engines, path, ret_engine, err);
    struct str name = engine_for_platform(str_of(said));
    if (!engine_name_is_valid(name) || name.size >= ENGINE_NAME_SIZE)
        return fail(err, STATUS_INVALID_ARGUMENT, "'%s' names no engine", said);
    memcpy(ret_engine, name.data, name.size);
    ret_engine[name.size] = '\0';
    return STATUS_OK;
}

/* Finds the file and the engine of one version; what is wrong stays with the version. */
static void complete_version(const struct engine_registry *engines, struct layout_model *model,
                             const char *directory, struct layout_version *version)
{
    if (!version->path) {
        char *file CLEANUP(mem_freep) = find_file(engines, directory, model->config);
        if (!file) {
            (void)fail(&version->error, STATUS_NOT_FOUND, "'%s' has no model file", directory);
            version->path = mem_copy_text(directory);
            layout_sign(model, version, version->signature);
            return;
        }
        version->path = mem_format("%s/%s", directory, file);
    }
    layout_sign(model, version, version->signature);
    version->error.status = STATUS_OK;
    (void)choose_engine(engines, model->config, version->path, version->engine, &version->error);
}

static void add_file_version(const struct engine_registry *engines, struct layout_model *model,
                             const char *path)
{
    model->versions = MEM_NEW_ARRAY(struct layout_version, 1);
    model->version_count = 1;
    model->versions[0].number = 1;
    model->versions[0].path = mem_copy_text(path);
    complete_version(engines, model, NULL, &model->versions[0]);
}

static enum status find_versions(const struct engine_registry *engines, struct layout_model *model,
                                 struct error *err)
{
    struct version_search *search CLEANUP(mem_freep) = MEM_NEW(struct version_search);
    search->directory = model->directory;
    TRY(each_entry(model->directory, note_version, search, err));
    if (search->count == 0) {
        char *file CLEANUP(mem_freep) = find_file(engines, model->directory, model->config);
        if (!file) return STATUS_OK;
        char *path CLEANUP(mem_freep) = mem_format("%s/%s", model->directory, file);
        add_file_version(engines, model, path);
        return STATUS_OK;
    }
    apply_policy(search, model->config->version_policy);
    model->versions = MEM_NEW_ARRAY(struct layout_version, search->count);
    for (size_t i = 0; i < search->count; i++) {
        char *directory CLEANUP(mem_freep) =
            mem_format("%s/%lld", model->directory, (long long)search->numbers[i]);
        model->versions[i].number = search->numbers[i];
        complete_version(engines, model, directory, &model->versions[i]);
        model->version_count++;
    }
    return STATUS_OK;
}

/* --- one model ------------------------------------------------------------------------------ */

void layout_model_clear(struct layout_model *model)
{
    for (size_t i = 0; i < model->version_count; i++) mem_free(model->versions[i].path);
    mem_free(model->versions);
    mem_free(model->name);
    mem_free(model->directory);
    model_config_free(model->config);
    memset(model, 0, sizeof *model);
}

/* A model that is looked for. */
struct wanted {
    const struct engine_registry *engines;
    const char *name;                  /* as it lies there */
    const char *as;                    /* the name that it is to have; NULL: its own */
    const struct model_config *config; /* replaces what lies there; NULL: that one */
};

static struct layout_model new_model(const struct wanted *wanted)
{
    return (struct layout_model){.name = mem_copy_text(wanted->as ? wanted->as : wanted->name)};
}

static enum status read_config(const struct wanted *wanted, struct layout_model *model,
                               struct error *err)
{
    if (wanted->config)
        model->config = model_config_copy(wanted->config);
    else if (model->directory)
        TRY(model_config_read_directory(model->directory, &model->config, err));
    else
        model->config = model_config_new();
    if (wanted->as) return model_config_rename(model->config, wanted->as, err);
    return model_config_set_name(model->config, model->name, err);
}

static enum status find_directory(const struct wanted *wanted, const char *directory,
                                  struct layout_model *ret_model, struct error *err)
{
    struct layout_model model = new_model(wanted);
    model.directory = mem_copy_text(directory);
    enum status status = read_config(wanted, &model, err);
    if (status == STATUS_OK) status = find_versions(wanted->engines, &model, err);
    if (status == STATUS_OK)
        *ret_model = model;
    else
        layout_model_clear(&model);
    return status;
}

enum status layout_find_in(const struct engine_registry *engines, const char *directory,
                           const char *name, const struct model_config *config,
                           struct layout_model *ret_model, struct error *err)
{
    struct wanted wanted = {.engines = engines, .name = name, .config = config};
    return find_directory(&wanted, directory, ret_model, err);
}

static enum status find_lone_file(const struct wanted *wanted, const char *path,
                                  struct layout_model *ret_model, struct error *err)
{
    struct layout_model model = new_model(wanted);
    struct str file = base_name(path);
    if (str_equal(stem(file), STR("model"))) /* its directory may hold the configuration */
        model.directory = file.data == path
                              ? mem_copy_text(".")
                              : str_copy((struct str){path, (size_t)(file.data - path)});
    enum status status = read_config(wanted, &model, err);
    if (status == STATUS_OK) {
        add_file_version(wanted->engines, &model, path);
        *ret_model = model;
    } else {
        layout_model_clear(&model);
    }
    return status;
}

/* A file NAME.ext of a repository; owned by the caller, NULL if there is none. */
struct stem_search {
    const struct engine_registry *engines;
    const char *name;
    char *found;
};

static bool look_for_stem(void *context, const char *name)
{
    struct stem_search *search = context;
    if (!str_equal(stem(str_of(name)), str_of(search->name))) return true;
    if (!is_model_name(search->engines, str_of(name))) return true;
    if (search->found && strcmp(search->found, name) <= 0) return true;
    mem_free(search->found);
    search->found = mem_copy_text(name);
    return true;
}

/* NOT_FOUND if this repository has no model of that name. */
static enum status find_by_own_name(const struct wanted *wanted, const char *repository,
                                    struct layout_model *ret_model, struct error *err)
{
    bool file = is_file(repository);
    if (file || is_model_directory(wanted->engines, repository)) {
        char *own CLEANUP(mem_freep) =
            file ? name_of_file(repository) : name_of_directory(repository);
        if (strcmp(own, wanted->name) != 0) return fail(err, STATUS_NOT_FOUND, "not here");
        if (file) return find_lone_file(wanted, repository, ret_model, err);
        return find_directory(wanted, repository, ret_model, err);
    }
    char *directory CLEANUP(mem_freep) = mem_format("%s/%s", repository, wanted->name);
    if (is_directory(directory) && is_model_directory(wanted->engines, directory))
        return find_directory(wanted, directory, ret_model, err);
    struct stem_search search = {wanted->engines, wanted->name, NULL};
    TRY(each_entry(repository, look_for_stem, &search, err));
    char *found CLEANUP(mem_freep) = search.found;
    if (!found) return fail(err, STATUS_NOT_FOUND, "not here");
    char *path CLEANUP(mem_freep) = mem_format("%s/%s", repository, found);
    return find_lone_file(wanted, path, ret_model, err);
}

/* The one model that lies at a path, which gets the name that is wanted. */
static enum status find_renamed(const struct wanted *wanted, const char *path,
                                struct layout_model *ret_model, struct error *err)
{
    struct layout_names names = {0};
    struct wanted renamed = {wanted->engines, NULL, wanted->name, wanted->config};
    enum status status = add_own_names(wanted->engines, path, &names, err);
    if (status == STATUS_OK && names.count != 1)
        status = fail(err, STATUS_INVALID_ARGUMENT,
                      "'%s=%s' is to be one model, but %zu lie there; name the file or the "
                      "directory of the one that is meant",
                      wanted->name, path, names.count);
    if (status == STATUS_OK) {
        renamed.name = names.items[0];
        status = find_by_own_name(&renamed, path, ret_model, err);
    }
    layout_names_clear(&names);
    return status;
}

static enum status find_in_repository(const struct wanted *wanted, const char *repository,
                                      struct layout_model *ret_model, struct error *err)
{
    struct layout_place place = layout_place_of(repository);
    if (place.name.size == 0) return find_by_own_name(wanted, place.path, ret_model, err);
    if (!str_equal(place.name, str_of(wanted->name)))
        return fail(err, STATUS_NOT_FOUND, "not here");
    return find_renamed(wanted, place.path, ret_model, err);
}

enum status layout_find(const struct engine_registry *engines, char *const *repositories,
                        size_t repository_count, const char *name,
                        const struct model_config *config, struct layout_model *ret_model,
                        struct error *err)
{
    assert(layout_name_is_valid(str_of(name)));
    struct wanted wanted = {.engines = engines, .name = name, .config = config};
    for (size_t i = 0; i < repository_count; i++) {
        enum status status = find_in_repository(&wanted, repositories[i], ret_model, err);
        if (status != STATUS_NOT_FOUND) return status;
    }
    return fail(err, STATUS_NOT_FOUND, "no repository has a model '%s'", name);
}

/* --- change --------------------------------------------------------------------------------- */

static void sign_path(struct sha256 *hash, const char *path)
{
    struct stat about;
    sha256_add(hash, (struct str){path, strlen(path) + 1});
    if (stat(path, &about) != 0) return;
    const int64_t facts[] = {(int64_t)about.st_size, (int64_t)about.st_mtim.tv_sec,
                             (int64_t)about.st_mtim.tv_nsec, (int64_t)about.st_ino};
    sha256_add(hash, (struct str){(const char *)facts, sizeof facts});
}

void layout_sign(const struct layout_model *model, const struct layout_version *version,
                 uint8_t signature[SHA256_SIZE])
{
    struct sha256 hash;
    sha256_init(&hash);
    sign_path(&hash, version->path);
    char *config CLEANUP(mem_freep) =
        model->directory ? model_config_find_file(model->directory) : NULL;
    if (config) sign_path(&hash, config);
    sha256_end(&hash, signature);
}

enum status layout_digest(const struct layout_model *model, const struct layout_version *version,
                          uint8_t ret_digest[SHA256_SIZE], struct error *err)
{
    uint8_t file[SHA256_SIZE];
    if (is_directory(version->path)) /* a many-file model: by what its signature says */
        memcpy(file, version->signature, sizeof file);
    else
        TRY(sha256_of_file(version->path, file, err));
    struct buffer text;
    buffer_init(&text, MODEL_CONFIG_MEMORY_MAX);
    model_config_write_json(&text, model->config);
    struct sha256 hash;
    sha256_init(&hash);
    sha256_add(&hash, (struct str){(const char *)file, sizeof file});
    sha256_add(&hash, str_of(version->engine));
    sha256_add(&hash, buffer_view(&text));
    sha256_end(&hash, ret_digest);
    buffer_clear(&text);
    return STATUS_OK;
}
