/* `slipway infer`: one request to a server, or to a model in this process. */
#include "base/mem.h"
#include "cli/command.h"
#include "cli/compare.h"
#include "cli/console.h"
#include "cli/input.h"
#include "cli/local.h"
#include "cli/remote.h"
#include "protocol/bare.h"
#include "protocol/oip_binary.h"
#include "protocol/oip_json.h"

#include <unistd.h>

enum { INFER_SIZE_MAX = 1024 * 1024 * 1024, TABLE_ROWS_SHOWN = 20, TABLE_VALUES_SHOWN = 8 };

struct inference {
    struct command_context *context;
    struct arena arena;
    struct buffer text; /* of the input file */
    struct buffer body; /* of the request */
    struct infer_spec spec;
    struct infer_request request;
    struct infer_reply reply;
};

static enum status read_request(struct inference *inference, struct error *err)
{
    const struct config *config = inference->context->config;
    infer_request_init(&inference->request, &inference->arena);
    for (size_t i = 0; i < config->infer_input.count; i++)
        TRY(input_read_flag(config->infer_input.items[i], &inference->spec, &inference->request,
                            err));
    if (config->infer_input.count > 0) return STATUS_OK;
    const char *path = *config->infer_file ? config->infer_file : "-";
    TRY(console_read_file(path, INFER_SIZE_MAX, &inference->text, err));
    enum status status =
        input_read_text(buffer_view(&inference->text), (enum input_format)config->infer_format,
                        &inference->spec, &inference->request, err);
    return fail_while(err, status, "reading '%s'", path);
}

/* --- a server --------------------------------------------------------------------------------- */

/* The body and, if there is a binary part, the size of what stands before it; 0: all is JSON. */
static enum status write_body(struct inference *inference, size_t *ret_header_size,
                              struct error *err)
{
    struct infer_request *request = &inference->request;
    *ret_header_size = 0;
    if (!inference->context->config->infer_binary)
        return oip_json_write_request(request, &inference->body, err);
    request->binary_output_default = true;
    for (size_t i = 0; i < request->input_count; i++) request->inputs[i].binary = true;
    struct oip_binary_blobs blobs;
    TRY(oip_binary_write_request(request, &inference->body, &blobs, err));
    *ret_header_size = inference->body.size;
    for (size_t i = 0; i < blobs.count; i++) buffer_add(&inference->body, blobs.items[i]);
    return STATUS_OK;
}

static enum status read_reply(struct inference *inference, const struct client_response *response,
                              struct error *err)
{
    if (response->status != 200) return remote_fail(response, err);
    struct str header = client_response_field(response, STR(OIP_BINARY_HEADER));
    if (!header.data)
        return oip_json_read_reply(response->body, STR_EMPTY, &inference->arena, &inference->reply,
                                   err);
    size_t header_size;
    TRY(oip_binary_header_size(header, response->body.size, &header_size, err));
    return oip_binary_read_reply(response->body, header_size, &inference->arena, &inference->reply,
                                 err);
}

static enum status send_request(struct inference *inference, struct remote *remote,
                                const char *path, struct client_response *ret_response,
                                struct error *err)
{
    size_t header_size;
    TRY(write_body(inference, &header_size, err));
    if (buffer_failed(&inference->body))
        return fail(err, STATUS_EXHAUSTED, "the request is larger than %d bytes", INFER_SIZE_MAX);
    char digits[24];
    int length = snprintf(digits, sizeof digits, "%zu", header_size);
    struct client_field field = {STR(OIP_BINARY_HEADER), {digits, (size_t)length}};
    struct client_request request = {
        .method = "POST",
        .path = path,
        .content_type = header_size ? "application/octet-stream" : "application/json",
        .fields = &field,
        .field_count = header_size ? 1 : 0,
        .body = buffer_view(&inference->body),
        .accept_compressed = true,
    };
    return remote_send(remote, &request, ret_response, err);
}

static enum status print(struct inference *inference, struct error *err);

static enum status ask_remote(struct inference *inference, struct remote *remote, struct str name,
                              struct error *err)
{
    struct str version = str_of(inference->context->config->infer_model_version);
    TRY(remote_spec(remote, name, version, &inference->arena, &inference->spec, err));
    TRY(read_request(inference, err));
    char *path = remote_model_path(name, version, "/infer");
    struct client_response response;
    enum status status = send_request(inference, remote, path, &response, err);
    mem_free(path);
    if (status == STATUS_OK) status = read_reply(inference, &response, err);
    TRY(status);
    return print(inference, err);
}

static enum status ask_server(struct inference *inference, struct error *err)
{
    const struct config *config = inference->context->config;
    if (config->positionals.count != 1)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "name one model, as in 'slipway infer doubleit --input x=1,2,3,4,5'");
    struct remote *remote;
    TRY(remote_open(config->infer_url, config->infer_timeout_ns, &remote, err));
    enum status status = ask_remote(inference, remote, str_of(config->positionals.items[0]), err);
    remote_close(remote);
    return status;
}

/* --- this process ----------------------------------------------------------------------------- */

static enum status run_local(struct inference *inference, struct local *local, struct error *err)
{
    const struct config *config = inference->context->config;
    struct serve_model *model;
    if (config->positionals.count > 0)
        TRY(local_find(local, str_of(config->positionals.items[0]), &model, err));
    else
        TRY(local_only(local, &model, err));
    inference->spec = *serve_model_spec(model);
    TRY(read_request(inference, err));
    struct local_call call = {.model = model, .request = &inference->request};
    local_run(local, &call, 1);
    if (call.status != STATUS_OK) return fail_again(err, &call.err);
    inference->reply = call.reply;
    return print(inference, err);
}

static enum status ask_local(struct inference *inference, struct error *err)
{
    const struct config *config = inference->context->config;
    struct local *local;
    TRY(local_open(&(struct local_options){.path = config->infer_local,
                                           .engine_directory = config->engine_directory,
                                           .engine_threads = (uint32_t)config->engine_threads},
                   &local, err));
    enum status status = run_local(inference, local, err);
    local_close(local);
    return status;
}

/* --- the answer ------------------------------------------------------------------------------- */

static void add_value(struct buffer *out, const struct slipway_tensor *tensor, uint64_t index)
{
    if (tensor->dtype == DTYPE_BYTES) {
        const struct slipway_bytes *bytes = (const struct slipway_bytes *)tensor->data + index;
        buffer_add(out, (struct str){bytes->data, bytes->size});
    } else if (tensor->dtype == DTYPE_INT64) {
        buffer_add_i64(out, ((const int64_t *)tensor->data)[index]);
    } else if (tensor->dtype == DTYPE_UINT64) {
        buffer_add_u64(out, ((const uint64_t *)tensor->data)[index]);
    } else {
        buffer_add_format(out, "%.7g", compare_element(tensor, index));
    }
}

/* One line per row of the first dimension, the first values of each. */
static void add_output_rows(struct table *table, const struct infer_tensor *output)
{
    const struct slipway_tensor *tensor = &output->tensor;
    size_t width = dtype_width((enum dtype)tensor->dtype);
    uint64_t count = width ? tensor->byte_size / width : 0;
    uint64_t rows = tensor->rank > 1 ? (uint64_t)tensor->dims[0] : 1;
    uint64_t per_row = rows ? count / rows : 0;
    for (uint64_t row = 0; row < MIN(rows, (uint64_t)TABLE_ROWS_SHOWN); row++) {
        struct buffer values;
        buffer_init(&values, 64 * 1024);
        for (uint64_t i = 0; i < MIN(per_row, (uint64_t)TABLE_VALUES_SHOWN); i++) {
            if (i) buffer_add(&values, STR("  "));
            add_value(&values, tensor, row * per_row + i);
        }
        if (per_row > TABLE_VALUES_SHOWN)
            buffer_add_format(&values, "  ... %llu in all", (unsigned long long)per_row);
        table_add_format(table, "%.*s", STR_ARGS(output->name));
        table_add_format(table, "%llu", (unsigned long long)row);
        table_add(table, buffer_text(&values));
        buffer_clear(&values);
    }
    if (rows > TABLE_ROWS_SHOWN) {
        table_add_format(table, "%.*s", STR_ARGS(output->name));
        table_add(table, "...");
        table_add_format(table, "%llu rows in all", (unsigned long long)rows);
    }
}

static void print_table(const struct infer_reply *reply, struct buffer *out)
{
    buffer_add_format(out, "%.*s", STR_ARGS(reply->model_name));
    if (reply->model_version.size)
        buffer_add_format(out, ", version %.*s", STR_ARGS(reply->model_version));
    for (size_t i = 0; i < reply->output_count; i++) {
        const struct slipway_tensor *tensor = &reply->outputs[i].tensor;
        buffer_add_format(out, "; %.*s %s ", STR_ARGS(reply->outputs[i].name),
                          dtype_name((enum dtype)tensor->dtype));
        shape_print(out, tensor->dims, tensor->rank);
    }
    buffer_add_byte(out, '\n');
    struct table table;
    table_init(&table, 3);
    table_add(&table, "output");
    table_add(&table, "row");
    table_add(&table, "values");
    for (size_t i = 0; i < reply->output_count; i++) add_output_rows(&table, &reply->outputs[i]);
    table_print(&table, out);
    table_clear(&table);
}

static enum status print(struct inference *inference, struct error *err)
{
    int form = inference->context->config->infer_output;
    if (form == CONFIG_OUTPUT_AUTO)
        form = isatty(fileno(inference->context->out)) ? CONFIG_OUTPUT_TABLE : CONFIG_OUTPUT_JSON;
    struct buffer out;
    buffer_init(&out, INFER_SIZE_MAX);
    enum status status = STATUS_OK;
    if (form == CONFIG_OUTPUT_TABLE) {
        print_table(&inference->reply, &out);
    } else {
        status = form == CONFIG_OUTPUT_ARRAY ? bare_write(&inference->reply, &out, err)
                                             : oip_json_write(&inference->reply, &out, err);
        buffer_add_byte(&out, '\n');
    }
    if (status == STATUS_OK) return console_flush(&out, inference->context->out, err);
    buffer_clear(&out);
    return status;
}

enum status cmd_infer(struct command_context *context, struct error *err)
{
    struct inference inference = {.context = context};
    arena_init(&inference.arena, INFER_SIZE_MAX);
    buffer_init(&inference.text, INFER_SIZE_MAX);
    buffer_init(&inference.body, INFER_SIZE_MAX);
    enum status status =
        *context->config->infer_local ? ask_local(&inference, err) : ask_server(&inference, err);
    buffer_clear(&inference.body);
    buffer_clear(&inference.text);
    arena_clear(&inference.arena);
    return status;
}
