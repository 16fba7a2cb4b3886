#include "base/json.c"
#include "test.h"

static struct error err;

static enum status skip_all(struct str text, bool nonfinite)
{
    struct json_reader reader;
    json_reader_init(&reader, text, NULL);
    reader.nonfinite_allowed = nonfinite;
    TRY(json_skip(&reader, &err));
    return json_end(&reader, &err);
}

TEST(well_formed_text_is_taken)
{
    static const char *const texts[] = {
        "null",
        " true ",
        "false",
        "0",
        "-0",
        "1.5e-7",
        "\"\"",
        "\"a\\u00e9\\ud83d\\ude00\"",
        "\"\xc3\xa9\"",
        "[]",
        "[ ]",
        "{}",
        "{ }",
        "[1, 2,[3],{\"a\":[]}]",
        "{\"a\":1,\"a\":2}",
        "\t\r\n[\n]\n",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
        "\"\x7f\"",
        "\"\\u0000\"",
    };
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        EXPECT_STATUS(skip_all(str_of(texts[i]), false), STATUS_OK, err);
}

TEST(anything_else_is_refused)
{
    static const char *const texts[] = {
        "",
        " ",
        "[",
        "]",
        "{",
        "}",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "[1 2]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{1:1}",
        "{\"a\" 1}",
        "nul",
        "nulll",
        "True",
        "tru",
        "01",
        "1.",
        ".1",
        "+1",
        "1e",
        "--1",
        "-",
        "0x1",
        "NaN",
        "Infinity",
        "-Infinity",
        "\"",
        "\"\\\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u123g\"",
        "\"\\ud800\"",
        "\"\\ud800\\u0041\"",
        "\"\\udc00\"",
        "\"\n\"",
        "\"\t\"",
        "\"\x01\"",
        "\"\xff\"",
        "\"\xc3\"",
        "\"\xed\xa0\x80\"",
        "\"\xc0\x80\"",
        "1 2",
        "{}{}",
        "[1}",
        "{\"a\":1]",
        "'a'",
        "// x",
        "/**/1",
        "\xef\xbb\xbf"
        "1",
    };
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        if (skip_all(str_of(texts[i]), false) != STATUS_INVALID_ARGUMENT)
            test_failed(__FILE__, __LINE__, "'%s' was taken", texts[i]);
}

TEST(nonfinite_numbers_only_where_allowed)
{
    EXPECT_STATUS(skip_all(STR("[NaN,Infinity,-Infinity]"), true), STATUS_OK, err);
    EXPECT_STATUS(skip_all(STR("[NAN]"), true), STATUS_INVALID_ARGUMENT, err);
    EXPECT_STATUS(skip_all(STR("[-NaN]"), true), STATUS_INVALID_ARGUMENT, err);
}

TEST(depth_is_bounded)
{
    char text[600];
    for (size_t depth = 98; depth <= 102; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        enum status expected = depth <= JSON_DEPTH_MAX ? STATUS_OK : STATUS_INVALID_ARGUMENT;
        EXPECT_STATUS(skip_all((struct str){text, 2 * depth}, false), expected, err);
    }
    EXPECT_TEXT(err.message, "JSON nesting depth exceeds maximum allowed limit (100)");
}

TEST(values_are_read)
{
    struct arena arena;
    arena_init(&arena, 1 << 16);
    struct json_reader reader;
    json_reader_init(
        &reader,
        STR(" {\"i\":-5, \"u\":18446744073709551615,\"d\":1.5,\"s\":\"pl\\u0061in\\n\","
            "\"b\":[true,false],\"n\":null,\"x\":{\"y\":[1,{}]}} "),
        &arena);
    struct str key, text;
    bool more, flag;
    int64_t integer;
    uint64_t whole;
    double real;
    REQUIRE(json_open_object(&reader, &err) == STATUS_OK);
    EXPECT(json_next_member(&reader, &key, &more, &err) == STATUS_OK && more);
    EXPECT_STR(key, STR("i"));
    EXPECT(json_read_i64(&reader, &integer, &err) == STATUS_OK && integer == -5);
    EXPECT(json_next_member(&reader, &key, &more, &err) == STATUS_OK && more);
    EXPECT(json_read_i64(&reader, &integer, &err) != STATUS_OK);
    EXPECT(json_next_member(&reader, &key, &more, &err) == STATUS_OK && more);
    EXPECT(json_read_double(&reader, &real, &err) == STATUS_OK && real == 1.5);
    EXPECT(json_next_member(&reader, &key, &more, &err) == STATUS_OK && more);
    EXPECT(json_read_string(&reader, &text, &err) == STATUS_OK);
    EXPECT_STR(text, STR("plain\n"));
    EXPECT(json_next_member(&reader, &key, &more, &err) == STATUS_OK && more);
    EXPECT(json_open_array(&reader, &err) == STATUS_OK);
    EXPECT(json_next_element(&reader, &more, &err) == STATUS_OK && more);
    EXPECT(json_read_bool(&reader, &flag, &err) == STATUS_OK && flag);
    EXPECT(json_next_element(&reader, &more, &err) == STATUS_OK && more);
    EXPECT(json_read_bool(&reader, &flag, &err) == STATUS_OK && !flag);
    EXPECT(json_next_element(&reader, &more, &err) == STATUS_OK && !more);
    EXPECT(json_next_member(&reader, &key, &more, &err) == STATUS_OK && more);
    EXPECT(json_peek(&reader) == JSON_NULL && json_read_null(&reader, &err) == STATUS_OK);
    EXPECT(json_next_member(&reader, &key, &more, &err) == STATUS_OK && more);
    EXPECT(json_read_raw(&reader, &text, &err) == STATUS_OK);
    EXPECT_STR(text, STR("{\"y\":[1,{}]}"));
    EXPECT(json_next_member(&reader, &key, &more, &err) == STATUS_OK && !more);
    EXPECT_STATUS(json_end(&reader, &err), STATUS_OK, err);
    (void)whole;
    arena_clear(&arena);
}

TEST(failures_say_where)
{
    EXPECT(skip_all(STR("[1, x]"), false) != STATUS_OK);
    EXPECT_TEXT(err.message, "invalid JSON at byte 4: a value is expected here");
}

TEST(an_escaped_string_needs_an_arena)
{
    struct json_reader reader;
    struct str text;
    json_reader_init(&reader, STR("\"\\n\""), NULL);
    EXPECT(json_read_string(&reader, &text, &err) != STATUS_OK);
    struct arena tiny;
    arena_init(&tiny, 0);
    json_reader_init(&reader, STR("\"\\n\""), &tiny);
    EXPECT_STATUS(json_read_string(&reader, &text, &err), STATUS_EXHAUSTED, err);
}

TEST(special_bytes_are_found_at_every_offset)
{
    static const char specials[] = {'"', '\\', 0, 0x1f, '\n', (char)0x80, (char)0xff};
    char text[64];
    for (size_t size = 0; size < 40; size++)
        for (size_t at = 0; at <= size; at++)
            for (size_t i = 0; i < sizeof specials; i++) {
                memset(text, i % 2 ? 'a' : 0x7f, sizeof text);
                text[at] = specials[i];
                EXPECT(json_find_special(text, text + size) == text + at);
            }
}

TEST(strings_are_escaped_and_repaired)
{
    struct buffer out;
    buffer_init(&out, 1000);
    json_print_string(&out, STR("a\"\\\n\x01\x7f\xc3\xa9\xff/\xf0\x9f\x98\x80"));
    EXPECT_TEXT(buffer_text(&out),
                "\"a\\\"\\\\\\n\\u0001\x7f\xc3\xa9\xef\xbf\xbd/\xf0\x9f\x98\x80\"");
    buffer_clear(&out);
}

TEST(the_writer_puts_commas)
{
    struct buffer out;
    buffer_init(&out, 1000);
    struct json_writer writer;
    json_writer_init(&writer, &out);
    json_begin_object(&writer);
    json_put_string(&writer, STR("a"), STR("x"));
    json_add_name(&writer, STR("b"));
    json_begin_array(&writer);
    json_add_i64(&writer, -1);
    json_begin_object(&writer);
    json_end_object(&writer);
    json_add_null(&writer);
    json_add_double(&writer, 2);
    json_add_float(&writer, 0.1F);
    json_end_array(&writer);
    json_put_bool(&writer, STR("c"), true);
    json_put_u64(&writer, STR("d"), UINT64_MAX);
    json_add_name(&writer, STR("e"));
    json_add_raw(&writer, STR("[1]"));
    json_end_object(&writer);
    EXPECT_TEXT(buffer_text(&out), "{\"a\":\"x\",\"b\":[-1,{},null,2.0,0.1],\"c\":true,"
                                   "\"d\":18446744073709551615,\"e\":[1]}");
    buffer_clear(&out);
}

/* Writes a random value and reads it back as the same text: write(read(x)) == x. */
static void copy_value(struct json_reader *reader, struct json_writer *writer)
{
    struct str text;
    bool more = true, flag;
    double real;
    switch (json_peek(reader)) {
    case JSON_OBJECT:
        EXPECT(json_open_object(reader, &err) == STATUS_OK);
        json_begin_object(writer);
        while (json_next_member(reader, &text, &more, &err) == STATUS_OK && more) {
            json_add_name(writer, text);
            copy_value(reader, writer);
        }
        json_end_object(writer);
        break;
    case JSON_ARRAY:
        EXPECT(json_open_array(reader, &err) == STATUS_OK);
        json_begin_array(writer);
        while (json_next_element(reader, &more, &err) == STATUS_OK && more)
            copy_value(reader, writer);
        json_end_array(writer);
        break;
    case JSON_STRING:
        EXPECT(json_read_string(reader, &text, &err) == STATUS_OK);
        json_add_string(writer, text);
        break;
    case JSON_NUMBER:
        EXPECT(json_read_double(reader, &real, &err) == STATUS_OK);
        json_add_double(writer, real);
        break;
    case JSON_BOOL:
        EXPECT(json_read_bool(reader, &flag, &err) == STATUS_OK);
        json_add_bool(writer, flag);
        break;
    case JSON_NULL:
        EXPECT(json_read_null(reader, &err) == STATUS_OK);
        json_add_null(writer);
        break;
    case JSON_END:
    case JSON_WRONG: test_failed(__FILE__, __LINE__, "no value"); break;
    }
    EXPECT(!more || reader->depth < 100);
}

static void random_string(struct prng *prng, struct buffer *text)
{
    buffer_reset(text);
    for (size_t left = prng_below(prng, 20); left > 0; left--) {
        char bytes[4];
        uint32_t point = (uint32_t)prng_below(prng, prng_below(prng, 3) ? 128 : 0x110000);
        if (point >= 0xD800 && point < 0xE000) continue;
        buffer_add(text, (struct str){bytes, (size_t)(put_utf8(bytes, point) - bytes)});
    }
}

static void random_value(struct prng *prng, struct json_writer *writer, struct buffer *scratch,
                         int depth)
{
    uint64_t kind = prng_below(prng, depth > 5 ? 4 : 6);
    if (kind == 0) json_add_null(writer);
    if (kind == 1) json_add_bool(writer, prng_below(prng, 2));
    if (kind == 2) json_add_double(writer, prng_double(prng) * 1e6);
    if (kind == 3) random_string(prng, scratch), json_add_string(writer, buffer_view(scratch));
    if (kind == 4) json_begin_array(writer);
    if (kind == 5) json_begin_object(writer);
    for (size_t left = kind < 4 ? 0 : prng_below(prng, 5); left > 0; left--) {
        random_string(prng, scratch);
        if (kind == 5) json_add_name(writer, buffer_view(scratch));
        random_value(prng, writer, scratch, depth + 1);
    }
    if (kind == 4) json_end_array(writer);
    if (kind == 5) json_end_object(writer);
}

TEST(written_text_reads_back_and_damage_never_crashes)
{
    struct prng prng;
    prng_seed(&prng, test_seed());
    struct buffer first, second, scratch;
    buffer_init(&first, 1 << 20);
    buffer_init(&second, 1 << 20);
    buffer_init(&scratch, 1000);
    struct arena arena;
    arena_init(&arena, 1 << 22);
    for (int i = 0; i < 3000; i++) {
        struct json_writer writer;
        struct json_reader reader;
        buffer_reset(&first);
        buffer_reset(&second);
        json_writer_init(&writer, &first);
        random_value(&prng, &writer, &scratch, 0);
        json_reader_init(&reader, buffer_view(&first), &arena);
        json_writer_init(&writer, &second);
        copy_value(&reader, &writer);
        EXPECT_STR(buffer_view(&second), buffer_view(&first));
        EXPECT_STATUS(skip_all(buffer_view(&first), false), STATUS_OK, err);
        for (int j = 0; j < 10 && first.size; j++) {
            first.data[prng_below(&prng, first.size)] = (char)prng_u64(&prng);
            (void)skip_all(buffer_view(&first), true);
            (void)skip_all((struct str){first.data, prng_below(&prng, first.size)}, true);
        }
        arena_reset(&arena);
    }
    arena_clear(&arena);
    buffer_clear(&first);
    buffer_clear(&second);
    buffer_clear(&scratch);
}
