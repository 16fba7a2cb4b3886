/* The machine, looked at with a server's eyes. */
#include "cli/doctor.h"

#include "aws/calls.h"
#include "aws/service.h"
#include "base/mem.h"
#include "base/num.h"
#include "cli/console.h"
#include "engine/host.h"
#include "engine/loader.h"
#include "serve/layout.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SMALL_TEXT_MAX = 64 * 1024, SPARE_DESCRIPTORS = 64 };

/* --- engines ---------------------------------------------------------------------------------- */

struct engines {
    struct report *report;
    struct engine_registry *registry;
    size_t count;
};

static void check_engine(void *context, const char *name)
{
    struct engines *engines = context;
    struct engine *engine;
    struct error err;
    engines->count++;
    if (engine_open(engines->registry, name, &engine, &err) == STATUS_OK)
        report_add(engines->report, "engines", name, VERDICT_PASS, "%s (%s)",
                   engine_version(engine), engine_path(engine));
    else
        report_add(engines->report, "engines", name, VERDICT_FAIL, "cannot be opened: %s",
                   err.message);
}

/* Debian's libblas.so.3 leads to whichever implementation is installed; its reference one is 12 to
 * 29 times slower than the others. */
static void check_blas(struct report *report)
{
    static const char *const places[] = {"/etc/alternatives/libblas.so.3-x86_64-linux-gnu",
                                         "/etc/alternatives/libblas.so.3-aarch64-linux-gnu",
                                         "/etc/alternatives/libblas.so.3"};
    for (size_t i = 0; i < COUNT_OF(places); i++) {
        char target[PATH_MAX];
        if (!realpath(places[i], target)) continue;
        if (strstr(target, "/blas/"))
            report_add(report, "engines", "blas", VERDICT_WARN,
                       "'%s' is the reference BLAS, over ten times slower than others; install "
                       "libopenblas0-serial",
                       target);
        else
            report_add(report, "engines", "blas", VERDICT_PASS, "%s", target);
        return;
    }
    report_add(report, "engines", "blas", VERDICT_INFO,
               "no system BLAS; engines that bring their own do not need one");
}

static void check_engines(const struct config *config, struct report *report)
{
    struct engines engines = {report, engine_registry_new(config->engine_directory), 0};
    engine_registry_visit(engines.registry, check_engine, &engines);
    if (engines.count == 0)
        report_add(report, "engines", "none", VERDICT_FAIL,
                   "no engine was found; name the directory of slipway_engine_*.so with "
                   "--engine-directory");
    engine_registry_free(engines.registry);
    check_blas(report);
}

/* --- limits ----------------------------------------------------------------------------------- */

static void check_descriptors(const struct config *config, struct report *report)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    unsigned long long have = limit.rlim_cur, most = limit.rlim_max;
    unsigned long long want = config->http_connections_max + SPARE_DESCRIPTORS;
    if (have >= want)
        report_add(report, "limits", "descriptors", VERDICT_PASS, "%llu", have);
    else
        report_add(
            report, "limits", "descriptors", VERDICT_WARN,
            "%llu, but http.connections_max asks for %llu; raise it with 'ulimit -n %llu' or "
            "LimitNOFILE= (the hard limit is %llu), or lower http.connections_max",
            have, want, want, most);
}

/* The first line of a small file; empty if it cannot be read. */
static void read_line(const char *path, struct buffer *out)
{
    struct error ignored;
    buffer_reset(out);
    if (console_read_file(path, SMALL_TEXT_MAX - 1, out, &ignored) != STATUS_OK) buffer_reset(out);
    size_t end = str_find(buffer_view(out), '\n');
    if (end != SIZE_MAX) out->size = end;
}

static void check_memory(const struct config *config, struct report *report)
{
    static const char *const places[] = {"/sys/fs/cgroup/memory.max",
                                         "/sys/fs/cgroup/memory/memory.limit_in_bytes"};
    struct buffer text;
    buffer_init(&text, 2 * SMALL_TEXT_MAX);
    uint64_t limit = 0;
    for (size_t i = 0; i < COUNT_OF(places) && limit == 0; i++) {
        read_line(places[i], &text);
        if (!num_read_u64(buffer_view(&text), &limit)) limit = 0;
    }
    buffer_clear(&text);
    uint64_t machine = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    bool limited = limit > 0 && limit < machine;
    uint64_t have = limited ? limit : machine;
    const char *whose = limited ? "the cgroup's limit" : "the machine's";
    if (config->memory_request_bytes_max > have / 2)
        report_add(report, "limits", "memory", VERDICT_WARN,
                   "%.0f MiB (%s), and requests alone may take %.0f MiB of it; lower "
                   "--memory-request-bytes-max",
                   (double)have / 1048576, whose,
                   (double)config->memory_request_bytes_max / 1048576);
    else
        report_add(report, "limits", "memory", VERDICT_PASS, "%.0f MiB (%s)",
                   (double)have / 1048576, whose);
}

static void check_processors(const struct config *config, struct report *report)
{
    uint32_t given = host_processor_count("");
    if (config->http_threads > given)
        report_add(report, "limits", "processors", VERDICT_WARN,
                   "%u, fewer than http.threads (%llu): they will take turns", given,
                   (unsigned long long)config->http_threads);
    else
        report_add(report, "limits", "processors", VERDICT_PASS, "%u", given);
}

/* --- network ---------------------------------------------------------------------------------- */

/* Opens what the server would; 0 or errno. */
static int try_port(const struct config *config)
{
    struct sockaddr_in6 six = {.sin6_family = AF_INET6,
                               .sin6_port = htons((uint16_t)config->http_port)};
    struct sockaddr_in four = {.sin_family = AF_INET,
                               .sin_port = htons((uint16_t)config->http_port)};
    bool is_four = inet_pton(AF_INET, config->http_address, &four.sin_addr) == 1;
    if (!is_four && inet_pton(AF_INET6, config->http_address, &six.sin6_addr) != 1) return EINVAL;
    int descriptor = socket(is_four ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) return errno;
    int on = 1;
    (void)setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on); /* only a convenience */
    const struct sockaddr *address =
        is_four ? (const struct sockaddr *)&four : (const struct sockaddr *)&six;
    socklen_t size = is_four ? sizeof four : sizeof six;
    int problem = bind(descriptor, address, size) == 0 ? 0 : errno;
    close(descriptor);
    return problem;
}

static void check_port(const struct config *config, struct report *report)
{
    unsigned port = (unsigned)config->http_port;
    int problem = try_port(config);
    if (problem == 0)
        report_add(report, "network", "port", VERDICT_PASS, "%s port %u is free",
                   config->http_address, port);
    else if (problem == EADDRINUSE)
        report_add(report, "network", "port", VERDICT_FAIL,
                   "%s port %u is in use; stop who uses it ('ss -ltnp') or choose another with "
                   "--http-port",
                   config->http_address, port);
    else if (problem == EACCES)
        report_add(report, "network", "port", VERDICT_FAIL,
                   "port %u is for the privileged; choose one above 1023 with --http-port, or give "
                   "CAP_NET_BIND_SERVICE",
                   port);
    else
        report_add(report, "network", "port", VERDICT_FAIL,
                   "%s port %u cannot be opened: %s; choose another with --http-address",
                   config->http_address, port, strerror(problem));
}

/* --- models ----------------------------------------------------------------------------------- */

static void check_repository(const char *text, struct report *report)
{
    const char *path = layout_place_of(text).path;
    struct stat status;
    if (str_starts_with(str_of(path), STR("s3://"))) {
        report_add(report, "models", path, VERDICT_INFO, "is fetched when a server starts");
        return;
    }
    if (stat(path, &status) != 0) {
        report_add(report, "models", path, VERDICT_FAIL, "%s; check the path", strerror(errno));
        return;
    }
    bool directory = S_ISDIR(status.st_mode);
    if (access(path, directory ? R_OK | X_OK : R_OK) != 0) {
        report_add(report, "models", path, VERDICT_FAIL,
                   "may not be read by this user; chmod a+%s, or run as its owner",
                   directory ? "rx" : "r");
        return;
    }
    if (status.st_mode & S_IWOTH)
        report_add(report, "models", path, VERDICT_WARN,
                   "may be changed by every user of this machine; chmod o-w");
    else
        report_add(report, "models", path, VERDICT_PASS,
                   "readable; 'slipway check %s' looks inside", path);
}

static void check_models(const struct config *config, struct report *report)
{
    size_t count = config->model_repository.count + config->positionals.count;
    if (count == 0)
        report_add(report, "models", "none", VERDICT_INFO,
                   "none was named; give what you would give to 'slipway serve'");
    for (size_t i = 0; i < config->model_repository.count; i++)
        check_repository(config->model_repository.items[i], report);
    for (size_t i = 0; i < config->positionals.count; i++)
        check_repository(config->positionals.items[i], report);
}

/* --- AWS -------------------------------------------------------------------------------------- */

static enum status ask_identity(struct aws_service *sts, struct arena *arena,
                                struct aws_identity *ret_identity, struct error *err)
{
    TRY(aws_service_open("sts", NULL, sts, err));
    return aws_caller_identity(sts->client, arena, ret_identity, err);
}

static void check_aws(struct report *report)
{
    struct aws_service sts = {0};
    struct aws_identity identity;
    struct arena arena;
    struct error err;
    arena_init(&arena, SMALL_TEXT_MAX);
    if (ask_identity(&sts, &arena, &identity, &err) == STATUS_OK)
        report_add(report, "aws", "identity", VERDICT_PASS, "%.*s, account %.*s, region %s",
                   STR_ARGS(identity.arn), STR_ARGS(identity.account),
                   aws_client_region(sts.client));
    else
        report_add(report, "aws", "identity", VERDICT_FAIL, "%s", err.message);
    aws_service_close(&sts);
    arena_clear(&arena);
}

void doctor_run(const struct config *config, struct report *report)
{
    if (config->doctor_aws) check_aws(report); /* curl starts before engines do */
    check_engines(config, report);
    check_processors(config, report);
    check_memory(config, report);
    check_descriptors(config, report);
    check_port(config, report);
    check_models(config, report);
}
