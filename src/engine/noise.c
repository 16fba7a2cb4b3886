/* A file in memory in the place of descriptor 2. */
#include "engine/noise.h"

#include "base/log.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TOLD_SIZE_MAX = 256 };

static pthread_mutex_t descriptor_lock = PTHREAD_MUTEX_INITIALIZER;

static void close_both(struct noise *noise)
{
    if (noise->caught >= 0) (void)close(noise->caught);
    if (noise->original >= 0) (void)close(noise->original);
    noise->caught = noise->original = -1;
}

void noise_catch(struct noise *noise)
{
    (void)pthread_mutex_lock(&descriptor_lock);
    noise->caught = memfd_create("slipway-stderr", MFD_CLOEXEC);
    noise->original = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (noise->caught < 0 || noise->original < 0 || dup2(noise->caught, STDERR_FILENO) < 0)
        close_both(noise);
}

void noise_tell(struct noise *noise, const char *engine)
{
    char text[TOLD_SIZE_MAX];
    struct stat status;
    if (noise->caught >= 0) {
        (void)dup2(noise->original, STDERR_FILENO);
        ssize_t size = pread(noise->caught, text, sizeof text, 0);
        if (size > 0 && fstat(noise->caught, &status) == 0)
            log_debug("a library wrote to stderr while it was opened", LOG_TEXT("engine", engine),
                      LOG_I64("bytes", (int64_t)status.st_size),
                      LOG_STR("text", ((struct str){text, (size_t)size})));
        close_both(noise);
    }
    (void)pthread_mutex_unlock(&descriptor_lock);
}
