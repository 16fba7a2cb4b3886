#include "base/json.h"
#include "base/log.c"
#include "test.h"

#include <fcntl.h>

static struct error err;

/* The line that the record becomes. */
static struct str record(const char *message, const struct log_field *fields, size_t count)
{
    static char text[2 * LINE_SIZE_MAX];
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return STR("no pipe");
    log_set_descriptor(ends[1]);
    log_write(LOG_LEVEL_WARNING, message, fields, count);
    log_set_descriptor(STDERR_FILENO);
    ssize_t size = read(ends[0], text, sizeof text);
    (void)close(ends[0]);
    (void)close(ends[1]);
    return (struct str){text, size > 0 ? (size_t)size : 0};
}

#define RECORD(message, ...)                                                                       \
    record((message), LOG_FIELDS_(__VA_ARGS__) + 1, COUNT_OF(LOG_FIELDS_(__VA_ARGS__)) - 1)

TEST(text_is_one_line_that_cannot_be_forged)
{
    log_set_format(LOG_FORMAT_TEXT);
    struct str line = RECORD("failed\nERROR all is lost", LOG_TEXT("plain", "a:b/c"),
                             LOG_TEXT("path", "/x y=\"z\"\r\n\\"), LOG_TEXT("empty", ""),
                             LOG_I64("low", INT64_MIN), LOG_U64("high", UINT64_MAX),
                             LOG_DOUBLE("ratio", 0.25), LOG_DOUBLE("none", (double)NAN));
    EXPECT(line.size > CLOCK_TEXT_SIZE);
    struct str rest = {line.data + CLOCK_TEXT_SIZE - 1, line.size - CLOCK_TEXT_SIZE + 1};
    EXPECT_STR(rest,
               STR(" WARN  failed\\nERROR all is lost plain=a:b/c "
                   "path=\"/x y=\\\"z\\\"\\u000d\\n\\\\\" empty=\"\" "
                   "low=-9223372036854775808 high=18446744073709551615 ratio=0.25 none=null\n"));
}

/* Reads the line as strict JSON, and the value of `key` as text. */
static void expect_json(struct str line, const char *key, struct str expected)
{
    struct arena arena;
    arena_init(&arena, 1 << 20);
    struct json_reader reader;
    struct str name, value = {NULL, 0};
    bool more = true, closed = line.size && line.data[line.size - 1] == '\n';
    EXPECT(closed && line.size <= LINE_SIZE_MAX);
    json_reader_init(&reader, line, &arena);
    EXPECT_STATUS(json_open_object(&reader, &err), STATUS_OK, err);
    while (json_next_member(&reader, &name, &more, &err) == STATUS_OK && more) {
        if (str_equal(name, str_of(key)))
            EXPECT_STATUS(json_read_string(&reader, &value, &err), STATUS_OK, err);
        else
            EXPECT_STATUS(json_skip(&reader, &err), STATUS_OK, err);
    }
    EXPECT(!more);
    EXPECT_STATUS(json_end(&reader, &err), STATUS_OK, err);
    if (expected.data) EXPECT_STR(value, expected);
    arena_clear(&arena);
}

TEST(json_gives_hostile_text_back)
{
    log_set_format(LOG_FORMAT_JSON);
    expect_json(RECORD("x", LOG_TEXT("t", "\x01\x1F\x7F\"\\\n\t{}")), "t",
                STR("\x01\x1F\x7F\"\\\n\t{}"));
    expect_json(RECORD("x", LOG_TEXT("t", "\xC3\xA4\xF0\x9F\x8E\x89")), "t",
                STR("\xC3\xA4\xF0\x9F\x8E\x89"));
    /* no UTF-8: each byte as the character of its number */
    expect_json(RECORD("x", LOG_TEXT("t", "a\xFF")), "t", STR("a\xC3\xBF"));
    expect_json(RECORD("x\"", LOG_DOUBLE("d", -INFINITY), LOG_U64("u", 7)), "message", STR("x\""));
}

/* Any bytes in any number of fields: still one line, JSON, and whole characters only. */
TEST(json_stays_well_formed_when_it_is_cut)
{
    log_set_format(LOG_FORMAT_JSON);
    struct prng prng;
    prng_seed(&prng, test_seed());
    static char message[3000], values[12][3000];
    static const char *const units[] = {"a", "\x01", "\"", "\xC3\xA4", "\xF0\x9F\x8E\x89", "\xFF"};
    for (int i = 0; i < 3000; i++) {
        struct log_field fields[12];
        size_t count = prng_below(&prng, 13);
        for (size_t j = 0; j <= count; j++) {
            char *text = j < count ? values[j] : message;
            const char *unit = units[prng_below(&prng, COUNT_OF(units))];
            size_t size = prng_below(&prng, 3) ? prng_below(&prng, 1100) : prng_below(&prng, 2900);
            text[0] = '\0';
            size_t used = prng_below(&prng, 4); /* so that characters do not lie even */
            memcpy(text, "xyz", used);
            for (; used + 4 < size; used += strlen(unit)) memcpy(text + used, unit, strlen(unit));
            text[used] = '\0';
            if (j < count) fields[j] = LOG_TEXT("key", text);
        }
        struct str line = record(message, fields, count);
        EXPECT(str_is_utf8(line));
        expect_json(line, "level", STR("WARN"));
    }
    log_set_format(LOG_FORMAT_TEXT);
}
