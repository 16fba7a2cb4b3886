/* The bare body: nested values in, nested values out. */
#include "protocol/bare.h"

#include "base/json.h"
#include "protocol/nested.h"

/* The one input that must be given; a model of one optional input has that. */
static enum status sole_input(const struct infer_spec *spec,
                              const struct slipway_tensor_spec **ret_input, struct error *err)
{
    const struct slipway_tensor_spec *sole = NULL;
    size_t required = 0;
    for (size_t i = 0; i < spec->input_count; i++) {
        if (spec->inputs[i].optional) continue;
        sole = &spec->inputs[i];
        required++;
    }
    if (required == 0 && spec->input_count == 1) sole = &spec->inputs[0];
    if (!sole || required > 1)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "a bare array stands for the only input of a model, but '%s' has %zu inputs; "
                    "send {\"inputs\":[...]} instead",
                    spec->name, spec->input_count);
    *ret_input = sole;
    return STATUS_OK;
}

enum status bare_read(struct str body, const struct infer_spec *spec, struct infer_request *request,
                      struct error *err)
{
    const struct slipway_tensor_spec *input;
    TRY(sole_input(spec, &input, err));
    struct infer_tensor *tensor = ARENA_TRY_ARRAY(request->arena, struct infer_tensor, 1);
    if (!tensor) return fail(err, STATUS_EXHAUSTED, "no memory for the request");
    struct json_reader reader;
    json_reader_init(&reader, body, request->arena);
    reader.nonfinite_allowed = true;
    tensor->name = str_of(input->name);
    struct nested_options options = {.dtype = (enum dtype)input->dtype};
    TRY(nested_read(&reader, &options, &tensor->tensor, err));
    TRY(json_end(&reader, err));
    request->inputs = tensor;
    request->input_count = 1;
    return STATUS_OK;
}

enum status bare_write(const struct infer_reply *reply, struct buffer *out, struct error *err)
{
    if (reply->output_count == 1) return nested_write(&reply->outputs[0].tensor, out, err);
    buffer_add_byte(out, '{');
    for (size_t i = 0; i < reply->output_count; i++) {
        if (i) buffer_add_byte(out, ',');
        json_print_string(out, reply->outputs[i].name);
        buffer_add_byte(out, ':');
        TRY(nested_write(&reply->outputs[i].tensor, out, err));
    }
    buffer_add_byte(out, '}');
    if (buffer_failed(out))
        return fail(err, STATUS_EXHAUSTED, "the message is larger than its limit of %zu bytes",
                    out->ceiling);
    return STATUS_OK;
}
