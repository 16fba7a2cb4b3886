/* Answers: head and body into a connection's output. */
#include "base/num_array.h"
#include "net/coding.h"
#include "net/http_private.h"

#include <sys/ioctl.h>

enum { HEAD_SIZE_FIXED = 512, DIGITS_MAX = 20, CHUNK_HEAD_SIZE = 18, FIELD_PART_MAX = 1024 };

static const struct {
    int status;
    const char *text;
} status_texts[] = {
    {100, "Continue"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {206, "Partial Content"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {417, "Expectation Failed"},
    {422, "Unprocessable Content"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {499, "Client Closed Request"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
};

const char *http_status_text(int status)
{
    for (size_t i = 0; i < COUNT_OF(status_texts); i++)
        if (status_texts[i].status == status) return status_texts[i].text;
    return "Unknown";
}

/* --- the date --------------------------------------------------------------------------------- */

/* "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110, 5.6.7), whatever the locale. */
static void format_date(uint64_t wall_ns, char date[DATE_SIZE + 1])
{
    static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t seconds = (time_t)(wall_ns / NS_PER_S);
    struct tm parts;
    (void)gmtime_r(&seconds, &parts);
    (void)snprintf(date, DATE_SIZE + 1, "%s, %02u %s %04u %02u:%02u:%02u GMT", days[parts.tm_wday],
                   (unsigned)parts.tm_mday % 100U, months[parts.tm_mon],
                   ((unsigned)parts.tm_year + 1900U) % 10000U, (unsigned)parts.tm_hour % 100U,
                   (unsigned)parts.tm_min % 100U, (unsigned)parts.tm_sec % 100U);
}

#define JSON_HEAD_END "Content-Type: application/json\r\nContent-Length: "

void server_refresh_date(struct http_server *server)
{
    struct clock *clock = loop_clock(server->loop);
    uint64_t wall = clock->wall_ns(clock);
    const char *name = server->options.server_name;
    format_date(wall, server->date);
    server->date_expires_ns = loop_now_ns(server->loop) + NS_PER_S - wall % NS_PER_S;
    int size = snprintf(server->json_head, sizeof server->json_head,
                        "HTTP/1.1 200 OK\r\nDate: %s\r\n%s%s%s" JSON_HEAD_END, server->date,
                        name ? "Server: " : "", name ? name : "", name ? "\r\n" : "");
    assert(size > 0 && (size_t)size < sizeof server->json_head);
    server->json_head_size = (size_t)size;
    server->ok_head_size = (size_t)size - (sizeof JSON_HEAD_END - 1);
}

/* --- heads ------------------------------------------------------------------------------------ */

static void add(struct http_connection *connection, struct str text)
{
    output_copy(connection, text);
}

/* A value may come from a request: nothing in it ends the line. */
static void add_field(struct http_connection *connection, struct str name, struct str value)
{
    add(connection, name);
    add(connection, STR(": "));
    while (value.size) {
        size_t part = MIN(value.size, (size_t)FIELD_PART_MAX), good = 0;
        char *to = output_reserve(connection, part);
        for (size_t i = 0; i < part; i++)
            if ((unsigned char)value.data[i] >= ' ' && value.data[i] != 127)
                to[good++] = value.data[i];
        output_commit(connection, good);
        value = str_from(value, part);
    }
    add(connection, STR("\r\n"));
}

static void add_number_field(struct http_connection *connection, struct str name, uint64_t number)
{
    char digits[DIGITS_MAX];
    char *end = num_array_put_unsigned(digits, number);
    add_field(connection, name, (struct str){digits, (size_t)(end - digits)});
}

static void add_status_line(struct http_connection *connection, int status)
{
    char line[64];
    int size =
        snprintf(line, sizeof line, "HTTP/1.1 %03d %s\r\n", status, http_status_text(status));
    assert(size > 0 && (size_t)size < sizeof line);
    add(connection, (struct str){line, (size_t)size});
}

/* What each second's prepared head has for 200. */
static void add_usual_fields(struct http_connection *connection, int status)
{
    const struct http_server *server = connection->server;
    add_status_line(connection, status);
    add_field(connection, STR("Date"), (struct str){server->date, DATE_SIZE});
    if (server->options.server_name)
        add_field(connection, STR("Server"), str_of(server->options.server_name));
}

/* All of a head but its length and the empty line. */
static void add_head(struct http_work *work, const struct http_response *response)
{
    struct http_connection *connection = work->exchange.connection;
    struct http_server *server = connection->server;
    if (response->status == 200)
        add(connection, (struct str){server->json_head, server->ok_head_size});
    else
        add_usual_fields(connection, response->status);
    if (response->content_type.size)
        add_field(connection, STR("Content-Type"), response->content_type);
    for (size_t i = 0; i < response->field_count; i++)
        add_field(connection, response->fields[i].name, response->fields[i].value);
    if (!work->keep_alive)
        add_field(connection, STR("Connection"), STR("close"));
    else if (work->exchange.is_http_1_0)
        add_field(connection, STR("Connection"), STR("keep-alive"));
}

/* --- bodies ----------------------------------------------------------------------------------- */

static bool has_no_body(const struct http_work *work, int status)
{
    return work->exchange.method == HTTP_METHOD_HEAD || status == 204 || status == 304;
}

static void release_now(const struct http_response *response)
{
    if (response->release) response->release(response->release_context);
}

/* A large body in the scratch buffer leaves with its memory; the buffer starts anew. */
static void add_body(struct http_connection *connection, struct str body)
{
    struct buffer *scratch = &connection->server->scratch;
    if (body.size <= COPY_SIZE_MAX || body.data != scratch->data) {
        output_copy(connection, body);
        return;
    }
    char *owned = scratch->data;
    buffer_init(scratch, scratch->ceiling);
    output_reference(connection, body, owned, NULL, NULL);
}

/* Small blobs are copied; the last large one carries the release. */
static void add_blobs(struct http_connection *connection, const struct http_response *response)
{
    size_t last = SIZE_MAX;
    for (size_t i = 0; i < response->blob_count; i++)
        if (response->blobs[i].size > COPY_SIZE_MAX) last = i;
    for (size_t i = 0; i < response->blob_count; i++) {
        struct str blob = response->blobs[i];
        if (blob.size <= COPY_SIZE_MAX)
            output_copy(connection, blob);
        else
            output_reference(connection, blob, NULL, i == last ? response->release : NULL,
                             response->release_context);
    }
    if (last == SIZE_MAX) release_now(response);
}

static size_t body_size(const struct http_response *response)
{
    size_t size = response->body.size;
    for (size_t i = 0; i < response->blob_count; i++) size += response->blobs[i].size;
    return size;
}

/* --- compression ------------------------------------------------------------------------------ */

static enum coding choose_coding(const struct http_work *work, const struct http_response *response,
                                 size_t size)
{
    size_t size_min = work->exchange.server->options.compression_size_min;
    if (!size_min || size < size_min || response->never_compressed) return CODING_IDENTITY;
    struct str accept = http_exchange_header(&work->exchange, HTTP_HEADER_ACCEPT_ENCODING);
    return accept.data ? coding_negotiate(accept) : CODING_IDENTITY;
}

/* Body and blobs as one encoded text, owned by the caller; false if it did not get smaller. */
static bool encode_body(const struct http_work *work, const struct http_response *response,
                        enum coding coding, size_t size, struct buffer *out)
{
    struct str parts[HTTP_BLOBS_MAX + 1];
    parts[0] = response->body;
    for (size_t i = 0; i < response->blob_count; i++) parts[i + 1] = response->blobs[i];
    buffer_init(out, size);
    int level = work->exchange.server->options.compression_level;
    return coding_encode(coding, level, parts, response->blob_count + 1, out);
}

/* True if the answer went out encoded. */
static bool respond_encoded(struct http_work *work, const struct http_response *response,
                            size_t size)
{
    enum coding coding = choose_coding(work, response, size);
    if (coding == CODING_IDENTITY) return false;
    struct http_connection *connection = work->exchange.connection;
    struct buffer out;
    if (!encode_body(work, response, coding, size, &out)) {
        buffer_clear(&out);
        return false;
    }
    add_head(work, response);
    add_field(connection, STR("Content-Encoding"), coding_name(coding));
    add_field(connection, STR("Vary"), STR("Accept-Encoding"));
    add_number_field(connection, STR("Content-Length"), out.size);
    add(connection, STR("\r\n"));
    if (!has_no_body(work, response->status)) {
        struct str text = buffer_view(&out);
        output_reference(connection, text, buffer_take(&out), NULL, NULL);
    }
    buffer_clear(&out);
    release_now(response);
    return true;
}

/* --- answers ---------------------------------------------------------------------------------- */

/* What was sent behind the request is answered as well before a draining server closes. */
static bool more_was_sent(const struct http_work *work)
{
    const struct http_connection *connection = work->exchange.connection;
    int unread = 0;
    if (connection->state != HTTP_STATE_WAITING) return false;
    if (work->end > work->message_end) return true;
    return ioctl(connection->watch.descriptor, FIONREAD, &unread) == 0 && unread > 0;
}

/* The exchange takes its one answer now. False: nobody is there to read it. */
static bool begin_answer(struct http_exchange *exchange, bool close)
{
    struct http_work *work = work_of(exchange);
    assert(!exchange->answered || !exchange->connection);
    exchange->answered = true;
    if (!exchange->connection) return false;
    struct http_server *server = exchange->server;
    if (close || (server->draining && !more_was_sent(work))) work->keep_alive = false;
    if (UNLIKELY(loop_now_ns(server->loop) >= server->date_expires_ns)) server_refresh_date(server);
    return true;
}

static void respond_plain(struct http_work *work, const struct http_response *response, size_t size)
{
    struct http_connection *connection = work->exchange.connection;
    add_head(work, response);
    if (response->status != 204) add_number_field(connection, STR("Content-Length"), size);
    add(connection, STR("\r\n"));
    if (has_no_body(work, response->status)) {
        release_now(response);
        return;
    }
    add_body(connection, response->body);
    add_blobs(connection, response);
}

void http_respond(struct http_exchange *exchange, const struct http_response *response)
{
    assert(response->blob_count <= HTTP_BLOBS_MAX);
    struct http_work *work = work_of(exchange);
    /* Before its body was read there is nothing to keep the connection for. */
    bool early = exchange->connection && exchange->connection->state < HTTP_STATE_WAITING;
    if (!begin_answer(exchange, response->close || early)) {
        release_now(response);
        return;
    }
    size_t size = body_size(response);
    if (!respond_encoded(work, response, size)) respond_plain(work, response, size);
    connection_answered(exchange->connection);
}

/* Head and body in one stretch, without a look at anything that this answer does not have. */
static void respond_json_fast(struct http_exchange *exchange, struct str body)
{
    struct http_connection *connection = exchange->connection;
    struct http_server *server = exchange->server;
    size_t head_size = server->json_head_size;
    char *start = output_reserve(connection, head_size + DIGITS_MAX + 4 + body.size);
    char *place = start;
    memcpy(place, server->json_head, head_size);
    place = num_array_put_unsigned(place + head_size, body.size);
    memcpy(place, "\r\n\r\n", 4);
    memcpy(place + 4, body.data, body.size);
    output_commit(connection, (size_t)(place + 4 - start) + body.size);
}

void http_respond_json(struct http_exchange *exchange, int status, struct str body)
{
    struct http_connection *connection = exchange->connection;
    size_t encode_min = exchange->server->options.compression_size_min;
    bool plain = status == 200 && body.size <= COPY_SIZE_MAX && connection &&
                 exchange->method != HTTP_METHOD_HEAD && !exchange->is_http_1_0 &&
                 connection->state == HTTP_STATE_WAITING && work_of(exchange)->keep_alive &&
                 !exchange->server->draining && (!encode_min || body.size < encode_min);
    if (UNLIKELY(!plain)) {
        http_respond(exchange, &(struct http_response){.status = status,
                                                       .content_type = STR("application/json"),
                                                       .body = body});
        return;
    }
    (void)begin_answer(exchange, false);
    respond_json_fast(exchange, body);
    connection_answered(connection);
}

/* JSON's escapes for what must not stand in a string; anything not UTF-8 becomes '?'. */
static void add_json_text(struct buffer *out, struct str text)
{
    bool utf8 = str_is_utf8(text);
    for (size_t i = 0; i < text.size; i++) {
        unsigned char byte = (unsigned char)text.data[i];
        if (byte == '"' || byte == '\\') {
            buffer_add_byte(out, '\\');
            buffer_add_byte(out, (char)byte);
        } else if (byte < 0x20) {
            buffer_add_format(out, "\\u%04x", byte);
        } else {
            buffer_add_byte(out, byte < 0x80 || utf8 ? (char)byte : '?');
        }
    }
}

static struct str error_body(struct buffer *scratch, const char *message)
{
    buffer_reset(scratch);
    buffer_add(scratch, STR("{\"error\":\""));
    add_json_text(scratch, str_of(message));
    buffer_add(scratch, STR("\"}"));
    return buffer_view(scratch);
}

void http_respond_error(struct http_exchange *exchange, int status, const char *message)
{
    /* The message may lie in the scratch buffer. */
    struct buffer text;
    buffer_init(&text, exchange->server->scratch.ceiling);
    http_respond_json(exchange, status, error_body(&text, message));
    buffer_clear(&text);
}

struct buffer *http_exchange_scratch(struct http_exchange *exchange)
{
    buffer_reset(&exchange->server->scratch);
    return &exchange->server->scratch;
}

void connection_reject(struct http_connection *connection, int status, const char *message)
{
    struct http_server *server = connection->server;
    struct http_work *work = connection->work;
    struct http_exchange *exchange = &work->exchange;
    const struct http_handler *handler = server->handler;
    counter_add(&server->counters.requests_rejected, 1);
    if (handler->on_rejected) handler->on_rejected(server->context, status, message);
    bool known = work->headers_seen;
    if (known) http_exchange_hold(exchange);
    struct buffer text;
    buffer_init(&text, server->scratch.ceiling);
    http_respond(exchange, &(struct http_response){.status = status,
                                                   .content_type = STR("application/json"),
                                                   .body = error_body(&text, message),
                                                   .never_compressed = true,
                                                   .close = true});
    buffer_clear(&text);
    if (!known) return;
    if (handler->on_abort) handler->on_abort(server->context, exchange);
    http_exchange_release(exchange);
}

void connection_continue(struct http_connection *connection)
{
    output_copy(connection, STR("HTTP/1.1 100 Continue\r\n\r\n"));
    output_schedule(connection);
}

/* --- streams ---------------------------------------------------------------------------------- */

void http_stream_start(struct http_exchange *exchange, const struct http_response *response)
{
    struct http_work *work = work_of(exchange);
    assert(!response->body.size && !response->blob_count);
    work->streaming = true;
    /* HTTP/1.0 has no chunks: the end of the connection is the end of the answer. */
    if (!begin_answer(exchange, response->close || exchange->is_http_1_0)) return;
    work->stream_chunked = !exchange->is_http_1_0;
    struct http_connection *connection = exchange->connection;
    add_head(work, response);
    if (work->stream_chunked) add_field(connection, STR("Transfer-Encoding"), STR("chunked"));
    add(connection, STR("\r\n"));
    output_schedule(connection);
}

size_t http_stream_write(struct http_exchange *exchange, struct str piece)
{
    struct http_work *work = work_of(exchange);
    struct http_connection *connection = exchange->connection;
    assert(work->streaming);
    if (!connection) return SIZE_MAX;
    /* An empty chunk would be the last. */
    if (!piece.size || exchange->method == HTTP_METHOD_HEAD) return connection->output_size;
    if (work->stream_chunked) {
        char head[CHUNK_HEAD_SIZE + 1];
        int size = snprintf(head, sizeof head, "%zx\r\n", piece.size);
        add(connection, (struct str){head, (size_t)size});
    }
    add(connection, piece);
    if (work->stream_chunked) add(connection, STR("\r\n"));
    output_schedule(connection);
    return connection->output_size;
}

void http_stream_when_drained(struct http_exchange *exchange, void (*on_drained)(void *context),
                              void *context)
{
    struct http_work *work = work_of(exchange);
    work->on_stream_drained = on_drained;
    work->stream_context = context;
    if (exchange->connection) output_schedule(exchange->connection);
}

void http_stream_end(struct http_exchange *exchange)
{
    struct http_work *work = work_of(exchange);
    assert(work->streaming);
    work->streaming = false;
    work->on_stream_drained = NULL;
    if (!exchange->connection) return;
    if (work->stream_chunked && exchange->method != HTTP_METHOD_HEAD)
        add(exchange->connection, STR("0\r\n\r\n"));
    connection_answered(exchange->connection);
}
