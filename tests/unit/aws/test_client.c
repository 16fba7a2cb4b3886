#include "aws/client.c"
#include "stub.h"
#include "test.h"

#define OK_EMPTY "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
#define THROTTLED                                                                                  \
    "HTTP/1.1 400 Bad Request\r\nContent-Length: 80\r\n\r\n"                                       \
    "{\"__type\":\"com.amazonaws.sqs#RequestThrottled\",\"message\":\"Slow down, will you.\"}"
#define BROKEN "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"

struct fixture {
    struct stub stub;
    struct clock_fake clock;
    struct aws_credentials *credentials;
    struct aws_client *client;
    struct arena arena;
    struct aws_reply reply;
    struct error err;
    uint64_t paused_ns;
    unsigned pauses;
};

static void note_pause(void *context, uint64_t ns)
{
    struct fixture *f = context;
    f->paused_ns += ns;
    f->pauses++;
    clock_fake_advance(&f->clock, ns);
}

static void begin(struct fixture *f, const struct stub_answer *answers, size_t count)
{
    const struct aws_keys keys = {STR("AKIDEXAMPLE"), STR("very secret key"), STR("token"), 0};
    *f = (struct fixture){.paused_ns = 0};
    stub_start(&f->stub, answers, count);
    clock_fake_init(&f->clock, UINT64_C(1795379820) * NS_PER_S);
    arena_init(&f->arena, 64 << 20);
    if (aws_credentials_new(&(struct aws_credentials_options){.keys = &keys}, &f->credentials,
                            &f->err) != STATUS_OK)
        abort();
    const struct aws_client_options options = {.service = "sqs",
                                               .region = "eu-west-3",
                                               .endpoint = f->stub.url,
                                               .credentials = f->credentials,
                                               .clock = &f->clock.clock,
                                               .pause = note_pause,
                                               .pause_context = f};
    EXPECT_STATUS(aws_client_new(&options, &f->client, &f->err), STATUS_OK, f->err);
}

static void end(struct fixture *f)
{
    aws_client_free(f->client);
    aws_credentials_free(f->credentials);
    stub_end(&f->stub);
    stub_clear(&f->stub);
    arena_clear(&f->arena);
}

static enum status send_message(struct fixture *f)
{
    return aws_json_call(
        f->client,
        &(struct aws_json_request){.target = "AmazonSQS.SendMessage", .body = STR("{\"a\":1}")},
        &f->arena, &f->reply, &f->err);
}

#define BEGIN(f, answers) begin((f), (answers), COUNT_OF(answers))

static const char *request(const struct fixture *f, size_t number)
{
    return number < f->stub.request_count ? f->stub.requests[number] : "";
}

TEST(requests_are_signed_and_answered_over_one_connection)
{
    static const struct stub_answer answers[] = {
        {.text = "HTTP/1.1 200 OK\r\nx-amzn-RequestId: 7\r\nContent-Length: 17\r\n\r\n"
                 "{\"MessageId\":\"m\"}"},
        {.text = OK_EMPTY}};
    struct fixture f;
    BEGIN(&f, answers);
    EXPECT_STATUS(send_message(&f), STATUS_OK, f.err);
    EXPECT_INT(f.reply.status, 200);
    EXPECT(str_equal(f.reply.body, STR("{\"MessageId\":\"m\"}")));
    EXPECT(str_equal(aws_reply_field(&f.reply, "X-Amzn-Requestid"), STR("7")));
    EXPECT_STATUS(send_message(&f), STATUS_OK, f.err);
    EXPECT_INT(f.stub.connection_count, 1);
    EXPECT_INT(f.reply.attempts, 1);
    const char *text = request(&f, 0);
    EXPECT(strncmp(text, "POST / HTTP/1.1\r\n", 17) == 0);
    EXPECT(strstr(text, "\r\nX-Amz-Target: AmazonSQS.SendMessage\r\n"));
    EXPECT(strstr(text, "\r\nContent-Type: application/x-amz-json-1.0\r\n"));
    EXPECT(strstr(text, "Credential=AKIDEXAMPLE/20261122/eu-west-3/sqs/aws4_request"));
    EXPECT(strstr(text, "\r\nX-Amz-Security-Token: token\r\n"));
    EXPECT(strstr(text, "\r\n\r\n{\"a\":1}"));
    EXPECT(!strstr(text, "very secret key"));
    EXPECT(!strstr(text, "Expect:"));
    EXPECT(strcasestr(text, "\r\nHost: 127.0.0.1:"));
    end(&f);
}

TEST(trouble_of_the_service_is_asked_again)
{
    static const struct stub_answer answers[] = {
        {.text = THROTTLED}, {.text = BROKEN}, {.text = OK_EMPTY}};
    struct fixture f;
    BEGIN(&f, answers);
    EXPECT_STATUS(send_message(&f), STATUS_OK, f.err);
    EXPECT_INT(f.reply.attempts, 3);
    EXPECT_INT(f.pauses, 2);
    EXPECT(f.client->budget.left > RETRY_BUDGET_MAX - 10);
    end(&f);
}

TEST(after_the_last_attempt_the_failure_is_the_services)
{
    static const struct stub_answer answers[] = {
        {.text = THROTTLED}, {.text = THROTTLED}, {.text = THROTTLED}, {.text = OK_EMPTY}};
    struct fixture f;
    BEGIN(&f, answers);
    EXPECT_STATUS(send_message(&f), STATUS_EXHAUSTED, f.err);
    EXPECT_TEXT(f.err.message, "SendMessage: sqs answers RequestThrottled: Slow down, will you");
    EXPECT(str_equal(f.reply.code, STR("RequestThrottled")));
    EXPECT_INT(f.stub.request_count, 3);
    end(&f);
}

TEST(complaints_are_not_asked_again)
{
    static const struct stub_answer answers[] = {
        {.text = "HTTP/1.1 400 Bad Request\r\n"
                 "x-amzn-query-error: AWS.SimpleQueueService.NonExistentQueue;Sender\r\n"
                 "Content-Length: 54\r\n\r\n"
                 "{\"__type\":\"com.amazonaws.sqs#Unheard:http://x\",\"a\":[]}"}};
    struct fixture f;
    BEGIN(&f, answers);
    EXPECT_STATUS(send_message(&f), STATUS_NOT_FOUND, f.err);
    EXPECT(aws_reply_is(&f.reply, "AWS.SimpleQueueService.NonExistentQueue"));
    EXPECT(aws_reply_is(&f.reply, "Unheard"));
    EXPECT_INT(f.pauses, 0);
    end(&f);
}

TEST(half_answers_resets_and_silence_are_no_answers)
{
    static const struct stub_answer answers[] = {
        {.text = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", .size = 39, .closes = true},
        {.text = "HTTP/1.1 200 OK\r\n", .resets = true},
        {.text = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{\"a\":[1,"},
        {.text = "HTTP/1.1 200 OK\r\nx-amz-crc32: 1\r\nContent-Length: 2\r\n\r\n{}"},
        {.text = "HTTP/1.1 200 OK\r\nx-amz-crc32: 2745614147\r\nContent-Length: 2\r\n\r\n{}"}};
    struct fixture f;
    BEGIN(&f, answers);
    f.client->attempts_max = 5;
    EXPECT_STATUS(send_message(&f), STATUS_OK, f.err);
    EXPECT_INT(f.reply.attempts, 5);
    end(&f);
}

TEST(a_kept_connection_that_was_closed_is_opened_anew_for_free)
{
    static const struct stub_answer answers[] = {{.text = OK_EMPTY, .closes = true},
                                                 {.text = OK_EMPTY}};
    struct fixture f;
    BEGIN(&f, answers);
    EXPECT_STATUS(send_message(&f), STATUS_OK, f.err);
    EXPECT_STATUS(send_message(&f), STATUS_OK, f.err);
    EXPECT_INT(f.reply.attempts, 1);
    EXPECT_INT(f.stub.connection_count, 2);
    end(&f);
}

TEST(a_clock_that_differs_is_set_by_the_services)
{
    static const struct stub_answer answers[] = {
        {.text = "HTTP/1.1 403 Forbidden\r\nDate: Sun, 22 Nov 2026 22:37:00 GMT\r\n"
                 "Content-Length: 93\r\n\r\n"
                 "{\"__type\":\"com.amazon.coral.service#InvalidSignatureException\",\"message\":"
                 "\"Signature expired\"}"},
        {.text = OK_EMPTY},
        {.text = OK_EMPTY}};
    struct fixture f;
    BEGIN(&f, answers); /* 20:37:00 */
    EXPECT_STATUS(send_message(&f), STATUS_OK, f.err);
    EXPECT_INT(f.reply.attempts, 2);
    EXPECT_STATUS(send_message(&f), STATUS_OK, f.err);
    EXPECT(strstr(request(&f, 0), "20261122T203700Z"));
    EXPECT(strstr(request(&f, 1), "20261122T223700Z"));
    EXPECT(strstr(request(&f, 2), "20261122T223700Z"));
    end(&f);
}

TEST(a_wrong_signature_at_the_right_time_is_final_and_its_text_is_cut)
{
    static const struct stub_answer answers[] = {
        {.text =
             "HTTP/1.1 403 Forbidden\r\nDate: Sun, 22 Nov 2026 20:37:01 GMT\r\n"
             "Content-Length: 123\r\n\r\n"
             "{\"__type\":\"InvalidSignatureException\",\"message\":\"It does not match.\\n\\nThe "
             "Canonical String was 'x-amz-security-token:to'\"}"},
        {.text = OK_EMPTY}};
    struct fixture f;
    BEGIN(&f, answers);
    EXPECT_STATUS(send_message(&f), STATUS_UNAUTHENTICATED, f.err);
    EXPECT_TEXT(f.err.message,
                "SendMessage: sqs answers InvalidSignatureException: It does not match");
    EXPECT_INT(f.stub.request_count, 1);
    end(&f);
}

TEST(keys_that_are_over_and_fixed_are_final)
{
    static const struct stub_answer answers[] = {
        {.text = "HTTP/1.1 400 Bad Request\r\nContent-Length: 34\r\n\r\n"
                 "{\"__type\":\"ExpiredTokenException\"}\n"},
        {.text = OK_EMPTY}};
    struct fixture f;
    BEGIN(&f, answers);
    EXPECT_STATUS(send_message(&f), STATUS_UNAUTHENTICATED, f.err);
    EXPECT_INT(f.stub.request_count, 1);
    end(&f);
}

TEST(a_call_ends_when_its_time_does)
{
    static const struct stub_answer answers[] = {{.text = BROKEN}, {.text = BROKEN}};
    struct fixture f;
    struct aws_request wanted = {.timeout_ns = 1};
    BEGIN(&f, answers);
    EXPECT(aws_client_call(f.client, &wanted, &f.arena, &f.reply, &f.err) != STATUS_OK);
    EXPECT(f.reply.attempts == 1);
    end(&f);
    static const struct stub_answer slow[] = {{.text = OK_EMPTY, .delay_ms = 300}};
    BEGIN(&f, slow);
    wanted = (struct aws_request){.attempt_timeout_ns = 50 * NS_PER_MS};
    f.client->attempts_max = 1;
    EXPECT_STATUS(aws_client_call(f.client, &wanted, &f.arena, &f.reply, &f.err),
                  STATUS_DEADLINE_EXCEEDED, f.err);
    end(&f);
}

TEST(answers_that_are_too_long_are_refused)
{
    static const struct stub_answer answers[] = {
        {.text = "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n01234567890123456789"}};
    struct fixture f;
    BEGIN(&f, answers);
    f.client->attempts_max = 1;
    const struct aws_request wanted = {.reply_size_max = 19};
    EXPECT_STATUS(aws_client_call(f.client, &wanted, &f.arena, &f.reply, &f.err),
                  STATUS_UNAVAILABLE, f.err);
    end(&f);
}

TEST(redirects_are_not_followed)
{
    static const struct stub_answer answers[] = {
        {.text = "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:1/\r\n"
                 "Content-Length: 0\r\n\r\n"}};
    struct fixture f;
    BEGIN(&f, answers);
    EXPECT_STATUS(send_message(&f), STATUS_INVALID_ARGUMENT, f.err);
    EXPECT_INT(f.reply.status, 307);
    end(&f);
}

TEST(a_call_that_is_stopped_ends)
{
    static const struct stub_answer answers[] = {{.text = OK_EMPTY, .delay_ms = 1500}};
    struct fixture f;
    const _Atomic bool stop = true;
    const struct aws_request wanted = {.stop = &stop};
    BEGIN(&f, answers);
    EXPECT_STATUS(aws_client_call(f.client, &wanted, &f.arena, &f.reply, &f.err), STATUS_CANCELLED,
                  f.err);
    end(&f);
}

static void *call_often(void *context)
{
    struct fixture *f = context;
    for (int i = 0; i < 4; i++) {
        struct arena arena;
        struct aws_reply reply;
        struct error err;
        arena_init(&arena, 1 << 20);
        const struct aws_request wanted = {.body = STR("x")};
        EXPECT_STATUS(aws_client_call(f->client, &wanted, &arena, &reply, &err), STATUS_OK, err);
        arena_clear(&arena);
    }
    return NULL;
}

TEST(threads_call_at_the_same_time)
{
    struct stub_answer answers[16];
    pthread_t threads[4];
    struct fixture f;
    for (size_t i = 0; i < COUNT_OF(answers); i++)
        answers[i] = (struct stub_answer){.text = OK_EMPTY, .delay_ms = 2};
    BEGIN(&f, answers);
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        if (pthread_create(&threads[i], NULL, call_often, &f) != 0) abort();
    for (size_t i = 0; i < COUNT_OF(threads); i++) (void)pthread_join(threads[i], NULL);
    EXPECT_INT(f.stub.request_count, 16);
    EXPECT(f.client->idle_count <= 4);
    end(&f);
}

TEST(a_line_break_is_not_sent)
{
    static const struct stub_answer answers[] = {{.text = OK_EMPTY}};
    struct fixture f;
    const struct sigv4_field fields[] = {{STR("X-Amz-Meta-A"), STR("1\r\nX-Evil: 2")}};
    const struct aws_request wanted = {.fields = fields, .field_count = 1};
    BEGIN(&f, answers);
    EXPECT_STATUS(aws_client_call(f.client, &wanted, &f.arena, &f.reply, &f.err),
                  STATUS_INVALID_ARGUMENT, f.err);
    EXPECT_INT(f.stub.request_count, 0);
    end(&f);
}

TEST(queries_and_methods_are_signed_as_they_are_sent)
{
    static const struct stub_answer answers[] = {{.text = OK_EMPTY}, {.text = OK_EMPTY}};
    struct fixture f;
    BEGIN(&f, answers);
    const struct aws_request wanted = {
        .method = "GET", .path = STR("/a/../b%20c"), .query = STR("x=1&acl")};
    EXPECT_STATUS(aws_client_call(f.client, &wanted, &f.arena, &f.reply, &f.err), STATUS_OK, f.err);
    EXPECT(strncmp(request(&f, 0), "GET /a/../b%20c?x=1&acl HTTP/1.1\r\n", 34) == 0);
    const struct aws_request put = {.method = "PUT", .path = STR("/k"), .body = STR("bytes")};
    EXPECT_STATUS(aws_client_call(f.client, &put, &f.arena, &f.reply, &f.err), STATUS_OK, f.err);
    EXPECT(strncmp(request(&f, 1), "PUT /k HTTP/1.1\r\n", 17) == 0);
    EXPECT(!strcasestr(request(&f, 1), "content-type"));
    end(&f);
}

struct kept {
    char text[64];
    size_t size;
    int begins;
    bool refuses;
};

static bool keep(void *context, struct str bytes)
{
    struct kept *kept = context;
    if (kept->refuses || kept->size + bytes.size > sizeof kept->text) return false;
    memcpy(kept->text + kept->size, bytes.data, bytes.size);
    kept->size += bytes.size;
    return true;
}

static void forget(void *context)
{
    struct kept *kept = context;
    kept->size = 0;
    kept->begins++;
}

TEST(a_sink_takes_bodies_and_begins_anew_with_each_attempt)
{
    static const struct stub_answer answers[] = {
        {.text = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc", .closes = true},
        {.text = "HTTP/1.1 503 Later\r\nContent-Length: 3\r\n\r\n<x>"},
        {.text = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabcdef"},
        {.text = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabcdef"}};
    struct fixture f;
    struct kept kept = {.size = 0};
    const struct aws_request wanted = {.sink = keep, .begin = forget, .sink_context = &kept};
    BEGIN(&f, answers);
    EXPECT_STATUS(aws_client_call(f.client, &wanted, &f.arena, &f.reply, &f.err), STATUS_OK, f.err);
    EXPECT(str_equal((struct str){kept.text, kept.size}, STR("abcdef")));
    EXPECT_INT(kept.begins, 3);
    EXPECT_INT(f.reply.body.size, 0);
    kept.refuses = true; /* which is not asked again */
    EXPECT_STATUS(aws_client_call(f.client, &wanted, &f.arena, &f.reply, &f.err), STATUS_EXHAUSTED,
                  f.err);
    EXPECT_INT(f.reply.attempts, 1);
    end(&f);
}
