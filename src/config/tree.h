/*
 * What a configuration file says, before anybody asks what it means: a tree of maps, lists and
 * scalars with the place of each. YAML (and so JSON) and protobuf text become the same tree;
 * schema.h gives it meaning.
 *
 *   struct tree tree;
 *   tree_init(&tree, "model.yaml");
 *   TRY(tree_read_yaml(&tree, text, err));
 *   TREE_EACH(child, tree.root) ... child->key, child->text ...
 *   tree_clear(&tree);
 *
 * Everything is bounded: bytes of the file, nodes, depth. In protobuf text a repeated field is
 * several children with the same key. One thread.
 */
#ifndef CONFIG_TREE_H
#define CONFIG_TREE_H

#include "base/arena.h"

enum {
    TREE_FILE_SIZE_MAX = 1024 * 1024,
    TREE_NODES_MAX = 100000,
    TREE_DEPTH_MAX = 64,
    TREE_MEMORY_MAX = 32 * 1024 * 1024,
};

enum tree_kind { TREE_SCALAR, TREE_LIST, TREE_MAP };

struct tree_node {
    enum tree_kind kind;
    bool quoted; /* a scalar written as a string */
    uint32_t line;
    uint32_t column;
    struct str key;  /* within a map; data NULL elsewhere */
    struct str text; /* of a scalar; a NUL stands behind it */
    struct tree_node *first;
    struct tree_node *last;
    struct tree_node *next;
    size_t count; /* children */
};

struct tree {
    const char *name; /* of the file, for messages; borrowed */
    bool strict;      /* protobuf text: strings are quoted, nothing else is */
    struct tree_node *root;
    size_t node_count;
    struct arena arena;
};

#define TREE_EACH(child, parent)                                                                   \
    for (const struct tree_node *child = (parent)->first; (child); (child) = (child)->next)

void tree_init(struct tree *tree, const char *name);
void tree_clear(struct tree *tree);

/*
 * Reads a whole document whose root is a map; an empty document is an empty map. The tree copies
 * what it keeps. INVALID_ARGUMENT "NAME:LINE:COLUMN: what"; EXHAUSTED beyond a limit.
 */
enum status tree_read_yaml(struct tree *tree, struct str text, struct error *err) FALLIBLE;
enum status tree_read_pbtxt(struct tree *tree, struct str text, struct error *err) FALLIBLE;

/* A new node at a place, as the last child of `parent` (NULL: as the root). */
enum status tree_add(struct tree *tree, struct tree_node *parent, const struct tree_node *like,
                     struct tree_node **ret_node, struct error *err) FALLIBLE;

/* INVALID_ARGUMENT "NAME:LINE:COLUMN: ...". */
enum status tree_fail(const struct tree *tree, const struct tree_node *node, struct error *err,
                      const char *format, ...) PRINTF_LIKE(4, 5);
enum status tree_fail_at(const struct tree *tree, uint32_t line, uint32_t column, struct error *err,
                         const char *format, ...) PRINTF_LIKE(5, 6);

/* A whole file of at most size_max bytes into a buffer that the caller has initialised. */
enum status tree_read_file(const char *path, size_t size_max, struct buffer *out,
                           struct error *err) FALLIBLE;

#endif
