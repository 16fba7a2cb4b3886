/*
 * What store/store.h promises, over the kind that this program is linked with. Loans: loans.c.
 */
#include "base/mem.h"
#include "fixture.h"

#include <pthread.h>
#include <unistd.h>

uint64_t start_ms = 1700000000000;

/* How many records a filter finds, over all pages. */
static size_t count_of(struct fixture *fixture, struct store_filter filter)
{
    struct store_list page = {.filter = filter, .count_max = 7};
    size_t count = 0;
    do {
        if (list(fixture, &page) != STATUS_OK) {
            test_failed(__FILE__, __LINE__, "%s", fixture->err.message);
            return SIZE_MAX;
        }
        count += page.count;
        page.cursor = page.next;
    } while (page.next.size);
    return count;
}

static void expect_equal(const struct record *a, const struct record *b)
{
    EXPECT_TEXT(a->id, b->id);
    EXPECT(texts_equal(a->model, b->model) && texts_equal(a->version, b->version));
    EXPECT(texts_equal(a->digest, b->digest) && texts_equal(a->variant, b->variant));
    EXPECT(a->source == b->source && a->state == b->state && a->status == b->status);
    EXPECT(texts_equal(a->key, b->key));
    EXPECT(!a->key.data || memcmp(a->key_hash, b->key_hash, SHA256_SIZE) == 0);
    EXPECT(texts_equal(a->trace_id, b->trace_id) && texts_equal(a->request_id, b->request_id));
    EXPECT(texts_equal(a->queue, b->queue) && texts_equal(a->message_id, b->message_id));
    EXPECT(texts_equal(a->group, b->group) && texts_equal(a->error, b->error));
    EXPECT(a->received_us == b->received_us && a->queued_us == b->queued_us);
    EXPECT(a->started_us == b->started_us && a->done_us == b->done_us);
    EXPECT(payloads_equal(&a->input, &b->input) && payloads_equal(&a->output, &b->output));
    EXPECT(payloads_equal(&a->loan, &b->loan));
    EXPECT(texts_equal(a->label, b->label) && texts_equal(a->callback, b->callback));
    EXPECT(a->priority == b->priority && a->attempts == b->attempts);
    EXPECT(a->start_us == b->start_us && a->expires_us == b->expires_us);
    EXPECT(a->progress == b->progress);
}

/* --- PUT and GET ------------------------------------------------------------------------------ */

static struct record full_record(void)
{
    struct record record = {
        .model = STR("m\xc3\xb6\x64"
                     "el"),
        .version = STR("12"),
        .digest = STR("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        .variant = STR("canary"),
        .source = RECORD_SOURCE_QUEUE,
        .state = RECORD_FAILED,
        .key = STR("k'\"\\%;--"),
        .trace_id = STR("0af7651916cd43dd8448eb211c80319c"),
        .request_id = STR(""),
        .queue = STR("inference-dev"),
        .message_id = STR("id"),
        .group = STR("g"),
        .received_us = 1,
        .queued_us = 2,
        .started_us = UINT64_C(1) << 53,
        .done_us = INT64_MAX,
        .status = STATUS_EXHAUSTED,
        .error = STR("no memory\nfor it"),
        .input = {.bytes = STR("\0\xff\x80'\\x00"),
                  .type = STR("application/octet-stream"),
                  .header_size = 3,
                  .size = 1000,
                  .hashed = true,
                  .keep = RECORD_KEEP_TRUNCATED},
        .output = {.bytes = STR(""), .type = STR("application/json"), .keep = RECORD_KEEP_INLINE},
        .loan = {.bytes = STR("\0lent\xff"), .type = STR("t"), .header_size = 2},
        .label = STR("{\"right\":3}"),
        .priority = 9,
        .attempts = 4,
        .start_us = 5,
        .expires_us = 6,
        .callback = STR("https://example.org/x?y=z"),
        .progress = 0.1,
    };
    record_id_make(start_ms, record.id);
    for (size_t i = 0; i < SHA256_SIZE; i++) {
        record.key_hash[i] = (uint8_t)(255 - i);
        record.input.hash[i] = (uint8_t)i;
    }
    return record;
}

TEST(every_field_comes_back_also_after_reopening)
{
    struct fixture f;
    REQUIRE(begin(&f));
    struct record full = full_record(), empty = {.model = STR("m")}, found;
    record_id_make(start_ms, empty.id);
    EXPECT_STATUS(put(&f, &full, 1), STATUS_OK, f.err);
    EXPECT_STATUS(put(&f, &empty, 1), STATUS_OK, f.err);
    REQUIRE(reopen(&f));
    EXPECT_STATUS(get(&f, full.id, &found), STATUS_OK, f.err);
    expect_equal(&found, &full);
    EXPECT_STATUS(get(&f, empty.id, &found), STATUS_OK, f.err);
    expect_equal(&found, &empty);
    end(&f);
}

TEST(an_id_that_is_known_is_left_alone)
{
    struct fixture f;
    REQUIRE(begin(&f));
    struct record records[2] = {record_at(start_ms), record_at(start_ms)}, found;
    EXPECT_STATUS(put(&f, &records[0], 1), STATUS_OK, f.err);
    records[0].version = STR("2");
    EXPECT_STATUS(put(&f, records, 2), STATUS_OK, f.err);
    EXPECT_STATUS(get(&f, records[0].id, &found), STATUS_OK, f.err);
    EXPECT_STR(found.version, STR("1"));
    EXPECT_STATUS(get(&f, records[1].id, &found), STATUS_OK, f.err);
    end(&f);
}

TEST(what_is_not_there_is_not_found)
{
    struct fixture f;
    REQUIRE(begin(&f));
    struct record found;
    EXPECT_STATUS(get(&f, "01ARZ3NDEKTSV4RRFFQ69G5FAV", &found), STATUS_NOT_FOUND, f.err);
    struct store_call call = {
        .operation = STORE_GET, .arena = &f.arena, .get = {.model = STR("m"), .key = STR("k")}};
    EXPECT_STATUS(store_run(f.store, &call, &f.err), STATUS_NOT_FOUND, f.err);
    call = (struct store_call){.operation = STORE_LABEL,
                               .label = {STR("01ARZ3NDEKTSV4RRFFQ69G5FAV"), STR("1")}};
    EXPECT_STATUS(store_run(f.store, &call, &f.err), STATUS_NOT_FOUND, f.err);
    call = (struct store_call){.operation = STORE_CHANGE,
                               .change = {.id = STR("01ARZ3NDEKTSV4RRFFQ69G5FAV"),
                                          .from = 1U << RECORD_PENDING,
                                          .to = RECORD_RUNNING,
                                          .progress = -1}};
    EXPECT_STATUS(store_run(f.store, &call, &f.err), STATUS_NOT_FOUND, f.err);
    end(&f);
}

TEST(wrong_arguments_are_refused_at_once)
{
    struct fixture f;
    REQUIRE(begin(&f));
    struct record bad = record_at(start_ms), found;
    EXPECT_STATUS(get(&f, "nonsense", &found), STATUS_INVALID_ARGUMENT, f.err);
    EXPECT_STATUS(put(&f, &bad, 0), STATUS_INVALID_ARGUMENT, f.err);
    bad.trace_id = STR("\xc3");
    EXPECT_STATUS(put(&f, &bad, 1), STATUS_INVALID_ARGUMENT, f.err);
    struct store_call labels[] = {
        {.operation = STORE_LABEL, .label = {str_of(bad.id), STR("{\"a\":}")}},
        {.operation = STORE_LABEL, .label = {str_of(bad.id), STR("1 2")}},
        {.operation = STORE_LABEL, .label = {STR("x"), STR("1")}},
    };
    for (size_t i = 0; i < COUNT_OF(labels); i++)
        EXPECT_STATUS(store_run(f.store, &labels[i], &f.err), STATUS_INVALID_ARGUMENT, f.err);
    struct store_list page = {.count_max = STORE_LIST_MAX + 1};
    EXPECT_STATUS(list(&f, &page), STATUS_INVALID_ARGUMENT, f.err);
    page = (struct store_list){.cursor = STR("what?")};
    EXPECT_STATUS(list(&f, &page), STATUS_INVALID_ARGUMENT, f.err);
    end(&f);
}

TEST(payloads_of_many_sizes_and_any_bytes)
{
    struct fixture f;
    REQUIRE(begin(&f));
    struct prng prng;
    prng_seed(&prng, test_seed());
    static const size_t sizes[] = {0, 1, 255, 256, 4095, 4096, 65537, 1 << 20, 9 << 20};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        char *bytes CLEANUP(mem_freep) = mem_new(sizes[i] + 1);
        for (size_t k = 0; k < sizes[i]; k++) bytes[k] = (char)prng_u64(&prng);
        struct record record = record_at(start_ms + i), found;
        record.input.bytes = (struct str){bytes, sizes[i]};
        record.input.size = sizes[i];
        record.output.bytes = (struct str){bytes + sizes[i] / 2, sizes[i] - sizes[i] / 2};
        EXPECT_STATUS(put(&f, &record, 1), STATUS_OK, f.err);
        EXPECT_STATUS(get(&f, record.id, &found), STATUS_OK, f.err);
        expect_equal(&found, &record);
    }
    struct store_list page = {.without_payloads = true};
    EXPECT_STATUS(list(&f, &page), STATUS_OK, f.err);
    EXPECT_INT(page.count, COUNT_OF(sizes));
    EXPECT(page.records[0].input.size == sizes[COUNT_OF(sizes) - 1]);
    for (size_t i = 0; i < page.count; i++)
        EXPECT(!page.records[i].input.bytes.data && !page.records[i].output.bytes.data);
    end(&f);
}

/* --- ADMIT ------------------------------------------------------------------------------------ */

static enum status admit(struct fixture *fixture, const struct record *record,
                         struct store_admit *ret_admit)
{
    struct store_call call = {
        .operation = STORE_ADMIT, .arena = &fixture->arena, .admit = {.record = record}};
    enum status status = store_run(fixture->store, &call, &fixture->err);
    *ret_admit = call.admit;
    return status;
}

TEST(a_key_admits_one_record)
{
    struct fixture f;
    REQUIRE(begin(&f));
    struct record first = record_at(start_ms), again, other, elsewhere, found;
    struct store_admit result;
    first.key = STR("order 17");
    first.key_hash[0] = 1;
    first.output.bytes = STR("[2,4]");
    again = other = elsewhere = first;
    record_id_make(start_ms, again.id);
    record_id_make(start_ms, other.id);
    record_id_make(start_ms, elsewhere.id);
    other.key_hash[0] = 2;
    elsewhere.model = STR("another");
    EXPECT_STATUS(admit(&f, &first, &result), STATUS_OK, f.err);
    EXPECT(!result.existing);
    EXPECT_STATUS(admit(&f, &again, &result), STATUS_OK, f.err);
    EXPECT(result.existing);
    expect_equal(&result.found, &first);
    EXPECT_STATUS(admit(&f, &other, &result), STATUS_ALREADY_EXISTS, f.err);
    EXPECT(strstr(f.err.message, "order 17") != NULL);
    EXPECT_STATUS(admit(&f, &elsewhere, &result), STATUS_OK, f.err);
    EXPECT(!result.existing);
    EXPECT_STATUS(get(&f, again.id, &found), STATUS_NOT_FOUND, f.err);
    struct store_call call = {
        .operation = STORE_GET, .arena = &f.arena, .get = {.model = first.model, .key = first.key}};
    EXPECT_STATUS(store_run(f.store, &call, &f.err), STATUS_OK, f.err);
    expect_equal(&call.get.record, &first);
    EXPECT_STATUS(put(&f, &again, 1), STATUS_OK, f.err); /* a known key: left alone */
    EXPECT_STATUS(get(&f, again.id, &found), STATUS_NOT_FOUND, f.err);
    end(&f);
}

enum { ADMITTERS = 4, ADMITTER_KEYS = 50 };

struct admitter {
    struct store *store;
    size_t admitted;
};

static void *admit_many(void *context)
{
    struct admitter *admitter = context;
    struct arena arena;
    arena_init(&arena, 1 << 20);
    for (int i = 0; i < ADMITTER_KEYS; i++) {
        struct error err;
        char key[16];
        struct record record = record_at(start_ms);
        record.key = (struct str){key, (size_t)snprintf(key, sizeof key, "key%d", i)};
        struct store_call call = {
            .operation = STORE_ADMIT, .arena = &arena, .admit = {.record = &record}};
        EXPECT_STATUS(store_run(admitter->store, &call, &err), STATUS_OK, err);
        admitter->admitted += !call.admit.existing;
        arena_reset(&arena);
    }
    arena_clear(&arena);
    return NULL;
}

TEST(of_admissions_at_the_same_time_one_wins)
{
    struct fixture f;
    REQUIRE(begin(&f));
    struct admitter admitters[ADMITTERS];
    pthread_t threads[ADMITTERS];
    for (size_t i = 0; i < ADMITTERS; i++) {
        admitters[i] = (struct admitter){f.store, 0};
        pthread_create(&threads[i], NULL, admit_many, &admitters[i]);
    }
    size_t admitted = 0;
    for (size_t i = 0; i < ADMITTERS; i++) {
        pthread_join(threads[i], NULL);
        admitted += admitters[i].admitted;
    }
    EXPECT_INT(admitted, ADMITTER_KEYS);
    EXPECT_INT(count_of(&f, (struct store_filter){0}), ADMITTER_KEYS);
    end(&f);
}

/* --- CHANGE and LABEL ------------------------------------------------------------------------- */

TEST(a_job_goes_through_its_states)
{
    struct fixture f;
    REQUIRE(begin(&f));
    enum record_state was;
    struct record job = record_at(start_ms), found;
    job.state = RECORD_PENDING;
    job.done_us = 0;
    job.version = STR("");
    EXPECT_STATUS(put(&f, &job, 1), STATUS_OK, f.err);
    struct store_change starts = {.id = str_of(job.id),
                                  .from = 1U << RECORD_PENDING | 1U << RECORD_RUNNING,
                                  .to = RECORD_RUNNING,
                                  .started_us = 7,
                                  .attempts_add = 1,
                                  .progress = -1};
    EXPECT_STATUS(change(&f, starts, &was), STATUS_OK, f.err);
    EXPECT_INT(was, RECORD_PENDING);
    EXPECT_STATUS(change(&f, starts, &was), STATUS_OK, f.err);
    EXPECT_INT(was, RECORD_RUNNING);
    struct record_payload output = {.bytes = STR("{}"), .type = STR("t"), .size = 2};
    struct store_change ends = {.id = str_of(job.id),
                                .from = 1U << RECORD_RUNNING,
                                .to = RECORD_SUCCEEDED,
                                .done_us = 9,
                                .set_status = true,
                                .version = STR("3"),
                                .digest = STR("d"),
                                .variant = STR("v"),
                                .message_id = STR("m"),
                                .output = &output,
                                .progress = 1};
    EXPECT_STATUS(change(&f, ends, &was), STATUS_OK, f.err);
    job.state = RECORD_SUCCEEDED;
    job.started_us = 7;
    job.done_us = 9;
    job.attempts = 2;
    job.version = ends.version;
    job.digest = ends.digest;
    job.variant = ends.variant;
    job.message_id = ends.message_id;
    job.output = output;
    job.progress = 1;
    EXPECT_STATUS(get(&f, job.id, &found), STATUS_OK, f.err);
    expect_equal(&found, &job);
    end(&f);
}

TEST(a_late_change_leaves_nothing)
{
    struct fixture f;
    REQUIRE(begin(&f));
    enum record_state was;
    struct record done = record_at(start_ms), found;
    done.output.bytes = STR("first");
    EXPECT_STATUS(put(&f, &done, 1), STATUS_OK, f.err);
    struct record_payload output = {.bytes = STR("second")};
    struct store_change late = {.id = str_of(done.id),
                                .from = 1U << RECORD_RUNNING | 1U << RECORD_PENDING,
                                .to = RECORD_FAILED,
                                .set_status = true,
                                .status = STATUS_INTERNAL,
                                .error = STR("late"),
                                .output = &output,
                                .attempts_add = 1,
                                .progress = 0};
    EXPECT_STATUS(change(&f, late, &was), STATUS_FAILED_PRECONDITION, f.err);
    EXPECT_INT(was, RECORD_SUCCEEDED);
    EXPECT(strstr(f.err.message, "succeeded") != NULL);
    EXPECT_STATUS(get(&f, done.id, &found), STATUS_OK, f.err);
    expect_equal(&found, &done);
    end(&f);
}

TEST(a_failure_is_noted_and_a_retry_begins_anew)
{
    struct fixture f;
    REQUIRE(begin(&f));
    enum record_state was;
    struct record job = record_at(start_ms), found;
    job.state = RECORD_RUNNING;
    job.output = (struct record_payload){.bytes = STR("x"),
                                         .type = STR("t"),
                                         .size = 1,
                                         .header_size = 1,
                                         .hashed = true,
                                         .keep = RECORD_KEEP_TRUNCATED};
    EXPECT_STATUS(put(&f, &job, 1), STATUS_OK, f.err);
    struct store_change fails = {.id = str_of(job.id),
                                 .from = 1U << RECORD_RUNNING,
                                 .to = RECORD_FAILED,
                                 .set_status = true,
                                 .status = STATUS_UNAVAILABLE,
                                 .error = STR("engine went away"),
                                 .done_us = 4,
                                 .progress = -1};
    EXPECT_STATUS(change(&f, fails, &was), STATUS_OK, f.err);
    EXPECT_STATUS(get(&f, job.id, &found), STATUS_OK, f.err);
    EXPECT(found.status == STATUS_UNAVAILABLE && found.done_us == 4);
    EXPECT_STR(found.error, STR("engine went away"));
    EXPECT(payloads_equal(&found.output, &job.output));
    EXPECT_INT(count_of(&f, (struct store_filter){.failed_only = true}), 1);
    struct store_change retries = {.id = str_of(job.id),
                                   .from = 1U << RECORD_FAILED,
                                   .to = RECORD_PENDING,
                                   .set_status = true,
                                   .clear_output = true,
                                   .progress = 0};
    EXPECT_STATUS(change(&f, retries, &was), STATUS_OK, f.err);
    EXPECT_STATUS(get(&f, job.id, &found), STATUS_OK, f.err);
    EXPECT(found.state == RECORD_PENDING && found.status == STATUS_OK && found.done_us == 0);
    EXPECT(!found.error.data && !found.output.bytes.data && !found.output.type.data);
    EXPECT(!found.output.hashed && found.output.size == 0 && found.output.header_size == 0);
    EXPECT_INT(count_of(&f, (struct store_filter){.failed_only = true}), 0);
    end(&f);
}

TEST(feedback_comes_and_goes)
{
    struct fixture f;
    REQUIRE(begin(&f));
    struct record record = record_at(start_ms), found;
    EXPECT_STATUS(put(&f, &record, 1), STATUS_OK, f.err);
    struct store_call call = {
        .operation = STORE_LABEL,
        .label = {str_of(record.id), STR("{\"right\":[1,\"\\u00e4\\n\"],\"by\":\"\xc3\xa9\"}")}};
    EXPECT_STATUS(store_run(f.store, &call, &f.err), STATUS_OK, f.err);
    EXPECT_STATUS(get(&f, record.id, &found), STATUS_OK, f.err);
    EXPECT_STR(found.label, call.label.label);
    call.label.label = STR_EMPTY;
    EXPECT_STATUS(store_run(f.store, &call, &f.err), STATUS_OK, f.err);
    EXPECT_STATUS(get(&f, record.id, &found), STATUS_OK, f.err);
    EXPECT(!found.label.data);
    end(&f);
}

/* --- LIST ------------------------------------------------------------------------------------- */

static void put_variety(struct fixture *fixture, size_t count)
{
    static const char *const models[] = {"a", "b", "c"};
    for (size_t i = 0; i < count; i++) {
        struct record record = record_at(start_ms + i * 1000);
        record.model = str_of(models[i % 3]);
        record.version = i % 2 ? STR("1") : STR("2");
        record.state = (enum record_state)(i % RECORD_STATE_COUNT);
        record.source = (enum record_source)(i % RECORD_SOURCE_COUNT);
        record.status = record.state == RECORD_FAILED ? STATUS_INTERNAL : STATUS_OK;
        record.trace_id = i % 5 ? (struct str){NULL, 0} : STR("t");
        record.group = i % 7 ? STR("g") : STR("h");
        record.queue = i % 4 ? STR("q") : STR("");
        record.variant = i % 4 ? STR("v") : STR("w");
        EXPECT_STATUS(put(fixture, &record, 1), STATUS_OK, fixture->err);
    }
}

TEST(every_filter_finds_what_it_should)
{
    struct fixture f;
    REQUIRE(begin(&f));
    put_variety(&f, 60);
    EXPECT_INT(count_of(&f, (struct store_filter){0}), 60);
    EXPECT_INT(count_of(&f, (struct store_filter){.model = STR("a")}), 20);
    EXPECT_INT(count_of(&f, (struct store_filter){.model = STR("nobody")}), 0);
    EXPECT_INT(count_of(&f, (struct store_filter){.version = STR("2")}), 30);
    EXPECT_INT(count_of(&f, (struct store_filter){.model = STR("a"), .version = STR("2")}), 10);
    EXPECT_INT(count_of(&f, (struct store_filter){.variant = STR("w")}), 15);
    EXPECT_INT(count_of(&f, (struct store_filter){.queue = STR("q")}), 45);
    EXPECT_INT(count_of(&f, (struct store_filter){.group = STR("h")}), 9);
    EXPECT_INT(count_of(&f, (struct store_filter){.trace_id = STR("t")}), 12);
    EXPECT_INT(count_of(&f, (struct store_filter){.failed_only = true}), 10);
    for (unsigned state = 0; state < RECORD_STATE_COUNT; state++) {
        EXPECT_INT(count_of(&f, (struct store_filter){.states = 1U << state}), 10);
        EXPECT_INT(count_of(&f, (struct store_filter){.states = 1U << state, .model = STR("a")}),
                   state % 3 ? 0 : 10);
    }
    EXPECT_INT(count_of(&f, (struct store_filter){.states = 1U << RECORD_PENDING |
                                                            1U << RECORD_SUCCEEDED}),
               20);
    EXPECT_INT(count_of(&f, (struct store_filter){.sources = 1U << RECORD_SOURCE_JOB}), 15);
    end(&f);
}

TEST(times_bound_a_list)
{
    struct fixture f;
    REQUIRE(begin(&f));
    put_variety(&f, 60);
    uint64_t start_us = start_ms * 1000;
    EXPECT_INT(count_of(&f, (struct store_filter){.since_us = start_us + 10000000}), 50);
    EXPECT_INT(count_of(&f, (struct store_filter){.until_us = start_us + 10000000}), 10);
    EXPECT_INT(count_of(&f, (struct store_filter){.since_us = start_us + 10000000,
                                                  .until_us = start_us + 20000000}),
               10);
    EXPECT_INT(count_of(&f, (struct store_filter){.since_us = start_us + 20000000,
                                                  .until_us = start_us + 10000000}),
               0);
    end(&f);
}

TEST(newest_first_or_oldest_first)
{
    struct fixture f;
    REQUIRE(begin(&f));
    put_variety(&f, 30);
    for (int ascending = 0; ascending < 2; ascending++) {
        const struct store_filter filters[] = {
            {0}, {.model = STR("b")}, {.states = 1U << RECORD_RUNNING}};
        for (size_t i = 0; i < COUNT_OF(filters); i++) {
            struct store_list page = {.filter = filters[i], .ascending = ascending};
            EXPECT_STATUS(list(&f, &page), STATUS_OK, f.err);
            EXPECT(page.count >= 5 && page.next.size == 0);
            for (size_t k = 1; k < page.count; k++)
                EXPECT((strcmp(page.records[k - 1].id, page.records[k].id) < 0) == ascending);
        }
    }
    end(&f);
}

TEST(a_page_that_is_just_full_is_the_last)
{
    struct fixture f;
    REQUIRE(begin(&f));
    put_variety(&f, 10);
    struct store_list page = {.count_max = 10};
    EXPECT_STATUS(list(&f, &page), STATUS_OK, f.err);
    EXPECT(page.count == 10 && page.next.size == 0);
    page = (struct store_list){.count_max = 9};
    EXPECT_STATUS(list(&f, &page), STATUS_OK, f.err);
    EXPECT(page.count == 9 && page.next.size > 0);
    page.cursor = page.next;
    EXPECT_STATUS(list(&f, &page), STATUS_OK, f.err);
    EXPECT(page.count == 1 && page.next.size == 0);
    page.filter.model = STR("a"); /* the cursor belongs to another list */
    EXPECT_STATUS(list(&f, &page), STATUS_INVALID_ARGUMENT, f.err);
    end(&f);
}

TEST(a_page_that_does_not_fit_is_cut)
{
    struct fixture f;
    REQUIRE(begin(&f));
    char *big CLEANUP(mem_freep) = mem_new_zeroed(1, 300000);
    for (uint64_t i = 0; i < 10; i++) {
        struct record record = record_at(start_ms + i);
        record.input.bytes = (struct str){big, 300000};
        EXPECT_STATUS(put(&f, &record, 1), STATUS_OK, f.err);
    }
    size_t count = 0;
    struct store_list page = {.count_max = 100};
    char cursor[STORE_CURSOR_MAX] = "";
    for (int i = 0; i < 20; i++) {
        struct arena small;
        arena_init(&small, 1 << 20);
        struct store_call call = {.operation = STORE_LIST, .arena = &small, .list = page};
        EXPECT_STATUS(store_run(f.store, &call, &f.err), STATUS_OK, f.err);
        EXPECT(call.list.count > 0 && call.list.count < 4);
        count += call.list.count;
        bool more = call.list.next.size > 0;
        if (more) memcpy(cursor, call.list.next.data, call.list.next.size + 1);
        page.cursor = str_of(cursor);
        arena_clear(&small);
        if (!more) break;
    }
    EXPECT_INT(count, 10);
    struct arena tiny;
    arena_init(&tiny, 200000);
    struct store_call call = {.operation = STORE_LIST, .arena = &tiny, .list = {.count_max = 10}};
    EXPECT_STATUS(store_run(f.store, &call, &f.err), STATUS_EXHAUSTED, f.err);
    arena_clear(&tiny);
    end(&f);
}

enum { WRITERS = 2, WRITER_RECORDS = 300 };

struct writer {
    struct store *store;
    _Atomic bool *stop;
};

static void *write_on(void *context)
{
    struct writer *writer = context;
    for (uint64_t i = 0; i < WRITER_RECORDS && !atomic_load(writer->stop); i++) {
        struct error err;
        struct record record = record_at(start_ms + 1000000 + i);
        struct store_call call = {.operation = STORE_PUT, .put = {&record, 1}};
        EXPECT_STATUS(store_run(writer->store, &call, &err), STATUS_OK, err);
    }
    return NULL;
}

static int compare_ids(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* Pages through all and checks that each of `ids` (sorted) comes exactly once. */
static void expect_each_once(struct fixture *f, char (*ids)[RECORD_ID_SIZE + 1], size_t count,
                             struct store_list page)
{
    uint32_t *seen CLEANUP(mem_freep) = mem_new_zeroed(count, sizeof *seen);
    do {
        REQUIRE(list(f, &page) == STATUS_OK);
        for (size_t i = 0; i < page.count; i++) {
            char(*found)[RECORD_ID_SIZE + 1] =
                bsearch(page.records[i].id, ids, count, sizeof *ids, compare_ids);
            if (found) seen[found - ids]++;
        }
        page.cursor = page.next;
    } while (page.next.size);
    for (size_t i = 0; i < count; i++) EXPECT_INT(seen[i], 1);
}

TEST(paging_sees_each_record_once_while_others_write)
{
    struct fixture f;
    REQUIRE(begin(&f));
    struct prng prng;
    prng_seed(&prng, test_seed());
    enum { COUNT = 500 };
    static char ids[COUNT][RECORD_ID_SIZE + 1];
    static struct record records[COUNT];
    for (size_t i = 0; i < COUNT; i++) { /* written in another order than that of their ids */
        records[i] = record_at(start_ms + i);
        memcpy(ids[i], records[i].id, sizeof ids[i]);
    }
    for (size_t i = COUNT; i-- > 1;) {
        size_t k = prng_below(&prng, i + 1);
        struct record swap = records[i];
        records[i] = records[k];
        records[k] = swap;
    }
    EXPECT_STATUS(put(&f, records, COUNT), STATUS_OK, f.err);
    qsort(ids, COUNT, sizeof *ids, compare_ids);
    static _Atomic bool stop;
    struct writer writer = {f.store, &stop};
    pthread_t threads[WRITERS];
    for (size_t i = 0; i < WRITERS; i++) pthread_create(&threads[i], NULL, write_on, &writer);
    for (int round = 0; round < 6; round++) {
        struct store_list page = {.count_max = 1 + (uint32_t)prng_below(&prng, 60),
                                  .ascending = round % 2,
                                  .without_payloads = true};
        if (round >= 4) page.filter.model = STR("doubleit");
        expect_each_once(&f, ids, COUNT, page);
    }
    stop = true;
    for (size_t i = 0; i < WRITERS; i++) pthread_join(threads[i], NULL);
    end(&f);
}

/* --- PRUNE and STATISTICS --------------------------------------------------------------------- */

TEST(old_records_go_unfinished_ones_stay)
{
    struct fixture f;
    REQUIRE(begin(&f));
    struct record waits = record_at(start_ms), late = record_at(start_ms), found;
    waits.state = RECORD_PENDING;
    waits.done_us = 0;
    late.done_us = (start_ms + 90) * 1000; /* began early, done late */
    EXPECT_STATUS(put(&f, &waits, 1), STATUS_OK, f.err);
    EXPECT_STATUS(put(&f, &late, 1), STATUS_OK, f.err);
    for (uint64_t i = 0; i < 100; i++) {
        struct record record = record_at(start_ms + i);
        record.state = i % 2 ? RECORD_SUCCEEDED : RECORD_FAILED;
        EXPECT_STATUS(put(&f, &record, 1), STATUS_OK, f.err);
    }
    struct store_prune result =
        prune(&f, (struct store_prune){.before_us = (start_ms + 50) * 1000, .count_max = 20});
    EXPECT(result.deleted == 20 && result.more);
    result =
        prune(&f, (struct store_prune){.before_us = (start_ms + 50) * 1000, .count_max = 1000});
    EXPECT(result.deleted == 30 && !result.more);
    EXPECT_INT(count_of(&f, (struct store_filter){0}), 52);
    EXPECT_STATUS(get(&f, waits.id, &found), STATUS_OK, f.err);
    EXPECT_STATUS(get(&f, late.id, &found), STATUS_OK, f.err);
    result = prune(&f, (struct store_prune){.before_us = UINT64_MAX, .count_max = 1000});
    EXPECT(result.deleted == 51 && !result.more);
    EXPECT_INT(count_of(&f, (struct store_filter){.states = 1U << RECORD_PENDING}), 1);
    end(&f);
}

TEST(a_key_is_forgotten_with_its_record)
{
    struct fixture f;
    REQUIRE(begin(&f));
    struct record record = record_at(start_ms), again;
    struct store_admit result;
    record.key = STR("k");
    again = record;
    again.key_hash[3] = 9;
    record_id_make(start_ms, again.id);
    EXPECT_STATUS(admit(&f, &record, &result), STATUS_OK, f.err);
    EXPECT_STATUS(admit(&f, &again, &result), STATUS_ALREADY_EXISTS, f.err);
    prune(&f, (struct store_prune){.before_us = UINT64_MAX, .count_max = 10});
    EXPECT_STATUS(admit(&f, &again, &result), STATUS_OK, f.err);
    EXPECT(!result.existing);
    end(&f);
}

TEST(statistics_count)
{
    struct fixture f;
    REQUIRE(begin(&f));
    struct store_statistics before = statistics(&f);
    EXPECT(before.records == 0 && before.oldest_us == 0);
    put_variety(&f, 31);
    struct store_statistics after = statistics(&f);
    EXPECT_INT(after.records, 31);
    EXPECT(after.oldest_us == start_ms * 1000);
    EXPECT_INT(after.by_state[RECORD_PENDING], 6);
    EXPECT_INT(after.by_state[RECORD_SUCCEEDED], 5);
    EXPECT_INT(after.by_state[RECORD_EXPIRED], 5);
    end(&f);
}

/* How far a kind gets below the size at once is its own: PostgreSQL frees room later. */
TEST(too_large_a_store_loses_its_oldest_records)
{
    struct fixture f;
    REQUIRE(begin(&f));
    char *big CLEANUP(mem_freep) = mem_new_zeroed(1, 100000);
    struct record found, waits = record_at(start_ms), newest = waits;
    waits.state = RECORD_RUNNING;
    EXPECT_STATUS(put(&f, &waits, 1), STATUS_OK, f.err);
    for (uint64_t i = 0; i < 60; i++) {
        newest = record_at(start_ms + i);
        newest.input.bytes = (struct str){big, 100000};
        EXPECT_STATUS(put(&f, &newest, 1), STATUS_OK, f.err);
    }
    uint64_t bytes = statistics(&f).bytes;
    struct store_prune result =
        prune(&f, (struct store_prune){.bytes_max = bytes * 2, .count_max = 1000});
    EXPECT(result.deleted == 0 && !result.more);
    result = prune(&f, (struct store_prune){.bytes_max = bytes - 1000000, .count_max = 5});
    EXPECT(result.deleted == 5 && result.more);
    result = prune(&f, (struct store_prune){.bytes_max = bytes - 1000000, .count_max = 1000});
    EXPECT(result.deleted >= 3 && result.deleted <= 20 && !result.more);
    EXPECT_STATUS(get(&f, newest.id, &found), STATUS_OK, f.err);
    EXPECT_STATUS(get(&f, waits.id, &found), STATUS_OK, f.err);
    EXPECT_INT(count_of(&f, (struct store_filter){0}), 61 - 5 - (int)result.deleted);
    end(&f);
}

/* --- chains ----------------------------------------------------------------------------------- */

static enum status fail_task(struct database_task *task, struct database_session *session,
                             struct error *err)
{
    (void)task, (void)session;
    return fail(err, STATUS_ABORTED, "on purpose");
}

static void ignore_done(struct store_call *call, enum status status, const struct error *err)
{
    (void)call, (void)status, (void)err;
}

TEST(a_chain_that_fails_leaves_no_record)
{
    struct fixture f;
    if (!kind_commits_chains()) return;
    REQUIRE(begin(&f));
    struct record record = record_at(start_ms), found;
    struct store_call call = {.operation = STORE_PUT, .done = ignore_done, .put = {&record, 1}};
    struct database_task fails = {.run = fail_task};
    EXPECT_STATUS(store_call_prepare(f.store, &call, &f.err), STATUS_OK, f.err);
    call.task.together = &fails;
    EXPECT_STATUS(database_run(store_database(f.store), &call.task, &f.err), STATUS_ABORTED, f.err);
    EXPECT_STATUS(get(&f, record.id, &found), STATUS_NOT_FOUND, f.err);
    end(&f);
}
