/*
 * AddPermission and RemovePermission: statements of the policy that the queue keeps. Nothing here
 * grants or denies anything; it is kept and told back.
 */
#include "server/sqs_job.h"
#include "server/sqs_settings.h"

enum {
    LABEL_MAX = 80,
    ACTIONS_MAX = 7, /* of one statement, as at AWS */
    ACCOUNT_DIGITS = 12,
    STATEMENTS_MAX = 20,
    POLICY_SIZE_MAX = 64 * 1024,
};

struct statement {
    struct str sid;
    struct str json;
};

struct policy {
    struct statement statements[STATEMENTS_MAX];
    size_t count;
};

static struct str find_sid(struct str json, struct arena *arena)
{
    struct json_reader reader;
    struct error ignored;
    struct str key, sid = STR_EMPTY;
    bool more;
    json_reader_init(&reader, json, arena);
    if (json_open_object(&reader, &ignored) != STATUS_OK) return sid;
    while (json_next_member(&reader, &key, &more, &ignored) == STATUS_OK && more) {
        bool found = str_equal(key, STR("Sid")) && json_peek(&reader) == JSON_STRING;
        enum status status =
            found ? json_read_string(&reader, &sid, &ignored) : json_skip(&reader, &ignored);
        if (status != STATUS_OK) break;
    }
    return sid;
}

static bool read_statements(struct json_reader *reader, struct arena *arena, struct policy *policy)
{
    struct error ignored;
    bool more;
    if (json_peek(reader) != JSON_ARRAY || json_open_array(reader, &ignored) != STATUS_OK)
        return false;
    while (json_next_element(reader, &more, &ignored) == STATUS_OK) {
        struct str raw;
        if (!more) return true;
        if (policy->count == STATEMENTS_MAX || json_read_raw(reader, &raw, &ignored) != STATUS_OK)
            return false;
        policy->statements[policy->count++] = (struct statement){find_sid(raw, arena), raw};
    }
    return false;
}

/* A policy that somebody set may be anything; what is no list of statements is refused. */
static bool read_policy(struct str text, struct arena *arena, struct policy *policy)
{
    struct json_reader reader;
    struct error ignored;
    struct str key;
    bool more;
    policy->count = 0;
    if (text.size == 0) return true;
    json_reader_init(&reader, text, arena);
    if (json_open_object(&reader, &ignored) != STATUS_OK) return false;
    while (json_next_member(&reader, &key, &more, &ignored) == STATUS_OK) {
        if (!more) return true;
        bool read = str_equal(key, STR("Statement")) ? read_statements(&reader, arena, policy)
                                                     : json_skip(&reader, &ignored) == STATUS_OK;
        if (!read) return false;
    }
    return false;
}

/* One is a text, several are a list: as AWS writes it. */
static void write_list(struct json_writer *writer, struct str name, const struct sqs_names *names,
                       const struct str around[2])
{
    char text[ACCOUNT_DIGITS + QUEUE_ATTRIBUTE_NAME_MAX + 32];
    json_add_name(writer, name);
    if (names->count > 1) json_begin_array(writer);
    for (size_t i = 0; i < names->count; i++) {
        int size = snprintf(text, sizeof text, "%.*s%.*s%.*s", STR_ARGS(around[0]),
                            STR_ARGS(names->items[i]), STR_ARGS(around[1]));
        json_add_string(writer, (struct str){text, MIN((size_t)size, sizeof text - 1)});
    }
    if (names->count > 1) json_end_array(writer);
}

static void write_statement(struct json_writer *writer, const struct sqs_job *job, struct str arn)
{
    const struct sqs_request *request = &job->request;
    const struct str principal[] = {STR("arn:aws:iam::"), STR(":root")};
    const struct str action[] = {STR("SQS:"), STR_EMPTY};
    json_begin_object(writer);
    json_put_string(writer, STR("Sid"), request->label);
    json_put_string(writer, STR("Effect"), STR("Allow"));
    json_add_name(writer, STR("Principal"));
    json_begin_object(writer);
    write_list(writer, STR("AWS"), &request->accounts, principal);
    json_end_object(writer);
    write_list(writer, STR("Action"), &request->actions, action);
    json_put_string(writer, STR("Resource"), arn);
    json_end_object(writer);
}

/* The statements but the one labelled, and with `adds` a new one. */
static void write_policy(const struct sqs_job *job, const struct policy *policy, bool adds,
                         struct buffer *text)
{
    struct str arn = sqs_arn_of(&job->site, job->queue, job->arena);
    struct json_writer writer;
    json_writer_init(&writer, text);
    json_begin_object(&writer);
    json_put_string(&writer, STR("Version"), STR("2008-10-17"));
    char id[256];
    int size = snprintf(id, sizeof id, "%.*s/SQSDefaultPolicy", STR_ARGS(arn));
    json_put_string(&writer, STR("Id"), (struct str){id, MIN((size_t)size, sizeof id - 1)});
    json_add_name(&writer, STR("Statement"));
    json_begin_array(&writer);
    for (size_t i = 0; i < policy->count; i++)
        if (!str_equal(policy->statements[i].sid, job->request.label))
            json_add_raw(&writer, policy->statements[i].json);
    if (adds) write_statement(&writer, job, arn);
    json_end_array(&writer);
    json_end_object(&writer);
}

static bool has_label(const struct policy *policy, struct str label)
{
    for (size_t i = 0; i < policy->count; i++)
        if (str_equal(policy->statements[i].sid, label)) return true;
    return false;
}

static enum status change_policy(struct sqs_job *job, bool adds, struct sqs_failure *failure)
{
    struct queue_settings *settings = &job->description.settings;
    struct str label = job->request.label;
    struct buffer text CLEANUP(buffer_clear);
    struct policy policy;
    buffer_init(&text, POLICY_SIZE_MAX);
    if (!read_policy(sqs_other_find(settings, STR("Policy"), job->arena), job->arena, &policy))
        return SQS_FAIL(failure, INVALID_PARAMETER,
                        "The policy of this queue is not one that statements can be added to or "
                        "taken from.");
    if (adds && has_label(&policy, label))
        return sqs_fail_value(failure, label, "Label", "Already exists.");
    if (!adds && !has_label(&policy, label))
        return sqs_fail_value(failure, label, "Label", "can't find label.");
    if (adds && policy.count == STATEMENTS_MAX)
        return SQS_FAIL(failure, OVER_LIMIT, "%d statements are the most of a policy.",
                        STATEMENTS_MAX);
    if (adds || policy.count > 1) write_policy(job, &policy, adds, &text);
    if (buffer_failed(&text))
        return SQS_FAIL(failure, OVER_LIMIT, "%d bytes are the most of a policy.", POLICY_SIZE_MAX);
    struct sqs_pair pair = {STR("Policy"), buffer_view(&text)};
    return sqs_other_put(settings, &pair, job->arena, failure);
}

static enum status check_accounts(const struct sqs_names *accounts, struct sqs_failure *failure)
{
    if (accounts->count == 0) return sqs_fail_missing(failure, "AWSAccountIds");
    for (size_t i = 0; i < accounts->count; i++) {
        struct str account = accounts->items[i];
        bool valid = account.size == ACCOUNT_DIGITS;
        for (size_t at = 0; valid && at < account.size; at++)
            valid = account.data[at] >= '0' && account.data[at] <= '9';
        if (!valid) return sqs_fail_value(failure, account, "PrincipalId", "Unable to verify.");
    }
    return STATUS_OK;
}

static enum status check_actions(const struct sqs_names *actions, struct sqs_failure *failure)
{
    static const char *const allowed[] = {"*",
                                          "SendMessage",
                                          "ReceiveMessage",
                                          "DeleteMessage",
                                          "ChangeMessageVisibility",
                                          "GetQueueAttributes",
                                          "GetQueueUrl",
                                          "ListDeadLetterSourceQueues",
                                          "PurgeQueue"};
    if (actions->count == 0) return sqs_fail_missing(failure, "Actions");
    if (actions->count > ACTIONS_MAX)
        return SQS_FAIL(failure, OVER_LIMIT, "%zu Actions were found, maximum allowed is %d.",
                        actions->count, ACTIONS_MAX);
    for (size_t i = 0; i < actions->count; i++) {
        struct str action = actions->items[i];
        size_t at = 0;
        while (at < COUNT_OF(allowed) && !str_equal(action, str_of(allowed[at]))) at++;
        if (at < COUNT_OF(allowed)) continue;
        action.size = MIN(action.size, (size_t)LABEL_MAX);
        return SQS_FAIL(failure, INVALID_PARAMETER,
                        "Value SQS:%.*s for parameter ActionName is invalid. Reason: Please refer "
                        "to the appropriate WSDL for a list of valid actions. ",
                        STR_ARGS(action));
    }
    return STATUS_OK;
}

static enum status check_request(const struct sqs_request *request, bool adds,
                                 struct sqs_failure *failure)
{
    if (request->label.size == 0) return sqs_fail_missing(failure, "Label");
    if (request->label.size > LABEL_MAX)
        return sqs_fail_value(failure, request->label, "Label",
                              "Can only include alphanumeric characters, hyphens, or underscores. "
                              "1 to 80 in length");
    if (!adds) return STATUS_OK;
    TRY(check_accounts(&request->accounts, failure));
    return check_actions(&request->actions, failure);
}

static enum status change_next(struct sqs_job *job, bool adds, bool *ret_ask,
                               struct sqs_failure *failure)
{
    *ret_ask = job->step < 2;
    switch (job->step++) {
    case 0:
        TRY(check_request(&job->request, adds, failure));
        TRY(sqs_take_queue(job, failure));
        sqs_ask(job, QUEUE_DESCRIBE, job->queue);
        return STATUS_OK;
    case 1:
        TRY(sqs_check_outcome(job, failure));
        job->description = job->call.description;
        TRY(change_policy(job, adds, failure));
        sqs_ask(job, QUEUE_CONFIGURE, job->queue);
        job->call.description = job->description;
        job->call.description.name = job->queue;
        return STATUS_OK;
    default: return sqs_check_outcome(job, failure);
    }
}

enum status sqs_allow_next(struct sqs_job *job, bool *ret_ask, struct sqs_failure *failure)
{
    return change_next(job, true, ret_ask, failure);
}

enum status sqs_disallow_next(struct sqs_job *job, bool *ret_ask, struct sqs_failure *failure)
{
    return change_next(job, false, ret_ask, failure);
}
