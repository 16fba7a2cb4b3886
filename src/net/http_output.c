/* From pieces to the socket: one call per connection and turn. */
#include "net/http_private.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>

static struct http_block *block_take(struct http_server *server)
{
    struct http_block *block = server->free_blocks;
    if (block) {
        server->free_blocks = CONTAINER_OF(block->piece.next, struct http_block, piece);
        if (!block->piece.next) server->free_blocks = NULL;
        server->free_block_count--;
    } else {
        block = mem_new(sizeof *block);
    }
    block->piece = (struct http_piece){.data = block->bytes, .block = block};
    block->end = 0;
    return block;
}

static void block_put(struct http_server *server, struct http_block *block)
{
    if (server->free_block_count >= POOL_COUNT_MAX) {
        mem_free(block);
        return;
    }
    block->piece.next = server->free_blocks ? &server->free_blocks->piece : NULL;
    server->free_blocks = block;
    server->free_block_count++;
}

void output_free_blocks(struct http_server *server)
{
    struct http_block *block = server->free_blocks;
    while (block) {
        struct http_piece *next = block->piece.next;
        mem_free(block);
        block = next ? CONTAINER_OF(next, struct http_block, piece) : NULL;
    }
    server->free_blocks = NULL;
}

static void piece_add(struct http_connection *connection, struct http_piece *piece)
{
    if (connection->last_piece)
        connection->last_piece->next = piece;
    else
        connection->first_piece = piece;
    connection->last_piece = piece;
}

static void piece_drop_first(struct http_connection *connection)
{
    struct http_piece *piece = connection->first_piece;
    connection->first_piece = piece->next;
    if (!piece->next) connection->last_piece = NULL;
    if (piece->block) {
        block_put(connection->server, piece->block);
        return;
    }
    if (piece->release) piece->release(piece->release_context);
    mem_free(piece->owned);
    mem_free(piece);
}

char *output_reserve(struct http_connection *connection, size_t size)
{
    assert(size <= OUTPUT_BLOCK_SIZE);
    struct http_piece *last = connection->last_piece;
    if (!last || !last->block || OUTPUT_BLOCK_SIZE - last->block->end < size) {
        last = &block_take(connection->server)->piece;
        piece_add(connection, last);
    }
    return last->block->bytes + last->block->end;
}

void output_commit(struct http_connection *connection, size_t size)
{
    struct http_piece *last = connection->last_piece;
    assert(last->block->end + size <= OUTPUT_BLOCK_SIZE);
    last->block->end += (uint32_t)size;
    last->size += size;
    connection->output_size += size;
}

void output_copy(struct http_connection *connection, struct str bytes)
{
    while (bytes.size) {
        struct http_piece *last = connection->last_piece;
        size_t room = last && last->block ? OUTPUT_BLOCK_SIZE - last->block->end : 0;
        size_t part = MIN(bytes.size, room ? room : (size_t)OUTPUT_BLOCK_SIZE);
        memcpy(output_reserve(connection, part), bytes.data, part);
        output_commit(connection, part);
        bytes = str_from(bytes, part);
    }
}

void output_reference(struct http_connection *connection, struct str bytes, void *owned,
                      http_release_function *release, void *release_context)
{
    struct http_piece *piece = MEM_NEW(struct http_piece);
    *piece = (struct http_piece){.data = bytes.data,
                                 .size = bytes.size,
                                 .owned = owned,
                                 .release = release,
                                 .release_context = release_context};
    piece_add(connection, piece);
    connection->output_size += bytes.size;
}

void output_schedule(struct http_connection *connection)
{
    if (!list_is_linked(&connection->flush_link))
        list_add_last(&connection->server->flushing, &connection->flush_link);
}

void output_clear(struct http_connection *connection)
{
    while (connection->first_piece) piece_drop_first(connection);
    connection->output_size = 0;
}

static ssize_t send_several(struct http_connection *connection)
{
    struct iovec parts[IO_PARTS_MAX];
    size_t count = 0;
    for (struct http_piece *piece = connection->first_piece; piece; piece = piece->next) {
        parts[count++] = (struct iovec){(void *)(uintptr_t)piece->data, piece->size};
        if (count == IO_PARTS_MAX) break;
    }
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
    return sendmsg(connection->watch.descriptor, &message, MSG_NOSIGNAL);
}

/* One call: send for the usual single piece, sendmsg for several. */
static ssize_t send_pieces(struct http_connection *connection, const struct http_piece *piece)
{
    if (UNLIKELY(piece->next)) return send_several(connection);
    return tcp_send(connection->watch.descriptor, piece->data, piece->size);
}

static void consume(struct http_connection *connection, size_t sent)
{
    connection->output_size -= sent;
    connection->output_sent += sent;
    counter_add(&connection->server->counters.bytes_sent, sent);
    while (connection->first_piece && sent >= connection->first_piece->size) {
        sent -= connection->first_piece->size;
        piece_drop_first(connection);
    }
    if (!sent) return;
    assert(connection->first_piece);
    connection->first_piece->data += sent;
    connection->first_piece->size -= sent;
}

/* True if all is sent; false if the socket is full or broken (then `errno` is not EAGAIN). */
static bool send_all(struct http_connection *connection)
{
    for (const struct http_piece *first; (first = connection->first_piece) != NULL;) {
        ssize_t sent = send_pieces(connection, first);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0) return false;
        consume(connection, (size_t)sent);
    }
    return true;
}

/* A reader that takes nothing for write_timeout, or less than rate_min for long, is cut. */
static void wait_for_room(struct http_connection *connection)
{
    const struct http_server_options *options = &connection->server->options;
    uint64_t now = loop_now_ns(connection->server->loop);
    if (!connection->output_start_ns) {
        connection->output_start_ns = now;
        connection->output_sent = 0;
    }
    uint64_t fair_ns =
        options->body_timeout_ns + connection->output_sent / options->rate_min * NS_PER_S;
    uint64_t fair = connection->output_start_ns + fair_ns;
    connection_set_deadline(connection, MIN(now + options->write_timeout_ns, fair));
}

static void flushed(struct http_connection *connection)
{
    struct http_server *server = connection->server;
    struct http_work *work = connection->work;
    connection->output_start_ns = 0;
    if (UNLIKELY(connection->state == HTTP_STATE_CLOSING)) {
        if (connection->unread || server->draining)
            connection_linger(connection);
        else
            connection_close(connection);
        return;
    }
    if (!work)
        connection_set_deadline(connection, connection_idle_end(connection));
    else if (connection->state == HTTP_STATE_WAITING)
        connection_set_deadline(connection, UINT64_MAX);
    if (work && work->on_stream_drained) {
        void (*tell)(void *) = TAKE(work->on_stream_drained);
        tell(work->stream_context);
    }
}

/* Input was left alone because too much was unsent, and there is room again. */
static bool may_go_on(const struct http_connection *connection)
{
    const struct http_work *work = connection->work;
    if (connection->state >= HTTP_STATE_WAITING) return false;
    if (connection->output_size > connection->server->options.pending_output_max) return false;
    bool unparsed = connection->state == HTTP_STATE_HEAD && work && work->parsed < work->end;
    return unparsed || connection->readable;
}

void output_flush(struct http_connection *connection)
{
    bool sent = send_all(connection);
    if (!sent && errno != EAGAIN && errno != EWOULDBLOCK) {
        connection_close(connection);
        return;
    }
    if (UNLIKELY(may_go_on(connection))) connection_resume(connection);
    if (sent)
        flushed(connection);
    else
        wait_for_room(connection);
}
