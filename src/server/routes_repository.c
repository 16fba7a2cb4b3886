/*
 * The model repository extension: index, load, unload. Loads run on serve's control threads; the
 * exchange is held until they end.
 */
#include "base/base64.h"
#include "base/json.h"
#include "protocol/metadata.h"
#include "server/answer.h"
#include "server/routes.h"

enum { LOAD_FILES_MAX = 256 };

/* --- index ------------------------------------------------------------------------------------ */

/* {"ready": bool}, an empty body, or an object without it. */
static enum status read_index_body(struct http_exchange *exchange, bool *ret_only_ready,
                                   struct error *err)
{
    *ret_only_ready = false;
    if (exchange->body.size == 0) return STATUS_OK;
    struct json_reader reader;
    json_reader_init(&reader, exchange->body, exchange->arena);
    TRY(json_open_object(&reader, err));
    for (;;) {
        struct str key;
        bool more;
        TRY(json_next_member(&reader, &key, &more, err));
        if (!more) return json_end(&reader, err);
        if (!str_equal(key, STR("ready"))) {
            TRY(json_skip(&reader, err));
            continue;
        }
        if (json_peek(&reader) != JSON_BOOL)
            return fail(err, STATUS_INVALID_ARGUMENT,
                        "Invalid value for 'ready': expected a boolean");
        TRY(json_read_bool(&reader, ret_only_ready, err));
    }
}

static enum status write_index(const struct serve_index *index, struct arena *arena,
                               struct buffer *out, struct error *err)
{
    struct metadata_index_row *rows =
        ARENA_TRY_ARRAY(arena, struct metadata_index_row, index->count);
    if (!rows) return fail(err, STATUS_EXHAUSTED, "no memory for an index of %zu", index->count);
    for (size_t i = 0; i < index->count; i++)
        rows[i] = (struct metadata_index_row){
            .name = str_of(index->rows[i].name),
            .version = str_of(index->rows[i].version),
            .state = str_of(index->rows[i].state),
            .reason = str_of(index->rows[i].reason),
        };
    metadata_write_index(rows, index->count, out);
    return STATUS_OK;
}

void repository_handle_index(struct server_thread *thread, struct http_exchange *exchange,
                             const struct route_match *match UNUSED)
{
    struct error err;
    bool only_ready;
    if (read_index_body(exchange, &only_ready, &err) != STATUS_OK) {
        answer_failure(thread, exchange, &err);
        return;
    }
    struct serve_index index;
    serve_index_read(thread->options->serve, only_ready, &index);
    struct buffer *out = http_exchange_scratch(exchange);
    enum status status = write_index(&index, exchange->arena, out, &err);
    serve_index_clear(&index);
    if (status == STATUS_OK)
        answer_json(thread, exchange, buffer_view(out));
    else
        answer_failure(thread, exchange, &err);
}

/* --- load and unload -------------------------------------------------------------------------- */

struct control {
    struct server_thread *thread;
    struct http_exchange *exchange;
};

static void control_done(void *context, enum status status, const struct error *err)
{
    struct control *control = context;
    struct http_exchange *exchange = control->exchange;
    if (status == STATUS_OK)
        answer_json(control->thread, exchange, STR_EMPTY);
    else
        answer_failure(control->thread, exchange, err);
    http_exchange_release(exchange);
}

/* What a load's body says; the overrides point to `files`. */
struct load_body {
    struct serve_load_overrides overrides;
    struct serve_load_file *files;
};

static enum status add_file(struct json_reader *reader, struct str path, struct arena *arena,
                            struct load_body *body, struct error *err)
{
    if (body->overrides.file_count == LOAD_FILES_MAX)
        return fail(err, STATUS_INVALID_ARGUMENT, "more than %d files in one load", LOAD_FILES_MAX);
    struct str text, content;
    TRY(json_read_string(reader, &text, err));
    TRY(fail_while(err, base64_decode(text, arena, &content, err), "file '%.*s'", STR_ARGS(path)));
    body->files[body->overrides.file_count++] = (struct serve_load_file){path, content};
    return STATUS_OK;
}

static enum status read_load_parameters(struct json_reader *reader, struct arena *arena,
                                        struct load_body *body, struct error *err)
{
    TRY(json_open_object(reader, err));
    for (;;) {
        struct str key;
        bool more;
        TRY(json_next_member(reader, &key, &more, err));
        if (!more) return STATUS_OK;
        if (str_equal(key, STR("config")))
            TRY(json_read_string(reader, &body->overrides.config, err));
        else if (str_starts_with(key, STR("file:")))
            TRY(add_file(reader, str_from(key, 5), arena, body, err));
        else
            return fail(err, STATUS_INVALID_ARGUMENT,
                        "load parameter '%.*s' is unknown: 'config' and 'file:<path>' are known",
                        STR_ARGS(key));
    }
}

static enum status read_load_body(struct http_exchange *exchange, struct load_body *body,
                                  struct error *err)
{
    struct arena *arena = exchange->arena;
    *body =
        (struct load_body){.files = ARENA_TRY_ARRAY(arena, struct serve_load_file, LOAD_FILES_MAX)};
    body->overrides.files = body->files;
    if (!body->files) return fail(err, STATUS_EXHAUSTED, "no memory to read the request");
    if (exchange->body.size == 0) return STATUS_OK;
    struct json_reader reader;
    json_reader_init(&reader, exchange->body, exchange->arena);
    TRY(json_open_object(&reader, err));
    for (;;) {
        struct str key;
        bool more;
        TRY(json_next_member(&reader, &key, &more, err));
        if (!more) break;
        if (str_equal(key, STR("parameters")))
            TRY(read_load_parameters(&reader, arena, body, err));
        else
            TRY(json_skip(&reader, err));
    }
    TRY(json_end(&reader, err));
    if (body->overrides.file_count > 0 && !body->overrides.config.data)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "load with files needs the parameter 'config' as well");
    return STATUS_OK;
}

static enum status start_load(struct control *control, struct str name, struct error *err)
{
    struct load_body body;
    TRY(read_load_body(control->exchange, &body, err));
    return serve_load(control->thread->options->serve, control->thread->lane, name, &body.overrides,
                      control_done, control, err);
}

static enum status start_unload(struct control *control, struct str name, struct error *err)
{
    return serve_unload(control->thread->options->serve, control->thread->lane, name, control_done,
                        control, err);
}

static void handle(struct server_thread *thread, struct http_exchange *exchange, struct str name,
                   enum status (*start)(struct control *, struct str, struct error *))
{
    struct error err;
    struct control *control = ARENA_TRY_ARRAY(exchange->arena, struct control, 1);
    enum status status = STATUS_OK;
    if (control)
        *control = (struct control){thread, exchange};
    else
        status = fail(&err, STATUS_EXHAUSTED, "no memory for one more request");
    if (status == STATUS_OK) {
        http_exchange_hold(exchange);
        status = start(control, name, &err);
        if (status == STATUS_OK) return;
        http_exchange_release(exchange);
    }
    answer_failure(thread, exchange, &err);
}

void repository_handle_load(struct server_thread *thread, struct http_exchange *exchange,
                            const struct route_match *match)
{
    handle(thread, exchange, match->captures[0], start_load);
}

void repository_handle_unload(struct server_thread *thread, struct http_exchange *exchange,
                              const struct route_match *match)
{
    handle(thread, exchange, match->captures[0], start_unload);
}

void repository_handle_named(struct server_thread *thread, struct http_exchange *exchange,
                             const struct route_match *match UNUSED)
{
    struct error err;
    fail(&err, STATUS_UNIMPLEMENTED, "'repository_name' specification is not supported");
    answer_failure(thread, exchange, &err);
}
