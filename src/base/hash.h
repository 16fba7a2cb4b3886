/*
 * SHA-256 and HMAC-SHA-256, by OpenSSL. Any thread; a struct sha256 belongs to one.
 *
 *   struct sha256 hash;
 *   sha256_init(&hash);
 *   sha256_add(&hash, STR("ab"));
 *   sha256_end(&hash, digest);      // also clears it
 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include "base/str.h"

#define SHA256_SIZE 32
#define SHA256_HEX_SIZE (2 * SHA256_SIZE + 1)

struct sha256 {
    void *context;
};

void sha256_init(struct sha256 *hash);
void sha256_add(struct sha256 *hash, struct str bytes);

/* Writes the digest and clears the hash, which may be initialised again. */
void sha256_end(struct sha256 *hash, uint8_t digest[SHA256_SIZE]);

/* For a hash that was begun and is not ended; harmless after sha256_end. */
void sha256_clear(struct sha256 *hash);

/* Of bytes in memory. */
void sha256_of(struct str bytes, uint8_t digest[SHA256_SIZE]);

/* Of a file's content. */
enum status sha256_of_file(const char *path, uint8_t ret_digest[SHA256_SIZE],
                           struct error *err) FALLIBLE;

void hmac_sha256(struct str key, struct str bytes, uint8_t digest[SHA256_SIZE]);

/*
 * MD5 in lower-case hexadecimal, for what others sign with it: never for security. False if this
 * system's OpenSSL refuses to (FIPS).
 */
#define MD5_HEX_SIZE 33
bool md5_hex(struct str bytes, char text[MD5_HEX_SIZE]) FALLIBLE;

/* Lower-case hexadecimal, NUL-terminated. */
void sha256_hex(const uint8_t digest[SHA256_SIZE], char text[SHA256_HEX_SIZE]);

/* The way back, of either case; false if the text is anything else than 64 digits. */
bool sha256_read_hex(struct str text, uint8_t ret_digest[SHA256_SIZE]) FALLIBLE;

#endif
