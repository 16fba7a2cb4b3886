/* Output of commands. */
#include "cli/console.h"

#include "base/mem.h"

#include <errno.h>
#include <stdarg.h>

enum { CELL_SIZE_MAX = 1024, READ_STEP = 64 * 1024 };

enum status console_flush(struct buffer *text, FILE *stream, struct error *err)
{
    bool failed = buffer_failed(text);
    size_t size = text->size;
    bool written = size == 0 || fwrite(buffer_text(text), 1, size, stream) == size;
    int problem = errno;
    buffer_clear(text);
    if (!written) return fail_errno(err, problem, "writing the output");
    if (failed) return fail(err, STATUS_EXHAUSTED, "the output is too large; it was cut");
    return STATUS_OK;
}

enum status console_write_file(const char *path, struct str text, struct error *err)
{
    FILE *file = fopen(path, "we");
    if (!file) return fail_errno(err, errno, "opening '%s' for writing", path);
    bool written = fwrite(text.data, 1, text.size, file) == text.size;
    int problem = errno;
    if (fclose(file) != 0 && written) {
        written = false;
        problem = errno;
    }
    return written ? STATUS_OK : fail_errno(err, problem, "writing '%s'", path);
}

static enum status read_stream(FILE *file, const char *path, size_t size_max, struct buffer *out,
                               struct error *err)
{
    for (;;) {
        char *room = buffer_reserve(out, READ_STEP);
        if (!room || out->size > size_max)
            return fail(err, STATUS_EXHAUSTED, "'%s' is larger than %zu bytes", path, size_max);
        size_t got = fread(room, 1, READ_STEP, file);
        if (got == 0) break;
        buffer_commit(out, got);
    }
    return ferror(file) ? fail_errno(err, errno, "reading '%s'", path) : STATUS_OK;
}

enum status console_read_file(const char *path, size_t size_max, struct buffer *out,
                              struct error *err)
{
    if (strcmp(path, "-") == 0) return read_stream(stdin, "standard input", size_max, out, err);
    FILE *file = fopen(path, "re");
    if (!file) return fail_errno(err, errno, "opening '%s'", path);
    enum status status = read_stream(file, path, size_max, out, err);
    (void)fclose(file); /* only read from */
    return status;
}

/* --- tables ----------------------------------------------------------------------------------- */

void table_init(struct table *table, size_t columns)
{
    assert(columns > 0 && columns <= TABLE_COLUMNS_MAX);
    *table = (struct table){.columns = columns};
}

void table_clear(struct table *table)
{
    for (size_t i = 0; i < table->count; i++) mem_free(table->cells[i]);
    mem_free(table->cells);
    table_init(table, table->columns);
}

void table_add(struct table *table, const char *text)
{
    if (table->count == TABLE_CELLS_MAX) return;
    if (table->count == table->capacity) {
        table->capacity = MAX(table->capacity * 2, (size_t)64);
        table->cells = mem_resize(table->cells, table->capacity * sizeof *table->cells);
    }
    table->cells[table->count++] = mem_copy_text(text);
}

void table_add_format(struct table *table, const char *format, ...)
{
    char text[CELL_SIZE_MAX];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    table_add(table, text);
}

/* Columns on the screen, as far as counting code points tells. */
static size_t width_of(const char *text)
{
    size_t width = 0;
    for (; *text; text++) width += (*text & 0xc0) != 0x80;
    return width;
}

static bool is_number(const char *text)
{
    return (*text >= '0' && *text <= '9') || (*text == '-' && text[1] >= '0' && text[1] <= '9');
}

static void add_spaces(struct buffer *out, size_t count)
{
    for (size_t i = 0; i < count; i++) buffer_add_byte(out, ' ');
}

/* Numbers decide by the column's second row, so that their head stands above them. */
static bool is_right(const struct table *table, size_t column)
{
    size_t cell = table->columns + column;
    return cell < table->count && is_number(table->cells[cell]);
}

static void print_cell(const struct table *table, size_t cell, const size_t *widths,
                       struct buffer *out)
{
    size_t column = cell % table->columns;
    const char *text = table->cells[cell];
    size_t padding = widths[column] - width_of(text);
    bool right = is_right(table, column), last = column + 1 == table->columns;
    if (right) add_spaces(out, padding);
    /* Control bytes of foreign text would move the cursor. */
    for (; *text; text++)
        buffer_add_byte(out, (unsigned char)*text < 0x20 || *text == 0x7f ? '?' : *text);
    if (last) {
        buffer_add_byte(out, '\n');
        return;
    }
    add_spaces(out, right ? 2 : padding + 2);
}

void table_print(const struct table *table, struct buffer *out)
{
    size_t widths[TABLE_COLUMNS_MAX] = {0};
    for (size_t i = 0; i < table->count; i++)
        widths[i % table->columns] = MAX(widths[i % table->columns], width_of(table->cells[i]));
    for (size_t i = 0; i < table->count; i++) print_cell(table, i, widths, out);
}
