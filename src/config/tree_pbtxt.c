/* Protobuf text format into the tree: the whole grammar, bounded, with places in its errors. */
#include "config/tree.h"

enum { STRING_SIZE_MAX = TREE_FILE_SIZE_MAX };

struct pbtxt_reader {
    struct tree *tree;
    const char *at;
    const char *end;
    const char *line_start;
    uint32_t line;
    uint32_t depth;
    struct buffer text; /* of the string being read */
};

static enum status fail_here(const struct pbtxt_reader *reader, const char *what, struct error *err)
{
    uint32_t column = (uint32_t)(reader->at - reader->line_start) + 1;
    if (reader->at == reader->end)
        return tree_fail_at(reader->tree, reader->line, column, err, "%s, but the file ends", what);
    unsigned char byte = (unsigned char)*reader->at;
    if (byte < 0x20 || byte >= 0x7f)
        return tree_fail_at(reader->tree, reader->line, column, err, "%s, not byte 0x%02x", what,
                            byte);
    return tree_fail_at(reader->tree, reader->line, column, err, "%s, not '%c'", what, byte);
}

/* White space and comments. */
static void skip_space(struct pbtxt_reader *reader)
{
    bool comment = false;
    for (; reader->at < reader->end; reader->at++) {
        char byte = *reader->at;
        if (byte == '\n') {
            reader->line++;
            reader->line_start = reader->at + 1;
            comment = false;
        } else if (byte == '#') {
            comment = true;
        } else if (!comment && !memchr(" \t\r\v\f", byte, 5)) {
            return;
        }
    }
}

static char peek(struct pbtxt_reader *reader)
{
    skip_space(reader);
    return reader->at < reader->end ? *reader->at : '\0';
}

static bool take(struct pbtxt_reader *reader, char byte)
{
    if (peek(reader) != byte || reader->at == reader->end) return false;
    reader->at++;
    return true;
}

static bool is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

static bool is_letter(char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || byte == '_';
}

static int digit_value(char byte)
{
    if (is_digit(byte)) return byte - '0';
    if (byte >= 'a' && byte <= 'f') return byte - 'a' + 10;
    if (byte >= 'A' && byte <= 'F') return byte - 'A' + 10;
    return 16;
}

static struct tree_node node_here(struct pbtxt_reader *reader, enum tree_kind kind)
{
    skip_space(reader);
    return (struct tree_node){.kind = kind,
                              .line = reader->line,
                              .column = (uint32_t)(reader->at - reader->line_start) + 1};
}

static enum status copy(struct pbtxt_reader *reader, struct str text, struct str *ret_text,
                        struct error *err)
{
    struct str result = arena_try_copy(&reader->tree->arena, text);
    if (!result.data)
        return fail(err, STATUS_EXHAUSTED, "%s: the file takes more than %d bytes of memory",
                    reader->tree->name, TREE_MEMORY_MAX);
    *ret_text = result;
    return STATUS_OK;
}

/* --- strings ---------------------------------------------------------------------------------- */

static void add_utf8(struct buffer *out, uint32_t code)
{
    if (code < 0x80) {
        buffer_add_byte(out, (char)code);
        return;
    }
    int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    static const uint8_t lead[] = {0, 0xc0, 0xe0, 0xf0};
    buffer_add_byte(out, (char)(lead[more] | code >> (6 * more)));
    while (more-- > 0) buffer_add_byte(out, (char)(0x80 | (code >> (6 * more) & 0x3f)));
}

/* Up to `most` digits of that base; how many there were. */
static int read_digits(struct pbtxt_reader *reader, int base, int most, uint32_t *ret_value)
{
    uint32_t value = 0;
    int count = 0;
    for (; count < most && reader->at < reader->end; count++, reader->at++) {
        int digit = digit_value(*reader->at);
        if (digit >= base) break;
        value = value * (uint32_t)base + (uint32_t)digit;
    }
    *ret_value = value;
    return count;
}

/* Hexadecimal, octal or Unicode, the reader behind the backslash. */
static enum status read_number_escape(struct pbtxt_reader *reader, struct error *err)
{
    char kind = *reader->at;
    uint32_t code;
    if (is_digit(kind)) {
        if (read_digits(reader, 8, 3, &code) == 0)
            return fail_here(reader, "an octal escape is expected", err);
        buffer_add_byte(&reader->text, (char)code);
        return STATUS_OK;
    }
    reader->at++;
    int digits = kind == 'u' ? 4 : kind == 'U' ? 8 : 2;
    int count = read_digits(reader, 16, digits, &code);
    bool wide = kind == 'u' || kind == 'U';
    if (count == 0 || (wide && count < digits))
        return fail_here(reader, "a hexadecimal digit is expected", err);
    if (wide && (code > 0x10ffff || (code >= 0xd800 && code < 0xe000)))
        return fail_here(reader, "the escape before is no character", err);
    if (wide)
        add_utf8(&reader->text, code);
    else
        buffer_add_byte(&reader->text, (char)code);
    return STATUS_OK;
}

static enum status read_escape(struct pbtxt_reader *reader, struct error *err)
{
    static const char from[] = "abfnrtv?\\'\"";
    static const char to[] = "\a\b\f\n\r\t\v?\\'\"";
    _Static_assert(sizeof from == sizeof to, "each escape has its byte");
    if (reader->at == reader->end) return fail_here(reader, "an escape is expected", err);
    const char *found = memchr(from, *reader->at, sizeof from - 1);
    if (found) {
        buffer_add_byte(&reader->text, to[found - from]);
        reader->at++;
        return STATUS_OK;
    }
    if (is_digit(*reader->at) || memchr("xXuU", *reader->at, 4))
        return read_number_escape(reader, err);
    return fail_here(reader, "an escape is expected", err);
}

static enum status read_quoted(struct pbtxt_reader *reader, struct error *err)
{
    char quote = *reader->at++;
    for (;;) {
        if (reader->at == reader->end || *reader->at == '\n')
            return fail_here(reader, "a closing quote is expected", err);
        char byte = *reader->at;
        if (byte != '\\') reader->at++;
        if (byte == quote) return STATUS_OK;
        if (byte != '\\') {
            buffer_add_byte(&reader->text, byte);
            continue;
        }
        reader->at++;
        TRY(read_escape(reader, err));
    }
}

/* One string, or several side by side, which are one. */
static enum status read_string(struct pbtxt_reader *reader, struct tree_node *node,
                               struct error *err)
{
    buffer_reset(&reader->text);
    while (peek(reader) == '"' || peek(reader) == '\'') TRY(read_quoted(reader, err));
    if (buffer_failed(&reader->text))
        return fail(err, STATUS_EXHAUSTED, "%s:%u: a string is too long", reader->tree->name,
                    reader->line);
    node->quoted = true;
    return copy(reader, buffer_view(&reader->text), &node->text, err);
}

/* --- other scalars ---------------------------------------------------------------------------- */

/* Hexadecimal and octal become decimal: whoever reads the tree knows only that. */
static bool to_decimal(struct str digits, int base, bool negative, struct buffer *out)
{
    uint64_t value = 0;
    for (size_t i = 0; i < digits.size; i++) {
        int digit = digit_value(digits.data[i]);
        if (digit >= base || __builtin_mul_overflow(value, (uint64_t)base, &value) ||
            __builtin_add_overflow(value, (uint64_t)digit, &value))
            return false;
    }
    buffer_reset(out);
    if (negative && value) buffer_add_byte(out, '-');
    buffer_add_u64(out, value);
    return digits.size > 0;
}

static bool is_number_byte(const struct pbtxt_reader *reader)
{
    char byte = *reader->at;
    if (is_digit(byte) || is_letter(byte) || byte == '.') return true;
    if (byte != '+' && byte != '-') return false;
    return reader->at[-1] == 'e' || reader->at[-1] == 'E';
}

static enum status read_number(struct pbtxt_reader *reader, bool negative, struct tree_node *node,
                               struct error *err)
{
    const char *start = reader->at++;
    while (reader->at < reader->end && is_number_byte(reader)) reader->at++;
    struct str token = {start, (size_t)(reader->at - start)};
    struct buffer *text = &reader->text;
    bool hexadecimal = token.size > 2 && token.data[0] == '0' && (token.data[1] | 0x20) == 'x';
    bool whole = true;
    for (size_t i = 0; i < token.size; i++) whole = whole && is_digit(token.data[i]);
    bool octal = whole && token.size > 1 && token.data[0] == '0';
    if (hexadecimal || octal) {
        if (!to_decimal(str_from(token, hexadecimal ? 2 : 1), hexadecimal ? 16 : 8, negative, text))
            return tree_fail(reader->tree, node, err, "'%.*s' is not a number",
                             (int)MIN(token.size, 60), token.data);
    } else {
        if (!whole && str_ends_with(token, STR("f"))) token.size--;
        buffer_reset(text);
        if (negative) buffer_add_byte(text, '-');
        buffer_add(text, token);
    }
    return copy(reader, buffer_view(text), &node->text, err);
}

static struct str read_word(struct pbtxt_reader *reader)
{
    const char *start = reader->at;
    while (reader->at < reader->end && (is_letter(*reader->at) || is_digit(*reader->at)))
        reader->at++;
    return (struct str){start, (size_t)(reader->at - start)};
}

static enum status read_scalar(struct pbtxt_reader *reader, struct tree_node *node,
                               struct error *err)
{
    char byte = peek(reader);
    if (byte == '"' || byte == '\'') return read_string(reader, node, err);
    bool negative = take(reader, '-');
    byte = peek(reader);
    if (is_digit(byte) || byte == '.') return read_number(reader, negative, node, err);
    if (!is_letter(byte)) return fail_here(reader, "a value is expected", err);
    struct str word = read_word(reader);
    buffer_reset(&reader->text);
    if (negative) buffer_add_byte(&reader->text, '-');
    buffer_add(&reader->text, word);
    return copy(reader, buffer_view(&reader->text), &node->text, err);
}

/* --- structure -------------------------------------------------------------------------------- */

static enum status read_fields(struct pbtxt_reader *reader, struct tree_node *parent, char close,
                               struct error *err);

static enum status read_message(struct pbtxt_reader *reader, struct tree_node *parent,
                                struct str key, struct error *err)
{
    struct tree_node like = node_here(reader, TREE_MAP);
    like.key = key;
    if (reader->depth == TREE_DEPTH_MAX)
        return tree_fail(reader->tree, &like, err, "nested more than %d deep", TREE_DEPTH_MAX);
    struct tree_node *node = NULL;
    TRY(tree_add(reader->tree, parent, &like, &node, err));
    char close = *reader->at++ == '{' ? '}' : '>';
    reader->depth++;
    TRY(read_fields(reader, node, close, err));
    reader->depth--;
    return STATUS_OK;
}

static bool opens_message(char byte)
{
    return byte == '{' || byte == '<';
}

static enum status read_element(struct pbtxt_reader *reader, struct tree_node *parent,
                                struct str key, struct error *err)
{
    if (opens_message(peek(reader))) return read_message(reader, parent, key, err);
    struct tree_node like = node_here(reader, TREE_SCALAR);
    like.key = key;
    TRY(read_scalar(reader, &like, err));
    struct tree_node *node;
    return tree_add(reader->tree, parent, &like, &node, err);
}

static enum status read_list(struct pbtxt_reader *reader, struct tree_node *parent, struct str key,
                             struct error *err)
{
    struct tree_node like = node_here(reader, TREE_LIST);
    like.key = key;
    struct tree_node *list = NULL;
    TRY(tree_add(reader->tree, parent, &like, &list, err));
    reader->at++;
    if (take(reader, ']')) return STATUS_OK;
    do {
        TRY(read_element(reader, list, (struct str){NULL, 0}, err));
    } while (take(reader, ','));
    if (!take(reader, ']')) return fail_here(reader, "',' or ']' is expected", err);
    return STATUS_OK;
}

/* "max_batch_size", or "[type.googleapis.com/name]" as it stands. */
static enum status read_key(struct pbtxt_reader *reader, struct str *ret_key, struct error *err)
{
    const char *start = reader->at;
    if (take(reader, '[')) {
        start = reader->at - 1;
        while (reader->at < reader->end && *reader->at != ']' && *reader->at != '\n') reader->at++;
        if (!take(reader, ']')) return fail_here(reader, "']' is expected", err);
        return copy(reader, (struct str){start, (size_t)(reader->at - start)}, ret_key, err);
    }
    if (!is_letter(peek(reader))) return fail_here(reader, "a field's name is expected", err);
    return copy(reader, read_word(reader), ret_key, err);
}

static enum status read_field(struct pbtxt_reader *reader, struct tree_node *parent,
                              struct error *err)
{
    struct str key = STR_EMPTY;
    TRY(read_key(reader, &key, err));
    bool colon = take(reader, ':');
    char byte = peek(reader);
    if (byte == '[') return read_list(reader, parent, key, err);
    if (!colon && !opens_message(byte)) return fail_here(reader, "':' or '{' is expected", err);
    return read_element(reader, parent, key, err);
}

/* Fields up to `close`, or to the end of the file if that is NUL. */
static enum status read_fields(struct pbtxt_reader *reader, struct tree_node *parent, char close,
                               struct error *err)
{
    for (;;) {
        char byte = peek(reader);
        if (reader->at == reader->end) {
            if (close == '\0') return STATUS_OK;
            return tree_fail_at(reader->tree, reader->line,
                                (uint32_t)(reader->at - reader->line_start) + 1, err,
                                "'%c' is missing for the '%c' in line %u", close,
                                close == '}' ? '{' : '<', parent->line);
        }
        if (close != '\0' && byte == close) {
            reader->at++;
            return STATUS_OK;
        }
        TRY(read_field(reader, parent, err));
        if (!take(reader, ',')) (void)take(reader, ';');
    }
}

enum status tree_read_pbtxt(struct tree *tree, struct str text, struct error *err)
{
    if (text.size > TREE_FILE_SIZE_MAX)
        return fail(err, STATUS_EXHAUSTED, "%s: larger than %d bytes", tree->name,
                    TREE_FILE_SIZE_MAX);
    tree->strict = true;
    struct pbtxt_reader reader = {.tree = tree,
                                  .at = text.data,
                                  .end = text.data + text.size,
                                  .line_start = text.data,
                                  .line = 1};
    struct tree_node *root = NULL;
    const struct tree_node like = {.kind = TREE_MAP, .line = 1, .column = 1};
    TRY(tree_add(tree, NULL, &like, &root, err));
    buffer_init(&reader.text, STRING_SIZE_MAX);
    enum status status = read_fields(&reader, root, '\0', err);
    buffer_clear(&reader.text);
    return status;
}
