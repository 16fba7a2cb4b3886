/* Queues, messages and the way in. */
#include "jobs/jobs.h"

#include "base/mem.h"
#include "base/num.h"

enum {
    ATTEMPTS_DEFAULT = 5,
    VISIBILITY_MS_DEFAULT = 30 * 1000,
    CALLBACK_TRIES_DEFAULT = 10,
    CALLBACK_TIMEOUT_S_DEFAULT = 10,
    PREPARE_MEMORY_MAX = 1024 * 1024,
};

struct jobs *jobs_new(const struct jobs_options *options)
{
    struct jobs *jobs = MEM_NEW(struct jobs);
    jobs->options = *options;
    jobs->bell = bell_new();
    tally_init(&jobs->tally);
    if (!jobs->options.attempts_max) jobs->options.attempts_max = ATTEMPTS_DEFAULT;
    if (!jobs->options.visibility_ms) jobs->options.visibility_ms = VISIBILITY_MS_DEFAULT;
    if (!jobs->options.callback_tries) jobs->options.callback_tries = CALLBACK_TRIES_DEFAULT;
    if (!jobs->options.callback_timeout_ns)
        jobs->options.callback_timeout_ns = CALLBACK_TIMEOUT_S_DEFAULT * NS_PER_S;
    return jobs;
}

void jobs_attach(struct jobs *jobs, struct queue_store *queues, struct store *store)
{
    assert(!jobs->store);
    jobs->queues = queues;
    jobs->store = store;
}

bool jobs_are_ready(struct jobs *jobs)
{
    return atomic_load_explicit(&jobs->ready, memory_order_acquire);
}

void jobs_free(struct jobs *jobs)
{
    if (!jobs) return;
    bell_free(jobs->bell);
    tally_clear(&jobs->tally);
    mem_free(jobs);
}

uint64_t jobs_now_ms(struct jobs *jobs)
{
    return database_now_ms(store_database(jobs->store));
}

/* --- queues ----------------------------------------------------------------------------------- */

static enum status create(struct jobs *jobs, const struct queue_settings *settings, struct str name,
                          struct error *err)
{
    struct arena arena;
    arena_init(&arena, PREPARE_MEMORY_MAX);
    struct queue_call call = {.operation = QUEUE_CREATE, .queue = name, .arena = &arena};
    call.description.name = name;
    call.description.settings = *settings;
    enum status status = queue_run(jobs->queues, &call, err);
    arena_clear(&arena);
    /* Settings that a person has changed since are that person's. */
    if (status == STATUS_ALREADY_EXISTS) return STATUS_OK;
    return fail_while(err, status, "creating the queue '%.*s'", STR_ARGS(name));
}

static bool is_fifo(struct str name)
{
    return str_ends_with(name, STR(".fifo"));
}

static void print_dead_name(struct str name, char dead[QUEUE_NAME_MAX + 1])
{
    bool fifo = is_fifo(name);
    struct str stem = {name.data, name.size - (fifo ? strlen(".fifo") : 0)};
    (void)snprintf(dead, QUEUE_NAME_MAX + 1, "%.*s-dead%s", STR_ARGS(stem), fifo ? ".fifo" : "");
}

enum status jobs_create_queue(struct jobs *jobs, struct str name, uint32_t max_receive_count,
                              struct error *err)
{
    struct queue_settings settings;
    char dead[QUEUE_NAME_MAX + 1];
    if (name.size + strlen("-dead") > QUEUE_NAME_MAX)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "queue name '%.*s' is too long: with '-dead' behind it, it may have %d "
                    "characters",
                    STR_ARGS(name), QUEUE_NAME_MAX);
    print_dead_name(name, dead);
    queue_settings_init(&settings, is_fifo(name));
    settings.retention_s = QUEUE_RETENTION_S_MAX;
    TRY(create(jobs, &settings, str_of(dead), err));
    settings.visibility_s = (uint32_t)MAX(jobs->options.visibility_ms / 1000, UINT64_C(1));
    settings.max_receive_count = max_receive_count;
    memcpy(settings.dead_letter, dead, sizeof dead);
    return create(jobs, &settings, name, err);
}

bool jobs_owns_queue(struct str name)
{
    const struct str names[] = {STR(JOBS_QUEUE),     STR(JOBS_QUEUE_FIFO),
                                STR(JOBS_DEAD),      STR(JOBS_DEAD_FIFO),
                                STR(JOBS_CALLBACKS), STR(JOBS_CALLBACKS_DEAD)};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (str_equal(names[i], name)) return true;
    return false;
}

enum status jobs_prepare(struct jobs *jobs, struct error *err)
{
    /* The worker buries a job whose attempts are over; the queue's own limit is for a worker that
     * does not live long enough to. */
    uint32_t receives = jobs->options.attempts_max + JOB_ATTEMPTS_MARGIN;
    TRY(jobs_create_queue(jobs, STR(JOBS_QUEUE), receives, err));
    TRY(jobs_create_queue(jobs, STR(JOBS_QUEUE_FIFO), receives, err));
    TRY(jobs_create_queue(jobs, STR(JOBS_CALLBACKS),
                          jobs->options.callback_tries + JOB_ATTEMPTS_MARGIN, err));
    atomic_store_explicit(&jobs->ready, true, memory_order_release);
    return STATUS_OK;
}

struct str job_queue(const struct record *record)
{
    return record->group.size ? STR(JOBS_QUEUE_FIFO) : STR(JOBS_QUEUE);
}

struct str job_dead_queue(const struct record *record)
{
    return record->group.size ? STR(JOBS_DEAD_FIFO) : STR(JOBS_DEAD);
}

/* --- the message ------------------------------------------------------------------------------ */

/* The value of a digit of an id, whose validity is the caller's promise. */
static unsigned digit_value(char digit)
{
    static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    const char *found = strchr(digits, digit);
    assert(found && digit);
    return (unsigned)(found - digits);
}

void job_message_id(const char *record_id, char ret_id[JOB_MESSAGE_ID_SIZE + 1])
{
    uint128 value = 0;
    for (size_t i = 0; i < RECORD_ID_SIZE; i++) value = value << 5 | digit_value(record_id[i]);
    uint64_t high = (uint64_t)(value >> 64), low = (uint64_t)value;
    (void)snprintf(ret_id, JOB_MESSAGE_ID_SIZE + 1, "%08x-%04x-%04x-%04x-%012llx",
                   (unsigned)(high >> 32), (unsigned)(high >> 16 & 0xFFFF),
                   (unsigned)(high & 0xFFFF), (unsigned)(low >> 48),
                   (unsigned long long)(low & UINT64_C(0xFFFFFFFFFFFF)));
}

struct str job_attribute(const struct queue_message *message, struct str name)
{
    for (size_t i = 0; i < message->attribute_count; i++)
        if (str_equal(message->attributes[i].name, name)) return message->attributes[i].value;
    return (struct str){NULL, 0};
}

bool job_ticket_read(const struct queue_message *message, struct job_ticket *ret_ticket)
{
    struct str header_size = job_attribute(message, STR("header-size"));
    struct job_ticket ticket = {
        .job = job_attribute(message, STR("job")),
        .model = job_attribute(message, STR("model")),
        .version = job_attribute(message, STR("version")),
        .type = job_attribute(message, STR("type")),
        .trace_id = job_attribute(message, STR("trace")),
        .input_in_record = job_attribute(message, STR("input")).data != NULL,
    };
    if (!record_id_is_valid(ticket.job) || !ticket.model.data) return false;
    if (header_size.data && !num_read_u64(header_size, &ticket.header_size)) return false;
    *ret_ticket = ticket;
    return true;
}

/* Attributes are kept in order of their names, and must not be empty. */
static void add_attribute(struct job_message *job, const char *name, struct str value)
{
    if (value.size == 0) return;
    assert(job->message.attribute_count < JOB_ATTRIBUTES);
    job->attributes[job->message.attribute_count++] =
        (struct queue_attribute){.name = str_of(name), .type = STR("String"), .value = value};
}

static void add_attributes(struct job_message *job, const struct record *record, bool in_record)
{
    int digits = snprintf(job->header_size, sizeof job->header_size, "%llu",
                          (unsigned long long)record->input.header_size);
    struct str header_size = {job->header_size, record->input.header_size ? (size_t)digits : 0};
    add_attribute(job, "header-size", header_size);
    add_attribute(job, "input", in_record ? STR("record") : STR_EMPTY);
    add_attribute(job, "job", str_of(record->id));
    add_attribute(job, "model", record->model);
    add_attribute(job, "trace", record->trace_id);
    add_attribute(job, "type", record->input.type);
    add_attribute(job, "version", record->version);
    job->message.attributes = job->attributes;
}

/* A group's jobs wait at the head of their group, so theirs is the worker's to keep. */
static int64_t delay_ms(const struct record *record, uint64_t now_ms)
{
    uint64_t start_ms = record->start_us / 1000;
    if (record->group.size || start_ms <= now_ms) return record->group.size ? -1 : 0;
    return (int64_t)MIN(start_ms - now_ms, (uint64_t)JOB_DELAY_MS_MAX);
}

static bool lies_in_record(struct str input)
{
    return input.size == 0 || input.size > JOB_BODY_IN_MESSAGE_MAX;
}

void job_message_make(struct job_message *job, const struct record *record, uint64_t now_ms,
                      uint32_t attempt)
{
    char fresh[RECORD_ID_SIZE + 1];
    bool in_record = lies_in_record(record->input.bytes);
    if (attempt > 0) record_id_make(now_ms, fresh);
    memset(job, 0, sizeof *job);
    job_message_id(attempt > 0 ? fresh : record->id, job->id);
    (void)snprintf(job->deduplication_id, sizeof job->deduplication_id, "%s-%u", record->id,
                   attempt);
    add_attributes(job, record, in_record);
    job->message.trace_header = STR_EMPTY;
    job->message.body = in_record ? STR("-") : record->input.bytes;
    job->message.group = record->group.size ? record->group : STR_EMPTY;
    job->message.deduplication_id = record->group.size ? str_of(job->deduplication_id) : STR_EMPTY;
    job->message.delay_ms = delay_ms(record, now_ms);
    job->message.priority = record->group.size ? 0 : record->priority;
    job->message.id = str_of(job->id);
}

void job_notice_add(struct job_notice *notice, const struct record *record, struct chain *chain,
                    struct arena *arena)
{
    if (record->callback.size == 0) return;
    struct queue_call *send = chain_add_queue(chain);
    notice->attribute = (struct queue_attribute){STR("job"), STR("String"), str_of(record->id)};
    notice->message = (struct queue_new_message){
        .body = str_of(record->id),
        .attributes = &notice->attribute,
        .attribute_count = 1,
        .trace_header = STR_EMPTY,
        .group = STR_EMPTY,
        .deduplication_id = STR_EMPTY,
        .delay_ms = -1,
        .id = STR_EMPTY,
    };
    send->operation = QUEUE_SEND;
    send->queue = STR(JOBS_CALLBACKS);
    send->arena = arena;
    send->send =
        (struct queue_send){.messages = &notice->message, .count = 1, .sent = &notice->sent};
}

/* --- submission ------------------------------------------------------------------------------- */

static void add_size(struct sha256 *hash, uint64_t size)
{
    sha256_add(hash, (struct str){(const char *)&size, sizeof size});
}

/* What a key stands for: the model and its input, however the job is to be run. */
static void hash_input(struct record *record)
{
    const struct str parts[] = {record->model, record->version, record->input.type,
                                record->input.bytes};
    struct sha256 hash;
    sha256_init(&hash);
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        add_size(&hash, parts[i].size);
        sha256_add(&hash, parts[i]);
    }
    add_size(&hash, record->input.header_size);
    sha256_end(&hash, record->key_hash);
}

/* After the message was made and the key's hash: both are of the input as it came. */
static void reduce_input(struct job_submission *submission)
{
    struct record *record = &submission->record;
    if (!submission->kept || record_payload_is_whole(submission->kept)) return;
    if (lies_in_record(record->input.bytes)) record->loan = record->input;
    record->input = *submission->kept;
}

static void complete_record(struct job_submission *submission, uint64_t now_ms)
{
    struct record *record = &submission->record;
    record_id_make(now_ms, record->id);
    record->source = RECORD_SOURCE_JOB;
    record->state = RECORD_PENDING;
    record->received_us = record->queued_us = now_ms * 1000;
    record->queue = job_queue(record);
    record->input.size = record->input.bytes.size;
    record->input.keep = RECORD_KEEP_INLINE;
    record->output.keep = RECORD_KEEP_OMITTED;
    if (record->key.size) hash_input(record);
    job_message_make(&submission->message, record, now_ms, 0);
    record->message_id = str_of(submission->message.id);
    reduce_input(submission);
}

static void tell(struct job_submission *submission, enum status status, const struct error *err)
{
    if (status == STATUS_OK && !submission->existing)
        tally_add(&submission->jobs->tally, submission->record.model, JOB_COUNT_SUBMITTED, 1);
    submission->done(submission, status, err);
}

static void gave_up(struct chain *chain, enum status status UNUSED, const struct error *err UNUSED)
{
    struct job_submission *submission = CONTAINER_OF(chain, struct job_submission, chain);
    tell(submission, submission->failure.status, &submission->failure);
}

/* Where record and message are no transaction, a record whose message was refused must not wait for
 * ever. */
static void give_up(struct job_submission *submission, const struct error *err)
{
    struct jobs *jobs = submission->jobs;
    submission->failure = *err;
    chain_init(&submission->chain, jobs->store, NULL);
    struct store_call *call = chain_add_store(&submission->chain);
    call->operation = STORE_CHANGE;
    call->change = (struct store_change){
        .id = str_of(submission->record.id),
        .from = 1u << RECORD_PENDING,
        .to = RECORD_FAILED,
        .done_us = jobs_now_ms(jobs) * 1000,
        .set_status = true,
        .status = err->status,
        .error = str_of(submission->failure.message),
        .progress = -1,
    };
    submission->chain.done = gave_up;
    chain_submit(&submission->chain);
}

/* A store is asked for jobs as soon as it is open, and their queues are made right after that. */
static enum status queue_is_missing(const struct job_submission *submission, struct error *err)
{
    return fail(err, STATUS_UNAVAILABLE,
                "the queue '%.*s' of the jobs is not there yet: it is made when a server or worker "
                "starts; try again",
                STR_ARGS(submission->record.queue));
}

static void submitted(struct chain *chain, enum status status, const struct error *err)
{
    struct job_submission *submission = CONTAINER_OF(chain, struct job_submission, chain);
    struct error failure;
    if (status == STATUS_NOT_FOUND) {
        status = queue_is_missing(submission, &failure);
        err = &failure;
    }
    const struct store_call *record = &chain->steps[0].store;
    if (status == STATUS_ALREADY_EXISTS && record->operation == STORE_ADMIT &&
        record->admit.existing) {
        submission->existing = true;
        submission->found = record->admit.found;
        tell(submission, STATUS_OK, NULL);
        return;
    }
    if (status != STATUS_OK && !chain->shared && chain->next == 1)
        give_up(submission, err);
    else
        tell(submission, status, err);
}

void job_submit(struct job_submission *submission)
{
    struct jobs *jobs = submission->jobs;
    struct chain *chain = &submission->chain;
    complete_record(submission, jobs_now_ms(jobs));
    arena_init(&submission->arena, JOB_RECORD_MAX);
    chain_init(chain, jobs->store, jobs->queues);
    struct store_call *record = chain_add_store(chain);
    record->arena = &submission->arena;
    record->operation = submission->record.key.size ? STORE_ADMIT : STORE_PUT;
    if (record->operation == STORE_ADMIT)
        record->admit = (struct store_admit){.record = &submission->record};
    else
        record->put = (struct store_put){.records = &submission->record, .count = 1};
    struct queue_call *send = chain_add_queue(chain);
    send->operation = QUEUE_SEND;
    send->queue = submission->record.queue;
    send->arena = &submission->arena;
    send->send = (struct queue_send){
        .messages = &submission->message.message, .count = 1, .sent = &submission->message.sent};
    chain->done = submitted;
    chain_submit(chain);
}

void job_submission_clear(struct job_submission *submission)
{
    arena_clear(&submission->arena);
}
