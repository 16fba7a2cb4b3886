/* Each sample has the shape it is called by, and its decoder reads it. */
#include "base/mem.h"
#include "lambda/event.h"
#include "lambda/http_event.h"
#include "lambda/sample.c"
#include "protocol/sqs_event.h"
#include "test.h"

static const struct str bodies[] = {{"[1,2,3]", 7}, {"\"caf\xc3\xa9\" \n", 9}, {"", 0}};

static struct str write(struct buffer *out, struct arena *arena, enum lambda_sample_kind kind,
                        struct lambda_event *event)
{
    struct error err;
    const struct lambda_sample sample = {.kind = kind,
                                         .bodies = bodies,
                                         .body_count = COUNT_OF(bodies),
                                         .queue = STR("q.fifo"),
                                         .group = STR("g \"1\""),
                                         .model = STR("m"),
                                         .path = STR("/models/m"),
                                         .now_ms = 1795417051650,
                                         .seed = 7};
    buffer_reset(out);
    lambda_sample_write(&sample, out);
    EXPECT(!buffer_failed(out));
    EXPECT_STATUS(lambda_event_read(buffer_view(out), arena, event, &err), STATUS_OK, err);
    return buffer_view(out);
}

TEST(each_kind_has_its_shape)
{
    static const enum lambda_shape shapes[LAMBDA_SAMPLE_KINDS] = {
        LAMBDA_DIRECT,  LAMBDA_TASK,    LAMBDA_SQS,         LAMBDA_SQS,        LAMBDA_HTTP_V2,
        LAMBDA_HTTP_V2, LAMBDA_HTTP_V1, LAMBDA_EVENTBRIDGE, LAMBDA_CODE_DEPLOY};
    struct buffer out;
    struct arena arena;
    buffer_init(&out, 1 << 20);
    arena_init(&arena, 1 << 20);
    for (int kind = 0; kind < LAMBDA_SAMPLE_KINDS; kind++) {
        struct lambda_event event;
        enum lambda_sample_kind found = LAMBDA_SAMPLE_KINDS;
        struct str text = write(&out, &arena, (enum lambda_sample_kind)kind, &event);
        EXPECT_INT(event.shape, shapes[kind]);
        EXPECT(text.data[text.size - 1] == '\n' && !memchr(text.data, '\n', text.size - 1));
        EXPECT(
            lambda_sample_find(str_of(lambda_sample_name((enum lambda_sample_kind)kind)), &found));
        EXPECT_INT(found, kind);
    }
    enum lambda_sample_kind none;
    EXPECT(!lambda_sample_find(STR("sq"), &none));
    arena_clear(&arena);
    buffer_clear(&out);
}

TEST(records_are_read_back_with_their_digests)
{
    struct buffer out;
    struct arena arena;
    struct error err;
    struct lambda_event shape;
    struct sqs_event event;
    struct str ids[COUNT_OF(bodies)];
    buffer_init(&out, 1 << 20);
    arena_init(&arena, 1 << 20);
    struct str text = write(&out, &arena, LAMBDA_SAMPLE_SQS_FIFO, &shape);
    EXPECT_STATUS(sqs_event_open(&event, text, &arena, &err), STATUS_OK, err);
    for (size_t i = 0; i < COUNT_OF(bodies); i++) {
        struct sqs_record record;
        struct str model;
        char digest[MD5_HEX_SIZE];
        bool more;
        EXPECT_STATUS(sqs_event_next(&event, &record, &more, &err), STATUS_OK, err);
        REQUIRE(more);
        EXPECT_STR(record.body, bodies[i]);
        REQUIRE(md5_hex(bodies[i], digest));
        EXPECT_STR(record.body_md5, str_of(digest));
        EXPECT_STR(record.group_id, STR("g \"1\""));
        EXPECT_INT(record.deduplication_id.size, UUID_SIZE - 1);
        EXPECT_INT(record.sent_ms, 1795417051650);
        EXPECT_INT(record.receive_count, 1);
        EXPECT_STR(record.event_source_arn, STR("arn:aws:sqs:eu-west-1:000000000000:q.fifo"));
        EXPECT_STATUS(sqs_event_attribute(&record, STR("model"), &arena, &model, &err), STATUS_OK,
                      err);
        EXPECT_STR(model, STR("m"));
        ids[i] = record.message_id;
        for (size_t j = 0; j < i; j++) EXPECT(!str_equal(ids[i], ids[j]));
    }
    arena_clear(&arena);
    buffer_clear(&out);
}

TEST(requests_are_read_back)
{
    static const enum lambda_sample_kind kinds[] = {LAMBDA_SAMPLE_FUNCTION_URL,
                                                    LAMBDA_SAMPLE_HTTP_API, LAMBDA_SAMPLE_REST_API};
    struct buffer out;
    struct arena arena;
    struct error err;
    buffer_init(&out, 1 << 20);
    arena_init(&arena, 1 << 20);
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        struct lambda_event event;
        struct lambda_http_request request;
        struct str text = write(&out, &arena, kinds[i], &event);
        EXPECT_STATUS(lambda_http_read(text, event.shape, &arena, &request, &err), STATUS_OK, err);
        EXPECT_TEXT(request.method, "POST");
        EXPECT_TEXT(request.target, "/models/m");
        EXPECT_STR(request.body, bodies[0]);
    }
    arena_clear(&arena);
    buffer_clear(&out);
}
