/*
 * What of a model's payloads may be kept: the server's rules with the model's own over them
 * (store/privacy.h). Everything that is recorded, of a synchronous request, a job or a message of
 * others, goes through here.
 *
 *   struct privacy_source source = keep_source(&payload);
 *   keep_payload(&jobs->options.input, model, PRIVACY_INPUT, &source, arena, &record.input);
 *
 * Any thread that may look at the model.
 */
#ifndef JOBS_KEEP_H
#define JOBS_KEEP_H

#include "jobs/payload.h"
#include "serve/serve.h"
#include "store/privacy.h"

/* A payload as redaction sees it. Borrows its body. */
struct privacy_source keep_source(const struct payload *payload);

/*
 * Fills the payload of a record; its bytes lie in the arena or are views of the source's body. The
 * source's `sole` is set here. Without a model (NULL: it is unknown, or not loaded) its rules are
 * unknown too: no more than size and hash are kept.
 */
void keep_payload(const struct privacy *general, const struct serve_model *model,
                  enum privacy_side side, const struct privacy_source *source, struct arena *arena,
                  struct record_payload *ret_payload);

#endif
