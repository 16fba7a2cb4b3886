/*
 * Checks a TorchScript archive (a zip file) before an engine's library reads it: libraries trust
 * what a zip says of itself, and a model file may come from anywhere.
 *
 *   TRY(fail_while(err, archive_check(path, NULL, err), "loading '%s'", name));
 *
 * Accepted is what torch.jit.save writes: a zip file without prologue and comment whose directory
 * agrees with its entries; all of them under one top directory, each name once, stored or deflated,
 * not encrypted, whole, with the right checksum; and with the parts that make it TorchScript rather
 * than a file of weights. Its pickles are walked through (engine/pickle.h). Nothing is unpacked to
 * disk.
 *
 * No state; any thread. Takes time in proportion to the bytes whose checksum is verified, about
 * 1 GB/s.
 */
#ifndef ENGINE_ARCHIVE_H
#define ENGINE_ARCHIVE_H

#include "base/str.h"

/* What an archive may ask of us. */
struct archive_limits {
    uint64_t entry_count_max;
    uint64_t size_max;             /* bytes, all entries unpacked */
    uint32_t ratio_max;            /* unpacked to packed, of entries above ratio_free_size */
    uint64_t ratio_free_size;      /* bytes */
    uint64_t checksummed_size_max; /* bytes unpacked whose checksum is verified, in file order */
};

/* 100,000 entries, 16 GiB, 200:1 above 1 MiB, 64 MiB of checksums. */
extern const struct archive_limits archive_limits_default;

/*
 * INVALID_ARGUMENT: damaged, hostile, or not TorchScript, with what to do about it; NOT_FOUND: no
 * such file; EXHAUSTED: beyond a limit. `limits` NULL: the default ones.
 */
enum status archive_check(const char *path, const struct archive_limits *limits,
                          struct error *err) FALLIBLE;

#endif
