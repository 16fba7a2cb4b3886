/* Fetching models, and finding what was fetched. */
#include "cli/places.h"

#include "aws/s3.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "cli/manifest.h"
#include "serve/file.h"
#include "serve/layout.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define SCHEME "s3://"
#define MARK "#sha256="
#define LIST_NAME "SHA256SUMS"

enum { LOCK_PAUSE_MS = 20, PART_SUFFIX_SIZE = 7, SHOWN_MAX = 160 };

struct places {
    const struct config *config;
    const _Atomic bool *stop;
    uint64_t end_ns;
    struct aws_credentials *credentials;
    struct aws_client *s3; /* NULL before the first object */
};

/* One place, taken apart. */
struct place {
    struct aws_s3_place s3;
    struct str folder; /* of the key, with its slash; empty: none */
    struct str file;   /* the key's last part */
    struct str name;   /* what the model is called, unless its file says */
    uint8_t digest[SHA256_SIZE];
    char hex[SHA256_HEX_SIZE];
    const char *url; /* the whole */
};

/* Also of NAME=URL. */
static bool is_remote(const char *text)
{
    return str_starts_with(str_of(layout_place_of(text).path), STR(SCHEME));
}

static bool list_is_remote(const struct config_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        if (is_remote(list->items[i])) return true;
    return false;
}

bool places_are_remote(const struct config *config)
{
    return list_is_remote(&config->model_repository) || list_is_remote(&config->positionals);
}

/* --- names ------------------------------------------------------------------------------------ */

static bool is_number(struct str text)
{
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] < '0' || text.data[i] > '9') return false;
    return text.size > 0;
}

/* "iris" of "models/iris/1/": the last folder that is no version; `fallback` if there is none. */
static struct str name_of(struct str folder, struct str fallback)
{
    struct str name = fallback;
    while (folder.data && folder.size > 0) {
        struct str part = str_cut(&folder, '/');
        if (!is_number(part)) name = part;
    }
    return name;
}

static enum status check_key(const struct place *place, struct error *err)
{
    if (file_path_is_inside(place->s3.key)) return STATUS_OK;
    return fail(
        err, STATUS_INVALID_ARGUMENT,
        "'%.256s' names no file: a key ends with a file's name and has no '.' or '..' in it",
        place->url);
}

/* `room` holds the URL without its digest, which the place's views are of. */
static enum status read_place(const char *url, char *room, struct place *ret_place,
                              struct error *err)
{
    struct place place = {.url = url};
    char *mark = strrchr(room, '#');
    struct str hex = STR_EMPTY;
    if (mark && str_starts_with(str_of(mark), STR(MARK))) {
        hex = str_of(mark + strlen(MARK));
        *mark = '\0';
    }
    if (!sha256_read_hex(hex, place.digest))
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "'%.256s' does not end with " MARK
                    "DIGEST: a model of S3 is used only if it is "
                    "the one that was meant; sha256sum prints its digest",
                    url);
    TRY(aws_s3_parse(room, &place.s3, err));
    TRY(check_key(&place, err));
    sha256_hex(place.digest, place.hex);
    place.file = place.s3.key;
    const char *slash = memrchr(place.s3.key.data, '/', place.s3.key.size);
    size_t folder_size = slash ? (size_t)(slash - place.s3.key.data) + 1 : 0;
    place.folder = (struct str){place.s3.key.data, folder_size};
    place.file = str_from(place.s3.key, folder_size);
    place.name = name_of(place.folder, place.s3.bucket);
    *ret_place = place;
    return STATUS_OK;
}

/* --- directories ------------------------------------------------------------------------------ */

static enum status make_directory(const char *path, struct error *err)
{
    if (mkdir(path, 0700) == 0 || errno == EEXIST) return STATUS_OK;
    return fail_errno(err, errno, "making directory '%s'", path);
}

/* What lies there is checked and then loaded by name: nobody else may change it in between. */
static enum status check_directory(const char *path, struct error *err)
{
    struct stat about;
    if (lstat(path, &about) != 0) return fail_errno(err, errno, "looking at '%s'", path);
    if (S_ISDIR(about.st_mode) && about.st_uid == geteuid() &&
        !(about.st_mode & (S_IWGRP | S_IWOTH)))
        return STATUS_OK;
    return fail(err, STATUS_FAILED_PRECONDITION,
                "'%s' is no directory that only this user may write to: chmod go-w it, or name "
                "another one with model.fetch_directory",
                path);
}

/* The directories of `path` below the first `from` bytes of it. */
static enum status make_parents(char *path, size_t from, struct error *err)
{
    for (char *slash = strchr(path + from, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        enum status status = make_directory(path, err);
        *slash = '/';
        TRY(status);
    }
    return STATUS_OK;
}

static uint64_t left_ns(const struct places *places)
{
    uint64_t now_ns = clock_monotonic_ns();
    return places->end_ns > now_ns ? places->end_ns - now_ns : 0;
}

static bool is_stopped(const struct places *places)
{
    return places->stop && atomic_load(places->stop);
}

/* Held until the descriptor is closed. Another process fetches the same while it is not free. */
static enum status lock_directory(const struct places *places, const char *path,
                                  int *ret_descriptor, struct error *err)
{
    const struct timespec pause = {0, LOCK_PAUSE_MS * (long)NS_PER_MS};
    int descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (descriptor < 0) return fail_errno(err, errno, "opening directory '%s'", path);
    while (flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
        int problem = errno;
        bool waits = (problem == EWOULDBLOCK || problem == EINTR) && !is_stopped(places);
        if (waits && left_ns(places) > 0) {
            (void)nanosleep(&pause, NULL); /* a signal makes it shorter */
            continue;
        }
        (void)close(descriptor); /* nothing was written to it */
        if (problem == EWOULDBLOCK || problem == EINTR)
            return fail(err, is_stopped(places) ? STATUS_CANCELLED : STATUS_DEADLINE_EXCEEDED,
                        "another process still fetches to '%s'", path);
        return fail_errno(err, problem, "locking '%s'", path);
    }
    *ret_descriptor = descriptor;
    return STATUS_OK;
}

/* --- files ------------------------------------------------------------------------------------ */

/* What a process that was killed had of this file: /tmp outlives it, and would fill up. */
static void sweep(const char *path)
{
    const char *name = strrchr(path, '/') + 1;
    char *folder CLEANUP(mem_freep) = str_copy((struct str){path, (size_t)(name - path)});
    struct str prefix = str_of(name);
    DIR *directory = opendir(folder);
    if (!directory) return;
    for (struct dirent *entry = readdir(directory); entry; entry = readdir(directory)) {
        struct str found = str_of(entry->d_name);
        if (found.size == prefix.size + PART_SUFFIX_SIZE && str_starts_with(found, prefix) &&
            found.data[prefix.size] == '.')
            (void)unlinkat(dirfd(directory), entry->d_name, 0); /* only room would be lost */
    }
    (void)closedir(directory);
}

static bool is_here(const char *path, const uint8_t digest[SHA256_SIZE])
{
    uint8_t found[SHA256_SIZE];
    struct error ignored;
    if (access(path, F_OK) != 0) return false;
    if (sha256_of_file(path, found, &ignored) == STATUS_OK &&
        memcmp(found, digest, SHA256_SIZE) == 0)
        return true;
    log_warning("a fetched file is damaged: once more", LOG_TEXT("path", path));
    return false;
}

static enum status connect_to(struct places *places, struct error *err)
{
    if (places->s3) return STATUS_OK;
    TRY(aws_credentials_new(&(struct aws_credentials_options){0}, &places->credentials, err));
    const struct aws_client_options options = {.service = "s3", .credentials = places->credentials};
    return aws_client_new(&options, &places->s3, err);
}

/* What to do about it, where that is known. */
static enum status advise(const struct places *places, struct aws_s3_place place,
                          enum status status, struct error *err)
{
    struct error cause = *err;
    if (status == STATUS_PERMISSION_DENIED)
        return fail(err, status,
                    "%.300s; allow s3:GetObject on arn:aws:s3:::%.*s/%.*s; S3 says this of a key "
                    "that does not exist, too",
                    cause.message, STR_ARGS(place.bucket),
                    (int)MIN(place.key.size, (size_t)SHOWN_MAX), place.key.data);
    if (status == STATUS_EXHAUSTED)
        return fail(err, status, "%.300s; model.fetch_bytes_max is %llu", cause.message,
                    (unsigned long long)places->config->model_fetch_bytes_max);
    return status;
}

/* Unless it is here. The directory is locked. */
static enum status fetch_file(struct places *places, struct aws_s3_place place, const char *path,
                              const uint8_t digest[SHA256_SIZE], struct error *err)
{
    uint8_t ignored[SHA256_SIZE];
    uint64_t start_ns = clock_monotonic_ns();
    struct stat about;
    sweep(path);
    if (is_here(path, digest)) return STATUS_OK;
    TRY(connect_to(places, err));
    const struct aws_s3_file file = {.place = place,
                                     .path = path,
                                     .size_max = places->config->model_fetch_bytes_max,
                                     .digest = digest,
                                     .timeout_ns = MAX(left_ns(places), UINT64_C(1)),
                                     .stop = places->stop};
    enum status status = aws_s3_get_file(places->s3, &file, ignored, err);
    if (status != STATUS_OK) return advise(places, place, status, err);
    log_info("file of a model fetched", LOG_STR("bucket", place.bucket), LOG_STR("key", place.key),
             LOG_U64("bytes", stat(path, &about) == 0 ? (uint64_t)about.st_size : 0),
             LOG_U64("ms", (clock_monotonic_ns() - start_ns) / NS_PER_MS));
    return STATUS_OK;
}

/* --- lists ------------------------------------------------------------------------------------ */

static enum status fetch_entry(struct places *places, const struct place *place,
                               const struct manifest_entry *entry, struct str root,
                               struct error *err)
{
    char *path CLEANUP(mem_freep) = mem_format("%.*s/%.*s", STR_ARGS(root), STR_ARGS(entry->path));
    char *key CLEANUP(mem_freep) =
        mem_format("%.*s%.*s", STR_ARGS(place->folder), STR_ARGS(entry->path));
    const struct aws_s3_place object = {place->s3.bucket, str_of(key)};
    if (object.key.size > AWS_S3_KEY_MAX)
        return fail(err, STATUS_INVALID_ARGUMENT, "a key of %zu bytes: S3 takes %d",
                    object.key.size, AWS_S3_KEY_MAX);
    TRY(make_parents(path, root.size + 1, err));
    return fetch_file(places, object, path, entry->digest, err);
}

static enum status fetch_listed(struct places *places, const struct place *place,
                                const char *list_path, const char *root, struct error *err)
{
    char *text CLEANUP(mem_freep) = NULL;
    struct str rest;
    TRY(file_read(list_path, PLACES_LIST_SIZE_MAX, &rest, err));
    text = (char *)(uintptr_t)rest.data;
    TRY(make_directory(root, err));
    for (size_t count = 0;; count++) {
        struct manifest_entry entry;
        bool more;
        TRY(manifest_next(&rest, &entry, &more, err));
        if (!more && count == 0)
            return fail(err, STATUS_INVALID_ARGUMENT, "the list names no file");
        if (!more) return STATUS_OK;
        if (count == PLACES_FILES_MAX)
            return fail(err, STATUS_EXHAUSTED, "the list names more than %d files",
                        PLACES_FILES_MAX);
        TRY(fetch_entry(places, place, &entry, str_of(root), err));
    }
}

/* --- places ----------------------------------------------------------------------------------- */

/* Into `directory`, which is locked; *ret_path is what a model is loaded from. */
static enum status fetch_into(struct places *places, const struct place *place,
                              const char *directory, char **ret_path, struct error *err)
{
    char *root CLEANUP(mem_freep) = mem_format("%s/%.*s", directory, STR_ARGS(place->name));
    bool is_list = str_equal(place->file, STR(LIST_NAME));
    char *path CLEANUP(mem_freep) =
        mem_format("%s/%.*s", is_list ? directory : root, STR_ARGS(place->file));
    if (!is_list) TRY(make_directory(root, err));
    TRY(fetch_file(places, place->s3, path, place->digest, err));
    if (is_list) TRY(fetch_listed(places, place, path, root, err));
    *ret_path = is_list ? TAKE(root) : TAKE(path);
    return STATUS_OK;
}

static enum status fetch_place(struct places *places, const struct place *place, char **ret_path,
                               struct error *err)
{
    const char *base = places->config->model_fetch_directory;
    char *directory CLEANUP(mem_freep) = mem_format("%s/%s", base, place->hex);
    int lock;
    TRY(make_directory(base, err));
    TRY(check_directory(base, err));
    TRY(make_directory(directory, err));
    TRY(lock_directory(places, directory, &lock, err));
    enum status status = fetch_into(places, place, directory, ret_path, err);
    (void)close(lock); /* nothing was written to it */
    return status;
}

static enum status resolve(struct places *places, const char *text, struct arena *arena,
                           const char **ret_path, struct error *err)
{
    struct str name = layout_place_of(text).name;
    const char *url = layout_place_of(text).path;
    char *room CLEANUP(mem_freep) = mem_copy_text(url);
    char *path CLEANUP(mem_freep) = NULL;
    struct place place;
    TRY(read_place(url, room, &place, err));
    TRY(fail_while(err, fetch_place(places, &place, &path, err), "fetching model '%.200s'", room));
    char *named CLEANUP(mem_freep) =
        mem_format("%.*s%s%s", STR_ARGS(name), name.size ? "=" : "", path);
    struct str copy = arena_try_copy(arena, (struct str){named, strlen(named) + 1});
    if (!copy.data) return fail(err, STATUS_EXHAUSTED, "no memory for the paths of models");
    *ret_path = copy.data;
    return STATUS_OK;
}

static enum status resolve_list(struct places *places, struct config_list *list,
                                struct arena *arena, struct error *err)
{
    if (!list_is_remote(list)) return STATUS_OK;
    const char **items = ARENA_TRY_ARRAY(arena, const char *, list->count);
    if (!items) return fail(err, STATUS_EXHAUSTED, "no memory for the paths of models");
    for (size_t i = 0; i < list->count; i++) {
        items[i] = list->items[i];
        if (is_remote(items[i])) TRY(resolve(places, items[i], arena, &items[i], err));
    }
    list->items = items;
    return STATUS_OK;
}

enum status places_fetch(struct config *config, struct arena *arena, const _Atomic bool *stop,
                         struct error *err)
{
    if (!places_are_remote(config)) return STATUS_OK;
    struct places places = {.config = config,
                            .stop = stop,
                            .end_ns = clock_monotonic_ns() + config->model_fetch_timeout_ns};
    enum status status = resolve_list(&places, &config->model_repository, arena, err);
    if (status == STATUS_OK) status = resolve_list(&places, &config->positionals, arena, err);
    aws_client_free(places.s3);
    aws_credentials_free(places.credentials);
    return status;
}
