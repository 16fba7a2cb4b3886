/* The checks of a model; see the header for the list. */
#include "cli/check.h"

#include "base/mem.h"
#include "cli/case.h"
#include "cli/check_file.h"
#include "cli/histogram.h"
#include "cli/local.h"
#include "cli/sample.h"
#include "config/model_config.h"
#include "config/tree.h"
#include "watch/process.h"

enum {
    PROBES_MAX = 16, /* inputs that are run again and again */
    SAMPLES = 3,     /* made up where there is no case */
    COMPANY_MAX = 8, /* requests in one batch */
    SAMPLE_SEED = 20260101,
    TEXT_MAX = 1024,
};

/* An input whose answer is known. */
struct probe {
    char *name;
    struct arena arena;
    struct buffer text; /* of the case's file; views of it are in the case */
    struct model_case model_case;
    struct local_call first; /* its answer when it ran alone, the first time */
};

/* One model being checked. */
struct check {
    const struct check_options *options;
    struct report *report;
    struct local *local;
    struct serve_model *model;
    const char *subject;
    bool alone; /* the only model of this process */
    struct probe *probes[PROBES_MAX];
    size_t probe_count;
    bool probes_guessed;
    struct arena scratch; /* of one run */
    uint64_t nan_count, infinite_count;
};

#define ADD(check, name, verdict, ...)                                                             \
    report_add((check)->report, (check)->subject, name, VERDICT_##verdict, __VA_ARGS__)

static struct probe *probe_new(const char *name)
{
    struct probe *probe = MEM_NEW(struct probe);
    probe->name = mem_copy_text(name);
    arena_init(&probe->arena, CASE_MEMORY_MAX);
    buffer_init(&probe->text, CASE_SIZE_MAX);
    infer_request_init(&probe->model_case.request, &probe->arena);
    return probe;
}

static void probe_free(struct probe *probe)
{
    if (!probe) return;
    arena_clear(&probe->arena);
    buffer_clear(&probe->text);
    mem_free(probe->name);
    mem_free(probe);
}

static void probe_freep(struct probe **probe)
{
    probe_free(*probe);
}

/* Runs the probe's request once more, its answer in the scratch arena. */
static void run_again(struct check *check, const struct probe *probe, struct infer_request *request,
                      struct local_call *call)
{
    *request = probe->model_case.request;
    request->arena = &check->scratch;
    *call = (struct local_call){.model = check->model, .request = request};
}

/* --- cases ------------------------------------------------------------------------------------ */

/* The output of a reply that a case means by a name, the model's or an alias; NULL if none. */
static const struct infer_tensor *find_output(const struct check *check,
                                              const struct infer_reply *reply, struct str name)
{
    const struct infer_spec *spec = serve_model_spec(check->model);
    size_t index = infer_output_find(spec, name);
    struct str own = index == SIZE_MAX ? name : str_of(spec->outputs[index].name);
    for (size_t i = 0; i < reply->output_count; i++)
        if (str_equal(reply->outputs[i].name, own)) return &reply->outputs[i];
    return NULL;
}

/* True if all outputs that the case lists are as they should be; else says which is not. */
static bool compare_reply(struct check *check, const struct probe *probe, double *ret_worst)
{
    const struct model_case *model_case = &probe->model_case;
    double worst = 0;
    for (size_t i = 0; i < model_case->expect.output_count; i++) {
        const struct infer_tensor *expected = &model_case->expect.outputs[i];
        const struct infer_tensor *got = find_output(check, &probe->first.reply, expected->name);
        if (!got) {
            ADD(check, probe->name, FAIL,
                "output '%.*s' did not come; the model has no such output",
                STR_ARGS(expected->name));
            return false;
        }
        struct compare_result result;
        compare_tensors(&got->tensor, &expected->tensor, &model_case->tolerance, &result);
        if (!result.equal) {
            ADD(check, probe->name, FAIL, "output '%.*s': %s (tolerance: %g absolute, %g relative)",
                STR_ARGS(expected->name), result.text, model_case->tolerance.absolute,
                model_case->tolerance.relative);
            return false;
        }
        worst = MAX(worst, result.worst);
    }
    *ret_worst = worst;
    return true;
}

static void judge_error(struct check *check, const struct probe *probe)
{
    struct str wanted = probe->model_case.expect_error;
    const char *message = probe->first.err.message;
    if (probe->model_case.is_unreadable)
        ADD(check, probe->name, PASS, "refused as expected: '%.*s'", STR_ARGS(wanted));
    else if (probe->first.status == STATUS_OK)
        ADD(check, probe->name, FAIL, "was answered, expected a refusal with '%.*s'",
            STR_ARGS(wanted));
    else if (memmem(message, strlen(message), wanted.data, wanted.size))
        ADD(check, probe->name, PASS, "refused as expected: %s", message);
    else
        ADD(check, probe->name, FAIL, "refused with '%s', expected a refusal with '%.*s'", message,
            STR_ARGS(wanted));
}

/* NaN in what a model gives counts unless the case expects one: then it was compared. */
static void count_nonfinite(struct check *check, const struct probe *probe)
{
    uint64_t expected = 0, nans, infinite;
    for (size_t i = 0; i < probe->model_case.expect.output_count; i++) {
        compare_count_nonfinite(&probe->model_case.expect.outputs[i].tensor, &nans, &infinite);
        expected += nans + infinite;
    }
    if (expected) return;
    for (size_t i = 0; i < probe->first.reply.output_count; i++) {
        compare_count_nonfinite(&probe->first.reply.outputs[i].tensor, &nans, &infinite);
        check->nan_count += nans;
        check->infinite_count += infinite;
    }
}

/* Keeps the probe for the runs to come, if there is room. */
static void keep(struct check *check, struct probe **probe)
{
    if (check->probe_count < PROBES_MAX) check->probes[check->probe_count++] = TAKE(*probe);
}

static void run_first(struct check *check, struct probe *probe)
{
    probe->first =
        (struct local_call){.model = check->model, .request = &probe->model_case.request};
    local_run(check->local, &probe->first, 1);
    if (probe->first.status == STATUS_OK) count_nonfinite(check, probe);
}

static void judge_case(struct check *check, struct probe **probe)
{
    const struct model_case *model_case = &(*probe)->model_case;
    if (!model_case->is_unreadable) run_first(check, *probe);
    if (model_case->expects_error) {
        judge_error(check, *probe);
        return;
    }
    if ((*probe)->first.status != STATUS_OK) {
        ADD(check, (*probe)->name, FAIL, "was refused: %s", (*probe)->first.err.message);
        return;
    }
    double worst;
    if (!compare_reply(check, *probe, &worst)) return;
    ADD(check, (*probe)->name, PASS, "%.*s (worst difference %.3g)",
        STR_ARGS(model_case->description), worst);
    keep(check, probe);
}

static void check_case(struct check *check, const char *directory, const char *file)
{
    char *name = mem_format("case %.*s", (int)(strlen(file) - strlen(".json")), file);
    struct probe *probe CLEANUP(probe_freep) = probe_new(name);
    mem_free(name);
    char *path CLEANUP(mem_freep) = mem_format("%s/%s", directory, file);
    struct error err;
    enum status status = tree_read_file(path, CASE_SIZE_MAX, &probe->text, &err);
    if (status == STATUS_OK)
        status = case_read(buffer_view(&probe->text), &probe->arena, &probe->model_case, &err);
    if (status != STATUS_OK)
        ADD(check, probe->name, FAIL, "'%s' is no case: %s", path, err.message);
    else
        judge_case(check, &probe);
}

static void make_samples(struct check *check)
{
    struct prng prng;
    prng_seed(&prng, SAMPLE_SEED);
    for (int i = 0; i < SAMPLES; i++) {
        struct probe *probe CLEANUP(probe_freep) = probe_new("sample");
        struct error err;
        bool guessed;
        if (sample_fill(serve_model_spec(check->model), 1, &prng, &probe->model_case.request,
                        &guessed, &err) != STATUS_OK)
            return;
        run_first(check, probe);
        if (probe->first.status == STATUS_OK) {
            keep(check, &probe);
        } else if (i == 0) {
            if (guessed)
                ADD(check, "sample", WARN,
                    "a made-up input was refused (%s), but its shape was a guess: write a case",
                    probe->first.err.message);
            else
                ADD(check, "sample", FAIL, "a made-up input of the declared shape was refused: %s",
                    probe->first.err.message);
        }
    }
}

static void check_cases(struct check *check)
{
    char *own = local_model_directory(check->local, serve_model_name(check->model));
    bool given = check->options->cases && *check->options->cases;
    char *directory CLEANUP(mem_freep) =
        given ? mem_copy_text(check->options->cases) : mem_format("%s/cases", own);
    mem_free(own);
    struct case_names names = {NULL, 0};
    struct error err;
    enum status status = case_names_read(directory, &names, &err);
    if (status != STATUS_OK && (given || status != STATUS_NOT_FOUND))
        ADD(check, "cases", FAIL, "%s", err.message);
    for (size_t i = 0; i < names.count; i++) check_case(check, directory, names.items[i]);
    if (names.count == 0 && !(given && status != STATUS_OK))
        ADD(check, "cases", WARN,
            "there are none: put inputs and expected outputs into '%s/NAME.json' (docs/check.md)",
            directory);
    case_names_free(&names);
    if (check->probe_count == 0) make_samples(check);
}

/* --- the model by itself ---------------------------------------------------------------------- */

static void add_tensor_specs(struct buffer *out, const struct slipway_tensor_spec *specs,
                             size_t count)
{
    for (size_t i = 0; i < count; i++) {
        buffer_add_format(out, "%s%s %s ", i ? ", " : "", specs[i].name,
                          dtype_name((enum dtype)specs[i].dtype));
        if (specs[i].rank < 0)
            buffer_add(out, STR("of any shape"));
        else
            shape_print(out, specs[i].dims, (size_t)specs[i].rank);
        if (specs[i].optional) buffer_add(out, STR(" (optional)"));
    }
}

static void check_signature(struct check *check)
{
    const struct infer_spec *spec = serve_model_spec(check->model);
    struct buffer text;
    buffer_init(&text, TEXT_MAX);
    add_tensor_specs(&text, spec->inputs, spec->input_count);
    buffer_add(&text, STR(" -> "));
    add_tensor_specs(&text, spec->outputs, spec->output_count);
    ADD(check, "signature", INFO, "%s%s", buffer_text(&text), buffer_failed(&text) ? "..." : "");
    if (spec->batch_size_max > 0)
        ADD(check, "platform", INFO, "%s, version %.*s, batches of up to %lld rows",
            serve_model_platform(check->model), STR_ARGS(serve_model_version(check->model)),
            (long long)spec->batch_size_max);
    else
        ADD(check, "platform", INFO, "%s, version %.*s, not batchable",
            serve_model_platform(check->model), STR_ARGS(serve_model_version(check->model)));
    buffer_clear(&text);
    const struct model_config *config = serve_model_config(check->model);
    for (size_t i = 0; config && i < config->warnings.count; i++)
        ADD(check, "configuration", WARN, "%s", config->warnings.items[i]);
}

/* --- runs ------------------------------------------------------------------------------------- */

/* Compares two answers to the same request; false and a text if they differ beyond a tolerance. */
static bool replies_agree(const struct infer_reply *got, const struct infer_reply *expected,
                          const struct compare_tolerance *tolerance, struct compare_result *result)
{
    double worst = 0;
    for (size_t i = 0; i < expected->output_count; i++) {
        compare_tensors(&got->outputs[i].tensor, &expected->outputs[i].tensor, tolerance, result);
        if (!result->equal) return false;
        worst = MAX(worst, result->worst);
    }
    result->worst = worst;
    return true;
}

/* The same request `runs` times: its bits must not change, its times are recorded. */
static bool run_probe(struct check *check, const struct probe *probe, struct latency *latency)
{
    static const struct compare_tolerance exact = {0, 0};
    for (uint64_t run = 0; run < check->options->runs; run++) {
        struct infer_request request;
        struct local_call call;
        run_again(check, probe, &request, &call);
        local_run(check->local, &call, 1);
        struct compare_result result;
        if (call.status != STATUS_OK) {
            ADD(check, "determinism", FAIL, "%s: run %llu failed: %s", probe->name,
                (unsigned long long)run + 2, call.err.message);
            return false;
        }
        latency_add(latency, call.total_ns);
        if (!replies_agree(&call.reply, &probe->first.reply, &exact, &result)) {
            ADD(check, "determinism", FAIL, "%s: run %llu differs from the first: %s", probe->name,
                (unsigned long long)run + 2, result.text);
            return false;
        }
        arena_reset(&check->scratch);
    }
    return true;
}

static void judge_budget(struct check *check, const char *name, uint64_t value_ns, uint64_t max_ns)
{
    if (max_ns == 0)
        ADD(check, name, INFO, "%.1f us; no budget is set", (double)value_ns / 1e3);
    else if (value_ns <= max_ns)
        ADD(check, name, PASS, "%.1f us, budget %.1f us", (double)value_ns / 1e3,
            (double)max_ns / 1e3);
    else
        ADD(check, name, FAIL, "%.1f us, %.1f times the budget of %.1f us", (double)value_ns / 1e3,
            (double)value_ns / (double)max_ns, (double)max_ns / 1e3);
}

static const struct model_config_budget *own_budget(const struct check *check)
{
    static const struct model_config_budget none = {0};
    const struct model_config *config = serve_model_config(check->model);
    if (!config || !config->slipway || !config->slipway->budget) return &none;
    return config->slipway->budget;
}

static void check_runs(struct check *check)
{
    struct latency *latency CLEANUP(mem_freep) = latency_new();
    for (size_t i = 0; i < check->probe_count; i++)
        if (!run_probe(check, check->probes[i], latency)) return;
    ADD(check, "determinism", PASS, "%zu %s, %llu runs each, equal bit by bit", check->probe_count,
        check->probe_count == 1 ? "input" : "inputs", (unsigned long long)check->options->runs);
    const struct model_config_budget *own = own_budget(check);
    uint64_t p50 = check->options->latency_p50_max_ns, p99 = check->options->latency_p99_max_ns;
    judge_budget(check, "latency p50", latency_quantile_ns(latency, 0.50),
                 p50 ? p50 : own->latency_p50_ns);
    judge_budget(check, "latency p99", latency_quantile_ns(latency, 0.99),
                 p99 ? p99 : own->latency_p99_ns);
}

/* --- batching --------------------------------------------------------------------------------- */

/* Several requests in one turn, which serve makes a batch of, against each one's answer alone. */
static void check_batching(struct check *check)
{
    const struct infer_spec *spec = serve_model_spec(check->model);
    if (spec->batch_size_max < 2) {
        ADD(check, "batching", SKIP, "the model is not batchable (max_batch_size)");
        return;
    }
    struct infer_request requests[COMPANY_MAX];
    struct local_call calls[COMPANY_MAX];
    for (size_t i = 0; i < COMPANY_MAX; i++)
        run_again(check, check->probes[i % check->probe_count], &requests[i], &calls[i]);
    local_run(check->local, calls, COMPANY_MAX);
    double worst = 0;
    int64_t rows = 0;
    bool together = false;
    for (size_t i = 0; i < COMPANY_MAX; i++) {
        const struct probe *probe = check->probes[i % check->probe_count];
        struct compare_result result;
        if (calls[i].status != STATUS_OK) {
            ADD(check, "batching", FAIL, "%s: failed in company: %s", probe->name,
                calls[i].err.message);
            return;
        }
        rows = MAX(rows, calls[i].batch_rows);
        together = together || calls[i].batch_rows > calls[i].call.bound.batch_size;
        if (!replies_agree(&calls[i].reply, &probe->first.reply, &probe->model_case.tolerance,
                           &result)) {
            ADD(check, "batching", FAIL,
                "%s: the answer depends on the company in a batch of %lld rows: %s", probe->name,
                (long long)calls[i].batch_rows, result.text);
            return;
        }
        worst = MAX(worst, result.worst);
    }
    arena_reset(&check->scratch);
    if (!together)
        ADD(check, "batching", SKIP, "requests were too large or too different to share a batch");
    else
        ADD(check, "batching", PASS, "alone as in a batch of %lld rows (worst difference %.3g)",
            (long long)rows, worst);
}

static void check_nan(struct check *check)
{
    const struct model_config *config = serve_model_config(check->model);
    bool allowed = config && config->slipway && config->slipway->nan == MODEL_CONFIG_NAN_ALLOW;
    unsigned long long nans = check->nan_count, infinite = check->infinite_count;
    if (nans + infinite == 0)
        ADD(check, "nan", PASS, "no NaN and no infinity came out");
    else if (allowed)
        ADD(check, "nan", INFO, "%llu NaN and %llu infinities came out, which the model allows",
            nans, infinite);
    else
        ADD(check, "nan", FAIL,
            "%llu NaN and %llu infinities came out; if that is meant, say 'slipway: {nan: allow}' "
            "in model.yaml",
            nans, infinite);
}

static void check_memory(struct check *check)
{
    if (!check->alone) {
        ADD(check, "memory", SKIP, "several models share this process; check the model by itself");
        return;
    }
    struct metrics_process process;
    process_read(&process);
    uint64_t max =
        check->options->memory_max ? check->options->memory_max : own_budget(check)->memory_bytes;
    double used_mib = (double)process.resident_bytes / 1048576;
    double load_mib = (double)local_load_bytes(check->local) / 1048576;
    if (max == 0)
        ADD(check, "memory", INFO,
            "%.1f MiB in use, %.1f MiB of it since loading; no budget is set", used_mib, load_mib);
    else if (process.resident_bytes <= max)
        ADD(check, "memory", PASS, "%.1f MiB in use, budget %.1f MiB", used_mib,
            (double)max / 1048576);
    else
        ADD(check, "memory", FAIL, "%.1f MiB in use, budget %.1f MiB", used_mib,
            (double)max / 1048576);
}

/* --- all of it -------------------------------------------------------------------------------- */

static void check_model(struct check *check)
{
    check_signature(check);
    check_cases(check);
    if (check->probe_count == 0) {
        ADD(check, "determinism", SKIP, "no input ran");
        ADD(check, "batching", SKIP, "no input ran");
    } else {
        check_runs(check);
        check_batching(check);
        check_nan(check);
    }
    check_memory(check);
}

static void judge_load(struct check *check)
{
    uint64_t load_ns = local_load_ns(check->local), max_ns = own_budget(check)->load_ns;
    if (check->alone && max_ns && load_ns > max_ns)
        ADD(check, "load", FAIL, "took %.1f ms, budget %.1f ms", (double)load_ns / 1e6,
            (double)max_ns / 1e6);
    else
        ADD(check, "load", PASS, "%s%.1f ms",
            check->alone ? "" : "all models together: ", (double)load_ns / 1e6);
}

static void check_name(const struct check_options *options, struct report *report,
                       struct local *local, const char *name, bool alone)
{
    struct check check = {
        .options = options, .report = report, .local = local, .subject = name, .alone = alone};
    char *directory CLEANUP(mem_freep) = local_model_directory(local, str_of(name));
    check_files(options->path, directory, name, report);
    struct error err;
    if (local_find(local, str_of(name), &check.model, &err) != STATUS_OK) {
        ADD(&check, "load", FAIL, "%s", err.message);
        return;
    }
    judge_load(&check);
    arena_init(&check.scratch, CASE_MEMORY_MAX);
    check_model(&check);
    for (size_t i = 0; i < check.probe_count; i++) probe_free(check.probes[i]);
    arena_clear(&check.scratch);
}

enum status check_run(const struct check_options *options, struct report *report, struct error *err)
{
    struct local *local;
    TRY(local_open(&(struct local_options){.path = options->path,
                                           .engine_directory = options->engine_directory,
                                           .engines = options->engines,
                                           .engine_threads = options->engine_threads,
                                           .trial = true},
                   &local, err));
    const struct serve_index *index = local_index(local);
    size_t names = 0;
    for (size_t i = 0; i < index->count; i++)
        names += i == 0 || strcmp(index->rows[i].name, index->rows[i - 1].name) != 0;
    for (size_t i = 0; i < index->count; i++) {
        if (i > 0 && strcmp(index->rows[i].name, index->rows[i - 1].name) == 0) continue;
        check_name(options, report, local, index->rows[i].name, names == 1);
    }
    local_close(local);
    if (names == 0)
        return fail(err, STATUS_NOT_FOUND,
                    "'%s' holds no model; name a model file, a model's directory or a repository",
                    options->path);
    return STATUS_OK;
}
