/*
 * Payloads: the bytes of an inference that are kept or queued, with what is needed to read them
 * again: which face of the protocol they were sent to, and where a binary section begins.
 *
 * The face stands in the media type, so that it travels with record and message:
 *
 *   application/json                    Open Inference Protocol
 *   application/octet-stream            the same with binary tensors; header_size 0: one raw tensor
 *   application/json; protocol=v1       {"instances": ...}
 *   application/json; protocol=bare     [1,2,3]
 *
 * What answers are written as is what the synchronous call would have answered, to the byte. Pure:
 * no I/O, no clock; memory from the request's arena and the given buffer.
 */
#ifndef JOBS_PAYLOAD_H
#define JOBS_PAYLOAD_H

#include "protocol/infer.h"

enum payload_face {
    PAYLOAD_OIP,
    PAYLOAD_OIP_BINARY,
    PAYLOAD_V1,
    PAYLOAD_BARE,
    PAYLOAD_FACES, /* how many */
};

/* The media type of what is sent to a face. */
struct str payload_type(enum payload_face face);

/* The face of a media type; what is not one of ours is taken for OIP JSON. */
enum payload_face payload_face_of(struct str type);

/*
 * For a message that says nothing: an array is bare, an object with `instances` is V1's, any other
 * object OIP's.
 */
enum payload_face payload_guess(struct str body);

/* True if the body is an object with this member at its top. What is no JSON has none. */
bool payload_has_member(struct str body, struct str name);

struct payload {
    enum payload_face face;
    struct str body;
    uint64_t header_size; /* of OIP_BINARY: the JSON before the tensors; 0: one raw tensor */
    bool columnar;        /* set by payload_read: V1 answers in the columnar form */
};

/* Reads the body as a request for a model of this specification. `request` was initialised. */
enum status payload_read(struct payload *payload, const struct infer_spec *spec,
                         struct infer_request *request, struct error *err) FALLIBLE;

/*
 * Appends the answer to `out`. *ret_type is a literal; *ret_header_size is the size of the JSON
 * before binary outputs, 0 if there are none. EXHAUSTED: it does not fit the buffer.
 */
enum status payload_write(const struct payload *payload, const struct infer_reply *reply,
                          struct arena *arena, struct buffer *out, struct str *ret_type,
                          uint64_t *ret_header_size, struct error *err) FALLIBLE;

#endif
