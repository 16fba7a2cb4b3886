/* `slipway results`: what was recorded. */
#include "base/clock.h"
#include "base/mem.h"
#include "cli/command.h"
#include "cli/console.h"
#include "cli/results.h"
#include "store/filter.h"
#include "store/record_json.h"

enum {
    PAGE_SIZE = 500,
    PAGE_MEMORY_MAX = 512 << 20,
    LIST_COUNT = 20,
    PRUNE_STEP = 1000,
    TEXT_SIZE_MAX = 1 << 30,
};

struct work {
    struct command_context *context;
    const struct config *config;
    struct results *results;
    enum config_format format; /* not auto */
    FILE *out;
};

/* --- records as they are wanted --------------------------------------------------------------- */

static enum status set_filter(const struct config *config, struct store_filter *filter,
                              struct error *err)
{
    const struct {
        const char *name;
        const char *value;
    } texts[] = {
        {"model", config->results_model},       {"version", config->results_version},
        {"variant", config->results_variant},   {"group", config->results_group},
        {"queue", config->results_queue},       {"key", config->results_key},
        {"trace_id", config->results_trace_id}, {"state", config->results_state},
        {"source", config->results_source},     {"since", config->results_since},
        {"until", config->results_until},
    };
    uint64_t now_us = clock_wall_ns() / NS_PER_US;
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        TRY(store_filter_set(filter, str_of(texts[i].name), str_of(texts[i].value), now_us, err));
    filter->failed_only = config->results_failed;
    return STATUS_OK;
}

static void add_table_row(struct table *table, const struct record *record)
{
    char received[CLOCK_TEXT_SIZE];
    clock_format_utc(record->received_us * NS_PER_US, received);
    table_add(table, record->id);
    table_add(table, received);
    table_add_format(table, "%.*s", STR_ARGS(record->model));
    table_add_format(table, "%.*s", STR_ARGS(record->version.size ? record->version : STR("-")));
    table_add(table, record_source_text(record->source));
    table_add(table, record_state_text(record->state));
    if (record->done_us > record->received_us)
        table_add_format(table, "%.3f", (double)(record->done_us - record->received_us) / 1000);
    else
        table_add(table, "-");
    table_add_format(table, "%.*s", (int)MIN(record->error.size, (size_t)80),
                     record->error.data ? record->error.data : "");
}

static void add_page(struct work *work, const struct store_list *list, struct table *table,
                     struct buffer *text)
{
    struct json_writer writer;
    for (size_t i = 0; i < list->count; i++) {
        if (work->format == CONFIG_FORMAT_TEXT) add_table_row(table, &list->records[i]);
        if (work->format == CONFIG_FORMAT_CSV) record_write_csv(text, &list->records[i]);
        if (work->format != CONFIG_FORMAT_NDJSON) continue;
        json_writer_init(&writer, text);
        record_write_json(&writer, &list->records[i]);
        buffer_add_byte(text, '\n');
    }
}

/* Pages until there is no more, or enough. NDJSON and CSV go out page by page. */
static enum status print_pages(struct work *work, struct store_list *list, uint64_t limit,
                               struct table *table, struct error *err)
{
    char cursor[STORE_CURSOR_MAX] = "";
    uint64_t count = 0;
    bool more = true;
    while (more) {
        struct arena arena CLEANUP(arena_clear);
        struct buffer text CLEANUP(buffer_clear);
        arena_init(&arena, PAGE_MEMORY_MAX);
        buffer_init(&text, TEXT_SIZE_MAX);
        list->cursor = str_of(cursor);
        list->count_max = (uint32_t)MIN(limit - count, (uint64_t)PAGE_SIZE);
        TRY(results_page(work->results, list, &arena, err));
        add_page(work, list, table, &text);
        TRY(console_flush(&text, work->out, err));
        count += list->count;
        more = list->next.size > 0 && list->next.size < sizeof cursor && count < limit;
        if (more) (void)snprintf(cursor, sizeof cursor, "%.*s", STR_ARGS(list->next));
    }
    return STATUS_OK;
}

static enum status print_records(struct work *work, struct store_list *list, uint64_t limit,
                                 struct error *err)
{
    static const char *const columns[] = {"id",     "received", "model", "version",
                                          "source", "state",    "ms",    "error"};
    struct table table;
    struct buffer text CLEANUP(buffer_clear);
    buffer_init(&text, TEXT_SIZE_MAX);
    table_init(&table, COUNT_OF(columns));
    for (size_t i = 0; i < COUNT_OF(columns); i++) table_add(&table, columns[i]);
    if (work->format == CONFIG_FORMAT_CSV) record_write_csv_header(&text);
    enum status status = console_flush(&text, work->out, err);
    if (status == STATUS_OK) status = print_pages(work, list, limit, &table, err);
    if (status == STATUS_OK && work->format == CONFIG_FORMAT_TEXT) table_print(&table, &text);
    table_clear(&table);
    TRY(status);
    return console_flush(&text, work->out, err);
}

static enum status run_list(struct work *work, struct error *err)
{
    struct store_list list = {.without_payloads = true};
    uint64_t limit = work->config->results_limit ? work->config->results_limit : LIST_COUNT;
    if (work->format == CONFIG_FORMAT_AUTO) work->format = CONFIG_FORMAT_TEXT;
    TRY(set_filter(work->config, &list.filter, err));
    return print_records(work, &list, limit, err);
}

static enum status run_export(struct work *work, struct error *err)
{
    struct store_list list = {.ascending = true,
                              .without_payloads = !work->config->results_payload};
    uint64_t limit = work->config->results_limit ? work->config->results_limit : UINT64_MAX;
    if (work->format == CONFIG_FORMAT_AUTO) work->format = CONFIG_FORMAT_NDJSON;
    TRY(set_filter(work->config, &list.filter, err));
    return print_records(work, &list, limit, err);
}

static enum status run_show(struct work *work, struct error *err)
{
    struct arena arena CLEANUP(arena_clear);
    struct buffer text CLEANUP(buffer_clear);
    struct json_writer writer;
    struct record record;
    struct str id = str_of(work->config->positionals.items[1]);
    arena_init(&arena, PAGE_MEMORY_MAX);
    buffer_init(&text, TEXT_SIZE_MAX);
    if (!record_id_is_valid(id))
        return fail(err, STATUS_INVALID_ARGUMENT, "'%.*s' is no id of a record", STR_ARGS(id));
    TRY(results_get(work->results, id, &arena, &record, err));
    json_writer_init(&writer, &text);
    record_write_json(&writer, &record);
    buffer_add_byte(&text, '\n');
    return console_flush(&text, work->out, err);
}

/* --- the data store --------------------------------------------------------------------------- */

static enum status run_backup(struct work *work, struct error *err)
{
    struct store *store;
    struct data *data;
    const char *path = work->config->positionals.items[1];
    TRY(results_store(work->results, &store, &data, err));
    TRY(data_backup(data, path, err));
    (void)fprintf(work->out, "backed up to %s\n", path);
    return STATUS_OK;
}

static enum status run_check(struct work *work, struct error *err)
{
    struct store *store;
    struct data *data;
    struct store_call call = {.operation = STORE_STATISTICS};
    TRY(results_store(work->results, &store, &data, err));
    TRY(data_check(data, err));
    TRY(store_run(store, &call, err));
    (void)fprintf(work->out, "no damage found: %llu records, about %llu bytes\n",
                  (unsigned long long)call.statistics.records,
                  (unsigned long long)call.statistics.bytes);
    return STATUS_OK;
}

static enum status run_prune(struct work *work, struct error *err)
{
    const struct config *config = work->config;
    struct store *store;
    struct data *data;
    uint64_t now_us = clock_wall_ns() / NS_PER_US;
    uint64_t age_us = config->results_older_than_ns / NS_PER_US, deleted = 0;
    bool more = true;
    if (age_us == 0 && config->results_larger_than == 0)
        return fail(err, STATUS_INVALID_ARGUMENT, "prune what? give --older-than or --larger-than");
    TRY(results_store(work->results, &store, &data, err));
    while (more) {
        struct store_call call = {
            .operation = STORE_PRUNE,
            .prune = {.before_us = age_us && age_us < now_us ? now_us - age_us : 0,
                      .bytes_max = config->results_larger_than,
                      .count_max = PRUNE_STEP},
        };
        TRY(store_run(store, &call, err));
        deleted += call.prune.deleted;
        more = call.prune.more;
    }
    (void)fprintf(work->out, "%llu records deleted\n", (unsigned long long)deleted);
    return STATUS_OK;
}

/* --- the command ------------------------------------------------------------------------------ */

struct verb {
    const char *name;
    size_t arguments; /* the verb counted in */
    const char *usage;
    enum status (*run)(struct work *work, struct error *err);
};

static const struct verb verbs[] = {
    {"list", 1, "list", run_list},       {"show", 2, "show ID", run_show},
    {"export", 1, "export", run_export}, {"backup", 2, "backup FILE", run_backup},
    {"check", 1, "check", run_check},    {"prune", 1, "prune", run_prune},
};

static enum status find_verb(const struct config *config, const struct verb **ret_verb,
                             struct error *err)
{
    const struct config_list *arguments = &config->positionals;
    const char *name = arguments->count > 0 ? arguments->items[0] : "";
    for (size_t i = 0; i < COUNT_OF(verbs); i++) {
        if (strcmp(verbs[i].name, name) != 0) continue;
        if (verbs[i].arguments != arguments->count)
            return fail(err, STATUS_INVALID_ARGUMENT, "usage: slipway results %s", verbs[i].usage);
        *ret_verb = &verbs[i];
        return STATUS_OK;
    }
    return fail(err, STATUS_INVALID_ARGUMENT,
                "'%s' is none of list, show, export, backup, check, prune", name);
}

static enum status open_output(struct work *work, struct error *err)
{
    const char *path = work->config->results_output;
    work->out = work->context->out;
    if (!*path) return STATUS_OK;
    work->out = fopen(path, "wbe");
    if (work->out) return STATUS_OK;
    return fail(err, STATUS_FAILED_PRECONDITION, "'%s' cannot be written", path);
}

/* A full disk shows when the file is closed. */
static enum status close_output(struct work *work, struct error *err)
{
    if (work->out == work->context->out) return STATUS_OK;
    if (fclose(work->out) == 0) return STATUS_OK;
    return fail(err, STATUS_EXHAUSTED, "'%s' could not be written to its end",
                work->config->results_output);
}

enum status cmd_results(struct command_context *context, struct error *err)
{
    struct work work = {.context = context,
                        .config = context->config,
                        .format = (enum config_format)context->config->results_format};
    const struct verb *verb;
    struct error ignored;
    TRY(find_verb(context->config, &verb, err));
    TRY(results_open(context->config, &work.results, err));
    enum status status = open_output(&work, err);
    if (status == STATUS_OK) {
        status = verb->run(&work, err);
        enum status closed = close_output(&work, status == STATUS_OK ? err : &ignored);
        if (status == STATUS_OK) status = closed;
    }
    results_close(work.results);
    return status;
}
