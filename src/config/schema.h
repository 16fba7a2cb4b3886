/*
 * Tables that say which fields a message has, what they hold and where in a C struct they go.
 * Reading a tree into the struct, printing it as JSON and copying it are each one function over
 * these tables.
 *
 *   static const struct schema_field fields[] = {
 *       {SCHEMA_ROW(model_config, TEXT, name)},
 *       {SCHEMA_ROW(model_config, MESSAGE, input), .shape = SCHEMA_MANY, .message = &tensor, ...},
 *       {.name = "metric_tags", .use = SCHEMA_UNUSED, .json = "{}"},
 *   };
 *
 * In C a MANY or a MAP is a struct {T *items; size_t count;}; a MAP's element is a struct with
 * `key` and `value`, whose message has just these two fields. A MESSAGE is a pointer, NULL while
 * absent; an INLINE message is part of the struct. Pure; any thread.
 */
#ifndef CONFIG_SCHEMA_H
#define CONFIG_SCHEMA_H

#include "config/tree.h"

enum schema_kind {
    SCHEMA_BOOL,     /* bool */
    SCHEMA_INT32,    /* int32_t */
    SCHEMA_UINT32,   /* uint32_t */
    SCHEMA_INT64,    /* int64_t */
    SCHEMA_UINT64,   /* uint64_t */
    SCHEMA_DURATION, /* uint64_t, nanoseconds, from "5ms" */
    SCHEMA_SIZE,     /* uint64_t, bytes, from "64MiB" */
    SCHEMA_TEXT,     /* const char *, "" while absent */
    SCHEMA_ENUM,     /* int32_t, the index into .choices */
    SCHEMA_MESSAGE,  /* struct *, NULL while absent; in a list the struct itself */
    SCHEMA_INLINE,   /* the struct itself */
};

enum schema_shape { SCHEMA_ONE, SCHEMA_MANY, SCHEMA_MAP };

enum schema_use {
    SCHEMA_USED,
    SCHEMA_UNUSED,  /* valid, but without effect here: a warning */
    SCHEMA_REFUSED, /* valid, but would change answers: an error */
    SCHEMA_OURS,    /* not in protobuf text, not printed */
};

enum { SCHEMA_FIELDS_MAX = 64, SCHEMA_DEPTH_MAX = 16 };

struct schema_message;

struct schema_field {
    const char *name;
    enum schema_kind kind;
    enum schema_shape shape;
    enum schema_use use;
    uint32_t limit; /* elements of a MANY or MAP */
    size_t offset;
    const struct schema_message *message;
    const char *const *choices; /* NULL at the end */
    const char *json;           /* what stands for an UNUSED field in JSON; NULL: it is left out */
    bool one_of;                /* a scalar that is printed only if it is set */
};

struct schema_message {
    const char *name; /* of the message, for errors: "ModelConfig" */
    const struct schema_field *fields;
    size_t field_count;
    size_t size; /* of the struct */
};

#define SCHEMA_ROW(owner, kind_name, member)                                                       \
    .name = #member, .kind = SCHEMA_##kind_name, .offset = offsetof(struct owner, member)

struct schema_reader {
    const struct tree *tree;
    struct arena *arena;
    void (*warn)(void *context, const char *text);
    void *context;
    int depth;
};

/* Fills `object`, zeroed with schema_clear or so, from the map `node`. Copies texts. */
enum status schema_read(struct schema_reader *reader, const struct schema_message *message,
                        const struct tree_node *node, void *object, struct error *err) FALLIBLE;

/* Makes every text of a zeroed object "". */
void schema_prepare(const struct schema_message *message, void *object);

/* The object as JSON: all fields, absent messages left out, enums by name. */
struct json_writer;
void schema_write_json(struct json_writer *writer, const struct schema_message *message,
                       const void *object);

/* A deep copy into `copy`; EXHAUSTED if the arena has no room. */
enum status schema_copy(struct arena *arena, const struct schema_message *message,
                        const void *object, void *copy, struct error *err) FALLIBLE;

/* Bytes of one element in C. */
size_t schema_element_size(const struct schema_field *field);

/* A list in a struct, read and written without knowing its element type. */
struct schema_list {
    void *items;
    size_t count;
};

struct schema_list schema_list_get(const void *object, const struct schema_field *field);
void schema_list_set(void *object, const struct schema_field *field, struct schema_list list);

#endif
