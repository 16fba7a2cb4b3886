/* Any bytes as config.pbtxt: refused with a message, or read, copied and printed. */
#include "config/model_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct model_config *config CLEANUP(model_config_freep) = NULL;
    struct error err;
    const struct str text = {(const char *)data, size};
    if (model_config_read(text, MODEL_CONFIG_PBTXT, "file", &config, &err) != STATUS_OK) {
        if (err.message[0] == '\0') abort();
        return 0;
    }
    struct model_config *copy CLEANUP(model_config_freep) = model_config_copy(config);
    struct buffer first, second;
    buffer_init(&first, 64 * 1024 * 1024);
    buffer_init(&second, 64 * 1024 * 1024);
    model_config_write_json(&first, config);
    model_config_write_json(&second, copy);
    if (!str_equal(buffer_view(&first), buffer_view(&second))) abort();
    buffer_clear(&first);
    buffer_clear(&second);
    return 0;
}
