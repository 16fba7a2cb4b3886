/*
 * The files of a model, before and beside the engine: digests, permissions, what an archive holds.
 */
#ifndef CLI_CHECK_FILE_H
#define CLI_CHECK_FILE_H

#include "cli/report.h"

/*
 * Adds the findings. `path` is what the user named; if it is a file, it alone is looked at, else
 * the versions in `directory`.
 */
void check_files(const char *path, const char *directory, const char *subject,
                 struct report *report);

#endif
