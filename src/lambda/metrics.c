/* The embedded metric format. */
#include "lambda/metrics.h"

#include "base/json.h"

#include <math.h>

enum unit { COUNT, MILLISECONDS };

static const struct {
    struct str name;
    enum unit unit;
} rows[] = {
#define METRIC(name, unit, help) {{#name, sizeof #name - 1}, unit},
#include "lambda/metrics.def"
#undef METRIC
};

static const char *const units[] = {[COUNT] = "Count", [MILLISECONDS] = "Milliseconds"};

void lambda_metrics_init(struct lambda_metrics *metrics,
                         const struct lambda_metrics_options *options)
{
    *metrics = (struct lambda_metrics){.options = *options};
}

void lambda_metrics_add(struct lambda_metrics *metrics, enum lambda_metric metric, double value)
{
    assert(metric < LAMBDA_METRIC_COUNT);
    size_t *count = &metrics->metrics[metric].count;
    double *values = metrics->metrics[metric].values;
    if (!isfinite(value)) {
        metrics->metrics[metric].dropped++;
    } else if (rows[metric].unit == COUNT) {
        values[0] = *count ? values[0] + value : value;
        *count = 1;
    } else if (*count == LAMBDA_VALUES_MAX) {
        metrics->metrics[metric].dropped++;
    } else {
        values[(*count)++] = value;
    }
}

static bool has_text(const char *text)
{
    return text && *text;
}

static void add_dimensions(struct json_writer *writer, const char *const *names, size_t count)
{
    json_begin_array(writer);
    for (size_t i = 0; i < count; i++) json_add_string(writer, str_of(names[i]));
    json_end_array(writer);
}

static void write_dimensions(const struct lambda_metrics *metrics, struct json_writer *writer)
{
    static const char *const plain[] = {"Service", "Env"};
    static const char *const version[] = {"Service", "Env", "FunctionVersion"};
    static const char *const variant[] = {"Service", "Env", "Variant"};
    json_add_name(writer, STR("Dimensions"));
    json_begin_array(writer);
    add_dimensions(writer, plain, COUNT_OF(plain));
    if (has_text(metrics->options.function_version))
        add_dimensions(writer, version, COUNT_OF(version));
    if (has_text(metrics->options.variant)) add_dimensions(writer, variant, COUNT_OF(variant));
    json_end_array(writer);
}

static void write_definitions(const struct lambda_metrics *metrics, struct json_writer *writer)
{
    json_add_name(writer, STR("Metrics"));
    json_begin_array(writer);
    for (size_t i = 0; i < LAMBDA_METRIC_COUNT; i++) {
        if (metrics->metrics[i].count == 0) continue;
        json_begin_object(writer);
        json_put_string(writer, STR("Name"), rows[i].name);
        json_put_string(writer, STR("Unit"), str_of(units[rows[i].unit]));
        json_end_object(writer);
    }
    json_end_array(writer);
}

static void write_head(const struct lambda_metrics *metrics, uint64_t now_ms,
                       struct json_writer *writer)
{
    json_add_name(writer, STR("_aws"));
    json_begin_object(writer);
    json_add_name(writer, STR("Timestamp"));
    json_add_u64(writer, now_ms);
    json_add_name(writer, STR("CloudWatchMetrics"));
    json_begin_array(writer);
    json_begin_object(writer);
    json_put_string(writer, STR("Namespace"), STR("Slipway"));
    write_dimensions(metrics, writer);
    write_definitions(metrics, writer);
    json_end_object(writer);
    json_end_array(writer);
    json_end_object(writer);
}

static void write_values(const struct lambda_metrics *metrics, struct json_writer *writer)
{
    for (size_t i = 0; i < LAMBDA_METRIC_COUNT; i++) {
        size_t count = metrics->metrics[i].count;
        if (count == 0) continue;
        json_add_name(writer, rows[i].name);
        if (count == 1) {
            json_add_double(writer, metrics->metrics[i].values[0]);
            continue;
        }
        json_begin_array(writer);
        for (size_t k = 0; k < count; k++) json_add_double(writer, metrics->metrics[i].values[k]);
        json_end_array(writer);
    }
}

static void put_text(struct json_writer *writer, struct str name, const char *text)
{
    if (has_text(text)) json_put_string(writer, name, str_of(text));
}

static bool is_empty(const struct lambda_metrics *metrics)
{
    for (size_t i = 0; i < LAMBDA_METRIC_COUNT; i++)
        if (metrics->metrics[i].count > 0) return false;
    return true;
}

static uint64_t dropped(const struct lambda_metrics *metrics)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < LAMBDA_METRIC_COUNT; i++) sum += metrics->metrics[i].dropped;
    return sum;
}

void lambda_metrics_write(struct lambda_metrics *metrics,
                          const struct lambda_metrics_context *context, struct buffer *out)
{
    struct json_writer writer;
    if (is_empty(metrics)) return;
    json_writer_init(&writer, out);
    json_begin_object(&writer);
    write_head(metrics, context->now_ms, &writer);
    put_text(&writer, STR("Service"), metrics->options.service);
    put_text(&writer, STR("Env"), metrics->options.environment);
    put_text(&writer, STR("FunctionVersion"), metrics->options.function_version);
    put_text(&writer, STR("Variant"), metrics->options.variant);
    put_text(&writer, STR("RequestId"), context->request_id);
    put_text(&writer, STR("TraceId"), context->trace_id);
    if (dropped(metrics) > 0) {
        json_add_name(&writer, STR("ValuesDropped"));
        json_add_u64(&writer, dropped(metrics));
    }
    write_values(metrics, &writer);
    json_end_object(&writer);
    buffer_add_byte(out, '\n');
    for (size_t i = 0; i < LAMBDA_METRIC_COUNT; i++)
        metrics->metrics[i].count = metrics->metrics[i].dropped = 0;
}
