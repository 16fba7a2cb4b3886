/* Records as JSON and CSV. */
#include "base/mem.h"
#include "store/record_json.c"
#include "test.h"

static struct record sample(void)
{
    return (struct record){
        .id = "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        .model = STR("m"),
        .version = STR("1"),
        .state = RECORD_SUCCEEDED,
        .received_us = 1700000000123456,
        .input = {.bytes = STR("{\"a\":\n1}"), .type = STR("application/json"), .size = 8},
        .output = {.bytes = STR("\xff\x00"), .size = 2},
        .label = STR("[1]"),
    };
}

static const char *json_of(const struct record *record)
{
    static struct buffer out;
    struct json_writer writer;
    buffer_clear(&out);
    buffer_init(&out, 1 << 20);
    json_writer_init(&writer, &out);
    record_write_json(&writer, record);
    EXPECT(!memchr(out.data, '\n', out.size)); /* NDJSON */
    return buffer_text(&out);
}

TEST(a_record_is_one_line_of_json)
{
    struct record record = sample();
    EXPECT_TEXT(json_of(&record),
                "{\"id\":\"01ARZ3NDEKTSV4RRFFQ69G5FAV\",\"model\":\"m\",\"version\":\"1\","
                "\"source\":\"http\",\"state\":\"succeeded\",\"status\":\"OK\","
                "\"received\":\"2023-11-14T22:13:20.123Z\",\"received_us\":1700000000123456,"
                "\"input\":{\"keep\":\"inline\",\"type\":\"application/json\",\"size\":8,"
                "\"json\":{\"a\": 1}},\"output\":{\"keep\":\"inline\",\"size\":2,"
                "\"base64\":\"/wA=\"},\"label\":[1]}");
}

TEST(what_is_no_json_is_text_or_base64)
{
    struct record record = sample();
    record.input.bytes = STR("{\"a\":NaN}");
    EXPECT(strstr(json_of(&record), "\"text\":\"{\\\"a\\\":NaN}\"") != NULL);
    record.input.bytes = STR("[1]\0\0");
    record.input.header_size = 3;
    EXPECT(strstr(json_of(&record), "\"header_size\":3,\"base64\":\"WzFdAAA=\"") != NULL);
    record.input = (struct record_payload){.keep = RECORD_KEEP_OMITTED};
    EXPECT(strstr(json_of(&record), "\"input\":{\"keep\":\"omitted\"}") != NULL);
    record.input = (struct record_payload){.keep = RECORD_KEEP_HASHED, .size = 3, .hashed = true};
    EXPECT(strstr(json_of(&record), "\"input\":{\"keep\":\"hashed\",\"size\":3,\"sha256\":"
                                    "\"00000000") != NULL);
}

TEST(what_was_written_is_read_again)
{
    struct record record = sample(), again;
    struct arena arena;
    struct json_reader reader;
    struct error err;
    record.source = RECORD_SOURCE_QUEUE;
    record.state = RECORD_FAILED;
    record.status = STATUS_DEADLINE_EXCEEDED;
    record.error = STR("too \"late\"");
    record.key = STR("k\xc3\xa4");
    record.done_us = 7;
    record.attempts = 3;
    record.progress = 0.5;
    record.input.hashed = true;
    record.input.hash[0] = 0xa5;
    record.input.keep = RECORD_KEEP_TRUNCATED;
    arena_init(&arena, 1 << 20);
    char *text = mem_copy_text(json_of(&record));
    json_reader_init(&reader, str_of(text), &arena);
    EXPECT_STATUS(record_read_json(&reader, &again, &err), STATUS_OK, err);
    EXPECT_STATUS(json_end(&reader, &err), STATUS_OK, err);
    EXPECT_TEXT(json_of(&again), text);
    EXPECT_STR(again.output.bytes, record.output.bytes);
    EXPECT_STR(again.error, record.error);
    arena_clear(&arena);
    mem_free(text);
}

TEST(a_record_of_a_newer_server_is_read_as_far_as_it_is_known)
{
    struct record record;
    struct arena arena;
    struct json_reader reader;
    struct error err;
    arena_init(&arena, 1 << 20);
    json_reader_init(&reader,
                     STR("{\"new\":[{}],\"state\":\"paused\",\"model\":\"m\","
                         "\"input\":{\"keep\":\"shared\",\"x\":1}}"),
                     &arena);
    EXPECT_STATUS(record_read_json(&reader, &record, &err), STATUS_OK, err);
    EXPECT_STR(record.model, STR("m"));
    json_reader_init(&reader, STR("{\"id\":\"short\"}"), &arena);
    EXPECT_STATUS(record_read_json(&reader, &record, &err), STATUS_INVALID_ARGUMENT, err);
    arena_clear(&arena);
}

TEST(deep_payloads_do_not_break_the_whole)
{
    struct record record = sample();
    char deep[2 * JSON_DEPTH_MAX];
    memset(deep, '[', JSON_DEPTH_MAX);
    memset(deep + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
    record.input.bytes = (struct str){deep, sizeof deep};
    const char *text = json_of(&record);
    struct json_reader reader;
    struct error err;
    json_reader_init(&reader, str_of(text), NULL);
    EXPECT_STATUS(json_skip(&reader, &err), STATUS_OK, err);
}

TEST(csv_has_as_many_columns_as_its_header)
{
    struct record record = sample();
    struct buffer out;
    buffer_init(&out, 1 << 20);
    record.error = STR("=1+1");
    record.request_id = STR("a,\"b\"\r\n");
    record_write_csv_header(&out);
    size_t header = out.size, commas = 0, quotes = 0, row_commas = 0;
    for (size_t i = 0; i < header; i++) commas += out.data[i] == ',';
    record_write_csv(&out, &record);
    const char *row = buffer_text(&out) + header;
    for (size_t i = 0; row[i]; i++) {
        quotes += row[i] == '"';
        row_commas += row[i] == ',' && quotes % 2 == 0;
    }
    EXPECT_INT(row_commas, commas);
    EXPECT(strstr(row, ",'=1+1,") != NULL);
    EXPECT(strstr(row, ",\"a,\"\"b\"\"\r\n\",") != NULL);
    EXPECT(strstr(row, ",\"{\"\"a\"\":\n1}\",") != NULL);
    EXPECT(strstr(row, ",base64:/wA=,[1]\r\n") != NULL);
    buffer_clear(&out);
}
