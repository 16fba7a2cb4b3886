/* Any bytes as a settings file, through a file in memory: refused with a message, or read. */
#include "config/config.h"

#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int file = memfd_create("config", MFD_CLOEXEC);
    if (file < 0 || write(file, data, size) != (ssize_t)size) abort();
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    const char *const arguments[] = {"--config", path};
    const struct config_request request = {
        .arguments = arguments, .argument_count = 2, .categories = UINT64_MAX};
    struct config config;
    config_init(&config);
    struct error err;
    if (config_load(&config, &request, &err) != STATUS_OK && err.message[0] == '\0') abort();
    config_clear(&config);
    (void)close(file);
    return 0;
}
