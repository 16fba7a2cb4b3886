/* Settings: where they come from, which is stronger, and what is said of wrong ones. */
#include "config/config.c"
#include "test.h"

#include <unistd.h>

static char file_path[] = "/tmp/slipway-config-XXXXXX";

/* A file with that text; its path. */
static const char *write_file(const char *text)
{
    (void)snprintf(file_path, sizeof file_path, "/tmp/slipway-config-XXXXXX");
    int file = mkstemp(file_path);
    if (file < 0 || write(file, text, strlen(text)) != (ssize_t)strlen(text)) abort();
    (void)close(file);
    return file_path;
}

static enum status load(struct config *config, const char *const *arguments,
                        const char *const *environment, struct error *err)
{
    size_t count = 0;
    while (arguments && arguments[count]) count++;
    const struct config_request request = {.arguments = arguments,
                                           .argument_count = count,
                                           .environment = environment,
                                           .categories = CONFIG_CATEGORY_BIT(http) |
                                                         CONFIG_CATEGORY_BIT(model) |
                                                         CONFIG_CATEGORY_BIT(log),
                                           .command = "serve"};
    config_init(config);
    return config_load(config, &request, err);
}

#define ARGUMENTS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* The message of a load that must fail. */
static const char *failure(const char *const *arguments, const char *const *environment)
{
    static struct error err;
    struct config config;
    if (load(&config, arguments, environment, &err) == STATUS_OK)
        (void)snprintf(err.message, sizeof err.message, "accepted");
    config_clear(&config);
    return err.message;
}

TEST(defaults_are_those_of_the_table)
{
    struct config config;
    config_init(&config);
    EXPECT_TEXT(config.http_address, "127.0.0.1");
    EXPECT_INT(config.http_port, 8080);
    EXPECT_INT(config.http_body_bytes_max, 67108864);
    EXPECT_INT(config.drain_grace_ns, 30000000000);
    EXPECT_INT(config.log_level, 1);
    EXPECT_INT(config.model_control_mode, CONFIG_CONTROL_NONE);
    EXPECT_INT(config.model_repository.count, 0);
    EXPECT(config.metrics_enabled);
    config_clear(&config);
}

TEST(every_default_survives_printing)
{
    struct config config;
    config_init(&config);
    for (int i = 0; i < CONFIG_OPTION_COUNT; i++) {
        if (config_rows[i].kind == CONFIG_STRING && config_rows[i].minimum > 0) continue;
        struct buffer text;
        buffer_init(&text, 4096);
        config_print_value(&text, &config, (enum config_option)i);
        struct error err;
        EXPECT_STATUS(config_set(&config, (enum config_option)i, buffer_view(&text),
                                 CONFIG_FROM_ARGUMENT, "test", &err),
                      STATUS_OK, err);
        buffer_clear(&text);
    }
    config_clear(&config);
}

TEST(flags_take_their_value_in_both_ways)
{
    struct config config;
    struct error err;
    EXPECT_STATUS(load(&config,
                       ARGUMENTS("--http-port", "0", "a.onnx", "--http-idle-timeout=1m30s",
                                 "--http-access-log", "--no-model-ready-requires-all",
                                 "--model-control-mode=POLL", "-", "--", "--not-a-flag"),
                       NULL, &err),
                  STATUS_OK, err);
    EXPECT_INT(config.http_port, 0);
    EXPECT_INT(config.http_idle_timeout_ns, 90000000000);
    EXPECT(config.http_access_log);
    EXPECT(!config.model_ready_requires_all);
    EXPECT_INT(config.model_control_mode, CONFIG_CONTROL_POLL);
    EXPECT_INT(config.positionals.count, 3);
    EXPECT_TEXT(config.positionals.items[0], "a.onnx");
    EXPECT_TEXT(config.positionals.items[1], "-");
    EXPECT_TEXT(config.positionals.items[2], "--not-a-flag");
    EXPECT_INT(config.origins[CONFIG_OPTION_http_port], CONFIG_FROM_ARGUMENT);
    EXPECT_INT(config.origins[CONFIG_OPTION_http_address], CONFIG_FROM_DEFAULT);
    config_clear(&config);
}

TEST(lists_grow_within_a_source_and_are_replaced_by_a_stronger_one)
{
    struct config config;
    struct error err;
    EXPECT_STATUS(load(&config, ARGUMENTS("--model-load", "a, b", "--model-load=c"),
                       ARGUMENTS("SLIPWAY_MODEL_LOAD=z", "SLIPWAY_MODEL_REPOSITORY=x,y"), &err),
                  STATUS_OK, err);
    EXPECT_INT(config.model_load.count, 3);
    EXPECT_TEXT(config.model_load.items[2], "c");
    EXPECT_INT(config.model_repository.count, 2);
    EXPECT_TEXT(config.model_repository.items[1], "y");
    config_clear(&config);
}

TEST(arguments_beat_environment_beats_file_beats_defaults)
{
    const char *path = write_file("# comment\n"
                                  "http:\n"
                                  "  port: 1001\n"
                                  "  threads: 3\n"
                                  "  header_timeout: 5s\n"
                                  "model.repository: [one, \"two\"]\n"
                                  "log.level: warning\n"
                                  "engine.threads: 7\n");
    char variable[64];
    (void)snprintf(variable, sizeof variable, "SLIPWAY_CONFIG=%s", path);
    struct config config;
    struct error err;
    EXPECT_STATUS(load(&config, ARGUMENTS("--http-port", "1003"),
                       ARGUMENTS(variable, "SLIPWAY_HTTP_PORT=1002", "SLIPWAY_HTTP_THREADS=4",
                                 "PATH=/bin", "SLIPWAY_HTTP_SERVICE_HOST=10.0.0.1"),
                       &err),
                  STATUS_OK, err);
    EXPECT_INT(config.http_port, 1003);
    EXPECT_INT(config.http_threads, 4);
    EXPECT_INT(config.http_header_timeout_ns, 5000000000);
    EXPECT_INT(config.model_repository.count, 2);
    EXPECT_INT(config.log_level, 2);
    EXPECT_INT(config.engine_threads, 0); /* this command does not know it */
    EXPECT_INT(config.origins[CONFIG_OPTION_http_threads], CONFIG_FROM_ENVIRONMENT);
    EXPECT_INT(config.origins[CONFIG_OPTION_log_level], CONFIG_FROM_FILE);
    EXPECT_INT(config.lines[CONFIG_OPTION_log_level], 7);
    EXPECT_INT(config.warnings.count, 0);
    config_clear(&config);
    (void)unlink(path);
}

TEST(wrong_flags_are_refused_with_the_nearest_name)
{
    EXPECT_TEXT(failure(ARGUMENTS("--htpp-port", "1"), NULL),
                "unknown option '--htpp-port', did you mean '--http-port'");
    EXPECT_TEXT(failure(ARGUMENTS("--port=1"), NULL),
                "unknown option '--port', did you mean '--http-port'");
    EXPECT_TEXT(failure(ARGUMENTS("--zzzzzzzzzzzz"), NULL),
                "unknown option '--zzzzzzzzzzzz', see `slipway help serve`");
    EXPECT_TEXT(failure(ARGUMENTS("-x"), NULL), "unknown option '-x', see `slipway help serve`");
    EXPECT_TEXT(failure(ARGUMENTS("--engine-threads=1"), NULL),
                "option '--engine-threads' does not apply to 'serve'");
    EXPECT_TEXT(failure(ARGUMENTS("--http-port"), NULL),
                "option '--http-port' needs a value: port");
    EXPECT_TEXT(failure(ARGUMENTS("--no-http-port"), NULL),
                "unknown option '--no-http-port', did you mean '--http-port'");
}

TEST(wrong_values_are_refused_with_what_is_allowed)
{
    EXPECT_TEXT(failure(ARGUMENTS("--http-port=65536"), NULL),
                "option '--http-port': '65536' is outside 0 to 65535");
    EXPECT_TEXT(failure(ARGUMENTS("--http-port=-1"), NULL),
                "option '--http-port': '-1' is not a whole number");
    EXPECT_TEXT(failure(ARGUMENTS("--http-access-log=maybe"), NULL),
                "option '--http-access-log': 'maybe' is not true or false");
    EXPECT_TEXT(failure(NULL, ARGUMENTS("SLIPWAY_HTTP_HEADER_TIMEOUT=10")),
                "environment variable SLIPWAY_HTTP_HEADER_TIMEOUT: '10' is not a duration like "
                "250ms, 30s or 1h30m");
    EXPECT_TEXT(failure(NULL, ARGUMENTS("SLIPWAY_HTTP_HEADER_TIMEOUT=2h")),
                "environment variable SLIPWAY_HTTP_HEADER_TIMEOUT: '2h' is outside 100ms to 1h");
    EXPECT_TEXT(failure(ARGUMENTS("--log-level", "loud"), NULL),
                "option '--log-level': 'loud' is not one of debug|info|warning|error|off");
    EXPECT_TEXT(failure(ARGUMENTS("--http-address="), NULL),
                "option '--http-address': the value is empty");
    EXPECT_TEXT(failure(ARGUMENTS("--http-address=\xff"), NULL),
                "option '--http-address': the value is not UTF-8 text");
}

TEST(a_slip_in_a_variable_is_a_warning)
{
    struct config config;
    struct error err;
    EXPECT_STATUS(
        load(&config, NULL, ARGUMENTS("SLIPWAY_HTTP_PROT=1", "SLIPWAY_SERVICE_HOST=x"), &err),
        STATUS_OK, err);
    REQUIRE(config.warnings.count == 1);
    EXPECT_TEXT(config.warnings.items[0], "environment variable SLIPWAY_HTTP_PROT is not known, "
                                          "did you mean SLIPWAY_HTTP_PORT");
    config_clear(&config);
}

/* What is said of a file with that text, after its path. */
static const char *file_failure(const char *text)
{
    const char *path = write_file(text);
    const char *message = failure(ARGUMENTS("--config", path), NULL);
    (void)unlink(path);
    return str_starts_with(str_of(message), str_of(path)) ? message + strlen(path) : message;
}

TEST(wrong_files_are_refused_with_line_and_column)
{
    EXPECT_TEXT(file_failure("http:\n  prot: 1\n"),
                ":2:9: unknown setting 'http.prot', did you mean 'http.port'");
    EXPECT_TEXT(file_failure("http:\n  port: many\n"),
                ":2:9: http.port: 'many' is not a whole number");
    EXPECT_TEXT(file_failure("http: {port: 1}\nhttp.port: 2\n"),
                ":2:12: http.port: was set before, in line 1");
    EXPECT_TEXT(file_failure("http: {port: 1, port: 2}\n"),
                ":1:23: 'port' was given before, in line 1");
    EXPECT_TEXT(file_failure("http.port: [1]\n"), ":1:12: http.port: a single value is expected");
    EXPECT_TEXT(file_failure("- a\n"), ":1:1: `name: value` pairs are expected");
    EXPECT_TEXT(file_failure("config: x\n"),
                ":1:9: unknown setting 'config', see `slipway help serve`");
    EXPECT_TEXT(file_failure("# nothing\n"), "accepted");
    EXPECT_TEXT(failure(ARGUMENTS("--config=/nowhere"), NULL),
                "cannot open '/nowhere': No such file or directory");
}

TEST(a_wrong_value_that_has_no_effect_is_a_warning)
{
    const char *path = write_file("http:\n  port: many\n  threads: 0\n  header_timeout: 7\n");
    char variable[64], expected[256];
    (void)snprintf(variable, sizeof variable, "SLIPWAY_CONFIG=%s", path);
    struct config config;
    struct error err;
    /* As an orchestrator sets it beside a service called slipway-http. */
    EXPECT_STATUS(load(&config, ARGUMENTS("--http-port=1", "--http-access-log"),
                       ARGUMENTS(variable, "SLIPWAY_HTTP_PORT=tcp://10.0.0.1:80",
                                 "SLIPWAY_HTTP_ACCESS_LOG=no", "SLIPWAY_HTTP_THREADS=2",
                                 "SLIPWAY_HTTP_HEADER_TIMEOUT=5s"),
                       &err),
                  STATUS_OK, err);
    EXPECT_INT(config.http_port, 1);
    EXPECT_INT(config.http_header_timeout_ns, 5000000000);
    REQUIRE(config.warnings.count == 3);
    EXPECT_TEXT(config.warnings.items[0],
                "environment variable SLIPWAY_HTTP_PORT: 'tcp://10.0.0.1:80' is not a whole "
                "number; it has no effect because of --http-port");
    (void)snprintf(expected, sizeof expected,
                   "%s:2:9: http.port: 'many' is not a whole number; it has no effect because of "
                   "--http-port",
                   path);
    EXPECT_TEXT(config.warnings.items[1], expected);
    (void)snprintf(expected, sizeof expected,
                   "%s:4:19: http.header_timeout: '7' is not a duration like 250ms, 30s or 1h30m; "
                   "it has no effect because of SLIPWAY_HTTP_HEADER_TIMEOUT",
                   path);
    EXPECT_TEXT(config.warnings.items[2], expected);
    config_clear(&config);
    /* Twice in the file is a mistake of the file, whoever wins. */
    (void)unlink(path);
    path = write_file("http.port: 1\nhttp: {port: 2}\n");
    (void)snprintf(expected, sizeof expected, "%s:2:14: http.port: was set before, in line 1",
                   path);
    EXPECT_TEXT(failure(ARGUMENTS("--http-port=3", "--config", path), NULL), expected);
    (void)unlink(path);
}

TEST(wrong_values_without_effect_leave_nothing_behind)
{
    struct config config;
    struct error err;
    EXPECT_STATUS(load(&config, ARGUMENTS("--model-load=a", "--http-address=::1"),
                       ARGUMENTS("SLIPWAY_MODEL_LOAD=b,\xff", "SLIPWAY_HTTP_ADDRESS="), &err),
                  STATUS_OK, err);
    REQUIRE(config.model_load.count == 1);
    EXPECT_TEXT(config.model_load.items[0], "a");
    EXPECT_TEXT(config.http_address, "::1");
    EXPECT_INT(config.warnings.count, 2);
    config_clear(&config);
}

TEST(names_follow_from_the_row)
{
    struct buffer text;
    buffer_init(&text, 1024);
    const struct config_row *row = &config_rows[CONFIG_OPTION_http_port_file];
    config_print_flag(&text, row);
    config_print_variable(&text, row);
    config_print_key(&text, row);
    config_print_flag(&text, &config_rows[CONFIG_OPTION_version_json]);
    config_print_variable(&text, &config_rows[CONFIG_OPTION_common_config]);
    EXPECT_TEXT(buffer_text(&text), "--http-port-fileSLIPWAY_HTTP_PORT_FILEhttp.port_file--json"
                                    "SLIPWAY_CONFIG");
    buffer_clear(&text);
}

TEST(lists_may_keep_their_commas)
{
    const char *const arguments[] = {"--input", "x=1,2", "--input=y=3,4"};
    const struct config_request request = {
        .arguments = arguments, .argument_count = 3, .categories = CONFIG_CATEGORY_BIT(infer)};
    struct config config;
    struct error err;
    config_init(&config);
    EXPECT_STATUS(config_load(&config, &request, &err), STATUS_OK, err);
    REQUIRE(config.infer_input.count == 2);
    EXPECT_TEXT(config.infer_input.items[0], "x=1,2");
    EXPECT_TEXT(config.infer_input.items[1], "y=3,4");
    config_clear(&config);
}
