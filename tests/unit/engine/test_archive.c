#include "engine/archive.c"
#include "test.h"

#include <unistd.h>

/* An archive made by libzip in a temporary file. */
struct made {
    char path[64];
    zip_t *zip;
};

static void made_begin(struct made *made)
{
    (void)snprintf(made->path, sizeof made->path, "/tmp/archive_XXXXXX");
    int file = mkstemp(made->path);
    assert(file >= 0);
    (void)close(file);
    int code;
    made->zip = zip_open(made->path, ZIP_CREATE | ZIP_TRUNCATE, &code);
    assert(made->zip);
}

static zip_int64_t made_add(struct made *made, const char *name, const void *bytes, size_t size)
{
    zip_source_t *source = zip_source_buffer(made->zip, bytes, size, 0);
    zip_int64_t index = zip_file_add(made->zip, name, source, ZIP_FL_ENC_RAW);
    assert(index >= 0);
    return index;
}

static void made_add_text(struct made *made, const char *name)
{
    if (str_ends_with(str_of(name), STR(".pkl")))
        (void)made_add(made, name, "\x80\x02X\x13\0\0\0text text text text\x85.", 28);
    else
        (void)made_add(made, name, "text text text text text text", 29);
}

static void made_add_model(struct made *made)
{
    made_add_text(made, "m/data.pkl");
    made_add_text(made, "m/code/__torch__.py");
    made_add_text(made, "m/constants.pkl");
    made_add_text(made, "m/version");
}

static void made_end(struct made *made)
{
    assert(zip_close(made->zip) == 0);
    made->zip = NULL;
}

static enum status made_check(struct made *made, const struct archive_limits *limits,
                              struct error *err)
{
    if (made->zip) made_end(made);
    return archive_check(made->path, limits, err);
}

static void made_clear(struct made *made)
{
    if (made->zip) zip_discard(made->zip);
    (void)unlink(made->path);
}

#define EXPECT_REFUSED(made, limits, expected, part)                                               \
    do {                                                                                           \
        struct error err_;                                                                         \
        EXPECT_STATUS(made_check(made, limits, &err_), expected, err_);                            \
        if (!strstr(err_.message, part))                                                           \
            test_failed(__FILE__, __LINE__, "\"%s\" does not say \"%s\"", err_.message, part);     \
    } while (0)

TEST(archive_of_a_model_is_accepted)
{
    struct made made CLEANUP(made_clear);
    made_begin(&made);
    made_add_model(&made);
    made_add_text(&made, "m/.data/serialization_id");
    made_add_text(&made, "m/extra/labels.txt");
    struct error err;
    EXPECT_STATUS(made_check(&made, NULL, &err), STATUS_OK, err);
}

TEST(archive_that_is_not_there_is_not_found)
{
    struct error err;
    EXPECT_STATUS(archive_check("/tmp/no/such/model.pt", NULL, &err), STATUS_NOT_FOUND, err);
    EXPECT_STATUS(archive_check("/tmp", NULL, &err), STATUS_INVALID_ARGUMENT, err);
}

TEST(archive_of_weights_says_how_to_export)
{
    struct made made CLEANUP(made_clear);
    made_begin(&made);
    made_add_text(&made, "m/data.pkl");
    made_add_text(&made, "m/version");
    made_add_text(&made, "m/data/0");
    EXPECT_REFUSED(&made, NULL, STATUS_INVALID_ARGUMENT, "torch.jit.script");
}

TEST(archive_of_an_exported_program_is_told_apart)
{
    struct made made CLEANUP(made_clear);
    made_begin(&made);
    made_add_text(&made, "m/version");
    made_add_text(&made, "m/models/model.json");
    EXPECT_REFUSED(&made, NULL, STATUS_INVALID_ARGUMENT, "torch.export");
}

TEST(archive_lacking_a_part_is_refused)
{
    static const char *const parts[] = {"m/data.pkl", "m/code/__torch__.py", "m/constants.pkl",
                                        "m/version"};
    for (size_t left_out = 0; left_out < COUNT_OF(parts); left_out++) {
        struct made made CLEANUP(made_clear);
        made_begin(&made);
        for (size_t i = 0; i < COUNT_OF(parts); i++)
            if (i != left_out) made_add_text(&made, parts[i]);
        EXPECT_REFUSED(&made, NULL, STATUS_INVALID_ARGUMENT, "torch.jit");
    }
}

TEST(archive_with_a_hostile_name_is_refused)
{
    static const char *const names[] = {
        "../m/x", "m/../../x", "/etc/passwd", "m//x",   "m/./x",   "m/..",
        "m/a\\b", "m/a\nb",    "m/\x7f",      "m/\xff", "other/x", "m",
    };
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct made made CLEANUP(made_clear);
        made_begin(&made);
        made_add_model(&made);
        made_add_text(&made, names[i]);
        struct error err;
        EXPECT_STATUS(made_check(&made, NULL, &err), STATUS_INVALID_ARGUMENT, err);
    }
}

TEST(archive_with_twins_is_refused)
{
    struct made made CLEANUP(made_clear);
    made_begin(&made);
    made_add_model(&made);
    made_add_text(&made, "m/twinA");
    made_add_text(&made, "m/twinB");
    made_end(&made);
    // libzip writes no twins: rename one behind its back, in both headers
    FILE *file CLEANUP(file_closep) = fopen(made.path, "r+b");
    REQUIRE(file);
    char bytes[8192];
    size_t size = fread(bytes, 1, sizeof bytes, file);
    for (size_t i = 0; i + 7 <= size; i++)
        if (memcmp(bytes + i, "m/twinB", 7) == 0) bytes[i + 6] = 'A';
    rewind(file);
    REQUIRE(fwrite(bytes, 1, size, file) == size && fflush(file) == 0);
    struct error err;
    EXPECT_STATUS(made_check(&made, NULL, &err), STATUS_INVALID_ARGUMENT, err);
}

TEST(archive_limits_hold)
{
    struct made made CLEANUP(made_clear);
    made_begin(&made);
    made_add_model(&made);
    static char zeros[4 << 20];
    (void)made_add(&made, "m/data/0", zeros, sizeof zeros);
    made_end(&made);
    EXPECT_REFUSED(&made, NULL, STATUS_EXHAUSTED, "200 times");

    struct archive_limits limits = archive_limits_default;
    limits.ratio_max = 5000;
    struct error err;
    EXPECT_STATUS(made_check(&made, &limits, &err), STATUS_OK, err);
    limits.size_max = sizeof zeros;
    EXPECT_REFUSED(&made, &limits, STATUS_EXHAUSTED, "unpacks to more than");
    limits.size_max = sizeof zeros + 2 * 29 + 2 * 28;
    EXPECT_STATUS(made_check(&made, &limits, &err), STATUS_OK, err);
    limits.entry_count_max = 4;
    EXPECT_REFUSED(&made, &limits, STATUS_EXHAUSTED, "5 entries");
}

TEST(archive_packed_in_an_exotic_way_is_refused)
{
    struct made made CLEANUP(made_clear);
    made_begin(&made);
    made_add_model(&made);
    if (zip_compression_method_supported(ZIP_CM_BZIP2, 1)) {
        static char text[4096];
        zip_int64_t index = made_add(&made, "m/extra/x", text, sizeof text);
        REQUIRE(zip_set_file_compression(made.zip, (zip_uint64_t)index, ZIP_CM_BZIP2, 0) == 0);
        EXPECT_REFUSED(&made, NULL, STATUS_INVALID_ARGUMENT, "method");
    }
}

TEST(archive_with_a_comment_or_a_tail_is_refused)
{
    struct made made CLEANUP(made_clear);
    made_begin(&made);
    made_add_model(&made);
    REQUIRE(zip_set_archive_comment(made.zip, "hello", 5) == 0);
    EXPECT_REFUSED(&made, NULL, STATUS_INVALID_ARGUMENT, "damaged");
}

static char *read_all(const char *path, size_t *ret_size)
{
    FILE *file CLEANUP(file_closep) = fopen(path, "rb");
    assert(file);
    char *bytes = mem_new(1 << 20);
    *ret_size = fread(bytes, 1, 1 << 20, file);
    return bytes;
}

static void write_all(const char *path, const char *bytes, size_t size)
{
    FILE *file CLEANUP(file_closep) = fopen(path, "wb");
    assert(file && fwrite(bytes, 1, size, file) == size);
}

TEST(archive_cut_anywhere_is_refused)
{
    struct made made CLEANUP(made_clear);
    made_begin(&made);
    made_add_model(&made);
    made_end(&made);
    size_t size;
    char *bytes CLEANUP(mem_freep) = read_all(made.path, &size);
    for (size_t cut = 0; cut < size; cut++) {
        write_all(made.path, bytes, cut);
        struct error err;
        EXPECT_STATUS(made_check(&made, NULL, &err), STATUS_INVALID_ARGUMENT, err);
    }
}

/* A changed bit may hit a date or an attribute, which nobody reads; content it may not change. */
TEST(archive_with_a_changed_content_byte_is_refused)
{
    struct made made CLEANUP(made_clear);
    made_begin(&made);
    made_add_model(&made);
    char noise[512];
    struct prng prng;
    prng_seed(&prng, test_seed());
    for (size_t i = 0; i < sizeof noise; i++) noise[i] = (char)prng_u64(&prng);
    (void)made_add(&made, "m/data/0", noise, sizeof noise);
    made_end(&made);
    size_t size;
    char *bytes CLEANUP(mem_freep) = read_all(made.path, &size);
    char *content = memmem(bytes, size, noise, sizeof noise);
    REQUIRE(content);
    for (size_t i = 0; i < sizeof noise; i += 37) {
        content[i] = (char)(content[i] ^ 1);
        write_all(made.path, bytes, size);
        EXPECT_REFUSED(&made, NULL, STATUS_INVALID_ARGUMENT, "checksum");
        content[i] = (char)(content[i] ^ 1);
    }
}

TEST(archive_survives_random_changes)
{
    struct made made CLEANUP(made_clear);
    made_begin(&made);
    made_add_model(&made);
    made_end(&made);
    size_t size;
    char *bytes CLEANUP(mem_freep) = read_all(made.path, &size);
    char *changed CLEANUP(mem_freep) = mem_new(size);
    struct prng prng;
    prng_seed(&prng, test_seed());
    for (int round = 0; round < 1000; round++) {
        memcpy(changed, bytes, size);
        for (uint64_t i = prng_u64(&prng) % 4 + 1; i > 0; i--)
            changed[prng_u64(&prng) % size] = (char)prng_u64(&prng);
        write_all(made.path, changed, size);
        struct error err;
        enum status status = made_check(&made, NULL, &err);
        EXPECT(status == STATUS_OK || status == STATUS_INVALID_ARGUMENT ||
               status == STATUS_EXHAUSTED);
    }
}

TEST(archive_with_a_pickle_that_lies_is_refused)
{
    struct made made CLEANUP(made_clear);
    made_begin(&made);
    made_add_model(&made);
    (void)made_add(&made, "m/code/x.py.debug_pkl", "\x80\x02NN.", 5);
    EXPECT_REFUSED(&made, NULL, STATUS_INVALID_ARGUMENT, "m/code/x.py.debug_pkl");
}
