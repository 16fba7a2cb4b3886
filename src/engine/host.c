/* The host table, and how many processors there are. */
#include "engine/host.h"

#include "base/log.h"

#include <pthread.h>
#include <sched.h>

enum { PATH_SIZE = 4096, LINE_SIZE = 4096 };

static void host_log(uint32_t level, const char *engine, const char *message)
{
    static const enum log_level levels[] = {LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARNING,
                                            LOG_LEVEL_ERROR};
    enum log_level ours = level < COUNT_OF(levels) ? levels[level] : LOG_LEVEL_ERROR;
    if (log_wants(ours))
        log_write(ours, message ? message : "", &LOG_TEXT("engine", engine ? engine : "unknown"),
                  1);
}

static struct slipway_host host;

static void host_init(void)
{
    host = (struct slipway_host){.struct_size = sizeof host,
                                 .abi_version = SLIPWAY_ENGINE_ABI_VERSION,
                                 .server_version = SLIPWAY_VERSION,
                                 .processor_count = host_processor_count(""),
                                 .log = host_log};
}

const struct slipway_host *engine_host(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, host_init);
    return &host;
}

/* ---- Processors ---- */

static uint32_t affinity_count(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
    int count = CPU_COUNT(&set);
    return count > 0 ? (uint32_t)count : 1;
}

/* Reads the decimal digits at the start of *text and moves it behind them and one space. */
static bool take_number(const char **text, uint64_t *ret_number)
{
    const char *at = *text;
    uint64_t number = 0;
    for (; *at >= '0' && *at <= '9'; at++)
        if (__builtin_mul_overflow(number, 10u, &number) ||
            __builtin_add_overflow(number, (uint64_t)(*at - '0'), &number))
            return false;
    if (at == *text) return false;
    *text = *at == ' ' ? at + 1 : at;
    *ret_number = number;
    return true;
}

/* The first line of a file of the kernel's; false if it is not there. */
static bool read_line(const char *path, char line[LINE_SIZE])
{
    FILE *file = fopen(path, "re");
    if (!file) return false;
    bool read = fgets(line, LINE_SIZE, file) != NULL;
    (void)fclose(file);
    return read;
}

/* Processors that quota / period microseconds are worth, rounded up; UINT32_MAX for no limit. */
static uint32_t quota_count(uint64_t quota, uint64_t period)
{
    if (period == 0 || quota == 0) return UINT32_MAX;
    uint64_t count = quota / period + (quota % period != 0);
    return count < UINT32_MAX ? (uint32_t)count : UINT32_MAX;
}

/* Version 2: "max 100000" or "150000 100000". */
static uint32_t limit_of_group_v2(const char *directory)
{
    char path[PATH_SIZE], line[LINE_SIZE];
    if (snprintf(path, sizeof path, "%s/cpu.max", directory) >= PATH_SIZE) return UINT32_MAX;
    if (!read_line(path, line)) return UINT32_MAX;
    const char *at = line;
    uint64_t quota, period;
    if (!take_number(&at, &quota) || !take_number(&at, &period)) return UINT32_MAX;
    return quota_count(quota, period);
}

/* Version 1: two files, quota -1 for none. */
static uint32_t limit_of_group_v1(const char *directory)
{
    char path[PATH_SIZE], quota_line[LINE_SIZE], period_line[LINE_SIZE];
    if (snprintf(path, sizeof path, "%s/cpu.cfs_quota_us", directory) >= PATH_SIZE ||
        !read_line(path, quota_line))
        return UINT32_MAX;
    if (snprintf(path, sizeof path, "%s/cpu.cfs_period_us", directory) >= PATH_SIZE ||
        !read_line(path, period_line))
        return UINT32_MAX;
    const char *quota_at = quota_line, *period_at = period_line;
    uint64_t quota, period;
    if (!take_number(&quota_at, &quota) || !take_number(&period_at, &period)) return UINT32_MAX;
    return quota_count(quota, period);
}

/* The smallest limit from a group up to the mount: every level binds. */
static uint32_t limit_of_path(const char *mount, const char *group,
                              uint32_t limit_of(const char *directory))
{
    char directory[PATH_SIZE];
    size_t mount_size = strlen(mount);
    if (snprintf(directory, sizeof directory, "%s%s", mount, group) >= PATH_SIZE) return UINT32_MAX;
    uint32_t smallest = UINT32_MAX;
    for (;;) {
        uint32_t limit = limit_of(directory);
        smallest = MIN(smallest, limit);
        char *slash = strrchr(directory, '/');
        if (!slash || (size_t)(slash - directory) < mount_size) return smallest;
        *slash = '\0';
    }
}

/* One line of /proc/self/cgroup: "0::/group" or "4:cpu,cpuacct:/group". */
static uint32_t limit_of_line(const char *root, char *line)
{
    line[strcspn(line, "\n")] = '\0';
    struct str rest = str_of(line);
    struct str id = str_cut(&rest, ':');
    if (!rest.data) return UINT32_MAX;
    struct str controllers = str_cut(&rest, ':');
    if (!rest.data || rest.size == 0) return UINT32_MAX;
    const char *group = str_equal(rest, STR("/")) ? "" : rest.data; // ends where the line ends
    char mount[PATH_SIZE];
    if (str_equal(id, STR("0")) && controllers.size == 0) {
        if (snprintf(mount, sizeof mount, "%s/sys/fs/cgroup", root) >= PATH_SIZE) return UINT32_MAX;
        return limit_of_path(mount, group, limit_of_group_v2);
    }
    while (controllers.data) {
        if (!str_equal(str_cut(&controllers, ','), STR("cpu"))) continue;
        if (snprintf(mount, sizeof mount, "%s/sys/fs/cgroup/cpu", root) >= PATH_SIZE)
            return UINT32_MAX;
        return limit_of_path(mount, group, limit_of_group_v1);
    }
    return UINT32_MAX;
}

static uint32_t cgroup_count(const char *root)
{
    char path[PATH_SIZE], line[LINE_SIZE];
    if (snprintf(path, sizeof path, "%s/proc/self/cgroup", root) >= PATH_SIZE) return UINT32_MAX;
    FILE *file = fopen(path, "re");
    if (!file) return UINT32_MAX;
    uint32_t smallest = UINT32_MAX;
    while (fgets(line, sizeof line, file)) {
        uint32_t limit = limit_of_line(root, line);
        smallest = MIN(smallest, limit);
    }
    (void)fclose(file);
    return smallest;
}

uint32_t host_processor_count(const char *root)
{
    uint32_t allowed = affinity_count(), granted = cgroup_count(root);
    return MIN(allowed, granted);
}
