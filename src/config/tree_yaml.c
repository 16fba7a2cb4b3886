/* YAML into the tree, by libyaml's events: no anchors, no aliases (they can explode), one document.
 */
#include "config/tree.h"

#include <yaml.h>

struct yaml_reader {
    struct tree *tree;
    yaml_parser_t parser;
    struct tree_node *open[TREE_DEPTH_MAX]; /* the containers around the present place */
    size_t depth;
    struct str key; /* read, its value not yet; data NULL: none */
    bool done;
};

static enum status fail_parser(struct yaml_reader *reader, struct error *err)
{
    const yaml_parser_t *parser = &reader->parser;
    const char *what = parser->problem ? parser->problem : "not YAML";
    if (parser->error == YAML_MEMORY_ERROR)
        return fail(err, STATUS_EXHAUSTED, "%s: not enough memory", reader->tree->name);
    if (parser->error == YAML_READER_ERROR)
        return fail(err, STATUS_INVALID_ARGUMENT, "%s: byte %zu: %s", reader->tree->name,
                    parser->problem_offset, what);
    return tree_fail_at(reader->tree, (uint32_t)parser->problem_mark.line + 1,
                        (uint32_t)parser->problem_mark.column + 1, err, "%s%s%s", what,
                        parser->context ? " " : "", parser->context ? parser->context : "");
}

static enum status copy_text(struct yaml_reader *reader, const yaml_event_t *event,
                             struct str *ret_text, struct error *err)
{
    const struct str text = {(const char *)event->data.scalar.value, event->data.scalar.length};
    *ret_text = arena_try_copy(&reader->tree->arena, text);
    if (!ret_text->data)
        return fail(err, STATUS_EXHAUSTED, "%s: the file takes more than %d bytes of memory",
                    reader->tree->name, TREE_MEMORY_MAX);
    return STATUS_OK;
}

static struct tree_node node_at(const struct yaml_reader *reader, const yaml_event_t *event,
                                enum tree_kind kind)
{
    return (struct tree_node){.kind = kind,
                              .line = (uint32_t)event->start_mark.line + 1,
                              .column = (uint32_t)event->start_mark.column + 1,
                              .key = reader->key};
}

static enum status add_node(struct yaml_reader *reader, const struct tree_node *like,
                            struct tree_node **ret_node, struct error *err)
{
    struct tree_node *parent = reader->depth ? reader->open[reader->depth - 1] : NULL;
    if (!parent && like->kind != TREE_MAP)
        return tree_fail(reader->tree, like, err, "`name: value` pairs are expected");
    if (parent && parent->kind == TREE_MAP) {
        TREE_EACH(other, parent)
        {
            if (parent->count < 1000 && str_equal(other->key, like->key))
                return tree_fail(reader->tree, like, err, "'%.*s' was given before, in line %u",
                                 (int)MIN(like->key.size, 100), like->key.data, other->line);
        }
    }
    reader->key = (struct str){NULL, 0};
    return tree_add(reader->tree, parent, like, ret_node, err);
}

static bool expects_key(const struct yaml_reader *reader)
{
    return reader->depth > 0 && reader->open[reader->depth - 1]->kind == TREE_MAP &&
           !reader->key.data;
}

static enum status on_scalar(struct yaml_reader *reader, const yaml_event_t *event,
                             struct error *err)
{
    struct str text = STR_EMPTY;
    TRY(copy_text(reader, event, &text, err));
    if (expects_key(reader)) {
        reader->key = text;
        return STATUS_OK;
    }
    /* A document of nothing but comments is one empty scalar. */
    struct tree_node node = node_at(reader, event, TREE_SCALAR);
    if (reader->depth == 0 && text.size == 0) node.kind = TREE_MAP;
    node.text = text;
    node.quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    struct tree_node *added;
    return add_node(reader, &node, &added, err);
}

static enum status on_open(struct yaml_reader *reader, const yaml_event_t *event,
                           enum tree_kind kind, struct error *err)
{
    const struct tree_node node = node_at(reader, event, kind);
    if (expects_key(reader)) return tree_fail(reader->tree, &node, err, "a name must be a text");
    if (reader->depth == TREE_DEPTH_MAX)
        return tree_fail(reader->tree, &node, err, "nested more than %d deep", TREE_DEPTH_MAX);
    struct tree_node *added = NULL;
    TRY(add_node(reader, &node, &added, err));
    reader->open[reader->depth++] = added;
    return STATUS_OK;
}

static enum status on_event(struct yaml_reader *reader, const yaml_event_t *event,
                            struct error *err)
{
    const struct tree_node node = node_at(reader, event, TREE_SCALAR);
    switch (event->type) {
    case YAML_ALIAS_EVENT: return tree_fail(reader->tree, &node, err, "aliases are not supported");
    case YAML_SCALAR_EVENT: return on_scalar(reader, event, err);
    case YAML_SEQUENCE_START_EVENT: return on_open(reader, event, TREE_LIST, err);
    case YAML_MAPPING_START_EVENT: return on_open(reader, event, TREE_MAP, err);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT: reader->depth--; return STATUS_OK;
    case YAML_DOCUMENT_START_EVENT:
        if (reader->tree->root) return tree_fail(reader->tree, &node, err, "a second document");
        return STATUS_OK;
    case YAML_STREAM_END_EVENT: reader->done = true; return STATUS_OK;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_DOCUMENT_END_EVENT: return STATUS_OK;
    }
    return STATUS_OK;
}

static enum status read_events(struct yaml_reader *reader, struct error *err)
{
    while (!reader->done) {
        yaml_event_t event;
        if (!yaml_parser_parse(&reader->parser, &event)) return fail_parser(reader, err);
        enum status status = on_event(reader, &event, err);
        yaml_event_delete(&event);
        TRY(status);
    }
    if (reader->tree->root) return STATUS_OK;
    struct tree_node *root;
    const struct tree_node empty = {.kind = TREE_MAP, .line = 1, .column = 1};
    return tree_add(reader->tree, NULL, &empty, &root, err);
}

enum status tree_read_yaml(struct tree *tree, struct str text, struct error *err)
{
    if (text.size > TREE_FILE_SIZE_MAX)
        return fail(err, STATUS_EXHAUSTED, "%s: larger than %d bytes", tree->name,
                    TREE_FILE_SIZE_MAX);
    struct yaml_reader reader = {.tree = tree};
    if (!yaml_parser_initialize(&reader.parser))
        return fail(err, STATUS_EXHAUSTED, "%s: not enough memory", tree->name);
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)text.data, text.size);
    yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
    enum status status = read_events(&reader, err);
    yaml_parser_delete(&reader.parser);
    return status;
}
