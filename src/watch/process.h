/*
 * What the system says of this process: memory, descriptors, threads, age.
 */
#ifndef WATCH_PROCESS_H
#define WATCH_PROCESS_H

#include "watch/metrics.h"

/* Reads /proc; what cannot be read stays 0. A few microseconds per open descriptor. Any thread. */
void process_read(struct metrics_process *ret_process);

#endif
