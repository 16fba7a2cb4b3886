/* Lists of digests of any content: entries lie in the text, their paths lead nowhere else, and each
 * call makes the rest shorter. */
#include "cli/manifest.h"
#include "serve/file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = {(const char *)data, size};
    for (;;) {
        struct manifest_entry entry;
        struct error err;
        bool more;
        size_t before = rest.size;
        if (manifest_next(&rest, &entry, &more, &err) != STATUS_OK || !more) return 0;
        if (rest.data && rest.size >= before) abort();
        if (!file_path_is_inside(entry.path)) abort();
        if (entry.path.data < (const char *)data ||
            entry.path.data + entry.path.size > (const char *)data + size)
            abort();
    }
}
