/* Keys that are kept, and fetched again in time. */
#include "aws/credentials.h"

#include "aws/provider.h"
#include "base/mem.h"

#include <pthread.h>

enum {
    KEYS_SIZE_MAX = 256 * 1024, /* of keys and what comes with them */
    RETRY_S = 30,               /* between tries of a fetch that nobody waits for */
};

struct aws_credentials {
    struct clock *clock;
    bool given; /* these keys and no others */

    pthread_mutex_t mutex; /* of all below, but for `web` */
    pthread_cond_t fetched;
    struct arena arena; /* of the keys */
    struct aws_keys keys;
    bool have;
    bool fixed;
    bool refused;       /* a service says so: they are not to be used */
    bool fetching;      /* a thread is, without the mutex; it alone uses `web` */
    uint64_t retry_s;   /* not before, unless somebody waits */
    uint64_t failures;  /* counted, so that who waits knows of one */
    struct error error; /* of the last */
    struct client_web *web;
};

static bool copy_keys(const struct aws_keys *keys, struct arena *arena, struct aws_keys *ret_copy)
{
    struct aws_keys copy = {
        .key_id = arena_try_copy(arena, keys->key_id),
        .secret = arena_try_copy(arena, keys->secret),
        .token = arena_try_copy(arena, keys->token.data ? keys->token : STR_EMPTY),
        .expires_s = keys->expires_s,
    };
    if (!copy.key_id.data || !copy.secret.data || !copy.token.data) return false;
    *ret_copy = copy;
    return true;
}

enum status aws_credentials_new(const struct aws_credentials_options *options,
                                struct aws_credentials **ret_credentials, struct error *err)
{
    struct aws_credentials *credentials = MEM_NEW(struct aws_credentials);
    credentials->clock = options->clock ? options->clock : &clock_system;
    arena_init(&credentials->arena, KEYS_SIZE_MAX);
    (void)pthread_mutex_init(&credentials->mutex, NULL);
    (void)pthread_cond_init(&credentials->fetched, NULL);
    if (options->keys) {
        credentials->given = credentials->fixed = credentials->have = true;
        if (!copy_keys(options->keys, &credentials->arena, &credentials->keys)) {
            aws_credentials_free(credentials);
            return fail(err, STATUS_EXHAUSTED, "no memory for AWS credentials");
        }
    }
    *ret_credentials = credentials;
    return STATUS_OK;
}

void aws_credentials_free(struct aws_credentials *credentials)
{
    if (!credentials) return;
    client_web_free(credentials->web);
    arena_clear(&credentials->arena);
    (void)pthread_mutex_destroy(&credentials->mutex);
    (void)pthread_cond_destroy(&credentials->fetched);
    mem_free(credentials);
}

/* --- fetching ----------------------------------------------------------------------------------
 */

static enum status ask(struct aws_credentials *credentials, struct arena *arena,
                       struct aws_keys *keys, bool *fixed, struct error *err)
{
    if (!credentials->web) {
        TRY(client_web_start(err));
        TRY(client_web_new(&credentials->web, err));
    }
    const struct aws_provider_fetch fetch = {credentials->clock, credentials->web, arena};
    return aws_provider_fetch(&fetch, keys, fixed, err);
}

static uint64_t now_s(const struct aws_credentials *credentials)
{
    return credentials->clock->wall_ns(credentials->clock) / NS_PER_S;
}

/* With the mutex, which is free while others are asked. */
static void fetch(struct aws_credentials *credentials)
{
    struct arena arena;
    struct aws_keys keys;
    struct error err;
    bool fixed;
    credentials->fetching = true;
    (void)pthread_mutex_unlock(&credentials->mutex);
    arena_init(&arena, KEYS_SIZE_MAX);
    enum status status = ask(credentials, &arena, &keys, &fixed, &err);
    (void)pthread_mutex_lock(&credentials->mutex);
    credentials->fetching = false;
    if (status == STATUS_OK) {
        arena_clear(&credentials->arena);
        credentials->arena = arena;
        credentials->keys = keys;
        credentials->fixed = fixed;
        credentials->have = true;
        credentials->refused = false;
        credentials->retry_s = 0;
    } else {
        arena_clear(&arena);
        credentials->error = err;
        credentials->failures++;
        credentials->retry_s = now_s(credentials) + RETRY_S;
    }
    (void)pthread_cond_broadcast(&credentials->fetched);
}

/* --- asking for them ---------------------------------------------------------------------------
 */

enum need {
    NEED_NONE,
    NEED_SOON, /* one thread fetches, the others go on with what there is */
    NEED_NOW,  /* nobody goes on */
};

static enum need need_of(const struct aws_credentials *credentials)
{
    uint64_t expires_s = credentials->keys.expires_s, now = now_s(credentials);
    if (!credentials->have || credentials->refused) return NEED_NOW;
    if (expires_s == 0) return NEED_NONE;
    if (now + AWS_CREDENTIALS_MANDATORY_S >= expires_s) return NEED_NOW;
    return now + AWS_CREDENTIALS_ADVISORY_S >= expires_s ? NEED_SOON : NEED_NONE;
}

/* Keys that are to be replaced but are not over are better than none. */
static bool may_still_do(const struct aws_credentials *credentials)
{
    return credentials->have && !credentials->refused &&
           (credentials->keys.expires_s == 0 || now_s(credentials) < credentials->keys.expires_s);
}

/* One thread fetches, if none does and it is time to try again; the others go on. */
static void fetch_ahead(struct aws_credentials *credentials)
{
    if (!credentials->fetching && now_s(credentials) >= credentials->retry_s) fetch(credentials);
}

/* Near the end a failure is not tried again at once while the old ones do. */
static bool waits_to_retry(const struct aws_credentials *credentials)
{
    return may_still_do(credentials) && now_s(credentials) < credentials->retry_s;
}

/* Those that come fresh and are near their end already are not asked for again. */
static enum status check_fetched(const struct aws_credentials *credentials, struct error *err)
{
    if (may_still_do(credentials)) return STATUS_OK;
    return fail(err, STATUS_UNAUTHENTICATED,
                "the AWS credentials that were fetched are over already: is this machine's clock "
                "right?");
}

/* With the mutex. A failure is told to all who waited for that fetch. */
static enum status make_fresh(struct aws_credentials *credentials, struct error *err)
{
    uint64_t failures = credentials->failures;
    for (;;) {
        enum need need = need_of(credentials);
        if (need == NEED_SOON) fetch_ahead(credentials);
        if (need != NEED_NOW) return STATUS_OK;
        bool failed = credentials->failures != failures;
        if (failed && !may_still_do(credentials)) return fail_again(err, &credentials->error);
        if (failed || waits_to_retry(credentials)) return STATUS_OK;
        if (credentials->fetching) {
            (void)pthread_cond_wait(&credentials->fetched, &credentials->mutex);
            continue;
        }
        fetch(credentials);
        if (credentials->failures == failures) return check_fetched(credentials, err);
    }
}

enum status aws_credentials_get(struct aws_credentials *credentials, struct arena *arena,
                                struct aws_keys *ret_keys, struct error *err)
{
    enum status status = STATUS_OK;
    (void)pthread_mutex_lock(&credentials->mutex);
    if (!credentials->given) status = make_fresh(credentials, err);
    if (status == STATUS_OK && !copy_keys(&credentials->keys, arena, ret_keys))
        status = fail(err, STATUS_EXHAUSTED, "no memory for AWS credentials");
    (void)pthread_mutex_unlock(&credentials->mutex);
    return status;
}

bool aws_credentials_refuse(struct aws_credentials *credentials, const struct aws_keys *keys)
{
    (void)pthread_mutex_lock(&credentials->mutex);
    bool same = credentials->have && str_equal(credentials->keys.key_id, keys->key_id) &&
                str_equal(credentials->keys.token, keys->token);
    bool fixed = credentials->fixed;
    if (same && !fixed) credentials->refused = true;
    (void)pthread_mutex_unlock(&credentials->mutex);
    return !same || !fixed;
}
