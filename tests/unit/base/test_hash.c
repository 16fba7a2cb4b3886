#include "base/hash.c"
#include "test.h"

static const char *hex_of(const uint8_t digest[SHA256_SIZE])
{
    static char text[SHA256_HEX_SIZE];
    sha256_hex(digest, text);
    return text;
}

/* FIPS 180-4's examples. */
TEST(known_digests)
{
    uint8_t digest[SHA256_SIZE];
    sha256_of(STR(""), digest);
    EXPECT_TEXT(hex_of(digest), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    sha256_of(STR("abc"), digest);
    EXPECT_TEXT(hex_of(digest), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(pieces_make_the_whole)
{
    uint8_t whole[SHA256_SIZE], pieces[SHA256_SIZE];
    sha256_of(STR("doubleit"), whole);
    struct sha256 hash;
    sha256_init(&hash);
    sha256_add(&hash, STR("double"));
    sha256_add(&hash, STR_EMPTY);
    sha256_add(&hash, STR("it"));
    sha256_end(&hash, pieces);
    sha256_clear(&hash);
    EXPECT(memcmp(whole, pieces, sizeof whole) == 0);
}

TEST(digests_are_read_as_they_are_written)
{
    uint8_t digest[SHA256_SIZE], read[SHA256_SIZE] = {7};
    char text[SHA256_HEX_SIZE + 1];
    sha256_of(STR("abc"), digest);
    sha256_hex(digest, text);
    EXPECT(sha256_read_hex(str_of(text), read) && memcmp(read, digest, sizeof read) == 0);
    memset(read, 0, sizeof read);
    EXPECT(sha256_read_hex(STR("BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD"),
                           read));
    EXPECT(memcmp(read, digest, sizeof read) == 0);
    read[0] = 7;
    EXPECT(!sha256_read_hex(STR_EMPTY, read));
    EXPECT(!sha256_read_hex((struct str){text, 63}, read));
    text[64] = '0';
    EXPECT(!sha256_read_hex((struct str){text, 65}, read));
    for (const char *wrong = "g/:@G` \x80"; *wrong; wrong++) {
        text[40] = *wrong;
        EXPECT(!sha256_read_hex((struct str){text, 64}, read));
    }
    EXPECT_INT(read[0], 7);
}

/* RFC 4231, test case 2. */
TEST(hmac_of_rfc_4231)
{
    uint8_t digest[SHA256_SIZE];
    hmac_sha256(STR("Jefe"), STR("what do ya want for nothing?"), digest);
    EXPECT_TEXT(hex_of(digest), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

/* RFC 1321, A.5. */
TEST(md5_of_rfc_1321)
{
    char text[MD5_HEX_SIZE];
    REQUIRE(md5_hex(STR("message digest"), text));
    EXPECT_TEXT(text, "f96b697d7cb7938d525a2f31aaf161d0");
    REQUIRE(md5_hex(STR_EMPTY, text));
    EXPECT_TEXT(text, "d41d8cd98f00b204e9800998ecf8427e");
}

TEST(files)
{
    uint8_t digest[SHA256_SIZE], expected[SHA256_SIZE];
    struct error err;
    char path[] = "/tmp/test_hash_XXXXXX";
    int descriptor = mkstemp(path);
    REQUIRE(descriptor >= 0);
    char *content CLEANUP(mem_freep) = mem_new_zeroed(200001, 1);
    EXPECT_INT(write(descriptor, content, 200001), 200001);
    (void)close(descriptor);
    EXPECT_STATUS(sha256_of_file(path, digest, &err), STATUS_OK, err);
    sha256_of((struct str){content, 200001}, expected);
    EXPECT(memcmp(digest, expected, sizeof digest) == 0);
    (void)unlink(path);
    EXPECT_STATUS(sha256_of_file(path, digest, &err), STATUS_NOT_FOUND, err);
    EXPECT_STATUS(sha256_of_file("/tmp", digest, &err), STATUS_INVALID_ARGUMENT, err);
}
