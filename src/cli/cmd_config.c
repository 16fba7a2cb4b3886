/* `slipway config`: the settings in effect with their origins, or a page made from the tables. */
#include "cli/command.h"
#include "cli/document.h"
#include "watch/metrics.h"

enum { PAGE_SIZE_MAX = 1024 * 1024 };

static const char *const origin_texts[] = {"default", "file", "environment", "argument"};

static void print_setting(const struct command_context *context, struct buffer *out,
                          enum config_option option)
{
    const struct config *config = context->config;
    enum config_origin origin = (enum config_origin)config->origins[option];
    struct buffer key, value;
    buffer_init(&key, 256);
    buffer_init(&value, PAGE_SIZE_MAX);
    config_print_key(&key, &config_rows[option]);
    config_print_value(&value, config, option);
    bool mark = context->color && origin != CONFIG_FROM_DEFAULT;
    buffer_add_format(out, "%s%-28s %-24s%s %s", mark ? "\033[1m" : "", buffer_text(&key),
                      value.size ? buffer_text(&value) : "-", mark ? "\033[0m" : "",
                      origin_texts[origin]);
    if (origin == CONFIG_FROM_FILE)
        buffer_add_format(out, " %s:%u", config->common_config, config->lines[option]);
    buffer_add_byte(out, '\n');
    buffer_clear(&key);
    buffer_clear(&value);
}

static void print_settings(const struct command_context *context, struct buffer *out)
{
    for (int i = 0; i < CONFIG_OPTION_COUNT; i++) {
        if (config_categories[config_rows[i].category].scope == CONFIG_SCOPE_SERVER)
            print_setting(context, out, (enum config_option)i);
    }
}

enum status cmd_config(struct command_context *context, struct error *err)
{
    const struct config *config = context->config;
    bool completion = config->config_completion != CONFIG_SHELL_NONE;
    if (config->config_docs + config->config_errors + config->config_metrics + config->config_man +
            completion >
        1)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "give one of --docs, --errors, --metrics, --man, --completion");
    struct buffer page;
    buffer_init(&page, PAGE_SIZE_MAX);
    if (config->config_docs)
        document_options(&page);
    else if (config->config_errors)
        document_errors(&page);
    else if (config->config_metrics)
        metrics_write_document(&page);
    else if (config->config_man)
        document_man(&page);
    else if (completion)
        document_completion(&page, (enum config_shell)config->config_completion);
    else
        print_settings(context, &page);
    bool failed = buffer_failed(&page);
    (void)fwrite(buffer_text(&page), 1, page.size, context->out); /* checked when it is flushed */
    buffer_clear(&page);
    return failed ? fail(err, STATUS_EXHAUSTED, "the page is larger than %d bytes", PAGE_SIZE_MAX)
                  : STATUS_OK;
}
