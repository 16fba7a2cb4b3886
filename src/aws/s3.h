/*
 * S3, as little of it as is used: objects in and out, their digest checked by us.
 *
 *   struct aws_s3_place place;
 *   TRY(aws_s3_parse("s3://models/iris/1/model.onnx", &place, err));
 *   TRY(aws_s3_get_file(s3, &(struct aws_s3_file){.place = place, .path = path,
 *                       .size_max = limit, .digest = digest}, ret_digest, err));
 *
 * `s3` is an aws_client of service "s3"; its threads are as that one says. The bucket stands in the
 * path, not in the host's name: so it may have any name, and an emulator needs no DNS.
 */
#ifndef AWS_S3_H
#define AWS_S3_H

#include "aws/client.h"
#include "base/hash.h"

enum { AWS_S3_KEY_MAX = 1024, AWS_S3_BUCKET_MAX = 63 };

/* Views. */
struct aws_s3_place {
    struct str bucket;
    struct str key; /* empty: the whole bucket */
};

/* Of "s3://BUCKET/KEY"; borrows the text. INVALID_ARGUMENT says what is wrong with it. */
enum status aws_s3_parse(const char *url, struct aws_s3_place *ret_place,
                         struct error *err) FALLIBLE;

/* Writes an object; the same again is the same. */
enum status aws_s3_put(struct aws_client *s3, struct aws_s3_place place, struct str bytes,
                       struct str type, struct error *err) FALLIBLE;

/* Into the arena. NOT_FOUND; EXHAUSTED: more than `size_max` bytes. */
enum status aws_s3_get(struct aws_client *s3, struct aws_s3_place place, size_t size_max,
                       struct arena *arena, struct str *ret_bytes, struct error *err) FALLIBLE;

/* One that is not there is no failure. */
enum status aws_s3_delete(struct aws_client *s3, struct aws_s3_place place,
                          struct error *err) FALLIBLE;

struct aws_s3_file {
    struct aws_s3_place place;
    const char *path;      /* is made, or replaced, at once and whole */
    uint64_t size_max;     /* bytes */
    const uint8_t *digest; /* SHA-256 that it must have; NULL: any */
    uint64_t timeout_ns;   /* 0: 10 min */
    const _Atomic bool *stop;
};

/*
 * Streams an object to a file. DATA_LOSS: it has another digest, and the file is not touched.
 * EXHAUSTED: it is larger. *ret_digest is what it has.
 */
enum status aws_s3_get_file(struct aws_client *s3, const struct aws_s3_file *file,
                            uint8_t ret_digest[SHA256_SIZE], struct error *err) FALLIBLE;

#endif
