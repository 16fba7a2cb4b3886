/* Records to lines. */
#include "base/log.h"

#include "base/clock.h"

#include <math.h>
#include <stdatomic.h>
#include <unistd.h>

enum {
    LINE_SIZE_MAX = 8192,
    VALUE_SIZE_MAX = 1024,
    LINE_RESERVE = 64, /* for what must follow a text: quotes, a number, a brace, a newline */
};

static _Atomic int current_level = LOG_LEVEL_INFO;
static _Atomic int current_format = LOG_FORMAT_TEXT;
static _Atomic int current_descriptor = STDERR_FILENO;

static const char *const level_names[] = {"DEBUG", "INFO", "WARN", "ERROR"};

void log_set_level(enum log_level level)
{
    atomic_store(&current_level, (int)level);
}

enum log_level log_get_level(void)
{
    return (enum log_level)atomic_load_explicit(&current_level, memory_order_relaxed);
}

void log_set_format(enum log_format format)
{
    atomic_store(&current_format, (int)format);
}
enum log_format log_get_format(void)
{
    return (enum log_format)atomic_load(&current_format);
}
void log_set_descriptor(int descriptor)
{
    atomic_store(&current_descriptor, descriptor);
}

/* A line under construction. What does not fit is left out; the line stays well formed. */
struct line {
    char text[LINE_SIZE_MAX];
    size_t size;
};

static void put(struct line *line, struct str text)
{
    size_t room = sizeof line->text - line->size - 1; /* the newline */
    assert(text.size <= room);
    memcpy(line->text + line->size, text.data, text.size);
    line->size += text.size;
}

/* How a byte is written; `room` is for what needs an escape. `raw` if it is not part of UTF-8. */
static struct str escape(const char *byte, bool raw, char room[6])
{
    static const char hex[] = "0123456789abcdef";
    unsigned char value = (unsigned char)*byte;
    if (value == '\n') return STR("\\n");
    if (value == '"' || value == '\\') {
        room[0] = '\\';
        room[1] = *byte;
        return (struct str){room, 2};
    }
    if (value >= 0x20 && value != 0x7F && !(raw && value >= 0x80)) return (struct str){byte, 1};
    memcpy(room, "\\u00", 4);
    room[4] = hex[value >> 4];
    room[5] = hex[value & 15];
    return (struct str){room, 6};
}

/* Bytes of the character that begins with this one. */
static size_t character_size(unsigned char first)
{
    return first < 0xC0 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
}

/* JSON's escapes serve the text form as well. Whole characters and escapes, as many as fit. */
static void put_escaped(struct line *line, struct str text)
{
    bool raw = !str_is_utf8(text);
    size_t end = MIN(text.size, (size_t)VALUE_SIZE_MAX), step;
    for (size_t i = 0; i < end; i += step) {
        char room[6];
        struct str piece = escape(text.data + i, raw, room);
        step = raw ? 1 : character_size((unsigned char)text.data[i]);
        if (step > 1) piece.size = step;
        if (i + step > end || line->size + piece.size > LINE_SIZE_MAX - LINE_RESERVE) return;
        put(line, piece);
    }
}

static void put_quoted(struct line *line, struct str text)
{
    put(line, STR("\""));
    put_escaped(line, text);
    put(line, STR("\""));
}

static bool is_plain(struct str text)
{
    for (size_t i = 0; i < text.size; i++) {
        unsigned char byte = (unsigned char)text.data[i];
        if (byte <= ' ' || byte == '"' || byte == '=' || byte == '\\' || byte >= 0x7F) return false;
    }
    return text.size > 0;
}

static void put_value(struct line *line, const struct log_field *field, bool always_quoted)
{
    char number[32];
    int length = 0;
    switch (field->kind) {
    case LOG_KIND_TEXT:
        if (always_quoted || !is_plain(field->value.text))
            put_quoted(line, field->value.text);
        else
            put_escaped(line, field->value.text);
        return;
    case LOG_KIND_U64:
        length = snprintf(number, sizeof number, "%llu", (unsigned long long)field->value.u64);
        break;
    case LOG_KIND_I64:
        length = snprintf(number, sizeof number, "%lld", (long long)field->value.i64);
        break;
    case LOG_KIND_DOUBLE:
        if (!isfinite(field->value.real)) {
            put(line, STR("null"));
            return;
        }
        length = snprintf(number, sizeof number, "%.6g", field->value.real);
        break;
    }
    put(line, (struct str){number, (size_t)length});
}

/* True if there may be no room for another field's name. */
static bool is_full(const struct line *line)
{
    return line->size > LINE_SIZE_MAX - 4 * LINE_RESERVE;
}

static void put_text_record(struct line *line, enum log_level level, const char *message,
                            const struct log_field *fields, size_t count)
{
    char head[CLOCK_TEXT_SIZE + 16];
    char stamp[CLOCK_TEXT_SIZE];
    clock_format_utc(clock_wall_ns(), stamp);
    (void)snprintf(head, sizeof head, "%s %-5s ", stamp, level_names[level]);
    put(line, str_of(head));
    put_escaped(line, str_of(message));
    for (size_t i = 0; i < count; i++) {
        if (is_full(line)) break;
        put(line, STR(" "));
        put_escaped(line, str_of(fields[i].key));
        put(line, STR("="));
        put_value(line, &fields[i], false);
    }
}

static void put_json_record(struct line *line, enum log_level level, const char *message,
                            const struct log_field *fields, size_t count)
{
    char stamp[CLOCK_TEXT_SIZE];
    clock_format_utc(clock_wall_ns(), stamp);
    put(line, STR("{\"time\":\""));
    put(line, str_of(stamp));
    put(line, STR("\",\"level\":\""));
    put(line, str_of(level_names[level]));
    put(line, STR("\",\"message\":"));
    put_quoted(line, str_of(message));
    for (size_t i = 0; i < count; i++) {
        if (is_full(line)) break;
        put(line, STR(","));
        put_quoted(line, str_of(fields[i].key));
        put(line, STR(":"));
        put_value(line, &fields[i], true);
    }
    put(line, STR("}"));
}

void log_write(enum log_level level, const char *message, const struct log_field *fields,
               size_t field_count)
{
    assert(level < LOG_LEVEL_OFF);
    struct line line;
    line.size = 0;
    if (log_get_format() == LOG_FORMAT_JSON)
        put_json_record(&line, level, message, fields, field_count);
    else
        put_text_record(&line, level, message, fields, field_count);
    line.text[line.size++] = '\n';
    ssize_t written = write(atomic_load(&current_descriptor), line.text, line.size);
    (void)written; /* a log that cannot be written has nobody left to tell */
}
