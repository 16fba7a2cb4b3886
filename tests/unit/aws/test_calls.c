#include "aws/calls.c"
#include "stub.h"
#include "test.h"

#define OK_JSON "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
#define OK_XML "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n<a/>"

struct fixture {
    struct stub stub;
    struct aws_credentials *credentials;
    struct aws_client *client;
    struct error err;
};

static void begin(struct fixture *f, const struct stub_answer *answers, size_t count)
{
    const struct aws_keys keys = {STR("AKID"), STR("secret"), STR_EMPTY, 0};
    *f = (struct fixture){0};
    stub_start(&f->stub, answers, count);
    if (aws_credentials_new(&(struct aws_credentials_options){.keys = &keys}, &f->credentials,
                            &f->err) != STATUS_OK)
        abort();
    const struct aws_client_options options = {.service = "states",
                                               .region = "eu-west-3",
                                               .endpoint = f->stub.url,
                                               .credentials = f->credentials};
    EXPECT_STATUS(aws_client_new(&options, &f->client, &f->err), STATUS_OK, f->err);
}

static void end(struct fixture *f)
{
    aws_client_free(f->client);
    aws_credentials_free(f->credentials);
    stub_end(&f->stub);
    stub_clear(&f->stub);
}

static const char *body_of(const struct fixture *f, size_t number)
{
    const char *text = number < f->stub.request_count ? f->stub.requests[number] : "";
    const char *body = strstr(text, "\r\n\r\n");
    return body ? body + 4 : "";
}

/* `count` times `piece`. */
static struct str repeat(const char *piece, size_t count, struct buffer *out)
{
    buffer_init(out, strlen(piece) * count + 1);
    for (size_t i = 0; i < count; i++) buffer_add_text(out, piece);
    return buffer_view(out);
}

TEST(what_is_too_long_is_cut_between_characters)
{
    static const struct stub_answer answers[] = {{.text = OK_JSON}};
    struct fixture f;
    struct buffer error, cause;
    begin(&f, answers, COUNT_OF(answers));
    const struct aws_task task = {.state = AWS_TASK_FAILED,
                                  .token = STR("t\"\\"),
                                  .error = repeat("abc", 100, &error),
                                  .cause = repeat("\xE2\x82\xAC", AWS_TASK_CAUSE_MAX, &cause)};
    EXPECT_STATUS(aws_task_tell(f.client, &task, &f.err), STATUS_OK, f.err);
    const char *body = body_of(&f, 0);
    EXPECT(strncmp(body, "{\"taskToken\":\"t\\\"\\\\\",\"error\":\"", 30) == 0);
    EXPECT(str_is_utf8(str_of(body)));
    const char *end_of_error = strstr(body, "\",\"cause\":\"");
    REQUIRE(end_of_error != NULL);
    EXPECT_INT(end_of_error - body - 30, AWS_TASK_ERROR_MAX);
    /* 32768 is no multiple of 3. */
    EXPECT_INT(strlen(end_of_error) - strlen("\",\"cause\":\"\"}"), AWS_TASK_CAUSE_MAX / 3 * 3);
    buffer_clear(&error);
    buffer_clear(&cause);
    end(&f);
}

TEST(what_cannot_be_cut_is_refused_unasked)
{
    static const struct stub_answer answers[] = {{.text = OK_JSON}};
    struct fixture f;
    struct buffer text;
    begin(&f, answers, COUNT_OF(answers));
    struct str large = repeat("x", AWS_TASK_OUTPUT_MAX + 1, &text);
    struct aws_task task = {.state = AWS_TASK_SUCCEEDED, .token = STR("t"), .output = large};
    EXPECT_STATUS(aws_task_tell(f.client, &task, &f.err), STATUS_INVALID_ARGUMENT, f.err);
    task = (struct aws_task){.state = AWS_TASK_GOES_ON, .token = STR_EMPTY};
    EXPECT_STATUS(aws_task_tell(f.client, &task, &f.err), STATUS_INVALID_ARGUMENT, f.err);
    task.token = (struct str){large.data, AWS_TASK_TOKEN_MAX + 1};
    EXPECT_STATUS(aws_task_tell(f.client, &task, &f.err), STATUS_INVALID_ARGUMENT, f.err);
    struct aws_notice notice = {STR("arn"), STR("s"), large};
    EXPECT_STATUS(aws_publish(f.client, &notice, &f.err), STATUS_INVALID_ARGUMENT, f.err);
    notice.message = STR_EMPTY;
    EXPECT_STATUS(aws_publish(f.client, &notice, &f.err), STATUS_INVALID_ARGUMENT, f.err);
    EXPECT_INT(f.stub.request_count, 0);
    task.token.size = AWS_TASK_TOKEN_MAX;
    EXPECT_STATUS(aws_task_tell(f.client, &task, &f.err), STATUS_OK, f.err);
    buffer_clear(&text);
    end(&f);
}

TEST(notices_of_any_bytes)
{
    static const struct stub_answer answers[] = {{.text = OK_XML}, {.text = OK_XML}};
    struct fixture f;
    struct buffer subject;
    begin(&f, answers, COUNT_OF(answers));
    struct aws_notice notice = {STR("arn:aws:sns:r:1:t"), repeat("a\n", 100, &subject),
                                STR("a b&c=d+\n\xC3\xBC")};
    EXPECT_STATUS(aws_publish(f.client, &notice, &f.err), STATUS_OK, f.err);
    EXPECT(strstr(body_of(&f, 0), "&Message=a%20b%26c%3Dd%2B%0A%C3%BC&Subject=a%3Fa%3F"));
    const char *found = strstr(body_of(&f, 0), "&Subject=");
    REQUIRE(found != NULL);
    EXPECT_INT(strlen(found), strlen("&Subject=") + 50 + 49 * 3); /* 99 characters */
    notice.subject = STR_EMPTY;
    EXPECT_STATUS(aws_publish(f.client, &notice, &f.err), STATUS_OK, f.err);
    EXPECT(!strstr(body_of(&f, 1), "Subject"));
    buffer_clear(&subject);
    end(&f);
}

TEST(an_identity_must_be_whole)
{
    static const struct stub_answer answers[] = {
        {.text = "HTTP/1.1 200 OK\r\nContent-Length: 45\r\n\r\n"
                 "<r><Arn>a&amp;b</Arn><Account>1</Account></r>"},
        {.text = OK_XML}};
    struct fixture f;
    struct arena arena;
    struct aws_identity identity = {STR_EMPTY, STR_EMPTY};
    arena_init(&arena, 1 << 20);
    begin(&f, answers, COUNT_OF(answers));
    EXPECT_STATUS(aws_caller_identity(f.client, &arena, &identity, &f.err), STATUS_OK, f.err);
    EXPECT(str_equal(identity.arn, STR("a&b")) && str_equal(identity.account, STR("1")));
    EXPECT_STATUS(aws_caller_identity(f.client, &arena, &identity, &f.err), STATUS_DATA_LOSS,
                  f.err);
    arena_clear(&arena);
    end(&f);
}
