/*
 * A list of files and their digests, as sha256sum writes it and checks it (`sha256sum -c`):
 *
 *   9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08  doubleit/model.yaml
 *   60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752 *doubleit/1/model.onnx
 *
 * Pure; entries are views of the text.
 *
 *   struct str rest = text;
 *   struct manifest_entry entry;
 *   bool more;
 *   for (;;) {
 *       TRY(manifest_next(&rest, &entry, &more, err));
 *       if (!more) break;
 *       ...
 *   }
 */
#ifndef CLI_MANIFEST_H
#define CLI_MANIFEST_H

#include "base/hash.h"

struct manifest_entry {
    struct str path; /* inside a directory: file_path_is_inside */
    uint8_t digest[SHA256_SIZE];
};

/* Takes a line off the front; empty ones are passed over. INVALID_ARGUMENT: it is no such line, or
 * its path leads elsewhere. */
enum status manifest_next(struct str *rest, struct manifest_entry *ret_entry, bool *ret_more,
                          struct error *err) FALLIBLE;

#endif
