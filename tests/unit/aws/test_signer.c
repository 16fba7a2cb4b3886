/* What we sign: the published vectors, both ways; what our own verifier says; what is refused. */
#include "aws/signer.c"
#include "sigv4_vectors.h"
#include "test.h"

#define SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"

enum { NOW = 1440938160, /* 2015-08-30 12:36:00 */ FIELDS_MAX = 8 };

static struct error err;

static struct signer usual(void)
{
    return (struct signer){.key_id = STR("AKIDEXAMPLE"),
                           .secret = STR(SECRET),
                           .region = STR("us-east-1"),
                           .service = STR("service"),
                           .now_s = NOW};
}

static struct sigv4_request request_of(const struct vector *vector, struct sigv4_field *fields)
{
    struct sigv4_request request = {.method = str_of(vector->method),
                                    .path = str_of(vector->path),
                                    .query = str_of(vector->query),
                                    .body = str_of(vector->body),
                                    .fields = fields};
    struct str rest = str_of(vector->headers);
    if (!vector->normalized) request.path_form = SIGV4_PATH_AS_SENT;
    while (rest.data && request.field_count < FIELDS_MAX) {
        struct str value = str_cut(&rest, '\n');
        struct str name = str_cut(&value, ':');
        fields[request.field_count++] = (struct sigv4_field){name, value};
    }
    return request;
}

static struct str last_part(struct str text, const char *mark)
{
    const char *found = strstr(text.data, mark);
    return found ? str_of(found + strlen(mark)) : STR_EMPTY;
}

static void check_vector(const struct vector *vector)
{
    struct arena arena CLEANUP(arena_clear);
    struct sigv4_field fields[FIELDS_MAX];
    struct sigv4_request request = request_of(vector, fields);
    struct signer signer = usual();
    struct signer_fields add;
    struct str query;
    arena_init(&arena, 64 * 1024);
    signer.token = str_of(vector->token);
    signer.content_digest = vector->content_digest;
    EXPECT_STATUS(signer_sign(&signer, &request, &arena, &add, &err), STATUS_OK, err);
    struct str signature = last_part(add.fields[add.count - 1].value, "Signature=");
    if (!str_equal(signature, str_of(vector->in_header)))
        test_failed(__FILE__, __LINE__, "%s in a header: %s", vector->name, signature.data);
    EXPECT_STATUS(signer_presign(&signer, &request, 3600, &arena, &query, &err), STATUS_OK, err);
    signature = last_part(query, "X-Amz-Signature=");
    if (!str_equal(signature, str_of(vector->in_query)))
        test_failed(__FILE__, __LINE__, "%s in a query: %s", vector->name, signature.data);
}

TEST(published_vectors)
{
    EXPECT_INT(COUNT_OF(vectors), 37);
    for (size_t i = 0; i < COUNT_OF(vectors); i++) check_vector(&vectors[i]);
}

/* The examples of S3's own documentation: no normalisation, a digest, an empty path segment. */
TEST(published_examples_of_s3)
{
    struct arena arena CLEANUP(arena_clear);
    struct signer signer = {.key_id = STR("AKIAIOSFODNN7EXAMPLE"),
                            .secret = STR("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
                            .region = STR("us-east-1"),
                            .service = STR("s3"),
                            .now_s = 1369353600,
                            .content_digest = true};
    const struct sigv4_field fields[] = {{STR("Host"), STR("examplebucket.s3.amazonaws.com")},
                                         {STR("Range"), STR("bytes=0-9")}};
    struct sigv4_request request = {.method = STR("GET"),
                                    .path = STR("/test.txt"),
                                    .query = STR_EMPTY,
                                    .body = STR_EMPTY,
                                    .fields = fields,
                                    .field_count = 2,
                                    .path_form = SIGV4_PATH_AS_SENT};
    struct signer_fields add;
    struct str query;
    arena_init(&arena, 64 * 1024);
    EXPECT_STATUS(signer_sign(&signer, &request, &arena, &add, &err), STATUS_OK, err);
    EXPECT_STR(last_part(add.fields[add.count - 1].value, "Signature="),
               STR("f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"));
    request.field_count = 1;
    request.payload = STR("UNSIGNED-PAYLOAD");
    EXPECT_STATUS(signer_presign(&signer, &request, 86400, &arena, &query, &err), STATUS_OK, err);
    EXPECT_STR(last_part(query, "X-Amz-Signature="),
               STR("aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"));
}

static enum status verify_signed(const struct sigv4_request *request,
                                 const struct signer_fields *add, struct str secret)
{
    struct sigv4_field fields[FIELDS_MAX + SIGNER_FIELDS_MAX];
    struct sigv4_request sent = *request;
    struct sigv4_authorization authorization;
    for (size_t i = 0; i < request->field_count; i++) fields[i] = request->fields[i];
    for (size_t i = 0; i < add->count; i++) fields[request->field_count + i] = add->fields[i];
    sent.fields = fields;
    sent.field_count += add->count;
    TRY(sigv4_read(add->fields[add->count - 1].value, &authorization, &err));
    return sigv4_verify(&sent, &authorization, secret, NOW, &err);
}

/* Whatever we sign, our own server accepts, and only with the same secret. */
TEST(random_requests_verify)
{
    struct prng prng;
    prng_seed(&prng, test_seed());
    for (size_t round = 0; round < 500; round++) {
        struct arena arena CLEANUP(arena_clear);
        static const char bytes[] = "/.%2eaZ&=~+ ?;\xc3\xa9";
        char text[48];
        struct signer signer = usual();
        struct signer_fields add;
        arena_init(&arena, 64 * 1024);
        for (size_t i = 0; i < sizeof text; i++)
            text[i] = bytes[prng_below(&prng, sizeof bytes - 1)];
        size_t cut = prng_below(&prng, sizeof text);
        const struct sigv4_field fields[] = {{STR("host"), STR("a")},
                                             {STR("X-B"), {text, cut}},
                                             {STR("User-Agent"), STR("x")},
                                             {STR("x-b"), STR(" y  z ")}};
        struct sigv4_request request = {.method = STR("POST"),
                                        .path = {text, cut},
                                        .query = {text + cut, sizeof text - cut},
                                        .body = {text, sizeof text},
                                        .fields = fields,
                                        .field_count = COUNT_OF(fields)};
        EXPECT_STATUS(signer_sign(&signer, &request, &arena, &add, &err), STATUS_OK, err);
        EXPECT_STATUS(verify_signed(&request, &add, STR(SECRET)), STATUS_OK, err);
        EXPECT_STATUS(verify_signed(&request, &add, STR("other")), STATUS_PERMISSION_DENIED, err);
    }
}

static enum status sign_with(const struct signer *signer, const struct sigv4_field *fields,
                             size_t count, size_t room)
{
    struct arena arena CLEANUP(arena_clear);
    struct sigv4_request request = {.method = STR("GET"),
                                    .path = STR("/"),
                                    .query = STR_EMPTY,
                                    .body = STR_EMPTY,
                                    .fields = fields,
                                    .field_count = count};
    struct signer_fields add;
    arena_init(&arena, room);
    return signer_sign(signer, &request, &arena, &add, &err);
}

TEST(headers_that_cannot_be_signed)
{
    const struct sigv4_field host = {STR("Host"), STR("a")};
    const struct sigv4_field rows[][2] = {
        {{STR("Hosts"), STR("a")}, {STR("X-A"), STR("b")}},
        {host, {STR("X-A"), STR("b\r\nX-C: d")}},
        {host, {STR("X-A"), STR("value1\n  value2")}},
        {host, {STR("X-A\n"), STR("b")}},
        {host, {STR_EMPTY, STR("b")}},
        {host, {STR("x-amz-DATE"), STR("20150830T123600Z")}},
        {host, {STR("authorization"), STR("Basic")}},
    };
    struct sigv4_field many[SIGNER_SIGNED_MAX];
    struct signer signer = usual();
    for (size_t i = 0; i < COUNT_OF(many); i++) many[i] = host;
    EXPECT_STATUS(sign_with(&signer, &host, 1, 65536), STATUS_OK, err);
    EXPECT_STATUS(sign_with(&signer, &host, 1, 0), STATUS_EXHAUSTED, err);
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        EXPECT_STATUS(sign_with(&signer, rows[i], 2, 65536), STATUS_INVALID_ARGUMENT, err);
    EXPECT_STATUS(sign_with(&signer, many, SIGNER_SIGNED_MAX - SIGNER_FIELDS_MAX, 65536), STATUS_OK,
                  err);
    EXPECT_STATUS(sign_with(&signer, many, SIGNER_SIGNED_MAX - SIGNER_FIELDS_MAX + 1, 65536),
                  STATUS_INVALID_ARGUMENT, err);
}

TEST(credentials_that_cannot_sign_are_not_shown)
{
    static char long_secret[SIGV4_SECRET_SIZE_MAX + 1];
    const struct sigv4_field host = {STR("Host"), STR("a")};
    struct signer wrong[6];
    memset(long_secret, 's', sizeof long_secret);
    for (size_t i = 0; i < COUNT_OF(wrong); i++) wrong[i] = usual();
    wrong[0].key_id = STR("A/B");
    wrong[1].key_id = STR_EMPTY;
    wrong[2].secret = STR_EMPTY;
    wrong[3].secret = (struct str){long_secret, sizeof long_secret};
    wrong[4].token = STR("sss\nsss");
    wrong[5].region = STR_EMPTY;
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        EXPECT_STATUS(sign_with(&wrong[i], &host, 1, 65536), STATUS_INVALID_ARGUMENT, err);
        EXPECT(strstr(err.message, "sss") == NULL && strstr(err.message, SECRET) == NULL);
    }
}

TEST(urls_are_signed_for_a_week_at_most)
{
    struct arena arena CLEANUP(arena_clear);
    struct sigv4_field fields[FIELDS_MAX];
    struct sigv4_request request = request_of(&vectors[0], fields);
    struct signer signer = usual();
    struct str query;
    arena_init(&arena, 64 * 1024);
    EXPECT_STATUS(signer_presign(&signer, &request, 0, &arena, &query, &err),
                  STATUS_INVALID_ARGUMENT, err);
    EXPECT_STATUS(signer_presign(&signer, &request, 604801, &arena, &query, &err),
                  STATUS_INVALID_ARGUMENT, err);
    EXPECT_STATUS(signer_presign(&signer, &request, 604800, &arena, &query, &err), STATUS_OK, err);
    request.query = STR("a=b");
    EXPECT_STATUS(signer_presign(&signer, &request, 60, &arena, &query, &err), STATUS_OK, err);
    EXPECT(str_starts_with(query, STR("a=b&X-Amz-Algorithm=AWS4-HMAC-SHA256&")));
}

TEST(what_changes_on_its_way_is_not_signed)
{
    struct arena arena CLEANUP(arena_clear);
    const struct sigv4_field fields[] = {
        {STR("User-Agent"), STR("x")}, {STR("X-Amz-Target"), STR("AmazonSQS.SendMessage")},
        {STR("Connection"), STR("x")}, {STR("X-Amzn-Trace-Id"), STR("x")},
        {STR("EXPECT"), STR("x")},     {STR("Transfer-Encoding"), STR("x")},
        {STR("Host"), STR("a.test")},  {STR("Content-Type"), STR("x")},
    };
    struct sigv4_request request = {.method = STR("POST"),
                                    .path = STR("/"),
                                    .query = STR_EMPTY,
                                    .body = STR_EMPTY,
                                    .fields = fields,
                                    .field_count = COUNT_OF(fields)};
    struct signer signer = usual();
    struct signer_fields add;
    arena_init(&arena, 64 * 1024);
    signer.token = STR("t");
    signer.content_digest = true;
    EXPECT_STATUS(signer_sign(&signer, &request, &arena, &add, &err), STATUS_OK, err);
    EXPECT_INT(add.count, 4);
    EXPECT(strstr(add.fields[3].value.data,
                  "/20150830/us-east-1/service/aws4_request, SignedHeaders=content-type;host;"
                  "x-amz-content-sha256;x-amz-date;x-amz-security-token;x-amz-target, ") != NULL);
}
