#include "aws/s3.c"
#include "stub.h"
#include "test.h"

#define OK(length) "HTTP/1.1 200 OK\r\nContent-Length: " #length "\r\n\r\n"

struct fixture {
    struct stub stub;
    struct aws_credentials *credentials;
    struct aws_client *client;
    struct arena arena;
    struct error err;
    char path[64];
};

static void no_pause(void *context UNUSED, uint64_t ns UNUSED) {}

static void begin(struct fixture *f, const struct stub_answer *answers, size_t count)
{
    const struct aws_keys keys = {STR("AKID"), STR("secret"), STR_EMPTY, 0};
    *f = (struct fixture){.path = "/tmp/slipway-s3.XXXXXX"};
    int file = mkstemp(f->path);
    if (file < 0 || write(file, "old", 3) != 3 || close(file) != 0) abort();
    stub_start(&f->stub, answers, count);
    arena_init(&f->arena, 1 << 20);
    if (aws_credentials_new(&(struct aws_credentials_options){.keys = &keys}, &f->credentials,
                            &f->err) != STATUS_OK)
        abort();
    const struct aws_client_options options = {.service = "s3",
                                               .region = "eu-west-3",
                                               .endpoint = f->stub.url,
                                               .credentials = f->credentials,
                                               .pause = no_pause};
    EXPECT_STATUS(aws_client_new(&options, &f->client, &f->err), STATUS_OK, f->err);
}

#define BEGIN(f, answers) begin((f), (answers), COUNT_OF(answers))

static void end(struct fixture *f)
{
    aws_client_free(f->client);
    aws_credentials_free(f->credentials);
    stub_end(&f->stub);
    stub_clear(&f->stub);
    arena_clear(&f->arena);
    (void)unlink(f->path);
}

static bool file_is(const struct fixture *f, const char *expected)
{
    char text[64] = "";
    FILE *file = fopen(f->path, "r");
    if (!file) return false;
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    (void)fclose(file);
    return strcmp(text, expected) == 0;
}

static const char *request(const struct fixture *f, size_t number)
{
    return number < f->stub.request_count ? f->stub.requests[number] : "";
}

static const struct aws_s3_place place = {{"bucket", 6}, {"a b/c+d//\xc3\xa9", 11}};

TEST(places)
{
    static const char *const wrong[] = {"http://x/y",   "s3://",     "s3://ab/x",
                                        "s3://UPPER/x", "s3:///key", "s3://a_b_c/x"};
    struct aws_s3_place found;
    struct error err;
    EXPECT_STATUS(aws_s3_parse("s3://bucket/a/b", &found, &err), STATUS_OK, err);
    EXPECT(str_equal(found.bucket, STR("bucket")) && str_equal(found.key, STR("a/b")));
    EXPECT_STATUS(aws_s3_parse("s3://bucket", &found, &err), STATUS_OK, err);
    EXPECT_INT(found.key.size, 0);
    for (size_t i = 0; i < COUNT_OF(wrong); i++)
        EXPECT_STATUS(aws_s3_parse(wrong[i], &found, &err), STATUS_INVALID_ARGUMENT, err);
}

TEST(objects_are_put_with_their_digest_in_the_signature)
{
    static const struct stub_answer answers[] = {{.text = OK(0)}, {.text = OK(0)}};
    struct fixture f;
    BEGIN(&f, answers);
    EXPECT_STATUS(aws_s3_put(f.client, place, STR("bytes"), STR("text/plain"), &f.err), STATUS_OK,
                  f.err);
    EXPECT(strncmp(request(&f, 0), "PUT /bucket/a%20b/c%2Bd//%C3%A9 HTTP/1.1\r\n", 42) == 0);
    EXPECT(strcasestr(request(&f, 0), "x-amz-content-sha256: "));
    EXPECT(strstr(request(&f, 0), "\r\n\r\nbytes"));
    EXPECT_STATUS(aws_s3_delete(f.client, place, &f.err), STATUS_OK, f.err);
    EXPECT(strncmp(request(&f, 1), "DELETE /bucket/", 15) == 0);
    end(&f);
}

TEST(objects_are_got)
{
    static const struct stub_answer answers[] = {
        {.text = OK(5) "abc", .closes = true}, {.text = OK(5) "abcde"}, {.text = OK(5) "abcde"}};
    struct fixture f;
    struct str bytes;
    BEGIN(&f, answers);
    EXPECT_STATUS(aws_s3_get(f.client, place, 5, &f.arena, &bytes, &f.err), STATUS_OK, f.err);
    EXPECT(str_equal(bytes, STR("abcde"))); /* the first was half */
    EXPECT_STATUS(aws_s3_get(f.client, place, 4, &f.arena, &bytes, &f.err), STATUS_EXHAUSTED,
                  f.err);
    end(&f);
}

TEST(one_that_is_not_there)
{
    static const struct stub_answer answers[] = {
        {.text = "HTTP/1.1 404 Not Found\r\nContent-Length: 40\r\n\r\n"
                 "<Error><Code>NoSuchKey</Code>   </Error>"},
        {.text = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"}};
    struct fixture f;
    struct str bytes;
    BEGIN(&f, answers);
    EXPECT_STATUS(aws_s3_get(f.client, place, 5, &f.arena, &bytes, &f.err), STATUS_NOT_FOUND,
                  f.err);
    EXPECT(strstr(f.err.message, "NoSuchKey"));
    EXPECT_STATUS(aws_s3_delete(f.client, place, &f.err), STATUS_OK, f.err);
    end(&f);
}

TEST(files_are_whole_and_right_or_untouched)
{
    static const struct stub_answer answers[] = {
        {.text = OK(6) "abc", .closes = true},
        {.text = OK(6) "abcdef"},
        {.text = OK(6) "abcdeX"},
        {.text = OK(6) "abcdef"},
        {.text = "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"}};
    struct fixture f;
    uint8_t digest[SHA256_SIZE], wanted[SHA256_SIZE];
    BEGIN(&f, answers);
    sha256_of(STR("abcdef"), wanted);
    struct aws_s3_file file = {.place = place, .path = f.path, .size_max = 6, .digest = wanted};
    EXPECT_STATUS(aws_s3_get_file(f.client, &file, digest, &f.err), STATUS_OK, f.err);
    EXPECT(memcmp(digest, wanted, SHA256_SIZE) == 0);
    EXPECT(file_is(&f, "abcdef"));
    EXPECT_STATUS(aws_s3_get_file(f.client, &file, digest, &f.err), STATUS_DATA_LOSS, f.err);
    EXPECT(file_is(&f, "abcdef"));
    file.size_max = 5;
    EXPECT_STATUS(aws_s3_get_file(f.client, &file, digest, &f.err), STATUS_EXHAUSTED, f.err);
    EXPECT_STATUS(aws_s3_get_file(f.client, &file, digest, &f.err), STATUS_PERMISSION_DENIED,
                  f.err);
    EXPECT(file_is(&f, "abcdef"));
    char pattern[96];
    (void)snprintf(pattern, sizeof pattern, "test -z \"$(ls %s.* 2>/dev/null)\"", f.path);
    EXPECT(system(pattern) == 0);
    file.path = "/nowhere/at/all";
    EXPECT_STATUS(aws_s3_get_file(f.client, &file, digest, &f.err), STATUS_NOT_FOUND, f.err);
    end(&f);
}
