/* sha256sum's lines. */
#include "cli/manifest.h"

#include "serve/file.h"

enum { HEX_SIZE = SHA256_HEX_SIZE - 1, SHOWN_MAX = 80 };

static enum status read_line(struct str line, struct manifest_entry *ret_entry, struct error *err)
{
    struct manifest_entry entry;
    struct str digest = {line.data, MIN(line.size, (size_t)HEX_SIZE)};
    struct str path = str_from(line, digest.size);
    bool spaced =
        path.size > 2 && path.data[0] == ' ' && (path.data[1] == ' ' || path.data[1] == '*');
    if (!spaced || !sha256_read_hex(digest, entry.digest))
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "'%.*s' is no line of a list of digests: those are as sha256sum writes them",
                    (int)MIN(line.size, (size_t)SHOWN_MAX), line.data);
    entry.path = str_from(path, 2);
    if (str_starts_with(entry.path, STR("./"))) entry.path = str_from(entry.path, 2);
    if (!file_path_is_inside(entry.path))
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "'%.*s' in a list of digests must name a file below the list's own place",
                    (int)MIN(entry.path.size, (size_t)SHOWN_MAX), entry.path.data);
    *ret_entry = entry;
    return STATUS_OK;
}

enum status manifest_next(struct str *rest, struct manifest_entry *ret_entry, bool *ret_more,
                          struct error *err)
{
    while (rest->data && rest->size > 0) {
        struct str line = str_cut(rest, '\n');
        if (str_ends_with(line, STR("\r"))) line.size--;
        if (line.size == 0) continue;
        *ret_more = true;
        return read_line(line, ret_entry, err);
    }
    *ret_more = false;
    return STATUS_OK;
}
