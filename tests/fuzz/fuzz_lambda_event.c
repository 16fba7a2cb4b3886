/* Shapes of events from any bytes; the same bytes have the same shape. */
#include "lambda/event.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena CLEANUP(arena_clear);
    struct error err;
    enum lambda_shape first, second;
    struct str text = {(const char *)data, size};
    arena_init(&arena, 1 << 20);
    if (lambda_event_shape(text, &arena, &first, &err) != STATUS_OK) return 0;
    assert(lambda_event_shape(text, &arena, &second, &err) == STATUS_OK && first == second);
    assert(*lambda_shape_text(first) != '\0');
    return 0;
}
