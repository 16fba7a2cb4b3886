/*
 * Tells systemd how far we are (sd_notify(3)): a datagram to the socket that NOTIFY_SOCKET names.
 */
#ifndef SERVER_NOTIFY_H
#define SERVER_NOTIFY_H

#include "base/error.h"

/*
 * Sends a state such as "READY=1" or "STOPPING=1". `socket_path` is a path, or starts with '@' for
 * the abstract name space; NULL or empty: nobody asked, and nothing is done.
 */
enum status notify_systemd(const char *socket_path, const char *state, struct error *err) FALLIBLE;

#endif
