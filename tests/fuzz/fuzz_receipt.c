/* Receipt handles, and attributes as they lie in a column: what is read is what would be written.
 */
#include "queue/attributes.h"
#include "queue/receipt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_attributes(struct str blob)
{
    struct arena arena CLEANUP(arena_clear);
    struct buffer again CLEANUP(buffer_clear);
    struct queue_attribute *attributes = NULL;
    struct str trace_header = STR_EMPTY;
    struct error err;
    size_t count = 0;
    arena_init(&arena, 1 << 20);
    buffer_init(&again, 2 * (size_t)QUEUE_MESSAGE_SIZE_MAX);
    if (attributes_read(blob, &arena, &attributes, &count, &trace_header, &err) != STATUS_OK) {
        if (err.status != STATUS_DATA_LOSS && err.status != STATUS_EXHAUSTED) abort();
        return;
    }
    if (blob.size == 0) return;
    attributes_write(attributes, count, trace_header, &again);
    if (!str_equal(buffer_view(&again), blob)) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {(const char *)data, size};
    struct receipt receipt;
    char again[RECEIPT_TEXT_SIZE];
    if (size > 1 << 20) return 0;
    if (receipt_read(text, &receipt)) {
        receipt_write(&receipt, again);
        if (!str_equal((struct str){again, RECEIPT_TEXT_SIZE}, text)) abort();
    }
    check_attributes(text);
    return 0;
}
