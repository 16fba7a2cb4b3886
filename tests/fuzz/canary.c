/* Proves that the harness mutates its corpus and sees a crash: all seeds have an even size, and an
 * odd size aborts. */
#include "base/base.h"

#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    (void)data;
    if (size % 2 == 1) {
        (void)fprintf(stderr, "canary: a mutation got here\n");
        abort();
    }
    return 0;
}
