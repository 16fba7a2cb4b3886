#include "lambda/event.c"
#include "test.h"

static struct error err;

static const struct {
    const char *text;
    enum lambda_shape shape;
    const char *what; /* NULL: not looked at */
} cases[] = {
    {"[1,2,3]", LAMBDA_DIRECT, NULL},
    {" {\"inputs\":[]}", LAMBDA_DIRECT, NULL},
    {"{\"instances\":[]}", LAMBDA_DIRECT, NULL},
    {"{\"slipway\":{\"task\":\"check\"}}", LAMBDA_TASK, NULL},
    {"{\"Records\":[{\"body\":\"1\",\"eventSource\":\"aws:sqs\"}]}", LAMBDA_SQS, NULL},
    {"{\"a\":1,\"Rec\\u006frds\":[{\"eventSource\":\"aws:sqs\"}]}", LAMBDA_SQS, NULL},
    {"{\"Records\":[{\"eventSource\":\"aws:s3\"}]}", LAMBDA_RECORDS, "records of 'aws:s3'"},
    {"{\"Records\":[{\"EventSource\":\"aws:sns\"}]}", LAMBDA_RECORDS, "records of 'aws:sns'"},
    {"{\"Records\":[]}", LAMBDA_RECORDS, NULL},
    {"{\"Records\":[1]}", LAMBDA_RECORDS, NULL},
    {"{\"Records\":7}", LAMBDA_UNKNOWN, "an object with 'Records'"},
    {"{\"version\":\"2.0\",\"requestContext\":{\"http\":{}}}", LAMBDA_HTTP_V2, NULL},
    {"{\"httpMethod\":\"GET\",\"requestContext\":{}}", LAMBDA_HTTP_V1, NULL},
    {"{\"DeploymentId\":\"d\",\"LifecycleEventHookExecutionId\":\"x\"}", LAMBDA_CODE_DEPLOY, NULL},
    {"{\"DeploymentId\":\"d\"}", LAMBDA_UNKNOWN, "an object with 'DeploymentId'"},
    {"{\"version\":\"0\",\"detail-type\":\"x\",\"detail\":{}}", LAMBDA_EVENTBRIDGE, NULL},
    {"{}", LAMBDA_UNKNOWN, "an empty object"},
    {"\"text\"", LAMBDA_UNKNOWN, "neither an object nor an array"},
    {"{\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1,\"g\":1,\"h\":1}", LAMBDA_UNKNOWN,
     "an object with 'a', 'b', 'c', 'd', 'e', 'f' and 2 more"},
};

TEST(shapes)
{
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct arena arena;
        struct lambda_event event;
        arena_init(&arena, 1 << 16);
        EXPECT_STATUS(lambda_event_read(str_of(cases[i].text), &arena, &event, &err), STATUS_OK,
                      err);
        EXPECT_INT(event.shape, cases[i].shape);
        if (cases[i].what) EXPECT_TEXT(event.what, cases[i].what);
        arena_clear(&arena);
    }
}

TEST(members_are_found_wherever_they_stand)
{
    struct arena arena;
    arena_init(&arena, 1 << 16);
    struct str text = STR("{\"a\": {\"b\":[1, 2]} ,\"t\":\"x\\ny\"}");
    EXPECT_STR(lambda_event_member(text, STR("a"), &arena), STR("{\"b\":[1, 2]}"));
    EXPECT_STR(lambda_event_text(text, STR("t"), &arena), STR("x\ny"));
    EXPECT(!lambda_event_text(text, STR("a"), &arena).data);
    EXPECT(!lambda_event_member(text, STR("c"), &arena).data);
    EXPECT(!lambda_event_member(STR("[1]"), STR("c"), &arena).data);
    arena_clear(&arena);
}

TEST(what_is_no_json_has_no_shape)
{
    static const char *const texts[] = {"", "{", "{\"Records\":[{}]", "[1] x", "{\"a\":}"};
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct arena arena;
        struct lambda_event event;
        arena_init(&arena, 1 << 16);
        EXPECT_STATUS(lambda_event_read(str_of(texts[i]), &arena, &event, &err),
                      STATUS_INVALID_ARGUMENT, err);
        arena_clear(&arena);
    }
}
