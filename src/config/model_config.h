/*
 * What a model's configuration says: Triton's ModelConfig as far as it matters here, read from
 * config.pbtxt (protobuf text), model.yaml (the same fields, and a `slipway` section of our own) or
 * JSON (the load request's `config` parameter).
 *
 *   struct model_config *config CLEANUP(model_config_freep) = NULL;
 *   TRY(model_config_read_directory("models/doubleit", &config, err));
 *   TRY(model_config_set_name(config, "doubleit", err));
 *   ... the engine loads the file ...
 *   TRY(model_config_complete(config, &info, err));
 *
 * A field that is valid but has no effect here is a warning in `warnings`; one that is unknown is
 * an error with line, column and the nearest name. Everything lives in the config's own arena.
 * Constant once completed: any thread may read.
 *
 * Absent texts are "", absent messages NULL, absent lists empty. Dimensions are Triton's: without
 * the batch dimension if max_batch_size is above 0; -1 is any size.
 */
#ifndef CONFIG_MODEL_CONFIG_H
#define CONFIG_MODEL_CONFIG_H

#include "base/arena.h"

enum {
    MODEL_CONFIG_SIZE_MAX = 1024 * 1024, /* bytes of a file */
    MODEL_CONFIG_MEMORY_MAX = 64 * 1024 * 1024,
    MODEL_CONFIG_INSTANCES_MAX = 64, /* of one group */
    MODEL_CONFIG_BATCH_MAX = 1 << 20,
    MODEL_CONFIG_WARNINGS_MAX = 100,
    MODEL_CONFIG_REDACT_MAX = 32,
};

/* Lists of numbers. */
struct model_config_dims {
    int64_t *items;
    size_t count;
};

struct model_config_sizes {
    int32_t *items;
    size_t count;
};

struct model_config_texts {
    const char **items;
    size_t count;
};

struct model_config_reshape {
    struct model_config_dims shape;
};

enum model_config_format {
    MODEL_CONFIG_FORMAT_NONE,
    MODEL_CONFIG_FORMAT_NHWC,
    MODEL_CONFIG_FORMAT_NCHW
};

/* An input or an output; what only the other has stays zero. */
struct model_config_tensor {
    const char *name;
    int32_t data_type; /* enum slipway_dtype; ANY: the file does not say */
    int32_t format;    /* enum model_config_format */
    struct model_config_dims dims;
    struct model_config_reshape *reshape; /* what the engine sees instead of dims; NULL: the same */
    bool optional;
    bool is_shape_tensor;
    bool allow_ragged_batch;
    bool is_non_linear_format_io;
    const char *label_filename;
    /* Set by model_config_complete: the engine's index of this tensor. */
    uint32_t engine_index;
    /* Set by model_config_complete: dims were not known to file nor engine; dims is empty then. */
    bool rank_unknown;
};

struct model_config_tensors {
    struct model_config_tensor *items;
    size_t count;
};

/* One of the three; none: the latest one. */
struct model_config_latest {
    uint32_t num_versions;
};

struct model_config_specific {
    struct model_config_dims versions;
};

struct model_config_version_policy {
    struct model_config_latest *latest;
    void *all; /* not NULL: all versions */
    struct model_config_specific *specific;
};

enum model_config_kind {
    MODEL_CONFIG_KIND_AUTO,
    MODEL_CONFIG_KIND_GPU,
    MODEL_CONFIG_KIND_CPU,
    MODEL_CONFIG_KIND_MODEL
};

struct model_config_group {
    const char *name;
    int32_t kind; /* enum model_config_kind */
    int32_t count;
    struct model_config_sizes gpus;
    struct model_config_texts profile;
    bool passive;
    const char *host_policy;
};

struct model_config_groups {
    struct model_config_group *items;
    size_t count;
};

enum model_config_timeout_action { MODEL_CONFIG_REJECT, MODEL_CONFIG_DELAY };

struct model_config_queue_policy {
    int32_t timeout_action; /* enum model_config_timeout_action */
    uint64_t default_timeout_microseconds;
    bool allow_timeout_override;
    uint32_t max_queue_size; /* 0: the server's limit */
};

struct model_config_priority_policy {
    uint64_t key; /* the level, 1 is the highest */
    struct model_config_queue_policy value;
};

struct model_config_priority_policies {
    struct model_config_priority_policy *items;
    size_t count;
};

struct model_config_batching {
    struct model_config_sizes preferred_batch_size;
    uint64_t max_queue_delay_microseconds;
    bool preserve_ordering;
    uint64_t priority_levels;
    uint64_t default_priority_level;
    struct model_config_queue_policy *default_queue_policy;
    struct model_config_priority_policies priority_queue_policy;
};

struct model_config_parameter {
    const char *key;
    const char *value;
};

struct model_config_parameters {
    struct model_config_parameter *items;
    size_t count;
};

/* One of zero_data, random_data, input_data_file. */
struct model_config_warmup_input {
    int32_t data_type; /* enum slipway_dtype */
    struct model_config_dims dims;
    bool zero_data;
    bool random_data;
    const char *input_data_file;
};

struct model_config_warmup_entry {
    const char *key; /* the input's name */
    struct model_config_warmup_input value;
};

struct model_config_warmup_entries {
    struct model_config_warmup_entry *items;
    size_t count;
};

struct model_config_warmup {
    const char *name;
    uint32_t batch_size;
    struct model_config_warmup_entries inputs;
    uint32_t count; /* runs; 0 is one */
};

struct model_config_warmups {
    struct model_config_warmup *items;
    size_t count;
};

struct model_config_transaction {
    bool decoupled;
};

struct model_config_cache {
    bool enable;
};

enum model_config_placement {
    MODEL_CONFIG_PLACEMENT_AUTO,
    MODEL_CONFIG_PLACEMENT_INLINE,
    MODEL_CONFIG_PLACEMENT_RUNNER
};

/* What `slipway check` says of a NaN in an output that the expected answer does not have. */
enum model_config_nan { MODEL_CONFIG_NAN_REFUSE, MODEL_CONFIG_NAN_ALLOW };

/* Budgets of `slipway check`; 0: none is set. */
struct model_config_budget {
    uint64_t latency_p50_ns;
    uint64_t latency_p99_ns;
    uint64_t memory_bytes;
    uint64_t load_ns;
};

/* Whether an input or output is kept in records; in the order of enum record_keep. */
enum model_config_keep {
    MODEL_CONFIG_KEEP_DEFAULT, /* as record.input and record.output say */
    MODEL_CONFIG_KEEP_INLINE,
    MODEL_CONFIG_KEEP_TRUNCATED,
    MODEL_CONFIG_KEEP_HASHED,
    MODEL_CONFIG_KEEP_OMITTED
};

/* What is kept of this model's inputs and outputs. */
struct model_config_record {
    int32_t input;                    /* enum model_config_keep */
    int32_t output;                   /* the same */
    uint64_t bytes_max;               /* 0: record.bytes_max */
    struct model_config_texts redact; /* beside record.redact: tensors, paths */
};

/* Ours: `slipway:` in model.yaml. */
struct model_config_slipway {
    int32_t placement; /* enum model_config_placement; the parameter `placement` sets it too */
    int32_t nan;       /* enum model_config_nan */
    struct model_config_budget *budget;
    struct model_config_record *record;
};

struct model_config {
    const char *name;
    const char *platform;
    const char *backend;
    struct model_config_version_policy *version_policy;
    int32_t max_batch_size;
    struct model_config_tensors input;
    struct model_config_tensors output;
    struct model_config_batching *dynamic_batching;
    struct model_config_groups instance_group;
    const char *default_model_filename;
    struct model_config_parameters parameters;
    struct model_config_warmups model_warmup;
    struct model_config_transaction *model_transaction_policy;
    struct model_config_cache *response_cache;
    struct model_config_slipway *slipway;

    struct model_config_texts warnings; /* one sentence each, for the log */
    struct arena arena;
};

enum model_config_syntax { MODEL_CONFIG_PBTXT, MODEL_CONFIG_YAML, MODEL_CONFIG_JSON };

/* An empty one: everything is left to the model's file. */
struct model_config *model_config_new(void);
void model_config_free(struct model_config *config);
void model_config_freep(struct model_config **config);

/* A copy of all of it. */
struct model_config *model_config_copy(const struct model_config *config);

/*
 * Reads and validates; `name` is the file's, for messages. INVALID_ARGUMENT
 * "config.pbtxt:3:5: unknown field 'max_batchsize', did you mean 'max_batch_size'"; EXHAUSTED
 * beyond a limit; UNIMPLEMENTED for what changes answers and is not done here.
 */
enum status model_config_read(struct str text, enum model_config_syntax syntax, const char *name,
                              struct model_config **ret_config, struct error *err) FALLIBLE;

/* The syntax by the file's name: .pbtxt or .txt, .yaml or .yml, .json. */
enum status model_config_read_file(const char *path, struct model_config **ret_config,
                                   struct error *err) FALLIBLE;

/*
 * model.yaml, model.yml or config.pbtxt of a model's directory; an empty configuration if it has
 * none, INVALID_ARGUMENT if it has more than one.
 */
enum status model_config_read_directory(const char *directory, struct model_config **ret_config,
                                        struct error *err) FALLIBLE;

/* The path that model_config_read_directory would read, owned by the caller (mem_free); NULL. */
char *model_config_find_file(const char *directory);

/* Gives the name, whatever the file has. */
enum status model_config_rename(struct model_config *config, const char *name,
                                struct error *err) FALLIBLE;

/* Gives the name if the file has none; INVALID_ARGUMENT if it has another. */
enum status model_config_set_name(struct model_config *config, const char *name,
                                  struct error *err) FALLIBLE;

/*
 * Fills in from the loaded model what the file leaves out: platform, inputs, outputs, types,
 * dimensions, instance group, version policy; and compares what both say. FAILED_PRECONDITION names
 * the tensor and both sides. Inputs and outputs stay in the file's order, or come in the engine's;
 * engine_index says which is which. A name of the form NAME__3 that the model does not have is its
 * tensor 3.
 */
enum status model_config_complete(struct model_config *config,
                                  const struct slipway_model_info *info,
                                  struct error *err) FALLIBLE;

/* A parameter's text, NULL if it is not there. */
const char *model_config_parameter(const struct model_config *config, const char *key);

/* As JSON, the way GET /v2/models/NAME/config answers it. */
void model_config_write_json(struct buffer *out, const struct model_config *config);

#endif
