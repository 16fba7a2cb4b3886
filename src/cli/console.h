/*
 * What commands print: text collected in a buffer, then written whole; small helpers for tables.
 */
#ifndef CLI_CONSOLE_H
#define CLI_CONSOLE_H

#include "base/str.h"

/* Writes the text to the stream and clears the buffer. EXHAUSTED if the buffer was too small. */
enum status console_flush(struct buffer *text, FILE *stream, struct error *err) FALLIBLE;

/* Replaces a file's content by the text. */
enum status console_write_file(const char *path, struct str text, struct error *err) FALLIBLE;

/* A whole file, or standard input for "-", at most size_max bytes; the caller has initialised the
 * buffer. */
enum status console_read_file(const char *path, size_t size_max, struct buffer *out,
                              struct error *err) FALLIBLE;

/*
 * Columns: each cell is text; widths follow from the content. Numbers stand to the right.
 *
 *   struct table table;
 *   table_init(&table, 3);
 *   table_add(&table, "model"); table_add(&table, "version"); table_add(&table, "state");
 *   ...
 *   table_print(&table, &out);         // the first row is the head
 *   table_clear(&table);
 */
enum { TABLE_COLUMNS_MAX = 16, TABLE_CELLS_MAX = 1 << 20 };

struct table {
    size_t columns;
    char **cells; /* row by row */
    size_t count;
    size_t capacity;
};

void table_init(struct table *table, size_t columns);
void table_clear(struct table *table);
/* Copies. Cells beyond TABLE_CELLS_MAX are dropped. */
void table_add(struct table *table, const char *text);
void table_add_format(struct table *table, const char *format, ...) PRINTF_LIKE(2, 3);
void table_print(const struct table *table, struct buffer *out);

#endif
