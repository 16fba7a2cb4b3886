/* The tree itself: bounded growth, places in messages; and files into memory. */
#include "config/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <unistd.h>

void tree_init(struct tree *tree, const char *name)
{
    *tree = (struct tree){.name = name};
    arena_init(&tree->arena, TREE_MEMORY_MAX);
}

void tree_clear(struct tree *tree)
{
    arena_clear(&tree->arena);
    tree->root = NULL;
}

enum status tree_add(struct tree *tree, struct tree_node *parent, const struct tree_node *like,
                     struct tree_node **ret_node, struct error *err)
{
    struct tree_node *node = NULL;
    if (tree->node_count < TREE_NODES_MAX)
        node = arena_try_aligned(&tree->arena, sizeof *node, _Alignof(struct tree_node));
    if (!node)
        return fail(err, STATUS_EXHAUSTED, "%s:%u: more than %d values", tree->name, like->line,
                    TREE_NODES_MAX);
    *node = *like;
    if (parent) {
        if (parent->last)
            parent->last->next = node;
        else
            parent->first = node;
        parent->last = node;
        parent->count++;
    } else {
        tree->root = node;
    }
    tree->node_count++;
    *ret_node = node;
    return STATUS_OK;
}

static enum status fail_list(const struct tree *tree, uint32_t line, uint32_t column,
                             struct error *err, const char *format, va_list list)
    __attribute__((format(printf, 5, 0)));

static enum status fail_list(const struct tree *tree, uint32_t line, uint32_t column,
                             struct error *err, const char *format, va_list list)
{
    char text[ERROR_MESSAGE_SIZE];
    (void)vsnprintf(text, sizeof text, format, list);
    return fail(err, STATUS_INVALID_ARGUMENT, "%s:%u:%u: %s", tree->name, line, column, text);
}

enum status tree_fail_at(const struct tree *tree, uint32_t line, uint32_t column, struct error *err,
                         const char *format, ...)
{
    va_list list;
    va_start(list, format);
    enum status status = fail_list(tree, line, column, err, format, list);
    va_end(list);
    return status;
}

enum status tree_fail(const struct tree *tree, const struct tree_node *node, struct error *err,
                      const char *format, ...)
{
    va_list list;
    va_start(list, format);
    enum status status = fail_list(tree, node->line, node->column, err, format, list);
    va_end(list);
    return status;
}

static enum status read_all(int file, const char *path, size_t size_max, struct buffer *out,
                            struct error *err)
{
    enum { STEP = 16384 };
    for (;;) {
        char chunk[STEP];
        ssize_t size = read(file, chunk, sizeof chunk);
        if (size < 0 && errno == EINTR) continue;
        if (size < 0) return fail_errno(err, errno, "cannot read '%s'", path);
        if (size == 0) return STATUS_OK;
        buffer_add(out, (struct str){chunk, (size_t)size});
        if (buffer_failed(out) || out->size > size_max)
            return fail(err, STATUS_EXHAUSTED, "'%s' is larger than %zu bytes", path, size_max);
    }
}

enum status tree_read_file(const char *path, size_t size_max, struct buffer *out, struct error *err)
{
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (file < 0) return fail_errno(err, errno, "cannot open '%s'", path);
    enum status status = read_all(file, path, size_max, out, err);
    (void)close(file);
    return status;
}
