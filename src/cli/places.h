/*
 * Models that do not lie here: "s3://BUCKET/KEY#sha256=DIGEST" among the paths of models. They are
 * fetched before anything is loaded, and only what has the digest is ever used.
 *
 *   s3://models/iris/1/model.onnx#sha256=...      one file: the model 'iris'
 *   s3://models/iris/SHA256SUMS#sha256=...        a list of files as sha256sum writes it, each
 *                                                 below the list's own place: a model's directory,
 *                                                 or a repository
 *
 * A model file is named by itself, or, called model.*, by what holds it; a version's number is no
 * name. What was fetched lies in model.fetch_directory/DIGEST. Each start compares it with its
 * digest, since nothing else says that it is whole; what is not is fetched again. Several processes
 * may share the directory: the first one fetches, the others wait for it.
 *
 *   struct config config = *context->config;               // its lists of models are replaced
 *   TRY(places_fetch(&config, &arena, stop, err));         // by paths in the arena
 *
 * Blocks, model.fetch_timeout at most. Must come before an engine starts, since curl does.
 */
#ifndef CLI_PLACES_H
#define CLI_PLACES_H

#include "config/config.h"

#include <stdatomic.h>

enum {
    PLACES_FILES_MAX = 4096,             /* that a list may name */
    PLACES_LIST_SIZE_MAX = 1024 * 1024,  /* bytes of a list */
    PLACES_ARENA_MAX = 16 * 1024 * 1024, /* enough for any list of paths */
};

/* True if there is something to fetch. */
bool places_are_remote(const struct config *config);

/*
 * `stop`: CANCELLED as soon as it is true; NULL: never. INVALID_ARGUMENT: what names the model, or
 * a list, is wrong. DATA_LOSS: another digest. FAILED_PRECONDITION: others may write to the
 * directory. What S3 says as aws/client.h has it.
 */
enum status places_fetch(struct config *config, struct arena *arena, const _Atomic bool *stop,
                         struct error *err) FALLIBLE;

#endif
