#include "lambda/results.c"
#include "test.h"

static struct error err;
static struct arena arena;

static struct str key_of(const struct sqs_record *record)
{
    struct str key = STR_EMPTY;
    arena_init(&arena, 1 << 16);
    EXPECT_STATUS(lambda_result_key(record, &arena, &key, &err), STATUS_OK, err);
    return key;
}

static struct sqs_record plain(void)
{
    return (struct sqs_record){.message_id = STR("m-1"),
                               .body = STR("[1]"),
                               .group_id = STR_EMPTY,
                               .deduplication_id = STR_EMPTY,
                               .event_source_arn = STR("arn:aws:sqs:eu-west-3:1:q.fifo"),
                               .message_attributes = STR_EMPTY};
}

TEST(a_senders_key_is_the_first)
{
    struct sqs_record record = plain();
    record.group_id = STR("g");
    record.deduplication_id = STR("d");
    record.message_attributes = STR("{\"idempotency-key\":{\"stringValue\":\"k\\u0031\"}}");
    EXPECT_STR(key_of(&record), STR("k1"));
    arena_clear(&arena);
    record.message_attributes = STR("{\"idempotency-key\":{\"binaryValue\":\"eA==\"},\"x\":7}");
    EXPECT_STR(key_of(&record), STR("q.fifo/g/d"));
    arena_clear(&arena);
}

TEST(a_messages_id_is_the_last)
{
    struct sqs_record record = plain();
    EXPECT_STR(key_of(&record), STR("m-1"));
    arena_clear(&arena);
    char digest[SHA256_HEX_SIZE];
    uint8_t bytes[SHA256_SIZE];
    sha256_of(record.body, bytes);
    sha256_hex(bytes, digest);
    record.group_id = STR("g");
    record.deduplication_id = str_of(digest);
    EXPECT_STR(key_of(&record), STR("m-1"));
    arena_clear(&arena);
}

TEST(a_key_that_is_too_long_is_its_digest)
{
    char id[RECORD_KEY_MAX + 1];
    struct sqs_record record = plain();
    memset(id, 'x', sizeof id);
    record.message_id = (struct str){id, sizeof id};
    EXPECT_INT(key_of(&record).size, SHA256_HEX_SIZE - 1);
    arena_clear(&arena);
    record.message_id.size--;
    EXPECT_INT(key_of(&record).size, RECORD_KEY_MAX);
    arena_clear(&arena);
}

TEST(names_of_queues)
{
    EXPECT_STR(lambda_queue_name(STR("arn:aws:sqs:eu-west-3:1:a-b.fifo")), STR("a-b.fifo"));
    EXPECT_STR(lambda_queue_name(STR("plain")), STR("plain"));
    EXPECT_STR(lambda_queue_name(STR_EMPTY), STR_EMPTY);
}
