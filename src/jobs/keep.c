/* The model's rules over the server's. */
#include "jobs/keep.h"

struct privacy_source keep_source(const struct payload *payload)
{
    return (struct privacy_source){
        .body = payload->body,
        .type = payload_type(payload->face),
        .header_size = payload->header_size,
        .is_json = payload->face != PAYLOAD_OIP_BINARY || payload->header_size > 0,
    };
}

static struct str sole_name(const struct infer_spec *spec, enum privacy_side side)
{
    bool input = side == PRIVACY_INPUT;
    const struct slipway_tensor_spec *specs = input ? spec->inputs : spec->outputs;
    size_t count = input ? spec->input_count : spec->output_count;
    return count == 1 && specs[0].name ? str_of(specs[0].name) : STR_EMPTY;
}

void keep_payload(const struct privacy *general, const struct serve_model *model,
                  enum privacy_side side, const struct privacy_source *source, struct arena *arena,
                  struct record_payload *ret_payload)
{
    struct str names[PRIVACY_REDACT_MAX];
    struct privacy privacy = *general;
    struct privacy_source named = *source;
    if (model) {
        const struct model_config *config = serve_model_config(model);
        named.sole = sole_name(serve_model_spec(model), side);
        privacy_of_model(general, config->slipway ? config->slipway->record : NULL, side, names,
                         &privacy);
    } else {
        privacy.keep = MAX(privacy.keep, RECORD_KEEP_HASHED);
    }
    privacy_apply(&privacy, &named, arena, ret_payload);
}
