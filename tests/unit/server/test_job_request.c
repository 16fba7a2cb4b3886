#include "server/job_request.c"
#include "test.h"

TEST(times_as_text_and_as_seconds)
{
    static const struct {
        const char *text;
        uint64_t ms; /* 0: refused */
    } cases[] = {
        {"2026-11-22T20:37:00Z", UINT64_C(1795379820000)},
        {"2026-11-22T20:37:00.123Z", UINT64_C(1795379820123)},
        {"2026-11-22T20:37:00.1Z", UINT64_C(1795379820100)},
        {"2000-02-29T00:00:00Z", UINT64_C(951782400000)},
        {"2024-12-31T23:59:59Z", UINT64_C(1735689599000)},
        {"1970-01-01T00:00:01Z", 1000},
        {"1795379820", UINT64_C(1795379820000)},
        {"1795379820.5", UINT64_C(1795379820500)},
        {"2026-02-29T00:00:00Z", 0},
        {"1900-01-01T00:00:00Z", 0},
        {"2026-13-01T00:00:00Z", 0},
        {"2026-00-01T00:00:00Z", 0},
        {"2026-01-32T00:00:00Z", 0},
        {"2026-01-01T24:00:00Z", 0},
        {"2026-01-01T00:60:00Z", 0},
        {"2026-01-01T00:00:00", 0},
        {"2026-01-01T00:00:00+01:00", 0},
        {"2026-01-01T00:00:00.Z", 0},
        {"2026-01-01T00:00:00Zx", 0},
        {"", 0},
        {"-1", 0},
        {"1e9", 0},
        {"1.", 0},
        {"9999999999999999999", 0},
        {"tomorrow", 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        uint64_t ms = 0;
        bool good = job_time_read(str_of(cases[i].text), &ms);
        if (good != (cases[i].ms != 0) || ms != cases[i].ms)
            test_failed(__FILE__, __LINE__, "'%s' is %llu", cases[i].text, (unsigned long long)ms);
    }
}

TEST(every_day_of_four_centuries_follows_the_one_before)
{
    uint64_t expected = 0;
    for (uint64_t year = 1970; year < 2400; year++)
        for (uint64_t month = 1; month <= 12; month++)
            for (uint64_t day = 1; day <= 31; day++)
                if (is_date(year, month, day)) EXPECT_INT(days_of(year, month, day), expected++);
}

TEST(spans_are_seconds_or_durations)
{
    uint64_t ms = 0;
    EXPECT(read_span(STR("10"), &ms) && ms == 10000);
    EXPECT(read_span(STR("1.5"), &ms) && ms == 1500);
    EXPECT(read_span(STR("250ms"), &ms) && ms == 250);
    EXPECT(read_span(STR("1h30m"), &ms) && ms == 5400000);
    EXPECT(!read_span(STR("soon"), &ms));
    EXPECT(!read_span(STR("-1"), &ms));
}

TEST(prefer_is_a_list)
{
    EXPECT(job_request_prefers_async(STR("respond-async")));
    EXPECT(job_request_prefers_async(STR("wait=10, Respond-Async")));
    EXPECT(job_request_prefers_async(STR("respond-async; x=1,wait=5")));
    EXPECT(!job_request_prefers_async(STR("respond-asynchronously")));
    EXPECT(!job_request_prefers_async(STR("return=minimal")));
    EXPECT(!job_request_prefers_async(STR("")));
    EXPECT(!job_request_prefers_async((struct str){NULL, 0}));
}

TEST(waits_of_prefer)
{
    const struct {
        struct str header;
        struct job_preference is;
    } cases[] = {
        {STR("respond-async, wait=10"), {true, true, 10}},
        {STR("WAIT = 7 ; x=1,respond-async"), {true, true, 7}},
        {STR("respond-async,wait=\"5\""), {true, true, 5}},
        {STR("respond-async, wait=0"), {true, true, 0}},
        {STR("respond-async, wait=100000"), {true, true, JOB_WAIT_S_MAX}},
        {STR("wait=3"), {false, true, 3}},
        {STR("wait=3, respond-async, wait=9"), {true, true, 3}}, /* the first counts */
        {STR("wait=x, respond-async, wait=9"), {true, false, 0}},
        {STR("respond-async, wait"), {true, false, 0}},
        {STR("respond-async, wait="), {true, false, 0}},
        {STR("respond-async, wait=-1"), {true, false, 0}},
        {STR("respond-async, wait=1.5"), {true, false, 0}},
        {STR("respond-async, wait=\""), {true, false, 0}},
        {STR("respond-async, wait=99999999999999999999999"), {true, false, 0}},
        {STR("respond-async, waits=4, ,;,=,"), {true, false, 0}},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct job_preference is = job_preference_read(cases[i].header);
        if (is.async != cases[i].is.async || is.waits != cases[i].is.waits ||
            is.wait_s != cases[i].is.wait_s)
            test_failed(__FILE__, __LINE__, "%.*s: %d %d %u", STR_ARGS(cases[i].header), is.async,
                        is.waits, is.wait_s);
    }
}

TEST(trace_ids_of_traceparents)
{
    EXPECT_STR(trace_id_of(STR("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")),
               STR("0af7651916cd43dd8448eb211c80319c"));
    EXPECT(!trace_id_of(STR("00-0af7")).data);
    EXPECT(!trace_id_of(STR("nonsense")).data);
    EXPECT(!trace_id_of((struct str){NULL, 0}).data);
}

static enum status set_one(enum parameter parameter, const char *text, struct record *record)
{
    struct error err;
    *record = (struct record){0};
    return set(parameter, str_of(text), 1000000, record, &err);
}

TEST(parameters_are_checked)
{
    struct record record;
    EXPECT_INT(set_one(PRIORITY, "9", &record), STATUS_OK);
    EXPECT_INT(record.priority, 9);
    EXPECT_INT(set_one(PRIORITY, "10", &record), STATUS_INVALID_ARGUMENT);
    EXPECT_INT(set_one(PRIORITY, "-1", &record), STATUS_INVALID_ARGUMENT);
    EXPECT_INT(set_one(GROUP, "user-7", &record), STATUS_OK);
    EXPECT_INT(set_one(GROUP, "", &record), STATUS_INVALID_ARGUMENT);
    EXPECT_INT(set_one(GROUP, "two words", &record), STATUS_INVALID_ARGUMENT);
    EXPECT_INT(set_one(DELAY, "10s", &record), STATUS_OK);
    EXPECT_INT(record.start_us, 1010000000);
    EXPECT_INT(set_one(DELAY, "0", &record), STATUS_OK);
    EXPECT_INT(record.start_us, 0);
    EXPECT_INT(set_one(DELAY, "8d", &record), STATUS_INVALID_ARGUMENT);
    EXPECT_INT(set_one(START_AT, "1970-01-01T00:00:01Z", &record), STATUS_OK);
    EXPECT_INT(record.start_us, 0); /* past: at once */
    EXPECT_INT(set_one(TTL, "1s", &record), STATUS_OK);
    EXPECT_INT(record.expires_us, 1001000000);
    EXPECT_INT(set_one(TTL, "0", &record), STATUS_INVALID_ARGUMENT);
    EXPECT_INT(set_one(EXPIRES_AT, "5", &record), STATUS_INVALID_ARGUMENT);
    EXPECT_INT(set_one(KEY, "", &record), STATUS_INVALID_ARGUMENT);
    EXPECT_INT(set_one(KEY, "\xff", &record), STATUS_INVALID_ARGUMENT);
}
