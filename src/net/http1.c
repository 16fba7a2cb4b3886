/*
 * A connection's input: from bytes to exchanges. llhttp reads headers and chunks; a body with a
 * length needs no parser and goes straight to where it stays.
 *
 *   HEAD --complete--> BODY_IN_PLACE | BODY_OWN | BODY_CHUNKED --complete--> WAITING --answer-->
 * HEAD
 */
#include "net/coding.h"
#include "net/http_private.h"

#include <errno.h>
#include <sys/socket.h>

enum progress {
    NEEDS_INPUT, /* all that was read is used */
    GOES_ON,     /* a step was made, try the next */
    STOPPED,     /* something else must happen first */
};

enum { DISCARD_SIZE = 16 * 1024 };

/* --- llhttp's callbacks: at most once per field, so they are short ------------------------------
 */

static int on_url(llhttp_t *parser, const char *at, size_t size)
{
    struct http_work *work = parser->data;
    if (!work->exchange.target.data) work->exchange.target.data = at;
    work->exchange.target.size += size;
    return 0;
}

/* The parts of one name or value lie side by side; what does not is the next. */
static int on_field(llhttp_t *parser, const char *at, size_t size)
{
    struct http_work *work = parser->data;
    if (work->in_body) return 0;
    struct http_field *last = work->field_count ? &work->fields[work->field_count - 1] : NULL;
    if (last && last->name.data + last->name.size == at) {
        last->name.size += size;
        return 0;
    }
    if (UNLIKELY(work->field_count >= work->exchange.server->options.field_count_max)) {
        work->too_many_fields = true;
        return -1;
    }
    work->fields[work->field_count++] = (struct http_field){{at, size}, {NULL, 0}};
    return 0;
}

static int on_value(llhttp_t *parser, const char *at, size_t size)
{
    struct http_work *work = parser->data;
    if (work->in_body || work->field_count == 0) return 0;
    struct str *value = &work->fields[work->field_count - 1].value;
    if (!value->data)
        value->data = at;
    else if (value->data + value->size != at)
        work->folded = true;
    value->size += size;
    return 0;
}

static int pause_after_header(llhttp_t *parser UNUSED)
{
    return HPE_PAUSED;
}

static int refuse(struct http_work *work, int status, const char *message)
{
    work->rejection = (struct rejection){status, message};
    return -1;
}

static int on_chunk(llhttp_t *parser)
{
    struct http_work *work = parser->data;
    const struct http_server_options *options = &work->exchange.server->options;
    uint64_t size = parser->content_length;
    if (size == 0) return 0;
    if (size > work->exchange.body_size_max - MIN(work->body.size, work->exchange.body_size_max)) {
        work->rejection = body_too_large(work);
        return -1;
    }
    if (++work->chunk_count > options->chunk_count_max)
        return refuse(work, 400,
                      "Chunked request body exceeds maximum of 65536 non-empty chunks. Send fewer "
                      "or larger HTTP chunks.");
    return 0;
}

static int on_content(llhttp_t *parser, const char *at, size_t size)
{
    struct http_work *work = parser->data;
    work->framing_size = 0;
    work->rejection = body_append(work, at, size);
    return work->rejection.status ? -1 : 0;
}

void http1_init(llhttp_settings_t *settings)
{
    llhttp_settings_init(settings);
    settings->on_url = on_url;
    settings->on_header_field = on_field;
    settings->on_header_value = on_value;
    settings->on_headers_complete = pause_after_header;
    settings->on_chunk_header = on_chunk;
    settings->on_body = on_content;
    settings->on_message_complete = pause_after_header;
}

/* --- handing over ----------------------------------------------------------------------------- */

/* The exchange is answered and read: what follows it in the input is the next one. */
static void finish_message(struct http_connection *connection)
{
    struct http_work *work = connection->work;
    size_t left = work->end - work->message_end;
    bool closing = connection->state == HTTP_STATE_CLOSING;
    if (!closing) connection->state = HTTP_STATE_HEAD;
    if (LIKELY(!left) || closing) {
        connection->work = NULL;
        work_put(work);
    } else if (!work->exchange.holds) {
        work_restart(work, work->message_end);
    } else {
        struct http_work *next = work_take(connection);
        memcpy(next->input, work->input + work->message_end, left);
        next->end = left;
        work_put(work);
    }
}

void connection_answered(struct http_connection *connection)
{
    struct http_work *work = connection->work;
    output_schedule(connection);
    if (!work->keep_alive || connection->state != HTTP_STATE_WAITING) {
        /* Before the body was read: what comes is thrown away, so that the answer gets through. */
        if (connection->state != HTTP_STATE_WAITING || connection->readable)
            connection->unread = true;
        connection->state = HTTP_STATE_CLOSING;
    }
    if (connection->dispatching) return;
    finish_message(connection);
    if (connection->state == HTTP_STATE_HEAD && (connection->work || connection->readable))
        connection_resume(connection);
}

void connection_watch_hangup(struct http_connection *connection)
{
    if (!list_is_linked(&connection->hangup_link))
        list_add_last(&connection->server->hung_up, &connection->hangup_link);
}

static enum progress refuse_message(struct http_connection *connection, struct rejection rejection)
{
    connection_reject(connection, rejection.status, rejection.message);
    return STOPPED;
}

static enum progress hand_over(struct http_connection *connection)
{
    struct http_server *server = connection->server;
    struct http_work *work = connection->work;
    struct rejection rejection = body_finish(work);
    if (rejection.status) return refuse_message(connection, rejection);
    connection->state = HTTP_STATE_WAITING;
    if (!connection->first_piece) connection_set_deadline(connection, UINT64_MAX);
    work->requested = true;
    counter_add(&server->counters.requests, 1);
    connection->dispatching = true;
    server->handler->on_request(server->context, &work->exchange);
    connection->dispatching = false;
    if (!work->exchange.answered || work->streaming) {
        if (connection->peer_closed) connection_watch_hangup(connection);
        return STOPPED;
    }
    finish_message(connection);
    return connection->state == HTTP_STATE_HEAD ? GOES_ON : STOPPED;
}

/* --- bodies ----------------------------------------------------------------------------------- */

/* A body may take body_timeout, and as much longer as its bytes at the slowest rate allowed. */
static void set_body_deadline(struct http_connection *connection, size_t received)
{
    const struct http_server_options *options = &connection->server->options;
    uint64_t fair_ns = options->body_timeout_ns + received / options->rate_min * NS_PER_S;
    connection_set_deadline(connection, connection->work->body_start_ns + fair_ns);
}

static enum progress step_in_place(struct http_connection *connection)
{
    struct http_work *work = connection->work;
    size_t received = work->end - work->head_end;
    if (received < work->content_length) {
        set_body_deadline(connection, received);
        return NEEDS_INPUT;
    }
    work->message_end = work->head_end + work->content_length;
    work->exchange.body = (struct str){work->input + work->head_end, work->content_length};
    return hand_over(connection);
}

static enum progress step_own(struct http_connection *connection)
{
    struct http_work *work = connection->work;
    if (work->body.size < work->content_length) {
        set_body_deadline(connection, work->body.size);
        return NEEDS_INPUT;
    }
    work->message_end = work->end;
    work->exchange.body = (struct str){work->body.data, work->body.size};
    return hand_over(connection);
}

/* The chunks lie behind the header; what is decoded goes to the body, and the room is used again.
 */
static enum progress step_chunked(struct http_connection *connection)
{
    struct http_work *work = connection->work;
    const char *chunks = work->input + work->parsed;
    size_t size = work->end - work->parsed;
    work->framing_size += size;
    llhttp_errno_t error = llhttp_execute(&work->parser, chunks, size);
    if (error == HPE_PAUSED || error == HPE_PAUSED_UPGRADE) {
        work->message_end = (size_t)(llhttp_get_error_pos(&work->parser) - work->input);
        work->exchange.body = (struct str){work->body.data ? work->body.data : "", work->body.size};
        return hand_over(connection);
    }
    if (work->rejection.status) return refuse_message(connection, work->rejection);
    if (error != HPE_OK || work->framing_size > connection->server->options.header_size_max)
        return refuse_message(connection,
                              (struct rejection){400, "the request's chunks are not well formed"});
    work->parsed = work->end = work->head_end;
    set_body_deadline(connection, work->body.size);
    return NEEDS_INPUT;
}

/* --- headers ---------------------------------------------------------------------------------- */

static enum progress start_own_body(struct http_connection *connection)
{
    struct http_work *work = connection->work;
    struct rejection rejection = body_allocate(work, work->content_length);
    if (rejection.status) return refuse_message(connection, rejection);
    size_t here = work->end - work->head_end;
    memcpy(work->body.data, work->input + work->head_end, here);
    work->body.size = here;
    work->end = work->head_end;
    connection->state = HTTP_STATE_BODY_OWN;
    return GOES_ON;
}

static enum progress start_body(struct http_connection *connection)
{
    struct http_work *work = connection->work;
    if (work->content_length > work->exchange.body_size_max)
        return refuse_message(connection, body_too_large(work));
    bool complete = !work->chunked && work->end - work->head_end >= work->content_length;
    if (UNLIKELY(work->expects_continue && !complete)) connection_continue(connection);
    work->body_start_ns = loop_now_ns(connection->server->loop);
    if (LIKELY(!work->chunked)) {
        connection->state = HTTP_STATE_BODY_IN_PLACE;
        if (LIKELY(work->content_length <= connection->server->input_size - work->head_end))
            return step_in_place(connection);
        return start_own_body(connection);
    }
    connection->state = HTTP_STATE_BODY_CHUNKED;
    work->in_body = true;
    work->parsed = work->head_end;
    llhttp_resume(&work->parser);
    return GOES_ON;
}

/* Triton's answer to a coding it does not know: 501, and which ones it does. */
static enum progress refuse_coding(struct http_connection *connection)
{
    struct http_field accepted = {STR("Accept-Encoding"), STR("gzip, deflate")};
    counter_add(&connection->server->counters.requests_rejected, 1);
    http_respond(&connection->work->exchange,
                 &(struct http_response){
                     .status = 501,
                     .content_type = STR("application/json"),
                     .body = STR("{\"error\":\"the Content-Encoding is not one of gzip and "
                                 "deflate\"}"),
                     .fields = &accepted,
                     .field_count = 1,
                     .close = true,
                 });
    return STOPPED;
}

/* An early answer ends the connection unless there is no body to be read. */
static enum progress answered_early(struct http_connection *connection)
{
    connection->work->message_end = connection->work->head_end;
    finish_message(connection);
    return connection->state == HTTP_STATE_HEAD ? GOES_ON : STOPPED;
}

static enum progress header_complete(struct http_connection *connection, struct rejection rejection)
{
    struct http_server *server = connection->server;
    struct http_work *work = connection->work;
    if (UNLIKELY(rejection.status)) return refuse_message(connection, rejection);
    if (UNLIKELY(work->head_end - work->start > server->options.header_size_max))
        return refuse_message(connection,
                              (struct rejection){431, "the request's header is too large"});
    enum coding coding;
    struct str name = header_value(work, HTTP_HEADER_CONTENT_ENCODING);
    if (UNLIKELY(name.data && !coding_find(name, &coding))) return refuse_coding(connection);
    if (server->handler->on_headers) {
        bool bodyless = !work->chunked && work->content_length == 0;
        work->headers_seen = true;
        /* To answer a request without a body now or after its end is the same. */
        if (bodyless) connection->state = HTTP_STATE_WAITING;
        connection->dispatching = true;
        server->handler->on_headers(server->context, &work->exchange);
        connection->dispatching = false;
        if (UNLIKELY(work->exchange.answered)) return answered_early(connection);
    }
    return start_body(connection);
}

/* Empty lines before a request are allowed (RFC 9112, 2.2); some clients send one after a body. */
static bool skip_blank_lines(struct http_work *work)
{
    while (work->blank_lines < BLANK_LINES_MAX && work->end - work->start >= 2) {
        if (work->input[work->start] != '\r' || work->input[work->start + 1] != '\n') break;
        work->start += 2;
        work->blank_lines++;
    }
    work->parsed = work->start;
    return work->start < work->end &&
           (work->input[work->start] != '\r' || work->end - work->start >= 2);
}

static enum progress header_incomplete(struct http_connection *connection)
{
    const struct http_server_options *options = &connection->server->options;
    struct http_work *work = connection->work;
    if (work->end - work->start >= options->header_size_max) {
        bool in_target = work->field_count == 0;
        struct rejection rejection = {431, "the request's header is too large"};
        if (in_target) rejection = (struct rejection){414, "the request's target is too long"};
        return refuse_message(connection, rejection);
    }
    if (!work->timed && work->end > work->start) {
        work->timed = true;
        connection_set_deadline(connection,
                                work->exchange.received_ns + options->header_timeout_ns);
    }
    return NEEDS_INPUT;
}

static enum progress step_head(struct http_connection *connection)
{
    struct http_work *work = connection->work;
    if (!work) return NEEDS_INPUT;
    if (connection->output_size > connection->server->options.pending_output_max) return STOPPED;
    if (work->parsed == work->start && !skip_blank_lines(work))
        return header_incomplete(connection);
    if (work->parsed == work->start) {
        if (LIKELY(head_scan(work))) return header_complete(connection, (struct rejection){0});
        llhttp_init(&work->parser, HTTP_REQUEST, &connection->server->parser_settings);
        work->parser.data = work;
    }
    const char *bytes = work->input + work->parsed;
    llhttp_errno_t error = llhttp_execute(&work->parser, bytes, work->end - work->parsed);
    work->parsed = work->end;
    if (error == HPE_PAUSED) return header_complete(connection, head_check(work));
    if (error == HPE_OK) return header_incomplete(connection);
    return refuse_message(connection, head_explain(work, error));
}

static enum progress step(struct http_connection *connection)
{
    switch (connection->state) {
    case HTTP_STATE_HEAD: return step_head(connection);
    case HTTP_STATE_BODY_IN_PLACE: return step_in_place(connection);
    case HTTP_STATE_BODY_OWN: return step_own(connection);
    case HTTP_STATE_BODY_CHUNKED: return step_chunked(connection);
    case HTTP_STATE_WAITING:
    case HTTP_STATE_CLOSING:
    case HTTP_STATE_LINGERING: break;
    }
    return STOPPED;
}

/* --- reading ---------------------------------------------------------------------------------- */

static ssize_t receive(struct http_connection *connection, size_t *ret_room)
{
    struct http_work *work = connection->work;
    char *place = work->input + work->end;
    size_t room = connection->server->input_size - work->end;
    if (connection->state == HTTP_STATE_BODY_OWN) {
        place = work->body.data + work->body.size;
        room =
            MIN(work->content_length - work->body.size, connection->server->options.read_turn_max);
    }
    assert(room > 0);
    ssize_t size;
    do {
        size = tcp_receive(connection->watch.descriptor, place, room);
    } while (UNLIKELY(size < 0 && errno == EINTR));
    if (LIKELY(size > 0)) {
        if (connection->state == HTTP_STATE_BODY_OWN)
            work->body.size += (size_t)size;
        else
            work->end += (size_t)size;
        counter_add(&connection->server->counters.bytes_received, (uint64_t)size);
    }
    *ret_room = room;
    return size;
}

/* No more will come. What is unfinished is refused; what is unsent is still sent. */
static void handle_end(struct http_connection *connection)
{
    struct http_work *work = connection->work;
    connection->peer_ended = true;
    if (connection->state != HTTP_STATE_HEAD || work->end > work->start) {
        connection_reject(connection, 400, "the request ends too early");
        return;
    }
    connection->work = NULL;
    work_put(work);
    if (connection->first_piece)
        connection->state = HTTP_STATE_CLOSING;
    else
        connection_close(connection);
}

/* Discards what comes after an early answer; bounded by size and by the deadline. */
static void linger(struct http_connection *connection)
{
    char discarded[DISCARD_SIZE];
    ssize_t size;
    while ((size = recv(connection->watch.descriptor, discarded, sizeof discarded, 0)) > 0) {
        connection->lingered += (uint64_t)size;
        if (connection->lingered > LINGER_SIZE_MAX) break;
    }
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
    connection_close(connection);
}

static bool wants_input(const struct http_connection *connection)
{
    return connection->readable && connection->state < HTTP_STATE_WAITING &&
           connection->output_size <= connection->server->options.pending_output_max;
}

/* One recv and what follows from it. False if the connection is gone or has nothing more. */
static bool read_once(struct http_connection *connection, size_t *budget)
{
    size_t room;
    if (!connection->work) (void)work_take(connection);
    ssize_t size = receive(connection, &room);
    if (LIKELY(size > 0)) {
        if ((size_t)size < room && !connection->peer_closed) connection->readable = false;
        *budget -= MIN((size_t)size, *budget);
        while (step(connection) == GOES_ON) {
        }
        return true;
    }
    connection->readable = false;
    if (size == 0) {
        handle_end(connection);
        return false;
    }
    if (errno != EAGAIN && errno != EWOULDBLOCK)
        connection_close(connection);
    else if (connection->state == HTTP_STATE_HEAD &&
             connection->work->start == connection->work->end)
        work_put(TAKE(connection->work));
    return false;
}

void connection_read(struct http_connection *connection)
{
    if (connection->state == HTTP_STATE_LINGERING) {
        linger(connection);
        return;
    }
    size_t budget = connection->server->options.read_turn_max;
    while (wants_input(connection)) {
        if (!read_once(connection, &budget)) return;
        if (budget > 0) continue;
        connection_resume(connection);
        return;
    }
}

void connection_go_on(struct http_connection *connection)
{
    if (connection->work)
        while (step(connection) == GOES_ON) {
        }
    connection_read(connection);
}
