#include "server/sqs_name.c"
#include "test.h"

TEST(urls_and_arns_are_made_and_read)
{
    struct arena arena;
    arena_init(&arena, 4096);
    const struct sqs_site site = {STR("https"), STR("q.example:8080"), STR("000000000000"),
                                  STR("eu-west-3")};
    struct sqs_failure failure = {0};
    struct str url = sqs_url_of(&site, STR("a.fifo"), &arena), name;
    EXPECT_STR(url, STR("https://q.example:8080/000000000000/a.fifo"));
    EXPECT_STATUS(sqs_queue_of_url(url, &name, &failure), STATUS_OK, failure.error);
    EXPECT_STR(name, STR("a.fifo"));
    struct str arn = sqs_arn_of(&site, STR("a"), &arena);
    EXPECT_STR(arn, STR("arn:aws:sqs:eu-west-3:000000000000:a"));
    EXPECT(sqs_queue_of_arn(arn, &name));
    EXPECT_STR(name, STR("a"));
    arena_clear(&arena);
}

/* Whatever host the client was told, or none: emulators and tests hand out all of these. */
TEST(only_the_last_part_of_a_url_counts)
{
    static const char *const urls[] = {
        "q",
        "/q",
        "http://sqs.us-east-1.localhost:4566/123456789012/q",
        "https://sqs.eu-west-3.amazonaws.com/123456789012/q",
        "http://127.0.0.1/queue/us-east-1/0/q",
    };
    struct sqs_failure failure = {0};
    struct str name;
    for (size_t i = 0; i < COUNT_OF(urls); i++) {
        EXPECT_STATUS(sqs_queue_of_url(str_of(urls[i]), &name, &failure), STATUS_OK, failure.error);
        EXPECT_STR(name, STR("q"));
    }
}

TEST(names_that_no_queue_has)
{
    static const char *const urls[] = {"http://h/1/", "/", "a b", "q.fif", ".fifo", "q%20", "a:b"};
    struct str name;
    for (size_t i = 0; i < COUNT_OF(urls); i++) {
        struct sqs_failure failure = {0};
        EXPECT(sqs_queue_of_url(str_of(urls[i]), &name, &failure) != STATUS_OK);
        EXPECT_INT(failure.fault, SQS_FAULT_QUEUE_DOES_NOT_EXIST);
    }
    struct sqs_failure failure = {0};
    EXPECT(sqs_queue_of_url(STR_EMPTY, &name, &failure) != STATUS_OK);
    EXPECT_INT(failure.fault, SQS_FAULT_MISSING_PARAMETER);
    static const char *const arns[] = {"",
                                       "q",
                                       "arn:aws:sqs:r:1",
                                       "arn:aws:sqs:r:1:",
                                       "arn:aws:sqs:r:1:q:x",
                                       "arn:aws:sns:r:1:q",
                                       "urn:aws:sqs:r:1:q"};
    for (size_t i = 0; i < COUNT_OF(arns); i++) EXPECT(!sqs_queue_of_arn(str_of(arns[i]), &name));
    char text[81];
    memset(text, 'a', sizeof text);
    EXPECT(sqs_name_is_valid((struct str){text, 80}));
    EXPECT(!sqs_name_is_valid((struct str){text, 81}));
    EXPECT(!sqs_name_is_valid(STR("a.b.fifo")));
}
