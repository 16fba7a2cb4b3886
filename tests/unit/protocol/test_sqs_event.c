#include "protocol/sqs_event.c"
#include "test.h"

static struct error err;

/* Reads all records; the last one is in *record. */
static enum status read_all(struct str text, struct arena *arena, struct sqs_record *record,
                            size_t *count)
{
    struct sqs_event event;
    *count = 0;
    TRY(sqs_event_open(&event, text, arena, &err));
    for (;;) {
        bool more;
        TRY(sqs_event_next(&event, record, &more, &err));
        if (!more) return STATUS_OK;
        ++*count;
    }
}

TEST(records_are_read)
{
    struct arena arena;
    arena_init(&arena, 1 << 16);
    struct sqs_record record;
    size_t count;
    EXPECT_STATUS(
        read_all(
            STR("{\"x\":1,\"Records\":[{\"messageId\":\"1\",\"body\":\"[1]\"},"
                "{\"messageId\":\"m\",\"receiptHandle\":\"r\",\"body\":\"{\\\"a\\\":1}\","
                "\"attributes\":{"
                "\"ApproximateReceiveCount\":\"2\",\"SentTimestamp\":\"1657982523327\","
                "\"MessageGroupId\":\"g\","
                "\"MessageDeduplicationId\":\"d\",\"SenderId\":\"s\"},\"messageAttributes\":{ },"
                "\"eventSourceARN\":\"arn:aws:sqs:eu-west-3:1:q\",\"awsRegion\":\"eu-west-3\"}],"
                "\"y\":[]}"),
            &arena, &record, &count),
        STATUS_OK, err);
    EXPECT_INT(count, 2);
    EXPECT_STR(record.message_id, STR("m"));
    EXPECT_STR(record.receipt_handle, STR("r"));
    EXPECT_STR(record.body, STR("{\"a\":1}"));
    EXPECT_STR(record.group_id, STR("g"));
    EXPECT_STR(record.deduplication_id, STR("d"));
    EXPECT_STR(record.message_attributes, STR("{ }"));
    EXPECT_STR(record.event_source_arn, STR("arn:aws:sqs:eu-west-3:1:q"));
    EXPECT_INT(record.receive_count, 2);
    EXPECT_INT(record.sent_ms, 1657982523327);
    EXPECT_STATUS(read_all(STR("{\"Records\":[]}"), &arena, &record, &count), STATUS_OK, err);
    EXPECT_INT(count, 0);
    arena_clear(&arena);
}

TEST(other_texts_are_refused)
{
    static const char *const texts[] = {
        "",
        "[]",
        "{}",
        "{\"Records\":{}}",
        "{\"Records\":[{}]}",
        "{\"Records\":[1]}",
        "{\"Records\":[{\"body\":1}]}",
        "{\"Records\":[{\"body\":\"\"}]",
        "{\"Records\":[{\"body\":\"\"}]} x",
        "{\"Records\":[{\"body\":\"\"}],}",
        "{\"Records\":[{\"body\":\"\",\"attributes\":{\"SentTimestamp\":\"x\"}}]}",
    };
    struct arena arena;
    arena_init(&arena, 1 << 16);
    struct sqs_record record;
    size_t count;
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        if (read_all(str_of(texts[i]), &arena, &record, &count) != STATUS_INVALID_ARGUMENT)
            test_failed(__FILE__, __LINE__, "'%s' was taken", texts[i]);
    EXPECT(read_all(STR("{\"detail\":1}"), &arena, &record, &count) != STATUS_OK);
    EXPECT_TEXT(err.message, "the event has no 'Records': is it an SQS event?");
    arena_clear(&arena);
}

TEST(failures_are_listed)
{
    struct buffer out;
    buffer_init(&out, 1000);
    struct str ids[] = {STR("a"), STR("b")};
    sqs_event_write_failures(ids, 2, &out);
    EXPECT_TEXT(buffer_text(&out),
                "{\"batchItemFailures\":[{\"itemIdentifier\":\"a\"},{\"itemIdentifier\":\"b\"}]}");
    buffer_reset(&out);
    sqs_event_write_failures(NULL, 0, &out);
    EXPECT_TEXT(buffer_text(&out), "{\"batchItemFailures\":[]}");
    buffer_clear(&out);
}
