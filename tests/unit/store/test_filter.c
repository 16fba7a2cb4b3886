/* Filters as people write them. */
#include "store/filter.c"
#include "test.h"

#include <time.h>

static const uint64_t now_us = 1700000000000000;

static enum status set(struct store_filter *filter, const char *name, const char *value,
                       struct error *err)
{
    return store_filter_set(filter, str_of(name), str_of(value), now_us, err);
}

TEST(every_name_is_known)
{
    struct error err;
    struct store_filter filter = {0};
    for (size_t i = 0; store_filter_names[i]; i++)
        EXPECT_STATUS(set(&filter, store_filter_names[i], "", &err), STATUS_OK, err);
    EXPECT_STATUS(set(&filter, "colour", "red", &err), STATUS_INVALID_ARGUMENT, err);
    for (size_t i = 0; i < 7; i++)
        EXPECT_STATUS(set(&filter, store_filter_names[i], store_filter_names[i], &err), STATUS_OK,
                      err);
    EXPECT_STR(filter.model, STR("model"));
    EXPECT_STR(filter.trace_id, STR("trace_id"));
    EXPECT_STR(filter.group, STR("group"));
}

TEST(states_and_sources)
{
    struct error err;
    struct store_filter filter = {0};
    EXPECT_STATUS(set(&filter, "state", "failed,expired", &err), STATUS_OK, err);
    EXPECT_INT(filter.states, 1U << RECORD_FAILED | 1U << RECORD_EXPIRED);
    EXPECT_STATUS(set(&filter, "source", "queue", &err), STATUS_OK, err);
    EXPECT_INT(filter.sources, 1U << RECORD_SOURCE_QUEUE);
    EXPECT_STATUS(set(&filter, "state", "failed,", &err), STATUS_INVALID_ARGUMENT, err);
    EXPECT_STATUS(set(&filter, "source", "fax", &err), STATUS_INVALID_ARGUMENT, err);
    EXPECT(strstr(err.message, "http, grpc, job, queue") != NULL);
    EXPECT_STATUS(set(&filter, "failed", "true", &err), STATUS_OK, err);
    EXPECT(filter.failed_only);
    EXPECT_STATUS(set(&filter, "failed", "yes", &err), STATUS_INVALID_ARGUMENT, err);
}

TEST(times)
{
    static const struct {
        const char *text;
        uint64_t us;
    } good[] = {
        {"1970-01-01", 0},
        {"2023-11-14T22:13:20Z", 1700000000000000},
        {"2023-11-14 22:13:20", 1700000000000000},
        {"2023-11-14T22:13:20.123456Z", 1700000000123456},
        {"2023-11-14T22:13:20.1234567Z", 1700000000123456},
        {"2023-11-14T22:13", 1699999980000000},
        {"2000-02-29", 951782400000000},
        {"1h", 1700000000000000 - 3600000000ULL},
        {"90d", 1700000000000000 - 90 * 86400000000ULL},
        {"100000d", 1},
    };
    static const char *const bad[] = {
        "yesterday",   "2023-13-01",       "2023-02-29",      "2100-02-29",
        "2023-11-14T", "2023-11-14T24:00", "2023-11-14T1:00", "2023-11-14T22:13:20+01:00",
        "1969-12-31",  "2023-11-31"};
    struct error err;
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        struct store_filter filter = {.since_us = 7};
        EXPECT_STATUS(set(&filter, "since", good[i].text, &err), STATUS_OK, err);
        EXPECT_INT(filter.since_us, good[i].us);
        EXPECT_STATUS(set(&filter, "until", good[i].text, &err), STATUS_OK, err);
        EXPECT_INT(filter.until_us, good[i].us);
    }
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct store_filter filter = {0};
        EXPECT_STATUS(set(&filter, "since", bad[i], &err), STATUS_INVALID_ARGUMENT, err);
    }
}

TEST(days_are_those_of_the_system)
{
    for (time_t day = 0; day < 80000; day += 13) {
        time_t seconds = day * S_PER_DAY;
        struct tm parts;
        uint64_t days = 0;
        gmtime_r(&seconds, &parts);
        EXPECT(count_days((uint64_t)parts.tm_year + 1900, (uint64_t)parts.tm_mon + 1,
                          (uint64_t)parts.tm_mday, &days));
        EXPECT_INT(days, day);
    }
}
