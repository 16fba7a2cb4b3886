#include "db/sqlite.h"
#include "jobs/jobs.c"
#include "queue/queue_sqlite.h"
#include "store/store_sqlite.h"
#include "test.h"

#include <unistd.h>

static struct record record_with(struct str body, struct str group)
{
    struct record record = {
        .id = "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        .model = STR("doubleit"),
        .version = STR("3"),
        .trace_id = STR("0af7651916cd43dd8448eb211c80319c"),
        .group = group,
        .priority = 2,
        .input = {.bytes = body,
                  .type = STR("application/octet-stream"),
                  .header_size = 17,
                  .keep = RECORD_KEEP_INLINE},
    };
    return record;
}

/* As a queue hands it back. */
static struct queue_message received(struct job_message *job)
{
    return (struct queue_message){
        .id = job->message.id,
        .body = job->message.body,
        .attributes = job->attributes,
        .attribute_count = job->message.attribute_count,
        .group = job->message.group,
    };
}

TEST(a_message_id_is_the_records_as_a_uuid)
{
    char id[JOB_MESSAGE_ID_SIZE + 1];
    job_message_id("00000000000000000000000000", id);
    EXPECT_TEXT(id, "00000000-0000-0000-0000-000000000000");
    job_message_id("7ZZZZZZZZZZZZZZZZZZZZZZZZZ", id);
    EXPECT_TEXT(id, "ffffffff-ffff-ffff-ffff-ffffffffffff");
    job_message_id("01ARZ3NDEKTSV4RRFFQ69G5FAV", id);
    EXPECT_TEXT(id, "01563e3a-b5d3-d676-4c61-efb99302bd5b");
}

TEST(a_ticket_says_what_the_record_did)
{
    struct record record = record_with(STR("{}"), STR_EMPTY);
    struct job_message job;
    struct job_ticket ticket;
    job_message_make(&job, &record, 1000, 0);
    struct queue_message message = received(&job);
    REQUIRE(job_ticket_read(&message, &ticket));
    EXPECT_STR(ticket.job, str_of(record.id));
    EXPECT_STR(ticket.model, record.model);
    EXPECT_STR(ticket.version, record.version);
    EXPECT_STR(ticket.type, record.input.type);
    EXPECT_STR(ticket.trace_id, record.trace_id);
    EXPECT_INT(ticket.header_size, 17);
    EXPECT(!ticket.input_in_record);
    EXPECT_STR(message.body, STR("{}"));
    EXPECT_INT(job.message.priority, 2);
    for (size_t i = 1; i < message.attribute_count; i++)
        EXPECT(str_compare(message.attributes[i - 1].name, message.attributes[i].name) < 0);
}

TEST(a_large_input_stays_in_the_record)
{
    char *bytes = MEM_NEW_ARRAY(char, JOB_BODY_IN_MESSAGE_MAX + 1);
    struct record record = record_with((struct str){bytes, JOB_BODY_IN_MESSAGE_MAX}, STR_EMPTY);
    struct job_message job;
    struct job_ticket ticket;
    job_message_make(&job, &record, 1000, 0);
    struct queue_message message = received(&job);
    REQUIRE(job_ticket_read(&message, &ticket));
    EXPECT(!ticket.input_in_record);
    record.input.bytes.size++;
    job_message_make(&job, &record, 1000, 0);
    message = received(&job);
    REQUIRE(job_ticket_read(&message, &ticket));
    EXPECT(ticket.input_in_record);
    EXPECT(message.body.size > 0 && message.body.size < 10);
    mem_free(bytes);
}

TEST(a_retry_is_another_message_of_the_same_job)
{
    struct record record = record_with(STR("{}"), STR("g"));
    struct job_message first, again;
    job_message_make(&first, &record, 1000, 0);
    job_message_make(&again, &record, 1000, 1);
    EXPECT(!str_equal(first.message.id, again.message.id));
    EXPECT(!str_equal(first.message.deduplication_id, again.message.deduplication_id));
    EXPECT_STR(job_queue(&record), STR(JOBS_QUEUE_FIFO));
    EXPECT_INT(first.message.delay_ms, -1);
    EXPECT_INT(first.message.priority, 0);
}

TEST(a_start_to_come_is_a_delay)
{
    struct record record = record_with(STR("{}"), STR_EMPTY);
    struct job_message job;
    record.start_us = 5000 * 1000;
    job_message_make(&job, &record, 2000, 0);
    EXPECT_INT(job.message.delay_ms, 3000);
    job_message_make(&job, &record, 6000, 0);
    EXPECT_INT(job.message.delay_ms, 0);
    EXPECT_STR(job_queue(&record), STR(JOBS_QUEUE));
}

TEST(what_is_no_ticket_is_told_apart)
{
    struct job_ticket ticket = {.header_size = 5};
    struct queue_attribute attributes[] = {
        {STR("header-size"), STR("String"), STR("x")},
        {STR("job"), STR("String"), STR("01ARZ3NDEKTSV4RRFFQ69G5FAV")},
        {STR("model"), STR("String"), STR("m")},
    };
    struct queue_message message = {.attributes = attributes, .attribute_count = 3};
    EXPECT(!job_ticket_read(&message, &ticket));
    attributes[0].value = STR("7");
    EXPECT(job_ticket_read(&message, &ticket));
    attributes[1].value = STR("01ARZ3NDEKTSV4RRFFQ69G5FA");
    EXPECT(!job_ticket_read(&message, &ticket));
    message.attribute_count = 0;
    EXPECT(!job_ticket_read(&message, &ticket));
}

TEST(a_key_stands_for_model_and_input)
{
    struct record a = record_with(STR("{\"a\":1}"), STR_EMPTY), b = a, c = a, d = a;
    c.input.bytes = STR("{\"a\":2}");
    d.version = STR_EMPTY;
    b.priority = 9; /* how it is run is not part of it */
    struct record *all[] = {&a, &b, &c, &d};
    for (size_t i = 0; i < COUNT_OF(all); i++) hash_input(all[i]);
    EXPECT(memcmp(a.key_hash, b.key_hash, SHA256_SIZE) == 0);
    EXPECT(memcmp(a.key_hash, c.key_hash, SHA256_SIZE) != 0);
    EXPECT(memcmp(a.key_hash, d.key_hash, SHA256_SIZE) != 0);
}

TEST(the_dead_letter_queue_is_named_after_its_queue)
{
    char name[QUEUE_NAME_MAX + 1];
    print_dead_name(STR(JOBS_QUEUE), name);
    EXPECT_TEXT(name, JOBS_DEAD);
    print_dead_name(STR(JOBS_QUEUE_FIFO), name);
    EXPECT_TEXT(name, JOBS_DEAD_FIFO);
    print_dead_name(STR(JOBS_CALLBACKS), name);
    EXPECT_TEXT(name, JOBS_CALLBACKS_DEAD);
}

static struct job_submission submission_of(struct str body, const struct record_payload *kept)
{
    struct job_submission submission = {.record = record_with(body, STR_EMPTY), .kept = kept};
    submission.record.key = STR("k");
    hash_input(&submission.record);
    job_message_make(&submission.message, &submission.record, 1000, 0);
    reduce_input(&submission);
    return submission;
}

TEST(what_may_not_be_kept_is_in_the_message_alone)
{
    const struct record_payload kept = {.bytes = STR("{\"ssn\":\"[redacted]\"}"),
                                        .keep = RECORD_KEEP_INLINE,
                                        .size = 9,
                                        .hashed = true};
    struct record plain = record_with(STR("{\"ssn\":1}"), STR_EMPTY);
    struct job_submission submission = submission_of(plain.input.bytes, &kept);
    EXPECT_STR(submission.message.message.body, STR("{\"ssn\":1}"));
    EXPECT_STR(submission.record.input.bytes, kept.bytes);
    EXPECT(!submission.record.loan.bytes.data);
    hash_input(&plain);
    EXPECT(memcmp(submission.record.key_hash, plain.key_hash, SHA256_SIZE) == 0);
}

TEST(a_large_input_that_may_not_be_kept_is_on_loan)
{
    char *bytes = MEM_NEW_ARRAY(char, JOB_BODY_IN_MESSAGE_MAX + 1);
    const struct record_payload kept = {.keep = RECORD_KEEP_OMITTED};
    struct str body = {bytes, JOB_BODY_IN_MESSAGE_MAX + 1};
    struct job_submission submission = submission_of(body, &kept);
    EXPECT(!submission.record.input.bytes.data);
    EXPECT(submission.record.loan.bytes.data == bytes);
    EXPECT_INT(submission.record.loan.bytes.size, body.size);
    EXPECT_INT(submission.record.loan.header_size, 17);
    EXPECT(record_whole_input(&submission.record) == &submission.record.loan);
    mem_free(bytes);
}

TEST(what_may_be_kept_stays_in_the_record)
{
    const struct record_payload kept = {.bytes = STR("{}"), .keep = RECORD_KEEP_INLINE};
    struct job_submission submission = submission_of(STR("{}"), &kept);
    EXPECT(record_whole_input(&submission.record) == &submission.record.input);
    EXPECT_INT(submission.record.input.header_size, 17);
    submission = submission_of(STR("{}"), NULL);
    EXPECT(record_whole_input(&submission.record) == &submission.record.input);
}

/* --- before its queues are there ---------------------------------------------------------------
 */

struct submitted {
    _Atomic bool over;
    enum status status;
    struct error err;
};

static void note_submitted(struct job_submission *submission, enum status status,
                           const struct error *err)
{
    struct submitted *submitted = submission->context;
    submitted->status = status;
    if (status != STATUS_OK) submitted->err = *err;
    submitted->over = true;
}

static void submit_and_wait(struct jobs *jobs, struct submitted *ret_submitted)
{
    struct job_submission submission = {
        .jobs = jobs,
        .record = {.model = STR("doubleit"),
                   .group = STR("g"),
                   .input = {.bytes = STR("{}"), .type = STR("application/json")}},
        .done = note_submitted,
        .context = ret_submitted,
    };
    *ret_submitted = (struct submitted){0};
    job_submit(&submission);
    while (!ret_submitted->over) (void)usleep(1000);
    job_submission_clear(&submission);
}

/* A store is asked as soon as it is open: that is no mistake of the client's. */
TEST(a_job_that_comes_before_its_queue_is_told_to_try_again)
{
    char directory[] = "/tmp/slipway-test-jobs.XXXXXX", path[64], command[64];
    struct error err;
    struct database *database = NULL;
    struct queue_store *queues = NULL;
    struct store *store = NULL;
    struct submitted submitted;
    REQUIRE(mkdtemp(directory) != NULL);
    (void)snprintf(path, sizeof path, "%s/data.db", directory);
    REQUIRE(sqlite_database_open(path, &(struct sqlite_options){0}, &(struct database_options){0},
                                 &database, &err) == STATUS_OK &&
            queue_sqlite_new(database, &queues, &err) == STATUS_OK &&
            store_sqlite_new(database, &store, &err) == STATUS_OK);
    struct jobs *jobs = jobs_new(&(struct jobs_options){0});
    jobs_attach(jobs, queues, store);
    submit_and_wait(jobs, &submitted);
    EXPECT_INT(submitted.status, STATUS_UNAVAILABLE);
    EXPECT(strstr(submitted.err.message, "'slipway-jobs.fifo'"));
    EXPECT(strstr(submitted.err.message, "try again"));
    EXPECT_STATUS(jobs_prepare(jobs, &err), STATUS_OK, err);
    submit_and_wait(jobs, &submitted);
    EXPECT_STATUS(submitted.status, STATUS_OK, submitted.err);
    jobs_free(jobs);
    queue_store_free(queues);
    store_free(store);
    database_free(database);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", directory);
    EXPECT(system(command) == 0);
}
