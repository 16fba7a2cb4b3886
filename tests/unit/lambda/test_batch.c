#include "lambda/batch.c"
#include "test.h"

static struct error err;
static struct clock_fake fake;
static struct buffer ran;
static struct buffer out;
static struct arena arena;
static struct lambda_batch_counts counts;

/* Takes a second; a body of "bad" fails. */
static enum status run(void *context UNUSED, const struct sqs_record *record,
                       uint64_t timeout_us UNUSED, struct error *failure)
{
    buffer_add(&ran, record->message_id);
    clock_fake_advance(&fake, NS_PER_S);
    if (str_equal(record->body, STR("bad")))
        return fail(failure, STATUS_INVALID_ARGUMENT, "bad input");
    return STATUS_OK;
}

static enum status run_batch(struct str event, uint64_t deadline_ms)
{
    const struct lambda_batch_options options = {
        .run = run, .clock = &fake.clock, .deadline_ms = deadline_ms};
    clock_fake_init(&fake, 1000 * NS_PER_S);
    buffer_init(&ran, 1 << 16);
    buffer_init(&out, 1 << 16);
    arena_init(&arena, 1 << 20);
    return lambda_batch_run(&options, event, &arena, &out, &counts, &err);
}

static void clear(void)
{
    buffer_clear(&ran);
    buffer_clear(&out);
    arena_clear(&arena);
}

#define RECORD(id, body) "{\"messageId\":\"" id "\",\"body\":\"" body "\"}"
#define FIFO(id, body)                                                                             \
    "{\"messageId\":\"" id "\",\"body\":\"" body                                                   \
    "\",\"attributes\":{\"MessageGroupId\":\"g\"},\"eventSourceARN\":\"arn:aws:sqs:x:1:q.fifo\"}"
#define EVENT(records) STR("{\"Records\":[" records "]}")

TEST(a_standard_queue_goes_on_after_a_failure)
{
    EXPECT_STATUS(run_batch(EVENT(RECORD("a", "1") "," RECORD("b", "bad") "," RECORD("c", "2")), 0),
                  STATUS_OK, err);
    EXPECT_STR(buffer_view(&ran), STR("abc"));
    EXPECT_STR(buffer_view(&out), STR("{\"batchItemFailures\":[{\"itemIdentifier\":\"b\"}]}"));
    EXPECT_INT(counts.succeeded, 2);
    EXPECT_INT(counts.failed, 1);
    clear();
}

TEST(a_fifo_queue_stops_at_the_first_failure)
{
    EXPECT_STATUS(run_batch(EVENT(FIFO("a", "1") "," FIFO("b", "bad") "," FIFO("c", "2")), 0),
                  STATUS_OK, err);
    EXPECT_STR(buffer_view(&ran), STR("ab"));
    EXPECT_STR(buffer_view(&out), STR("{\"batchItemFailures\":[{\"itemIdentifier\":\"b\"},"
                                      "{\"itemIdentifier\":\"c\"}]}"));
    EXPECT_INT(counts.deferred, 1);
    clear();
}

TEST(what_cannot_be_done_in_time_is_reported)
{
    EXPECT_STATUS(run_batch(EVENT(RECORD("a", "1") "," RECORD("b", "1") "," RECORD("c", "2")),
                            1000 * 1000 + 2050),
                  STATUS_OK, err);
    EXPECT_STR(buffer_view(&ran), STR("a"));
    EXPECT_STR(buffer_view(&out), STR("{\"batchItemFailures\":[{\"itemIdentifier\":\"b\"},"
                                      "{\"itemIdentifier\":\"c\"}]}"));
    EXPECT_INT(counts.records, counts.succeeded + counts.failed + counts.deferred);
    clear();
}

TEST(a_wrong_digest_is_reported_unrun)
{
    EXPECT_STATUS(run_batch(STR("{\"Records\":[{\"messageId\":\"a\",\"body\":\"[0,0,0,0,0]\","
                                "\"md5OfBody\":\"9244013098e13300d3c599dc2a8a7e07\"},"
                                "{\"messageId\":\"b\",\"body\":\"[0,0,0,0,0]\","
                                "\"md5OfBody\":\"385979f9854db8144f623d894fe41fda\"}]}"),
                            0),
                  STATUS_OK, err);
    EXPECT_STR(buffer_view(&ran), STR("b"));
    EXPECT_STR(buffer_view(&out), STR("{\"batchItemFailures\":[{\"itemIdentifier\":\"a\"}]}"));
    clear();
}

TEST(an_event_that_breaks_off_runs_nothing)
{
    EXPECT_STATUS(run_batch(STR("{\"Records\":[" RECORD("a", "1") ",{\"messageId\":"), 0),
                  STATUS_INVALID_ARGUMENT, err);
    EXPECT_INT(ran.size, 0);
    clear();
    EXPECT_STATUS(run_batch(EVENT(RECORD("a", "1") ",{\"body\":\"1\"}"), 0),
                  STATUS_INVALID_ARGUMENT, err);
    EXPECT_INT(ran.size, 0);
    clear();
}
