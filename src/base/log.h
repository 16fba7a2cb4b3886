/*
 * Logging: one record is a level, a message and key/value pairs, written as one line of text or
 * JSON to stderr. Only server, worker, lambda, cli and the runner threads log above debug;
 * libraries return errors. Any thread; each record is one write(2), so lines do not mix. Values
 * named by a secret option never come here.
 *
 *   log_info("model ready", LOG_TEXT("model", name), LOG_U64("load_ms", ms));
 *   2026-11-22T20:37:00.123Z INFO  model ready model=doubleit load_ms=31
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/str.h"

enum log_level {
    LOG_LEVEL_DEBUG,
    LOG_LEVEL_INFO,
    LOG_LEVEL_WARNING,
    LOG_LEVEL_ERROR,
    LOG_LEVEL_OFF
};
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

enum log_kind { LOG_KIND_TEXT, LOG_KIND_U64, LOG_KIND_I64, LOG_KIND_DOUBLE };

struct log_field {
    const char *key;
    enum log_kind kind;
    union {
        struct str text;
        uint64_t u64;
        int64_t i64;
        double real;
    } value;
};

#define LOG_STR(k, v) ((struct log_field){(k), LOG_KIND_TEXT, {.text = (v)}})
#define LOG_TEXT(k, v) LOG_STR(k, str_of(v))
#define LOG_U64(k, v) ((struct log_field){(k), LOG_KIND_U64, {.u64 = (v)}})
#define LOG_I64(k, v) ((struct log_field){(k), LOG_KIND_I64, {.i64 = (v)}})
#define LOG_DOUBLE(k, v) ((struct log_field){(k), LOG_KIND_DOUBLE, {.real = (v)}})

/* May be changed at any time, by any thread. */
void log_set_level(enum log_level level);
enum log_level log_get_level(void);
void log_set_format(enum log_format format);
enum log_format log_get_format(void);

/* Where records go; stderr (2) unless told otherwise. Borrows the descriptor. */
void log_set_descriptor(int descriptor);

static inline bool log_wants(enum log_level level)
{
    return level >= log_get_level();
}

/* One record. Text that is not UTF-8 or holds control bytes is escaped, values are cut at 1 KiB. */
void log_write(enum log_level level, const char *message, const struct log_field *fields,
               size_t field_count);

#define LOG_FIELDS_(...)                                                                           \
    (const struct log_field[])                                                                     \
    {                                                                                              \
        {0}, ##__VA_ARGS__                                                                         \
    }
#define LOG_AT_(level, message, ...)                                                               \
    do {                                                                                           \
        if (log_wants(level))                                                                      \
            log_write((level), (message), LOG_FIELDS_(__VA_ARGS__) + 1,                            \
                      COUNT_OF(LOG_FIELDS_(__VA_ARGS__)) - 1);                                     \
    } while (0)

#define log_debug(message, ...) LOG_AT_(LOG_LEVEL_DEBUG, message, ##__VA_ARGS__)
#define log_info(message, ...) LOG_AT_(LOG_LEVEL_INFO, message, ##__VA_ARGS__)
#define log_warning(message, ...) LOG_AT_(LOG_LEVEL_WARNING, message, ##__VA_ARGS__)
#define log_error(message, ...) LOG_AT_(LOG_LEVEL_ERROR, message, ##__VA_ARGS__)

#endif
