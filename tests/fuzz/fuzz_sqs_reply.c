/* Answers of SQS from any bytes. The first byte chooses what is read. */
#include "base/mem.h"
#include "queue/queue_sqs_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_entries(struct str body, struct arena *arena, bool sent)
{
    struct queue_receipt receipts[3] = {{.receipt = STR("r")}};
    struct queue_receipt *list[] = {&receipts[0], &receipts[1], &receipts[2]};
    const struct queue_new_message messages[2] = {{.body = STR("a")}, {.body = STR("")}};
    struct queue_sent results[2];
    struct error err;
    if (!sent)
        (void)!sqs_read_receipts(body, list, COUNT_OF(list), arena, &err);
    else if (sqs_read_sent(body, messages, 1 + body.size % 2, arena, results, &err) == STATUS_OK)
        assert(results[0].status != STATUS_OK || results[0].id.data);
}

static void read_queue(struct str body, struct arena *arena)
{
    struct sqs_queue_state state;
    struct error err;
    if (sqs_read_attributes(body, arena, &state, &err) == STATUS_OK)
        assert(strlen(state.settings.dead_letter) <= QUEUE_NAME_MAX);
}

static void read_messages(struct str body, struct arena *arena)
{
    struct sqs_batch batch;
    struct error err;
    if (sqs_read_messages(body, arena, &batch, &err) != STATUS_OK) return;
    assert(batch.count + batch.damaged <= QUEUE_BATCH_MAX);
    for (size_t i = 0; i < batch.count; i++) {
        const struct queue_message *message = &batch.messages[i];
        assert(message->id.size > 0 && message->attribute_count <= QUEUE_ATTRIBUTES_MAX);
        for (size_t j = 1; j < message->attribute_count; j++)
            assert(str_compare(message->attributes[j - 1].name, message->attributes[j].name) <= 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct sqs_queue_name name;
    struct str text;
    struct error err;
    if (size == 0) return 0;
    struct str body = {(const char *)data + 1, size - 1};
    arena_init(&arena, 4 << 20);
    switch (data[0] % 6) {
    case 0: read_messages(body, &arena); break;
    case 1: read_entries(body, &arena, false); break;
    case 2: read_entries(body, &arena, true); break;
    case 3: read_queue(body, &arena); break;
    case 4: (void)!sqs_read_text(body, "QueueUrl", &arena, &text, &err); break;
    default: (void)!sqs_read_name(body, &name, &err); break;
    }
    arena_clear(&arena);
    return 0;
}
