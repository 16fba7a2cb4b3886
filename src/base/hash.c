/* SHA-256 by OpenSSL's EVP: the library's failures here are lack of memory, so they end us. */
#include "base/hash.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>
#include <unistd.h>

enum { FILE_PIECE_SIZE = 64 * 1024 };

static void must(bool worked)
{
    if (worked) return;
    fprintf(stderr, "slipway: libcrypto cannot compute SHA-256: out of memory?\n");
    abort();
}

/* Found once: to look an algorithm up costs more than to run it over a short text. */
static pthread_once_t fetched = PTHREAD_ONCE_INIT;
static EVP_MD *fetched_sha256;
static EVP_MD *fetched_md5; /* NULL: refused */

static void fetch(void)
{
    fetched_sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    fetched_md5 = EVP_MD_fetch(NULL, "MD5", NULL);
}

static const EVP_MD *sha256_algorithm(void)
{
    (void)pthread_once(&fetched, fetch); /* cannot fail with these arguments */
    return fetched_sha256;
}

static const EVP_MD *md5_algorithm(void)
{
    (void)pthread_once(&fetched, fetch);
    return fetched_md5;
}

void sha256_init(struct sha256 *hash)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    const EVP_MD *algorithm = sha256_algorithm();
    must(context && algorithm && EVP_DigestInit_ex(context, algorithm, NULL) == 1);
    hash->context = context;
}

void sha256_add(struct sha256 *hash, struct str bytes)
{
    assert(hash->context);
    if (bytes.size) must(EVP_DigestUpdate(hash->context, bytes.data, bytes.size) == 1);
}

void sha256_end(struct sha256 *hash, uint8_t digest[SHA256_SIZE])
{
    assert(hash->context);
    unsigned int size = 0;
    must(EVP_DigestFinal_ex(hash->context, digest, &size) == 1 && size == SHA256_SIZE);
    sha256_clear(hash);
}

void sha256_clear(struct sha256 *hash)
{
    EVP_MD_CTX_free(hash->context);
    hash->context = NULL;
}

void sha256_of(struct str bytes, uint8_t digest[SHA256_SIZE])
{
    struct sha256 hash;
    sha256_init(&hash);
    sha256_add(&hash, bytes);
    sha256_end(&hash, digest);
}

static enum status hash_descriptor(int descriptor, const char *path, struct sha256 *hash,
                                   struct error *err)
{
    char *piece CLEANUP(mem_freep) = mem_new(FILE_PIECE_SIZE);
    for (;;) {
        ssize_t got = read(descriptor, piece, FILE_PIECE_SIZE);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return fail_errno(err, errno, "cannot read '%s'", path);
        if (got == 0) return STATUS_OK;
        sha256_add(hash, (struct str){piece, (size_t)got});
    }
}

enum status sha256_of_file(const char *path, uint8_t ret_digest[SHA256_SIZE], struct error *err)
{
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) return fail_errno(err, errno, "cannot open '%s'", path);
    struct sha256 hash CLEANUP(sha256_clear);
    sha256_init(&hash);
    enum status status = hash_descriptor(descriptor, path, &hash, err);
    (void)close(descriptor); /* opened for reading: nothing to lose */
    TRY(status);
    sha256_end(&hash, ret_digest);
    return STATUS_OK;
}

void hmac_sha256(struct str key, struct str bytes, uint8_t digest[SHA256_SIZE])
{
    assert(key.size <= INT32_MAX);
    unsigned int size = 0;
    const unsigned char *data = (const unsigned char *)bytes.data;
    must(HMAC(EVP_sha256(), key.data, (int)key.size, data, bytes.size, digest, &size) != NULL);
    assert(size == SHA256_SIZE);
}

static void print_hex(const uint8_t *bytes, size_t size, char *text)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < size; i++) {
        text[2 * i] = digits[bytes[i] >> 4];
        text[2 * i + 1] = digits[bytes[i] & 15];
    }
    text[2 * size] = '\0';
}

void sha256_hex(const uint8_t digest[SHA256_SIZE], char text[SHA256_HEX_SIZE])
{
    print_hex(digest, SHA256_SIZE, text);
}

/* 16: it is no digit. */
static unsigned digit_of(char byte)
{
    if (byte >= '0' && byte <= '9') return (unsigned)(byte - '0');
    if (byte >= 'a' && byte <= 'f') return (unsigned)(byte - 'a') + 10;
    if (byte >= 'A' && byte <= 'F') return (unsigned)(byte - 'A') + 10;
    return 16;
}

bool sha256_read_hex(struct str text, uint8_t ret_digest[SHA256_SIZE])
{
    uint8_t digest[SHA256_SIZE];
    if (text.size != sizeof digest * 2) return false;
    for (size_t i = 0; i < sizeof digest; i++) {
        unsigned high = digit_of(text.data[2 * i]), low = digit_of(text.data[2 * i + 1]);
        if (high > 15 || low > 15) return false;
        digest[i] = (uint8_t)(high << 4 | low);
    }
    memcpy(ret_digest, digest, sizeof digest);
    return true;
}

bool md5_hex(struct str bytes, char text[MD5_HEX_SIZE])
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned size;
    const EVP_MD *algorithm = md5_algorithm();
    if (!algorithm || EVP_Digest(bytes.data, bytes.size, digest, &size, algorithm, NULL) != 1)
        return false;
    assert(2 * size + 1 == MD5_HEX_SIZE);
    print_hex(digest, size, text);
    return true;
}
