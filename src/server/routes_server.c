/* The server itself: health, metadata, logging settings, metrics. */
#include "app/data.h"
#include "base/json.h"
#include "base/log.h"
#include "jobs/jobs.h"
#include "protocol/metadata.h"
#include "server/answer.h"
#include "server/routes.h"
#include "watch/scrape.h"

/* What works here, by Triton's names. */
static const char *const extensions[] = {
    "binary_tensor_data", "classification", "logging",         "model_configuration",
    "model_repository",   "parameters",     "schedule_policy", "statistics",
};

void server_handle_live(struct server_thread *thread, struct http_exchange *exchange,
                        const struct route_match *match UNUSED)
{
    answer_json(thread, exchange, STR("{\"live\":true}"));
}

void server_handle_ready(struct server_thread *thread, struct http_exchange *exchange,
                         const struct route_match *match UNUSED)
{
    if (!thread->draining && serve_is_ready(thread->options->serve)) {
        answer_json(thread, exchange, STR("{\"ready\":true}"));
        return;
    }
    answer_text(thread, exchange, 503, "application/json", STR("{\"ready\":false}"));
}

void server_handle_metadata(struct server_thread *thread, struct http_exchange *exchange,
                            const struct route_match *match UNUSED)
{
    struct metadata_server metadata = {
        .name = thread->options->name,
        .version = SLIPWAY_VERSION,
        .extensions = extensions,
        .extension_count = COUNT_OF(extensions),
    };
    struct buffer *out = http_exchange_scratch(exchange);
    metadata_write_server(&metadata, out);
    answer_json(thread, exchange, buffer_view(out));
}

void server_handle_root(struct server_thread *thread, struct http_exchange *exchange,
                        const struct route_match *match UNUSED)
{
    static const char text[] =
        "Slipway " SLIPWAY_VERSION " serves models here.\n"
        "\n"
        "GET  /v2                        the server, and what it can do\n"
        "GET  /v2/models                 the models that are ready\n"
        "GET  /v2/models/NAME            what a model takes and gives\n"
        "POST /v2/models/NAME/infer      Open Inference Protocol V2\n"
        "POST /v1/models/NAME:predict    V1\n"
        "POST /models/NAME               a bare JSON array, answered by one\n"
        "GET  /v2/health/ready           for load balancers\n"
        "GET  /metrics                   for Prometheus\n";
    answer_text(thread, exchange, 200, "text/plain; charset=utf-8",
                (struct str){text, sizeof text - 1});
}

void server_handle_metrics(struct server_thread *thread, struct http_exchange *exchange,
                           const struct route_match *match UNUSED)
{
    if (!thread->options->metrics) {
        answer_text(thread, exchange, 404, "application/json", STR("{\"error\":\"Not Found\"}"));
        return;
    }
    const struct server_options *options = thread->options;
    struct metrics_http counters;
    struct data_parts parts;
    struct error err;
    server_counters_read(thread->server, &counters);
    struct scrape_source source = {.serve = options->serve,
                                   .http = &counters,
                                   .recorder = options->recorder,
                                   .depths = options->depths,
                                   .jobs = options->jobs ? &options->jobs->tally : NULL};
    if (options->data && data_get(options->data, &parts, &err) == STATUS_OK) {
        if (parts.queues) source.queues = queue_store_tally(parts.queues);
        source.database = parts.database;
    }
    if (options->outside) source.sqs = queue_store_tally(options->outside);
    if (options->read_worker) options->read_worker(options->read_worker_context, &source.worker);
    enum metrics_form form = metrics_form_for(http_exchange_header(exchange, HTTP_HEADER_ACCEPT));
    struct buffer *out = http_exchange_scratch(exchange);
    scrape_write(&source, form, out);
    answer_text(thread, exchange, 200, metrics_content_type(form), buffer_view(out));
}

/* --- logging settings ----------------------------------------------------------------------------
 */

/*
 * Triton's switches on our levels: a level is written if its switch and those above are on. Verbose
 * is debug. Each failing combination is refused rather than half applied.
 */
struct log_settings {
    bool info;
    bool warning;
    bool error;
    uint64_t verbose;
};

static struct log_settings current_settings(void)
{
    enum log_level level = log_get_level();
    return (struct log_settings){
        .info = level <= LOG_LEVEL_INFO,
        .warning = level <= LOG_LEVEL_WARNING,
        .error = level <= LOG_LEVEL_ERROR,
        .verbose = level == LOG_LEVEL_DEBUG ? 1 : 0,
    };
}

static enum status read_log_setting(struct json_reader *reader, struct str key,
                                    struct log_settings *settings, struct error *err)
{
    if (str_equal(key, STR("log_info"))) return json_read_bool(reader, &settings->info, err);
    if (str_equal(key, STR("log_warning"))) return json_read_bool(reader, &settings->warning, err);
    if (str_equal(key, STR("log_error"))) return json_read_bool(reader, &settings->error, err);
    if (str_equal(key, STR("log_verbose_level")))
        return json_read_u64(reader, &settings->verbose, err);
    if (str_equal(key, STR("log_file")))
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "log file location can not be updated through network protocol");
    struct str format;
    if (!str_equal(key, STR("log_format")))
        return fail(err, STATUS_INVALID_ARGUMENT, "unknown log setting '%.*s'", STR_ARGS(key));
    TRY(json_read_string(reader, &format, err));
    if (str_equal(format, STR("ISO8601"))) return STATUS_OK;
    return fail(err, STATUS_INVALID_ARGUMENT,
                "log_format '%.*s' is not supported: times are always written as ISO8601",
                STR_ARGS(format));
}

static enum status apply_log_settings(const struct log_settings *settings, struct error *err)
{
    if ((settings->info && !settings->warning) || (settings->warning && !settings->error))
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "a log level cannot be on while a graver one is off");
    log_set_level(settings->verbose   ? LOG_LEVEL_DEBUG
                  : settings->info    ? LOG_LEVEL_INFO
                  : settings->warning ? LOG_LEVEL_WARNING
                  : settings->error   ? LOG_LEVEL_ERROR
                                      : LOG_LEVEL_OFF);
    return STATUS_OK;
}

static enum status update_log_settings(struct http_exchange *exchange, struct error *err)
{
    struct log_settings settings = current_settings();
    struct json_reader reader;
    json_reader_init(&reader, exchange->body, exchange->arena);
    TRY(json_open_object(&reader, err));
    for (;;) {
        struct str key;
        bool more;
        TRY(json_next_member(&reader, &key, &more, err));
        if (!more) break;
        TRY(read_log_setting(&reader, key, &settings, err));
    }
    TRY(json_end(&reader, err));
    return apply_log_settings(&settings, err);
}

void server_handle_logging(struct server_thread *thread, struct http_exchange *exchange,
                           const struct route_match *match UNUSED)
{
    struct error err;
    if (exchange->method == HTTP_METHOD_POST && update_log_settings(exchange, &err) != STATUS_OK) {
        answer_failure(thread, exchange, &err);
        return;
    }
    struct log_settings settings = current_settings();
    struct buffer *out = http_exchange_scratch(exchange);
    struct json_writer json;
    json_writer_init(&json, out);
    json_begin_object(&json);
    json_put_string(&json, STR("log_file"), STR(""));
    json_put_bool(&json, STR("log_info"), settings.info);
    json_put_bool(&json, STR("log_warning"), settings.warning);
    json_put_bool(&json, STR("log_error"), settings.error);
    json_put_u64(&json, STR("log_verbose_level"), settings.verbose);
    json_put_string(&json, STR("log_format"), STR("ISO8601"));
    json_end_object(&json);
    answer_json(thread, exchange, buffer_view(out));
}
