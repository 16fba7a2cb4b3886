/* Keys from any bytes: what STS (XML), the container's service and the machine (JSON) say. */
#include "aws/provider.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look_at(const struct finding *finding)
{
    const struct aws_keys *keys = &finding->keys;
    assert(finding->found);
    assert(keys->key_id.size > 0 && keys->key_id.size <= AWS_KEY_ID_MAX);
    assert(keys->secret.size > 0 && keys->secret.size <= AWS_SECRET_MAX);
    assert(keys->token.size <= AWS_TOKEN_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str body = {(const char *)data, size};
    struct arena arena;
    struct error err;
    arena_init(&arena, 4 << 20);
    struct aws_provider_fetch fetch = {.arena = &arena};
    struct finding finding = {0};
    if (read_sts(&fetch, body, &finding, &err) == STATUS_OK) look_at(&finding);
    finding = (struct finding){0};
    if (read_json_keys(&fetch, body, "the test", &finding, &err) == STATUS_OK) look_at(&finding);
    arena_clear(&arena);
    return 0;
}
