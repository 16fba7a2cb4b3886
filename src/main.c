/* argv[1] is a row of the command table; its result is the exit code. */
#include "base/log.h"
#include "cli/command.h"
#include "config/environment.h"

#include <fcntl.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    environment_silence_libraries();
    /* Libraries write to stderr, and what opens one may catch that: our records take another way
     * to the same place. */
    int descriptor = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (descriptor >= 0) log_set_descriptor(descriptor);
    return command_main(argc, (const char *const *)argv);
}
