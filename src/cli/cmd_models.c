/* `slipway models`: what a server or a directory holds; loads and unloads. */
#include "base/json.h"
#include "base/mem.h"
#include "cli/command.h"
#include "cli/console.h"
#include "cli/local.h"
#include "cli/remote.h"

enum { OUTPUT_SIZE_MAX = 64 * 1024 * 1024, INDEX_MEMORY_MAX = 64 * 1024 * 1024 };

static const struct str columns[] = {{"name", 4}, {"version", 7}, {"state", 5}, {"reason", 6}};

static void begin_table(struct table *table)
{
    table_init(table, COUNT_OF(columns));
    for (size_t i = 0; i < COUNT_OF(columns); i++) table_add(table, columns[i].data);
}

static void add_row(struct table *table, const struct str cells[COUNT_OF(columns)])
{
    for (size_t i = 0; i < COUNT_OF(columns); i++) {
        bool empty = cells[i].size == 0 && i + 1 < COUNT_OF(columns);
        table_add_format(table, "%.*s", STR_ARGS(empty ? STR("-") : cells[i]));
    }
}

static enum status read_row(struct json_reader *reader, struct str cells[COUNT_OF(columns)],
                            struct error *err)
{
    for (size_t i = 0; i < COUNT_OF(columns); i++) cells[i] = STR_EMPTY;
    TRY(json_open_object(reader, err));
    for (;;) {
        struct str key;
        bool more;
        TRY(json_next_member(reader, &key, &more, err));
        if (!more) return STATUS_OK;
        size_t column = 0;
        while (column < COUNT_OF(columns) && !str_equal(columns[column], key)) column++;
        if (column == COUNT_OF(columns) || json_peek(reader) != JSON_STRING)
            TRY(json_skip(reader, err));
        else
            TRY(json_read_string(reader, &cells[column], err));
    }
}

static enum status read_index(struct str body, struct arena *arena, struct table *table,
                              struct error *err)
{
    struct json_reader reader;
    json_reader_init(&reader, body, arena);
    TRY(json_open_array(&reader, err));
    for (;;) {
        bool more;
        struct str cells[COUNT_OF(columns)];
        TRY(json_next_element(&reader, &more, err));
        if (!more) return json_end(&reader, err);
        TRY(read_row(&reader, cells, err));
        add_row(table, cells);
    }
}

static enum status print_body(struct command_context *context, struct str body, struct buffer *out,
                              struct error *err)
{
    if (context->config->models_json) {
        buffer_add(out, body);
        buffer_add_byte(out, '\n');
        return STATUS_OK;
    }
    struct arena arena;
    struct table table;
    arena_init(&arena, INDEX_MEMORY_MAX);
    begin_table(&table);
    enum status status =
        fail_while(err, read_index(body, &arena, &table, err), "reading the server's index");
    if (status == STATUS_OK) table_print(&table, out);
    table_clear(&table);
    arena_clear(&arena);
    return status;
}

static enum status change(struct remote *remote, const struct config_list *names, const char *verb,
                          struct error *err)
{
    for (size_t i = 0; i < names->count; i++) {
        char *model = remote_model_path(str_of(names->items[i]), STR_EMPTY, "");
        char *path = mem_format("/v2/repository%s/%s", model + strlen("/v2"), verb);
        struct str body;
        enum status status = remote_post(remote, path, STR("{}"), &body, err);
        mem_free(path);
        mem_free(model);
        TRY(fail_while(err, status, "model '%s'", names->items[i]));
    }
    return STATUS_OK;
}

static enum status ask_server(struct command_context *context, struct remote *remote,
                              struct buffer *out, struct error *err)
{
    const struct config *config = context->config;
    TRY(change(remote, &config->models_load, "load", err));
    TRY(change(remote, &config->models_unload, "unload", err));
    struct str body;
    TRY(remote_post(remote, "/v2/repository/index", STR("{}"), &body, err));
    return print_body(context, body, out, err);
}

/* The same table for files: they are loaded, which is what tells whether they can be. */
static enum status look_at_files(struct command_context *context, const char *path,
                                 struct buffer *out, struct error *err)
{
    struct local *local;
    TRY(local_open(&(struct local_options){.path = path,
                                           .engine_directory = context->config->engine_directory},
                   &local, err));
    const struct serve_index *index = local_index(local);
    struct buffer body;
    struct json_writer json;
    buffer_init(&body, OUTPUT_SIZE_MAX);
    json_writer_init(&json, &body);
    json_begin_array(&json);
    for (size_t i = 0; i < index->count; i++) {
        json_begin_object(&json);
        json_put_string(&json, STR("name"), str_of(index->rows[i].name));
        json_put_string(&json, STR("version"), str_of(index->rows[i].version));
        json_put_string(&json, STR("state"), str_of(index->rows[i].state));
        json_put_string(&json, STR("reason"), str_of(index->rows[i].reason));
        json_end_object(&json);
    }
    json_end_array(&json);
    enum status status = print_body(context, buffer_view(&body), out, err);
    buffer_clear(&body);
    local_close(local);
    return status;
}

static enum status ask(struct command_context *context, struct buffer *out, struct error *err)
{
    const struct config *config = context->config;
    if (config->positionals.count > 0) {
        if (config->models_load.count + config->models_unload.count > 0)
            return fail(err, STATUS_INVALID_ARGUMENT,
                        "--load and --unload are for a server; '%s' is a path",
                        config->positionals.items[0]);
        return look_at_files(context, config->positionals.items[0], out, err);
    }
    struct remote *remote;
    TRY(remote_open(config->models_url, 0, &remote, err));
    enum status status = ask_server(context, remote, out, err);
    remote_close(remote);
    return status;
}

enum status cmd_models(struct command_context *context, struct error *err)
{
    struct buffer out;
    buffer_init(&out, OUTPUT_SIZE_MAX);
    enum status status = ask(context, &out, err);
    if (status == STATUS_OK) return console_flush(&out, context->out, err);
    buffer_clear(&out);
    return status;
}
