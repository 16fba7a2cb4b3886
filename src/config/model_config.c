/* A model's configuration: life, files, names. Its rules are in model_rules.c. */
#include "config/model_config.h"

#include "base/json.h"
#include "base/mem.h"
#include "config/model_rules.h"
#include "config/model_schema.h"

#include <unistd.h>

struct model_config *model_config_new(void)
{
    struct model_config *config = MEM_NEW(struct model_config);
    schema_prepare(&model_schema, config);
    arena_init(&config->arena, MODEL_CONFIG_MEMORY_MAX);
    return config;
}

void model_config_free(struct model_config *config)
{
    if (!config) return;
    arena_clear(&config->arena);
    mem_free(config);
}

void model_config_freep(struct model_config **config)
{
    model_config_free(*config);
}

struct model_config *model_config_copy(const struct model_config *config)
{
    struct arena arena;
    arena_init(&arena, MODEL_CONFIG_MEMORY_MAX);
    struct model_config *copy = MEM_NEW(struct model_config);
    struct error err;
    enum status status = schema_copy(&arena, &model_schema, config, copy, &err);
    /* A copy is no larger than what the same limit has let in. */
    assert(status == STATUS_OK);
    copy->arena = arena;
    copy->warnings = (struct model_config_texts){0};
    for (size_t i = 0; i < config->warnings.count; i++)
        model_config_warn(copy, config->warnings.items[i]);
    return copy;
}

void model_config_warn(void *context, const char *text)
{
    struct model_config *config = context;
    struct model_config_texts *warnings = &config->warnings;
    if (!warnings->items)
        warnings->items = ARENA_TRY_ARRAY(&config->arena, const char *, MODEL_CONFIG_WARNINGS_MAX);
    struct str copy = arena_try_copy(&config->arena, str_of(text));
    if (!warnings->items || !copy.data || warnings->count == MODEL_CONFIG_WARNINGS_MAX) return;
    warnings->items[warnings->count++] = copy.data;
}

static enum status read_tree(struct tree *tree, struct str text, enum model_config_syntax syntax,
                             struct model_config *config, struct error *err)
{
    if (syntax == MODEL_CONFIG_PBTXT)
        TRY(tree_read_pbtxt(tree, text, err));
    else
        TRY(tree_read_yaml(tree, text, err));
    struct schema_reader reader = {
        .tree = tree, .arena = &config->arena, .warn = model_config_warn, .context = config};
    TRY(schema_read(&reader, &model_schema, tree->root, config, err));
    return fail_while(err, model_config_check(config, err), "%s", tree->name);
}

enum status model_config_read(struct str text, enum model_config_syntax syntax, const char *name,
                              struct model_config **ret_config, struct error *err)
{
    struct model_config *config CLEANUP(model_config_freep) = model_config_new();
    struct tree tree;
    tree_init(&tree, name);
    enum status status = read_tree(&tree, text, syntax, config, err);
    tree_clear(&tree);
    TRY(status);
    *ret_config = TAKE(config);
    return STATUS_OK;
}

static bool find_syntax(struct str path, enum model_config_syntax *ret_syntax)
{
    static const struct {
        struct str suffix;
        enum model_config_syntax syntax;
    } suffixes[] = {
        {{".pbtxt", 6}, MODEL_CONFIG_PBTXT}, {{".txt", 4}, MODEL_CONFIG_PBTXT},
        {{".yaml", 5}, MODEL_CONFIG_YAML},   {{".yml", 4}, MODEL_CONFIG_YAML},
        {{".json", 5}, MODEL_CONFIG_JSON},
    };
    for (size_t i = 0; i < COUNT_OF(suffixes); i++) {
        if (!str_ends_with(path, suffixes[i].suffix)) continue;
        *ret_syntax = suffixes[i].syntax;
        return true;
    }
    return false;
}

enum status model_config_read_file(const char *path, struct model_config **ret_config,
                                   struct error *err)
{
    enum model_config_syntax syntax;
    if (!find_syntax(str_of(path), &syntax))
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "'%s' is not a configuration: its name ends in none of .pbtxt, .yaml, .json",
                    path);
    struct buffer text;
    buffer_init(&text, MODEL_CONFIG_SIZE_MAX);
    enum status status = tree_read_file(path, MODEL_CONFIG_SIZE_MAX, &text, err);
    if (status == STATUS_OK)
        status = model_config_read(buffer_view(&text), syntax, path, ret_config, err);
    buffer_clear(&text);
    return status;
}

static const char *const file_names[] = {"model.yaml", "model.yml", "config.pbtxt"};

/* The path of the i-th name if such a file is there, else NULL. Owned by the caller. */
static char *existing_file(const char *directory, size_t i)
{
    char *path = mem_format("%s/%s", directory, file_names[i]);
    if (access(path, F_OK) == 0) return path;
    mem_free(path);
    return NULL;
}

char *model_config_find_file(const char *directory)
{
    for (size_t i = 0; i < COUNT_OF(file_names); i++) {
        char *path = existing_file(directory, i);
        if (path) return path;
    }
    return NULL;
}

enum status model_config_read_directory(const char *directory, struct model_config **ret_config,
                                        struct error *err)
{
    char *first CLEANUP(mem_freep) = NULL;
    for (size_t i = 0; i < COUNT_OF(file_names); i++) {
        char *path CLEANUP(mem_freep) = existing_file(directory, i);
        if (path && first)
            return fail(err, STATUS_INVALID_ARGUMENT,
                        "'%s' and '%s' both configure the model: keep one of them", first, path);
        if (path) first = TAKE(path);
    }
    if (first) return model_config_read_file(first, ret_config, err);
    *ret_config = model_config_new();
    return STATUS_OK;
}

enum status model_config_set_name(struct model_config *config, const char *name, struct error *err)
{
    if (config->name[0] != '\0') {
        if (strcmp(config->name, name) == 0) return STATUS_OK;
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "the configuration names the model '%s', but its directory is '%s'",
                    config->name, name);
    }
    return model_config_rename(config, name, err);
}

enum status model_config_rename(struct model_config *config, const char *name, struct error *err)
{
    struct str copy = arena_try_copy(&config->arena, str_of(name));
    if (!copy.data)
        return fail(err, STATUS_EXHAUSTED, "the configuration of '%s' takes too much memory", name);
    config->name = copy.data;
    return STATUS_OK;
}

const char *model_config_parameter(const struct model_config *config, const char *key)
{
    for (size_t i = 0; i < config->parameters.count; i++) {
        if (strcmp(config->parameters.items[i].key, key) == 0)
            return config->parameters.items[i].value;
    }
    return NULL;
}

void model_config_write_json(struct buffer *out, const struct model_config *config)
{
    struct json_writer writer;
    json_writer_init(&writer, out);
    schema_write_json(&writer, &model_schema, config);
}
