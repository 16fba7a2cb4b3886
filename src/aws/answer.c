/* Errors in headers, JSON and XML. */
#include "aws/answer.h"

#include "aws/retry.h"
#include "base/json.h"
#include "base/num.h"

/* --- XML, as much as errors and small answers need ---------------------------------------------
 */

static size_t find_text(struct str text, struct str wanted, size_t start)
{
    for (size_t i = start; i + wanted.size <= text.size; i++)
        if (memcmp(text.data + i, wanted.data, wanted.size) == 0) return i;
    return SIZE_MAX;
}

static bool starts_element(struct str xml, size_t at, struct str name)
{
    size_t end = at + 1 + name.size;
    if (end >= xml.size || memcmp(xml.data + at + 1, name.data, name.size) != 0) return false;
    char next = xml.data[end];
    return next == '>' || next == ' ' || next == '\t' || next == '\r' || next == '\n';
}

/* What is between the first <name ...> and the next "</name". */
static bool find_element(struct str xml, struct str name, struct str *ret_inner)
{
    for (size_t at = 0; at < xml.size; at++) {
        if (xml.data[at] != '<' || !starts_element(xml, at, name)) continue;
        size_t open = find_text(xml, STR(">"), at);
        if (open == SIZE_MAX) return false;
        size_t close = find_text(xml, STR("</"), open);
        if (close == SIZE_MAX || !starts_element(xml, close + 1, name)) return false;
        *ret_inner = (struct str){xml.data + open + 1, close - open - 1};
        return true;
    }
    return false;
}

static char entity_of(struct str text, size_t *ret_size)
{
    static const struct {
        const char *text;
        char byte;
    } entities[] = {
        {"&lt;", '<'}, {"&gt;", '>'}, {"&amp;", '&'}, {"&quot;", '"'}, {"&apos;", '\''}};
    for (size_t i = 0; i < COUNT_OF(entities); i++)
        if (str_starts_with(text, str_of(entities[i].text))) {
            *ret_size = strlen(entities[i].text);
            return entities[i].byte;
        }
    *ret_size = 1;
    return text.data[0];
}

bool aws_xml_text(struct str xml, const char *name, struct arena *arena, struct str *ret_text)
{
    struct str inner;
    if (!find_element(xml, str_of(name), &inner)) return false;
    inner = str_trim(inner);
    char *text = arena_try_new(arena, inner.size + 1);
    if (!text) return false;
    size_t size = 0, step;
    for (size_t i = 0; i < inner.size; i += step)
        text[size++] = entity_of(str_from(inner, i), &step);
    text[size] = '\0';
    *ret_text = (struct str){text, size};
    return true;
}

/* --- errors ------------------------------------------------------------------------------------
 */

/*
 * The first line, shortened: what follows it in an answer to a wrong signature is the request, with
 * the session's token in it.
 */
static struct str first_line(struct str text)
{
    size_t size = MIN(text.size, (size_t)AWS_MESSAGE_MAX), end = 0;
    while (end < size && (unsigned char)text.data[end] >= ' ') end++;
    /* Not within a character. */
    while (end > 0 && end < text.size && ((unsigned char)text.data[end] & 0xC0) == 0x80) end--;
    struct str line = str_trim((struct str){text.data, end});
    while (str_ends_with(line, STR("."))) line.size--;
    return line;
}

static enum status read_text(struct json_reader *reader, struct str *ret_text, struct error *err)
{
    return json_peek(reader) == JSON_STRING ? json_read_string(reader, ret_text, err)
                                            : json_skip(reader, err);
}

static enum status read_json_error(struct json_reader *reader, struct aws_reply *reply,
                                   struct error *err)
{
    struct str key;
    bool more;
    TRY(json_open_object(reader, err));
    for (;;) {
        TRY(json_next_member(reader, &key, &more, err));
        if (!more) return STATUS_OK;
        if (str_equal(key, STR("__type")) || str_equal(key, STR("code")))
            TRY(read_text(reader, &reply->code, err));
        else if (str_equal_ignoring_case(key, STR("message")))
            TRY(read_text(reader, &reply->message, err));
        else
            TRY(json_skip(reader, err));
    }
}

/* Of a body that is neither JSON nor XML nothing is taken: it may be a proxy's page. */
static void read_body_error(struct aws_reply *reply, struct arena *arena)
{
    struct json_reader reader;
    struct error ignored;
    struct str body = str_trim(reply->body);
    if (str_starts_with(body, STR("<"))) {
        if (!aws_xml_text(body, "Code", arena, &reply->code)) return;
        if (!aws_xml_text(body, "Message", arena, &reply->message)) reply->message = STR_EMPTY;
        return;
    }
    json_reader_init(&reader, body, arena);
    (void)read_json_error(&reader, reply, &ignored);
}

static void read_error(struct aws_reply *reply, struct arena *arena)
{
    struct str type = aws_reply_field(reply, "x-amzn-errortype");
    struct str query = aws_reply_field(reply, "x-amzn-query-error");
    read_body_error(reply, arena);
    if (reply->code.size == 0 && type.data) reply->code = type;
    if (query.data) reply->old_code = str_trim(str_cut(&query, ';'));
    reply->code = aws_error_name(reply->code);
    reply->message = first_line(reply->message);
}

/* --- copies ------------------------------------------------------------------------------------
 */

static bool is_kept(struct str name)
{
    static const char *const plain[] = {"date",         "etag",           "retry-after",
                                        "content-type", "content-length", "last-modified"};
    if (name.size >= 5 && str_equal_ignoring_case((struct str){name.data, 5}, STR("x-amz")))
        return true;
    for (size_t i = 0; i < COUNT_OF(plain); i++)
        if (str_equal_ignoring_case(name, str_of(plain[i]))) return true;
    return false;
}

static bool copy_fields(const struct client_web_reply *answer, struct arena *arena,
                        struct aws_reply *reply)
{
    struct client_web_field *fields =
        ARENA_TRY_ARRAY(arena, struct client_web_field, answer->field_count + 1);
    if (!fields) return false;
    for (size_t i = 0; i < answer->field_count; i++) {
        struct client_web_field field = answer->fields[i];
        if (!is_kept(field.name)) continue;
        field.name = arena_try_copy(arena, field.name);
        field.value = arena_try_copy(arena, field.value);
        if (!field.name.data || !field.value.data) return false;
        fields[reply->field_count++] = field;
    }
    reply->fields = fields;
    return true;
}

void aws_answer_none(struct aws_reply *reply)
{
    *reply = (struct aws_reply){
        .body = STR_EMPTY, .code = STR_EMPTY, .old_code = STR_EMPTY, .message = STR_EMPTY};
}

enum status aws_answer_read(const struct client_web_reply *answer, struct arena *arena,
                            struct aws_reply *ret_reply, struct error *err)
{
    struct aws_reply reply;
    aws_answer_none(&reply);
    reply.status = answer->status;
    reply.body = arena_try_copy(arena, answer->body);
    if (!reply.body.data || !copy_fields(answer, arena, &reply))
        return fail(err, STATUS_EXHAUSTED, "no memory for an answer of %zu bytes",
                    answer->body.size);
    if (reply.status >= 300) read_error(&reply, arena);
    *ret_reply = reply;
    return STATUS_OK;
}

bool aws_reply_is(const struct aws_reply *reply, const char *code)
{
    return str_equal(reply->code, str_of(code)) || str_equal(reply->old_code, str_of(code));
}

struct str aws_reply_field(const struct aws_reply *reply, const char *name)
{
    for (size_t i = 0; i < reply->field_count; i++)
        if (str_equal_ignoring_case(reply->fields[i].name, str_of(name)))
            return reply->fields[i].value;
    return (struct str){NULL, 0};
}

/* --- half answers ------------------------------------------------------------------------------
 */

/* zlib's, a nibble at a time. */
static uint32_t crc32_of(struct str bytes)
{
    static const uint32_t table[16] = {0x00000000, 0x1DB71064, 0x3B6E20C8, 0x26D930AC,
                                       0x76DC4190, 0x6B6B51F4, 0x4DB26158, 0x5005713C,
                                       0xEDB88320, 0xF00F9344, 0xD6D6A3E8, 0xCB61B38C,
                                       0x9B64C2B0, 0x86D3D2D4, 0xA00AE278, 0xBDBDF21C};
    uint32_t crc = 0xFFFFFFFF;
    for (size_t i = 0; i < bytes.size; i++) {
        crc ^= (unsigned char)bytes.data[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}

static bool is_json(struct str text)
{
    struct arena arena;
    struct json_reader reader;
    struct error ignored;
    arena_init(&arena, text.size + 4096); /* strings with escapes are no longer than they stand */
    json_reader_init(&reader, text, &arena);
    bool good =
        json_skip(&reader, &ignored) == STATUS_OK && json_end(&reader, &ignored) == STATUS_OK;
    arena_clear(&arena);
    return good;
}

bool aws_answer_is_broken(const struct client_web_reply *answer, bool json)
{
    uint64_t checksum;
    struct str sent = client_web_reply_field(answer, STR("x-amz-crc32"));
    if (sent.data && num_read_u64(sent, &checksum) && checksum != crc32_of(answer->body))
        return true;
    bool good = answer->status >= 200 && answer->status < 300;
    return json && good && answer->body.size > 0 && !is_json(answer->body);
}

/* --- meaning -----------------------------------------------------------------------------------
 */

static const struct {
    const char *code;
    enum status status;
} meanings[] = {
    {"QueueDoesNotExist", STATUS_NOT_FOUND},
    {"AWS.SimpleQueueService.NonExistentQueue", STATUS_NOT_FOUND},
    {"ResourceNotFoundException", STATUS_NOT_FOUND},
    {"NoSuchKey", STATUS_NOT_FOUND},
    {"NoSuchBucket", STATUS_NOT_FOUND},
    {"NotFound", STATUS_NOT_FOUND},
    {"TaskDoesNotExist", STATUS_NOT_FOUND},
    {"TaskTimedOut", STATUS_FAILED_PRECONDITION},
    {"ConditionalCheckFailedException", STATUS_FAILED_PRECONDITION},
    {"TransactionCanceledException", STATUS_FAILED_PRECONDITION},
    {"PreconditionFailed", STATUS_FAILED_PRECONDITION},
    {"AccessDenied", STATUS_PERMISSION_DENIED},
    {"AccessDeniedException", STATUS_PERMISSION_DENIED},
    {"AuthorizationError", STATUS_PERMISSION_DENIED},
    {"AllAccessDisabled", STATUS_PERMISSION_DENIED},
    {"ExpiredToken", STATUS_UNAUTHENTICATED},
    {"ExpiredTokenException", STATUS_UNAUTHENTICATED},
    {"IncompleteSignature", STATUS_UNAUTHENTICATED},
    {"IncompleteSignatureException", STATUS_UNAUTHENTICATED},
    {"InvalidAccessKeyId", STATUS_UNAUTHENTICATED},
    {"InvalidClientTokenId", STATUS_UNAUTHENTICATED},
    {"InvalidSignatureException", STATUS_UNAUTHENTICATED},
    {"InvalidToken", STATUS_UNAUTHENTICATED},
    {"MissingAuthenticationToken", STATUS_UNAUTHENTICATED},
    {"MissingAuthenticationTokenException", STATUS_UNAUTHENTICATED},
    {"RequestTimeTooSkewed", STATUS_UNAUTHENTICATED},
    {"SignatureDoesNotMatch", STATUS_UNAUTHENTICATED},
    {"UnrecognizedClientException", STATUS_UNAUTHENTICATED},
};

static enum status status_of_http(int status)
{
    if (status >= 500) return STATUS_UNAVAILABLE;
    if (status == 404) return STATUS_NOT_FOUND;
    if (status == 403) return STATUS_PERMISSION_DENIED;
    if (status == 401) return STATUS_UNAUTHENTICATED;
    if (status == 412) return STATUS_FAILED_PRECONDITION;
    return STATUS_INVALID_ARGUMENT;
}

enum status aws_answer_status(const struct aws_reply *reply)
{
    if (reply->status >= 200 && reply->status < 300) return STATUS_OK;
    for (size_t i = 0; i < COUNT_OF(meanings); i++)
        if (aws_reply_is(reply, meanings[i].code)) return meanings[i].status;
    enum aws_fault fault = aws_fault_of(reply->status, reply->code);
    if (fault == AWS_FAULT_THROTTLED) return STATUS_EXHAUSTED;
    if (fault == AWS_FAULT_TRANSIENT || fault == AWS_FAULT_TRANSPORT) return STATUS_UNAVAILABLE;
    return status_of_http(reply->status);
}
