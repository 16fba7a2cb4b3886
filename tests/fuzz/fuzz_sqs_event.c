/* SQS events from any bytes. */
#include "protocol/sqs_event.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena CLEANUP(arena_clear);
    struct sqs_event event;
    struct sqs_record record;
    struct error err;
    arena_init(&arena, 1 << 20);
    if (sqs_event_open(&event, (struct str){(const char *)data, size}, &arena, &err) != STATUS_OK)
        return 0;
    for (size_t count = 0;; count++) {
        bool more;
        if (sqs_event_next(&event, &record, &more, &err) != STATUS_OK || !more) return 0;
        if (count > size) abort();
        struct str value;
        (void)!sqs_event_attribute(&record, STR("model"), &arena, &value, &err);
    }
}
