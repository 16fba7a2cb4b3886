/* pickle_check on any bytes: it must answer, in bounds. */
#include "engine/pickle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err;
    enum status status = pickle_check((struct str){(const char *)data, size}, &err);
    if (status != STATUS_OK && status != STATUS_INVALID_ARGUMENT) abort();
    return 0;
}
