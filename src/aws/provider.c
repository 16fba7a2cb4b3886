/* Six places, one after the other. */
#include "aws/provider.h"

#include "aws/client.h"
#include "aws/profile_files.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/num.h"
#include "config/environment.h"
#include "config/tree.h"

enum {
    ANSWER_SIZE_MAX = 64 * 1024,
    TOKEN_FILE_MAX = 32 * 1024, /* of a web identity */
    FORM_SIZE_MAX = 128 * 1024,
    URL_SIZE = 2048,
    LINE_SIZE = AWS_TOKEN_MAX + 64,
    CONTAINER_TRIES = 3,
    METADATA_EXTENSION_S = 15 * 60, /* of keys that the machine's service gives although over */
};

/* What one place says. `found` without keys set does not happen. */
struct finding {
    bool found;
    bool fixed;
    struct aws_keys keys;
};

typedef enum status place_function(const struct aws_provider_fetch *fetch,
                                   const struct profile_files *files, struct finding *finding,
                                   struct error *err);

static const char *variable(const char *name)
{
    const char *value = environment_get(name);
    return value && *value ? value : NULL;
}

static bool is_true(const char *name)
{
    const char *value = variable(name);
    return value && str_equal_ignoring_case(str_of(value), STR("true"));
}

/* --- what was found ----------------------------------------------------------------------------
 */

static enum status no_room(struct error *err)
{
    return fail(err, STATUS_EXHAUSTED, "no memory for AWS credentials");
}

/* Into the arena, sizes checked; `from` is for messages, which hold nothing of the keys. */
static enum status keep_keys(const struct aws_provider_fetch *fetch, struct aws_keys keys,
                             const char *from, struct finding *finding, struct error *err)
{
    if (keys.key_id.size == 0 || keys.secret.size == 0)
        return fail(err, STATUS_UNAUTHENTICATED, "%s has no access key or no secret", from);
    if (keys.key_id.size > AWS_KEY_ID_MAX || keys.secret.size > AWS_SECRET_MAX ||
        keys.token.size > AWS_TOKEN_MAX)
        return fail(err, STATUS_UNAUTHENTICATED,
                    "%s gives a key, secret or token longer than %d, %d and %d bytes", from,
                    AWS_KEY_ID_MAX, AWS_SECRET_MAX, AWS_TOKEN_MAX);
    keys.key_id = arena_try_copy(fetch->arena, keys.key_id);
    keys.secret = arena_try_copy(fetch->arena, keys.secret);
    keys.token = arena_try_copy(fetch->arena, keys.token.data ? keys.token : STR_EMPTY);
    if (!keys.key_id.data || !keys.secret.data || !keys.token.data) return no_room(err);
    finding->keys = keys;
    finding->found = true;
    return STATUS_OK;
}

/* "2026-11-22T20:37:00Z", with parts of a second or without. */
static bool read_time(struct str text, uint64_t *ret_s)
{
    char date[SIGV4_DATE_SIZE + 1] = "";
    size_t size = 0;
    if (!str_ends_with(text, STR("Z"))) return false;
    for (size_t i = 0; i < text.size && text.data[i] != '.' && text.data[i] != 'Z'; i++) {
        if (text.data[i] == '-' || text.data[i] == ':') continue;
        if (size == SIGV4_DATE_SIZE - 1) return false;
        date[size++] = text.data[i];
    }
    date[size++] = 'Z';
    return sigv4_read_date((struct str){date, size}, ret_s);
}

static uint64_t now_s(const struct aws_provider_fetch *fetch)
{
    return fetch->clock->wall_ns(fetch->clock) / NS_PER_S;
}

/* --- 1: the environment ------------------------------------------------------------------------
 */

static enum status find_environment(const struct aws_provider_fetch *fetch,
                                    const struct profile_files *files UNUSED,
                                    struct finding *finding, struct error *err)
{
    const char *id = variable("AWS_ACCESS_KEY_ID"), *secret = variable("AWS_SECRET_ACCESS_KEY"),
               *token = variable("AWS_SESSION_TOKEN");
    if (!id && !secret) return STATUS_OK;
    if (!id || !secret)
        return fail(err, STATUS_UNAUTHENTICATED,
                    "%s is set and %s is not: AWS credentials need both",
                    id ? "AWS_ACCESS_KEY_ID" : "AWS_SECRET_ACCESS_KEY",
                    id ? "AWS_SECRET_ACCESS_KEY" : "AWS_ACCESS_KEY_ID");
    finding->fixed = true;
    return keep_keys(fetch,
                     (struct aws_keys){str_of(id), str_of(secret), str_of(token ? token : ""), 0},
                     "the environment", finding, err);
}

/* --- STS ---------------------------------------------------------------------------------------
 */

static void add_parameter(struct buffer *form, const char *name, struct str value)
{
    buffer_add_format(form, "&%s=", name);
    sigv4_encode(form, value);
}

/* The keys in <Credentials>. */
static enum status read_sts(const struct aws_provider_fetch *fetch, struct str xml,
                            struct finding *finding, struct error *err)
{
    struct aws_keys keys;
    struct str expiration;
    if (!aws_xml_text(xml, "AccessKeyId", fetch->arena, &keys.key_id) ||
        !aws_xml_text(xml, "SecretAccessKey", fetch->arena, &keys.secret) ||
        !aws_xml_text(xml, "SessionToken", fetch->arena, &keys.token) ||
        !aws_xml_text(xml, "Expiration", fetch->arena, &expiration) ||
        !read_time(expiration, &keys.expires_s))
        return fail(err, STATUS_UNAVAILABLE, "STS answers without credentials");
    return keep_keys(fetch, keys, "STS", finding, err);
}

/* `signer` NULL: unsigned. */
static enum status ask_sts(const struct aws_provider_fetch *fetch, const char *region,
                           struct aws_credentials *signer, struct str form, struct finding *finding,
                           struct error *err)
{
    struct aws_client *sts;
    struct aws_reply reply;
    const struct aws_client_options options = {
        .service = "sts", .region = region, .credentials = signer, .clock = fetch->clock};
    TRY(aws_client_new(&options, &sts, err));
    enum status status = aws_query_call(sts, form, fetch->arena, &reply, err);
    aws_client_free(sts);
    TRY(status);
    return read_sts(fetch, reply.body, finding, err);
}

static void add_session(const struct aws_provider_fetch *fetch, struct buffer *form,
                        struct str name)
{
    char made[64];
    (void)snprintf(made, sizeof made, "slipway-%llu", (unsigned long long)now_s(fetch));
    add_parameter(form, "RoleSessionName", name.size ? name : str_of(made));
}

/* --- profiles ----------------------------------------------------------------------------------
 */

/* A setting of the profile, empty if there is none. */
static struct str setting(const struct profile_files *files, struct str profile, const char *key)
{
    struct str value;
    return profile_files_find(files, profile, str_of(key), &value) ? value : STR_EMPTY;
}

static struct aws_keys keys_of_profile(const struct profile_files *files, struct str profile)
{
    return (struct aws_keys){setting(files, profile, "aws_access_key_id"),
                             setting(files, profile, "aws_secret_access_key"),
                             setting(files, profile, "aws_session_token"), 0};
}

static enum status assume(const struct aws_provider_fetch *fetch, const struct profile_files *files,
                          struct str source, struct finding *finding, struct error *err)
{
    struct buffer form;
    struct aws_credentials *signer;
    struct str id = setting(files, files->profile, "external_id");
    struct str seconds = setting(files, files->profile, "duration_seconds");
    char *region CLEANUP(mem_freep) = NULL;
    const struct aws_keys keys = keys_of_profile(files, source);
    if (keys.key_id.size == 0 || keys.secret.size == 0)
        return fail(err, STATUS_UNAUTHENTICATED,
                    "profile '%.*s' assumes a role by source_profile '%.*s', which has no keys of "
                    "its own",
                    STR_ARGS(files->profile), STR_ARGS(source));
    struct str of_profile = setting(files, files->profile, "region");
    if (of_profile.size) region = str_copy(of_profile);
    TRY(aws_credentials_new(&(struct aws_credentials_options){.keys = &keys}, &signer, err));
    buffer_init(&form, FORM_SIZE_MAX);
    buffer_add_text(&form, "Action=AssumeRole&Version=2011-06-15");
    add_parameter(&form, "RoleArn", setting(files, files->profile, "role_arn"));
    add_session(fetch, &form, setting(files, files->profile, "role_session_name"));
    if (id.size) add_parameter(&form, "ExternalId", id);
    if (seconds.size) add_parameter(&form, "DurationSeconds", seconds);
    enum status status = buffer_failed(&form)
                             ? no_room(err)
                             : ask_sts(fetch, region, signer, buffer_view(&form), finding, err);
    buffer_clear(&form);
    aws_credentials_free(signer);
    return status;
}

static enum status find_role(const struct aws_provider_fetch *fetch,
                             const struct profile_files *files, struct finding *finding,
                             struct error *err)
{
    static const char *const unknown[] = {"mfa_serial", "credential_source"};
    struct str source = setting(files, files->profile, "source_profile");
    if (setting(files, files->profile, "role_arn").size == 0 ||
        setting(files, files->profile, "web_identity_token_file").size > 0)
        return STATUS_OK;
    for (size_t i = 0; i < COUNT_OF(unknown); i++)
        if (setting(files, files->profile, unknown[i]).size)
            return fail(err, STATUS_UNIMPLEMENTED,
                        "profile '%.*s' assumes a role with '%s', which is not supported: use "
                        "source_profile",
                        STR_ARGS(files->profile), unknown[i]);
    if (source.size == 0)
        return fail(err, STATUS_UNAUTHENTICATED,
                    "profile '%.*s' assumes a role and names no source_profile",
                    STR_ARGS(files->profile));
    return fail_while(err, assume(fetch, files, source, finding, err),
                      "assuming the role of profile '%.*s'", STR_ARGS(files->profile));
}

static enum status find_profile(const struct aws_provider_fetch *fetch,
                                const struct profile_files *files, struct finding *finding,
                                struct error *err)
{
    static const char *const unknown[] = {"credential_process", "sso_session", "sso_account_id"};
    char from[128];
    const struct aws_keys keys = keys_of_profile(files, files->profile);
    if (keys.key_id.size == 0 && keys.secret.size == 0) {
        for (size_t i = 0; i < COUNT_OF(unknown); i++)
            if (setting(files, files->profile, unknown[i]).size)
                return fail(err, STATUS_UNIMPLEMENTED,
                            "profile '%.*s' gets its keys by '%s', which is not supported: put "
                            "them into the environment with `aws configure export-credentials`",
                            STR_ARGS(files->profile), unknown[i]);
        return STATUS_OK;
    }
    (void)snprintf(from, sizeof from, "profile '%.*s'", (int)MIN(files->profile.size, (size_t)64),
                   files->profile.data);
    return keep_keys(fetch, keys, from, finding, err);
}

/* --- 3: a web identity -------------------------------------------------------------------------
 */

static enum status exchange(const struct aws_provider_fetch *fetch, struct str role,
                            struct str session, const char *path, struct finding *finding,
                            struct error *err)
{
    struct buffer token, form;
    buffer_init(&token, TOKEN_FILE_MAX);
    buffer_init(&form, FORM_SIZE_MAX);
    enum status status = tree_read_file(path, TOKEN_FILE_MAX, &token, err);
    struct str text = buffer_view(&token);
    while (text.size > 0 && (unsigned char)text.data[text.size - 1] <= ' ') text.size--;
    buffer_add_text(&form, "Action=AssumeRoleWithWebIdentity&Version=2011-06-15");
    add_parameter(&form, "RoleArn", role);
    add_session(fetch, &form, session);
    add_parameter(&form, "WebIdentityToken", text);
    if (status == STATUS_OK && text.size == 0)
        status = fail(err, STATUS_UNAUTHENTICATED, "the token file '%s' is empty", path);
    if (status == STATUS_OK && buffer_failed(&form)) status = no_room(err);
    if (status == STATUS_OK) status = ask_sts(fetch, NULL, NULL, buffer_view(&form), finding, err);
    buffer_clear(&token);
    buffer_clear(&form);
    return fail_while(err, status, "exchanging the web identity in '%s'", path);
}

static enum status find_web_identity(const struct aws_provider_fetch *fetch,
                                     const struct profile_files *files, struct finding *finding,
                                     struct error *err)
{
    const char *path = variable("AWS_WEB_IDENTITY_TOKEN_FILE"), *role = variable("AWS_ROLE_ARN"),
               *session = variable("AWS_ROLE_SESSION_NAME");
    struct str in_profile = setting(files, files->profile, "web_identity_token_file");
    struct str role_of_profile = setting(files, files->profile, "role_arn");
    if (path && role)
        return exchange(fetch, str_of(role), str_of(session ? session : ""), path, finding, err);
    if (path)
        return fail(err, STATUS_UNAUTHENTICATED,
                    "AWS_WEB_IDENTITY_TOKEN_FILE is set and AWS_ROLE_ARN is not");
    if (in_profile.size == 0 || role_of_profile.size == 0) return STATUS_OK;
    char *copy CLEANUP(mem_freep) = str_copy(in_profile);
    return exchange(fetch, role_of_profile, setting(files, files->profile, "role_session_name"),
                    copy, finding, err);
}

/* --- keys in JSON ------------------------------------------------------------------------------
 */

static enum status read_member(struct json_reader *reader, struct str key, struct aws_keys *keys,
                               struct str texts[2], struct error *err)
{
    const struct {
        const char *name;
        struct str *text;
    } members[] = {{"AccessKeyId", &keys->key_id},
                   {"SecretAccessKey", &keys->secret},
                   {"Token", &keys->token},
                   {"Expiration", &texts[0]},
                   {"Code", &texts[1]}};
    for (size_t i = 0; i < COUNT_OF(members); i++)
        if (str_equal(key, str_of(members[i].name)) && json_peek(reader) == JSON_STRING)
            return json_read_string(reader, members[i].text, err);
    return json_skip(reader, err);
}

static enum status read_members(struct json_reader *reader, struct aws_keys *keys,
                                struct str texts[2], struct error *err)
{
    struct str key;
    bool more;
    TRY(json_open_object(reader, err));
    for (;;) {
        TRY(json_next_member(reader, &key, &more, err));
        if (!more) return json_end(reader, err);
        TRY(read_member(reader, key, keys, texts, err));
    }
}

/* Of the container and of the machine. The body is not shown: it may be half of a good one. */
static enum status read_json_keys(const struct aws_provider_fetch *fetch, struct str body,
                                  const char *from, struct finding *finding, struct error *err)
{
    struct aws_keys keys = {STR_EMPTY, STR_EMPTY, STR_EMPTY, 0};
    struct str texts[2] = {STR_EMPTY, STR_EMPTY};
    struct json_reader reader;
    struct error hidden;
    json_reader_init(&reader, body, fetch->arena);
    if (read_members(&reader, &keys, texts, &hidden) != STATUS_OK)
        return fail(err, STATUS_UNAVAILABLE, "%s answers with what is no JSON", from);
    if (texts[1].size && !str_equal(texts[1], STR("Success")))
        return fail(err, STATUS_UNAUTHENTICATED, "%s has no credentials: %.*s", from,
                    (int)MIN(texts[1].size, (size_t)64), texts[1].data);
    if (texts[0].size && !read_time(texts[0], &keys.expires_s))
        return fail(err, STATUS_UNAVAILABLE, "%s tells no time when its credentials are over",
                    from);
    return keep_keys(fetch, keys, from, finding, err);
}

/* --- 5: the container --------------------------------------------------------------------------
 */

static bool is_one_of(struct str text, const char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (str_equal(text, str_of(list[i]))) return true;
    return false;
}

/* Over plain HTTP keys come from this machine only: its loopback and the two agents. */
static bool may_be_asked(struct str url)
{
    static const char *const hosts[] = {"localhost",     "127.0.0.1",      "[::1]",
                                        "169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"};
    if (str_starts_with(url, STR("https://"))) return true;
    if (!str_starts_with(url, STR("http://"))) return false;
    struct str rest = str_from(url, strlen("http://")), host = rest;
    host.size = 0;
    while (host.size < rest.size && !strchr("/?#", rest.data[host.size])) host.size++;
    size_t end = str_starts_with(host, STR("[")) ? str_find(host, ']') : str_find(host, ':');
    if (end != SIZE_MAX) host.size = str_starts_with(host, STR("[")) ? end + 1 : end;
    return is_one_of(host, hosts, COUNT_OF(hosts));
}

static bool has_control(struct str text)
{
    for (size_t i = 0; i < text.size; i++)
        if ((unsigned char)text.data[i] < ' ' || text.data[i] == '\x7f') return true;
    return false;
}

/* "Authorization: ..." in `line`, empty if there is none. The file is read anew: it is rotated. */
static enum status read_authorization(char line[LINE_SIZE], struct error *err)
{
    const char *path = variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
               *token = variable("AWS_CONTAINER_AUTHORIZATION_TOKEN");
    struct buffer file;
    buffer_init(&file, AWS_TOKEN_MAX);
    enum status status = path ? tree_read_file(path, AWS_TOKEN_MAX, &file, err) : STATUS_OK;
    struct str text = path ? buffer_view(&file) : str_of(token ? token : "");
    if (status == STATUS_OK && (has_control(text) || text.size > AWS_TOKEN_MAX))
        status = fail(err, STATUS_UNAUTHENTICATED,
                      "the container's authorization token has a line break or control character, "
                      "or more than %d bytes",
                      AWS_TOKEN_MAX);
    line[0] = '\0';
    if (status == STATUS_OK && text.size)
        (void)snprintf(line, LINE_SIZE, "Authorization: %.*s", STR_ARGS(text));
    buffer_clear(&file);
    return status;
}

static enum status ask_container(const struct aws_provider_fetch *fetch, const char *url,
                                 struct finding *finding, struct error *err)
{
    char *line CLEANUP(mem_freep) = mem_new(LINE_SIZE);
    struct client_web_reply reply = {.status = 0};
    enum status status = STATUS_OK;
    TRY(read_authorization(line, err));
    const char *const fields[] = {"Accept: application/json", line};
    const struct client_web_request request = {.method = "GET",
                                               .url = url,
                                               .fields = fields,
                                               .field_count = *line ? 2 : 1,
                                               .timeout_ns = 2 * NS_PER_S,
                                               .reply_size_max = ANSWER_SIZE_MAX,
                                               .private_is_allowed = true};
    for (int i = 0; i < CONTAINER_TRIES; i++) {
        status = client_web_call(fetch->web, &request, &reply, err);
        if (status == STATUS_OK && reply.status < 500) break;
    }
    TRY(status);
    if (reply.status != 200)
        return fail(err, STATUS_UNAUTHENTICATED, "the container's service answers HTTP %d",
                    reply.status);
    return read_json_keys(fetch, reply.body, "the container's service", finding, err);
}

static enum status find_container(const struct aws_provider_fetch *fetch,
                                  const struct profile_files *files UNUSED, struct finding *finding,
                                  struct error *err)
{
    const char *relative = variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"),
               *full = variable("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    char url[URL_SIZE];
    if (!relative && !full) return STATUS_OK;
    int size = relative ? snprintf(url, sizeof url, "http://169.254.170.2%s", relative)
                        : snprintf(url, sizeof url, "%s", full);
    bool good = size > 0 && (size_t)size < sizeof url && !has_control(str_of(url)) &&
                (!relative || *relative == '/') && may_be_asked(str_of(url));
    if (!good)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "%s is no address that credentials may come from: https, or http on this "
                    "machine",
                    relative ? "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"
                             : "AWS_CONTAINER_CREDENTIALS_FULL_URI");
    return fail_while(err, ask_container(fetch, url, finding, err),
                      "asking the container's service for credentials");
}

/* --- 6: the machine ----------------------------------------------------------------------------
 */

static enum status ask_machine(const struct aws_provider_fetch *fetch, const char *method,
                               const char *path, const char *field,
                               struct client_web_reply *ret_reply, struct error *err)
{
    char url[URL_SIZE];
    const char *base = variable("AWS_EC2_METADATA_SERVICE_ENDPOINT");
    if (!base) base = "http://169.254.169.254";
    struct str host = str_of(base);
    if (str_ends_with(host, STR("/"))) host.size--;
    (void)snprintf(url, sizeof url, "%.*s%s", (int)MIN(host.size, (size_t)256), host.data, path);
    const char *const fields[] = {field};
    const struct client_web_request request = {.method = method,
                                               .url = url,
                                               .fields = fields,
                                               .field_count = field ? 1 : 0,
                                               .timeout_ns = NS_PER_S,
                                               .connect_timeout_ns = NS_PER_S,
                                               .reply_size_max = ANSWER_SIZE_MAX,
                                               .private_is_allowed = true};
    return client_web_call(fetch->web, &request, ret_reply, err);
}

/* The header with the session's token; empty: the machine has version 1 only. False: there is no
 * such service here. */
static bool open_machine(const struct aws_provider_fetch *fetch, char line[LINE_SIZE])
{
    struct client_web_reply reply;
    struct error unheard;
    line[0] = '\0';
    if (ask_machine(fetch, "PUT", "/latest/api/token",
                    "X-aws-ec2-metadata-token-ttl-seconds: 21600", &reply, &unheard) != STATUS_OK)
        return false;
    if (reply.status == 403 || reply.status == 404 || reply.status == 405)
        return !is_true("AWS_EC2_METADATA_V1_DISABLED");
    struct str token = str_trim(reply.body);
    if (reply.status != 200 || token.size == 0 || token.size > AWS_TOKEN_MAX || has_control(token))
        return false;
    (void)snprintf(line, LINE_SIZE, "X-aws-ec2-metadata-token: %.*s", STR_ARGS(token));
    return true;
}

#define ROLES_PATH "/latest/meta-data/iam/security-credentials/"

/* The machine's role, percent-encoded; false: it has none. */
static bool find_machine_role(const struct aws_provider_fetch *fetch, const char *line,
                              char path[URL_SIZE])
{
    struct client_web_reply reply;
    struct error unheard;
    struct buffer name;
    if (ask_machine(fetch, "GET", ROLES_PATH, *line ? line : NULL, &reply, &unheard) != STATUS_OK ||
        reply.status != 200)
        return false;
    struct str body = reply.body, role = str_trim(str_cut(&body, '\n'));
    if (role.size == 0 || role.size > 256) return false;
    buffer_init(&name, 1024);
    sigv4_encode(&name, role);
    (void)snprintf(path, URL_SIZE, ROLES_PATH "%s", buffer_text(&name));
    buffer_clear(&name);
    return true;
}

/*
 * Keys that are over although they are the service's newest still work while it is in trouble:
 * AWS's word ("static stability"). They count for a while longer.
 */
static enum status find_machine(const struct aws_provider_fetch *fetch,
                                const struct profile_files *files UNUSED, struct finding *finding,
                                struct error *err)
{
    char *line CLEANUP(mem_freep) = mem_new(LINE_SIZE);
    char path[URL_SIZE];
    struct client_web_reply reply;
    if (is_true("AWS_EC2_METADATA_DISABLED")) return STATUS_OK;
    if (!open_machine(fetch, line) || !find_machine_role(fetch, line, path)) return STATUS_OK;
    TRY(fail_while(err, ask_machine(fetch, "GET", path, *line ? line : NULL, &reply, err),
                   "asking the machine's metadata for credentials"));
    if (reply.status != 200)
        return fail(err, STATUS_UNAVAILABLE, "the machine's metadata answers HTTP %d",
                    reply.status);
    TRY(read_json_keys(fetch, reply.body, "the machine's metadata", finding, err));
    uint64_t least_s = now_s(fetch) + METADATA_EXTENSION_S;
    if (finding->keys.expires_s && finding->keys.expires_s < least_s)
        finding->keys.expires_s = least_s;
    return STATUS_OK;
}

/* --- all ---------------------------------------------------------------------------------------
 */

static place_function *const places[] = {find_environment, find_role,      find_web_identity,
                                         find_profile,     find_container, find_machine};

static enum status look_everywhere(const struct aws_provider_fetch *fetch,
                                   const struct profile_files *files, struct finding *finding,
                                   struct error *err)
{
    for (size_t i = 1; i < COUNT_OF(places) && !finding->found; i++)
        TRY(places[i](fetch, files, finding, err));
    if (finding->found) return STATUS_OK;
    return fail(err, STATUS_UNAUTHENTICATED,
                "no AWS credentials: neither in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY nor in "
                "profile '%.*s', no web identity, no container's and no machine's role",
                (int)MIN(files->profile.size, (size_t)64), files->profile.data);
}

enum status aws_provider_fetch(const struct aws_provider_fetch *fetch, struct aws_keys *ret_keys,
                               bool *ret_fixed, struct error *err)
{
    struct finding finding = {.found = false};
    /* First, so that a function needs no files. */
    TRY(places[0](fetch, NULL, &finding, err));
    if (!finding.found) {
        struct profile_files files;
        TRY(profile_files_read(&files, err));
        enum status status = look_everywhere(fetch, &files, &finding, err);
        profile_files_clear(&files);
        TRY(status);
    }
    *ret_keys = finding.keys;
    *ret_fixed = finding.fixed;
    return STATUS_OK;
}
