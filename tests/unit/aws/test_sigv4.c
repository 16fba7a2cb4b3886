/* The published vectors of Signature Version 4, and what must not pass. */
#include "aws/sigv4.c"
#include "test.h"

#define SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define NOW 1440938160 /* 2015-08-30 12:36:00 */

/* STR for tables. */
#define TEXT(literal)                                                                              \
    {                                                                                              \
        "" literal, sizeof(literal) - 1                                                            \
    }

static struct error err;

static const struct sigv4_field vanilla_fields[] = {
    {TEXT("Host"), TEXT("example.amazonaws.com")},
    {TEXT("X-Amz-Date"), TEXT("20150830T123600Z")},
};

static struct sigv4_authorization authorization_of(struct str signed_headers, struct str signature)
{
    return (struct sigv4_authorization){
        .key_id = STR("AKIDEXAMPLE"),
        .date = STR("20150830"),
        .region = STR("us-east-1"),
        .service = STR("service"),
        .signed_headers = signed_headers,
        .signature = signature,
    };
}

static struct sigv4_request vanilla(const char *method, const char *path, const char *query)
{
    return (struct sigv4_request){.method = str_of(method),
                                  .path = str_of(path),
                                  .query = str_of(query),
                                  .body = STR_EMPTY,
                                  .fields = vanilla_fields,
                                  .field_count = COUNT_OF(vanilla_fields)};
}

static enum status verify_at(const struct sigv4_request *request, const char *signed_headers,
                             const char *signature, uint64_t now_s)
{
    struct sigv4_authorization authorization =
        authorization_of(str_of(signed_headers), str_of(signature));
    return sigv4_verify(request, &authorization, STR(SECRET), now_s, &err);
}

TEST(published_requests_without_a_body)
{
    static const struct {
        const char *method, *path, *query, *signature;
    } rows[] = {
        {"GET", "/", "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
        {"GET", "/example/..", "",
         "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
        {"GET", "//", "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
        {"GET", "/./", "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
        {"POST", "/", "", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
        {"GET", "/", "Param2=value2&Param1=value1",
         "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
        {"POST", "/", "Param1=value1",
         "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"},
        {"GET", "/\xe1\x88\xb4", "",
         "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"},
        {"GET", "/example space/", "",
         "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741"},
        {"GET", "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", "",
         "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct sigv4_request request = vanilla(rows[i].method, rows[i].path, rows[i].query);
        EXPECT_STATUS(verify_at(&request, "host;x-amz-date", rows[i].signature, NOW), STATUS_OK,
                      err);
    }
}

TEST(published_form_and_trimmed_headers)
{
    static const struct sigv4_field form_fields[] = {
        {TEXT("Content-Type"), TEXT("application/x-www-form-urlencoded")},
        {TEXT("Host"), TEXT("example.amazonaws.com")},
        {TEXT("X-Amz-Date"), TEXT("20150830T123600Z")},
    };
    struct sigv4_request form = vanilla("POST", "/", "");
    form.body = STR("Param1=value1");
    form.fields = form_fields;
    form.field_count = COUNT_OF(form_fields);
    EXPECT_STATUS(verify_at(&form, "content-type;host;x-amz-date",
                            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
                            NOW),
                  STATUS_OK, err);
    static const struct sigv4_field trim_fields[] = {
        {TEXT("Host"), TEXT("example.amazonaws.com")},
        {TEXT("My-Header1"), TEXT(" value1")},
        {TEXT("My-Header2"), TEXT(" \"a   b   c\"")},
        {TEXT("X-Amz-Date"), TEXT("20150830T123600Z")},
    };
    struct sigv4_request trim = vanilla("GET", "/", "");
    trim.fields = trim_fields;
    trim.field_count = COUNT_OF(trim_fields);
    EXPECT_STATUS(verify_at(&trim, "host;my-header1;my-header2;x-amz-date",
                            "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
                            NOW),
                  STATUS_OK, err);
}

TEST(anything_changed_is_refused)
{
    static const char signature[] =
        "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b";
    struct sigv4_request request = vanilla("POST", "/", "");
    EXPECT_STATUS(verify_at(&request, "host;x-amz-date", signature, NOW), STATUS_OK, err);
    struct sigv4_request changed = request;
    changed.body = STR("x");
    EXPECT_STATUS(verify_at(&changed, "host;x-amz-date", signature, NOW), STATUS_PERMISSION_DENIED,
                  err);
    changed = request;
    changed.path = STR("/queue");
    EXPECT_STATUS(verify_at(&changed, "host;x-amz-date", signature, NOW), STATUS_PERMISSION_DENIED,
                  err);
    changed = request;
    changed.query = STR("a=b");
    EXPECT_STATUS(verify_at(&changed, "host;x-amz-date", signature, NOW), STATUS_PERMISSION_DENIED,
                  err);
    EXPECT_STATUS(verify_at(&request, "host;x-amz-date", "5da7", NOW), STATUS_PERMISSION_DENIED,
                  err);
    struct sigv4_authorization authorization =
        authorization_of(STR("host;x-amz-date"), str_of(signature));
    EXPECT_STATUS(sigv4_verify(&request, &authorization, STR("other"), NOW, &err),
                  STATUS_PERMISSION_DENIED, err);
    authorization.region = STR("us-east-2");
    EXPECT_STATUS(sigv4_verify(&request, &authorization, STR(SECRET), NOW, &err),
                  STATUS_PERMISSION_DENIED, err);
}

TEST(dates_may_differ_by_a_quarter_of_an_hour)
{
    static const char signature[] =
        "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
    struct sigv4_request request = vanilla("GET", "/", "");
    EXPECT_STATUS(verify_at(&request, "host;x-amz-date", signature, NOW + 900), STATUS_OK, err);
    EXPECT_STATUS(verify_at(&request, "host;x-amz-date", signature, NOW - 900), STATUS_OK, err);
    EXPECT_STATUS(verify_at(&request, "host;x-amz-date", signature, NOW + 901),
                  STATUS_PERMISSION_DENIED, err);
    EXPECT(strstr(err.message, "Signature expired") != NULL);
    EXPECT_STATUS(verify_at(&request, "host;x-amz-date", signature, NOW - 901),
                  STATUS_PERMISSION_DENIED, err);
    EXPECT(strstr(err.message, "not yet current") != NULL);
}

TEST(what_must_be_signed_is)
{
    static const char signature[] =
        "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
    struct sigv4_request request = vanilla("GET", "/", "");
    EXPECT_STATUS(verify_at(&request, "x-amz-date", signature, NOW), STATUS_INVALID_ARGUMENT, err);
    EXPECT_STATUS(verify_at(&request, "host", signature, NOW), STATUS_INVALID_ARGUMENT, err);
    EXPECT_STATUS(verify_at(&request, "host;x-amz-date;x-other", signature, NOW),
                  STATUS_INVALID_ARGUMENT, err);
    const struct sigv4_field fields[] = {
        vanilla_fields[0], vanilla_fields[1], {STR("X-Amz-Target"), STR("AmazonSQS.DeleteQueue")}};
    request.fields = fields;
    request.field_count = 3;
    EXPECT_STATUS(verify_at(&request, "host;x-amz-date", signature, NOW), STATUS_INVALID_ARGUMENT,
                  err);
    request.field_count = 1;
    EXPECT_STATUS(verify_at(&request, "host", signature, NOW), STATUS_INVALID_ARGUMENT, err);
}

TEST(headers_are_read)
{
    struct sigv4_authorization read;
    EXPECT_STATUS(sigv4_read(STR("AWS4-HMAC-SHA256 Credential=AKID/20150830/eu-west-3/sqs/"
                                 "aws4_request, SignedHeaders=host;x-amz-date, Signature=00ff"),
                             &read, &err),
                  STATUS_OK, err);
    EXPECT_STR(read.key_id, STR("AKID"));
    EXPECT_STR(read.date, STR("20150830"));
    EXPECT_STR(read.region, STR("eu-west-3"));
    EXPECT_STR(read.service, STR("sqs"));
    EXPECT_STR(read.signed_headers, STR("host;x-amz-date"));
    EXPECT_STR(read.signature, STR("00ff"));
    static const char *const wrong[] = {
        "",
        "Basic abc",
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 ",
        "AWS4-HMAC-SHA256 Credential=AKID/20150830/eu-west-3/sqs, SignedHeaders=host, Signature=0",
        "AWS4-HMAC-SHA256 Credential=AKID/2015/r/sqs/aws4_request, SignedHeaders=host, Signature=0",
        "AWS4-HMAC-SHA256 Credential=/20150830/r/sqs/aws4_request, SignedHeaders=h, Signature=0",
        "AWS4-HMAC-SHA256 Credential=A/20150830/r/sqs/aws4_request, Signature=0",
        "AWS4-HMAC-SHA256 Credential=A/20150830/r/sqs/aws4_request, SignedHeaders=host",
        "AWS4-HMAC-SHA256 Credential=A/20150830/r/sqs/aws4_request/x, SignedHeaders=h, Signature=0",
    };
    for (size_t i = 0; i < COUNT_OF(wrong); i++)
        EXPECT_STATUS(sigv4_read(str_of(wrong[i]), &read, &err), STATUS_INVALID_ARGUMENT, err);
}

TEST(dates_are_read)
{
    uint64_t seconds;
    EXPECT(sigv4_read_date(STR("19700101T000000Z"), &seconds));
    EXPECT_INT(seconds, 0);
    EXPECT(sigv4_read_date(STR("20000229T235959Z"), &seconds));
    EXPECT_INT(seconds, 951868799);
    EXPECT(sigv4_read_date(STR("20150830T123600Z"), &seconds));
    EXPECT_INT(seconds, NOW);
    EXPECT(sigv4_read_date(STR("21000301T000000Z"), &seconds));
    EXPECT_INT(seconds, 4107542400);
    static const char *const wrong[] = {"",
                                        "20150830T123600",
                                        "20151330T123600Z",
                                        "20150830 123600Z",
                                        "2015083xT123600Z",
                                        "20150830T243600Z",
                                        "20150830T126000Z",
                                        "20150800T123600Z",
                                        "-0150830T123600Z"};
    for (size_t i = 0; i < COUNT_OF(wrong); i++)
        EXPECT(!sigv4_read_date(str_of(wrong[i]), &seconds));
}

/* Whatever is sent, nothing but the right signature passes, and nothing breaks. */
TEST(random_requests_are_refused)
{
    struct prng prng;
    prng_seed(&prng, test_seed());
    for (size_t round = 0; round < 2000; round++) {
        char text[64];
        for (size_t i = 0; i < sizeof text; i++) {
            static const char bytes[] = "/.%2eaZ&=~+ ?\xff\x00";
            text[i] = bytes[prng_below(&prng, sizeof bytes)];
        }
        size_t cut = prng_below(&prng, sizeof text);
        struct sigv4_request request = vanilla("GET", "/", "");
        request.path = (struct str){text, cut};
        request.query = (struct str){text + cut, sizeof text - cut};
        EXPECT(verify_at(&request, "host;x-amz-date", "00", NOW) != STATUS_OK);
    }
}
