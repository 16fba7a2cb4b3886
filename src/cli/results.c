/* A store, or a server in front of one. */
#include "cli/results.h"

#include "base/mem.h"
#include "cli/remote.h"
#include "store/filter.h"
#include "store/record_json.h"

enum { PATH_SIZE_MAX = 16 * 1024 };

struct results {
    const struct config *config;
    struct data *data; /* or: */
    struct remote *remote;
    struct store *store;
};

static enum status open_store(struct results *results, struct error *err)
{
    struct data_parts parts;
    results->data = data_new(results->config);
    TRY(data_open(results->data, true, err));
    TRY(data_get(results->data, &parts, err));
    results->store = parts.store;
    return STATUS_OK;
}

enum status results_open(const struct config *config, struct results **ret_results,
                         struct error *err)
{
    struct results *results = MEM_NEW(struct results);
    results->config = config;
    enum status status = *config->results_url
                             ? remote_open(config->results_url, 0, &results->remote, err)
                             : open_store(results, err);
    if (status != STATUS_OK) {
        results_close(results);
        return status;
    }
    *ret_results = results;
    return STATUS_OK;
}

void results_close(struct results *results)
{
    if (!results) return;
    if (results->remote) remote_close(results->remote);
    data_free(results->data);
    mem_free(results);
}

/* --- asking a server -------------------------------------------------------------------------- */

static void add_parameters(const struct config *config, const struct store_list *list,
                           struct buffer *path)
{
    char limit[16];
    const struct {
        const char *name;
        const char *value;
    } filters[] = {
        {"model", config->results_model},       {"version", config->results_version},
        {"variant", config->results_variant},   {"group", config->results_group},
        {"queue", config->results_queue},       {"key", config->results_key},
        {"trace_id", config->results_trace_id}, {"state", config->results_state},
        {"source", config->results_source},     {"since", config->results_since},
        {"until", config->results_until},
    };
    for (size_t i = 0; i < COUNT_OF(filters); i++)
        remote_add_parameter(path, filters[i].name, str_of(filters[i].value));
    if (config->results_failed) remote_add_parameter(path, "failed", STR("true"));
    (void)snprintf(limit, sizeof limit, "%u", list->count_max);
    remote_add_parameter(path, "limit", str_of(limit));
    if (list->ascending) remote_add_parameter(path, "order", STR("oldest"));
    if (!list->without_payloads) remote_add_parameter(path, "payload", STR("true"));
    remote_add_parameter(path, "cursor", list->cursor);
}

static enum status read_records(struct json_reader *reader, struct store_list *list,
                                struct error *err)
{
    TRY(json_open_array(reader, err));
    for (;;) {
        bool more;
        TRY(json_next_element(reader, &more, err));
        if (!more) return STATUS_OK;
        if (list->count == list->count_max)
            return fail(err, STATUS_DATA_LOSS, "the server sent more records than were asked for");
        TRY(record_read_json(reader, &list->records[list->count], err));
        list->count++;
    }
}

static enum status read_page(struct str body, struct store_list *list, struct arena *arena,
                             struct error *err)
{
    struct json_reader reader;
    bool more;
    json_reader_init(&reader, body, arena);
    list->next = STR_EMPTY;
    TRY(json_open_object(&reader, err));
    for (;;) {
        struct str key;
        TRY(json_next_member(&reader, &key, &more, err));
        if (!more) return STATUS_OK;
        if (str_equal(key, STR("results")))
            TRY(read_records(&reader, list, err));
        else if (str_equal(key, STR("next")))
            TRY(json_read_string(&reader, &list->next, err));
        else
            TRY(json_skip(&reader, err));
    }
}

/* The answer is the connection's until the next request: what is read from it must last longer. */
static enum status ask(struct results *results, const char *path, struct arena *arena,
                       struct str *ret_body, struct error *err)
{
    struct str body;
    TRY(remote_get(results->remote, path, &body, err));
    *ret_body = arena_try_copy(arena, body);
    if (!ret_body->data)
        return fail(err, STATUS_EXHAUSTED, "an answer of %zu bytes is too large", body.size);
    return STATUS_OK;
}

static enum status ask_page(struct results *results, struct store_list *list, struct arena *arena,
                            struct error *err)
{
    struct buffer path CLEANUP(buffer_clear);
    struct str body;
    list->count = 0;
    list->records = ARENA_TRY_ARRAY(arena, struct record, list->count_max);
    buffer_init(&path, PATH_SIZE_MAX);
    buffer_add_text(&path, "/v2/results");
    add_parameters(results->config, list, &path);
    if (!list->records || buffer_failed(&path))
        return fail(err, STATUS_EXHAUSTED, "no memory for a page of records");
    TRY(ask(results, buffer_text(&path), arena, &body, err));
    return fail_while(err, read_page(body, list, arena, err), "reading the server's answer");
}

enum status results_page(struct results *results, struct store_list *list, struct arena *arena,
                         struct error *err)
{
    struct store_call call = {.operation = STORE_LIST, .arena = arena, .list = *list};
    if (results->remote) return ask_page(results, list, arena, err);
    TRY(store_run(results->store, &call, err));
    *list = call.list;
    return STATUS_OK;
}

enum status results_get(struct results *results, struct str id, struct arena *arena,
                        struct record *ret_record, struct error *err)
{
    struct store_call call = {.operation = STORE_GET, .arena = arena, .get = {.id = id}};
    if (!results->remote) {
        TRY(store_run(results->store, &call, err));
        *ret_record = call.get.record;
        return STATUS_OK;
    }
    struct buffer path CLEANUP(buffer_clear);
    struct json_reader reader;
    struct str body;
    buffer_init(&path, PATH_SIZE_MAX);
    buffer_add_format(&path, "/v2/results/%.*s", STR_ARGS(id));
    TRY(ask(results, buffer_text(&path), arena, &body, err));
    json_reader_init(&reader, body, arena);
    return fail_while(err, record_read_json(&reader, ret_record, err),
                      "reading the server's answer");
}

enum status results_store(struct results *results, struct store **ret_store, struct data **ret_data,
                          struct error *err)
{
    if (results->remote)
        return fail(err, STATUS_FAILED_PRECONDITION,
                    "this works on the data store itself: give --data-url instead of --url");
    *ret_store = results->store;
    *ret_data = results->data;
    return STATUS_OK;
}
