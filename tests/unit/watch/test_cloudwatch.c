#include "test.h"
#include "watch/cloudwatch.c"

TEST(what_was_added_is_told_and_zeros_too)
{
    const char *const dimensions[] = {"Service=slipway", "Env=a=b"};
    const struct cloudwatch_options options = {
        .namespace = "Slipway", .dimensions = dimensions, .dimension_count = 2};
    struct metrics_worker before = {.succeeded = 10, .lost = 5}, now = {.succeeded = 12};
    struct buffer out;
    buffer_init(&out, CLOUDWATCH_REQUEST_MAX);
    cloudwatch_write(&options, &before, &now, 1700000000, &out);
    struct str text = buffer_view(&out);
    EXPECT(str_starts_with(
        text, STR("{\"Namespace\":\"Slipway\",\"MetricData\":[{\"MetricName\":"
                  "\"InferenceSucceeded\",\"Dimensions\":[{\"Name\":\"Service\",\"Value\":"
                  "\"slipway\"},{\"Name\":\"Env\",\"Value\":\"a=b\"}],\"Timestamp\":1700000000,"
                  "\"Value\":2,\"Unit\":\"Count\"},{\"MetricName\":\"InferenceFailed\"")));
    /* Counts that went back, since a worker began anew, are not told as enormous. */
    EXPECT(strstr(buffer_text(&out), "\"MetricName\":\"MessagesLost\"") != NULL);
    EXPECT(strstr(buffer_text(&out), "18446744073709551611") == NULL);
    buffer_clear(&out);
}

TEST(what_cloudwatch_does_not_take_is_refused)
{
    static const char *const spaces[] = {"", "AWS/Lambda", "a\nb", "gr\xc3\xbcn"};
    static const char *const dimensions[] = {"Service", "=x", "a=", ":a=b", "a=\xc3\xbc"};
    struct error err;
    for (size_t i = 0; i < COUNT_OF(spaces); i++)
        EXPECT(cloudwatch_check(&(struct cloudwatch_options){.namespace = spaces[i]}, &err) ==
               STATUS_INVALID_ARGUMENT);
    for (size_t i = 0; i < COUNT_OF(dimensions); i++)
        EXPECT(cloudwatch_check(&(struct cloudwatch_options){.namespace = "Slipway",
                                                             .dimensions = &dimensions[i],
                                                             .dimension_count = 1},
                                &err) == STATUS_INVALID_ARGUMENT);
    EXPECT_STATUS(cloudwatch_check(&(struct cloudwatch_options){.namespace = "Slipway"}, &err),
                  STATUS_OK, err);
}
