/*
 * What an answer of AWS says: the name of an error in the three places where services put it, and
 * what that means to us. Pure.
 *
 *   struct aws_reply reply;
 *   TRY(aws_answer_read(&web_reply, arena, &reply, err));
 *   enum status status = aws_answer_status(&reply);
 */
#ifndef AWS_ANSWER_H
#define AWS_ANSWER_H

#include "base/arena.h"
#include "net/client_web.h"

enum { AWS_MESSAGE_MAX = 256 }; /* bytes of an error's message that are kept */

/* All in the arena. */
struct aws_reply {
    int status;                            /* HTTP's; 0: there was no answer */
    struct str body;                       /* empty if a sink took it */
    struct str code;                       /* of an error: "QueueDoesNotExist"; empty: none */
    struct str old_code;                   /* its older name (x-amzn-query-error); empty: none */
    struct str message;                    /* of an error: its first line, without a full stop */
    const struct client_web_field *fields; /* headers: x-amz..., Date, ETag, Content-... */
    size_t field_count;
    unsigned attempts;
};

/* No answer. */
void aws_answer_none(struct aws_reply *reply);

/* Copies; EXHAUSTED if the arena has no room. */
enum status aws_answer_read(const struct client_web_reply *answer, struct arena *arena,
                            struct aws_reply *ret_reply, struct error *err) FALLIBLE;

/* True if the body is not what was sent: another checksum (x-amz-crc32), or, of `json`, not JSON.
 */
bool aws_answer_is_broken(const struct client_web_reply *answer, bool json);

/* What the answer means: see aws/client.h. */
enum status aws_answer_status(const struct aws_reply *reply);

/* True if the error has this name, old or new. */
bool aws_reply_is(const struct aws_reply *reply, const char *code);

/* A header of the answer; data NULL: there is none. */
struct str aws_reply_field(const struct aws_reply *reply, const char *name);

/*
 * The text of the first element <name> of a document in XML, its entities decoded, in the arena.
 * False: there is none, or no room.
 */
bool aws_xml_text(struct str xml, const char *name, struct arena *arena,
                  struct str *ret_text) FALLIBLE;

#endif
