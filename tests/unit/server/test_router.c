#include "server/router.c"
#include "test.h"

static const struct route table[] = {
    {ROUTE_POST, {ROUTE_LITERAL("/v2/models/"), ROUTE_LITERAL("/infer")}, "infer", NULL},
    {ROUTE_POST,
     {ROUTE_LITERAL("/v2/models/"), ROUTE_LITERAL("/versions/"), ROUTE_LITERAL("/infer")},
     "infer version",
     NULL},
    {ROUTE_GET, {ROUTE_LITERAL("/v2/models/"), ROUTE_LITERAL("")}, "model", NULL},
    {ROUTE_GET | ROUTE_POST, {ROUTE_LITERAL("/v2/logging")}, "logging", NULL},
    {ROUTE_GET, {ROUTE_LITERAL("/v2")}, "server", NULL},
    {ROUTE_POST, {ROUTE_LITERAL("/v1/models/"), ROUTE_LITERAL(":predict")}, "predict", NULL},
    {ROUTE_GET, {ROUTE_LITERAL("/v1/models/"), ROUTE_LITERAL("")}, "v1 model", NULL},
    {ROUTE_GET, {ROUTE_LITERAL("/")}, "root", NULL},
};

static struct arena arena;
static struct route_match match;

static const char *find(enum route_method method, const char *path)
{
    switch (router_find(table, COUNT_OF(table), method, str_of(path), &arena, &match)) {
    case ROUTE_FOUND: return match.route->name;
    case ROUTE_WRONG_METHOD: return "405";
    case ROUTE_NOT_FOUND: return "404";
    case ROUTE_UNSAFE_NAME: return "unsafe";
    }
    return "?";
}

TEST(rows_are_found_with_their_captures)
{
    arena_init(&arena, 65536);
    EXPECT_TEXT(find(ROUTE_POST, "/v2/models/doubleit/infer"), "infer");
    EXPECT_STR(match.captures[0], STR("doubleit"));
    EXPECT_TEXT(find(ROUTE_POST, "/v2/models/a%20b/versions/3/infer"), "infer version");
    EXPECT_INT(match.capture_count, 2);
    EXPECT_STR(match.captures[0], STR("a b"));
    EXPECT_STR(match.captures[1], STR("3"));
    EXPECT_TEXT(find(ROUTE_POST, "/v1/models/m:predict"), "predict");
    EXPECT_STR(match.captures[0], STR("m"));
    EXPECT_TEXT(find(ROUTE_GET, "/v1/models/m:predict"), "v1 model");
    EXPECT_TEXT(find(ROUTE_POST, "/v2/models/a_name_of_many_words/infer"), "infer");
    EXPECT_STR(match.captures[0], STR("a_name_of_many_words"));
    EXPECT_TEXT(find(ROUTE_POST, "/v2/models/a_name_of_many%2dwords/infer"), "infer");
    EXPECT_STR(match.captures[0], STR("a_name_of_many-words"));
    EXPECT_TEXT(find(ROUTE_POST, "/v2/models/{}/infer"), "infer");
    EXPECT_STR(match.captures[0], STR("{}"));
    EXPECT_TEXT(find(ROUTE_GET, "/v2/"), "server");
    EXPECT_TEXT(find(ROUTE_GET, "/"), "root");
    arena_clear(&arena);
}

TEST(wrong_method_says_what_is_allowed)
{
    EXPECT_TEXT(find(ROUTE_DELETE, "/v2/logging"), "405");
    EXPECT_INT(match.allowed, ROUTE_GET | ROUTE_POST);
    EXPECT_TEXT(find(ROUTE_GET, "/v2/models/doubleit/infer"), "405");
    EXPECT_TEXT(find(ROUTE_OTHER, "/v2"), "405");
}

TEST(nothing_steps_out_of_a_segment)
{
    static const char *const paths[] = {
        "",
        "/v3",
        "/v2/models//infer",
        "/v2/models/a%zz/infer",
        "/v2/models/a%2/infer",
        "/v2/models/a/b/infer",
        "/v2/models/a/infer/x",
        "/v1/models/:predict",
        "/v2x",
    };
    arena_init(&arena, 65536);
    for (size_t i = 0; i < COUNT_OF(paths); i++)
        if (strcmp(paths[i], "/v1/models/:predict") == 0)
            EXPECT_TEXT(find(ROUTE_POST, paths[i]), "405"); /* a model named ":predict" */
        else
            EXPECT_TEXT(find(ROUTE_POST, paths[i]), "404");
    EXPECT_TEXT(find(ROUTE_POST, "/v2/models/a%2Fb/infer"), "unsafe");
    EXPECT_TEXT(find(ROUTE_POST, "/v2/models/a%00/infer"), "unsafe");
    EXPECT_TEXT(find(ROUTE_POST, "/v2/models/a_long_name%2F_with_a_slash/infer"), "unsafe");
    EXPECT_TEXT(find(ROUTE_POST, "/v2/models/a/versions/%2f/infer"), "unsafe");
    EXPECT_TEXT(find(ROUTE_GET, "/v1/models/..%2F.."), "unsafe");
    arena_clear(&arena);
}

TEST(query_parameters_are_found_and_decoded)
{
    arena_init(&arena, 65536);
    struct str query = STR("a=1&b=x%20y+z&c&d=");
    EXPECT_STR(query_find(query, STR("a"), &arena), STR("1"));
    EXPECT_STR(query_find(query, STR("b"), &arena), STR("x y z"));
    EXPECT(query_find(query, STR("c"), &arena).data != NULL);
    EXPECT(query_find(query, STR("d"), &arena).data != NULL);
    EXPECT(query_find(query, STR("e"), &arena).data == NULL);
    EXPECT(query_find(STR(""), STR("e"), &arena).data == NULL);
    arena_clear(&arena);
}
