/*
 * What keeps a server from running well on this machine: each finding with what to do about it.
 */
#ifndef CLI_DOCTOR_H
#define CLI_DOCTOR_H

#include "cli/report.h"
#include "config/config.h"

/* Adds the findings for a server with these settings. */
void doctor_run(const struct config *config, struct report *report);

#endif
