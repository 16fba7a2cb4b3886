/* The blocking client: poll with a deadline around send and recv; llhttp reads the answer. */
#include "net/client.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/num.h"
#include "net/coding.h"
#include "net/tcp.h"

#include <errno.h>
#include <llhttp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { RECEIVE_SIZE = 64 * 1024, PORT_HTTP = 80, INTERIM_MAX = 16, POLL_MS_MAX = 60000 };

/* A field as positions in `head`, which may move while it grows. */
struct field_position {
    size_t name, name_size, value, value_size;
};

struct client {
    char *host;
    struct client_options options;
    int descriptor; /* -1: not connected */
    bool used;      /* the connection has carried an answer */

    /* Of the answer. */
    llhttp_t parser;
    llhttp_settings_t settings;
    struct buffer head; /* names and values, one after another */
    struct buffer body;
    struct buffer decoded;
    struct field_position positions[CLIENT_FIELDS_MAX];
    struct client_field fields[CLIENT_FIELDS_MAX];
    size_t field_count;
    size_t interim_count;
    bool in_value;
    bool head_request;
    bool started; /* a byte of the answer has come */
    bool headed;  /* its head is complete */
    bool complete;
    bool too_large;
    bool cut; /* the server takes no more of the request */

    /* Of an answer that is read piece by piece. */
    bool piecewise;
    bool handed; /* what is in `body` was read */
    uint64_t deadline_ns;
    char received[RECEIVE_SIZE];
};

/* --- parsing ---------------------------------------------------------------------------------- */

static int on_message_begin(llhttp_t *parser)
{
    struct client *client = parser->data;
    buffer_reset(&client->head);
    buffer_reset(&client->body);
    client->field_count = 0;
    client->in_value = true;
    return 0;
}

static int too_large(struct client *client)
{
    client->too_large = true;
    return -1;
}

static int on_header_field(llhttp_t *parser, const char *at, size_t size)
{
    struct client *client = parser->data;
    if (client->in_value) {
        if (client->field_count == CLIENT_FIELDS_MAX) return too_large(client);
        client->positions[client->field_count++] =
            (struct field_position){.name = client->head.size};
        client->in_value = false;
    }
    client->positions[client->field_count - 1].name_size += size;
    buffer_add(&client->head, (struct str){at, size});
    return buffer_failed(&client->head) ? too_large(client) : 0;
}

static int on_header_value(llhttp_t *parser, const char *at, size_t size)
{
    struct client *client = parser->data;
    if (client->field_count == 0) return -1;
    struct field_position *position = &client->positions[client->field_count - 1];
    if (!client->in_value) position->value = client->head.size;
    client->in_value = true;
    position->value_size += size;
    buffer_add(&client->head, (struct str){at, size});
    return buffer_failed(&client->head) ? too_large(client) : 0;
}

static int on_header_value_complete(llhttp_t *parser)
{
    struct client *client = parser->data;
    client->in_value = true; /* also after an empty value */
    return 0;
}

static int on_headers_complete(llhttp_t *parser)
{
    struct client *client = parser->data;
    client->headed = parser->status_code >= 200;
    return client->head_request ? 1 : 0;
}

static int on_body(llhttp_t *parser, const char *at, size_t size)
{
    struct client *client = parser->data;
    buffer_add(&client->body, (struct str){at, size});
    return buffer_failed(&client->body) ? too_large(client) : 0;
}

/* 1xx answers are followed by the real one. */
static int on_message_complete(llhttp_t *parser)
{
    struct client *client = parser->data;
    if (parser->status_code >= 200)
        client->complete = true;
    else if (++client->interim_count > INTERIM_MAX)
        return -1;
    return client->complete ? HPE_PAUSED : 0;
}

/* --- connecting ------------------------------------------------------------------------------- */

enum status client_parse_url(const char *url, char **ret_host, uint16_t *ret_port,
                             struct str *ret_path, struct error *err)
{
    static const char scheme[] = "http://";
    if (strncmp(url, scheme, sizeof scheme - 1) != 0)
        return fail(err, STATUS_INVALID_ARGUMENT, "URL '%s' does not start with '%s'", url, scheme);
    struct str authority = str_of(url + sizeof scheme - 1);
    size_t slash = str_find(authority, '/');
    struct str path = slash == SIZE_MAX ? STR_EMPTY : str_from(authority, slash);
    if (slash != SIZE_MAX) authority.size = slash;
    struct str host = authority, port = {NULL, 0};
    bool bracket = authority.size && authority.data[0] == '[';
    size_t end = bracket ? str_find(authority, ']') : 0;
    if (bracket && end == SIZE_MAX)
        return fail(err, STATUS_INVALID_ARGUMENT, "URL '%s' has no ']' in its host", url);
    struct str rest = str_from(authority, end);
    size_t colon = str_find(rest, ':');
    if (colon != SIZE_MAX) {
        port = str_from(rest, colon + 1);
        host.size = end + colon;
    }
    if (bracket) host = (struct str){authority.data + 1, end - 1};
    uint64_t number = PORT_HTTP;
    if (host.size == 0) return fail(err, STATUS_INVALID_ARGUMENT, "URL '%s' has no host", url);
    if (port.data && (!num_read_u64(port, &number) || number < 1 || number > UINT16_MAX))
        return fail(err, STATUS_INVALID_ARGUMENT, "URL '%s' has no port from 1 to 65535", url);
    *ret_host = str_copy(host);
    *ret_port = (uint16_t)number;
    *ret_path = path;
    return STATUS_OK;
}

enum status client_new(const struct client_options *options, struct client **ret_client,
                       struct error *err)
{
    if (!options->host || !options->host[0])
        return fail(err, STATUS_INVALID_ARGUMENT, "a client needs a host to connect to");
    struct client *client = MEM_NEW(struct client);
    client->host = mem_copy_text(options->host);
    client->options = *options;
    client->options.host = client->host;
    client->descriptor = -1;
    if (!client->options.connect_timeout_ns) client->options.connect_timeout_ns = 5 * NS_PER_S;
    if (!client->options.timeout_ns) client->options.timeout_ns = 60 * NS_PER_S;
    if (!client->options.body_size_max) client->options.body_size_max = (size_t)1 << 30;
    llhttp_settings_init(&client->settings);
    client->settings.on_message_begin = on_message_begin;
    client->settings.on_header_field = on_header_field;
    client->settings.on_header_value = on_header_value;
    client->settings.on_header_value_complete = on_header_value_complete;
    client->settings.on_headers_complete = on_headers_complete;
    client->settings.on_body = on_body;
    client->settings.on_message_complete = on_message_complete;
    buffer_init(&client->head, CLIENT_HEAD_SIZE_MAX);
    buffer_init(&client->body, client->options.body_size_max);
    buffer_init(&client->decoded, client->options.body_size_max);
    *ret_client = client;
    return STATUS_OK;
}

static void disconnect(struct client *client)
{
    if (client->descriptor >= 0) (void)close(client->descriptor);
    client->descriptor = -1;
    client->used = false;
}

void client_free(struct client *client)
{
    if (!client) return;
    disconnect(client);
    buffer_clear(&client->head);
    buffer_clear(&client->body);
    buffer_clear(&client->decoded);
    mem_free(client->host);
    mem_free(client);
}

void client_adopt(struct client *client, int descriptor)
{
    disconnect(client);
    client->descriptor = descriptor;
}

/* --- sending and receiving -------------------------------------------------------------------- */

static bool has_line_end(struct str text)
{
    return str_find(text, '\r') != SIZE_MAX || str_find(text, '\n') != SIZE_MAX;
}

static enum status write_head(const struct client *client, const struct client_request *request,
                              struct buffer *out, struct error *err)
{
    const char *method = request->method ? request->method : "GET";
    bool needs_length = request->body.size || strcmp(method, "POST") == 0;
    bool bracket = strchr(client->host, ':') != NULL;
    buffer_add_format(out, "%s %s HTTP/1.1\r\nHost: %s%s%s:%u\r\n", method, request->path,
                      bracket ? "[" : "", client->host, bracket ? "]" : "", client->options.port);
    if (request->content_type)
        buffer_add_format(out, "Content-Type: %s\r\n", request->content_type);
    if (request->source)
        buffer_add(out, STR("Transfer-Encoding: chunked\r\n"));
    else if (needs_length)
        buffer_add_format(out, "Content-Length: %zu\r\n", request->body.size);
    if (request->accept_compressed) buffer_add(out, STR("Accept-Encoding: gzip, deflate\r\n"));
    for (size_t i = 0; i < request->field_count; i++) {
        struct client_field field = request->fields[i];
        if (has_line_end(field.name) || has_line_end(field.value))
            return fail(err, STATUS_INVALID_ARGUMENT, "header field '%.*s' has a line end in it",
                        STR_ARGS(field.name));
        buffer_add(out, field.name);
        buffer_add(out, STR(": "));
        buffer_add(out, field.value);
        buffer_add(out, STR("\r\n"));
    }
    buffer_add(out, STR("\r\n"));
    if (buffer_failed(out))
        return fail(err, STATUS_INVALID_ARGUMENT, "the request's header is larger than %d bytes",
                    CLIENT_HEAD_SIZE_MAX);
    return STATUS_OK;
}

static enum status send_bytes(struct client *client, struct str bytes, uint64_t deadline_ns,
                              struct error *err)
{
    while (bytes.size) {
        ssize_t size = send(client->descriptor, bytes.data, bytes.size, MSG_NOSIGNAL);
        if (size >= 0) {
            bytes = str_from(bytes, (size_t)size);
            continue;
        }
        if (errno == EINTR) continue;
        /* The server may have answered early, and closed: that answer is worth reading. */
        client->cut |= errno == EPIPE || errno == ECONNRESET;
        if (client->cut) return STATUS_OK;
        if (errno != EAGAIN) return fail_errno(err, errno, "sending");
        TRY(tcp_wait(client->descriptor, POLLOUT, deadline_ns, err));
    }
    return STATUS_OK;
}

static enum status send_chunk(struct client *client, struct str chunk, uint64_t deadline_ns,
                              struct error *err)
{
    char line[32];
    int length = snprintf(line, sizeof line, "%zx\r\n", chunk.size);
    TRY(send_bytes(client, (struct str){line, (size_t)length}, deadline_ns, err));
    TRY(send_bytes(client, chunk, deadline_ns, err));
    return send_bytes(client, STR("\r\n"), deadline_ns, err);
}

/* Behind the last chunk. */
static enum status send_trail(struct client *client, const struct client_source *source,
                              const struct error *failure, uint64_t deadline_ns, struct error *err)
{
    struct buffer trail CLEANUP(buffer_clear);
    buffer_init(&trail, CLIENT_HEAD_SIZE_MAX);
    buffer_add(&trail, STR("0\r\n"));
    if (source->trail) source->trail(source->context, failure, &trail);
    buffer_add(&trail, STR("\r\n"));
    if (buffer_failed(&trail))
        return fail(err, STATUS_EXHAUSTED, "the fields behind the body are larger than %d bytes",
                    CLIENT_HEAD_SIZE_MAX);
    return send_bytes(client, buffer_view(&trail), deadline_ns, err);
}

static enum status send_source(struct client *client, const struct client_source *source,
                               uint64_t deadline_ns, struct error *err)
{
    while (!client->cut) {
        struct error failure;
        struct str piece;
        enum status status = source->next(source->context, &piece, &failure);
        if (status != STATUS_OK) return send_trail(client, source, &failure, deadline_ns, err);
        if (piece.size == 0) return send_trail(client, source, NULL, deadline_ns, err);
        TRY(send_chunk(client, piece, deadline_ns, err));
    }
    return STATUS_OK;
}

static enum status parse(struct client *client, size_t size, struct error *err)
{
    llhttp_errno_t error = llhttp_execute(&client->parser, client->received, size);
    if (client->complete || error == HPE_OK) return STATUS_OK;
    if (client->too_large)
        return fail(err, STATUS_EXHAUSTED, "the answer is larger than the client's limits");
    return fail(err, STATUS_DATA_LOSS, "the answer is not HTTP: %s", llhttp_errno_name(error));
}

static enum status handle_end(struct client *client, struct error *err)
{
    /* An answer without a length ends with the connection. */
    if (client->started) (void)llhttp_finish(&client->parser); /* on_message_complete tells */
    if (client->complete) return STATUS_OK;
    return fail(err, STATUS_UNAVAILABLE, "the server closed the connection %s",
                client->started ? "within its answer" : "without an answer");
}

/* Until there is something to read, or nobody wants it any more. */
static enum status wait_for_answer(struct client *client, uint64_t deadline_ns, struct error *err)
{
    int stop = client->options.stop_descriptor;
    if (stop <= 0) return tcp_wait(client->descriptor, POLLIN, deadline_ns, err);
    for (;;) {
        struct pollfd entries[] = {{.fd = client->descriptor, .events = POLLIN},
                                   {.fd = stop, .events = POLLIN}};
        uint64_t now_ns = clock_monotonic_ns();
        if (now_ns >= deadline_ns) return fail(err, STATUS_DEADLINE_EXCEEDED, "no answer in time");
        uint64_t left_ms = (deadline_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS;
        int count = poll(entries, COUNT_OF(entries), (int)MIN(left_ms, (uint64_t)POLL_MS_MAX));
        if (count < 0 && errno != EINTR) return fail_errno(err, errno, "waiting for a socket");
        if (count > 0 && entries[0].revents) return STATUS_OK;
        if (count > 0) return fail(err, STATUS_CANCELLED, "no answer is waited for any more");
    }
}

/* True if there is what is waited for: all, the head, or a piece. */
static bool has_received(const struct client *client)
{
    if (client->complete || !client->piecewise) return client->complete;
    return client->headed && (!client->handed || client->body.size > 0);
}

static enum status receive_answer(struct client *client, uint64_t deadline_ns, struct error *err)
{
    while (!has_received(client)) {
        ssize_t size = recv(client->descriptor, client->received, RECEIVE_SIZE, 0);
        if (size > 0) {
            client->started = true;
            TRY(parse(client, (size_t)size, err));
        } else if (size == 0) {
            TRY(handle_end(client, err));
        } else if (errno == EAGAIN) {
            TRY(wait_for_answer(client, deadline_ns, err));
        } else if (errno != EINTR) {
            return fail_errno(err, errno, "receiving");
        }
    }
    return STATUS_OK;
}

static enum status exchange(struct client *client, struct str head,
                            const struct client_request *request, struct error *err)
{
    uint64_t now = clock_monotonic_ns();
    uint64_t deadline_ns = now + client->options.timeout_ns;
    client->deadline_ns = deadline_ns;
    llhttp_init(&client->parser, HTTP_RESPONSE, &client->settings);
    client->parser.data = client;
    client->head_request = request->method && strcmp(request->method, "HEAD") == 0;
    client->complete = client->started = client->too_large = client->headed = client->cut = false;
    client->interim_count = 0;
    if (client->descriptor < 0)
        TRY(tcp_connect(client->host, client->options.port,
                        now + client->options.connect_timeout_ns, &client->descriptor, err));
    TRY(send_bytes(client, head, deadline_ns, err));
    TRY(request->source ? send_source(client, request->source, deadline_ns, err)
                        : send_bytes(client, request->body, deadline_ns, err));
    return receive_answer(client, deadline_ns, err);
}

/* --- the answer ------------------------------------------------------------------------------- */

static enum status decoded(void *context, const char *data, size_t size, struct error *err)
{
    struct client *client = context;
    buffer_add(&client->decoded, (struct str){data, size});
    if (!buffer_failed(&client->decoded)) return STATUS_OK;
    return fail(err, STATUS_EXHAUSTED, "the answer is larger than the client's limit of %zu bytes",
                client->options.body_size_max);
}

static enum status decode(struct client *client, struct client_response *response,
                          struct error *err)
{
    struct str name = client_response_field(response, STR("content-encoding"));
    enum coding coding = CODING_IDENTITY;
    response->body = buffer_view(&client->body);
    if (!name.data || response->body.size == 0) return STATUS_OK;
    if (!coding_find(name, &coding))
        return fail(err, STATUS_DATA_LOSS, "the answer has the unknown encoding '%.*s'",
                    STR_ARGS(name));
    if (coding == CODING_IDENTITY) return STATUS_OK;
    buffer_reset(&client->decoded);
    TRY(coding_decode(coding, response->body, decoded, client, err));
    response->body = buffer_view(&client->decoded);
    return STATUS_OK;
}

static void resolve_fields(struct client *client)
{
    struct str head = buffer_view(&client->head);
    for (size_t i = 0; i < client->field_count; i++) {
        struct field_position *position = &client->positions[i];
        client->fields[i].name = (struct str){head.data + position->name, position->name_size};
        struct str value = {head.data + position->value, position->value_size};
        client->fields[i].value = str_trim(value);
    }
}

struct str client_response_field(const struct client_response *response, struct str name)
{
    for (size_t i = 0; i < response->field_count; i++)
        if (str_equal_ignoring_case(response->fields[i].name, name))
            return response->fields[i].value;
    return (struct str){NULL, 0};
}

/* Once more on a fresh connection if the kept one was closed before it answered anything. */
static enum status exchange_or_again(struct client *client, struct str head,
                                     const struct client_request *request, struct error *err)
{
    bool kept = client->used;
    enum status status = exchange(client, head, request, err);
    if (status == STATUS_OK) return STATUS_OK;
    bool again = kept && !client->started && status == STATUS_UNAVAILABLE;
    disconnect(client);
    if (!again) return status;
    status = exchange(client, head, request, err);
    if (status != STATUS_OK) disconnect(client);
    return status;
}

static void keep_or_disconnect(struct client *client, bool keeps)
{
    client->used = true;
    client->piecewise = false;
    if (!keeps || !llhttp_should_keep_alive(&client->parser)) disconnect(client);
}

static enum status ask(struct client *client, const struct client_request *request, bool piecewise,
                       struct client_response *ret_response, struct error *err)
{
    struct buffer head CLEANUP(buffer_clear);
    buffer_init(&head, CLIENT_HEAD_SIZE_MAX);
    TRY(write_head(client, request, &head, err));
    if (client->piecewise || request->source) disconnect(client);
    client->piecewise = piecewise;
    client->handed = false;
    TRY(exchange_or_again(client, buffer_view(&head), request, err));
    resolve_fields(client);
    *ret_response = (struct client_response){.status = client->parser.status_code,
                                             .fields = client->fields,
                                             .field_count = client->field_count,
                                             .body = STR_EMPTY};
    return STATUS_OK;
}

enum status client_request(struct client *client, const struct client_request *request,
                           struct client_response *ret_response, struct error *err)
{
    struct client_response response;
    TRY(ask(client, request, false, &response, err));
    keep_or_disconnect(client, !request->source);
    TRY(decode(client, &response, err));
    *ret_response = response;
    return STATUS_OK;
}

enum status client_begin(struct client *client, const struct client_request *request,
                         struct client_response *ret_response, struct error *err)
{
    return ask(client, request, true, ret_response, err);
}

enum status client_read(struct client *client, struct str *ret_piece, struct error *err)
{
    if (client->handed) buffer_reset(&client->body);
    client->handed = true;
    if (client->piecewise) {
        enum status status = receive_answer(client, client->deadline_ns, err);
        if (status != STATUS_OK) {
            disconnect(client);
            return status;
        }
        if (client->complete) keep_or_disconnect(client, true);
    }
    *ret_piece = buffer_view(&client->body);
    return STATUS_OK;
}
