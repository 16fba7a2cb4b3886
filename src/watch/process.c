/* Reads /proc/self. */
#include "watch/process.h"

#include "base/clock.h"
#include "base/num.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

enum { PROC_TEXT_SIZE = 16 * 1024 };

/* The first bytes of a file, as much as there is room for; empty if it cannot be read. */
static struct str read_text(const char *path, char *room, size_t size)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return STR_EMPTY;
    size_t filled = 0;
    for (ssize_t got; filled < size; filled += (size_t)got) {
        got = read(file, room + filled, size - filled);
        if (got <= 0) break;
    }
    close(file);
    return (struct str){room, filled};
}

/* The number in the field of that position, from 0, where single spaces part them. */
static uint64_t field_u64(struct str text, size_t position)
{
    struct str field = STR_EMPTY;
    for (size_t i = 0; i <= position && text.data; i++) field = str_cut(&text, ' ');
    uint64_t value;
    return num_read_u64(str_trim(field), &value) ? value : 0;
}

/* Seconds since 1970 when the system was started: the line "btime N" of /proc/stat. */
static uint64_t boot_seconds(void)
{
    char room[PROC_TEXT_SIZE];
    struct str rest = read_text("/proc/stat", room, sizeof room);
    while (rest.data) {
        struct str line = str_cut(&rest, '\n');
        if (str_starts_with(line, STR("btime "))) return field_u64(line, 1);
    }
    return 0;
}

static uint64_t count_descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    if (!directory) return 0;
    uint64_t count = 0;
    for (struct dirent *entry; (entry = readdir(directory));) count += entry->d_name[0] != '.';
    closedir(directory);
    return count - 1; /* its own */
}

/* /proc/self/stat from behind the program's name on, which may hold spaces and parentheses. */
static void read_stat(struct metrics_process *process)
{
    char room[4096];
    struct str text = read_text("/proc/self/stat", room, sizeof room);
    size_t end = text.size;
    while (end > 0 && text.data[end - 1] != ')') end--;
    if (end == 0 || end + 1 >= text.size) return;
    text = str_from(text, end + 1);
    /* Field 3 of proc(5) is position 0 here. */
    enum { THREADS = 20 - 3, START = 22 - 3, VIRTUAL = 23 - 3, RESIDENT = 24 - 3 };
    process->threads = field_u64(text, THREADS);
    process->virtual_bytes = field_u64(text, VIRTUAL);
    process->resident_bytes = field_u64(text, RESIDENT) * (uint64_t)sysconf(_SC_PAGESIZE);
    double ticks = (double)sysconf(_SC_CLK_TCK);
    process->start_seconds = (double)boot_seconds() + (double)field_u64(text, START) / ticks;
}

void process_read(struct metrics_process *ret_process)
{
    struct metrics_process process = {.cpu_ns = clock_process_cpu_ns()};
    read_stat(&process);
    process.open_descriptors = count_descriptors();
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) process.descriptors_max = limit.rlim_cur;
    *ret_process = process;
}
