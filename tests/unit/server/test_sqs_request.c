#include "server/sqs_request.c"
#include "test.h"

static struct arena arena;
static struct sqs_request request;
static struct sqs_failure failure;

static enum status read(const char *text)
{
    arena_clear(&arena);
    arena_init(&arena, 1 << 20);
    failure = (struct sqs_failure){0};
    return sqs_request_read_json(str_of(text), &arena, &request, &failure);
}

TEST(members_of_one_message)
{
    EXPECT_STATUS(
        read("{\"QueueUrl\":\"http://h/0/q\",\"MessageBody\":\"a\\nb\",\"DelaySeconds\":7,"
             "\"MessageGroupId\":\"g\",\"MessageDeduplicationId\":\"d\",\"Unknown\":[{}],"
             "\"MessageAttributes\":{\"n\":{\"DataType\":\"Number\",\"StringValue\":\"1\","
             "\"StringListValues\":[]},\"b\":{\"BinaryValue\":\"AP8=\",\"DataType\":"
             "\"Binary\"}},\"MessageSystemAttributes\":{\"AWSTraceHeader\":{\"DataType\":"
             "\"String\",\"StringValue\":\"Root=1\"}}}"),
        STATUS_OK, failure.error);
    const struct sqs_entry *entry = &request.entries[0];
    EXPECT_STR(request.queue_url, STR("http://h/0/q"));
    EXPECT_STR(entry->body, STR("a\nb"));
    EXPECT_STR(entry->group, STR("g"));
    EXPECT_STR(entry->deduplication_id, STR("d"));
    EXPECT_INT(entry->delay_s, 7);
    EXPECT(entry->visibility_s == SQS_UNSET);
    EXPECT(entry->receipt.data == NULL);
    REQUIRE(entry->attributes.count == 2);
    EXPECT_STR(entry->attributes.items[0].name, STR("n"));
    EXPECT_STR(entry->attributes.items[0].type, STR("Number"));
    EXPECT_STR(entry->attributes.items[0].value, STR("1"));
    EXPECT_STR(entry->attributes.items[1].value, ((struct str){"\0\xff", 2}));
    REQUIRE(entry->system_attributes.count == 1);
    EXPECT_STR(entry->system_attributes.items[0].value, STR("Root=1"));
    arena_clear(&arena);
}

TEST(what_is_not_sent_is_unset)
{
    static const char *const texts[] = {"", "{}", " { } ",
                                        "{\"MessageBody\":null,\"Entries\":null}"};
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        EXPECT_STATUS(read(texts[i]), STATUS_OK, failure.error);
        EXPECT(request.queue_url.data == NULL);
        EXPECT(request.entries[0].body.data == NULL);
        EXPECT(request.wait_s == SQS_UNSET);
        EXPECT_INT(request.entry_count, 0);
    }
    arena_clear(&arena);
}

TEST(lists_and_maps)
{
    EXPECT_STATUS(read("{\"AttributeNames\":[\"All\",\"x\"],\"MessageAttributeNames\":[],"
                       "\"Attributes\":{\"a\":\"1\",\"b\":\"2\",\"a\":\"3\"},\"tags\":{\"t\":\"\"},"
                       "\"MaxNumberOfMessages\":-1,\"WaitTimeSeconds\":20}"),
                  STATUS_OK, failure.error);
    REQUIRE(request.attribute_names.count == 2);
    EXPECT_STR(request.attribute_names.items[1], STR("x"));
    EXPECT_INT(request.message_names.count, 0);
    REQUIRE(request.attributes.count == 2);
    EXPECT_STR(request.attributes.items[0].value, STR("3"));
    EXPECT_INT(request.tags.count, 1);
    EXPECT_INT(request.messages_max, -1);
    EXPECT_INT(request.wait_s, 20);
    arena_clear(&arena);
}

TEST(entries_beyond_the_limit_are_counted)
{
    struct buffer text CLEANUP(buffer_clear);
    buffer_init(&text, 1 << 16);
    buffer_add(&text, STR("{\"Entries\":["));
    for (int i = 0; i < 20; i++)
        buffer_add_format(&text, "%s{\"Id\":\"%d\",\"MessageBody\":\"m%d\"}", i ? "," : "", i, i);
    buffer_add(&text, STR("]}"));
    EXPECT_STATUS(read(buffer_text(&text)), STATUS_OK, failure.error);
    EXPECT_INT(request.entry_count, 20);
    EXPECT_STR(request.entries[9].id, STR("9"));
    EXPECT_STR(request.entries[9].body, STR("m9"));
    arena_clear(&arena);
}

TEST(attributes_beyond_the_limit_are_counted)
{
    struct buffer text CLEANUP(buffer_clear);
    buffer_init(&text, 1 << 16);
    buffer_add(&text, STR("{\"MessageAttributes\":{"));
    for (int i = 0; i < 11; i++)
        buffer_add_format(&text, "%s\"%d\":{\"DataType\":\"String\",\"StringValue\":\"x\"}",
                          i ? "," : "", i);
    buffer_add(&text, STR("}}"));
    EXPECT_STATUS(read(buffer_text(&text)), STATUS_OK, failure.error);
    EXPECT_INT(request.entries[0].attributes.count, 11);
    arena_clear(&arena);
}

TEST(other_texts_are_refused)
{
    static const char *const texts[] = {
        "x",
        "[]",
        "{\"QueueUrl\":1}",
        "{\"QueueUrl\":\"q\"} x",
        "{\"QueueUrl\":\"q\"",
        "{\"DelaySeconds\":\"1\"}",
        "{\"DelaySeconds\":1.5}",
        "{\"DelaySeconds\":99999999999999999999}",
        "{\"AttributeNames\":\"All\"}",
        "{\"AttributeNames\":[1]}",
        "{\"Attributes\":[]}",
        "{\"Attributes\":{\"a\":1}}",
        "{\"MessageAttributes\":[]}",
        "{\"MessageAttributes\":{\"a\":\"b\"}}",
        "{\"MessageAttributes\":{\"a\":{\"BinaryValue\":\"%%\"}}}",
        "{\"Entries\":{}}",
        "{\"Entries\":[1]}",
        "{\"MessageBody\":\"\xff\"}",
        "{\"MessageBody\":\"\\ud800\"}",
    };
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        EXPECT_STATUS(read(texts[i]), STATUS_INVALID_ARGUMENT, failure.error);
        EXPECT_INT(failure.fault, SQS_FAULT_SERIALIZATION);
    }
    arena_clear(&arena);
}

TEST(lists_are_bounded)
{
    struct buffer text CLEANUP(buffer_clear);
    buffer_init(&text, 1 << 16);
    buffer_add(&text, STR("{\"AttributeNames\":[\"a\""));
    for (int i = 0; i < SQS_NAMES_MAX; i++) buffer_add(&text, STR(",\"a\""));
    buffer_add(&text, STR("]}"));
    EXPECT_STATUS(read(buffer_text(&text)), STATUS_INVALID_ARGUMENT, failure.error);
    EXPECT_INT(failure.fault, SQS_FAULT_INVALID_PARAMETER);
    arena_clear(&arena);
}

TEST(without_memory_it_is_exhausted)
{
    static const char text[] = "{\"Attributes\":{\"a\":\"\\n\"},\"MessageBody\":\"\\u0041\"}";
    for (size_t ceiling = 0; ceiling < 12000; ceiling += 97) {
        struct arena small;
        arena_init(&small, ceiling);
        failure = (struct sqs_failure){0};
        enum status status = sqs_request_read_json(str_of(text), &small, &request, &failure);
        EXPECT(status == STATUS_OK || status == STATUS_EXHAUSTED);
        if (status != STATUS_OK) EXPECT_INT(failure.fault, SQS_FAULT_BY_STATUS);
        arena_clear(&small);
    }
}
