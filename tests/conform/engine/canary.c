/* An engine that does, while it opens, what no engine may do: expect_quiet must notice. */
#include <slipway/engine.h>

#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* Each is tried for its system call; whether it succeeds does not matter. */
static int misdeed(void)
{
#if defined CANARY_exec
    pid_t child = fork();
    if (child == 0) {
        (void)execl("/bin/true", "true", (char *)NULL);
        _exit(1);
    }
    return child > 0 && waitpid(child, NULL, 0) == child;
#elif defined CANARY_socket
    return close(socket(AF_INET, SOCK_STREAM, 0));
#elif defined CANARY_local
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "/var/run/nscd/other"};
    int descriptor = socket(AF_UNIX, SOCK_STREAM, 0);
    (void)connect(descriptor, (const struct sockaddr *)(const void *)&address, sizeof address);
    return close(descriptor);
#elif defined CANARY_file
    (void)close(open("/tmp/slipway-canary", O_WRONLY | O_CREAT, 0600));
    return unlink("/tmp/slipway-canary");
#elif defined CANARY_directory
    return mkdir("/proc/slipway-canary", 0700);
#endif
}

__attribute__((visibility("default"))) const struct slipway_engine *
slipway_engine_entry(const struct slipway_host *host)
{
    (void)host, (void)misdeed();
    return NULL;
}
