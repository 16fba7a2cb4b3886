#include "aws/endpoint.c"
#include "test.h"

static void forget_environment(void)
{
    static const char *const names[] = {"AWS_REGION",
                                        "AWS_DEFAULT_REGION",
                                        "AWS_ENDPOINT_URL",
                                        "AWS_ENDPOINT_URL_SQS",
                                        "AWS_ENDPOINT_URL_CLOUDWATCH",
                                        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"};
    for (size_t i = 0; i < COUNT_OF(names); i++) environment_set(names[i], "");
}

static bool endpoint_is(const char *service, const char *region, const char *given,
                        const char *expected)
{
    struct error err;
    char *url CLEANUP(mem_freep) = NULL;
    if (aws_endpoint_find(service, region, given, &url, &err) != STATUS_OK) return !expected;
    return expected && strcmp(url, expected) == 0;
}

TEST(regions)
{
    struct error err;
    char *region CLEANUP(mem_freep) = NULL;
    forget_environment();
    EXPECT_STATUS(aws_region_find(NULL, &region, &err), STATUS_INVALID_ARGUMENT, err);
    EXPECT_STATUS(aws_region_find("eu/west", &region, &err), STATUS_INVALID_ARGUMENT, err);
    environment_set("AWS_DEFAULT_REGION", "eu-west-1");
    EXPECT_STATUS(aws_region_find(NULL, &region, &err), STATUS_OK, err);
    EXPECT_TEXT(region, "eu-west-1");
    mem_free(TAKE(region));
    environment_set("AWS_REGION", "eu-west-3");
    EXPECT_STATUS(aws_region_find(NULL, &region, &err), STATUS_OK, err);
    EXPECT_TEXT(region, "eu-west-3");
    forget_environment();
}

TEST(endpoints)
{
    forget_environment();
    EXPECT(endpoint_is("sqs", "eu-west-3", NULL, "https://sqs.eu-west-3.amazonaws.com"));
    EXPECT(endpoint_is("sqs", "cn-north-1", NULL, "https://sqs.cn-north-1.amazonaws.com.cn"));
    EXPECT(endpoint_is("sqs", "eu-west-3", "http://h:1/", "http://h:1"));
    environment_set("AWS_ENDPOINT_URL", "http://all:1");
    EXPECT(endpoint_is("sqs", "eu-west-3", NULL, "http://all:1"));
    environment_set("AWS_ENDPOINT_URL_SQS", "http://[::1]:2");
    environment_set("AWS_ENDPOINT_URL_CLOUDWATCH", "https://cw");
    EXPECT(endpoint_is("sqs", "eu-west-3", NULL, "http://[::1]:2"));
    EXPECT(endpoint_is("monitoring", "eu-west-3", NULL, "https://cw"));
    environment_set("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "True");
    EXPECT(endpoint_is("sqs", "eu-west-3", NULL, "https://sqs.eu-west-3.amazonaws.com"));
    forget_environment();
}

TEST(what_is_no_endpoint)
{
    static const char *const wrong[] = {"ftp://h",      "http://",    "h:80",
                                        "http://h/p",   "http://a@h", "http://h\r\nx:y",
                                        "https://h?x=1"};
    forget_environment();
    for (size_t i = 0; i < COUNT_OF(wrong); i++)
        if (!endpoint_is("sqs", "eu-west-3", wrong[i], NULL))
            test_failed(__FILE__, __LINE__, "'%s' is taken", wrong[i]);
}

TEST(the_header_host_has_no_port_of_its_own)
{
    EXPECT(str_equal(aws_endpoint_host("https://h:443"), STR("h")));
    EXPECT(str_equal(aws_endpoint_host("http://h:80"), STR("h")));
    EXPECT(str_equal(aws_endpoint_host("http://h:443"), STR("h:443")));
    EXPECT(str_equal(aws_endpoint_host("http://[::1]:8000"), STR("[::1]:8000")));
}
