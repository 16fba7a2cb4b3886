/* getenv and its kin, in one place. */
#include "config/environment.h"

#include <unistd.h>

const char *const *environment_all(void)
{
    return (const char *const *)environ;
}

const char *environment_get(const char *name)
{
    return getenv(name);
}

void environment_set(const char *name, const char *value)
{
    /* Fails only without memory or for a name with '=': nothing a caller could do about. */
    (void)setenv(name, value, 1);
}

void environment_silence_libraries(void)
{
    /* Some builds of ONNX Runtime report to their maker. */
    environment_set("ORT_DISABLE_TELEMETRY", "1");
    /* UCX, which Debian 13's libtorch brings along, looks for a daemon to show itself to. */
    environment_set("UCX_VFS_ENABLE", "n");
}
