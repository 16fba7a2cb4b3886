/* `slipway bench`: how many requests a second, and how long they take. */
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/num.h"
#include "cli/command.h"
#include "cli/console.h"
#include "cli/load.h"
#include "cli/local.h"
#include "cli/remote.h"
#include "cli/sample.h"
#include "protocol/oip_json.h"

#include <unistd.h>

enum {
    LEVELS_MAX = 64,
    BENCH_BODY_MAX = 256 * 1024 * 1024,
    BENCH_MEMORY_MAX = 1024 * 1024 * 1024,
    BENCH_OUTPUT_MAX = 1024 * 1024,
    PROGRESS_WIDTH = 40,
    SAMPLE_SEED = 1,
};

/* One measurement. */
struct row {
    uint32_t concurrency;
    struct load_result result;
};

struct bench {
    struct command_context *context;
    uint32_t levels[LEVELS_MAX]; /* concurrencies to measure */
    size_t level_count;
    struct row rows[LEVELS_MAX];
    size_t row_count;
    struct arena arena;
    struct buffer body;
    struct buffer request;
};

/* --- progress --------------------------------------------------------------------------------- */

/* On the error stream, and only if that is a terminal: results stay clean in a pipe. */
static void show_progress(void *context, double share)
{
    uint32_t concurrency = *(const uint32_t *)context;
    if (!isatty(STDERR_FILENO)) return;
    char bar[PROGRESS_WIDTH + 1];
    int filled = (int)(share * PROGRESS_WIDTH);
    for (int i = 0; i < PROGRESS_WIDTH; i++) bar[i] = i < filled ? '#' : '.';
    bar[PROGRESS_WIDTH] = '\0';
    (void)fprintf(stderr, "\r  %u in flight [%s] %3.0f %%", concurrency, bar, share * 100);
}

static void end_progress(void)
{
    if (isatty(STDERR_FILENO)) (void)fprintf(stderr, "\r\33[K");
}

/* --- results ---------------------------------------------------------------------------------- */

static double per_second(const struct load_result *result)
{
    return result->elapsed_ns ? (double)result->answers * 1e9 / (double)result->elapsed_ns : 0;
}

static double quantile_us(const struct load_result *result, double share)
{
    return (double)latency_quantile_ns(result->latency, share) / 1e3;
}

static void print_notes(const struct bench *bench, struct buffer *out)
{
    for (size_t i = 0; i < bench->row_count; i++) {
        const struct load_result *result = &bench->rows[i].result;
        unsigned concurrency = bench->rows[i].concurrency;
        if (result->first_refusal)
            buffer_add_format(out, "%u in flight: %llu requests were refused, the first with %d\n",
                              concurrency, (unsigned long long)result->refused,
                              result->first_refusal);
        if (result->broken)
            buffer_add_format(out, "%u in flight: %llu connections were lost\n", concurrency,
                              (unsigned long long)result->broken);
        if (result->unsent)
            buffer_add_format(
                out,
                "%u in flight: %llu requests were due and could not start: the server "
                "is slower than the rate, or --concurrency too low for it\n",
                concurrency, (unsigned long long)result->unsent);
        if ((double)result->cpu_ns > 0.95 * (double)result->elapsed_ns)
            buffer_add_format(out,
                              "%u in flight: this program used its whole processor; the figure "
                              "is a lower bound\n",
                              concurrency);
    }
}

static void print_text(const struct bench *bench, struct buffer *out)
{
    static const char *const heads[] = {"in flight", "requests/s", "rows/s", "mean us", "p50 us",
                                        "p90 us",    "p99 us",     "p99.9",  "max us"};
    double rows = (double)bench->context->config->bench_batch;
    struct table table;
    table_init(&table, COUNT_OF(heads));
    for (size_t i = 0; i < COUNT_OF(heads); i++) table_add(&table, heads[i]);
    for (size_t i = 0; i < bench->row_count; i++) {
        const struct load_result *result = &bench->rows[i].result;
        table_add_format(&table, "%u", bench->rows[i].concurrency);
        table_add_format(&table, "%.0f", per_second(result));
        table_add_format(&table, "%.0f", per_second(result) * rows);
        table_add_format(&table, "%.1f", latency_mean_ns(result->latency) / 1e3);
        static const double shares[] = {0.5, 0.9, 0.99, 0.999, 1};
        for (size_t j = 0; j < COUNT_OF(shares); j++)
            table_add_format(&table, "%.1f", quantile_us(result, shares[j]));
    }
    table_print(&table, out);
    table_clear(&table);
    print_notes(bench, out);
}

static void add_json_row(struct json_writer *json, const struct row *row, double rows)
{
    const struct load_result *result = &row->result;
    json_begin_object(json);
    json_put_u64(json, STR("concurrency"), row->concurrency);
    json_put_double(json, STR("requests_per_second"), per_second(result));
    json_put_double(json, STR("rows_per_second"), per_second(result) * rows);
    json_put_u64(json, STR("answers"), result->answers);
    json_put_u64(json, STR("refused"), result->refused);
    json_put_u64(json, STR("broken"), result->broken);
    json_put_u64(json, STR("unsent"), result->unsent);
    json_put_double(json, STR("seconds"), (double)result->elapsed_ns / 1e9);
    json_put_double(json, STR("client_cpu_seconds"), (double)result->cpu_ns / 1e9);
    json_put_double(json, STR("mean_us"), latency_mean_ns(result->latency) / 1e3);
    json_put_double(json, STR("p50_us"), quantile_us(result, 0.5));
    json_put_double(json, STR("p90_us"), quantile_us(result, 0.9));
    json_put_double(json, STR("p99_us"), quantile_us(result, 0.99));
    json_put_double(json, STR("p999_us"), quantile_us(result, 0.999));
    json_put_double(json, STR("max_us"), quantile_us(result, 1));
    json_end_object(json);
}

static enum status print(struct bench *bench, struct error *err)
{
    struct buffer out;
    buffer_init(&out, BENCH_OUTPUT_MAX);
    const struct config *config = bench->context->config;
    if (config->bench_json) {
        struct json_writer json;
        json_writer_init(&json, &out);
        json_begin_object(&json);
        json_put_string(&json, STR("target"), str_of(config->positionals.items[0]));
        json_put_u64(&json, STR("batch"), config->bench_batch);
        json_put_double(&json, STR("rate"), config->bench_rate);
        json_add_name(&json, STR("results"));
        json_begin_array(&json);
        for (size_t i = 0; i < bench->row_count; i++)
            add_json_row(&json, &bench->rows[i], (double)config->bench_batch);
        json_end_array(&json);
        json_end_object(&json);
        buffer_add_byte(&out, '\n');
    } else {
        print_text(bench, &out);
    }
    uint64_t answers = 0;
    for (size_t i = 0; i < bench->row_count; i++) answers += bench->rows[i].result.answers;
    TRY(console_flush(&out, bench->context->out, err));
    if (answers > 0) return STATUS_OK;
    return fail(err, STATUS_UNAVAILABLE, "not one request was answered with success");
}

/* --- a server --------------------------------------------------------------------------------- */

static enum status make_body(struct bench *bench, const struct infer_spec *spec, struct error *err)
{
    const struct config *config = bench->context->config;
    if (*config->bench_data)
        return console_read_file(config->bench_data, BENCH_BODY_MAX, &bench->body, err);
    struct infer_request request;
    struct prng prng;
    bool guessed;
    infer_request_init(&request, &bench->arena);
    prng_seed(&prng, SAMPLE_SEED);
    TRY(sample_fill(spec, (int64_t)config->bench_batch, &prng, &request, &guessed, err));
    TRY(oip_json_write_request(&request, &bench->body, err));
    if (buffer_failed(&bench->body))
        return fail(err, STATUS_EXHAUSTED, "the request is larger than %d bytes", BENCH_BODY_MAX);
    return STATUS_OK;
}

/* One request before the load: a refusal is told in the server's words. */
static enum status try_once(struct bench *bench, struct remote *remote, const char *path,
                            struct error *err)
{
    struct str answer;
    enum status status = remote_post(remote, path, buffer_view(&bench->body), &answer, err);
    if (status == STATUS_INVALID_ARGUMENT && !*bench->context->config->bench_data)
        return fail_while(err, status,
                          "the made-up request was refused (give a real one with --data)");
    return status;
}

static enum status measure_server(struct bench *bench, const char *host, uint16_t port,
                                  struct error *err)
{
    const struct config *config = bench->context->config;
    for (size_t i = 0; i < bench->level_count; i++) {
        struct row *row = &bench->rows[bench->row_count];
        row->concurrency = bench->levels[i];
        struct load_options options = {
            .host = host,
            .port = port,
            .request = buffer_view(&bench->request),
            .connections = row->concurrency,
            .rate = config->bench_rate,
            .warmup_ns = config->bench_warmup_ns,
            .duration_ns = config->bench_duration_ns,
            .progress = show_progress,
            .progress_context = &row->concurrency,
        };
        enum status status = load_run(&options, &row->result, err);
        end_progress();
        TRY(status);
        bench->row_count++;
    }
    return STATUS_OK;
}

static enum status prepare(struct bench *bench, struct remote *remote, struct str prefix,
                           const char *host, struct error *err)
{
    struct str name = str_of(bench->context->config->bench_model);
    struct infer_spec spec;
    TRY(remote_spec(remote, name, STR_EMPTY, &bench->arena, &spec, err));
    TRY(make_body(bench, &spec, err));
    char *path CLEANUP(mem_freep) = remote_model_path(name, STR_EMPTY, "/infer");
    TRY(try_once(bench, remote, path, err));
    bool six = strchr(host, ':') != NULL;
    buffer_add_format(&bench->request,
                      "POST %.*s%s HTTP/1.1\r\nHost: %s%s%s\r\nContent-Type: application/json\r\n"
                      "Content-Length: %zu\r\n\r\n",
                      STR_ARGS(prefix), path, six ? "[" : "", host, six ? "]" : "",
                      bench->body.size);
    buffer_add(&bench->request, buffer_view(&bench->body));
    if (buffer_failed(&bench->request))
        return fail(err, STATUS_EXHAUSTED, "the request is larger than %d bytes", BENCH_BODY_MAX);
    return STATUS_OK;
}

static enum status bench_server(struct bench *bench, const char *url, struct error *err)
{
    if (!*bench->context->config->bench_model)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "name the model to ask for with --model; 'slipway models --url %s' lists them",
                    url);
    char *host CLEANUP(mem_freep) = NULL;
    uint16_t port;
    struct str prefix;
    TRY(client_parse_url(url, &host, &port, &prefix, err));
    while (prefix.size > 0 && prefix.data[prefix.size - 1] == '/') prefix.size--;
    struct remote *remote;
    TRY(remote_open(url, 0, &remote, err));
    enum status status = prepare(bench, remote, prefix, host, err);
    remote_close(remote);
    TRY(status);
    TRY(measure_server(bench, host, port, err));
    return print(bench, err);
}

/* --- this process ----------------------------------------------------------------------------- */

/* Turns of `concurrency` requests at once, as a server's loop sees them. */
struct local_bench {
    struct local *local;
    uint32_t concurrency;
    struct infer_request request; /* its inputs are shared by all */
    struct infer_request *requests;
    struct local_call *calls;
    struct arena arena; /* of one turn */
};

static enum status run_turn(struct local_bench *local_bench, struct serve_model *model,
                            struct load_result *result, struct error *err)
{
    for (uint32_t i = 0; i < local_bench->concurrency; i++) {
        local_bench->requests[i] = local_bench->request;
        local_bench->requests[i].arena = &local_bench->arena;
        local_bench->calls[i] =
            (struct local_call){.model = model, .request = &local_bench->requests[i]};
    }
    local_run(local_bench->local, local_bench->calls, local_bench->concurrency);
    for (uint32_t i = 0; i < local_bench->concurrency; i++) {
        if (local_bench->calls[i].status != STATUS_OK)
            return fail_again(err, &local_bench->calls[i].err);
        if (!result) continue;
        result->answers++;
        latency_add(result->latency, local_bench->calls[i].total_ns);
    }
    arena_reset(&local_bench->arena);
    return STATUS_OK;
}

static enum status run_for(struct local_bench *local_bench, struct serve_model *model,
                           uint64_t duration_ns, struct load_result *result, struct error *err)
{
    uint64_t start_ns = clock_monotonic_ns(), shown_ns = start_ns;
    uint64_t cpu_ns = clock_process_cpu_ns(), now_ns = start_ns;
    for (; now_ns - start_ns < duration_ns; now_ns = clock_monotonic_ns()) {
        TRY(run_turn(local_bench, model, result, err));
        if (!result || now_ns < shown_ns) continue;
        shown_ns = now_ns + 100 * NS_PER_MS;
        show_progress(&local_bench->concurrency, (double)(now_ns - start_ns) / (double)duration_ns);
    }
    if (!result) return STATUS_OK;
    end_progress();
    result->elapsed_ns = now_ns - start_ns;
    /* It is the work itself that takes the processor here: no reason for a warning. */
    result->cpu_ns = MIN(clock_process_cpu_ns() - cpu_ns, result->elapsed_ns / 2);
    return STATUS_OK;
}

static enum status measure_local(struct bench *bench, struct local *local,
                                 const struct infer_request *request, struct serve_model *model,
                                 struct row *row, struct error *err)
{
    const struct config *config = bench->context->config;
    struct local_bench local_bench = {.local = local,
                                      .concurrency = row->concurrency,
                                      .request = *request,
                                      .requests =
                                          MEM_NEW_ARRAY(struct infer_request, row->concurrency),
                                      .calls = MEM_NEW_ARRAY(struct local_call, row->concurrency)};
    arena_init(&local_bench.arena, BENCH_MEMORY_MAX);
    row->result = (struct load_result){.latency = latency_new()};
    enum status status = run_for(&local_bench, model, config->bench_warmup_ns, NULL, err);
    if (status == STATUS_OK)
        status = run_for(&local_bench, model, config->bench_duration_ns, &row->result, err);
    arena_clear(&local_bench.arena);
    mem_free(local_bench.calls);
    mem_free(local_bench.requests);
    if (status != STATUS_OK) load_result_clear(&row->result);
    return status;
}

static enum status measure_levels(struct bench *bench, struct local *local, struct error *err)
{
    const struct config *config = bench->context->config;
    struct serve_model *model;
    if (*config->bench_model)
        TRY(local_find(local, str_of(config->bench_model), &model, err));
    else
        TRY(local_only(local, &model, err));
    TRY(make_body(bench, serve_model_spec(model), err));
    struct infer_request request;
    infer_request_init(&request, &bench->arena);
    TRY(oip_json_read(buffer_view(&bench->body), STR_EMPTY, &request, err));
    for (size_t i = 0; i < bench->level_count; i++) {
        struct row *row = &bench->rows[bench->row_count];
        row->concurrency = bench->levels[i];
        TRY(measure_local(bench, local, &request, model, row, err));
        bench->row_count++;
    }
    return print(bench, err);
}

static enum status bench_local(struct bench *bench, const char *path, struct error *err)
{
    const struct config *config = bench->context->config;
    if (config->bench_rate > 0)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "--rate is for a server; '%s' is run in this process", path);
    struct local *local;
    TRY(local_open(&(struct local_options){.path = path,
                                           .engine_directory = config->engine_directory,
                                           .engine_threads = (uint32_t)config->engine_threads},
                   &local, err));
    enum status status = measure_levels(bench, local, err);
    local_close(local);
    return status;
}

/* --- both ------------------------------------------------------------------------------------- */

static enum status read_levels(struct bench *bench, struct error *err)
{
    struct str rest = str_of(bench->context->config->bench_concurrency);
    while (rest.data) {
        uint64_t value;
        struct str part = str_trim(str_cut(&rest, ','));
        if (!num_read_u64(part, &value) || value == 0 || value > LOAD_CONNECTIONS_MAX)
            return fail(err, STATUS_INVALID_ARGUMENT,
                        "--concurrency: '%.*s' is not a number from 1 to %d", STR_ARGS(part),
                        LOAD_CONNECTIONS_MAX);
        if (bench->level_count == LEVELS_MAX)
            return fail(err, STATUS_INVALID_ARGUMENT, "--concurrency: more than %d numbers",
                        LEVELS_MAX);
        bench->levels[bench->level_count++] = (uint32_t)value;
    }
    return STATUS_OK;
}

static enum status run(struct bench *bench, struct error *err)
{
    const char *target = bench->context->config->positionals.items[0];
    TRY(read_levels(bench, err));
    if (str_starts_with(str_of(target), STR("http://")) ||
        str_starts_with(str_of(target), STR("https://")))
        return bench_server(bench, target, err);
    return bench_local(bench, target, err);
}

enum status cmd_bench(struct command_context *context, struct error *err)
{
    if (context->config->positionals.count != 1)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "name what to measure: a server's URL, or a model's path");
    struct bench *bench = MEM_NEW(struct bench);
    bench->context = context;
    arena_init(&bench->arena, BENCH_MEMORY_MAX);
    buffer_init(&bench->body, BENCH_BODY_MAX);
    buffer_init(&bench->request, BENCH_BODY_MAX + 16 * 1024);
    enum status status = run(bench, err);
    for (size_t i = 0; i < bench->row_count; i++) load_result_clear(&bench->rows[i].result);
    buffer_clear(&bench->request);
    buffer_clear(&bench->body);
    arena_clear(&bench->arena);
    mem_free(bench);
    return status;
}
