/* `slipway check`: the gate before production. */
#include "cli/check.h"
#include "cli/command.h"
#include "cli/console.h"

/* The exit code of a model that did not pass: sysexits.h's "data format error". */
enum { EXIT_NOT_PASSED = 65 };

static enum status write_junit(const char *path, const struct report *report, struct error *err)
{
    if (!*path) return STATUS_OK;
    struct buffer text;
    buffer_init(&text, REPORT_SIZE_MAX);
    report_print_junit(report, "slipway check", &text);
    enum status status = console_write_file(path, buffer_view(&text), err);
    buffer_clear(&text);
    return status;
}

static enum status print(struct command_context *context, const struct report *report,
                         struct error *err)
{
    struct buffer text;
    buffer_init(&text, REPORT_SIZE_MAX);
    if (context->config->check_json)
        report_print_json(report, &text);
    else
        report_print(report, context->color, &text);
    return console_flush(&text, context->out, err);
}

static enum status check(struct command_context *context, struct report *report, struct error *err)
{
    const struct config *config = context->config;
    for (size_t i = 0; i < config->positionals.count; i++) {
        struct check_options options = {
            .path = config->positionals.items[i],
            .engine_directory = config->engine_directory,
            .engine_threads = (uint32_t)config->engine_threads,
            .cases = config->check_cases,
            .runs = config->check_runs,
            .latency_p50_max_ns = config->check_latency_p50_max_ns,
            .latency_p99_max_ns = config->check_latency_p99_max_ns,
            .memory_max = config->check_memory_max,
        };
        TRY(check_run(&options, report, err));
    }
    TRY(print(context, report, err));
    TRY(write_junit(config->check_junit, report, err));
    bool failed = report_count(report, VERDICT_FAIL) > 0 ||
                  (config->check_strict && report_count(report, VERDICT_WARN) > 0);
    if (failed) context->exit_code = EXIT_NOT_PASSED;
    return STATUS_OK;
}

enum status cmd_check(struct command_context *context, struct error *err)
{
    if (context->config->positionals.count == 0)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "no model to check: name a model file, a model's directory or a repository, as "
                    "in 'slipway check models/'");
    struct report report;
    report_init(&report);
    enum status status = check(context, &report, err);
    report_clear(&report);
    return status;
}
