/* What is tried again, how long is waited, and how often in all. */
#include "aws/retry.c"
#include "test.h"

TEST(faults_by_code_then_status)
{
    static const struct {
        int status;
        const char *code;
        enum aws_fault fault;
    } rows[] = {
        {200, "", AWS_FAULT_NONE},
        {0, "", AWS_FAULT_TRANSPORT},
        {400, "com.amazonaws.dynamodb.v20120810#ThrottlingException", AWS_FAULT_THROTTLED},
        {400, "Throttling:http://internal.amazon.com/coral/", AWS_FAULT_THROTTLED},
        {400, "com.amazon.coral.availability#ThrottlingException:http://x/", AWS_FAULT_THROTTLED},
        {400, "ProvisionedThroughputExceededException", AWS_FAULT_THROTTLED},
        {503, "SlowDown", AWS_FAULT_THROTTLED},
        {429, "", AWS_FAULT_THROTTLED},
        {500, "", AWS_FAULT_TRANSIENT},
        {503, "Whatever", AWS_FAULT_TRANSIENT},
        {501, "NotImplemented", AWS_FAULT_PERMANENT},
        {200, "InternalError", AWS_FAULT_TRANSIENT},
        {200, "AccessDenied", AWS_FAULT_PERMANENT},
        {400, "ValidationException", AWS_FAULT_PERMANENT},
        {400, "ConditionalCheckFailedException", AWS_FAULT_PERMANENT},
        {403, "AccessDenied", AWS_FAULT_PERMANENT},
        {404, "", AWS_FAULT_PERMANENT},
        {301, "", AWS_FAULT_PERMANENT},
        {403, "ExpiredToken", AWS_FAULT_EXPIRED},
        {403, "RequestTimeTooSkewed", AWS_FAULT_SKEWED},
        {400, "throttling", AWS_FAULT_PERMANENT},
        {400, "#", AWS_FAULT_PERMANENT},
        {400, ":", AWS_FAULT_PERMANENT},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        enum aws_fault fault = aws_fault_of(rows[i].status, str_of(rows[i].code));
        if (fault != rows[i].fault)
            test_failed(__FILE__, __LINE__, "%d '%s' is %d", rows[i].status, rows[i].code, fault);
    }
    EXPECT(!fault_is_retryable(AWS_FAULT_NONE) && !fault_is_retryable(AWS_FAULT_PERMANENT));
    EXPECT(fault_is_retryable(AWS_FAULT_TRANSPORT) && fault_is_retryable(AWS_FAULT_EXPIRED));
}

TEST(waits_are_anything_up_to_a_ceiling)
{
    static const struct {
        enum aws_fault fault;
        unsigned attempt;
        uint64_t ceiling;
    } rows[] = {
        {AWS_FAULT_TRANSIENT, 0, 50 * NS_PER_MS},
        {AWS_FAULT_TRANSPORT, 3, 400 * NS_PER_MS},
        {AWS_FAULT_THROTTLED, 0, 500 * NS_PER_MS},
        {AWS_FAULT_THROTTLED, 5, 16 * NS_PER_S},
        {AWS_FAULT_THROTTLED, 6, 20 * NS_PER_S},
        {AWS_FAULT_TRANSIENT, UINT32_MAX, 20 * NS_PER_S},
        {AWS_FAULT_EXPIRED, 3, 0},
        {AWS_FAULT_SKEWED, 3, 0},
    };
    struct prng prng;
    prng_seed(&prng, test_seed());
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        uint64_t most = 0, least = UINT64_MAX, ceiling = rows[i].ceiling;
        for (size_t round = 0; round < 2000; round++) {
            uint64_t delay = retry_delay_ns(rows[i].fault, rows[i].attempt, &prng);
            most = MAX(most, delay);
            least = MIN(least, delay);
        }
        EXPECT(most <= ceiling && most >= ceiling - ceiling / 10 && least <= ceiling / 10);
    }
}

TEST(budgets_end_and_come_back)
{
    struct retry_budget budget;
    unsigned count = 0;
    retry_budget_init(&budget);
    while (retry_budget_take(&budget, AWS_FAULT_TRANSIENT)) count++;
    EXPECT_INT(count, RETRY_BUDGET_MAX / RETRY_COST);
    for (count = 0; !retry_budget_take(&budget, AWS_FAULT_TRANSIENT); count++)
        retry_budget_give(&budget, AWS_FAULT_NONE);
    EXPECT_INT(count, RETRY_COST / RETRY_GAIN);
    retry_budget_give(&budget, AWS_FAULT_TRANSIENT);
    EXPECT(!retry_budget_take(&budget, AWS_FAULT_TRANSPORT));
    EXPECT(retry_budget_take(&budget, AWS_FAULT_THROTTLED));
    retry_budget_init(&budget);
    retry_budget_give(&budget, AWS_FAULT_TRANSPORT);
    EXPECT_INT(budget.left, RETRY_BUDGET_MAX);
}

TEST(dates_of_answers)
{
    uint64_t seconds = 0;
    EXPECT(retry_read_http_date(STR("Sun, 06 Nov 1994 08:49:37 GMT"), &seconds));
    EXPECT_INT(seconds, 784111777);
    EXPECT(retry_read_http_date(STR("Sun, 30 Aug 2015 12:36:00 GMT"), &seconds));
    EXPECT_INT(seconds, 1440938160);
    static const char *const wrong[] = {"",
                                        "Sunday, 06-Nov-94 08:49:37 GMT",
                                        "Sun Nov  6 08:49:37 1994",
                                        "Sun, 06 Nov 1994 08:49:37 CET",
                                        "Sun, 06 nov 1994 08:49:37 GMT",
                                        "Sun, xx Nov 1994 08:49:37 GMT",
                                        "Sun, 06 Nov 1994 08:49:3  GMT",
                                        "Sun, 06 Nov 1994 28:49:37 GMT",
                                        "Sun, 06 Nov 1994 08.49.37 GMT"};
    for (size_t i = 0; i < COUNT_OF(wrong); i++)
        EXPECT(!retry_read_http_date(str_of(wrong[i]), &seconds));
}
