#include "lambda/event.c"
#include "test.h"

static struct error err;

static const struct {
    const char *text;
    enum lambda_shape shape;
} cases[] = {
    {"[1,2,3]", LAMBDA_DIRECT},
    {" {\"inputs\":[]}", LAMBDA_DIRECT},
    {"{\"Records\":[{\"body\":\"1\",\"eventSource\":\"aws:sqs\"}]}", LAMBDA_SQS},
    {"{\"a\":1,\"Rec\\u006frds\":[{\"eventSource\":\"aws:sqs\"}]}", LAMBDA_SQS},
    {"{\"Records\":[{\"eventSource\":\"aws:s3\"}]}", LAMBDA_RECORDS},
    {"{\"Records\":[]}", LAMBDA_RECORDS},
    {"{\"Records\":[1]}", LAMBDA_RECORDS},
    {"{\"Records\":7}", LAMBDA_DIRECT},
    {"{\"version\":\"2.0\",\"requestContext\":{\"http\":{}}}", LAMBDA_HTTP_V2},
    {"{\"httpMethod\":\"GET\",\"requestContext\":{}}", LAMBDA_HTTP_V1},
    {"{\"DeploymentId\":\"d\",\"LifecycleEventHookExecutionId\":\"x\"}", LAMBDA_CODE_DEPLOY},
    {"{\"DeploymentId\":\"d\"}", LAMBDA_DIRECT},
    {"{\"version\":\"0\",\"detail-type\":\"x\",\"detail\":{}}", LAMBDA_EVENTBRIDGE},
};

TEST(shapes)
{
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct arena arena;
        enum lambda_shape shape;
        arena_init(&arena, 1 << 16);
        EXPECT_STATUS(lambda_event_shape(str_of(cases[i].text), &arena, &shape, &err), STATUS_OK,
                      err);
        EXPECT_TEXT(lambda_shape_text(shape), lambda_shape_text(cases[i].shape));
        arena_clear(&arena);
    }
}

TEST(what_is_no_json_has_no_shape)
{
    static const char *const texts[] = {"", "{", "{\"Records\":[{}]", "[1] x", "{\"a\":}"};
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct arena arena;
        enum lambda_shape shape;
        arena_init(&arena, 1 << 16);
        EXPECT_STATUS(lambda_event_shape(str_of(texts[i]), &arena, &shape, &err),
                      STATUS_INVALID_ARGUMENT, err);
        arena_clear(&arena);
    }
}
