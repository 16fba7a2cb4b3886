/*
 * What of a payload may be kept: all, the beginning, a hash, nothing; and values that are replaced
 * by "[redacted]" before anything is stored. Pure.
 *
 *   const struct str names[] = {STR("ssn"), STR("$.parameters.user")};
 *   struct privacy privacy = {.keep = RECORD_KEEP_INLINE, .bytes_max = 65536,
 *                             .redact = names, .redact_count = 2};
 *   privacy_apply(&privacy, &source, arena, &record->input);
 *
 * What to redact:
 *   NAME        the values of the tensor of that name, in each of the protocols, and every member
 * of that name in any object
 *   $.a.*.b     what that path leads to from the top: member names and positions in arrays, `*` is
 *               any of them
 *
 * Safe side: a payload that must be redacted and cannot be (no JSON, too deep, no memory) is not
 * kept, only its size and hash are. Binary tensors behind a JSON header are dropped as a whole if
 * one of them is to be redacted. Hashes are of the payload as it was sent: equal inputs can be
 * told, and a guess of a short input can be confirmed; RECORD_KEEP_OMITTED keeps no hash either.
 */
#ifndef STORE_PRIVACY_H
#define STORE_PRIVACY_H

#include "config/model_config.h"
#include "store/record.h"

enum {
    PRIVACY_REDACT_GENERAL_MAX = 32,
    PRIVACY_REDACT_MAX = PRIVACY_REDACT_GENERAL_MAX + MODEL_CONFIG_REDACT_MAX,
};
_Static_assert((int)PRIVACY_REDACT_MAX <= 64, "a set of entries is 64 bits");
_Static_assert(MODEL_CONFIG_KEEP_OMITTED - MODEL_CONFIG_KEEP_INLINE == (int)RECORD_KEEP_OMITTED,
               "the same order");

struct privacy {
    enum record_keep keep;
    /* INLINE: what is larger is HASHED. TRUNCATED: so much is kept. */
    uint64_t bytes_max;
    bool inline_unlimited; /* INLINE keeps all, whatever bytes_max says */
    const struct str *redact;
    size_t redact_count; /* at most PRIVACY_REDACT_MAX */
};

struct privacy_source {
    struct str body;
    struct str type;      /* of the body; borrowed by the result */
    uint64_t header_size; /* as in struct record_payload */
    bool is_json;         /* all, or the first header_size bytes if those are not 0 */
    struct str sole;      /* the name of the model's only tensor on this side; empty: several */
};

/* Fills the payload. Its bytes lie in the arena where they were changed, else they are views of the
 * body. Without memory nothing is kept but the size. */
void privacy_apply(const struct privacy *privacy, const struct privacy_source *source,
                   struct arena *arena, struct record_payload *ret_payload);

/*
 * The rules for one model: the server's, with what the model's configuration says over them
 * (`record`, NULL if it says nothing); both redact. A model's own bytes_max ends inline_unlimited:
 * that is for a default which nobody chose. `names` is memory for the list, which must live
 * as long as *ret_privacy.
 */
enum privacy_side { PRIVACY_INPUT, PRIVACY_OUTPUT };
void privacy_of_model(const struct privacy *general, const struct model_config_record *record,
                      enum privacy_side side, struct str names[PRIVACY_REDACT_MAX],
                      struct privacy *ret_privacy);

#endif
