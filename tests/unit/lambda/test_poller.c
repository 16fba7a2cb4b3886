#include "lambda/poller.c"
#include "protocol/sqs_event.h"
#include "test.h"

static struct queue_message messages[2];
static struct arena arena;
static bool failed[2];

static void prepare(void)
{
    static struct queue_attribute attributes[] = {
        {{"b", 1}, {"Binary.x", 8}, {"\0\1", 2}},
        {{"idempotency-key", 15}, {"String", 6}, {"k", 1}}};
    arena_init(&arena, 1 << 20);
    for (size_t i = 0; i < 2; i++)
        messages[i] = (struct queue_message){.id = i ? STR("m-2") : STR("m-1"),
                                             .body = STR("[\"\\\u00e9\"]"),
                                             .attributes = attributes,
                                             .attribute_count = i ? 2 : 0,
                                             .trace_header = STR_EMPTY,
                                             .group = STR("g"),
                                             .deduplication_id = STR("d"),
                                             .receipt = STR("r"),
                                             .sequence = 7,
                                             .sent_ms = 1700000000000,
                                             .receive_count = 3};
}

TEST(an_event_reads_back_as_its_messages)
{
    const struct lambda_source source = {STR("q.fifo"), STR("eu-west-3"), STR("123456789012")};
    struct buffer text;
    struct sqs_event event;
    struct sqs_record record;
    struct error err;
    char digest[MD5_HEX_SIZE];
    prepare();
    buffer_init(&text, 1 << 16);
    lambda_poller_write(&source, messages, 2, &text);
    EXPECT_STATUS(sqs_event_open(&event, buffer_view(&text), &arena, &err), STATUS_OK, err);
    for (size_t i = 0; i < 2; i++) {
        bool more;
        struct str key;
        EXPECT_STATUS(sqs_event_next(&event, &record, &more, &err), STATUS_OK, err);
        EXPECT_STR(record.message_id, messages[i].id);
        EXPECT_STR(record.body, messages[i].body);
        EXPECT(md5_hex(record.body, digest));
        EXPECT_STR(record.body_md5, str_of(digest));
        EXPECT_INT(record.receive_count, 3);
        EXPECT_STR(record.group_id, STR("g"));
        EXPECT_STR(record.event_source_arn, STR("arn:aws:sqs:eu-west-3:123456789012:q.fifo"));
        EXPECT_STATUS(sqs_event_attribute(&record, STR("idempotency-key"), &arena, &key, &err),
                      STATUS_OK, err);
        EXPECT_STR(key.data ? key : STR_EMPTY, i ? STR("k") : STR_EMPTY);
    }
    buffer_clear(&text);
    arena_clear(&arena);
}

TEST(what_an_answer_leaves_in_the_queue)
{
    static const struct {
        const char *answer;
        bool valid, first, second;
    } cases[] = {
        {"", true, false, false},
        {"null", true, false, false},
        {"{}", true, false, false},
        {"{\"batchItemFailures\":null}", true, false, false},
        {"{\"batchItemFailures\":[]}", true, false, false},
        {"{\"a\":1,\"batchItemFailures\":[{\"itemIdentifier\":\"m-2\"}]}", true, false, true},
        {"{\"batchItemFailures\":[{\"itemIdentifier\":\"m-3\"}]}", false, true, true},
        {"{\"batchItemFailures\":[{\"itemIdentifier\":\"\"}]}", false, true, true},
        {"{\"batchItemFailures\":[{\"itemIdentifier\":null}]}", false, true, true},
        {"{\"batchItemFailures\":[{\"foo\":\"m-1\"}]}", false, true, true},
        {"{\"batchItemFailures\":[\"m-1\"]}", false, true, true},
        {"[2,4]", false, true, true},
        {"{", false, true, true},
    };
    prepare();
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        bool valid = lambda_poller_read(str_of(cases[i].answer), messages, 2, failed, &arena);
        EXPECT_INT(valid, cases[i].valid);
        EXPECT_INT(failed[0], cases[i].first);
        EXPECT_INT(failed[1], cases[i].second);
    }
    arena_clear(&arena);
}
