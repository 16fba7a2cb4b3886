/*
 * From an answered inference to its record. A record is made where the answer is, on the loop's
 * thread, into memory of the recorder's ring (watch/recorder.h) or of the caller's.
 *
 *   if (UNLIKELY(recording_wanted(thread, failed))) recording_note(&recording);
 */
#ifndef SERVER_RECORDING_H
#define SERVER_RECORDING_H

#include "server/router.h"
#include "server/thread.h"
#include "watch/recorder.h"

/* What is known of an inference when it is answered. Borrowed. */
struct recording {
    struct server_thread *thread;
    struct http_exchange *exchange;
    const struct serve_call *call; /* its model is set; its times are if it succeeded */
    struct str input_type;         /* of a body that is all JSON */
    struct str request_id;
    const struct error *err; /* NULL: it succeeded */
    struct str output;
    struct str output_type;
    uint64_t output_header_size; /* JSON before binary outputs; 0: all JSON */
};

/* True if the policy wants it and this second has room: recording_note must follow. */
static inline bool recording_wanted(const struct server_thread *thread, bool failed)
{
    if (LIKELY(!thread->recorder)) return false;
    return recorder_wants(thread->recorder, thread->index, loop_now_ns(thread->loop), failed);
}

/* Hands a record to the recorder, or sheds it. */
void recording_note(const struct recording *recording);

/*
 * Fills `record`, with memory of the arena, its id included. Texts of the exchange and of the
 * model are borrowed unless they are copied: record_copy. False if the arena has no room.
 */
bool recording_fill(const struct recording *recording, struct arena *arena, struct record *record);

/* The bytes of the body that are JSON before binary tensors; 0: all, if *ret_is_json. */
uint64_t recording_input_header(const struct http_exchange *exchange, bool *ret_is_json);

#endif
