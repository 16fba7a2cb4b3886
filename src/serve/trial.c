/* Loading a model in a child process first. */
#include "serve/trial.h"

#include "base/mem.h"
#include "base/num.h"
#include "engine/loader.h"
#include "serve/warmup.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* The child's arguments, before pairs of parameters. */
enum argument {
    ARGUMENT_DIRECTORY,
    ARGUMENT_ENGINE,
    ARGUMENT_THREADS,
    ARGUMENT_BATCH_SIZE,
    ARGUMENT_NAME,
    ARGUMENT_PATH,
    ARGUMENT_COUNT
};

enum { CHILD_USAGE = 64, CHILD_MEMORY_MAX = 1 << 30 };

/* --- the child ------------------------------------------------------------------------------ */

static void set_limit(int resource, uint64_t value)
{
    struct rlimit limit = {.rlim_cur = value, .rlim_max = value};
    (void)setrlimit(resource, &limit); /* a lower one is in force already */
}

/* A sanitizer's shadow alone is larger than any address space that would limit something. */
static void limit_address_space(void)
{
#if !defined __SANITIZE_ADDRESS__ && !defined __SANITIZE_THREAD__
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    if (pages > 0 && size > 0)
        set_limit(RLIMIT_AS, (uint64_t)pages * (uint64_t)size + TRIAL_ADDRESS_SPACE_SPARE);
#endif
}

static void limit_child(void)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* nobody waits for it any more */
    set_limit(RLIMIT_CORE, 0);
    set_limit(RLIMIT_CPU, TRIAL_TIME_MAX_S);
    limit_address_space();
    (void)alarm(TRIAL_TIME_MAX_S);
}

static void run_zeros(struct engine_model *model, int64_t batch_size_max)
{
    const struct slipway_model_info *info = engine_model_info(model);
    const struct infer_spec spec = {.name = "trial",
                                    .inputs = info->inputs,
                                    .input_count = info->input_count,
                                    .outputs = info->outputs,
                                    .output_count = info->output_count,
                                    .batch_size_max = batch_size_max};
    struct error err;
    struct arena arena;
    struct warmup warmup;
    struct engine_instance *instance;
    struct engine_result result;
    arena_init(&arena, CHILD_MEMORY_MAX);
    if (engine_instance_new(model, &instance, &err) != STATUS_OK) return;
    if (warmup_make_up(&spec, &arena, &warmup, &err) != STATUS_OK) return;
    if (warmup.sample_count == 0) return;
    if (engine_execute(instance, warmup.samples[0].inputs, info->input_count, NULL, &result,
                       &err) == STATUS_OK)
        engine_result_release(&result);
}

static void try_model(struct slipway_load_options *options, const char *const *arguments,
                      int64_t batch_size_max)
{
    struct error err;
    struct engine *engine;
    struct engine_model *model;
    struct engine_registry *registry = engine_registry_new(arguments[ARGUMENT_DIRECTORY]);
    if (engine_open(registry, arguments[ARGUMENT_ENGINE], &engine, &err) != STATUS_OK) return;
    if (engine_model_load(engine, options, &model, &err) != STATUS_OK) return;
    run_zeros(model, batch_size_max);
}

void trial_main(const char *const *arguments, size_t count)
{
    uint64_t threads;
    int64_t batch_size_max;
    if (count < ARGUMENT_COUNT || count % 2 != 0 ||
        !num_read_u64(str_of(arguments[ARGUMENT_THREADS]), &threads) ||
        !num_read_i64(str_of(arguments[ARGUMENT_BATCH_SIZE]), &batch_size_max))
        _exit(CHILD_USAGE);
    limit_child();
    size_t pairs = (count - ARGUMENT_COUNT) / 2;
    struct slipway_parameter *parameters = MEM_NEW_ARRAY(struct slipway_parameter, pairs + 1);
    for (size_t i = 0; i < pairs; i++)
        parameters[i] = (struct slipway_parameter){arguments[ARGUMENT_COUNT + 2 * i],
                                                   arguments[ARGUMENT_COUNT + 2 * i + 1]};
    struct slipway_load_options options = {.struct_size = sizeof options,
                                           .threads = (uint32_t)threads,
                                           .name = arguments[ARGUMENT_NAME],
                                           .path = arguments[ARGUMENT_PATH],
                                           .parameters = parameters,
                                           .parameter_count = pairs};
    try_model(&options, arguments, batch_size_max);
    _exit(0); /* as a server ends: without what the libraries do at their end */
}

_Static_assert((int)ARGUMENT_COUNT % 2 == 0, "pairs leave the parity alone");

/* --- the parent ----------------------------------------------------------------------------- */

/* What the child was killed by is said in words that need no manual. */
static const char *reason_of(int state)
{
    int number = WIFSIGNALED(state) ? WTERMSIG(state) : 0;
    switch (number) {
    case 0: return "its process ended itself";
    case SIGALRM:
    case SIGXCPU: return "it took too long";
    case SIGKILL: return "its process was killed, most likely for its memory";
    default: return strsignal(number);
    }
}

static enum status judge(const struct engine *engine, const char *path, int state,
                         struct error *err)
{
    if (WIFEXITED(state) && WEXITSTATUS(state) == 0) return STATUS_OK;
    if (WIFEXITED(state) && WEXITSTATUS(state) == CHILD_USAGE)
        return fail(err, STATUS_INTERNAL, "the trial of '%s' could not be understood", path);
    return fail(err, STATUS_INVALID_ARGUMENT,
                "'%.300s' is damaged or hostile: the engine '%s' crashed on it in a trial (%s)",
                path, engine_name(engine), reason_of(state));
}

/* Nothing of ours is open in it, no signal is blocked, nobody reads what a library prints. */
static int spawn(const char *program, char *const *words, pid_t *ret_child)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    (void)sigemptyset(&none);
    (void)sigfillset(&all);
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attributes);
    for (int descriptor = STDIN_FILENO; descriptor <= STDERR_FILENO; descriptor++)
        posix_spawn_file_actions_addopen(&files, descriptor, "/dev/null", O_RDWR, 0);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    int problem = posix_spawn(ret_child, program, &files, &attributes, words, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    return problem;
}

static char *directory_of(const char *path)
{
    const char *end = strrchr(path, '/');
    return end ? mem_format("%.*s", (int)(end - path), path) : mem_copy_text(".");
}

static void free_words(char **words)
{
    for (size_t i = 0; words[i]; i++) mem_free(words[i]);
    mem_free(words);
}

static char **words_of(const char *program, const struct engine *engine,
                       const struct slipway_load_options *options, int64_t batch_size_max)
{
    char **words = MEM_NEW_ARRAY(char *, 2 + ARGUMENT_COUNT + 2 * options->parameter_count + 1);
    size_t count = 0;
    words[count++] = mem_copy_text(program);
    words[count++] = mem_copy_text(TRIAL_COMMAND);
    words[count++] = directory_of(engine_path(engine));
    words[count++] = mem_copy_text(engine_name(engine));
    words[count++] = mem_format("%u", options->threads);
    words[count++] = mem_format("%lld", (long long)batch_size_max);
    words[count++] = mem_copy_text(options->name);
    words[count++] = mem_copy_text(options->path);
    for (size_t i = 0; i < options->parameter_count; i++) {
        words[count++] = mem_copy_text(options->parameters[i].key);
        words[count++] = mem_copy_text(options->parameters[i].value);
    }
    words[count] = NULL;
    return words;
}

enum status trial_run(const char *program, const struct engine *engine,
                      const struct slipway_load_options *options, int64_t batch_size_max,
                      struct error *err)
{
    if (options->parameter_count > (TRIAL_ARGUMENTS_MAX - ARGUMENT_COUNT) / 2)
        return fail(err, STATUS_EXHAUSTED, "model '%s' has too many parameters for a trial",
                    options->name);
    char **words = words_of(program, engine, options, batch_size_max);
    pid_t child;
    int problem = spawn(program, words, &child);
    free_words(words);
    if (problem != 0)
        return fail_errno(err, problem, "starting '%s' for a trial of '%s'", program,
                          options->path);
    int state;
    while (waitpid(child, &state, 0) < 0)
        if (errno != EINTR) return fail_errno(err, errno, "waiting for a trial");
    return judge(engine, options->path, state, err);
}
