/* What is written to descriptor 2 between catch and tell. */
#include "base/log.h"
#include "engine/noise.h"
#include "test.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

/* Descriptor 2 and the log lead into pipes until pipes_close. */
struct pipes {
    int errors, records; /* to read from */
    int log_end, original;
};

static int replace_with_pipe(int *ret_write_end)
{
    int ends[2];
    EXPECT(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
    *ret_write_end = ends[1];
    return ends[0];
}

static void pipes_open(struct pipes *pipes)
{
    int write_end;
    pipes->original = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    pipes->errors = replace_with_pipe(&write_end);
    (void)dup2(write_end, STDERR_FILENO);
    (void)close(write_end);
    pipes->records = replace_with_pipe(&pipes->log_end);
    log_set_descriptor(pipes->log_end);
    log_set_level(LOG_LEVEL_DEBUG);
}

static void pipes_close(struct pipes *pipes)
{
    (void)dup2(pipes->original, STDERR_FILENO);
    log_set_descriptor(STDERR_FILENO);
    log_set_level(LOG_LEVEL_INFO);
    (void)close(pipes->original);
    (void)close(pipes->errors);
    (void)close(pipes->records);
    (void)close(pipes->log_end);
}

static void say(const char *text)
{
    (void)!write(STDERR_FILENO, text, strlen(text));
}

static const char *read_all(int descriptor, char text[1024])
{
    ssize_t size = read(descriptor, text, 1023);
    text[size > 0 ? size : 0] = 0;
    return text;
}

TEST(noise_becomes_one_record)
{
    struct pipes pipes;
    struct noise noise;
    char errors[1024], records[1024];
    pipes_open(&pipes);
    say("before ");
    noise_catch(&noise);
    say("Schema error\n");
    say("Schema error\n");
    noise_tell(&noise, "onnx");
    say("after");
    (void)read_all(pipes.errors, errors);
    (void)read_all(pipes.records, records);
    pipes_close(&pipes);
    EXPECT_TEXT(errors, "before after");
    EXPECT(strstr(records, "engine=onnx bytes=26"));
    EXPECT(strstr(records, "Schema error"));
    EXPECT_INT(strchr(records, '\n') - records + 1, strlen(records));
}

TEST(silence_is_not_told)
{
    struct pipes pipes;
    struct noise noise;
    char records[1024];
    pipes_open(&pipes);
    noise_catch(&noise);
    noise_tell(&noise, "onnx");
    (void)read_all(pipes.records, records);
    pipes_close(&pipes);
    EXPECT_TEXT(records, "");
}

TEST(without_descriptors_stderr_stays)
{
    struct pipes pipes;
    struct noise noise;
    struct rlimit limit, none;
    char errors[1024];
    REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    pipes_open(&pipes);
    none = (struct rlimit){3, limit.rlim_max};
    EXPECT(setrlimit(RLIMIT_NOFILE, &none) == 0);
    noise_catch(&noise);
    say("heard");
    noise_tell(&noise, "onnx");
    EXPECT(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    (void)read_all(pipes.errors, errors);
    pipes_close(&pipes);
    EXPECT_TEXT(errors, "heard");
}
