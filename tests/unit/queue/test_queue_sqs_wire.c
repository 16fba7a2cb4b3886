/* Both halves of the protocol: what is asked, and what is made of answers, good and bad. */
#include "queue/queue_sqs_read.c"
#include "queue/queue_sqs_write.c"
#include "test.h"

static struct arena arena;
static struct error err;

static struct str text_of(struct buffer *out)
{
    struct str copy = arena_try_copy(&arena, buffer_view(out));
    EXPECT(!buffer_failed(out));
    buffer_clear(out);
    return copy;
}

/* --- names ------------------------------------------------------------------------------------ */

TEST(queues_are_named_in_three_ways)
{
    static const struct {
        const char *text, *name, *url, *account, *region;
    } rows[] = {
        {"orders", "orders", "", "", ""},
        {"orders.fifo", "orders.fifo", "", "", ""},
        {"arn:aws:sqs:eu-west-3:123456789012:orders", "orders", "", "123456789012", "eu-west-3"},
        {"arn:aws-cn:sqs:cn-north-1:123456789012:o.fifo", "o.fifo", "", "123456789012",
         "cn-north-1"},
        {"https://sqs.eu-west-3.amazonaws.com/123456789012/orders", "orders",
         "https://sqs.eu-west-3.amazonaws.com/123456789012/orders", "123456789012", "eu-west-3"},
        {"http://localhost:9324/queue/orders", "orders", "http://localhost:9324/queue/orders", "",
         ""},
        {"http://127.0.0.1:1/000000000000/q", "q", "http://127.0.0.1:1/000000000000/q",
         "000000000000", ""},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct sqs_queue_name name = {0};
        EXPECT_STATUS(sqs_read_name(str_of(rows[i].text), &name, &err), STATUS_OK, err);
        EXPECT_STR(name.name, str_of(rows[i].name));
        EXPECT_STR(name.url, str_of(rows[i].url));
        EXPECT_STR(name.account, str_of(rows[i].account));
        EXPECT_STR(name.region, str_of(rows[i].region));
    }
}

TEST(what_names_no_queue_is_refused)
{
    static const char *const texts[] = {
        "",
        "a b",
        "a.fifo.b",
        "arn:aws:sqs",
        "arn:aws:sqs:eu-west-3:123456789012:",
        "arn:aws:sns:eu-west-3:123456789012:topic",
        "arn:aws:sqs::123456789012:q",
        "arn:aws:sqs:eu-west-3:12345678901:q",
        "arn:aws:sqs:eu-west-3:12345678901x:q",
        "https://sqs.eu-west-3.amazonaws.com",
        "https://sqs.eu-west-3.amazonaws.com/123456789012/",
        "https://",
        "ftp://host/q",
    };
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct sqs_queue_name name;
        if (sqs_read_name(str_of(texts[i]), &name, &err) != STATUS_INVALID_ARGUMENT)
            test_failed(__FILE__, __LINE__, "'%s' is taken for a queue", texts[i]);
    }
}

/* --- requests --------------------------------------------------------------------------------- */

TEST(messages_are_written_as_sqs_reads_them)
{
    const struct queue_attribute attributes[] = {{STR("b"), STR("Binary"), STR("\0\1\377")},
                                                 {STR("n"), STR("Number.int"), STR("7")}};
    const struct queue_new_message messages[] = {{.body = STR("[1,\"\xc3\xbc\"]"),
                                                  .attributes = attributes,
                                                  .attribute_count = 2,
                                                  .trace_header = STR("Root=1-2-3"),
                                                  .group = STR("g"),
                                                  .deduplication_id = STR("d"),
                                                  .delay_ms = -1},
                                                 {.body = STR("x"), .delay_ms = 1500}};
    struct buffer out;
    arena_init(&arena, 1 << 20);
    buffer_init(&out, 4096);
    sqs_write_send(&out, STR("u"), messages, 1);
    EXPECT_STR(
        text_of(&out),
        STR("{\"QueueUrl\":\"u\",\"MessageBody\":\"[1,\\\"\xc3\xbc\\\"]\",\"MessageGroupId\":"
            "\"g\",\"MessageDeduplicationId\":\"d\",\"MessageAttributes\":{\"b\":{"
            "\"DataType\":\"Binary\",\"BinaryValue\":\"AAH/\"},\"n\":{\"DataType\":\"Number."
            "int\",\"StringValue\":\"7\"}},\"MessageSystemAttributes\":{\"AWSTraceHeader\":{"
            "\"DataType\":\"String\",\"StringValue\":\"Root=1-2-3\"}}}"));
    buffer_init(&out, 4096);
    sqs_write_send(&out, STR("u"), (const struct queue_new_message[]){messages[1], messages[1]}, 2);
    EXPECT_STR(
        text_of(&out),
        STR("{\"QueueUrl\":\"u\",\"Entries\":[{\"Id\":\"0\",\"MessageBody\":\"x\","
            "\"DelaySeconds\":2},{\"Id\":\"1\",\"MessageBody\":\"x\",\"DelaySeconds\":2}]}"));
    arena_clear(&arena);
}

TEST(a_request_that_is_too_large_is_known)
{
    struct buffer out;
    struct queue_receipt receipt = {.receipt = STR("0123456789012345678901234567890123456789")};
    struct queue_receipt *one = &receipt;
    buffer_init(&out, 64);
    sqs_write_receipts(&out, STR("u"), &one, 1, false);
    EXPECT(buffer_failed(&out));
    buffer_clear(&out);
}

TEST(seconds_are_rounded_up)
{
    EXPECT_INT(sqs_seconds(-1), -1);
    EXPECT_INT(sqs_seconds(0), 0);
    EXPECT_INT(sqs_seconds(1), 1);
    EXPECT_INT(sqs_seconds(1000), 1);
    EXPECT_INT(sqs_seconds(1001), 2);
    EXPECT_INT(sqs_seconds((int64_t)QUEUE_VISIBILITY_S_MAX * 1000), QUEUE_VISIBILITY_S_MAX);
}

/* --- answers ---------------------------------------------------------------------------------- */

static enum status read_messages(const char *body, struct sqs_batch *batch)
{
    arena_init(&arena, 1 << 20);
    return sqs_read_messages(str_of(body), &arena, batch, &err);
}

TEST(a_message_is_read_whole)
{
    struct sqs_batch batch;
    EXPECT_STATUS(
        read_messages(
            "{\"Messages\":[{\"MessageId\":\"i\",\"ReceiptHandle\":\"r\",\"MD5OfBody\":"
            "\"385979f9854db8144f623d894fe41fda\",\"Body\":\"[1.0, 2.0]\",\"Attributes\":{"
            "\"SentTimestamp\":\"1700000000001\",\"ApproximateReceiveCount\":\"3\","
            "\"ApproximateFirstReceiveTimestamp\":\"1700000000002\",\"SequenceNumber\":"
            "\"18849496460467696128\",\"MessageGroupId\":\"g\",\"AWSTraceHeader\":\"t\","
            "\"DeadLetterQueueSourceArn\":\"arn:aws:sqs:r:1:src\",\"SenderId\":\"x\"},"
            "\"Unknown\":[{}]}]}",
            &batch),
        STATUS_OK, err);
    /* The digest is that of the seed's event, not of this body. */
    EXPECT_INT(batch.count, 0);
    EXPECT_INT(batch.damaged, 1);
    arena_clear(&arena);
    EXPECT_STATUS(
        read_messages("{\"Messages\":[{\"MessageId\":\"i\",\"ReceiptHandle\":\"r\",\"MD5OfBody\":"
                      "\"0cc175b9c0f1b6a831c399e269772661\",\"Body\":\"a\",\"Attributes\":{"
                      "\"SentTimestamp\":\"1700000000001\",\"ApproximateReceiveCount\":\"3\","
                      "\"ApproximateFirstReceiveTimestamp\":\"1700000000002\",\"SequenceNumber\":"
                      "\"18849496460467696128\",\"MessageGroupId\":\"g\",\"AWSTraceHeader\":\"t\","
                      "\"DeadLetterQueueSourceArn\":\"arn:aws:sqs:r:1:src\"}}]}",
                      &batch),
        STATUS_OK, err);
    REQUIRE(batch.count == 1);
    const struct queue_message *message = &batch.messages[0];
    EXPECT_STR(message->body, STR("a"));
    EXPECT_INT(message->receive_count, 3);
    EXPECT_INT(message->sent_ms, 1700000000001);
    EXPECT_STR(message->group, STR("g"));
    EXPECT_STR(message->dead_letter_source, STR("src"));
    EXPECT(message->sequence == UINT64_C(8849496460467696128));
    arena_clear(&arena);
}

#define MESSAGE_WITH(members)                                                                      \
    "{\"Messages\":[{\"MessageId\":\"i\",\"ReceiptHandle\":\"r\",\"Body\":\"a\",\"MD5OfBody\":"    \
    "\"0cc175b9c0f1b6a831c399e269772661\"" members "}]}"

TEST(attributes_are_sorted_and_their_digest_compared)
{
    struct sqs_batch batch;
    const char *body = MESSAGE_WITH(
        ",\"MessageAttributes\":{\"z\":{\"DataType\":\"String\",\"StringValue\":\"1\"},\"a\":{"
        "\"DataType\":\"Binary\",\"BinaryValue\":\"AAH/\"}}");
    /* Without a digest they are not believed. */
    EXPECT_STATUS(read_messages(body, &batch), STATUS_OK, err);
    EXPECT_INT(batch.damaged, 1);
    arena_clear(&arena);
    const struct queue_attribute sorted[] = {{STR("a"), STR("Binary"), STR("\0\1\377")},
                                             {STR("z"), STR("String"), STR("1")}};
    char md5[MD5_HEX_SIZE], whole[1024];
    REQUIRE(attributes_md5(sorted, 2, md5));
    (void)snprintf(whole, sizeof whole, "%.*s,\"MD5OfMessageAttributes\":\"%s\"}]}",
                   (int)(strlen(body) - 3), body, md5);
    EXPECT_STATUS(read_messages(whole, &batch), STATUS_OK, err);
    REQUIRE(batch.count == 1 && batch.messages[0].attribute_count == 2);
    EXPECT_STR(batch.messages[0].attributes[0].name, STR("a"));
    EXPECT_STR(batch.messages[0].attributes[0].value, STR("\0\1\377"));
    arena_clear(&arena);
}

TEST(what_is_no_answer_of_sqs_is_no_answer)
{
    static const char *const bodies[] = {
        "",
        "[]",
        "null",
        "{\"Messages\":{}}",
        "{\"Messages\":[{}]}",
        "{\"Messages\":[{\"MessageId\":\"i\",\"ReceiptHandle\":\"r\"}]}",
        "{\"Messages\":[{\"MessageId\":1,\"ReceiptHandle\":\"r\",\"Body\":\"\"}]}",
        MESSAGE_WITH(",\"Attributes\":{\"SentTimestamp\":\"x\"}"),
        MESSAGE_WITH(",\"Attributes\":{\"ApproximateReceiveCount\":\"99999999999\"}"),
        MESSAGE_WITH(",\"MessageAttributes\":{\"a\":{\"DataType\":\"String\"}}"),
        MESSAGE_WITH(",\"MessageAttributes\":{\"a\":{\"StringValue\":\"x\"}}"),
        MESSAGE_WITH(",\"MessageAttributes\":{\"a\":{\"DataType\":\"Binary\",\"BinaryValue\":\"?\"}"
                     "}"),
        "{\"Messages\":[]} x",
    };
    struct sqs_batch batch;
    for (size_t i = 0; i < COUNT_OF(bodies); i++) {
        if (read_messages(bodies[i], &batch) != STATUS_DATA_LOSS)
            test_failed(__FILE__, __LINE__, "%s is taken for an answer", bodies[i]);
        arena_clear(&arena);
    }
    EXPECT_STATUS(read_messages("{}", &batch), STATUS_OK, err);
    arena_clear(&arena);
    EXPECT_STATUS(read_messages("{\"Messages\":null}", &batch), STATUS_OK, err);
    EXPECT_INT(batch.count, 0);
    arena_clear(&arena);
}

TEST(more_messages_than_a_receive_brings_are_refused)
{
    struct buffer body;
    struct sqs_batch batch;
    buffer_init(&body, 1 << 16);
    buffer_add_text(&body, "{\"Messages\":[");
    for (int i = 0; i < QUEUE_BATCH_MAX + 1; i++)
        buffer_add_format(&body,
                          "%s{\"MessageId\":\"i\",\"ReceiptHandle\":\"r\",\"Body\":\"a\","
                          "\"MD5OfBody\":\"0cc175b9c0f1b6a831c399e269772661\"}",
                          i ? "," : "");
    buffer_add_text(&body, "]}");
    EXPECT(read_messages(buffer_text(&body), &batch) == STATUS_DATA_LOSS);
    arena_clear(&arena);
    buffer_clear(&body);
}

TEST(a_batch_fails_in_parts)
{
    struct queue_receipt receipts[3] = {0};
    struct queue_receipt *list[] = {&receipts[0], &receipts[1], &receipts[2]};
    const char *body =
        "{\"Successful\":[{\"Id\":\"1\"}],\"Failed\":[{\"Id\":\"2\",\"SenderFault\":false,\"Code\":"
        "\"InternalError\",\"Message\":\"m\"},{\"Id\":\"0\",\"SenderFault\":true,\"Code\":"
        "\"InvalidParameterValue\",\"Message\":\"Value r for parameter ReceiptHandle is invalid. "
        "Reason: The receipt handle has expired.\"}]}";
    arena_init(&arena, 1 << 20);
    EXPECT_STATUS(sqs_read_receipts(str_of(body), list, 3, &arena, &err), STATUS_OK, err);
    EXPECT_INT(receipts[0].status, STATUS_FAILED_PRECONDITION);
    EXPECT_INT(receipts[1].status, STATUS_OK);
    EXPECT_INT(receipts[2].status, STATUS_UNAVAILABLE);
    EXPECT_TEXT(receipts[2].reason, "m");
    /* One that is not answered, one that was not asked about, one that is answered twice. */
    EXPECT(sqs_read_receipts(STR("{\"Successful\":[{\"Id\":\"0\"}]}"), list, 2, &arena, &err) ==
           STATUS_DATA_LOSS);
    EXPECT(sqs_read_receipts(STR("{\"Successful\":[{\"Id\":\"3\"}]}"), list, 3, &arena, &err) ==
           STATUS_DATA_LOSS);
    EXPECT(sqs_read_receipts(STR("{\"Successful\":[{\"Id\":\"0\"},{\"Id\":\"0\"}]}"), list, 1,
                             &arena, &err) == STATUS_DATA_LOSS);
    arena_clear(&arena);
}

TEST(what_arrived_as_something_else_was_not_sent)
{
    const struct queue_new_message message = {.body = STR("a")};
    struct queue_sent sent;
    arena_init(&arena, 1 << 20);
    EXPECT_STATUS(
        sqs_read_sent(STR("{\"MessageId\":\"i\",\"MD5OfMessageBody\":"
                          "\"0cc175b9c0f1b6a831c399e269772661\",\"SequenceNumber\":\"12\"}"),
                      &message, 1, &arena, &sent, &err),
        STATUS_OK, err);
    EXPECT_INT(sent.status, STATUS_OK);
    EXPECT_INT(sent.sequence, 12);
    EXPECT_STATUS(sqs_read_sent(STR("{\"MessageId\":\"i\",\"MD5OfMessageBody\":\"0\"}"), &message,
                                1, &arena, &sent, &err),
                  STATUS_OK, err);
    EXPECT_INT(sent.status, STATUS_DATA_LOSS);
    EXPECT(sqs_read_sent(STR("{}"), &message, 1, &arena, &sent, &err) == STATUS_DATA_LOSS);
    arena_clear(&arena);
}

TEST(attributes_of_a_queue_are_read)
{
    struct sqs_queue_state state;
    const char *body =
        "{\"Attributes\":{\"QueueArn\":\"arn:aws:sqs:r:1:q.fifo\",\"FifoQueue\":\"true\","
        "\"VisibilityTimeout\":\"190\",\"RedrivePolicy\":\"{\\\"deadLetterTargetArn\\\":\\\"arn:"
        "aws:"
        "sqs:r:1:dead.fifo\\\",\\\"maxReceiveCount\\\":\\\"5\\\"}\","
        "\"ApproximateNumberOfMessages\":"
        "\"7\",\"CreatedTimestamp\":\"1700000000\",\"DeduplicationScope\":\"messageGroup\"}}";
    arena_init(&arena, 1 << 20);
    EXPECT_STATUS(sqs_read_attributes(str_of(body), &arena, &state, &err), STATUS_OK, err);
    EXPECT(state.settings.fifo && state.settings.deduplicate_by_group);
    EXPECT_INT(state.settings.visibility_s, 190);
    EXPECT_INT(state.settings.max_receive_count, 5);
    EXPECT_TEXT(state.settings.dead_letter, "dead.fifo");
    EXPECT_INT(state.depth.visible, 7);
    EXPECT_INT(state.created_ms, 1700000000000);
    EXPECT(sqs_read_attributes(STR("{\"Attributes\":{\"RedrivePolicy\":\"{\"}}"), &arena, &state,
                               &err) == STATUS_DATA_LOSS);
    arena_clear(&arena);
}

TEST(errors_by_either_name)
{
    static const struct {
        const char *code, *message;
        enum status status;
    } rows[] = {
        {"QueueDoesNotExist", "", STATUS_NOT_FOUND},
        {"AWS.SimpleQueueService.NonExistentQueue", "", STATUS_NOT_FOUND},
        {"AWS.SimpleQueueService.PurgeQueueInProgress", "", STATUS_ABORTED},
        {"InvalidParameterValue", "Reason: The receipt handle has expired.",
         STATUS_FAILED_PRECONDITION},
        {"InvalidParameterValue",
         "Reason: Message does not exist or is not available for visibility timeout change.",
         STATUS_NOT_FOUND},
        {"RequestThrottled", "", STATUS_EXHAUSTED},
        {"NewToUs", "", STATUS_UNKNOWN},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        EXPECT_INT(sqs_status_of(str_of(rows[i].code), str_of(rows[i].message), STATUS_UNKNOWN),
                   rows[i].status);
}
