/* A server, as commands talk to it. */
#include "cli/remote.h"

#include "base/json.h"
#include "base/mem.h"

enum { ERROR_MEMORY_MAX = 64 * 1024, PATH_SIZE_MAX = 8 * 1024 };

struct remote {
    struct client *client;
    char *url;
    char *prefix; /* of paths: "" or "/behind/a/proxy" */
};

enum status remote_open(const char *url, uint64_t timeout_ns, struct remote **ret_remote,
                        struct error *err)
{
    char *host CLEANUP(mem_freep) = NULL;
    uint16_t port;
    struct str path;
    TRY(client_parse_url(url, &host, &port, &path, err));
    while (path.size > 0 && path.data[path.size - 1] == '/') path.size--;
    struct client *client;
    struct client_options options = {.host = host, .port = port, .timeout_ns = timeout_ns};
    TRY(client_new(&options, &client, err));
    struct remote *remote = MEM_NEW(struct remote);
    remote->client = client;
    remote->url = mem_copy_text(url);
    remote->prefix = str_copy(path);
    *ret_remote = remote;
    return STATUS_OK;
}

void remote_close(struct remote *remote)
{
    if (!remote) return;
    client_free(remote->client);
    mem_free(remote->prefix);
    mem_free(remote->url);
    mem_free(remote);
}

enum status remote_send(struct remote *remote, const struct client_request *request,
                        struct client_response *ret_response, struct error *err)
{
    char *path CLEANUP(mem_freep) = mem_format("%s%s", remote->prefix, request->path);
    struct client_request whole = *request;
    whole.path = path;
    enum status status = client_request(remote->client, &whole, ret_response, err);
    return fail_while(err, status, "asking %s", remote->url);
}

/* Of the outcomes that answer with this HTTP status, the one that fits best. */
static enum status status_for(int http)
{
    switch (http) {
    case 404: return STATUS_NOT_FOUND;
    case 401: return STATUS_UNAUTHENTICATED;
    case 403: return STATUS_PERMISSION_DENIED;
    case 501: return STATUS_UNIMPLEMENTED;
    case 503: return STATUS_UNAVAILABLE;
    case 504: return STATUS_DEADLINE_EXCEEDED;
    default: return http >= 500 ? STATUS_INTERNAL : STATUS_INVALID_ARGUMENT;
    }
}

/* The text of {"error":"..."}; data NULL if the body is something else. */
static struct str error_text(struct str body, struct arena *arena)
{
    struct json_reader reader;
    struct error ignored;
    struct str text = {NULL, 0};
    json_reader_init(&reader, body, arena);
    if (json_open_object(&reader, &ignored) != STATUS_OK) return text;
    for (;;) {
        struct str key;
        bool more;
        if (json_next_member(&reader, &key, &more, &ignored) != STATUS_OK || !more) return text;
        if (str_equal(key, STR("error"))) {
            if (json_read_string(&reader, &text, &ignored) != STATUS_OK) text.data = NULL;
            return text;
        }
        if (json_skip(&reader, &ignored) != STATUS_OK) return text;
    }
}

enum status remote_fail(const struct client_response *response, struct error *err)
{
    struct arena arena;
    arena_init(&arena, ERROR_MEMORY_MAX);
    struct str text = error_text(response->body, &arena);
    enum status status = status_for(response->status);
    if (text.data && text.size > 0)
        status =
            fail(err, status, "the server answered %d: %.*s", response->status, STR_ARGS(text));
    else
        status = fail(err, status, "the server answered %d", response->status);
    arena_clear(&arena);
    return status;
}

static enum status exchange(struct remote *remote, const struct client_request *request,
                            struct str *ret_body, struct error *err)
{
    struct client_response response;
    TRY(remote_send(remote, request, &response, err));
    if (response.status != 200) return remote_fail(&response, err);
    *ret_body = response.body;
    return STATUS_OK;
}

enum status remote_get(struct remote *remote, const char *path, struct str *ret_body,
                       struct error *err)
{
    return exchange(remote, &(struct client_request){.path = path, .accept_compressed = true},
                    ret_body, err);
}

enum status remote_post(struct remote *remote, const char *path, struct str body,
                        struct str *ret_body, struct error *err)
{
    struct client_request request = {
        .method = "POST", .path = path, .content_type = "application/json", .body = body};
    return exchange(remote, &request, ret_body, err);
}

static void add_encoded(struct buffer *out, struct str text)
{
    for (size_t i = 0; i < text.size; i++) {
        unsigned char byte = (unsigned char)text.data[i];
        bool plain = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
                     (byte >= '0' && byte <= '9') || (byte && strchr("-._~", byte));
        if (plain)
            buffer_add_byte(out, (char)byte);
        else
            buffer_add_format(out, "%%%02X", byte);
    }
}

char *remote_model_path(struct str name, struct str version, const char *suffix)
{
    struct buffer path;
    buffer_init(&path, PATH_SIZE_MAX);
    buffer_add(&path, STR("/v2/models/"));
    add_encoded(&path, name);
    if (version.size > 0) {
        buffer_add(&path, STR("/versions/"));
        add_encoded(&path, version);
    }
    buffer_add_text(&path, suffix);
    return buffer_take(&path);
}

void remote_add_parameter(struct buffer *path, const char *name, struct str value)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~,:";
    if (value.size == 0) return;
    buffer_add_byte(path, memchr(path->data, '?', path->size) ? '&' : '?');
    buffer_add_text(path, name);
    buffer_add_byte(path, '=');
    for (size_t i = 0; i < value.size; i++) {
        unsigned char byte = (unsigned char)value.data[i];
        if (byte && strchr(plain, byte))
            buffer_add_byte(path, (char)byte);
        else
            buffer_add_format(path, "%%%02X", byte);
    }
}

/* --- metadata --------------------------------------------------------------------------------- */

static enum status read_shape(struct json_reader *reader, struct arena *arena,
                              struct slipway_tensor_spec *spec, struct error *err)
{
    int64_t *dims = ARENA_TRY_ARRAY(arena, int64_t, SHAPE_RANK_MAX);
    if (!dims) return fail(err, STATUS_EXHAUSTED, "no memory for the model's metadata");
    TRY(json_open_array(reader, err));
    int32_t rank = 0;
    for (;;) {
        bool more;
        TRY(json_next_element(reader, &more, err));
        if (!more) break;
        if (rank == SHAPE_RANK_MAX) return json_fail(reader, "a shape of too many dimensions", err);
        TRY(json_read_i64(reader, &dims[rank++], err));
    }
    spec->rank = rank;
    spec->dims = dims;
    return STATUS_OK;
}

static enum status read_tensor(struct json_reader *reader, struct arena *arena,
                               struct slipway_tensor_spec *spec, struct error *err)
{
    *spec = (struct slipway_tensor_spec){.name = "", .rank = -1};
    TRY(json_open_object(reader, err));
    for (;;) {
        struct str key, text;
        bool more;
        TRY(json_next_member(reader, &key, &more, err));
        if (!more) return STATUS_OK;
        if (str_equal(key, STR("shape"))) {
            TRY(read_shape(reader, arena, spec, err));
        } else if (str_equal(key, STR("name"))) {
            TRY(json_read_string(reader, &text, err));
            spec->name = arena_try_copy(arena, text).data;
            if (!spec->name) return fail(err, STATUS_EXHAUSTED, "no memory for metadata");
        } else if (str_equal(key, STR("datatype"))) {
            enum dtype dtype;
            TRY(json_read_string(reader, &text, err));
            if (dtype_find(text, &dtype)) spec->dtype = dtype;
        } else {
            TRY(json_skip(reader, err));
        }
    }
}

static enum status read_tensors(struct json_reader *reader, struct arena *arena,
                                const struct slipway_tensor_spec **ret_specs, size_t *ret_count,
                                struct error *err)
{
    struct slipway_tensor_spec *specs =
        ARENA_TRY_ARRAY(arena, struct slipway_tensor_spec, INFER_TENSORS_MAX);
    if (!specs) return fail(err, STATUS_EXHAUSTED, "no memory for the model's metadata");
    size_t count = 0;
    TRY(json_open_array(reader, err));
    for (;;) {
        bool more;
        TRY(json_next_element(reader, &more, err));
        if (!more) break;
        if (count == INFER_TENSORS_MAX) return json_fail(reader, "too many tensors", err);
        TRY(read_tensor(reader, arena, &specs[count++], err));
    }
    *ret_specs = specs;
    *ret_count = count;
    return STATUS_OK;
}

static enum status read_metadata(struct str body, struct arena *arena, struct infer_spec *spec,
                                 struct error *err)
{
    struct json_reader reader;
    json_reader_init(&reader, body, arena);
    TRY(json_open_object(&reader, err));
    for (;;) {
        struct str key;
        bool more;
        TRY(json_next_member(&reader, &key, &more, err));
        if (!more) return json_end(&reader, err);
        if (str_equal(key, STR("inputs")))
            TRY(read_tensors(&reader, arena, &spec->inputs, &spec->input_count, err));
        else if (str_equal(key, STR("outputs")))
            TRY(read_tensors(&reader, arena, &spec->outputs, &spec->output_count, err));
        else
            TRY(json_skip(&reader, err));
    }
}

enum status remote_spec(struct remote *remote, struct str name, struct str version,
                        struct arena *arena, struct infer_spec *ret_spec, struct error *err)
{
    char *path CLEANUP(mem_freep) = remote_model_path(name, version, "");
    struct str body, copy = arena_try_copy(arena, name);
    if (!copy.data) return fail(err, STATUS_EXHAUSTED, "no memory for the model's metadata");
    TRY(remote_get(remote, path, &body, err));
    struct infer_spec spec = {.name = copy.data};
    TRY(fail_while(err, read_metadata(body, arena, &spec, err), "reading the metadata of '%s'",
                   copy.data));
    bool batchable = spec.input_count > 0;
    for (size_t i = 0; i < spec.input_count; i++)
        batchable = batchable && spec.inputs[i].rank > 0 && spec.inputs[i].dims[0] == -1;
    spec.batch_size_max = batchable ? INT32_MAX : 0;
    *ret_spec = spec;
    return STATUS_OK;
}
