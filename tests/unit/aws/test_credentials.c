#include "aws/credentials.c"
#include "config/environment.h"
#include "stub.h"
#include "test.h"

#define OK(length) "HTTP/1.1 200 OK\r\nContent-Length: " #length "\r\n\r\n"
#define NOT_FOUND "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"

/* Keys as the container and the machine give them. */
#define KEYS(number, expires)                                                                      \
    OK(139)                                                                                        \
    "{\"Code\":\"Success\",\"AccessKeyId\":\"ASIA" number                                          \
    "\",\"SecretAccessKey\":\"hushhush" number "\",\"Token\":\"token" number                       \
    "\",\"Expiration\":\"" expires "\",\"LastUpdated\":1}"

#define START_S UINT64_C(1795379820) /* 2026-11-22T20:37:00Z */

struct fixture {
    struct stub stub;
    bool stubbed;
    struct clock_fake clock;
    struct aws_credentials *credentials;
    struct arena arena;
    struct aws_keys keys;
    struct error err;
    char directory[64];
};

static void forget_environment(void)
{
    static const char *const names[] = {"AWS_ACCESS_KEY_ID",
                                        "AWS_SECRET_ACCESS_KEY",
                                        "AWS_SESSION_TOKEN",
                                        "AWS_PROFILE",
                                        "AWS_DEFAULT_PROFILE",
                                        "AWS_WEB_IDENTITY_TOKEN_FILE",
                                        "AWS_ROLE_ARN",
                                        "AWS_ROLE_SESSION_NAME",
                                        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
                                        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                                        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
                                        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
                                        "AWS_EC2_METADATA_SERVICE_ENDPOINT",
                                        "AWS_EC2_METADATA_V1_DISABLED",
                                        "AWS_ENDPOINT_URL",
                                        "AWS_ENDPOINT_URL_STS"};
    for (size_t i = 0; i < COUNT_OF(names); i++) environment_set(names[i], "");
    environment_set("AWS_EC2_METADATA_DISABLED", "true");
    environment_set("AWS_REGION", "eu-west-3");
}

static void set_file(const struct fixture *f, const char *variable, const char *name,
                     const char *text)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", f->directory, name);
    FILE *file = fopen(path, "w");
    if (!file || fputs(text, file) < 0 || fclose(file) != 0) abort();
    environment_set(variable, path);
}

static void begin(struct fixture *f, const struct stub_answer *answers, size_t count)
{
    *f = (struct fixture){.stubbed = count > 0, .directory = "/tmp/slipway-keys.XXXXXX"};
    forget_environment();
    if (!mkdtemp(f->directory)) abort();
    set_file(f, "AWS_CONFIG_FILE", "config", "");
    set_file(f, "AWS_SHARED_CREDENTIALS_FILE", "credentials", "");
    if (f->stubbed) stub_start(&f->stub, answers, count);
    clock_fake_init(&f->clock, START_S * NS_PER_S);
    arena_init(&f->arena, 1 << 20);
    EXPECT_STATUS(aws_credentials_new(&(struct aws_credentials_options){.clock = &f->clock.clock},
                                      &f->credentials, &f->err),
                  STATUS_OK, f->err);
}

#define BEGIN(f, answers) begin((f), (answers), COUNT_OF(answers))

static void end(struct fixture *f)
{
    char command[128];
    aws_credentials_free(f->credentials);
    if (f->stubbed) stub_end(&f->stub);
    if (f->stubbed) stub_clear(&f->stub);
    arena_clear(&f->arena);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", f->directory);
    if (system(command) != 0) abort();
}

/* Nothing secret is in a message. */
static enum status get(struct fixture *f)
{
    f->err.message[0] = '\0';
    enum status status = aws_credentials_get(f->credentials, &f->arena, &f->keys, &f->err);
    EXPECT(!strstr(f->err.message, "hushhush"));
    EXPECT(!strstr(f->err.message, "token1"));
    return status;
}

#define EXPECT_KEYS(f, id)                                                                         \
    do {                                                                                           \
        enum status got = get(f);                                                                  \
        EXPECT_STATUS(got, STATUS_OK, (f)->err);                                                   \
        if (got == STATUS_OK) EXPECT_TEXT((f)->keys.key_id.data, id);                              \
    } while (0)

static const char *request(const struct fixture *f, size_t number)
{
    return number < f->stub.request_count ? f->stub.requests[number] : "";
}

TEST(nowhere)
{
    struct fixture f;
    begin(&f, NULL, 0);
    EXPECT_STATUS(get(&f), STATUS_UNAUTHENTICATED, f.err);
    EXPECT(strstr(f.err.message, "AWS_ACCESS_KEY_ID"));
    end(&f);
}

TEST(the_environment_goes_first)
{
    struct fixture f;
    begin(&f, NULL, 0);
    set_file(&f, "AWS_SHARED_CREDENTIALS_FILE", "credentials",
             "[default]\naws_access_key_id = AKIAFILE\naws_secret_access_key = hushhush\n");
    environment_set("AWS_ACCESS_KEY_ID", "AKIAENV");
    EXPECT_STATUS(get(&f), STATUS_UNAUTHENTICATED, f.err); /* half of it */
    environment_set("AWS_SECRET_ACCESS_KEY", "hushhush1");
    environment_set("AWS_SESSION_TOKEN", "token1");
    EXPECT_KEYS(&f, "AKIAENV");
    EXPECT_TEXT(f.keys.token.data, "token1");
    EXPECT(!aws_credentials_refuse(f.credentials, &f.keys));
    end(&f);
}

TEST(profiles)
{
    struct fixture f;
    begin(&f, NULL, 0);
    set_file(&f, "AWS_SHARED_CREDENTIALS_FILE", "credentials",
             "[default]\naws_access_key_id = AKIAFILE\naws_secret_access_key = hushhush\n"
             "[other]\naws_access_key_id = AKIAOTHER\naws_secret_access_key = hushhush\n"
             "[half]\naws_access_key_id = AKIAHALF\n");
    set_file(&f, "AWS_CONFIG_FILE", "config",
             "[profile single]\nsso_session = x\n[profile role]\nrole_arn = a\nmfa_serial = 1\n");
    EXPECT_KEYS(&f, "AKIAFILE");
    environment_set("AWS_PROFILE", "other");
    EXPECT(aws_credentials_refuse(f.credentials, &f.keys));
    EXPECT_KEYS(&f, "AKIAOTHER");
    EXPECT(aws_credentials_refuse(f.credentials, &f.keys));
    environment_set("AWS_PROFILE", "missing");
    EXPECT_STATUS(get(&f), STATUS_NOT_FOUND, f.err);
    environment_set("AWS_PROFILE", "half");
    EXPECT_STATUS(get(&f), STATUS_UNAUTHENTICATED, f.err);
    environment_set("AWS_PROFILE", "single");
    EXPECT_STATUS(get(&f), STATUS_UNIMPLEMENTED, f.err);
    environment_set("AWS_PROFILE", "role");
    EXPECT_STATUS(get(&f), STATUS_UNIMPLEMENTED, f.err);
    end(&f);
}

#define STS(number, expires)                                                                       \
    OK(237)                                                                                        \
    "<R xmlns='x'><AssumeRoleResult><Credentials><AccessKeyId>ASIA" number                         \
    "</AccessKeyId><SecretAccessKey>hushhush" number                                               \
    "</SecretAccessKey><SessionToken>token" number "</SessionToken><Expiration>" expires           \
    "</Expiration></Credentials></AssumeRoleResult></R>"

TEST(a_profile_that_assumes_a_role)
{
    static const struct stub_answer answers[] = {{.text = STS("1", "2026-11-22T21:37:00Z")}};
    struct fixture f;
    BEGIN(&f, answers);
    set_file(&f, "AWS_CONFIG_FILE", "config",
             "[default]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = base\n"
             "external_id = e&f\n"
             "[profile base]\naws_access_key_id = AKIABASE\naws_secret_access_key = hushhush\n");
    environment_set("AWS_ENDPOINT_URL_STS", f.stub.url);
    EXPECT_KEYS(&f, "ASIA1");
    EXPECT_INT(f.keys.expires_s, START_S + 3600);
    EXPECT(strstr(request(&f, 0), "Credential=AKIABASE/20261122/eu-west-3/sts/aws4_request"));
    EXPECT(strstr(request(&f, 0), "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam"
                                  "%3A%3A1%3Arole%2Fr&RoleSessionName=slipway-"));
    EXPECT(strstr(request(&f, 0), "&ExternalId=e%26f"));
    end(&f);
}

TEST(a_web_identity_is_exchanged_unsigned_and_its_file_read_anew)
{
    static const struct stub_answer answers[] = {
        {.text = STS("1", "2026-11-22T21:37:00Z")},
        {.text = STS("2", "2026-11-22T23:37:00Z")},
        {.text = "HTTP/1.1 400 Bad Request\r\nContent-Length: 82\r\n\r\n"
                 "<ErrorResponse><Error><Code>ExpiredTokenException</Code></Error></"
                 "ErrorResponse>  "}};
    struct fixture f;
    BEGIN(&f, answers);
    set_file(&f, "AWS_WEB_IDENTITY_TOKEN_FILE", "identity", "jwt.one\n");
    environment_set("AWS_ROLE_ARN", "arn:aws:iam::1:role/r");
    environment_set("AWS_ROLE_SESSION_NAME", "pod");
    environment_set("AWS_ENDPOINT_URL_STS", f.stub.url);
    EXPECT_KEYS(&f, "ASIA1");
    set_file(&f, "AWS_WEB_IDENTITY_TOKEN_FILE", "identity", "jwt.two");
    EXPECT_KEYS(&f, "ASIA1");
    clock_fake_advance(&f.clock, 3600 * NS_PER_S);
    EXPECT_KEYS(&f, "ASIA2");
    EXPECT(strstr(request(&f, 0), "&RoleSessionName=pod&WebIdentityToken=jwt.one"));
    EXPECT(strstr(request(&f, 1), "&WebIdentityToken=jwt.two"));
    EXPECT(!strstr(request(&f, 0), "Authorization"));
    clock_fake_advance(&f.clock, 7200 * NS_PER_S);
    EXPECT_STATUS(get(&f), STATUS_UNAUTHENTICATED, f.err);
    EXPECT(!strstr(f.err.message, "jwt"));
    end(&f);
}

static void use_container(struct fixture *f)
{
    char url[128];
    (void)snprintf(url, sizeof url, "%s/v1/credentials", f->stub.url);
    environment_set("AWS_CONTAINER_CREDENTIALS_FULL_URI", url);
}

TEST(the_containers_with_a_token_that_is_rotated)
{
    static const struct stub_answer answers[] = {
        {.text = "HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n"},
        {.text = KEYS("1", "2026-11-22T21:37:00Z")},
        {.text = KEYS("2", "2026-11-22T22:37:00Z")}};
    struct fixture f;
    BEGIN(&f, answers);
    use_container(&f);
    environment_set("AWS_CONTAINER_AUTHORIZATION_TOKEN", "weaker");
    set_file(&f, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "authorization", "first");
    EXPECT_KEYS(&f, "ASIA1");
    EXPECT(strstr(request(&f, 1), "\r\nAuthorization: first\r\n"));
    set_file(&f, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "authorization", "second");
    clock_fake_advance(&f.clock, 3600 * NS_PER_S);
    EXPECT_KEYS(&f, "ASIA2");
    EXPECT(strstr(request(&f, 2), "\r\nAuthorization: second\r\n"));
    EXPECT(strncmp(request(&f, 2), "GET /v1/credentials HTTP/1.1\r\n", 30) == 0);
    set_file(&f, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "authorization", "third\r\nX: y");
    clock_fake_advance(&f.clock, 7200 * NS_PER_S);
    EXPECT_STATUS(get(&f), STATUS_UNAUTHENTICATED, f.err);
    EXPECT(!strstr(f.err.message, "third"));
    end(&f);
}

TEST(containers_elsewhere_are_not_asked)
{
    static const char *const wrong[] = {
        "http://example.com/x",
        "http://169.254.169.254/x",
        "http://127.0.0.1.example.com/",
        "http://127.0.0.1@evil/",
        "http://[::2]/",
        "ftp://127.0.0.1/",
        "http://localhost.evil:80",
        "HTTP://127.0.0.1/",
        "http://10.0.0.1/",
    };
    struct fixture f;
    begin(&f, NULL, 0);
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        environment_set("AWS_CONTAINER_CREDENTIALS_FULL_URI", wrong[i]);
        if (get(&f) != STATUS_INVALID_ARGUMENT)
            test_failed(__FILE__, __LINE__, "%s is asked: %s", wrong[i], f.err.message);
    }
    environment_set("AWS_CONTAINER_CREDENTIALS_FULL_URI", "");
    environment_set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "@evil/x");
    EXPECT_STATUS(get(&f), STATUS_INVALID_ARGUMENT, f.err);
    end(&f);
}

TEST(containers_that_answer_nonsense)
{
    static char huge[100000] = "HTTP/1.1 200 OK\r\nContent-Length: 90000\r\n\r\n";
    static char long_key[1200];
    memset(huge + strlen(huge), 'x', 90000);
    (void)snprintf(long_key, sizeof long_key,
                   OK(1024) "{\"AccessKeyId\":\"%0990d\",\"SecretAccessKey\"", 1);
    memset(long_key + strlen(long_key), ' ', 60);
    const struct stub_answer answers[] = {
        {.text = OK(20) "{\"AccessKeyId\":\"hush"}, /* half */
        {.text = OK(2) "{}"},
        {.text = OK(2) "[]"},
        {.text = OK(51) "{\"Code\":\"AssumeRoleUnauthorizedAccess\",\"Message\":1}"},
        {.text = OK(30) "{\"Expiration\":\"Tomorrow, sir\"}"},
        {.text = NOT_FOUND},
        {.text = KEYS("1", "2026-11-22T20:36:59Z")}, /* over */
        {.text = long_key},
        {.text = huge, .closes = true},
        {.text = huge, .closes = true},
        {.text = huge, .closes = true},
    };
    struct fixture f;
    BEGIN(&f, answers);
    use_container(&f);
    for (size_t i = 0; i < 9; i++) {
        enum status status = get(&f);
        if (status != STATUS_UNAUTHENTICATED && status != STATUS_UNAVAILABLE)
            test_failed(__FILE__, __LINE__, "answer %zu is taken: %s", i, f.err.message);
        clock_fake_advance(&f.clock, 60 * NS_PER_S);
    }
    EXPECT_INT(f.stub.request_count, COUNT_OF(answers));
    end(&f);
}

static void use_machine(struct fixture *f)
{
    environment_set("AWS_EC2_METADATA_DISABLED", "");
    environment_set("AWS_EC2_METADATA_SERVICE_ENDPOINT", f->stub.url);
}

TEST(the_machines_role)
{
    static const struct stub_answer answers[] = {
        {.text = OK(7) "session"},
        {.text = OK(8) "a role\nb"},
        {.text = KEYS("1", "2026-11-22T20:00:00Z")}, /* over, and still good */
        {.text = OK(7) "session"},
        {.text = NOT_FOUND}, /* the role was taken away */
    };
    struct fixture f;
    BEGIN(&f, answers);
    use_machine(&f);
    EXPECT_KEYS(&f, "ASIA1");
    EXPECT_INT(f.keys.expires_s, START_S + 900);
    EXPECT(strncmp(request(&f, 0), "PUT /latest/api/token HTTP/1.1\r\n", 32) == 0);
    EXPECT(strcasestr(request(&f, 0), "\r\nX-aws-ec2-metadata-token-ttl-seconds: 21600\r\n"));
    EXPECT(strstr(request(&f, 2), "GET /latest/meta-data/iam/security-credentials/a%20role HTTP"));
    EXPECT(strcasestr(request(&f, 2), "\r\nX-aws-ec2-metadata-token: session\r\n"));
    clock_fake_advance(&f.clock, 1000 * NS_PER_S);
    EXPECT_STATUS(get(&f), STATUS_UNAUTHENTICATED, f.err);
    end(&f);
}

TEST(a_machine_of_the_first_version)
{
    static const struct stub_answer answers[] = {{.text = NOT_FOUND},
                                                 {.text = OK(4) "role"},
                                                 {.text = KEYS("1", "2026-11-22T22:00:00Z")},
                                                 {.text = NOT_FOUND}};
    struct fixture f;
    BEGIN(&f, answers);
    use_machine(&f);
    EXPECT_KEYS(&f, "ASIA1");
    EXPECT(!strcasestr(request(&f, 1), "metadata-token"));
    environment_set("AWS_EC2_METADATA_V1_DISABLED", "true");
    EXPECT(aws_credentials_refuse(f.credentials, &f.keys));
    EXPECT_STATUS(get(&f), STATUS_UNAUTHENTICATED, f.err);
    EXPECT_INT(f.stub.request_count, 4);
    end(&f);
}

TEST(old_keys_do_until_their_end)
{
    static const struct stub_answer answers[] = {
        {.text = KEYS("1", "2026-11-22T21:37:00Z")},
        {.text = NOT_FOUND}, /* 14 minutes before the end */
        {.text = NOT_FOUND}, /* 5 minutes */
        {.text = NOT_FOUND}, /* after it */
        {.text = KEYS("2", "2026-11-22T23:37:00Z")},
    };
    struct fixture f;
    BEGIN(&f, answers);
    use_container(&f);
    EXPECT_KEYS(&f, "ASIA1");
    clock_fake_advance(&f.clock, 46 * 60 * NS_PER_S);
    EXPECT_KEYS(&f, "ASIA1");
    EXPECT_KEYS(&f, "ASIA1"); /* not asked again at once */
    EXPECT_INT(f.stub.request_count, 2);
    clock_fake_advance(&f.clock, 9 * 60 * NS_PER_S);
    EXPECT_KEYS(&f, "ASIA1");
    EXPECT_KEYS(&f, "ASIA1");
    EXPECT_INT(f.stub.request_count, 3);
    clock_fake_advance(&f.clock, 6 * 60 * NS_PER_S);
    EXPECT_STATUS(get(&f), STATUS_UNAUTHENTICATED, f.err);
    EXPECT_KEYS(&f, "ASIA2");
    end(&f);
}

TEST(refused_keys_are_fetched_anew_once)
{
    static const struct stub_answer answers[] = {{.text = KEYS("1", "2026-11-22T22:37:00Z")},
                                                 {.text = KEYS("2", "2026-11-22T23:37:00Z")}};
    struct fixture f;
    BEGIN(&f, answers);
    use_container(&f);
    EXPECT_KEYS(&f, "ASIA1");
    struct aws_keys first = f.keys;
    EXPECT(aws_credentials_refuse(f.credentials, &first));
    EXPECT_KEYS(&f, "ASIA2");
    EXPECT(aws_credentials_refuse(f.credentials, &first)); /* who comes late does no harm */
    EXPECT_KEYS(&f, "ASIA2");
    EXPECT_INT(f.stub.request_count, 2);
    end(&f);
}

static void *get_one(void *context)
{
    struct aws_credentials *credentials = context;
    struct arena arena;
    struct aws_keys keys;
    struct error err;
    arena_init(&arena, 1 << 20);
    EXPECT_STATUS(aws_credentials_get(credentials, &arena, &keys, &err), STATUS_OK, err);
    arena_clear(&arena);
    return NULL;
}

TEST(threads_share_one_fetch)
{
    static const struct stub_answer answers[] = {
        {.text = KEYS("1", "2026-11-22T22:37:00Z"), .delay_ms = 50}};
    pthread_t threads[4];
    struct fixture f;
    BEGIN(&f, answers);
    use_container(&f);
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        if (pthread_create(&threads[i], NULL, get_one, f.credentials) != 0) abort();
    for (size_t i = 0; i < COUNT_OF(threads); i++) (void)pthread_join(threads[i], NULL);
    EXPECT_INT(f.stub.request_count, 1);
    end(&f);
}
