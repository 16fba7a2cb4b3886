/* Answers of AWS's services from any bytes: header lines up to an empty one, then the body. */
#include "aws/answer.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t read_fields(struct str *text, struct client_web_field fields[])
{
    size_t count = 0;
    while (text->size > 0 && count < CLIENT_WEB_REPLY_FIELDS_MAX) {
        struct str value = str_cut(text, '\n');
        if (value.size == 0) break;
        struct str name = str_cut(&value, ':');
        fields[count++] = (struct client_web_field){name, str_trim(value)};
    }
    return count;
}

/* All of it is ours, and fit for one line of a log. */
static void look_at(const struct aws_reply *reply)
{
    assert(reply->message.size <= AWS_MESSAGE_MAX);
    for (size_t i = 0; i < reply->message.size; i++)
        assert((unsigned char)reply->message.data[i] >= ' ');
    enum status status = aws_answer_status(reply);
    assert(reply->status / 100 == 2 ? status == STATUS_OK || reply->code.size
                                    : status != STATUS_OK);
    assert(!aws_reply_is(reply, "") || !reply->code.size || !reply->old_code.size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int statuses[] = {200, 301, 400, 403, 404, 429, 500, 503};
    struct client_web_field fields[CLIENT_WEB_REPLY_FIELDS_MAX];
    struct arena arena;
    struct aws_reply reply;
    struct str text;
    struct error err;
    if (size == 0) return 0;
    struct str rest = {(const char *)data + 1, size - 1};
    struct client_web_reply answer = {.status = statuses[data[0] % COUNT_OF(statuses)],
                                      .fields = fields};
    answer.field_count = read_fields(&rest, fields);
    answer.body = rest;
    arena_init(&arena, 4 << 20);
    (void)aws_answer_is_broken(&answer, data[0] & 0x80);
    if (aws_answer_read(&answer, &arena, &reply, &err) == STATUS_OK) look_at(&reply);
    if (aws_xml_text(rest, "Code", &arena, &text)) assert(text.size <= rest.size);
    arena_clear(&arena);
    return 0;
}
