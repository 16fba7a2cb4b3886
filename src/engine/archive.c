/*
 * The end of a zip file is parsed here too: it must stand exactly where every reader looks first,
 * so that libzip and the engine's own reader cannot disagree on which directory counts, and its
 * number of entries is known before libzip allocates for them.
 */
#include "engine/archive.h"

#include "base/mem.h"
#include "engine/pickle.h"

#include <errno.h>
#include <sys/stat.h>
#include <zip.h>

const struct archive_limits archive_limits_default = {
    .entry_count_max = 100000,
    .size_max = UINT64_C(16) << 30,
    .ratio_max = 200,
    .ratio_free_size = UINT64_C(1) << 20,
    .checksummed_size_max = UINT64_C(64) << 20,
};

enum {
    END_SIZE = 22,             /* the end record without a comment */
    LOCATOR_SIZE = 20,         /* of the zip64 end record, right before it */
    END_64_SIZE = 56,          /* the zip64 end record */
    DIRECTORY_ENTRY_SIZE = 46, /* the smallest */
    NAME_SIZE_MAX = 1024,
    PICKLE_SIZE_MAX = 64 << 20, /* tensors are not in it */
};

static const char export_advice[] =
    "export the model with torch.jit.script(model).save(path) or torch.jit.trace";

/* What the checks of the entries leave behind. */
struct archive {
    const char *path;
    const struct archive_limits *limits;
    zip_t *zip;
    uint64_t file_size;
    uint64_t entry_count;
    struct str top; /* "archive/" */
    uint64_t size, checksummed_size;
    bool has_code, has_data, has_version, has_constants, has_program;
};

/* ---- The end of the file ---- */

static uint64_t little_endian(const unsigned char *bytes, size_t size)
{
    uint64_t value = 0;
    for (size_t i = size; i > 0; i--) value = value << 8 | bytes[i - 1];
    return value;
}

static enum status fail_damaged(const struct archive *archive, struct error *err, const char *what)
{
    return fail(err, STATUS_INVALID_ARGUMENT,
                "'%.200s' is damaged: %s; copy or export the model again", archive->path, what);
}

static bool read_at(FILE *file, uint64_t offset, void *bytes, size_t size)
{
    return fseeko(file, (off_t)offset, SEEK_SET) == 0 && fread(bytes, 1, size, file) == size;
}

/* The zip64 end record, which is there if a locator stands before the end record. */
static enum status read_end_64(struct archive *archive, FILE *file, bool required,
                               struct error *err)
{
    unsigned char locator[LOCATOR_SIZE], end[END_64_SIZE];
    uint64_t place = archive->file_size - END_SIZE;
    bool there = place >= LOCATOR_SIZE + END_64_SIZE &&
                 read_at(file, place - LOCATOR_SIZE, locator, sizeof locator) &&
                 memcmp(locator, "PK\6\7", 4) == 0;
    if (!there)
        return required ? fail_damaged(archive, err, "its zip64 directory is missing") : STATUS_OK;
    uint64_t offset = little_endian(locator + 8, 8);
    if (offset > place - LOCATOR_SIZE - END_64_SIZE || !read_at(file, offset, end, sizeof end) ||
        memcmp(end, "PK\6\6", 4) != 0)
        return fail_damaged(archive, err, "its zip64 directory is not where it should be");
    uint64_t count = little_endian(end + 32, 8);
    if (!required && count != archive->entry_count)
        return fail_damaged(archive, err, "its two directories disagree");
    archive->entry_count = count;
    return STATUS_OK;
}

static enum status read_end(struct archive *archive, FILE *file, struct error *err)
{
    unsigned char head[4], end[END_SIZE];
    if (archive->file_size < END_SIZE || !read_at(file, 0, head, sizeof head) ||
        (memcmp(head, "PK\3\4", 4) != 0 && memcmp(head, "PK\5\6", 4) != 0))
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "'%.200s' is not a TorchScript file, which is a zip archive; %s", archive->path,
                    export_advice);
    if (!read_at(file, archive->file_size - END_SIZE, end, sizeof end) ||
        memcmp(end, "PK\5\6", 4) != 0 || little_endian(end + 20, 2) != 0)
        return fail_damaged(archive, err, "the zip directory is not at its end (a cut file?)");
    archive->entry_count = little_endian(end + 10, 2);
    TRY(read_end_64(archive, file, archive->entry_count == 0xffff, err));
    if (archive->entry_count > archive->limits->entry_count_max)
        return fail(err, STATUS_EXHAUSTED, "'%.200s' has %llu entries, at most %llu are allowed",
                    archive->path, (unsigned long long)archive->entry_count,
                    (unsigned long long)archive->limits->entry_count_max);
    if (archive->entry_count > archive->file_size / DIRECTORY_ENTRY_SIZE)
        return fail_damaged(archive, err, "it is too small for its number of entries");
    return STATUS_OK;
}

static void file_closep(FILE **file)
{
    if (*file) (void)fclose(*file);
}

static enum status check_end(struct archive *archive, struct error *err)
{
    struct stat stat_of;
    if (stat(archive->path, &stat_of) != 0)
        return fail_errno(err, errno, "model file '%.200s'", archive->path);
    if (!S_ISREG(stat_of.st_mode)) // opening a pipe would wait
        return fail(err, STATUS_INVALID_ARGUMENT, "'%.200s' is not a regular file", archive->path);
    FILE *file CLEANUP(file_closep) = fopen(archive->path, "re");
    if (!file) return fail_errno(err, errno, "model file '%.200s'", archive->path);
    archive->file_size = (uint64_t)stat_of.st_size;
    return read_end(archive, file, err);
}

/* ---- One entry ---- */

static bool is_part(struct str part)
{
    return part.size > 0 && !str_equal(part, STR(".")) && !str_equal(part, STR(".."));
}

/* Relative, of plain parts, text without control characters: what may stand in a message too. */
static bool name_is_sane(struct str name)
{
    if (name.size == 0 || name.size > NAME_SIZE_MAX || !str_is_utf8(name)) return false;
    for (size_t i = 0; i < name.size; i++)
        if ((unsigned char)name.data[i] < ' ' || name.data[i] == '\\' || name.data[i] == 0x7f)
            return false;
    struct str rest = name;
    while (rest.data) {
        struct str part = str_cut(&rest, '/');
        bool is_directory = rest.data && rest.size == 0;
        if (!is_part(part)) return false;
        if (is_directory) break;
    }
    return true;
}

static enum status check_name(struct archive *archive, struct str name, struct error *err)
{
    if (!name_is_sane(name))
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "'%.200s' is refused: an entry's name is not a plain relative path",
                    archive->path);
    if (!archive->top.data) {
        size_t slash = str_find(name, '/');
        archive->top = (struct str){name.data, slash == SIZE_MAX ? name.size : slash + 1};
    }
    if (!str_starts_with(name, archive->top))
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "'%.200s' is not a TorchScript file: entry '%.100s' is not under '%.*s'; %s",
                    archive->path, name.data, (int)MIN(archive->top.size, 60), archive->top.data,
                    export_advice);
    struct str part = str_from(name, archive->top.size);
    archive->has_data |= str_equal(part, STR("data.pkl"));
    archive->has_version |= str_equal(part, STR("version"));
    archive->has_constants |= str_equal(part, STR("constants.pkl"));
    archive->has_code |= str_starts_with(part, STR("code/")) && str_ends_with(part, STR(".py"));
    archive->has_program |= str_starts_with(part, STR("models/")) ||
                            str_starts_with(part, STR("serialized_exported_program"));
    return STATUS_OK;
}

static enum status check_sizes(struct archive *archive, const zip_stat_t *entry, struct error *err)
{
    const struct archive_limits *limits = archive->limits;
    if (entry->encryption_method != ZIP_EM_NONE)
        return fail(err, STATUS_INVALID_ARGUMENT, "'%.200s': entry '%.100s' is encrypted",
                    archive->path, entry->name);
    if (entry->comp_method != ZIP_CM_STORE && entry->comp_method != ZIP_CM_DEFLATE)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "'%.200s': entry '%.100s' is packed by method %u, only stored and deflated "
                    "ones are allowed",
                    archive->path, entry->name, entry->comp_method);
    if (entry->comp_size > archive->file_size ||
        (entry->comp_method == ZIP_CM_STORE && entry->comp_size != entry->size))
        return fail_damaged(archive, err, "an entry's size is wrong");
    if (entry->size > limits->size_max - archive->size)
        return fail(err, STATUS_EXHAUSTED, "'%.200s' unpacks to more than %llu bytes",
                    archive->path, (unsigned long long)limits->size_max);
    archive->size += entry->size;
    if (entry->size > limits->ratio_free_size && entry->size / limits->ratio_max > entry->comp_size)
        return fail(err, STATUS_EXHAUSTED,
                    "'%.200s' is refused: entry '%.100s' unpacks to more than %u times its size",
                    archive->path, entry->name, limits->ratio_max);
    return STATUS_OK;
}

static void zip_file_closep(zip_file_t **file)
{
    if (*file) (void)zip_fclose(*file);
}

/* libzip compares the checksum when an entry is read to its end. */
static enum status check_content(struct archive *archive, const zip_stat_t *entry,
                                 struct error *err)
{
    if (entry->size > archive->limits->checksummed_size_max - archive->checksummed_size)
        return STATUS_OK;
    archive->checksummed_size += entry->size;
    zip_file_t *file CLEANUP(zip_file_closep) = zip_fopen_index(archive->zip, entry->index, 0);
    if (!file) return fail_damaged(archive, err, "an entry cannot be read");
    char bytes[16384];
    uint64_t total = 0;
    zip_int64_t got;
    while ((got = zip_fread(file, bytes, sizeof bytes)) > 0 && total <= entry->size)
        total += (uint64_t)got;
    if (got == 0 && total == entry->size) return STATUS_OK;
    return fail(err, STATUS_INVALID_ARGUMENT,
                "'%.200s' is damaged: entry '%.100s' does not have its checksum; copy or export "
                "the model again",
                archive->path, entry->name);
}

static bool is_pickle(struct str name)
{
    return str_ends_with(name, STR(".pkl")) || str_ends_with(name, STR(".debug_pkl"));
}

/* Pickles are looked through whole: the engine's reader believes them. */
static enum status check_pickle(struct archive *archive, const zip_stat_t *entry, struct error *err)
{
    if (!is_pickle(str_of(entry->name))) return STATUS_OK;
    if (entry->size > PICKLE_SIZE_MAX)
        return fail(err, STATUS_EXHAUSTED,
                    "'%.200s': entry '%.100s' has %llu bytes, at most %d "
                    "are allowed",
                    archive->path, entry->name, (unsigned long long)entry->size, PICKLE_SIZE_MAX);
    char *bytes CLEANUP(mem_freep) = mem_try_new((size_t)entry->size + 1);
    if (!bytes) return fail(err, STATUS_EXHAUSTED, "no memory to read '%.200s'", archive->path);
    zip_file_t *file CLEANUP(zip_file_closep) = zip_fopen_index(archive->zip, entry->index, 0);
    if (!file || zip_fread(file, bytes, entry->size) != (zip_int64_t)entry->size)
        return fail_damaged(archive, err, "an entry cannot be read");
    struct str content = {bytes, (size_t)entry->size};
    return fail_while(err, pickle_check(content, err), "'%.200s' is damaged: entry '%.100s'",
                      archive->path, entry->name);
}

/* ---- All entries ---- */

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static enum status check_twins(const struct archive *archive, const char **names, struct error *err)
{
    qsort(names, archive->entry_count, sizeof *names, compare_names);
    for (uint64_t i = 1; i < archive->entry_count; i++)
        if (strcmp(names[i - 1], names[i]) == 0)
            return fail(err, STATUS_INVALID_ARGUMENT, "'%.200s' is refused: two entries '%.100s'",
                        archive->path, names[i]);
    return STATUS_OK;
}

static enum status check_entry(struct archive *archive, uint64_t index, const char **ret_name,
                               struct error *err)
{
    const zip_uint64_t wanted = ZIP_STAT_NAME | ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE |
                                ZIP_STAT_COMP_METHOD | ZIP_STAT_ENCRYPTION_METHOD;
    zip_stat_t entry;
    if (zip_stat_index(archive->zip, index, ZIP_FL_ENC_RAW, &entry) != 0 ||
        (entry.valid & wanted) != wanted)
        return fail_damaged(archive, err, "an entry cannot be read");
    entry.index = index;
    TRY(check_name(archive, str_of(entry.name), err));
    TRY(check_sizes(archive, &entry, err));
    TRY(check_content(archive, &entry, err));
    TRY(check_pickle(archive, &entry, err));
    *ret_name = entry.name;
    return STATUS_OK;
}

static enum status check_entries(struct archive *archive, struct error *err)
{
    const char **names CLEANUP(mem_freep) =
        mem_try_new((size_t)(archive->entry_count + 1) * sizeof *names);
    if (!names)
        return fail(err, STATUS_EXHAUSTED, "no memory for the %llu entries of '%.200s'",
                    (unsigned long long)archive->entry_count, archive->path);
    for (uint64_t i = 0; i < archive->entry_count; i++)
        TRY(check_entry(archive, i, &names[i], err));
    return check_twins(archive, names, err);
}

static enum status check_parts(const struct archive *archive, struct error *err)
{
    if (archive->has_code && archive->has_data && archive->has_constants && archive->has_version)
        return STATUS_OK;
    if (archive->has_program)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "'%.200s' is a program of torch.export, not TorchScript; %s, or to ONNX",
                    archive->path, export_advice);
    if (archive->has_data && !archive->has_code)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "'%.200s' holds weights or a pickled object without code, as torch.save "
                    "writes, not TorchScript; %s",
                    archive->path, export_advice);
    const char *missing = !archive->has_data        ? "data.pkl"
                          : !archive->has_constants ? "constants.pkl"
                                                    : "version";
    return fail(err, STATUS_INVALID_ARGUMENT,
                "'%.200s' is not a TorchScript file: the zip archive has no '%s'; %s",
                archive->path, missing, export_advice);
}

static void zip_discardp(zip_t **zip)
{
    if (*zip) zip_discard(*zip);
}

static enum status fail_open(const struct archive *archive, int code, struct error *err)
{
    if (code == ZIP_ER_MEMORY)
        return fail(err, STATUS_EXHAUSTED, "no memory to read '%.200s'", archive->path);
    zip_error_t error;
    zip_error_init_with_code(&error, code);
    enum status status = fail(err, STATUS_INVALID_ARGUMENT,
                              "'%.200s' is damaged: %.200s; copy or export the model again",
                              archive->path, zip_error_strerror(&error));
    zip_error_fini(&error);
    return status;
}

enum status archive_check(const char *path, const struct archive_limits *limits, struct error *err)
{
    struct archive archive = {.path = path, .limits = limits ? limits : &archive_limits_default};
    TRY(check_end(&archive, err));
    int code = 0;
    zip_t *zip CLEANUP(zip_discardp) = zip_open(path, ZIP_RDONLY | ZIP_CHECKCONS, &code);
    if (!zip) return fail_open(&archive, code, err);
    archive.zip = zip;
    zip_int64_t count = zip_get_num_entries(zip, 0);
    if (count < 0 || (uint64_t)count != archive.entry_count)
        return fail_damaged(&archive, err, "its directory has another number of entries");
    TRY(check_entries(&archive, err));
    return check_parts(&archive, err);
}
