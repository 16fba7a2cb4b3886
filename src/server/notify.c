/* One datagram to the service manager. */
#include "server/notify.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static bool fill_address(const char *path, struct sockaddr_un *address, socklen_t *ret_size)
{
    size_t size = strlen(path);
    if ((path[0] != '/' && path[0] != '@') || size >= sizeof address->sun_path) return false;
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(address->sun_path, path, size);
    if (path[0] == '@') address->sun_path[0] = '\0';
    *ret_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size);
    return true;
}

enum status notify_systemd(const char *socket_path, const char *state, struct error *err)
{
    if (!socket_path || !*socket_path) return STATUS_OK;
    struct sockaddr_un address;
    socklen_t address_size;
    if (!fill_address(socket_path, &address, &address_size))
        return fail(err, STATUS_INVALID_ARGUMENT, "NOTIFY_SOCKET '%s' is no socket's path",
                    socket_path);
    int descriptor = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) return fail_errno(err, errno, "opening a socket to the service manager");
    ssize_t sent = sendto(descriptor, state, strlen(state), MSG_NOSIGNAL,
                          (const struct sockaddr *)&address, address_size);
    int problem = sent < 0 ? errno : 0;
    close(descriptor);
    if (problem) return fail_errno(err, problem, "telling the service manager '%s'", state);
    return STATUS_OK;
}
