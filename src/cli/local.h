/*
 * Models in the command's own process, run through the same heart as a server's: repository,
 * configuration, batching, engine. What `slipway check`, `invoke` and `bench PATH` stand on.
 *
 *   struct local *local;
 *   TRY(local_open(&(struct local_options){.path = "models/doubleit"}, &local, err));
 *   struct serve_model *model;
 *   TRY(local_find(local, STR("doubleit"), &model, err));
 *   struct local_call call = {.model = model, .request = &request};
 *   local_run(local, &call, 1);
 *   if (call.status == STATUS_OK) ... call.reply.outputs ...
 *   local_close(local);
 *
 * One thread; local_share is for others. Models found stay valid until local_close.
 */
#ifndef CLI_LOCAL_H
#define CLI_LOCAL_H

#include "serve/serve.h"

struct local;

struct local_options {
    const char *path;                /* model file, model directory or repository */
    const char *engine_directory;    /* NULL or "": the usual places */
    uint32_t engine_threads;         /* 0: the engine's default */
    bool trial;                      /* each model in a process of its own first */
    struct engine_registry *engines; /* borrowed; NULL: its own. An engine starts once a process */
    struct serve *serve; /* borrowed, with a lane to spare and loading not begun: its models are
                            meant, and of the settings above only `path`, for messages */
};

/*
 * Loads what is there and waits for it. Fails if the path cannot be read; that a model in it could
 * not be loaded is a row of local_index.
 */
enum status local_open(const struct local_options *options, struct local **ret_local,
                       struct error *err) FALLIBLE;
void local_close(struct local *local);

/*
 * The same models for another thread, by a lane of its own, of which the owner's serve must have
 * one to spare. The owner outlives it.
 */
enum status local_share(struct local *owner, struct local **ret_local, struct error *err) FALLIBLE;

/* All models with their states and reasons; owned by the local. */
const struct serve_index *local_index(struct local *local);

/* How long loading took, all models together and trials not counted, and what memory it added to
 * the process. */
uint64_t local_load_ns(const struct local *local);
uint64_t local_load_bytes(const struct local *local);

/* The model's highest version. The failure of a model that did not load is the load's. */
enum status local_find(struct local *local, struct str name, struct serve_model **ret_model,
                       struct error *err) FALLIBLE;

/* The only model there is; INVALID_ARGUMENT lists them if there are several. */
enum status local_only(struct local *local, struct serve_model **ret_model,
                       struct error *err) FALLIBLE;

/* The directory of a model's cases and versions: the path itself, or its entry of that name; for a
 * model file, the directory that holds it. Owned by the caller (mem_free). */
char *local_model_directory(const struct local *local, struct str name);

/* One request. Set the first two; the rest is the answer. */
struct local_call {
    struct serve_model *model;
    struct infer_request *request; /* the reply's memory is from its arena */
    enum status status;
    struct error err;         /* if status is not OK */
    struct infer_reply reply; /* all wanted outputs, by the model's names */
    uint64_t total_ns;        /* from submission to answer */
    int64_t batch_rows;       /* rows of the engine call it was part of */

    struct serve_call call; /* local's own */
    uint64_t *pending;
};

/* Submits all in one turn, so that serve may batch them, and waits for all answers. */
void local_run(struct local *local, struct local_call *calls, size_t count);

#endif
