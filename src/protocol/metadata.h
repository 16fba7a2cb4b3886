/*
 * Metadata bodies of the Open Inference Protocol and Triton's model repository extension.
 */
#ifndef PROTOCOL_METADATA_H
#define PROTOCOL_METADATA_H

#include "protocol/infer.h"

struct metadata_model {
    const struct infer_spec *spec;
    const char *platform; /* "onnxruntime_onnx" */
    const struct str *versions;
    size_t version_count;
};

/* GET /v2/models/{m}: name, versions, platform, inputs, outputs. An ANY type is left as "ANY". */
void metadata_write_model(const struct metadata_model *model, struct buffer *out);

struct metadata_server {
    const char *name;
    const char *version;
    const char *const *extensions;
    size_t extension_count;
};

/* GET /v2. */
void metadata_write_server(const struct metadata_server *server, struct buffer *out);

/* One row of POST /v2/repository/index; version and state may be empty: name only. */
struct metadata_index_row {
    struct str name;
    struct str version;
    struct str state; /* READY UNAVAILABLE LOADING UNLOADING UNKNOWN */
    struct str reason;
};

void metadata_write_index(const struct metadata_index_row *rows, size_t count, struct buffer *out);

#endif
