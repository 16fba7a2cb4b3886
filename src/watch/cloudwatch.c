/* Counts to PutMetricData. */
#include "watch/cloudwatch.h"

#include "aws/client.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"

#include <pthread.h>

enum { SEND_TIME_S = 20, LAST_SEND_TIME_S = 3, REPLY_MEMORY_MAX = 1024 * 1024 };

struct cloudwatch {
    struct cloudwatch_options options;
    struct aws_credentials *credentials;
    struct aws_client *client;
    struct metrics_worker told; /* what CloudWatch knows */
    struct error failure;       /* of the last send, as it was logged; "": it went well */
    pthread_t thread;
    bool started;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool ending; /* under the mutex */
};

/* --- what is sent ----------------------------------------------------------------------------- */

static bool is_ascii(struct str text)
{
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] < 0x20 || text.data[i] > 0x7e) return false;
    return true;
}

enum status cloudwatch_check(const struct cloudwatch_options *options, struct error *err)
{
    struct str space = str_of(options->namespace);
    if (space.size == 0 || space.size > CLOUDWATCH_TEXT_MAX || !is_ascii(space) ||
        str_starts_with(space, STR("AWS/")))
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "namespace '%s': CloudWatch takes 1 to %d ASCII characters that do not begin "
                    "with 'AWS/'",
                    options->namespace, CLOUDWATCH_TEXT_MAX);
    if (options->dimension_count > CLOUDWATCH_DIMENSIONS_MAX)
        return fail(err, STATUS_INVALID_ARGUMENT, "%zu dimensions: CloudWatch takes %d at most",
                    options->dimension_count, CLOUDWATCH_DIMENSIONS_MAX);
    for (size_t i = 0; i < options->dimension_count; i++) {
        struct str value = str_of(options->dimensions[i]), name = str_cut(&value, '=');
        if (!value.data || value.size == 0 || value.size > CLOUDWATCH_VALUE_MAX || name.size == 0 ||
            name.size > CLOUDWATCH_TEXT_MAX || !is_ascii(name) || !is_ascii(value) ||
            *name.data == ':')
            return fail(err, STATUS_INVALID_ARGUMENT,
                        "dimension '%s': it is NAME=VALUE, of ASCII characters",
                        options->dimensions[i]);
    }
    return STATUS_OK;
}

static void write_datum(const struct cloudwatch_options *options, const char *name, uint64_t value,
                        uint64_t now_s, struct json_writer *json)
{
    json_begin_object(json);
    json_put_string(json, STR("MetricName"), str_of(name));
    json_add_name(json, STR("Dimensions"));
    json_begin_array(json);
    for (size_t i = 0; i < options->dimension_count; i++) {
        struct str text = str_of(options->dimensions[i]), key = str_cut(&text, '=');
        json_begin_object(json);
        json_put_string(json, STR("Name"), key);
        json_put_string(json, STR("Value"), text);
        json_end_object(json);
    }
    json_end_array(json);
    json_put_u64(json, STR("Timestamp"), now_s);
    json_put_u64(json, STR("Value"), value);
    json_put_string(json, STR("Unit"), STR("Count"));
    json_end_object(json);
}

void cloudwatch_write(const struct cloudwatch_options *options, const struct metrics_worker *before,
                      const struct metrics_worker *now, uint64_t now_s, struct buffer *out)
{
    struct json_writer json;
    json_writer_init(&json, out);
    json_begin_object(&json);
    json_put_string(&json, STR("Namespace"), str_of(options->namespace));
    json_add_name(&json, STR("MetricData"));
    json_begin_array(&json);
#define METRIC(name, field, help)                                                                  \
    write_datum(options, #name, now->field - MIN(before->field, now->field), now_s, &json);
#include "watch/cloudwatch.def"
#undef METRIC
    json_end_array(&json);
    json_end_object(&json);
}

static void note(struct cloudwatch *cloudwatch, enum status status, const struct error *err)
{
    if (status != STATUS_OK && strcmp(cloudwatch->failure.message, err->message) != 0)
        log_warning("CloudWatch is not told; it will be, later", LOG_TEXT("error", err->message));
    if (status == STATUS_OK)
        *cloudwatch->failure.message = '\0';
    else
        cloudwatch->failure = *err;
}

static void tell(struct cloudwatch *cloudwatch, uint64_t time_s)
{
    struct metrics_worker now = {0};
    struct buffer request CLEANUP(buffer_clear);
    struct arena arena CLEANUP(arena_clear);
    struct aws_reply reply;
    struct error err;
    buffer_init(&request, CLOUDWATCH_REQUEST_MAX);
    arena_init(&arena, REPLY_MEMORY_MAX);
    cloudwatch->options.read(cloudwatch->options.context, &now);
    cloudwatch_write(&cloudwatch->options, &cloudwatch->told, &now, clock_wall_ns() / NS_PER_S,
                     &request);
    const struct aws_json_request json = {.target = "GraniteServiceVersion20100801.PutMetricData",
                                          .body = buffer_view(&request),
                                          .timeout_ns = time_s * NS_PER_S,
                                          .attempt_timeout_ns = time_s * NS_PER_S};
    enum status status = aws_json_call(cloudwatch->client, &json, &arena, &reply, &err);
    if (status == STATUS_OK) cloudwatch->told = now;
    note(cloudwatch, status, &err);
}

/* --- the thread ------------------------------------------------------------------------------- */

/* False when it is the end. */
static bool wait_interval(struct cloudwatch *cloudwatch)
{
    uint64_t until_ns = clock_monotonic_ns() + cloudwatch->options.interval_ns;
    struct timespec until = {(time_t)(until_ns / NS_PER_S), (long)(until_ns % NS_PER_S)};
    (void)pthread_mutex_lock(&cloudwatch->mutex);
    while (!cloudwatch->ending)
        if (pthread_cond_timedwait(&cloudwatch->changed, &cloudwatch->mutex, &until) != 0) break;
    bool go_on = !cloudwatch->ending;
    (void)pthread_mutex_unlock(&cloudwatch->mutex);
    return go_on;
}

static void *cloudwatch_run(void *context)
{
    struct cloudwatch *cloudwatch = context;
    while (wait_interval(cloudwatch)) tell(cloudwatch, SEND_TIME_S);
    tell(cloudwatch, LAST_SEND_TIME_S);
    return NULL;
}

static enum status start(struct cloudwatch *cloudwatch, struct error *err)
{
    TRY(cloudwatch_check(&cloudwatch->options, err));
    TRY(aws_credentials_new(&(struct aws_credentials_options){0}, &cloudwatch->credentials, err));
    TRY(aws_client_new(&(struct aws_client_options){.service = "monitoring",
                                                    .credentials = cloudwatch->credentials},
                       &cloudwatch->client, err));
    int problem = pthread_create(&cloudwatch->thread, NULL, cloudwatch_run, cloudwatch);
    if (problem) return fail_errno(err, problem, "starting the thread that tells CloudWatch");
    cloudwatch->started = true;
    return STATUS_OK;
}

enum status cloudwatch_new(const struct cloudwatch_options *options,
                           struct cloudwatch **ret_cloudwatch, struct error *err)
{
    struct cloudwatch *cloudwatch = MEM_NEW(struct cloudwatch);
    pthread_condattr_t attributes;
    cloudwatch->options = *options;
    (void)pthread_mutex_init(&cloudwatch->mutex, NULL); /* these cannot fail on Linux */
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&cloudwatch->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    enum status status = start(cloudwatch, err);
    if (status != STATUS_OK) {
        cloudwatch_free(cloudwatch);
        return status;
    }
    *ret_cloudwatch = cloudwatch;
    return STATUS_OK;
}

void cloudwatch_free(struct cloudwatch *cloudwatch)
{
    if (!cloudwatch) return;
    (void)pthread_mutex_lock(&cloudwatch->mutex);
    cloudwatch->ending = true;
    (void)pthread_cond_signal(&cloudwatch->changed);
    (void)pthread_mutex_unlock(&cloudwatch->mutex);
    if (cloudwatch->started) (void)pthread_join(cloudwatch->thread, NULL);
    aws_client_free(cloudwatch->client);
    aws_credentials_free(cloudwatch->credentials);
    (void)pthread_cond_destroy(&cloudwatch->changed);
    (void)pthread_mutex_destroy(&cloudwatch->mutex);
    mem_free(cloudwatch);
}
