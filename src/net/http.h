/*
 * An HTTP/1.1 server for one loop, which knows nothing of the product: it reads requests, checks
 * that they mean one thing only, hands them over, and writes the answers.
 *
 *   static const struct http_handler handler = {.on_request = answer};
 *   TRY(http_server_new(loop, &(struct http_server_options){0}, &handler, context, &server, err));
 *   TRY(http_server_listen(server, &(struct tcp_listen_options){.port = 8000}, &port, err));
 *
 *   static void answer(void *context, struct http_exchange *exchange)
 *   { http_respond_json(exchange, 200, STR("{\"live\":true}")); }
 *
 * One exchange is one request and its answer:
 *
 *   on_headers   the head is there: reject early, set limits           (optional)
 *   on_request   the body is there: answer now or later, on this thread
 *   on_abort     the client is gone and no answer was given            (optional)
 *
 * A handler answers each exchange exactly once by http_respond*, or http_stream_*. The exchange,
 * its arena and its body are valid until it is answered (or, gone, until on_abort returns), and
 * as long after that as it is held by http_exchange_hold.
 *
 * Requests of one connection are answered in order: the next is read when the last is answered, in
 * the same turn if its bytes are there already. Answers are collected and sent once per turn and
 * connection, in the loop's WRITE phase. An idle connection holds no buffers.
 *
 * What net answers by itself, always as {"error":"..."}: 400 for what is not HTTP or could mean two
 * things, 408, 413, 414, 417, 431, 501, 503, 505. HEAD is given to the handler like GET, and its
 * body is left out. Everything on the loop's thread.
 */
#ifndef NET_HTTP_H
#define NET_HTTP_H

#include "base/arena.h"
#include "base/counter.h"
#include "net/tcp.h"

enum {
    HTTP_FIELDS_MAX = 100, /* header fields of a request */
    HTTP_BLOBS_MAX = 1024, /* of one answer */
};

struct loop;
struct http_server;
struct http_connection;
struct http_block;

enum http_method {
    HTTP_METHOD_GET,
    HTTP_METHOD_HEAD,
    HTTP_METHOD_POST,
    HTTP_METHOD_PUT,
    HTTP_METHOD_DELETE,
    HTTP_METHOD_PATCH,
    HTTP_METHOD_OPTIONS,
    HTTP_METHOD_OTHER, /* a WebDAV method or the like */
};

/* Header fields with a slot of their own: X(name, text in lower case, may occur only once). */
#define HTTP_HEADER_TABLE(X)                                                                       \
    X(HOST, "host", true)                                                                          \
    X(ACCEPT, "accept", false)                                                                     \
    X(EXPECT, "expect", true)                                                                      \
    X(PREFER, "prefer", false)                                                                     \
    X(ORIGIN, "origin", true)                                                                      \
    X(CONNECTION, "connection", false)                                                             \
    X(TRACESTATE, "tracestate", false)                                                             \
    X(USER_AGENT, "user-agent", false)                                                             \
    X(TRACEPARENT, "traceparent", true)                                                            \
    X(CONTENT_TYPE, "content-type", true)                                                          \
    X(X_REQUEST_ID, "x-request-id", false)                                                         \
    X(AUTHORIZATION, "authorization", true)                                                        \
    X(CONTENT_LENGTH, "content-length", true)                                                      \
    X(IF_NONE_MATCH, "if-none-match", false)                                                       \
    X(ACCEPT_ENCODING, "accept-encoding", false)                                                   \
    X(IDEMPOTENCY_KEY, "idempotency-key", true)                                                    \
    X(CONTENT_ENCODING, "content-encoding", true)                                                  \
    X(TRANSFER_ENCODING, "transfer-encoding", true)                                                \
    X(INFERENCE_HEADER_CONTENT_LENGTH, "inference-header-content-length", true)

enum http_header {
#define X(name, text, once) HTTP_HEADER_##name,
    HTTP_HEADER_TABLE(X)
#undef X
        HTTP_HEADER_COUNT
};

/* A header field, name without the colon, value without spaces around it. */
struct http_field {
    struct str name;
    struct str value;
};

/* Called when memory given to an answer is not needed any more. */
typedef void http_release_function(void *context);

struct http_exchange {
    /* For the handler, read only. Texts are views of the request. */
    enum http_method method;
    bool is_http_1_0;
    struct str target;    /* as it was sent */
    struct str path;      /* percent-encoded, starts with '/'; "*" for OPTIONS * */
    struct str query;     /* what follows '?', empty if there is none */
    struct str body;      /* decoded: no chunks, no compression; empty in on_headers */
    uint64_t received_ns; /* monotonic: the turn that read its first bytes */

    /* For the handler. */
    struct arena *arena; /* lives as the exchange does */
    void *user;          /* NULL at first */
    /*
     * Set in on_headers: SIZE_MAX, or the position in the body that is to lie on a 64-byte
     * boundary, where the binary section begins.
     */
    size_t body_alignment_offset;
    size_t body_size_max; /* starts as the option; on_headers may lower or raise it */

    /* net's own. */
    struct http_connection *connection; /* NULL: gone */
    struct http_server *server;
    uint32_t holds;
    bool answered;
};

struct http_handler {
    void (*on_headers)(void *context, struct http_exchange *exchange); /* may be NULL */
    void (*on_request)(void *context, struct http_exchange *exchange);
    /*
     * May be NULL. The client has hung up before the answer was complete, or its body turned out
     * wrong after on_headers; http_respond is allowed from now on and does nothing. A client that
     * closed only its sending half still gets an answer that is given in the turn in which that was
     * noticed; later it counts as gone.
     */
    void (*on_abort)(void *context, struct http_exchange *exchange);
    /* May be NULL. net has answered by itself, before a handler saw the request: for counting and
     * debugging. */
    void (*on_rejected)(void *context, int status, const char *message);
};

/* What the server allows. All times in ns, all sizes in bytes; 0 stands for the default. */
struct http_server_options {
    size_t header_size_max;        /* request line and header: 16 KiB */
    uint32_t field_count_max;      /* HTTP_FIELDS_MAX, and not more */
    size_t body_size_max;          /* of one body, also decompressed: 64 MiB */
    size_t body_memory_max;        /* of all bodies that do not fit in a block: 1 GiB */
    uint32_t chunk_count_max;      /* non-empty chunks of one body: 65,536 */
    uint32_t connection_count_max; /* 10,000 */
    uint64_t idle_timeout_ns;      /* between requests: 75 s */
    uint64_t header_timeout_ns;    /* from the first byte to the end of the header: 10 s */
    uint64_t body_timeout_ns;      /* grace of a body or answer that moves too slowly: 30 s ... */
    uint64_t rate_min;             /* ... where slow is below so many bytes per second: 1 KiB */
    uint64_t drain_idle_ns;        /* while draining, for one more request: 250 ms */
    uint64_t write_timeout_ns;     /* without any progress in sending: 30 s */
    size_t pending_output_max;     /* answers unsent before more is read: 1 MiB */
    size_t read_turn_max;          /* read per connection and turn: 256 KiB */
    size_t compression_size_min;   /* answers from this size on are compressed if the client accepts
                                      it; 0: never */
    int compression_level;         /* 1 to 9; 1 */
    const char *server_name;       /* value of `Server`; NULL: not sent. Borrowed. */
};

/* What one server counted since it was made. Its loop writes, any thread may read. */
struct http_counters {
    struct counter connections_accepted;
    struct counter connections_refused; /* too many, or no descriptor left */
    struct counter connections_open;
    struct counter connections_timed_out;
    struct counter requests;          /* on_request was called */
    struct counter requests_rejected; /* answered by net */
    struct counter requests_aborted;
    struct counter bytes_received;
    struct counter bytes_sent;
};

/* --- server ----------------------------------------------------------------------------------- */

/* Borrows loop, handler and context until http_server_free. */
enum status http_server_new(struct loop *loop, const struct http_server_options *options,
                            const struct http_handler *handler, void *context,
                            struct http_server **ret_server, struct error *err) FALLIBLE;

/* Cuts what is open: pending exchanges get on_abort. Exchanges still held must be released before
 * the memory goes: they keep it, not the server. Accepts NULL. */
void http_server_free(struct http_server *server);

/* Opens a socket of its own; may be called several times (HTTP_LISTENERS_MAX), with different
 * addresses. *ret_port is where it listens. */
enum { HTTP_LISTENERS_MAX = 4 };
enum status http_server_listen(struct http_server *server, const struct tcp_listen_options *options,
                               uint16_t *ret_port, struct error *err) FALLIBLE;

/* Serves an already connected, non-blocking stream socket; takes the descriptor, also on failure.
 */
enum status http_server_adopt(struct http_server *server, int descriptor,
                              struct error *err) FALLIBLE;

/*
 * The way down, on which no request that was sent goes without its answer. New connections are not
 * taken any more; those that the kernel has opened already are, for drain_idle_ns. What is in
 * flight, and what comes on the open connections, is answered with `Connection: close`. A
 * connection without a request for drain_idle_ns is ended: our half first, and only when the client
 * has closed its half, or drain_idle_ns later, wholly. Calls on_drained(context) once, in a turn or
 * from inside, when no connection is left.
 */
void http_server_drain(struct http_server *server, void (*on_drained)(void *context),
                       void *context);

/* Any thread, as long as the server lives. */
const struct http_counters *http_server_counters(const struct http_server *server);

/* --- request ---------------------------------------------------------------------------------- */

/* The value of a header field; data is NULL if it was not sent. */
struct str http_exchange_header(const struct http_exchange *exchange, enum http_header header);

/* The same by name, in lower case; the first if there are several. */
struct str http_exchange_header_find(const struct http_exchange *exchange, struct str name);

/* All fields in the order they came: index < http_exchange_field_count. */
size_t http_exchange_field_count(const struct http_exchange *exchange);
struct http_field http_exchange_field(const struct http_exchange *exchange, size_t index);

/* Keeps exchange, arena and body after the answer, until as many releases. */
void http_exchange_hold(struct http_exchange *exchange);
void http_exchange_release(struct http_exchange *exchange);

/* "192.0.2.1:4711"; "unknown" if it is gone. */
void http_exchange_peer(const struct http_exchange *exchange, char text[TCP_ADDRESS_SIZE]);

/* --- answer ----------------------------------------------------------------------------------- */

/*
 * An answer: body, then blobs, in order. What is small is copied during the call; a large body that
 * was written into http_exchange_scratch, and large blobs, are sent from where they are.
 */
struct http_response {
    int status;
    struct str content_type;         /* empty: none is sent */
    const struct http_field *fields; /* more header fields; copied */
    size_t field_count;
    struct str body;         /* copied, unless it is the scratch buffer's whole content */
    const struct str *blobs; /* each borrowed until `release`, the array only for the call */
    size_t blob_count;
    http_release_function *release; /* called exactly once, maybe from inside; may be NULL */
    void *release_context;
    bool close; /* end the connection afterwards */
    bool never_compressed;
};

/* Answers the exchange. Nothing can fail for the caller: if the client is gone, it is ignored. */
void http_respond(struct http_exchange *exchange, const struct http_response *response);

/* The busiest answer: content type application/json, nothing else. */
void http_respond_json(struct http_exchange *exchange, int status, struct str body);

/* {"error":"message"}; any text is escaped. */
void http_respond_error(struct http_exchange *exchange, int status, const char *message);

/* A buffer to write a body into: empty, one per server, valid until the next http_respond or
 * callback. Its memory is reused; its ceiling is 4 GiB. */
struct buffer *http_exchange_scratch(struct http_exchange *exchange);

/*
 * An answer in pieces of unknown total size: chunked, or ended by closing for HTTP/1.0. `response`
 * as above, without body and blobs.
 */
void http_stream_start(struct http_exchange *exchange, const struct http_response *response);

/* Appends a piece (copied) and has it sent in this turn. Returns how many bytes are still unsent:
 * the caller stops above a limit of its own until on_drained. SIZE_MAX: the client is gone. */
size_t http_stream_write(struct http_exchange *exchange, struct str piece);

/* Calls on_drained(context) once, in a turn, when all is sent. */
void http_stream_when_drained(struct http_exchange *exchange, void (*on_drained)(void *context),
                              void *context);
void http_stream_end(struct http_exchange *exchange);

/* "Not Found" of 404; "Unknown" of a foreign number. */
const char *http_status_text(int status);

#endif
