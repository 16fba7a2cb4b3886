/* What there is to know about models: metadata, readiness, configuration, statistics, V1 status. */
#include "base/json.h"
#include "config/model_config.h"
#include "protocol/metadata.h"
#include "server/answer.h"
#include "server/routes.h"
#include "server/statistics_json.h"

static struct str version_of(const struct route_match *match)
{
    return match->capture_count > 1 ? match->captures[1] : STR_EMPTY;
}

/* The model of the path, or NULL and the exchange is answered. */
static struct serve_model *find_model(struct server_thread *thread, struct http_exchange *exchange,
                                      const struct route_match *match)
{
    struct serve_model *model;
    struct error err;
    if (serve_find(thread->lane, match->captures[0], version_of(match), &model, &err) == STATUS_OK)
        return model;
    answer_failure(thread, exchange, &err);
    return NULL;
}

/* Answers what was written into the scratch buffer, or that it did not fit. */
static void answer_scratch(struct server_thread *thread, struct http_exchange *exchange,
                           struct buffer *out)
{
    if (!buffer_failed(out)) {
        answer_json(thread, exchange, buffer_view(out));
        return;
    }
    struct error err;
    fail(&err, STATUS_EXHAUSTED, "no memory for the answer");
    answer_failure(thread, exchange, &err);
}

void model_handle_metadata(struct server_thread *thread, struct http_exchange *exchange,
                           const struct route_match *match)
{
    struct serve_model *model = find_model(thread, exchange, match);
    if (!model) return;
    const struct str *versions;
    struct metadata_model metadata = {
        .spec = serve_model_spec(model),
        .platform = serve_model_platform(model),
        .version_count = serve_versions(thread->lane, serve_model_name(model), &versions),
    };
    metadata.versions = versions;
    struct buffer *out = http_exchange_scratch(exchange);
    metadata_write_model(&metadata, out);
    answer_scratch(thread, exchange, out);
}

void model_handle_ready(struct server_thread *thread, struct http_exchange *exchange,
                        const struct route_match *match)
{
    struct serve_model *model;
    struct error err;
    enum status status =
        serve_find(thread->lane, match->captures[0], version_of(match), &model, &err);
    bool known = status == STATUS_OK || status == STATUS_UNAVAILABLE;
    if (known && !serve_model_ready(thread->lane, match->captures[0], version_of(match)))
        status = fail(&err, STATUS_INVALID_ARGUMENT, "Model version not ready");
    if (status != STATUS_OK) {
        answer_failure(thread, exchange, &err);
        return;
    }
    struct buffer *out = http_exchange_scratch(exchange);
    struct json_writer json;
    json_writer_init(&json, out);
    json_begin_object(&json);
    json_put_string(&json, STR("name"), serve_model_name(model));
    json_put_bool(&json, STR("ready"), true);
    json_end_object(&json);
    answer_scratch(thread, exchange, out);
}

void model_handle_config(struct server_thread *thread, struct http_exchange *exchange,
                         const struct route_match *match)
{
    struct serve_model *model = find_model(thread, exchange, match);
    if (!model) return;
    struct buffer *out = http_exchange_scratch(exchange);
    model_config_write_json(out, serve_model_config(model));
    answer_scratch(thread, exchange, out);
}

void model_handle_statistics(struct server_thread *thread, struct http_exchange *exchange,
                             const struct route_match *match)
{
    struct str name = match->capture_count > 0 ? match->captures[0] : STR_EMPTY;
    if (match->capture_count > 0 && !find_model(thread, exchange, match)) return;
    struct serve_statistics statistics;
    serve_statistics_read(thread->options->serve, name, version_of(match), &statistics);
    struct buffer *out = http_exchange_scratch(exchange);
    statistics_json_write(out, &statistics);
    serve_statistics_clear(&statistics);
    answer_scratch(thread, exchange, out);
}

/* --- lists ------------------------------------------------------------------------------------ */

struct name_list {
    struct json_writer json;
    struct str last;
};

/* Models come by name, then version: a name is written once. */
static void add_name(void *context, struct serve_model *model)
{
    struct name_list *list = context;
    struct str name = serve_model_name(model);
    if (str_equal(list->last, name)) return;
    json_add_string(&list->json, name);
    list->last = name;
}

static void answer_names(struct server_thread *thread, struct http_exchange *exchange)
{
    struct buffer *out = http_exchange_scratch(exchange);
    struct name_list list = {.last = STR_EMPTY};
    json_writer_init(&list.json, out);
    json_begin_object(&list.json);
    json_add_name(&list.json, STR("models"));
    json_begin_array(&list.json);
    serve_models_each(thread->lane, add_name, &list);
    json_end_array(&list.json);
    json_end_object(&list.json);
    answer_scratch(thread, exchange, out);
}

void model_handle_list(struct server_thread *thread, struct http_exchange *exchange,
                       const struct route_match *match UNUSED)
{
    answer_names(thread, exchange);
}

void model_handle_v1_list(struct server_thread *thread, struct http_exchange *exchange,
                          const struct route_match *match UNUSED)
{
    answer_names(thread, exchange);
}

static void add_v1_version(struct json_writer *json, struct str version)
{
    json_begin_object(json);
    json_put_string(json, STR("version"), version);
    json_put_string(json, STR("state"), STR("AVAILABLE"));
    json_add_name(json, STR("status"));
    json_begin_object(json);
    json_put_string(json, STR("error_code"), STR("OK"));
    json_put_string(json, STR("error_message"), STR(""));
    json_end_object(json);
    json_end_object(json);
}

/* KServe reads `name` and `ready`, TensorFlow Serving's clients `model_version_status`. */
void model_handle_v1_status(struct server_thread *thread, struct http_exchange *exchange,
                            const struct route_match *match)
{
    struct serve_model *model = find_model(thread, exchange, match);
    if (!model) return;
    const struct str *versions;
    size_t count = serve_versions(thread->lane, match->captures[0], &versions);
    struct str wanted = version_of(match);
    struct buffer *out = http_exchange_scratch(exchange);
    struct json_writer json;
    json_writer_init(&json, out);
    json_begin_object(&json);
    json_put_string(&json, STR("name"), serve_model_name(model));
    json_put_bool(&json, STR("ready"), serve_model_ready(thread->lane, match->captures[0], wanted));
    json_add_name(&json, STR("model_version_status"));
    json_begin_array(&json);
    for (size_t i = 0; i < count; i++)
        if (!wanted.size || str_equal(wanted, versions[i])) add_v1_version(&json, versions[i]);
    json_end_array(&json);
    json_end_object(&json);
    answer_scratch(thread, exchange, out);
}
