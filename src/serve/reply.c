/* The reply of a call. */
#include "serve/reply.h"

#include "protocol/classification.h"

static enum status classify(const struct serve_call *call, const struct infer_request *request,
                            size_t index, struct infer_tensor *output, uint32_t top_k,
                            struct error *err)
{
    const struct str *labels = NULL;
    size_t label_count = serve_model_labels(call->model, index, &labels);
    struct classification how = {
        .top_k = top_k,
        .batched = serve_model_spec(call->model)->batch_size_max > 0,
        .labels = labels,
        .label_count = label_count,
    };
    return classification_apply(&how, request->arena, output, err);
}

static void fill_output(const struct serve_call *call, const struct infer_request *request,
                        size_t index, struct infer_tensor *output)
{
    *output = (struct infer_tensor){
        .name = str_of(serve_model_spec(call->model)->outputs[index].name),
        .tensor = call->outputs[index],
        .binary = request->binary_output_default,
    };
}

static enum status fill_wanted(const struct serve_call *call, const struct infer_request *request,
                               struct infer_tensor *outputs, struct error *err)
{
    const struct infer_spec *spec = serve_model_spec(call->model);
    for (size_t i = 0; i < request->output_count; i++) {
        const struct infer_wanted_output *wanted = &request->outputs[i];
        size_t index = infer_output_find(spec, wanted->name);
        assert(index < spec->output_count); /* binding has found it */
        fill_output(call, request, index, &outputs[i]);
        outputs[i].name = wanted->name; /* clients look for the name they gave, aliases too */
        outputs[i].binary = wanted->binary;
        if (wanted->classification > 0)
            TRY(classify(call, request, index, &outputs[i], wanted->classification, err));
    }
    return STATUS_OK;
}

enum status serve_reply_make(const struct serve_call *call, const struct infer_request *request,
                             struct infer_reply *ret_reply, struct error *err)
{
    size_t count = request->output_count ? request->output_count : call->output_count;
    struct infer_tensor *outputs = arena_try_new(request->arena, count * sizeof *outputs);
    if (!outputs) return fail(err, STATUS_EXHAUSTED, "no memory for %zu outputs", count);
    if (request->output_count)
        TRY(fill_wanted(call, request, outputs, err));
    else
        for (size_t i = 0; i < count; i++) fill_output(call, request, i, &outputs[i]);
    *ret_reply = (struct infer_reply){
        .model_name = serve_model_name(call->model),
        .model_version = serve_model_version(call->model),
        .id = request->id,
        .outputs = outputs,
        .output_count = count,
    };
    return STATUS_OK;
}
