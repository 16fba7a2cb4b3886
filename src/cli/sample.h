/*
 * Made-up requests for a model, from what it says of its inputs: for timing, determinism and load,
 * where nothing real is given. The same seed makes the same request.
 */
#ifndef CLI_SAMPLE_H
#define CLI_SAMPLE_H

#include "base/rand.h"
#include "protocol/infer.h"

enum { SAMPLE_BYTES_MAX = 256 * 1024 * 1024 };

/*
 * Fills in the request's inputs; memory from its arena. `rows` counts if the model is batchable.
 * Variable dimensions become 1, an unknown shape [1], an unknown type FP32; *ret_guessed tells that
 * shape or type had to be guessed, so that a refusal by the model means nothing. Floating point is
 * uniform in [0, 1), whole numbers in [0, 10), text "a" to "j". Optional inputs are left out.
 */
enum status sample_fill(const struct infer_spec *spec, int64_t rows, struct prng *prng,
                        struct infer_request *request, bool *ret_guessed,
                        struct error *err) FALLIBLE;

#endif
