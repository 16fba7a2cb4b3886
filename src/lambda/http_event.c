/* HTTP in events. */
#include "lambda/http_event.h"

#include "base/base64.h"

struct reading {
    struct arena *arena;
    struct lambda_http_request *request;
    bool v1;
    struct str method;
    struct str path;
    struct str query; /* encoded: of payload 2.0 */
    struct str stage;
    struct str body;
    bool base64;
    /* Of payload 1.0, whose multi-value members are the whole truth where they are there. */
    struct str headers;
    struct str parameters;
    struct str cookies;
    struct buffer *target;
};

/* --- header fields ---------------------------------------------------------------------------- */

static const struct str dropped_fields[] = {
    {"connection", 10},
    {"content-length", 14},
    {"transfer-encoding", 17},
    {"expect", 6},
    {"host", 4},
    {"accept-encoding", 15},
    {"upgrade", 7},
    {"te", 2},
    {"trailer", 7},
    {"keep-alive", 10},
    {"proxy-connection", 16},
};

static bool is_dropped(struct str name)
{
    for (size_t i = 0; i < COUNT_OF(dropped_fields); i++)
        if (str_equal_ignoring_case(name, dropped_fields[i])) return true;
    return false;
}

static bool is_token(struct str name)
{
    for (size_t i = 0; i < name.size; i++) {
        char byte = name.data[i];
        bool letter = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
        bool digit = byte >= '0' && byte <= '9';
        if (!letter && !digit && (byte == '\0' || !strchr("!#$%&'*+-.^_`|~", byte))) return false;
    }
    return name.size > 0;
}

static bool is_value(struct str value)
{
    for (size_t i = 0; i < value.size; i++) {
        unsigned char byte = (unsigned char)value.data[i];
        if ((byte < 0x20 && byte != '\t') || byte == 0x7F) return false;
    }
    return true;
}

static enum status add_field(struct reading *reading, struct str name, struct str value,
                             struct error *err)
{
    struct lambda_http_request *request = reading->request;
    if (is_dropped(name)) return STATUS_OK;
    if (!is_token(name) || !is_value(value))
        return fail(err, STATUS_INVALID_ARGUMENT, "'%.*s' is no header field of HTTP",
                    (int)MIN(name.size, (size_t)64), name.data);
    if (request->field_count == LAMBDA_HTTP_FIELDS_MAX)
        return fail(err, STATUS_INVALID_ARGUMENT, "the request has more than %d header fields",
                    LAMBDA_HTTP_FIELDS_MAX);
    request->fields[request->field_count++] = (struct client_field){name, value};
    return STATUS_OK;
}

/* --- pairs ------------------------------------------------------------------------------------ */

typedef enum status pair_function(struct reading *reading, struct str name, struct str value,
                                  struct error *err);

static enum status each_value(struct reading *reading, struct json_reader *reader, struct str name,
                              pair_function *pair, struct error *err)
{
    struct str value;
    if (json_peek(reader) != JSON_ARRAY) {
        TRY(json_read_string(reader, &value, err));
        return pair(reading, name, value, err);
    }
    TRY(json_open_array(reader, err));
    for (;;) {
        bool more;
        TRY(json_next_element(reader, &more, err));
        if (!more) return STATUS_OK;
        TRY(json_read_string(reader, &value, err));
        TRY(pair(reading, name, value, err));
    }
}

/* {"name":"value"} or {"name":["value",...]}; null and nothing are no pairs. */
static enum status each_pair(struct reading *reading, struct str object, pair_function *pair,
                             struct error *err)
{
    struct json_reader reader;
    json_reader_init(&reader, object, reading->arena);
    if (object.size == 0 || json_peek(&reader) != JSON_OBJECT) return STATUS_OK;
    TRY(json_open_object(&reader, err));
    for (;;) {
        struct str name;
        bool more;
        TRY(json_next_member(&reader, &name, &more, err));
        if (!more) return STATUS_OK;
        TRY(each_value(reading, &reader, name, pair, err));
    }
}

/* --- target ----------------------------------------------------------------------------------- */

static bool is_plain(char byte, bool path)
{
    bool letter = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
    if (letter || (byte >= '0' && byte <= '9')) return true;
    return byte != '\0' && strchr(path ? "-._~/%:@!$&'()*+,;=" : "-._~", byte);
}

static void encode(struct buffer *out, struct str text, bool path)
{
    for (size_t i = 0; i < text.size; i++)
        if (is_plain(text.data[i], path))
            buffer_add_byte(out, text.data[i]);
        else
            buffer_add_format(out, "%%%02X", (unsigned)(unsigned char)text.data[i]);
}

static enum status write_parameter(struct reading *reading, struct str name, struct str value,
                                   struct error *err UNUSED)
{
    struct buffer *out = reading->target;
    buffer_add_byte(out, str_find(buffer_view(out), '?') == SIZE_MAX ? '?' : '&');
    encode(out, name, false);
    buffer_add_byte(out, '=');
    encode(out, value, false);
    return STATUS_OK;
}

static struct str without_stage(const struct reading *reading)
{
    struct str path = reading->path, stage = reading->stage;
    bool named = stage.size > 0 && !str_equal(stage, STR("$default"));
    if (reading->v1 || !named || path.size <= stage.size || path.data[0] != '/') return path;
    struct str rest = str_from(path, 1);
    if (!str_starts_with(rest, stage)) return path;
    rest = str_from(rest, stage.size);
    if (rest.size == 0) return STR("/");
    return rest.data[0] == '/' ? rest : path;
}

static enum status write_target(struct reading *reading, struct error *err)
{
    struct buffer *out = reading->target;
    struct str path = without_stage(reading);
    if (path.size == 0 || path.data[0] != '/')
        return fail(err, STATUS_INVALID_ARGUMENT, "the event has no path");
    encode(out, path, true);
    if (reading->query.size > 0) {
        buffer_add_byte(out, '?');
        for (size_t i = 0; i < reading->query.size; i++) {
            char byte = reading->query.data[i];
            if (byte > ' ' && byte < 0x7F) buffer_add_byte(out, byte);
        }
    }
    TRY(each_pair(reading, reading->parameters, write_parameter, err));
    struct str copy = {NULL, 0};
    if (!buffer_failed(out)) copy = arena_try_copy(reading->arena, str_of(buffer_text(out)));
    if (!copy.data)
        return fail(err, STATUS_INVALID_ARGUMENT, "path and query are longer than %d bytes",
                    LAMBDA_HTTP_TARGET_MAX);
    reading->request->target = copy.data;
    return STATUS_OK;
}

/* --- reading ---------------------------------------------------------------------------------- */

static struct str member(const struct reading *reading, struct str object, const char *name)
{
    struct str value = lambda_event_member(object, str_of(name), reading->arena);
    return value.data && !str_equal(value, STR("null")) ? value : STR_EMPTY;
}

static struct str text(const struct reading *reading, struct str object, const char *name)
{
    struct str value = lambda_event_text(object, str_of(name), reading->arena);
    return value.data ? value : STR_EMPTY;
}

static void find_v1(struct reading *reading, struct str event)
{
    reading->method = text(reading, event, "httpMethod");
    reading->path = text(reading, event, "path");
    reading->headers = member(reading, event, "multiValueHeaders");
    if (reading->headers.size == 0) reading->headers = member(reading, event, "headers");
    reading->parameters = member(reading, event, "multiValueQueryStringParameters");
    if (reading->parameters.size == 0)
        reading->parameters = member(reading, event, "queryStringParameters");
}

static void find_v2(struct reading *reading, struct str event)
{
    struct str context = member(reading, event, "requestContext");
    struct str http = member(reading, context, "http");
    reading->method = text(reading, http, "method");
    reading->path = text(reading, event, "rawPath");
    reading->query = text(reading, event, "rawQueryString");
    reading->stage = text(reading, context, "stage");
    reading->headers = member(reading, event, "headers");
    reading->cookies = member(reading, event, "cookies");
}

static enum status read_body(struct reading *reading, struct error *err)
{
    reading->request->body = reading->body;
    if (!reading->base64 || reading->body.size == 0) return STATUS_OK;
    return fail_while(err,
                      base64_decode(reading->body, reading->arena, &reading->request->body, err),
                      "the event's body");
}

static enum status read_cookies(struct reading *reading, struct error *err)
{
    struct json_reader reader;
    struct buffer joined CLEANUP(buffer_clear);
    buffer_init(&joined, CLIENT_HEAD_SIZE_MAX);
    json_reader_init(&reader, reading->cookies, reading->arena);
    if (reading->cookies.size == 0 || json_peek(&reader) != JSON_ARRAY) return STATUS_OK;
    TRY(json_open_array(&reader, err));
    for (;;) {
        struct str cookie;
        bool more;
        TRY(json_next_element(&reader, &more, err));
        if (!more) break;
        TRY(json_read_string(&reader, &cookie, err));
        if (joined.size > 0) buffer_add(&joined, STR("; "));
        buffer_add(&joined, cookie);
    }
    if (joined.size == 0) return STATUS_OK;
    struct str copy = {NULL, 0};
    if (!buffer_failed(&joined)) copy = arena_try_copy(reading->arena, buffer_view(&joined));
    if (!copy.data) return fail(err, STATUS_INVALID_ARGUMENT, "the cookies are too long");
    return add_field(reading, STR("Cookie"), copy, err);
}

static enum status read_method(struct reading *reading, struct error *err)
{
    if (!is_token(reading->method) || reading->method.size > 16)
        return fail(err, STATUS_INVALID_ARGUMENT, "the event has no method of HTTP");
    struct str copy = arena_try_copy(reading->arena, reading->method);
    if (!copy.data) return fail(err, STATUS_EXHAUSTED, "no memory for the request");
    reading->request->method = copy.data;
    return STATUS_OK;
}

enum status lambda_http_read(struct str event, enum lambda_shape shape, struct arena *arena,
                             struct lambda_http_request *ret_request, struct error *err)
{
    struct buffer target CLEANUP(buffer_clear);
    struct reading reading = {.arena = arena,
                              .request = ret_request,
                              .v1 = shape == LAMBDA_HTTP_V1,
                              .query = STR_EMPTY,
                              .stage = STR_EMPTY,
                              .parameters = STR_EMPTY,
                              .cookies = STR_EMPTY,
                              .target = &target};
    buffer_init(&target, LAMBDA_HTTP_TARGET_MAX);
    ret_request->field_count = 0;
    if (reading.v1)
        find_v1(&reading, event);
    else
        find_v2(&reading, event);
    reading.body = text(&reading, event, "body");
    reading.base64 = str_equal(member(&reading, event, "isBase64Encoded"), STR("true"));
    TRY(read_method(&reading, err));
    TRY(write_target(&reading, err));
    TRY(each_pair(&reading, reading.headers, add_field, err));
    TRY(read_cookies(&reading, err));
    return read_body(&reading, err);
}

/* --- writing ---------------------------------------------------------------------------------- */

static bool is_cookie(struct str name)
{
    return str_equal_ignoring_case(name, STR("set-cookie"));
}

static bool belongs_to_connection(struct str name)
{
    return is_dropped(name) || str_equal_ignoring_case(name, STR("date"));
}

/* A name that was there before is part of that one's value already. */
static bool is_first(const struct lambda_http_answer *answer, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (str_equal_ignoring_case(answer->fields[i].name, answer->fields[index].name))
            return false;
    return true;
}

static void write_name(struct json_writer *writer, struct str name)
{
    char lower[128];
    struct str text = {lower, MIN(name.size, sizeof lower)};
    for (size_t i = 0; i < text.size; i++) {
        char byte = name.data[i];
        lower[i] = byte >= 'A' && byte <= 'Z' ? (char)(byte - 'A' + 'a') : byte;
    }
    json_add_name(writer, text);
}

static void write_joined(const struct lambda_http_answer *answer, size_t index,
                         struct json_writer *writer)
{
    struct buffer value CLEANUP(buffer_clear);
    buffer_init(&value, CLIENT_HEAD_SIZE_MAX);
    for (size_t i = index; i < answer->field_count; i++) {
        if (!str_equal_ignoring_case(answer->fields[i].name, answer->fields[index].name)) continue;
        if (i > index) buffer_add(&value, STR(","));
        buffer_add(&value, answer->fields[i].value);
    }
    write_name(writer, answer->fields[index].name);
    json_add_string(writer, buffer_view(&value));
}

static void write_all(const struct lambda_http_answer *answer, size_t index,
                      struct json_writer *writer)
{
    write_name(writer, answer->fields[index].name);
    json_begin_array(writer);
    for (size_t i = index; i < answer->field_count; i++)
        if (str_equal_ignoring_case(answer->fields[i].name, answer->fields[index].name))
            json_add_string(writer, answer->fields[i].value);
    json_end_array(writer);
}

static void write_cookies(const struct lambda_http_answer *answer, struct json_writer *writer)
{
    bool some = false;
    for (size_t i = 0; i < answer->field_count; i++) some |= is_cookie(answer->fields[i].name);
    if (!some) return;
    json_add_name(writer, STR("cookies"));
    json_begin_array(writer);
    for (size_t i = 0; i < answer->field_count; i++)
        if (is_cookie(answer->fields[i].name)) json_add_string(writer, answer->fields[i].value);
    json_end_array(writer);
}

static void write_fields(const struct lambda_http_answer *answer, bool multi,
                         struct json_writer *writer)
{
    json_add_name(writer, multi ? STR("multiValueHeaders") : STR("headers"));
    json_begin_object(writer);
    for (size_t i = 0; i < answer->field_count; i++) {
        struct str name = answer->fields[i].name;
        if (belongs_to_connection(name) || !is_first(answer, i)) continue;
        if (is_cookie(name) && !multi) continue;
        if (multi)
            write_all(answer, i, writer);
        else
            write_joined(answer, i, writer);
    }
    json_end_object(writer);
}

static struct str find_field(const struct lambda_http_answer *answer, struct str name)
{
    for (size_t i = 0; i < answer->field_count; i++)
        if (str_equal_ignoring_case(answer->fields[i].name, name)) return answer->fields[i].value;
    return STR_EMPTY;
}

static bool is_text(const struct lambda_http_answer *answer)
{
    struct str type = find_field(answer, STR("content-type"));
    bool named = str_starts_with(type, STR("text/")) ||
                 str_starts_with(type, STR("application/json")) ||
                 str_starts_with(type, STR("application/openmetrics-text"));
    return answer->body.size == 0 || (named && str_is_utf8(answer->body));
}

static void write_body(const struct lambda_http_answer *answer, struct json_writer *writer)
{
    struct buffer encoded CLEANUP(buffer_clear);
    bool plain = is_text(answer);
    buffer_init(&encoded, base64_encoded_size(answer->body.size));
    json_put_bool(writer, STR("isBase64Encoded"), !plain);
    if (plain) {
        json_put_string(writer, STR("body"), answer->body);
        return;
    }
    base64_encode(&encoded, answer->body);
    json_put_string(writer, STR("body"), buffer_view(&encoded));
    if (buffer_failed(&encoded)) writer->out->failed = true;
}

static enum status check_room(const struct buffer *out, struct error *err)
{
    if (!buffer_failed(out)) return STATUS_OK;
    return fail(err, STATUS_EXHAUSTED, "the answer is larger than an event's may be");
}

enum status lambda_http_write(const struct lambda_http_answer *answer, enum lambda_shape shape,
                              struct buffer *out, struct error *err)
{
    struct json_writer writer;
    bool v1 = shape == LAMBDA_HTTP_V1;
    json_writer_init(&writer, out);
    json_begin_object(&writer);
    json_put_i64(&writer, STR("statusCode"), answer->status);
    write_fields(answer, v1, &writer);
    if (!v1) write_cookies(answer, &writer);
    write_body(answer, &writer);
    json_end_object(&writer);
    return check_room(out, err);
}

enum status lambda_http_write_stream(const struct lambda_http_answer *answer, struct buffer *out,
                                     struct error *err)
{
    static const char nuls[8];
    struct json_writer writer;
    json_writer_init(&writer, out);
    json_begin_object(&writer);
    json_put_i64(&writer, STR("statusCode"), answer->status);
    write_fields(answer, false, &writer);
    write_cookies(answer, &writer);
    json_end_object(&writer);
    buffer_add(out, (struct str){nuls, sizeof nuls});
    buffer_add(out, answer->body);
    return check_room(out, err);
}
