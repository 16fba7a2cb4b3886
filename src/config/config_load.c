/* Values from the command line, the environment and a file, in the order of their strength. */
#include "config/config.h"
#include "config/tree.h"

enum { NAME_SIZE_MAX = 128 };

typedef void print_name_function(struct buffer *out, const struct config_row *row);

bool config_applies(uint64_t categories, const struct config_row *row)
{
    switch (config_categories[row->category].scope) {
    case CONFIG_SCOPE_COMMON: return true;
    case CONFIG_SCOPE_SERVER:
        if (categories & CONFIG_SERVER_CATEGORIES) return true;
        break;
    case CONFIG_SCOPE_COMMAND: break;
    }
    return categories >> row->category & 1;
}

static bool applies(const struct config_request *request, const struct config_row *row)
{
    return config_applies(request->categories, row);
}

/* The row whose name, printed that way, is `name`; those that apply first. -1: none. */
static int find_row(const struct config_request *request, print_name_function *print,
                    struct str name)
{
    struct buffer text;
    buffer_init(&text, NAME_SIZE_MAX);
    int found = -1;
    for (int i = 0; i < CONFIG_OPTION_COUNT; i++) {
        buffer_reset(&text);
        print(&text, &config_rows[i]);
        if (!str_equal(buffer_view(&text), name)) continue;
        if (found < 0 || applies(request, &config_rows[i])) found = i;
        if (applies(request, &config_rows[i])) break;
    }
    buffer_clear(&text);
    return found;
}

/* How far a name is from what was meant: a whole last part ("--port") is almost a hit. */
static size_t distance(struct str known, struct str wrong)
{
    size_t prefix = str_starts_with(wrong, STR("--")) ? 2 : 0;
    struct str part = str_from(wrong, prefix);
    if (part.size >= 3 && known.size > wrong.size && str_ends_with(known, part) &&
        strchr("-_.", known.data[known.size - part.size - 1]))
        return 1;
    return str_distance(known, wrong);
}

/* The nearest name that is near enough, into `out`; false if there is none. */
static bool find_nearest(const struct config_request *request, print_name_function *print,
                         struct str name, size_t distance_max, struct buffer *out)
{
    struct buffer text;
    buffer_init(&text, NAME_SIZE_MAX);
    size_t best = MIN(distance_max, name.size / 2) + 1;
    for (size_t i = 0; i < CONFIG_OPTION_COUNT; i++) {
        if (!applies(request, &config_rows[i])) continue;
        buffer_reset(&text);
        print(&text, &config_rows[i]);
        size_t far = distance(buffer_view(&text), name);
        if (far >= best) continue;
        best = far;
        buffer_reset(out);
        buffer_add(out, buffer_view(&text));
    }
    buffer_clear(&text);
    return out->size > 0;
}

static enum status fail_unknown(const struct config_request *request, print_name_function *print,
                                struct str name, const char *what, struct error *err)
{
    struct buffer nearest;
    buffer_init(&nearest, NAME_SIZE_MAX);
    enum status status;
    int shown = (int)MIN(name.size, 100);
    if (find_nearest(request, print, name, 4, &nearest))
        status = fail(err, STATUS_INVALID_ARGUMENT, "unknown %s '%.*s', did you mean '%s'", what,
                      shown, name.data, buffer_text(&nearest));
    else
        status = fail(err, STATUS_INVALID_ARGUMENT, "unknown %s '%.*s', see `slipway help%s%s`",
                      what, shown, name.data, request->command ? " " : "",
                      request->command ? request->command : "");
    buffer_clear(&nearest);
    return status;
}

static enum status append(struct config *config, struct config_list *list, struct str text,
                          size_t limit, struct error *err)
{
    if (list->count == limit)
        return fail(err, STATUS_INVALID_ARGUMENT, "more than %zu arguments", limit);
    if (!list->items) list->items = ARENA_TRY_ARRAY(&config->arena, const char *, limit);
    struct str copy = arena_try_copy(&config->arena, text);
    if (!list->items || !copy.data)
        return fail(err, STATUS_EXHAUSTED, "the settings exceed %d bytes", CONFIG_MEMORY_MAX);
    list->items[list->count++] = copy.data;
    return STATUS_OK;
}

static void warn(struct config *config, const char *text)
{
    struct error ignored;
    /* Warnings beyond the limit are not worth a failure. */
    (void)append(config, &config->warnings, str_of(text), CONFIG_WARNINGS_MAX, &ignored);
}

/* The flag or variable that set the option, as a person wrote it. */
static void print_setter(struct buffer *out, const struct config *config, int index)
{
    const struct config_row *row = &config_rows[index];
    if (config->origins[index] == CONFIG_FROM_ARGUMENT)
        config_print_flag(out, row);
    else
        config_print_variable(out, row);
}

/* The value loses to a stronger one, but it is wrong, and counts as soon as that one is gone. */
static void warn_about_hidden(struct config *config, int index, struct str value, const char *who)
{
    struct error problem;
    if (config_check((enum config_option)index, value, who, &problem) == STATUS_OK) return;
    struct buffer setter;
    buffer_init(&setter, NAME_SIZE_MAX);
    print_setter(&setter, config, index);
    char text[sizeof problem.message + 2 * NAME_SIZE_MAX];
    (void)snprintf(text, sizeof text, "%s; it has no effect because of %s", problem.message,
                   buffer_text(&setter));
    warn(config, text);
    buffer_clear(&setter);
}

/* config_set, for one source after the other. */
static enum status take_value(struct config *config, int index, struct str value,
                              enum config_origin origin, const char *who, struct error *err)
{
    if (origin >= config->origins[index])
        return config_set(config, (enum config_option)index, value, origin, who, err);
    warn_about_hidden(config, index, value, who);
    return STATUS_OK;
}

/* --- command line ----------------------------------------------------------------------------- */

struct argument_reader {
    const struct config_request *request;
    size_t next;
};

/* "--no-http-access-log" names a BOOL: its row, else -1. */
static int find_negated(const struct config_request *request, struct str flag)
{
    if (!str_starts_with(flag, STR("--no-"))) return -1;
    char positive[NAME_SIZE_MAX];
    int size =
        snprintf(positive, sizeof positive, "--%.*s", (int)MIN(flag.size - 5, 100), flag.data + 5);
    int index = find_row(request, config_print_flag, (struct str){positive, (size_t)size});
    return index >= 0 && config_rows[index].kind == CONFIG_BOOL ? index : -1;
}

/* One flag, which may take the next argument as its value. */
static enum status read_flag(struct config *config, struct argument_reader *reader, struct str flag,
                             struct error *err)
{
    struct str value = flag;
    flag = str_cut(&value, '=');
    int index = find_row(reader->request, config_print_flag, flag);
    if (index < 0 && !value.data && (index = find_negated(reader->request, flag)) >= 0)
        value = STR("false");
    if (index < 0) return fail_unknown(reader->request, config_print_flag, flag, "option", err);
    const struct config_row *row = &config_rows[index];
    if (!applies(reader->request, row))
        return fail(err, STATUS_INVALID_ARGUMENT, "option '%.*s' does not apply to '%s'",
                    STR_ARGS(flag), reader->request->command ? reader->request->command : "");
    if (!value.data && row->kind == CONFIG_BOOL) value = STR("true");
    if (!value.data) {
        if (reader->next == reader->request->argument_count)
            return fail(err, STATUS_INVALID_ARGUMENT, "option '%.*s' needs a value: %s",
                        STR_ARGS(flag), row->unit);
        value = str_of(reader->request->arguments[reader->next++]);
    }
    char who[NAME_SIZE_MAX];
    (void)snprintf(who, sizeof who, "option '%.*s'", STR_ARGS(flag));
    return config_set(config, (enum config_option)index, value, CONFIG_FROM_ARGUMENT, who, err);
}

static enum status read_arguments(struct config *config, const struct config_request *request,
                                  struct error *err)
{
    struct argument_reader reader = {.request = request};
    bool flags_ended = false;
    while (reader.next < request->argument_count) {
        struct str argument = str_of(request->arguments[reader.next++]);
        if (!flags_ended && str_equal(argument, STR("--"))) {
            flags_ended = true;
        } else if (!flags_ended && argument.size > 1 && argument.data[0] == '-') {
            TRY(read_flag(config, &reader, argument, err));
        } else {
            TRY(append(config, &config->positionals, argument, CONFIG_LIST_MAX, err));
        }
    }
    return STATUS_OK;
}

/* --- environment ------------------------------------------------------------------------------ */

/*
 * An unknown SLIPWAY_ variable is no error: orchestrators set such names by themselves
 * (SLIPWAY_SERVICE_HOST). One that looks like a slip of the pen is a warning.
 */
static void warn_about_variable(struct config *config, const struct config_request *request,
                                struct str name)
{
    struct buffer nearest;
    buffer_init(&nearest, NAME_SIZE_MAX);
    if (name.size < 64 && find_nearest(request, config_print_variable, name, 2, &nearest)) {
        char text[2 * NAME_SIZE_MAX];
        (void)snprintf(text, sizeof text, "environment variable %.*s is not known, did you mean %s",
                       STR_ARGS(name), buffer_text(&nearest));
        warn(config, text);
    }
    buffer_clear(&nearest);
}

static enum status read_environment(struct config *config, const struct config_request *request,
                                    struct error *err)
{
    for (const char *const *entry = request->environment; entry && *entry; entry++) {
        struct str value = str_of(*entry);
        struct str name = str_cut(&value, '=');
        if (!value.data || !str_starts_with(name, STR("SLIPWAY_"))) continue;
        int index = find_row(request, config_print_variable, name);
        if (index < 0) {
            warn_about_variable(config, request, name);
            continue;
        }
        if (!applies(request, &config_rows[index])) continue;
        char who[NAME_SIZE_MAX];
        (void)snprintf(who, sizeof who, "environment variable %.*s", STR_ARGS(name));
        TRY(take_value(config, index, value, CONFIG_FROM_ENVIRONMENT, who, err));
    }
    return STATUS_OK;
}

/* --- file ------------------------------------------------------------------------------------- */

struct file_reader {
    struct config *config;
    const struct config_request *request;
    const struct tree *tree;
};

static enum status set_from_node(const struct file_reader *reader, int index, const char *who,
                                 const struct tree_node *node, struct error *err)
{
    uint32_t before = reader->config->lines[index];
    if (before != 0 && before != node->line && node->key.data)
        return fail(err, STATUS_INVALID_ARGUMENT, "%s: was set before, in line %u", who, before);
    if (node->kind != TREE_SCALAR)
        return fail(err, STATUS_INVALID_ARGUMENT, "%s: a single value is expected", who);
    return take_value(reader->config, index, node->text, CONFIG_FROM_FILE, who, err);
}

static enum status read_setting(const struct file_reader *reader, int index, struct str key,
                                const struct tree_node *node, struct error *err)
{
    const struct config_row *row = &config_rows[index];
    if (!applies(reader->request, row)) return STATUS_OK;
    char who[2 * NAME_SIZE_MAX];
    (void)snprintf(who, sizeof who, "%.100s:%u:%u: %.*s", reader->tree->name, node->line,
                   node->column, STR_ARGS(key));
    if (row->kind == CONFIG_LIST && node->kind == TREE_LIST) {
        TREE_EACH(item, node) TRY(set_from_node(reader, index, who, item, err));
    } else {
        TRY(set_from_node(reader, index, who, node, err));
    }
    reader->config->lines[index] = node->line;
    return STATUS_OK;
}

/* `http: {port: 8080}` and `http.port: 8080` are the same. */
static enum status read_map(const struct file_reader *reader, struct str prefix,
                            const struct tree_node *map, struct error *err)
{
    TREE_EACH(node, map)
    {
        char text[NAME_SIZE_MAX];
        int size = snprintf(text, sizeof text, "%.*s%s%.*s", (int)MIN(prefix.size, 40), prefix.data,
                            prefix.size ? "." : "", (int)MIN(node->key.size, 60), node->key.data);
        struct str key = {text, (size_t)size};
        int index = find_row(reader->request, config_print_key, key);
        if (index >= 0) {
            TRY(read_setting(reader, index, key, node, err));
        } else if (node->kind == TREE_MAP && prefix.size == 0) {
            TRY(read_map(reader, key, node, err));
        } else {
            struct config_request all = *reader->request;
            all.categories = UINT64_MAX;
            TRY(fail_while(err, fail_unknown(&all, config_print_key, key, "setting", err),
                           "%s:%u:%u", reader->tree->name, node->line, node->column));
        }
    }
    return STATUS_OK;
}

static enum status read_file(struct config *config, const struct config_request *request,
                             const char *path, struct error *err)
{
    struct buffer text;
    buffer_init(&text, CONFIG_FILE_SIZE_MAX);
    struct tree tree;
    tree_init(&tree, path);
    const struct file_reader reader = {config, request, &tree};
    enum status status = tree_read_file(path, CONFIG_FILE_SIZE_MAX, &text, err);
    if (status == STATUS_OK) status = tree_read_yaml(&tree, buffer_view(&text), err);
    if (status == STATUS_OK) status = read_map(&reader, STR_EMPTY, tree.root, err);
    tree_clear(&tree);
    buffer_clear(&text);
    return status;
}

enum status config_load(struct config *config, const struct config_request *request,
                        struct error *err)
{
    /* The strongest first: weaker ones are then ignored, and the file's name is known. */
    TRY(read_arguments(config, request, err));
    TRY(read_environment(config, request, err));
    if (config->common_config[0] != '\0')
        TRY(read_file(config, request, config->common_config, err));
    return STATUS_OK;
}
