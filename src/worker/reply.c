/*
 * Answers to who asked for one: a message to the queue that the attribute 'reply-to' names.
 *
 *   {"correlation_id":"...","id":"01J...","status":"succeeded","model":"doubleit","version":"1",
 *    "output":{...}}          what the synchronous call would have answered
 *   {..., "status":"failed","error":{"status":"INVALID_ARGUMENT","message":"..."}}
 *
 * An output that is no JSON, or too large for a message, is null: the record has it.
 */
#include "base/json.h"
#include "worker/parts.h"

bool work_wants_reply(const struct work *work)
{
    bool over = work->outcome == OUTCOME_SUCCEEDED || work->outcome == OUTCOME_FAILED ||
                work->outcome == OUTCOME_SKIP;
    bool is_asked = !work->is_job && work->reply_to.data && !work->reply_refused;
    return is_asked && over && work->error_status != STATUS_PERMISSION_DENIED;
}

/* As it was made now, or as the record has it. */
static struct str output_of(const struct work *work)
{
    const struct record_payload *kept =
        work->outcome == OUTCOME_SKIP ? record_whole_output(&work->record) : NULL;
    if (work->outcome == OUTCOME_SUCCEEDED)
        return work->output_header_size > 0 ||
                       !str_starts_with(work->output_type, STR("application/json"))
                   ? STR_EMPTY
                   : buffer_view(&work->output);
    if (!kept || kept->header_size > 0 || !str_starts_with(kept->type, STR("application/json")))
        return STR_EMPTY;
    return kept->bytes;
}

static void write_error(struct json_writer *json, enum status status, struct str message)
{
    json_add_name(json, STR("error"));
    json_begin_object(json);
    json_put_string(json, STR("status"), str_of(status_name(status)));
    json_put_string(json, STR("message"), message);
    json_end_object(json);
}

static void write_body(const struct work *work, struct str output, struct buffer *out)
{
    struct json_writer json;
    bool known = work->outcome == OUTCOME_SKIP;
    bool succeeded =
        known ? work->record.state == RECORD_SUCCEEDED : work->outcome == OUTCOME_SUCCEEDED;
    json_writer_init(&json, out);
    json_begin_object(&json);
    json_put_string(&json, STR("correlation_id"), work->correlation);
    json_put_string(&json, STR("id"), str_of(known ? work->record.id : work->id));
    json_put_string(&json, STR("status"), succeeded ? STR("succeeded") : STR("failed"));
    if (work->ticket.model.data) json_put_string(&json, STR("model"), work->ticket.model);
    json_put_string(&json, STR("version"),
                    known && work->record.version.data ? work->record.version
                                                       : str_of(work->version));
    json_add_name(&json, STR("output"));
    if (succeeded && output.size > 0)
        json_add_raw(&json, output);
    else
        json_add_null(&json);
    if (!succeeded && known)
        write_error(&json, work->record.status,
                    work->record.error.data ? work->record.error : STR_EMPTY);
    else if (!succeeded)
        write_error(&json, work->error_status, str_of(work->error.message));
    json_end_object(&json);
}

/* In the work's arena; an output that is too large is left out. */
static struct str make_body(struct work *work)
{
    struct buffer out CLEANUP(buffer_clear);
    buffer_init(&out, REPLY_SIZE_MAX);
    write_body(work, output_of(work), &out);
    if (buffer_failed(&out)) {
        buffer_reset(&out);
        write_body(work, STR_EMPTY, &out);
    }
    return arena_try_copy(&work->arena, buffer_view(&out));
}

void reply_add(struct reply *reply, struct work *work, struct chain *chain)
{
    struct str body = make_body(work);
    struct queue_call *call = chain_add_queue(chain);
    size_t count = 0;
    if (work->correlation.size > 0)
        reply->attributes[count++] =
            (struct queue_attribute){STR("correlation-id"), STR("String"), work->correlation};
    reply->attributes[count++] =
        (struct queue_attribute){STR("record"), STR("String"), str_of(work->id)};
    reply->message = (struct queue_new_message){.body = body.data ? body : STR("{}"),
                                                .attributes = reply->attributes,
                                                .attribute_count = count,
                                                .trace_header = work->message->trace_header,
                                                .delay_ms = -1};
    if (str_ends_with(work->reply_to, STR(".fifo"))) {
        struct str group = work->message->group;
        (void)snprintf(reply->deduplication_id, sizeof reply->deduplication_id, "%s", work->id);
        reply->message.group = group.size > 0 ? group : str_of(work->id);
        reply->message.deduplication_id = str_of(reply->deduplication_id);
    }
    call->operation = QUEUE_SEND;
    call->queue = work->reply_to;
    call->arena = &work->arena;
    call->send = (struct queue_send){.messages = &reply->message, .count = 1, .sent = &reply->sent};
}
