/* The command line as a whole: what is printed, and the exit code. */
#include "cli/command.c"
#include "test.h"

#include <sys/mman.h>

static char out_text[65536];
static char error_text[4096];

/* Ends the redirection that started with `saved`, and reads what was written. */
static void restore(FILE *stream, int saved, int file, char *text, size_t size)
{
    (void)fflush(stream);
    ssize_t count = pread(file, text, size - 1, 0);
    text[count > 0 ? count : 0] = '\0';
    (void)dup2(saved, fileno(stream));
    (void)close(saved);
    (void)close(file);
}

/* Runs "slipway" with these words; both outputs are in out_text and error_text then. */
static int run_words(const char *const *words)
{
    int count = 0;
    while (words[count]) count++;
    int out = memfd_create("out", MFD_CLOEXEC), error = memfd_create("error", MFD_CLOEXEC);
    int saved_out = dup(STDOUT_FILENO), saved_error = dup(STDERR_FILENO);
    (void)fflush(stdout);
    if (dup2(out, STDOUT_FILENO) < 0 || dup2(error, STDERR_FILENO) < 0) abort();
    int exit_code = command_main(count, words);
    restore(stdout, saved_out, out, out_text, sizeof out_text);
    restore(stderr, saved_error, error, error_text, sizeof error_text);
    return exit_code;
}

#define RUN(...) run_words((const char *const[]){"slipway", ##__VA_ARGS__, NULL})

TEST(help_lists_every_command)
{
    EXPECT_INT(RUN("help"), 0);
    for (size_t i = 0; i < COMMAND_COUNT; i++) EXPECT(strstr(out_text, command_rows[i].summary));
    EXPECT(!strstr(out_text, "\033")); /* nobody looks at a terminal */
    EXPECT_INT(RUN("--help"), 0);
    EXPECT_INT(RUN(), COMMAND_EXIT_USAGE);
    EXPECT(strstr(out_text, "Usage: slipway COMMAND"));
}

TEST(help_of_a_command_shows_its_options_only)
{
    EXPECT_INT(RUN("help", "version"), 0);
    EXPECT(strstr(out_text, "--json"));
    EXPECT(strstr(out_text, "--engine-directory DIRECTORY"));
    EXPECT(!strstr(out_text, "--http-port PORT"));
    EXPECT_INT(RUN("config", "--http-port", "1", "--help"), 0);
    EXPECT(strstr(out_text, "--http-port PORT"));
}

TEST(help_keeps_within_the_width)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        struct buffer text;
        buffer_init(&text, HELP_SIZE_MAX);
        help_command(&text, &command_rows[i], false, 80);
        struct str rest = buffer_view(&text);
        while (rest.data) {
            struct str line = str_cut(&rest, '\n');
            EXPECT(line.size <= 96);
        }
        buffer_clear(&text);
    }
}

TEST(unknown_commands_are_refused_with_the_nearest)
{
    EXPECT_INT(RUN("verison"), COMMAND_EXIT_USAGE);
    EXPECT_TEXT(error_text, "slipway: unknown command 'verison', did you mean 'version'\n");
    EXPECT_INT(RUN("zzzzzz"), COMMAND_EXIT_USAGE);
    EXPECT_TEXT(error_text, "slipway: unknown command 'zzzzzz', see `slipway help`\n");
    EXPECT_INT(RUN("help", "zzzzzz"), COMMAND_EXIT_USAGE);
}

TEST(wrong_options_are_a_usage_error)
{
    EXPECT_INT(RUN("version", "--jsn"), COMMAND_EXIT_USAGE);
    EXPECT_TEXT(error_text, "slipway: unknown option '--jsn', did you mean '--json'\n");
    EXPECT_INT(RUN("version", "what"), status_exit_code(STATUS_INVALID_ARGUMENT));
    EXPECT_TEXT(error_text, "slipway: version takes no argument 'what'\n");
    EXPECT_INT(RUN("config", "--docs", "--man"), status_exit_code(STATUS_INVALID_ARGUMENT));
}

TEST(version_tells_the_version)
{
    EXPECT_INT(RUN("--version"), 0);
    EXPECT(strstr(out_text, "slipway " SLIPWAY_VERSION "\n") == out_text);
    EXPECT_INT(RUN("version", "--json"), 0);
    EXPECT(strstr(out_text, "{\"version\":\"" SLIPWAY_VERSION "\"") == out_text);
}

TEST(settings_are_shown_with_their_origin)
{
    EXPECT_INT(RUN("config", "--http-port", "4711", "--model-load=a,b"), 0);
    EXPECT(strstr(out_text, "http.port                    4711                     argument\n"));
    EXPECT(strstr(out_text, "model.load                   a,b                      argument\n"));
    EXPECT(strstr(out_text, "drain.grace                  30s                      default\n"));
}

TEST(every_page_can_be_made)
{
    static const char *const flags[] = {
        "--docs",           "--errors",         "--man", "--completion=bash",
        "--completion=zsh", "--completion=fish"};
    for (size_t i = 0; i < COUNT_OF(flags); i++) {
        EXPECT_INT(RUN("config", flags[i]), 0);
        EXPECT(strlen(out_text) > 500);
    }
}
