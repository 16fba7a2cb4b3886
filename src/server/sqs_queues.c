/* Operations on queues: their life, settings, tags. */
#include "jobs/jobs.h"
#include "server/sqs_job.h"
#include "server/sqs_settings.h"

enum { TAG_NAME_MAX = 128, TAG_VALUE_MAX = 256 };

static enum status no_memory(struct sqs_failure *failure)
{
    return fail(&failure->error, STATUS_EXHAUSTED, "no memory to answer the request");
}

static struct sqs_change change_of(struct sqs_job *job, bool creates)
{
    return (struct sqs_change){job->queue, creates, job->arena};
}

static struct sqs_view view_of(const struct sqs_job *job,
                               const struct queue_description *description)
{
    return (struct sqs_view){.description = description, .site = &job->site, .arena = job->arena};
}

/* Most operations begin by looking at the queue that QueueUrl names. */
static enum status ask_described(struct sqs_job *job, struct sqs_failure *failure)
{
    TRY(sqs_take_queue(job, failure));
    sqs_ask(job, QUEUE_DESCRIBE, job->queue);
    return STATUS_OK;
}

static enum status take_described(struct sqs_job *job, struct sqs_failure *failure)
{
    TRY(sqs_check_outcome(job, failure));
    job->description = job->call.description;
    return STATUS_OK;
}

/* Writes job->description back. */
static void ask_changed(struct sqs_job *job, enum queue_operation operation)
{
    sqs_ask(job, operation, job->queue);
    job->call.description = job->description;
    job->call.description.name = job->queue;
}

/* --- dead-letter queues ------------------------------------------------------------------------
 */

static const struct sqs_pair *find_pair(const struct sqs_pairs *pairs, struct str name)
{
    for (size_t i = 0; i < pairs->count; i++)
        if (str_equal(pairs->items[i].name, name)) return &pairs->items[i];
    return NULL;
}

/* True if the request names a dead-letter queue, which has to be there. */
static bool names_dead_letter(const struct sqs_job *job)
{
    const struct sqs_pair *pair = find_pair(&job->request.attributes, STR("RedrivePolicy"));
    return pair && pair->value.size > 0;
}

static enum status check_dead_letter(const struct sqs_job *job, struct sqs_failure *failure)
{
    const struct sqs_pair *pair = find_pair(&job->request.attributes, STR("RedrivePolicy"));
    assert(pair); /* names_dead_letter has found it */
    if (job->outcome.status == STATUS_NOT_FOUND)
        return sqs_fail_value(failure, pair->value, "RedrivePolicy",
                              "Dead letter target does not exist.");
    TRY(sqs_check_outcome(job, failure));
    if (sqs_redrive_is_allowed(&job->call.description.settings, job->queue, job->arena))
        return STATUS_OK;
    return sqs_fail_value(failure, pair->value, "RedrivePolicy",
                          "Queue does not have permission to use this dead letter queue.");
}

/* What the queue says of settings that only it can judge: who may redrive where. */
static enum status check_changed(const struct sqs_job *job, struct sqs_failure *failure)
{
    const struct sqs_pair *pair = find_pair(&job->request.attributes, STR("RedrivePolicy"));
    enum status status = job->outcome.status;
    bool refused = status == STATUS_INVALID_ARGUMENT || status == STATUS_FAILED_PRECONDITION ||
                   status == STATUS_PERMISSION_DENIED;
    if (pair && refused)
        return sqs_fail_value(failure, pair->value, "RedrivePolicy", job->outcome.message);
    return sqs_check_outcome(job, failure);
}

/* --- tags ------------------------------------------------------------------------------------- */

static enum status check_tag(const struct sqs_pair *tag, struct sqs_failure *failure)
{
    if (tag->name.size < 1 || tag->name.size > TAG_NAME_MAX)
        return SQS_FAIL(failure, INVALID_PARAMETER,
                        "Tag keys must be between 1 and %d characters in length.", TAG_NAME_MAX);
    if (tag->value.size > TAG_VALUE_MAX)
        return SQS_FAIL(failure, INVALID_PARAMETER,
                        "Tag values must be between 0 and %d characters in length.", TAG_VALUE_MAX);
    return STATUS_OK;
}

static void put_tag(struct queue_attribute *tags, size_t *count, const struct sqs_pair *tag)
{
    size_t at = 0;
    while (at < *count && !str_equal(tags[at].name, tag->name)) at++;
    tags[at] = (struct queue_attribute){tag->name, STR_EMPTY, tag->value};
    *count = MAX(*count, at + 1);
}

/* The tags there are and those of the request, of one name the latter. */
static enum status merge_tags(struct sqs_job *job, struct sqs_failure *failure)
{
    const struct sqs_pairs *more = &job->request.tags;
    struct queue_description *description = &job->description;
    struct queue_attribute *tags = ARENA_TRY_ARRAY(job->arena, struct queue_attribute,
                                                   description->tag_count + more->count + 1);
    size_t count = description->tag_count;
    if (!tags) return no_memory(failure);
    for (size_t i = 0; i < count; i++) tags[i] = description->tags[i];
    for (size_t i = 0; i < more->count; i++) {
        TRY(check_tag(&more->items[i], failure));
        put_tag(tags, &count, &more->items[i]);
    }
    if (count > QUEUE_TAGS_MAX)
        return SQS_FAIL(failure, INVALID_PARAMETER, "Too many tags added for queue %.*s.",
                        STR_ARGS(job->queue));
    description->tags = tags;
    description->tag_count = count;
    return STATUS_OK;
}

enum status sqs_tag_next(struct sqs_job *job, bool *ret_ask, struct sqs_failure *failure)
{
    *ret_ask = job->step < 2;
    switch (job->step++) {
    case 0:
        if (job->request.tags.count == 0) return sqs_fail_missing(failure, "Tags");
        return ask_described(job, failure);
    case 1:
        TRY(take_described(job, failure));
        TRY(merge_tags(job, failure));
        ask_changed(job, QUEUE_TAG);
        return STATUS_OK;
    default: return sqs_check_outcome(job, failure);
    }
}

static bool is_named(const struct sqs_names *names, struct str name)
{
    for (size_t i = 0; i < names->count; i++)
        if (str_equal(names->items[i], name)) return true;
    return false;
}

static enum status remove_tags(struct sqs_job *job, struct sqs_failure *failure)
{
    struct queue_description *description = &job->description;
    struct queue_attribute *tags =
        ARENA_TRY_ARRAY(job->arena, struct queue_attribute, description->tag_count + 1);
    size_t count = 0;
    if (!tags) return no_memory(failure);
    for (size_t i = 0; i < description->tag_count; i++)
        if (!is_named(&job->request.tag_keys, description->tags[i].name))
            tags[count++] = description->tags[i];
    description->tags = tags;
    description->tag_count = count;
    return STATUS_OK;
}

enum status sqs_untag_next(struct sqs_job *job, bool *ret_ask, struct sqs_failure *failure)
{
    *ret_ask = job->step < 2;
    switch (job->step++) {
    case 0:
        if (job->request.tag_keys.count == 0) return sqs_fail_missing(failure, "TagKeys");
        return ask_described(job, failure);
    case 1:
        TRY(take_described(job, failure));
        TRY(remove_tags(job, failure));
        ask_changed(job, QUEUE_TAG);
        return STATUS_OK;
    default: return sqs_check_outcome(job, failure);
    }
}

enum status sqs_tags_next(struct sqs_job *job, bool *ret_ask, struct sqs_failure *failure)
{
    *ret_ask = job->step == 0;
    if (job->step++ == 0) return ask_described(job, failure);
    return take_described(job, failure);
}

void sqs_tags_reply(const struct sqs_job *job, struct sqs_out *out)
{
    if (job->description.tag_count == 0) return;
    sqs_out_map_begin(out, "Tags");
    for (size_t i = 0; i < job->description.tag_count; i++)
        sqs_out_map_text(out, "Tag", job->description.tags[i].name, job->description.tags[i].value);
    sqs_out_map_end(out);
}

/* --- a queue's life --------------------------------------------------------------------------- */

enum create_step { CREATE_BEGIN, CREATE_DEAD_LETTER, CREATE_LOOK, CREATE_MAKE };

static enum status begin_create(struct sqs_job *job, struct sqs_failure *failure)
{
    job->queue = job->request.queue_name;
    if (job->queue.size == 0) return sqs_fail_missing(failure, "QueueName");
    struct sqs_change change = change_of(job, true);
    job->description = (struct queue_description){.name = job->queue};
    queue_settings_init(&job->description.settings, sqs_name_is_fifo(job->queue));
    TRY(sqs_settings_apply(&job->request.attributes, &change, &job->description.settings, failure));
    return merge_tags(job, failure);
}

/*
 * A queue of that name is there already: fine if what was asked for is what it has. Attributes that
 * were not named are not compared.
 */
static enum status compare_existing(struct sqs_job *job, struct sqs_failure *failure)
{
    const struct queue_description there = job->call.description;
    struct sqs_view ours = view_of(job, &job->description), theirs = view_of(job, &there);
    const struct sqs_pair *other =
        sqs_settings_difference(&job->request.attributes, &ours, &theirs);
    if (!other) return STATUS_OK;
    return SQS_FAIL(failure, QUEUE_NAME_EXISTS,
                    "A queue already exists with the same name and a different value for attribute "
                    "%.*s",
                    STR_ARGS(other->name));
}

static enum status take_created(struct sqs_job *job, struct sqs_failure *failure)
{
    if (job->outcome.status == STATUS_ABORTED)
        return SQS_FAIL(failure, QUEUE_DELETED_RECENTLY,
                        "You must wait 60 seconds after deleting a queue before you can create "
                        "another with the same name.");
    if (job->outcome.status == STATUS_EXHAUSTED)
        return SQS_FAIL(failure, OVER_LIMIT, "%s", job->outcome.message);
    return check_changed(job, failure);
}

enum status sqs_create_next(struct sqs_job *job, bool *ret_ask, struct sqs_failure *failure)
{
    *ret_ask = true;
    switch ((enum create_step)job->step++) {
    case CREATE_BEGIN:
        TRY(begin_create(job, failure));
        if (names_dead_letter(job)) {
            sqs_ask(job, QUEUE_DESCRIBE, str_of(job->description.settings.dead_letter));
            return STATUS_OK;
        }
        job->step = CREATE_LOOK;
        sqs_ask(job, QUEUE_DESCRIBE, job->queue);
        return STATUS_OK;
    case CREATE_DEAD_LETTER:
        TRY(check_dead_letter(job, failure));
        sqs_ask(job, QUEUE_DESCRIBE, job->queue);
        return STATUS_OK;
    case CREATE_LOOK:
        if (job->outcome.status == STATUS_NOT_FOUND) {
            ask_changed(job, QUEUE_CREATE);
            return STATUS_OK;
        }
        *ret_ask = false;
        TRY(sqs_check_outcome(job, failure));
        return compare_existing(job, failure);
    case CREATE_MAKE: *ret_ask = false; return take_created(job, failure);
    }
    return STATUS_OK;
}

enum status sqs_url_next(struct sqs_job *job, bool *ret_ask, struct sqs_failure *failure)
{
    *ret_ask = job->step == 0;
    if (job->step++ > 0) return sqs_check_outcome(job, failure);
    job->queue = job->request.queue_name;
    if (job->queue.size == 0) return sqs_fail_missing(failure, "QueueName");
    if (!sqs_name_is_valid(job->queue))
        return SQS_FAIL(failure, QUEUE_DOES_NOT_EXIST, "The specified queue does not exist.");
    sqs_ask(job, QUEUE_DESCRIBE, job->queue);
    return STATUS_OK;
}

void sqs_url_reply(const struct sqs_job *job, struct sqs_out *out)
{
    sqs_out_text(out, "QueueUrl", sqs_url_of(&job->site, job->queue, job->arena));
}

enum status sqs_delete_queue_next(struct sqs_job *job, bool *ret_ask, struct sqs_failure *failure)
{
    *ret_ask = job->step == 0;
    if (job->step++ > 0) return sqs_check_outcome(job, failure);
    TRY(sqs_take_queue(job, failure));
    if (jobs_owns_queue(job->queue))
        return SQS_FAIL(failure, UNSUPPORTED,
                        "The queue '%.*s' belongs to the jobs of this server and cannot be "
                        "deleted; purge it instead.",
                        STR_ARGS(job->queue));
    sqs_ask(job, QUEUE_DELETE, job->queue);
    return STATUS_OK;
}

enum status sqs_purge_next(struct sqs_job *job, bool *ret_ask, struct sqs_failure *failure)
{
    *ret_ask = job->step == 0;
    if (job->step++ == 0) {
        TRY(sqs_take_queue(job, failure));
        sqs_ask(job, QUEUE_PURGE, job->queue);
        return STATUS_OK;
    }
    if (job->outcome.status == STATUS_ABORTED)
        return SQS_FAIL(failure, PURGE_IN_PROGRESS,
                        "Only one PurgeQueue operation on %.*s is allowed every 60 seconds.",
                        STR_ARGS(job->queue));
    return sqs_check_outcome(job, failure);
}

/* --- attributes ------------------------------------------------------------------------------- */

static bool wants_all(const struct sqs_names *names)
{
    return is_named(names, STR("All"));
}

static enum status check_names(const struct sqs_names *names, bool *ret_counts,
                               struct sqs_failure *failure)
{
    *ret_counts = wants_all(names);
    for (size_t i = 0; i < names->count; i++) {
        struct str name = names->items[i];
        bool counts = false;
        if (!str_equal(name, STR("All")) && !sqs_attribute_find(name, &counts))
            return SQS_FAIL(failure, INVALID_ATTRIBUTE_NAME, "Unknown Attribute %.*s.",
                            (int)MIN(name.size, (size_t)QUEUE_ATTRIBUTE_NAME_MAX), name.data);
        *ret_counts |= counts;
    }
    return STATUS_OK;
}

enum status sqs_get_next(struct sqs_job *job, bool *ret_ask, struct sqs_failure *failure)
{
    bool counts;
    TRY(check_names(&job->request.attribute_names, &counts, failure));
    switch (job->step++) {
    case 0: *ret_ask = true; return ask_described(job, failure);
    case 1:
        TRY(take_described(job, failure));
        *ret_ask = counts;
        if (counts) sqs_ask(job, QUEUE_DEPTH, job->queue);
        return STATUS_OK;
    default:
        *ret_ask = false;
        TRY(sqs_check_outcome(job, failure));
        job->depth = job->call.depth;
        return STATUS_OK;
    }
}

void sqs_get_reply(const struct sqs_job *job, struct sqs_out *out)
{
    const struct sqs_names *names = &job->request.attribute_names;
    struct sqs_view view = view_of(job, &job->description);
    view.depth = &job->depth;
    bool all = wants_all(names), begun = false;
    for (size_t i = 0; i < sqs_attribute_count(); i++) {
        struct str name = sqs_attribute_name(i);
        if (!all && !is_named(names, name)) continue;
        struct str value = sqs_settings_print(&view, name);
        if (!value.data) continue;
        if (!begun) sqs_out_map_begin(out, "Attributes");
        begun = true;
        sqs_out_map_text(out, "Attribute", name, value);
    }
    if (begun) sqs_out_map_end(out);
}

enum set_step { SET_BEGIN, SET_LOOKED, SET_DEAD_LETTER, SET_DONE };

enum status sqs_set_next(struct sqs_job *job, bool *ret_ask, struct sqs_failure *failure)
{
    struct sqs_change change;
    *ret_ask = true;
    switch ((enum set_step)job->step++) {
    case SET_BEGIN:
        if (job->request.attributes.count == 0) return sqs_fail_missing(failure, "Attributes");
        return ask_described(job, failure);
    case SET_LOOKED:
        TRY(take_described(job, failure));
        change = change_of(job, false);
        TRY(sqs_settings_apply(&job->request.attributes, &change, &job->description.settings,
                               failure));
        if (names_dead_letter(job)) {
            sqs_ask(job, QUEUE_DESCRIBE, str_of(job->description.settings.dead_letter));
            return STATUS_OK;
        }
        job->step = SET_DONE;
        ask_changed(job, QUEUE_CONFIGURE);
        return STATUS_OK;
    case SET_DEAD_LETTER:
        TRY(check_dead_letter(job, failure));
        ask_changed(job, QUEUE_CONFIGURE);
        return STATUS_OK;
    case SET_DONE: *ret_ask = false; return check_changed(job, failure);
    }
    return STATUS_OK;
}
