/* The table of operations, and what they share. */
#include "base/base64.h"
#include "server/sqs_job.h"

#define NAMED(text)                                                                                \
    {                                                                                              \
        "" text, sizeof(text) - 1                                                                  \
    }

static const struct sqs_operation operations[] = {
    {NAMED("SendMessage"), sqs_send_next, sqs_send_reply},
    {NAMED("ReceiveMessage"), sqs_receive_next, sqs_receive_reply},
    {NAMED("DeleteMessage"), sqs_delete_next, NULL},
    {NAMED("SendMessageBatch"), sqs_send_batch_next, sqs_send_batch_reply},
    {NAMED("DeleteMessageBatch"), sqs_delete_batch_next, sqs_receipts_reply},
    {NAMED("ChangeMessageVisibility"), sqs_extend_next, NULL},
    {NAMED("ChangeMessageVisibilityBatch"), sqs_extend_batch_next, sqs_receipts_reply},
    {NAMED("GetQueueAttributes"), sqs_get_next, sqs_get_reply},
    {NAMED("GetQueueUrl"), sqs_url_next, sqs_url_reply},
    {NAMED("CreateQueue"), sqs_create_next, sqs_url_reply},
    {NAMED("DeleteQueue"), sqs_delete_queue_next, NULL},
    {NAMED("SetQueueAttributes"), sqs_set_next, NULL},
    {NAMED("PurgeQueue"), sqs_purge_next, NULL},
    {NAMED("ListQueues"), sqs_list_next, sqs_list_reply},
    {NAMED("ListDeadLetterSourceQueues"), sqs_sources_next, sqs_sources_reply},
    {NAMED("StartMessageMoveTask"), sqs_move_start_next, sqs_move_start_reply},
    {NAMED("ListMessageMoveTasks"), sqs_move_list_next, sqs_move_list_reply},
    {NAMED("CancelMessageMoveTask"), sqs_move_cancel_next, sqs_move_cancel_reply},
    {NAMED("TagQueue"), sqs_tag_next, NULL},
    {NAMED("UntagQueue"), sqs_untag_next, NULL},
    {NAMED("ListQueueTags"), sqs_tags_next, sqs_tags_reply},
    {NAMED("AddPermission"), sqs_allow_next, NULL},
    {NAMED("RemovePermission"), sqs_disallow_next, NULL},
};

const struct sqs_operation *sqs_operation_find(struct str name)
{
    for (size_t i = 0; i < COUNT_OF(operations); i++)
        if (str_equal(operations[i].name, name)) return &operations[i];
    return NULL;
}

void sqs_ask(struct sqs_job *job, enum queue_operation operation, struct str queue)
{
    job->call = (struct queue_call){.operation = operation, .queue = queue, .arena = job->arena};
}

enum status sqs_check_outcome(const struct sqs_job *job, struct sqs_failure *failure)
{
    if (job->outcome.status == STATUS_OK) return STATUS_OK;
    failure->error = job->outcome;
    return sqs_fail_named(failure);
}

enum status sqs_take_queue(struct sqs_job *job, struct sqs_failure *failure)
{
    return sqs_queue_of_url(job->request.queue_url, &job->queue, failure);
}

struct str sqs_token_write(struct str text, struct arena *arena)
{
    struct buffer buffer CLEANUP(buffer_clear);
    buffer_init(&buffer, 4096);
    base64_encode(&buffer, text);
    if (buffer_failed(&buffer)) return (struct str){NULL, 0};
    return arena_try_copy(arena, buffer_view(&buffer));
}

bool sqs_token_read(struct str token, struct arena *arena, struct str *ret_text)
{
    struct error ignored;
    return token.size <= 4096 && base64_decode(token, arena, ret_text, &ignored) == STATUS_OK;
}
