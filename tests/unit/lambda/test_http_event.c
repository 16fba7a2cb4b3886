#include "lambda/http_event.c"
#include "test.h"

static struct error err;
static struct arena arena;
static struct lambda_http_request request;
static struct buffer out;

static enum status read_as(enum lambda_shape shape, const char *event)
{
    arena_clear(&arena);
    arena_init(&arena, 1 << 20);
    return lambda_http_read(str_of(event), shape, &arena, &request, &err);
}

#define V2(rest)                                                                                   \
    "{\"version\":\"2.0\",\"requestContext\":{\"stage\":\"prod\",\"http\":{\"method\":\"POST\"}}"  \
    "," rest "}"
#define V1(rest) "{\"httpMethod\":\"GET\",\"requestContext\":{}," rest "}"

TEST(a_request_of_payload_2)
{
    arena_init(&arena, 1 << 10);
    EXPECT_STATUS(
        read_as(LAMBDA_HTTP_V2,
                V2("\"rawPath\":\"/prod/v2/x\",\"rawQueryString\":\"a=1&b=%20\",\"headers\":"
                   "{\"Host\":\"h\",\"X-A\":\"1,2\",\"content-length\":\"7\"},\"cookies\":"
                   "[\"a=1\",\"b=2\"],\"isBase64Encoded\":true,\"body\":\"AAE=\"")),
        STATUS_OK, err);
    EXPECT_TEXT(request.method, "POST");
    EXPECT_TEXT(request.target, "/v2/x?a=1&b=%20");
    EXPECT_INT(request.field_count, 2);
    EXPECT_STR(request.fields[0].name, STR("X-A"));
    EXPECT_STR(request.fields[1].value, STR("a=1; b=2"));
    EXPECT_STR(request.body, ((struct str){"\0\1", 2}));
    EXPECT_STATUS(read_as(LAMBDA_HTTP_V2, V2("\"rawPath\":\"/production\"")), STATUS_OK, err);
    EXPECT_TEXT(request.target, "/production");
    EXPECT_STATUS(read_as(LAMBDA_HTTP_V2, V2("\"rawPath\":\"/prod\"")), STATUS_OK, err);
    EXPECT_TEXT(request.target, "/");
    arena_clear(&arena);
}

TEST(a_request_of_payload_1)
{
    arena_init(&arena, 1 << 10);
    EXPECT_STATUS(
        read_as(
            LAMBDA_HTTP_V1,
            V1("\"path\":\"/a b/\\u00e9\",\"headers\":{\"x\":\"no\"},\"multiValueHeaders\":"
               "{\"x\":[\"1\",\"2\"]},\"queryStringParameters\":{\"q\":\"no\"},"
               "\"multiValueQueryStringParameters\":{\"q\":[\"1&2\",\"\\u00e9\"]},\"body\":null")),
        STATUS_OK, err);
    EXPECT_TEXT(request.target, "/a%20b/%C3%A9?q=1%262&q=%C3%A9");
    EXPECT_INT(request.field_count, 2);
    EXPECT_STR(request.fields[1].value, STR("2"));
    EXPECT_INT(request.body.size, 0);
    arena_clear(&arena);
}

TEST(what_could_be_a_second_request_is_refused)
{
    static const char *const events[] = {
        V2("\"rawPath\":\"\""),
        V2("\"rawPath\":\"x\""),
        V2("\"a\":1"),
        V2("\"rawPath\":\"/\",\"headers\":{\"a\":\"b\\r\\nc: d\"}"),
        V2("\"rawPath\":\"/\",\"headers\":{\"a b\":\"c\"}"),
        V2("\"rawPath\":\"/\",\"headers\":{\"\":\"c\"}"),
        V2("\"rawPath\":\"/\",\"headers\":{\"a\":7}"),
        V2("\"rawPath\":\"/\",\"cookies\":[\"a\\nb\"]"),
        V2("\"rawPath\":\"/\",\"isBase64Encoded\":true,\"body\":\"!\""),
        "{\"requestContext\":{\"http\":{\"method\":\"GET /\"}},\"rawPath\":\"/\"}",
        "{\"requestContext\":{\"http\":{}},\"rawPath\":\"/\"}",
    };
    arena_init(&arena, 1 << 10);
    for (size_t i = 0; i < COUNT_OF(events); i++)
        EXPECT_STATUS(read_as(LAMBDA_HTTP_V2, events[i]), STATUS_INVALID_ARGUMENT, err);
    arena_clear(&arena);
}

TEST(answers)
{
    const struct client_field fields[] = {
        {STR("Content-Type"), STR("application/json")},
        {STR("Connection"), STR("close")},
        {STR("Set-Cookie"), STR("a=1")},
        {STR("set-cookie"), STR("b=2")},
        {STR("X-A"), STR("1")},
        {STR("x-a"), STR("2")},
    };
    struct lambda_http_answer answer = {
        .status = 200, .fields = fields, .field_count = COUNT_OF(fields), .body = STR("{}")};
    buffer_init(&out, 1 << 16);
    EXPECT_STATUS(lambda_http_write(&answer, LAMBDA_HTTP_V2, &out, &err), STATUS_OK, err);
    EXPECT_TEXT(
        buffer_text(&out),
        "{\"statusCode\":200,\"headers\":{\"content-type\":\"application/json\",\"x-a\":\"1,2\"},"
        "\"cookies\":[\"a=1\",\"b=2\"],\"isBase64Encoded\":false,\"body\":\"{}\"}");
    buffer_reset(&out);
    answer.body = (struct str){"\xff\0", 2};
    EXPECT_STATUS(lambda_http_write(&answer, LAMBDA_HTTP_V1, &out, &err), STATUS_OK, err);
    EXPECT_TEXT(
        buffer_text(&out),
        "{\"statusCode\":200,\"multiValueHeaders\":{\"content-type\":[\"application/json\"],"
        "\"set-cookie\":[\"a=1\",\"b=2\"],\"x-a\":[\"1\",\"2\"]},\"isBase64Encoded\":true,"
        "\"body\":\"/wA=\"}");
    buffer_reset(&out);
    EXPECT_STATUS(lambda_http_write_stream(&answer, &out, &err), STATUS_OK, err);
    EXPECT(str_ends_with(buffer_view(&out), ((struct str){"}\0\0\0\0\0\0\0\0\xff\0", 11})));
    buffer_clear(&out);
}
