/* GetObject, PutObject, DeleteObject. */
#include "aws/s3.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define FILE_TIMEOUT_NS (600 * NS_PER_S)

enum { PATH_SIZE_MAX = 8 * 1024, ANSWER_ARENA_MAX = 1024 * 1024 };

/* --- places ------------------------------------------------------------------------------------
 */

static bool is_bucket(struct str text)
{
    for (size_t i = 0; i < text.size; i++) {
        char byte = text.data[i];
        if (!(byte >= 'a' && byte <= 'z') && !(byte >= '0' && byte <= '9') && byte != '-' &&
            byte != '.')
            return false;
    }
    return text.size >= 3 && text.size <= AWS_S3_BUCKET_MAX;
}

enum status aws_s3_parse(const char *url, struct aws_s3_place *ret_place, struct error *err)
{
    struct str key = str_of(url);
    if (!str_starts_with(key, STR("s3://")))
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "'%.256s' is no place in S3: those are s3://BUCKET/KEY", url);
    key = str_from(key, strlen("s3://"));
    struct str bucket = str_cut(&key, '/');
    if (!is_bucket(bucket))
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "'%.256s' names no bucket: 3 to %d small letters, digits, '-' and '.'", url,
                    AWS_S3_BUCKET_MAX);
    if (key.data && key.size > AWS_S3_KEY_MAX)
        return fail(err, STATUS_INVALID_ARGUMENT, "a key of %zu bytes: S3 takes %d", key.size,
                    AWS_S3_KEY_MAX);
    *ret_place = (struct aws_s3_place){bucket, key.data ? key : STR_EMPTY};
    return STATUS_OK;
}

/* "/bucket/key", all but slashes and what needs no encoding encoded. */
static void print_path(struct buffer *out, struct aws_s3_place place)
{
    buffer_add_byte(out, '/');
    buffer_add(out, place.bucket);
    for (struct str rest = place.key; rest.data;) {
        struct str part = str_cut(&rest, '/');
        buffer_add_byte(out, '/');
        sigv4_encode(out, part);
    }
}

/* --- one request -------------------------------------------------------------------------------
 */

static enum status ask(struct aws_client *s3, struct aws_s3_place place,
                       struct aws_request *request, struct arena *arena, struct aws_reply *reply,
                       struct error *err)
{
    struct buffer path;
    buffer_init(&path, PATH_SIZE_MAX);
    print_path(&path, place);
    enum status status;
    if (buffer_failed(&path)) {
        aws_answer_none(reply);
        status = fail(err, STATUS_EXHAUSTED, "no memory for a path in S3");
    } else {
        request->path = buffer_view(&path);
        status = aws_client_call(s3, request, arena, reply, err);
    }
    buffer_clear(&path);
    return fail_while(err, status, "%s s3://%.*s/%.*s", request->method, STR_ARGS(place.bucket),
                      (int)MIN(place.key.size, (size_t)160), place.key.data);
}

enum status aws_s3_put(struct aws_client *s3, struct aws_s3_place place, struct str bytes,
                       struct str type, struct error *err)
{
    const struct sigv4_field fields[] = {{STR("Content-Type"), type}};
    struct aws_request request = {.method = "PUT",
                                  .body = bytes.data ? bytes : STR_EMPTY,
                                  .fields = fields,
                                  .field_count = type.size ? 1 : 0,
                                  .attempt_timeout_ns = 60 * NS_PER_S,
                                  .timeout_ns = 120 * NS_PER_S};
    struct arena arena;
    struct aws_reply reply;
    arena_init(&arena, ANSWER_ARENA_MAX);
    enum status status = ask(s3, place, &request, &arena, &reply, err);
    arena_clear(&arena);
    return status;
}

enum status aws_s3_delete(struct aws_client *s3, struct aws_s3_place place, struct error *err)
{
    struct aws_request request = {.method = "DELETE"};
    struct arena arena;
    struct aws_reply reply;
    arena_init(&arena, ANSWER_ARENA_MAX);
    enum status status = ask(s3, place, &request, &arena, &reply, err);
    arena_clear(&arena);
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

/* --- bodies ------------------------------------------------------------------------------------
 */

/* Where the pieces of a body go, from its beginning with each attempt. */
struct body {
    struct arena *arena; /* for the bytes; NULL: into the file */
    struct buffer bytes;
    int file;
    struct sha256 hash;
    uint64_t size;
    uint64_t size_max;
    int problem; /* errno of a write */
};

static void begin_body(void *context)
{
    struct body *body = context;
    body->size = 0;
    body->problem = 0;
    buffer_reset(&body->bytes);
    sha256_clear(&body->hash);
    sha256_init(&body->hash);
    if (body->file >= 0 && (ftruncate(body->file, 0) != 0 || lseek(body->file, 0, SEEK_SET) != 0))
        body->problem = errno;
}

static bool write_all(struct body *body, struct str bytes)
{
    while (bytes.size > 0) {
        ssize_t count = write(body->file, bytes.data, bytes.size);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) {
            body->problem = errno;
            return false;
        }
        bytes = str_from(bytes, (size_t)count);
    }
    return true;
}

static bool take_piece(void *context, struct str bytes)
{
    struct body *body = context;
    body->size += bytes.size;
    if (body->problem || body->size > body->size_max) return false;
    if (body->file >= 0) {
        sha256_add(&body->hash, bytes);
        return write_all(body, bytes);
    }
    buffer_add(&body->bytes, bytes);
    return !buffer_failed(&body->bytes);
}

/* What stopped it, where that was us. */
static enum status explain(const struct body *body, enum status status, struct error *err)
{
    if (status == STATUS_OK) return STATUS_OK;
    if (body->size > body->size_max)
        return fail(err, STATUS_EXHAUSTED, "an object of more than %llu bytes: no more are read",
                    (unsigned long long)body->size_max);
    if (body->problem) return fail_errno(err, body->problem, "writing the object's file");
    return status;
}

static enum status fetch(struct aws_client *s3, struct aws_s3_place place, struct body *body,
                         const struct aws_s3_file *file, struct error *err)
{
    uint64_t timeout_ns = file && file->timeout_ns ? file->timeout_ns : FILE_TIMEOUT_NS;
    struct aws_request request = {.method = "GET",
                                  .attempt_timeout_ns = timeout_ns,
                                  .timeout_ns = timeout_ns,
                                  .reply_size_max =
                                      (size_t)MIN(body->size_max, (uint64_t)SIZE_MAX / 2) +
                                      ANSWER_ARENA_MAX / 2,
                                  .sink = take_piece,
                                  .begin = begin_body,
                                  .sink_context = body,
                                  .stop = file ? file->stop : NULL};
    struct arena arena;
    struct aws_reply reply;
    arena_init(&arena, ANSWER_ARENA_MAX);
    enum status status = explain(body, ask(s3, place, &request, &arena, &reply, err), err);
    arena_clear(&arena);
    return status;
}

enum status aws_s3_get(struct aws_client *s3, struct aws_s3_place place, size_t size_max,
                       struct arena *arena, struct str *ret_bytes, struct error *err)
{
    struct body body = {.file = -1, .size_max = size_max};
    buffer_init(&body.bytes, size_max);
    sha256_init(&body.hash);
    enum status status = fetch(s3, place, &body, NULL, err);
    struct str bytes = {NULL, 0};
    if (status == STATUS_OK) bytes = arena_try_copy(arena, buffer_view(&body.bytes));
    if (status == STATUS_OK && !bytes.data)
        status = fail(err, STATUS_EXHAUSTED, "no memory for an object of %llu bytes",
                      (unsigned long long)body.size);
    buffer_clear(&body.bytes);
    sha256_clear(&body.hash);
    TRY(status);
    *ret_bytes = bytes;
    return STATUS_OK;
}

/* --- files -------------------------------------------------------------------------------------
 */

static enum status check_digest(const struct aws_s3_file *file, const uint8_t digest[SHA256_SIZE],
                                struct error *err)
{
    char wanted[SHA256_HEX_SIZE], found[SHA256_HEX_SIZE];
    if (!file->digest || memcmp(file->digest, digest, SHA256_SIZE) == 0) return STATUS_OK;
    sha256_hex(file->digest, wanted);
    sha256_hex(digest, found);
    return fail(err, STATUS_DATA_LOSS,
                "s3://%.*s/%.*s has the SHA-256 %s, not %s: it is not the file that was meant",
                STR_ARGS(file->place.bucket), (int)MIN(file->place.key.size, (size_t)160),
                file->place.key.data, found, wanted);
}

static enum status fetch_to(struct aws_client *s3, const struct aws_s3_file *file, int descriptor,
                            uint8_t digest[SHA256_SIZE], struct error *err)
{
    struct body body = {.file = descriptor, .size_max = file->size_max};
    sha256_init(&body.hash);
    enum status status = fetch(s3, file->place, &body, file, err);
    if (status == STATUS_OK)
        sha256_end(&body.hash, digest);
    else
        sha256_clear(&body.hash);
    TRY(status);
    TRY(check_digest(file, digest, err));
    if (fsync(descriptor) != 0) return fail_errno(err, errno, "writing '%s'", file->path);
    return STATUS_OK;
}

enum status aws_s3_get_file(struct aws_client *s3, const struct aws_s3_file *file,
                            uint8_t ret_digest[SHA256_SIZE], struct error *err)
{
    char *part CLEANUP(mem_freep) = mem_format("%s.XXXXXX", file->path);
    uint8_t digest[SHA256_SIZE];
    int descriptor = mkostemp(part, O_CLOEXEC);
    if (descriptor < 0) return fail_errno(err, errno, "making a file beside '%s'", file->path);
    enum status status = fetch_to(s3, file, descriptor, digest, err);
    if (close(descriptor) != 0 && status == STATUS_OK)
        status = fail_errno(err, errno, "writing '%s'", file->path);
    if (status == STATUS_OK && rename(part, file->path) != 0)
        status = fail_errno(err, errno, "renaming '%s'", part);
    if (status != STATUS_OK) {
        (void)unlink(part); /* nobody knows of it */
        return status;
    }
    memcpy(ret_digest, digest, SHA256_SIZE);
    return STATUS_OK;
}
