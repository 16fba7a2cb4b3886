/* Fuzzes what `slipway bench` reads of an answer: the head's size lies within the bytes. */
#include "cli/load.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t head_size;
    uint64_t body_size;
    int status;
    if (load_parse_head((struct str){(const char *)data, size}, &head_size, &body_size, &status))
        assert(head_size >= 4 && head_size <= size && status >= 0 && status <= 999);
    return 0;
}
