/* The option table as data, and one value to and from text. */
#include "config/config.h"

#include "base/num.h"

const struct config_row config_rows[CONFIG_OPTION_COUNT] = {
#define CATEGORY(...)
#define OPTION(kind, category, name, fallback, minimum, maximum, unit, flags, help)                \
    {CONFIG_CATEGORY_##category,                                                                   \
     CONFIG_##kind,                                                                                \
     #category,                                                                                    \
     #name,                                                                                        \
     fallback,                                                                                     \
     minimum,                                                                                      \
     maximum,                                                                                      \
     unit,                                                                                         \
     flags,                                                                                        \
     help,                                                                                         \
     offsetof(struct config, CONFIG_FIELD_##kind(category, name))},
#include "config/options.def"
#undef CATEGORY
#undef OPTION
};

const struct config_category_row config_categories[CONFIG_CATEGORY_COUNT] = {
#define CATEGORY(name, scope, title) {#name, CONFIG_SCOPE_##scope, title},
#define OPTION(...)
#include "config/options.def"
#undef CATEGORY
#undef OPTION
};

static void *field_of(struct config *config, const struct config_row *row)
{
    return (char *)config + row->offset;
}

static const void *constant_field_of(const struct config *config, const struct config_row *row)
{
    return (const char *)config + row->offset;
}

struct str config_choice(const struct config_row *row, size_t index)
{
    struct str rest = str_of(row->unit);
    struct str choice = str_cut(&rest, '|');
    for (; index > 0 && choice.data; index--) {
        if (!rest.data) return (struct str){NULL, 0};
        choice = str_cut(&rest, '|');
    }
    return choice;
}

static void print_limit(struct buffer *out, const struct config_row *row, int64_t value)
{
    if (row->kind == CONFIG_DURATION)
        num_print_duration(out, (uint64_t)value);
    else if (row->kind == CONFIG_BYTES)
        num_print_size(out, (uint64_t)value);
    else
        buffer_add_i64(out, value);
}

static const char *kind_text(const struct config_row *row)
{
    switch (row->kind) {
    case CONFIG_BOOL: return "true or false";
    case CONFIG_INT:
    case CONFIG_UINT: return "a whole number";
    case CONFIG_DURATION: return "a duration like 250ms, 30s or 1h30m";
    case CONFIG_BYTES: return "a size like 512, 64KiB or 1GiB";
    case CONFIG_DOUBLE: return "a number";
    case CONFIG_STRING:
    case CONFIG_PATH:
    case CONFIG_LIST: return "a text";
    case CONFIG_ENUM: return row->unit;
    }
    return "";
}

static enum status fail_kind(const struct config_row *row, struct str text, const char *who,
                             struct error *err)
{
    return fail(err, STATUS_INVALID_ARGUMENT, "%s: '%.*s' is not %s%s", who,
                (int)MIN(text.size, 100), text.data, row->kind == CONFIG_ENUM ? "one of " : "",
                kind_text(row));
}

static enum status fail_limit(const struct config_row *row, struct str text, const char *who,
                              struct error *err)
{
    struct buffer range;
    buffer_init(&range, 256);
    print_limit(&range, row, row->minimum);
    buffer_add_text(&range, " to ");
    print_limit(&range, row, row->maximum);
    enum status status = fail(err, STATUS_INVALID_ARGUMENT, "%s: '%.*s' is outside %s", who,
                              (int)MIN(text.size, 100), text.data, buffer_text(&range));
    buffer_clear(&range);
    return status;
}

static bool read_bool(struct str text, bool *ret_value)
{
    static const char *const names[][2] = {
        {"false", "true"}, {"no", "yes"}, {"off", "on"}, {"0", "1"}};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        for (size_t value = 0; value < 2; value++) {
            if (!str_equal_ignoring_case(text, str_of(names[i][value]))) continue;
            *ret_value = value == 1;
            return true;
        }
    }
    return false;
}

static bool read_choice(const struct config_row *row, struct str text, int *ret_value)
{
    for (int i = 0;; i++) {
        struct str choice = config_choice(row, (size_t)i);
        if (!choice.data) return false;
        if (!str_equal_ignoring_case(text, choice)) continue;
        *ret_value = i;
        return true;
    }
}

/* A whole number of a kind that has no sign. */
static bool read_unsigned(enum config_kind kind, struct str text, uint64_t *ret_value)
{
    if (kind == CONFIG_DURATION) return num_read_duration(text, ret_value);
    if (kind == CONFIG_BYTES) return num_read_size(text, ret_value);
    return num_read_u64(text, ret_value);
}

static enum status set_number(void *field, const struct config_row *row, struct str text,
                              const char *who, struct error *err)
{
    if (row->kind == CONFIG_DOUBLE) {
        double value;
        if (!num_read_double(text, &value)) return fail_kind(row, text, who, err);
        if (!(value >= (double)row->minimum && value <= (double)row->maximum))
            return fail_limit(row, text, who, err);
        *(double *)field = value;
    } else if (row->kind == CONFIG_INT) {
        int64_t value;
        if (!num_read_i64(text, &value)) return fail_kind(row, text, who, err);
        if (value < row->minimum || value > row->maximum) return fail_limit(row, text, who, err);
        *(int64_t *)field = value;
    } else {
        uint64_t value;
        if (!read_unsigned(row->kind, text, &value)) return fail_kind(row, text, who, err);
        if (value < (uint64_t)row->minimum || value > (uint64_t)row->maximum)
            return fail_limit(row, text, who, err);
        *(uint64_t *)field = value;
    }
    return STATUS_OK;
}

/* A text of the allowed size, in the config's arena. */
static enum status copy_text(struct config *config, const struct config_row *row, struct str text,
                             const char *who, const char **ret_text, struct error *err)
{
    if (text.size < (size_t)row->minimum)
        return fail(err, STATUS_INVALID_ARGUMENT, "%s: the value is empty", who);
    if (text.size > (size_t)row->maximum)
        return fail(err, STATUS_INVALID_ARGUMENT, "%s: the text has %zu bytes, more than %lld", who,
                    text.size, (long long)row->maximum);
    if (str_find(text, '\0') != SIZE_MAX || !str_is_utf8(text))
        return fail(err, STATUS_INVALID_ARGUMENT, "%s: the value is not UTF-8 text", who);
    struct str copy = arena_try_copy(&config->arena, text);
    if (!copy.data)
        return fail(err, STATUS_EXHAUSTED, "%s: the settings exceed %d bytes", who,
                    CONFIG_MEMORY_MAX);
    *ret_text = copy.data;
    return STATUS_OK;
}

static enum status list_add(struct config *config, struct config_list *list, const char *item,
                            struct error *err)
{
    if (list->count == CONFIG_LIST_MAX)
        return fail(err, STATUS_INVALID_ARGUMENT, "a list has more than %d entries",
                    CONFIG_LIST_MAX);
    if ((list->count & (list->count - 1)) == 0) {
        size_t capacity = list->count ? list->count * 2 : 1;
        const char **items = ARENA_TRY_ARRAY(&config->arena, const char *, capacity);
        if (!items)
            return fail(err, STATUS_EXHAUSTED, "the settings exceed %d bytes", CONFIG_MEMORY_MAX);
        if (list->count) memcpy(items, list->items, list->count * sizeof *items);
        list->items = items;
    }
    list->items[list->count++] = item;
    return STATUS_OK;
}

/* Adds the comma-separated texts. */
static enum status set_list(struct config *config, const struct config_row *row, struct str text,
                            const char *who, struct error *err)
{
    struct config_list *list = field_of(config, row);
    while (text.data) {
        struct str item = text;
        if (row->flags & CONFIG_WHOLE)
            text.data = NULL;
        else
            item = str_trim(str_cut(&text, ','));
        if (item.size == 0) continue;
        const char *copy;
        TRY(copy_text(config, row, item, who, &copy, err));
        TRY(fail_while(err, list_add(config, list, copy, err), "%s", who));
    }
    return STATUS_OK;
}

static enum status set_value(struct config *config, const struct config_row *row, struct str text,
                             const char *who, struct error *err)
{
    void *field = field_of(config, row);
    switch (row->kind) {
    case CONFIG_BOOL:
        if (!read_bool(text, field)) return fail_kind(row, text, who, err);
        return STATUS_OK;
    case CONFIG_ENUM:
        if (!read_choice(row, text, field)) return fail_kind(row, text, who, err);
        return STATUS_OK;
    case CONFIG_INT:
    case CONFIG_UINT:
    case CONFIG_DURATION:
    case CONFIG_BYTES:
    case CONFIG_DOUBLE: return set_number(field, row, text, who, err);
    case CONFIG_STRING:
    case CONFIG_PATH: return copy_text(config, row, text, who, field, err);
    case CONFIG_LIST: return set_list(config, row, text, who, err);
    }
    return STATUS_OK;
}

enum status config_set(struct config *config, enum config_option option, struct str text,
                       enum config_origin origin, const char *who, struct error *err)
{
    assert(option < CONFIG_OPTION_COUNT);
    const struct config_row *row = &config_rows[option];
    if (origin < config->origins[option]) return STATUS_OK;
    if (row->kind == CONFIG_LIST && origin > config->origins[option])
        *(struct config_list *)field_of(config, row) = (struct config_list){0};
    TRY(set_value(config, row, text, who, err));
    config->origins[option] = (uint8_t)origin;
    return STATUS_OK;
}

enum status config_check(enum config_option option, struct str text, const char *who,
                         struct error *err)
{
    assert(option < CONFIG_OPTION_COUNT);
    struct config scratch = {0};
    arena_init(&scratch.arena, CONFIG_MEMORY_MAX);
    enum status status = set_value(&scratch, &config_rows[option], text, who, err);
    arena_clear(&scratch.arena);
    return status;
}

void config_init(struct config *config)
{
    memset(config, 0, sizeof *config);
    arena_init(&config->arena, CONFIG_MEMORY_MAX);
    for (int i = 0; i < CONFIG_OPTION_COUNT; i++) {
        const struct config_row *row = &config_rows[i];
        struct error err;
        enum status status = STATUS_OK;
        if (row->kind == CONFIG_STRING || row->kind == CONFIG_PATH)
            *(const char **)field_of(config, row) = row->fallback;
        else
            status = config_set(config, (enum config_option)i, str_of(row->fallback),
                                CONFIG_FROM_DEFAULT, row->name, &err);
        /* A default that its own row does not allow. */
        assert(status == STATUS_OK);
    }
}

void config_clear(struct config *config)
{
    arena_clear(&config->arena);
    memset(config, 0, sizeof *config);
}

static void print_list(struct buffer *out, const struct config_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        if (i) buffer_add_byte(out, ',');
        buffer_add_text(out, list->items[i]);
    }
}

static bool is_empty(const struct config *config, const struct config_row *row)
{
    if (row->kind == CONFIG_LIST)
        return ((const struct config_list *)constant_field_of(config, row))->count == 0;
    if (row->kind != CONFIG_STRING && row->kind != CONFIG_PATH) return false;
    return **(const char *const *)constant_field_of(config, row) == '\0';
}

void config_print_value(struct buffer *out, const struct config *config, enum config_option option)
{
    const struct config_row *row = &config_rows[option];
    const void *field = constant_field_of(config, row);
    if ((row->flags & CONFIG_SECRET) && !is_empty(config, row)) {
        buffer_add_text(out, "***");
        return;
    }
    switch (row->kind) {
    case CONFIG_BOOL: buffer_add_text(out, *(const bool *)field ? "true" : "false"); break;
    case CONFIG_INT: buffer_add_i64(out, *(const int64_t *)field); break;
    case CONFIG_UINT: buffer_add_u64(out, *(const uint64_t *)field); break;
    case CONFIG_DURATION: num_print_duration(out, *(const uint64_t *)field); break;
    case CONFIG_BYTES: num_print_size(out, *(const uint64_t *)field); break;
    case CONFIG_DOUBLE: buffer_add_format(out, "%.17g", *(const double *)field); break;
    case CONFIG_STRING:
    case CONFIG_PATH: buffer_add_text(out, *(const char *const *)field); break;
    case CONFIG_LIST: print_list(out, field); break;
    case CONFIG_ENUM: buffer_add(out, config_choice(row, (size_t) * (const int *)field)); break;
    }
}

/* "port_file" as "port-file" or "PORT_FILE". */
static void print_word(struct buffer *out, const char *word, bool upper)
{
    for (; *word; word++) {
        char byte = *word;
        if (upper && byte >= 'a' && byte <= 'z') byte = (char)(byte - 'a' + 'A');
        if (!upper && byte == '_') byte = '-';
        buffer_add_byte(out, byte);
    }
}

void config_print_flag(struct buffer *out, const struct config_row *row)
{
    buffer_add_text(out, "--");
    if (config_categories[row->category].scope == CONFIG_SCOPE_SERVER) {
        print_word(out, row->category_name, false);
        buffer_add_byte(out, '-');
    }
    print_word(out, row->name, false);
}

void config_print_variable(struct buffer *out, const struct config_row *row)
{
    buffer_add_text(out, "SLIPWAY_");
    if (config_categories[row->category].scope != CONFIG_SCOPE_COMMON) {
        print_word(out, row->category_name, true);
        buffer_add_byte(out, '_');
    }
    print_word(out, row->name, true);
}

void config_print_key(struct buffer *out, const struct config_row *row)
{
    if (config_categories[row->category].scope != CONFIG_SCOPE_COMMON)
        buffer_add_format(out, "%s.%s", row->category_name, row->name);
}
