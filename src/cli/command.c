/* Finds the command, reads its settings, runs it, reports its failure. */
#include "cli/command.h"

#include "base/log.h"
#include "cli/help.h"
#include "config/environment.h"
#include "serve/trial.h"

#include <sys/ioctl.h>
#include <unistd.h>

enum { HELP_SIZE_MAX = 256 * 1024 };

const struct command_row command_rows[COMMAND_COUNT] = {
#define COMMAND(name, categories, arguments, summary, text)                                        \
    {#name, cmd_##name, categories, arguments, summary, text},
#include "cli/commands.def"
#undef COMMAND
};

static bool wants_color(int choice, int descriptor)
{
    if (choice != CONFIG_COLOR_AUTO) return choice == CONFIG_COLOR_ALWAYS;
    const char *terminal = environment_get("TERM");
    return isatty(descriptor) && !environment_get("NO_COLOR") && terminal &&
           strcmp(terminal, "dumb") != 0;
}

static size_t terminal_width(void)
{
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
    return MIN(MAX(size.ws_col, 60), 100);
}

static void report(const char *message)
{
    bool color = wants_color(CONFIG_COLOR_AUTO, STDERR_FILENO);
    (void)fprintf(stderr, "%sslipway:%s %s\n", color ? "\033[1;31m" : "", color ? "\033[0m" : "",
                  message);
}

static const struct command_row *find_command(const char *name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(command_rows[i].name, name) == 0) return &command_rows[i];
    }
    return NULL;
}

static int fail_unknown(const char *name)
{
    const char *nearest = NULL;
    size_t best = 3;
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        size_t far = str_distance(str_of(command_rows[i].name), str_of(name));
        if (far >= best) continue;
        best = far;
        nearest = command_rows[i].name;
    }
    char text[256];
    if (nearest)
        (void)snprintf(text, sizeof text, "unknown command '%.60s', did you mean '%s'", name,
                       nearest);
    else
        (void)snprintf(text, sizeof text, "unknown command '%.60s', see `slipway help`", name);
    report(text);
    return COMMAND_EXIT_USAGE;
}

static int print_buffer(struct buffer *text)
{
    size_t size = text->size;
    bool good = !buffer_failed(text) && fwrite(buffer_text(text), 1, size, stdout) == size &&
                fflush(stdout) == 0;
    buffer_clear(text);
    return good ? 0 : status_exit_code(STATUS_DATA_LOSS);
}

static int print_help(const struct command_row *row)
{
    struct buffer text;
    buffer_init(&text, HELP_SIZE_MAX);
    bool color = wants_color(CONFIG_COLOR_AUTO, STDOUT_FILENO);
    if (row)
        help_command(&text, row, color, terminal_width());
    else
        help_overview(&text, color);
    return print_buffer(&text);
}

static bool is_one_of(const char *text, const char *first, const char *second, const char *third)
{
    return strcmp(text, first) == 0 || strcmp(text, second) == 0 || strcmp(text, third) == 0;
}

/* `--help` before a `--`, wherever it stands. */
static bool asks_for_help(const char *const *arguments, size_t count)
{
    for (size_t i = 0; i < count && strcmp(arguments[i], "--") != 0; i++) {
        if (is_one_of(arguments[i], "--help", "-h", "-?")) return true;
    }
    return false;
}

static int run_with(struct command_context *context)
{
    const struct config *config = context->config;
    log_set_level((enum log_level)config->log_level);
    log_set_format((enum log_format)config->log_format);
    for (size_t i = 0; i < config->warnings.count; i++)
        log_warning("settings", LOG_TEXT("what", config->warnings.items[i]));
    struct error err;
    enum status status = context->row->run(context, &err);
    bool flushed = fflush(context->out) == 0;
    if (status != STATUS_OK) {
        report(err.message);
        return status_exit_code(status);
    }
    if (!flushed) report("cannot write to standard output");
    return flushed ? context->exit_code : status_exit_code(STATUS_DATA_LOSS);
}

static int run(const struct command_row *row, const char *program, const char *const *arguments,
               size_t count)
{
    const struct config_request request = {.arguments = arguments,
                                           .argument_count = count,
                                           .environment = environment_all(),
                                           .categories = row->categories,
                                           .command = row->name};
    struct config config;
    config_init(&config);
    struct error err;
    int exit_code;
    if (config_load(&config, &request, &err) != STATUS_OK) {
        report(err.message);
        exit_code = COMMAND_EXIT_USAGE;
    } else {
        struct command_context context = {.row = row,
                                          .program = program,
                                          .config = &config,
                                          .request = &request,
                                          .out = stdout,
                                          .color = wants_color(config.common_color, STDOUT_FILENO)};
        exit_code = run_with(&context);
    }
    config_clear(&config);
    return exit_code;
}

int command_main(int argc, const char *const *argv)
{
    if (argc < 2) {
        (void)print_help(NULL);
        return COMMAND_EXIT_USAGE;
    }
    const char *name = argv[1];
    const char *const *arguments = argv + 2;
    size_t count = (size_t)argc - 2;
    if (strcmp(name, TRIAL_COMMAND) == 0) trial_main(arguments, count); /* for ourselves only */
    if (strcmp(name, "--version") == 0) name = "version";
    if (is_one_of(name, "help", "--help", "-h")) {
        if (count == 0) return print_help(NULL);
        name = arguments[0];
        const struct command_row *row = find_command(name);
        return row ? print_help(row) : fail_unknown(name);
    }
    const struct command_row *row = find_command(name);
    if (!row) return fail_unknown(name);
    if (asks_for_help(arguments, count)) return print_help(row);
    return run(row, argv[0], arguments, count);
}
