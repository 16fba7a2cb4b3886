/* Requests of SQS's protocol from any bytes: read, checked, and their settings applied. The first
 * byte chooses the type of the queue, and whether it is JSON or a form. */
#include "queue/attributes.h"
#include "server/sqs_form.h"
#include "server/sqs_message.h"
#include "server/sqs_settings.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct sqs_site site = {
    .scheme = {"http", 4}, .host = {"h", 1}, .account = {"000000000000", 12}, .region = {"r", 1}};

static void check_entries(struct sqs_request *request, bool fifo)
{
    struct sqs_failure failure = {0};
    size_t count = MIN(request->entry_count, (size_t)SQS_ENTRIES_MAX);
    bool whole = sqs_batch_check(request, STR("SendMessageBatch"), &failure) == STATUS_OK;
    if (!whole && failure.fault == SQS_FAULT_BY_STATUS) abort();
    for (size_t i = 0; i < MAX(count, (size_t)1); i++) {
        struct queue_new_message message;
        struct queue_receipt receipt;
        char digest[MD5_HEX_SIZE];
        failure = (struct sqs_failure){0};
        if (sqs_message_check(&request->entries[i], fifo, &message, &failure) == STATUS_OK) {
            if (!str_is_utf8(message.body) || message.attribute_count > QUEUE_ATTRIBUTES_MAX)
                abort();
            (void)!attributes_md5(message.attributes, message.attribute_count, digest);
        } else if (failure.fault == SQS_FAULT_BY_STATUS) {
            abort();
        }
        (void)!sqs_receipt_check(&request->entries[i], fifo, &receipt, &failure);
    }
}

/* What was taken is printed, and taken again: nothing differs. */
static void check_settings(const struct sqs_request *request, bool fifo, struct arena *arena)
{
    struct queue_description description = {.name = fifo ? STR("q.fifo") : STR("q")}, again;
    struct sqs_change change = {description.name, false, arena};
    struct sqs_failure failure = {0};
    description.settings.fifo = fifo;
    if (sqs_settings_apply(&request->attributes, &change, &description.settings, &failure) !=
        STATUS_OK)
        return;
    again = description;
    struct sqs_view view = {&description, NULL, &site, arena};
    struct sqs_view same = {&again, NULL, &site, arena};
    for (size_t i = 0; i < request->attributes.count; i++) {
        struct sqs_pair pair = request->attributes.items[i];
        struct str text = sqs_settings_print(&view, pair.name);
        if (!text.data) continue;
        struct sqs_pairs one = {&(struct sqs_pair){pair.name, text}, 1};
        if (sqs_settings_apply(&one, &change, &again.settings, &failure) != STATUS_OK &&
            failure.error.status != STATUS_EXHAUSTED)
            abort();
        if (failure.error.status == STATUS_OK &&
            sqs_settings_difference(&request->attributes, &view, &same))
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) return 0;
    bool fifo = data[0] & 1;
    struct str body = {(const char *)data + 1, size - 1}, name, action;
    struct arena arena CLEANUP(arena_clear);
    struct sqs_request request;
    struct sqs_failure failure = {0};
    arena_init(&arena, 1 << 22);
    bool form = data[0] & 2;
    enum status status = form ? sqs_request_read_form(body, &arena, &request, &action, &failure)
                              : sqs_request_read_json(body, &arena, &request, &failure);
    if (status != STATUS_OK) {
        if (failure.fault == SQS_FAULT_BY_STATUS && failure.error.status != STATUS_EXHAUSTED)
            abort();
        return 0;
    }
    if (sqs_queue_of_url(request.queue_url, &name, &failure) == STATUS_OK &&
        !sqs_name_is_valid(name))
        abort();
    check_entries(&request, fifo);
    check_settings(&request, fifo, &arena);
    return 0;
}
