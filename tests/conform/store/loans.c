/* What is whole for a while: an input until its job is over, an answer until it was time enough. */
#include "base/mem.h"
#include "fixture.h"

static void expect_loan(struct fixture *f, const char *id, const char *bytes, uint64_t header_size)
{
    struct record found;
    EXPECT_STATUS(get(f, id, &found), STATUS_OK, f->err);
    if (!bytes) EXPECT(!found.loan.bytes.data && !found.loan.type.data);
    if (bytes) EXPECT_STR(found.loan.bytes, str_of(bytes));
    if (bytes) EXPECT_STR(found.loan.type, STR("t"));
    EXPECT_INT(found.loan.header_size, header_size);
}

/* On loan while it waits, runs and is tried again; the end of the job is the end of it. */
TEST(an_input_is_on_loan_until_the_job_is_over)
{
    static const enum record_state ends[] = {RECORD_SUCCEEDED, RECORD_FAILED, RECORD_CANCELLED,
                                             RECORD_EXPIRED};
    struct fixture f;
    REQUIRE(begin(&f));
    for (size_t i = 0; i < COUNT_OF(ends); i++) {
        enum record_state was;
        struct record job = record_at(start_ms);
        job.state = RECORD_PENDING;
        job.loan = (struct record_payload){
            .bytes = STR("whole input"), .type = STR("t"), .header_size = 3};
        EXPECT_STATUS(put(&f, &job, 1), STATUS_OK, f.err);
        struct store_change step = {.id = str_of(job.id),
                                    .from = 1U << RECORD_PENDING | 1U << RECORD_RUNNING,
                                    .to = RECORD_RUNNING,
                                    .progress = -1};
        EXPECT_STATUS(change(&f, step, &was), STATUS_OK, f.err);
        expect_loan(&f, job.id, "whole input", 3);
        step.to = RECORD_PENDING;
        EXPECT_STATUS(change(&f, step, &was), STATUS_OK, f.err);
        expect_loan(&f, job.id, "whole input", 3);
        step.to = ends[i];
        EXPECT_STATUS(change(&f, step, &was), STATUS_OK, f.err);
        expect_loan(&f, job.id, NULL, 0);
    }
    end(&f);
}

TEST(an_answer_is_on_loan_for_a_while)
{
    struct fixture f;
    enum record_state was;
    struct record job, waits;
    const struct record_payload output = {.keep = RECORD_KEEP_HASHED, .size = 5, .hashed = true};
    const struct record_payload loan = {.bytes = STR("lent!"), .type = STR("t"), .header_size = 2};
    REQUIRE(begin(&f));
    waits = record_at(start_ms);
    waits.state = RECORD_PENDING;
    waits.done_us = 0;
    waits.loan = loan;
    EXPECT_STATUS(put(&f, &waits, 1), STATUS_OK, f.err);
    for (uint64_t i = 1; i <= 3; i++) {
        job = record_at(start_ms);
        job.state = RECORD_PENDING;
        EXPECT_STATUS(put(&f, &job, 1), STATUS_OK, f.err);
        struct store_change succeeds = {.id = str_of(job.id),
                                        .from = 1U << RECORD_PENDING,
                                        .to = RECORD_SUCCEEDED,
                                        .done_us = (start_ms + i) * 1000,
                                        .output = &output,
                                        .loan = &loan,
                                        .progress = 1};
        EXPECT_STATUS(change(&f, succeeds, &was), STATUS_OK, f.err);
        expect_loan(&f, job.id, "lent!", 2);
    }
    uint64_t before_us = (start_ms + 3) * 1000;
    struct store_prune result =
        prune(&f, (struct store_prune){.loans_before_us = before_us, .count_max = 1});
    EXPECT(result.loans_ended == 1 && result.more && result.deleted == 0);
    result = prune(&f, (struct store_prune){.loans_before_us = before_us, .count_max = 10});
    EXPECT(result.loans_ended == 1 && !result.more && result.deleted == 0);
    expect_loan(&f, job.id, "lent!", 2);
    result = prune(&f, (struct store_prune){.loans_before_us = before_us + 1, .count_max = 10});
    EXPECT(result.loans_ended == 1 && result.deleted == 0);
    expect_loan(&f, job.id, NULL, 0);
    expect_loan(&f, waits.id, "lent!", 2);
    EXPECT_STATUS(get(&f, job.id, &job), STATUS_OK, f.err);
    EXPECT(job.state == RECORD_SUCCEEDED && payloads_equal(&job.output, &output));
    end(&f);
}

TEST(a_loan_goes_with_a_final_state_only)
{
    struct fixture f;
    enum record_state was;
    const struct record_payload loan = {.bytes = STR("x")};
    REQUIRE(begin(&f));
    struct record job = record_at(start_ms);
    job.state = RECORD_PENDING;
    EXPECT_STATUS(put(&f, &job, 1), STATUS_OK, f.err);
    struct store_change runs = {.id = str_of(job.id),
                                .from = 1U << RECORD_PENDING,
                                .to = RECORD_RUNNING,
                                .loan = &loan,
                                .progress = -1};
    EXPECT_STATUS(change(&f, runs, &was), STATUS_INVALID_ARGUMENT, f.err);
    end(&f);
}

/* What is looked through by the thousand has no use for it. */
TEST(a_list_leaves_loans_out)
{
    struct fixture f;
    REQUIRE(begin(&f));
    struct record record = record_at(start_ms);
    record.input.bytes = STR("kept");
    record.loan.bytes = STR("lent");
    EXPECT_STATUS(put(&f, &record, 1), STATUS_OK, f.err);
    struct store_list page = {.count_max = 10};
    EXPECT_STATUS(list(&f, &page), STATUS_OK, f.err);
    REQUIRE(page.count == 1);
    EXPECT_STR(page.records[0].input.bytes, STR("kept"));
    EXPECT(!page.records[0].loan.bytes.data);
    end(&f);
}

TEST(what_is_on_loan_weighs_until_it_is_gone)
{
    struct fixture f;
    REQUIRE(begin(&f));
    char *big CLEANUP(mem_freep) = mem_new_zeroed(1, 100000);
    enum record_state was;
    const struct record_payload loan = {.bytes = {big, 100000}};
    struct record jobs[] = {record_at(start_ms), record_at(start_ms), record_at(start_ms)};
    for (size_t i = 0; i < COUNT_OF(jobs); i++) jobs[i].state = RECORD_PENDING;
    jobs[1].loan = loan;
    EXPECT_STATUS(put(&f, &jobs[0], 1), STATUS_OK, f.err);
    uint64_t light = statistics(&f).bytes;
    EXPECT_STATUS(put(&f, &jobs[1], 1), STATUS_OK, f.err);
    EXPECT(statistics(&f).bytes > light + 100000);
    EXPECT_STATUS(put(&f, &jobs[2], 1), STATUS_OK, f.err);
    for (size_t i = 0; i < COUNT_OF(jobs); i++) {
        struct store_change ends = {.id = str_of(jobs[i].id),
                                    .from = 1U << RECORD_PENDING,
                                    .to = i == 1 ? RECORD_CANCELLED : RECORD_SUCCEEDED,
                                    .done_us = start_ms * 1000 + 5,
                                    .loan = i == 2 ? &loan : NULL,
                                    .progress = -1};
        EXPECT_STATUS(change(&f, ends, &was), STATUS_OK, f.err);
        uint64_t bytes = statistics(&f).bytes;
        EXPECT_INT(bytes > light + 100000, i != 1); /* the first's place is taken by the third's */
    }
    struct store_prune result =
        prune(&f, (struct store_prune){.loans_before_us = start_ms * 1000 + 6, .count_max = 10});
    EXPECT(result.loans_ended == 1 && statistics(&f).bytes < light + 10000);
    end(&f);
}
