/* archive_check on any bytes, through a file in memory: it must answer, never crash. */
#include "engine/archive.h"

#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct archive_limits limits = {.entry_count_max = 1000,
                                                 .size_max = 1 << 20,
                                                 .ratio_max = 50,
                                                 .ratio_free_size = 1 << 12,
                                                 .checksummed_size_max = 1 << 20};
    int file = memfd_create("archive", MFD_CLOEXEC);
    if (file < 0 || write(file, data, size) != (ssize_t)size) abort();
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    struct error err;
    enum status status = archive_check(path, &limits, &err);
    if (status == STATUS_NOT_FOUND || status == STATUS_INTERNAL) abort();
    (void)close(file);
    return 0;
}
