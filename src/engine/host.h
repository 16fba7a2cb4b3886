/*
 * What the server offers to engines: a log and the number of processors.
 */
#ifndef ENGINE_HOST_H
#define ENGINE_HOST_H

#include "base/error.h"

/* The one struct slipway_host of this process, filled in on first use. Any thread. */
const struct slipway_host *engine_host(void);

/*
 * The processors that this process may use: those of its affinity mask, fewer if a cgroup's quota
 * (version 1 or 2, its own group or one above) grants fewer; a part of one counts as one. `root` is
 * put before /proc and /sys: "" but in tests.
 */
uint32_t host_processor_count(const char *root);

#endif
