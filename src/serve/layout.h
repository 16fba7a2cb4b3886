/*
 * What lies in the repositories: which models, which versions, which files. Reads directories and
 * configurations, loads nothing. A repository is one of
 *
 *   model.onnx                      one model, named by the file, or by its directory if the file
 *                                   is called model.*
 *   doubleit/                       a model's directory: has a configuration, version directories,
 *                                   or a file model.* of its own (version 1)
 *   models/                         a repository: each directory is a model's, each model file
 *                                   (by its extension) is a model
 *     doubleit/config.pbtxt
 *     doubleit/1/model.pt
 *     mlp.onnx
 *
 *   resnet=/mnt/models              any of these with one model, which is served as "resnet"; a
 * path that is there as it stands is a path, whatever is in it
 *
 * Names that begin with '.' are passed over. Version directories are numbers from 1 on.
 */
#ifndef SERVE_LAYOUT_H
#define SERVE_LAYOUT_H

#include "base/hash.h"
#include "config/model_config.h"
#include "engine/kind.h"

/* Names, each owned; for layout_names. */
struct layout_names {
    char **items;
    size_t count;
    size_t capacity;
};

/* One version of a model, ready to be loaded. */
struct layout_version {
    int64_t number;
    char *path; /* of the model file */
    char engine[ENGINE_NAME_SIZE];
    struct error error;             /* of this version alone: error.status OK if there is none */
    uint8_t signature[SHA256_SIZE]; /* of paths, sizes, times: changes when a file may have */
};

/* A model as it lies there. */
struct layout_model {
    char *name;
    char *directory; /* NULL: a lone file */
    struct model_config *config;
    struct layout_version *versions; /* those that the version policy wants, ascending */
    size_t version_count;
};

/* What the list of repositories says: NAME=PATH, or a path. */
struct layout_place {
    struct str name; /* empty: the models have names of their own */
    const char *path;
};

/* Both are part of `text`. */
struct layout_place layout_place_of(const char *text);

/* Adds the names of all models of one repository; those of an earlier one are not added again. */
enum status layout_add_names(const struct engine_registry *engines, const char *repository,
                             struct layout_names *names, struct error *err) FALLIBLE;
void layout_names_clear(struct layout_names *names);

/*
 * Looks at one model. `config` replaces the configuration that lies there, NULL: that one.
 * NOT_FOUND: no repository has that name. A version whose file is not to be found has an error of
 * its own.
 */
enum status layout_find(const struct engine_registry *engines, char *const *repositories,
                        size_t repository_count, const char *name,
                        const struct model_config *config, struct layout_model *ret_model,
                        struct error *err) FALLIBLE;

/* As layout_find, of a known directory: for the files that a load request brought. */
enum status layout_find_in(const struct engine_registry *engines, const char *directory,
                           const char *name, const struct model_config *config,
                           struct layout_model *ret_model, struct error *err) FALLIBLE;
void layout_model_clear(struct layout_model *model);

/* The signature as it is now; to see whether files changed while they were loaded. */
void layout_sign(const struct layout_model *model, const struct layout_version *version,
                 uint8_t signature[SHA256_SIZE]);

/* The content's digest: of the configuration and the model file. */
enum status layout_digest(const struct layout_model *model, const struct layout_version *version,
                          uint8_t ret_digest[SHA256_SIZE], struct error *err) FALLIBLE;

/* A name that a model may have: a text for one path component. */
bool layout_name_is_valid(struct str name);

#endif
