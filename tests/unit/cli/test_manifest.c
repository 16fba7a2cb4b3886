#include "cli/manifest.c"
#include "test.h"

#define DIGEST "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

TEST(lines_as_sha256sum_writes_them)
{
    struct str rest =
        STR(DIGEST "  model.yaml\n\n" DIGEST " *1/model.onnx\r\n" DIGEST "  ./a b/c\xC3\xBC");
    const char *const paths[] = {"model.yaml", "1/model.onnx", "a b/c\xC3\xBC"};
    uint8_t digest[SHA256_SIZE];
    struct manifest_entry entry;
    struct error err;
    bool more;
    sha256_of(STR("abc"), digest);
    for (size_t i = 0; i < COUNT_OF(paths); i++) {
        EXPECT_STATUS(manifest_next(&rest, &entry, &more, &err), STATUS_OK, err);
        REQUIRE(more);
        EXPECT_STR(entry.path, str_of(paths[i]));
        EXPECT(memcmp(entry.digest, digest, sizeof digest) == 0);
    }
    EXPECT_STATUS(manifest_next(&rest, &entry, &more, &err), STATUS_OK, err);
    EXPECT(!more);
}

TEST(lines_that_are_none)
{
    const char *const lines[] = {
        "x",
        DIGEST,
        DIGEST " ",
        DIGEST "  ",
        DIGEST " a",
        DIGEST "  /a",
        DIGEST "  ../a",
        DIGEST "  a/../b",
        DIGEST "  a//b",
        DIGEST "  a/",
        DIGEST "  ./",
        DIGEST "\t a",
        "\\" DIGEST "  a\\nb",
        " " DIGEST "  a",
        "0" DIGEST "  a",
    };
    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        struct str rest = str_of(lines[i]);
        struct manifest_entry entry;
        struct error err;
        bool more;
        EXPECT_STATUS(manifest_next(&rest, &entry, &more, &err), STATUS_INVALID_ARGUMENT, err);
    }
}
