/*
 * What the files of the HTTP server share; nobody else includes it.
 *
 *   http_server.c   listening, accepting, timers, draining, the hooks of the turn
 *   http1.c         a connection's input: bytes -> exchanges
 *   http_scan.c     the usual header in one pass, before llhttp is asked
 *   http_head.c     one header: what llhttp found, checked until it can mean one thing only
 *   http_body.c     a body's memory: in place, read into its own block, or decoded
 *   http_respond.c  answers -> pieces of output
 *   http_output.c   pieces of output -> the socket
 *
 * A connection has at most one exchange in work. The exchange owns the input block, so that an idle
 * connection holds neither:
 *
 *   input:  | consumed | head .......... | body or chunks ... | next request ... | free |
 *           0          start             head_end             (position)          end
 */
#ifndef NET_HTTP_PRIVATE_H
#define NET_HTTP_PRIVATE_H

#include "base/list.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "net/http.h"

#include <llhttp.h>

enum {
    BLANK_LINES_MAX = 4, /* in front of a request */
    INPUT_SLACK = 64,
    OUTPUT_BLOCK_SIZE = 16 * 1024,
    COPY_SIZE_MAX = 4096,       /* parts of an answer up to this size are copied, not referenced */
    POOL_COUNT_MAX = 1024,      /* free exchanges and free output blocks kept, each */
    IO_PARTS_MAX = 64,          /* of one sendmsg */
    LINGER_SIZE_MAX = 16 << 20, /* discarded after an early answer, so that it is read ... */
    LINGER_SECONDS_MAX = 5,     /* ... and for how long */
    BODY_ALIGNMENT = 64,
    EXCHANGE_ARENA_SIZE_MAX = 64 << 20,
    ALLOCATED_BODY_SLACK = BODY_ALIGNMENT, /* bytes for shifting a body onto a boundary */
};

/* A stretch of output: bytes of a block of ours, or bytes of somebody who waits for release. */
struct http_piece {
    struct http_piece *next;
    const char *data;
    size_t size;
    http_release_function *release; /* NULL: nothing to call */
    void *release_context;
    void *owned;              /* freed with the piece, may be NULL */
    struct http_block *block; /* the block the piece is the head of, or NULL */
};

struct http_block {
    struct http_piece piece; /* data points into `bytes` */
    uint32_t end;            /* used bytes */
    char bytes[OUTPUT_BLOCK_SIZE];
};

struct http_body {
    char *memory; /* NULL: none of its own */
    char *data;   /* aligned within memory */
    size_t capacity;
    size_t size;
};

struct rejection {
    int status; /* 0: none */
    const char *message;
};

/* What a connection is doing with its input. */
enum http_state {
    HTTP_STATE_HEAD,          /* between requests, or within a header */
    HTTP_STATE_BODY_IN_PLACE, /* a body that fits behind its header */
    HTTP_STATE_BODY_OWN,      /* a body read into memory of its own */
    HTTP_STATE_BODY_CHUNKED,
    HTTP_STATE_WAITING,   /* the handler has it */
    HTTP_STATE_CLOSING,   /* no more input is wanted; what is unsent is sent */
    HTTP_STATE_LINGERING, /* our half is closed, theirs is read and thrown away */
};

/* Everything of one exchange; the handler sees the first member. */
struct http_work {
    struct http_exchange exchange;
    struct arena arena;
    llhttp_t parser;
    struct http_work *next_free;

    size_t start;       /* of the message in input */
    size_t parsed;      /* up to here the parser has seen */
    size_t end;         /* of what was received */
    size_t head_end;    /* valid from then on */
    size_t message_end; /* where the next one starts, valid when this one is complete */

    struct http_body body;
    uint64_t content_length;
    uint64_t body_start_ns;
    void (*on_stream_drained)(void *context);
    void *stream_context;
    size_t chunk_count;
    size_t framing_size; /* bytes of chunk framing since the last byte of content */

    uint8_t slots[HTTP_HEADER_COUNT]; /* index of the field + 1; 0: not sent */
    uint32_t field_count;
    bool too_many_fields;
    bool folded;  /* a field goes on in a second line */
    bool in_body; /* fields that come now are trailers */
    bool chunked;
    bool keep_alive;
    bool headers_seen; /* on_headers was called */
    bool requested;    /* on_request was called */
    bool aborting;     /* on_abort runs */
    bool streaming;
    bool stream_chunked;
    bool expects_continue;
    uint8_t blank_lines;
    bool timed;                 /* the header's time limit is set */
    struct rejection rejection; /* set inside the parser's callbacks */
    struct http_field fields[HTTP_FIELDS_MAX];

    char input[]; /* server->input_size, and BODY_ALIGNMENT to shift a body */
};

_Static_assert(INPUT_SLACK >= 2 * BLANK_LINES_MAX, "blank lines take no room from the header");

struct http_connection {
    struct loop_watch watch;
    struct http_server *server;
    struct http_work *work; /* NULL: idle */
    struct http_piece *first_piece;
    struct http_piece *last_piece;
    size_t output_size;
    uint64_t deadline_ns; /* UINT64_MAX: none */
    uint64_t output_start_ns;
    uint64_t output_sent; /* since output_start_ns */
    uint64_t lingered;
    enum http_state state;
    bool readable;    /* there may be more to read */
    bool peer_closed; /* the end of the stream was told of, not yet read */
    bool peer_ended;  /* the end of the stream was read */
    bool dispatching; /* inside a handler's callback, or the parser's */
    bool unread;      /* closing with input that nobody reads: linger */
    struct loop_timer timer;
    struct list link;        /* server->connections */
    struct list flush_link;  /* server->flushing */
    struct list resume_link; /* server->resuming */
    struct list hangup_link; /* server->hung_up */
};

struct http_listener {
    struct loop_watch watch;
    struct http_server *server;
};

enum { JSON_HEAD_SIZE_MAX = 256, DATE_SIZE = 29 };

struct http_server {
    struct loop *loop;
    struct http_server_options options;
    const struct http_handler *handler;
    void *context;
    struct http_counters counters;
    llhttp_settings_t parser_settings;
    size_t input_size;
    char rejection_text[160]; /* of body_too_large */
    size_t body_memory;       /* held by bodies now */

    struct list connections;
    struct list flushing; /* have output to send in this turn */
    struct list resuming; /* have input to look at */
    struct list hung_up;  /* closed their half while the handler works */

    struct http_work *free_works;
    struct http_block *free_blocks;
    uint32_t free_work_count;
    uint32_t free_block_count;

    struct buffer scratch;
    uint64_t date_expires_ns; /* monotonic */
    char date[DATE_SIZE + 1];
    char json_head[JSON_HEAD_SIZE_MAX]; /* "HTTP/1.1 200 OK ... Content-Length: " */
    size_t json_head_size;
    size_t ok_head_size; /* of it: up to the fields that differ by response */

    struct http_listener listeners[HTTP_LISTENERS_MAX];
    uint32_t listener_count;
    int spare_descriptor; /* given up to be able to refuse when there is none left */
    struct loop_timer accept_timer;

    struct loop_timer door_timer; /* draining: then nobody is accepted any more */
    bool draining;
    bool freeing;
    bool drained_told;
    uint32_t orphan_count; /* held exchanges without a connection */
    void (*on_drained)(void *context);
    void *drained_context;
};

static inline struct http_work *work_of(struct http_exchange *exchange)
{
    return CONTAINER_OF(exchange, struct http_work, exchange);
}

static inline const struct http_work *const_work_of(const struct http_exchange *exchange)
{
    _Static_assert(offsetof(struct http_work, exchange) == 0, "the exchange comes first");
    return (const struct http_work *)(const void *)exchange;
}

/* The value of a field with a slot; data NULL if it was not sent. */
static inline struct str header_value(const struct http_work *work, enum http_header header)
{
    uint32_t slot = work->slots[header];
    return slot ? work->fields[slot - 1].value : (struct str){NULL, 0};
}

/* --- http_server.c ---------------------------------------------------------------------------- */

/* Sets when the connection is cut unless something happens before. Costs nothing but a store when
 * the moment moves away. */
void connection_set_deadline(struct http_connection *connection, uint64_t deadline_ns);

/* When a connection that has no request now is ended. */
uint64_t connection_idle_end(const struct http_connection *connection);

/* Closes our half; theirs is read and thrown away until it ends, so that what we sent gets through:
 * closing with unread input would reset the connection. */
void connection_linger(struct http_connection *connection);

/* Ends it now; a pending exchange is aborted. The memory is gone. */
void connection_close(struct http_connection *connection);

/* Has this turn's RUN phase look at the input again, or the next turn's if that is over. */
void connection_resume(struct http_connection *connection);

/* A fresh exchange for the connection. */
struct http_work *work_take(struct http_connection *connection);

/* The same exchange again, for the message that starts at `position` of its input. */
void work_restart(struct http_work *work, size_t position);

/* The message is over: to the pool, or left to those who hold it. */
void work_put(struct http_work *work);

/* --- http1.c ---------------------------------------------------------------------------------- */

/* The socket has something to read. May close the connection. */
void connection_read(struct http_connection *connection);

/* Works on what has been read, and reads on. May close the connection. */
void connection_go_on(struct http_connection *connection);

/* The answer is complete in the output. */
void connection_answered(struct http_connection *connection);

/* The client sends no more while the handler works: unless the answer comes in this turn, it counts
 * as gone. */
void connection_watch_hangup(struct http_connection *connection);

void http1_init(llhttp_settings_t *settings);

/* --- http_head.c ------------------------------------------------------------------------------ */

/* The table's entry of a name, HTTP_HEADER_COUNT if it has none. */
enum http_header http_header_find(struct str name);

/* After the parser found the header's end: checks it byte for byte and fills in the exchange. */
struct rejection head_check(struct http_work *work);

/* What to answer when the parser refused the header. */
struct rejection head_explain(const struct http_work *work, llhttp_errno_t error);

/* --- http_scan.c ------------------------------------------------------------------------------ */

/*
 * Reads a whole, usual header in place of the parser and its checks, and fills in the exchange.
 * False: it is not that, and the parser may begin.
 */
bool head_scan(struct http_work *work);

/* --- http_body.c ------------------------------------------------------------------------------ */

/* Memory for `size` bytes, aligned as the exchange asks; counted against the server's limit. */
struct rejection body_allocate(struct http_work *work, size_t size);

/* 413, with the limit; the message lives until the next. */
struct rejection body_too_large(const struct http_work *work);

/* Appends, growing up to exchange.body_size_max. */
struct rejection body_append(struct http_work *work, const char *data, size_t size);

/* Undoes Content-Encoding and puts the aligned result in exchange.body. */
struct rejection body_finish(struct http_work *work);
void body_clear(struct http_work *work);

/* --- http_respond.c --------------------------------------------------------------------------- */

/* Answers for net itself, and closes. */
void connection_reject(struct http_connection *connection, int status, const char *message);

/* "HTTP/1.1 100 Continue" */
void connection_continue(struct http_connection *connection);

/* The date and what begins with it, made anew when the second is over. */
void server_refresh_date(struct http_server *server);

/* --- http_output.c ---------------------------------------------------------------------------- */

/* Contiguous room in the newest block, size <= OUTPUT_BLOCK_SIZE; commit what was written. */
char *output_reserve(struct http_connection *connection, size_t size);
void output_commit(struct http_connection *connection, size_t size);

/* Copies any number of bytes. */
void output_copy(struct http_connection *connection, struct str bytes);

/* Sends from where they are; `owned` is freed and release called when that is over. */
void output_reference(struct http_connection *connection, struct str bytes, void *owned,
                      http_release_function *release, void *release_context);

/* Puts the connection on the list of those that send in this turn's WRITE phase. */
void output_schedule(struct http_connection *connection);

/* Sends what the socket takes. May close the connection. */
void output_flush(struct http_connection *connection);

void output_free_blocks(struct http_server *server);

/* Drops what is unsent. */
void output_clear(struct http_connection *connection);

#endif
