/* Profile files of any content: what is found lies in them, on one line, and is trimmed. */
#include "aws/profile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void find(struct str text, enum profile_file file, struct str profile, struct str key)
{
    struct str value;
    if (!profile_find(text, file, profile, key, &value)) return;
    if (!profile_exists(text, file, profile)) abort();
    if (value.data < text.data || value.data + value.size > text.data + text.size) abort();
    if (str_find(value, '\n') != SIZE_MAX || str_trim(value).size != value.size) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {(const char *)data, size};
    const struct str profiles[] = {STR("default"), STR("dev")};
    const struct str keys[] = {STR("aws_access_key_id"), STR("region")};
    for (size_t i = 0; i < COUNT_OF(profiles); i++)
        for (size_t j = 0; j < COUNT_OF(keys); j++) {
            find(text, PROFILE_CREDENTIALS, profiles[i], keys[j]);
            find(text, PROFILE_CONFIG, profiles[i], keys[j]);
        }
    return 0;
}
