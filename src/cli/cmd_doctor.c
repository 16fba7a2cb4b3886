/* `slipway doctor`: what keeps a server from running well here. */
#include "cli/command.h"
#include "cli/console.h"
#include "cli/doctor.h"

/* sysexits.h's "unavailable": a server would not start, or not work. */
enum { EXIT_ILL = 69 };

enum status cmd_doctor(struct command_context *context, struct error *err)
{
    struct report report;
    struct buffer text;
    report_init(&report);
    doctor_run(context->config, &report);
    buffer_init(&text, REPORT_SIZE_MAX);
    if (context->config->doctor_json)
        report_print_json(&report, &text);
    else
        report_print(&report, context->color, &text);
    if (report_count(&report, VERDICT_FAIL) > 0) context->exit_code = EXIT_ILL;
    report_clear(&report);
    return console_flush(&text, context->out, err);
}
