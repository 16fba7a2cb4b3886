/* Bytes to requests and replies to bytes, by face. */
#include "jobs/payload.h"

#include "base/json.h"
#include "protocol/bare.h"
#include "protocol/oip_binary.h"
#include "protocol/oip_json.h"
#include "protocol/v1.h"

#define TYPE_JSON "application/json"
#define TYPE_BINARY "application/octet-stream"

static const struct str types[PAYLOAD_FACES] = {
    [PAYLOAD_OIP] = {TYPE_JSON, sizeof TYPE_JSON - 1},
    [PAYLOAD_OIP_BINARY] = {TYPE_BINARY, sizeof TYPE_BINARY - 1},
    [PAYLOAD_V1] = {TYPE_JSON "; protocol=v1", sizeof TYPE_JSON "; protocol=v1" - 1},
    [PAYLOAD_BARE] = {TYPE_JSON "; protocol=bare", sizeof TYPE_JSON "; protocol=bare" - 1},
};

struct str payload_type(enum payload_face face)
{
    assert(face < PAYLOAD_FACES);
    return types[face];
}

enum payload_face payload_face_of(struct str type)
{
    for (unsigned face = 0; face < PAYLOAD_FACES; face++)
        if (str_equal(type, types[face])) return (enum payload_face)face;
    return PAYLOAD_OIP;
}

bool payload_has_member(struct str body, struct str name)
{
    struct json_reader reader;
    struct error err;
    struct str key;
    bool more;
    json_reader_init(&reader, body, NULL);
    if (json_open_object(&reader, &err) != STATUS_OK) return false;
    while (json_next_member(&reader, &key, &more, &err) == STATUS_OK && more) {
        if (str_equal(key, name)) return true;
        if (json_skip(&reader, &err) != STATUS_OK) return false;
    }
    return false;
}

enum payload_face payload_guess(struct str body)
{
    struct str rest = body;
    while (rest.size > 0 && json_is_space(*rest.data)) rest = str_from(rest, 1);
    if (rest.size == 0 || *rest.data != '{') return PAYLOAD_BARE;
    return payload_has_member(rest, STR("instances")) ? PAYLOAD_V1 : PAYLOAD_OIP;
}

enum status payload_read(struct payload *payload, const struct infer_spec *spec,
                         struct infer_request *request, struct error *err)
{
    struct str body = payload->body;
    switch (payload->face) {
    case PAYLOAD_OIP: return oip_json_read(body, STR_EMPTY, request, err);
    case PAYLOAD_V1: return v1_read(body, spec, request, &payload->columnar, err);
    case PAYLOAD_BARE: return bare_read(body, spec, request, err);
    case PAYLOAD_OIP_BINARY:
    case PAYLOAD_FACES: break;
    }
    if (payload->header_size == 0) return oip_binary_read_raw(body, spec, request, err);
    if (payload->header_size > body.size)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "a JSON header of %llu bytes does not fit a body of %zu",
                    (unsigned long long)payload->header_size, body.size);
    return oip_binary_read(body, (size_t)payload->header_size, request, err);
}

static bool has_binary(const struct infer_reply *reply)
{
    for (size_t i = 0; i < reply->output_count; i++)
        if (reply->outputs[i].binary) return true;
    return false;
}

static enum status write_binary(const struct infer_reply *reply, struct arena *arena,
                                struct buffer *out, uint64_t *ret_header_size, struct error *err)
{
    struct oip_binary_blobs blobs;
    size_t start = out->size;
    TRY(oip_binary_write(reply, arena, out, &blobs, err));
    *ret_header_size = out->size - start;
    for (size_t i = 0; i < blobs.count; i++) buffer_add(out, blobs.items[i]);
    return STATUS_OK;
}

static enum status write_face(const struct payload *payload, const struct infer_reply *reply,
                              struct buffer *out, struct error *err)
{
    switch (payload->face) {
    case PAYLOAD_V1: return v1_write(reply, payload->columnar, out, err);
    case PAYLOAD_BARE: return bare_write(reply, out, err);
    case PAYLOAD_OIP:
    case PAYLOAD_OIP_BINARY:
    case PAYLOAD_FACES: break;
    }
    return oip_json_write(reply, out, err);
}

enum status payload_write(const struct payload *payload, const struct infer_reply *reply,
                          struct arena *arena, struct buffer *out, struct str *ret_type,
                          uint64_t *ret_header_size, struct error *err)
{
    bool is_oip = payload->face == PAYLOAD_OIP || payload->face == PAYLOAD_OIP_BINARY;
    bool binary = is_oip && has_binary(reply);
    uint64_t header_size = 0;
    if (binary)
        TRY(write_binary(reply, arena, out, &header_size, err));
    else
        TRY(write_face(payload, reply, out, err));
    if (buffer_failed(out))
        return fail(err, STATUS_EXHAUSTED, "the answer does not fit %zu bytes", out->ceiling);
    *ret_type = binary ? types[PAYLOAD_OIP_BINARY] : types[PAYLOAD_OIP];
    *ret_header_size = header_size;
    return STATUS_OK;
}
