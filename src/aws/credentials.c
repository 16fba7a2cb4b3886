/* Keys that are given or stand in the environment. */
#include "aws/credentials.h"

#include "base/mem.h"
#include "config/environment.h"

struct aws_credentials {
    bool fixed;
    char *key_id;
    char *secret;
    char *token;
};

static char *copy(struct str text)
{
    return str_copy(text.data ? text : STR_EMPTY);
}

enum status aws_credentials_new(const struct aws_credentials_options *options,
                                struct aws_credentials **ret_credentials, struct error *err UNUSED)
{
    struct aws_credentials *credentials = MEM_NEW(struct aws_credentials);
    if (options->keys) {
        credentials->fixed = true;
        credentials->key_id = copy(options->keys->key_id);
        credentials->secret = copy(options->keys->secret);
        credentials->token = copy(options->keys->token);
    }
    *ret_credentials = credentials;
    return STATUS_OK;
}

void aws_credentials_free(struct aws_credentials *credentials)
{
    if (!credentials) return;
    mem_free(credentials->key_id);
    mem_free(credentials->secret);
    mem_free(credentials->token);
    mem_free(credentials);
}

static struct str text_of(const char *value)
{
    return value ? str_of(value) : STR_EMPTY;
}

enum status aws_credentials_get(struct aws_credentials *credentials, struct arena *arena,
                                struct aws_keys *ret_keys, struct error *err)
{
    bool fixed = credentials->fixed;
    struct aws_keys keys = {
        .key_id = text_of(fixed ? credentials->key_id : environment_get("AWS_ACCESS_KEY_ID")),
        .secret = text_of(fixed ? credentials->secret : environment_get("AWS_SECRET_ACCESS_KEY")),
        .token = text_of(fixed ? credentials->token : environment_get("AWS_SESSION_TOKEN")),
    };
    if (keys.key_id.size == 0 || keys.secret.size == 0)
        return fail(err, STATUS_UNAUTHENTICATED,
                    "no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY");
    keys.key_id = arena_try_copy(arena, keys.key_id);
    keys.secret = arena_try_copy(arena, keys.secret);
    keys.token = arena_try_copy(arena, keys.token);
    if (!keys.key_id.data || !keys.secret.data || !keys.token.data)
        return fail(err, STATUS_EXHAUSTED, "no memory for AWS credentials");
    *ret_keys = keys;
    return STATUS_OK;
}

bool aws_credentials_refuse(struct aws_credentials *credentials UNUSED,
                            const struct aws_keys *keys UNUSED)
{
    return false;
}
