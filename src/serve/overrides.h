/*
 * What a load request brings along: a configuration, and files that stand in for the repository's.
 * The files live in a directory of their own until the next load or unload of that name.
 */
#ifndef SERVE_OVERRIDES_H
#define SERVE_OVERRIDES_H

#include "config/model_config.h"
#include "serve/serve.h"

enum { OVERRIDES_FILES_MAX = 1024 };

struct overrides {
    struct model_config *config;
    struct serve_load_file *files; /* copies; freed once they are written */
    size_t file_count;
    char *directory; /* NULL: no files were brought */
};

/*
 * Copies what `from` says, after checking it: JSON, names, sizes. *ret_overrides is NULL if it says
 * nothing. INVALID_ARGUMENT; EXHAUSTED beyond size_max.
 */
enum status overrides_new(const struct serve_load_overrides *from, const char *name,
                          uint64_t size_max, struct overrides **ret_overrides,
                          struct error *err) FALLIBLE;

/* Writes the files. Blocks: load threads only. */
enum status overrides_write(struct overrides *overrides, struct error *err) FALLIBLE;

/* Removes the directory. Accepts NULL. */
void overrides_free(struct overrides *overrides);

#endif
