/*
 * Bytes in pieces through a whole connection: the first byte seeds how they are cut, the rest is
 * what a client sends. Whatever comes, the connection answers or ends, every request the handler
 * saw is over at the end, and no memory of bodies is left. One read and many give the same answers.
 */
#include "../unit/net/http_fixture.h"
#include "base/rand.h"

/* A large answer takes as many turns as the socket's buffer makes of it. */
static void turn_until_quiet(struct fixture *f)
{
    for (size_t quiet = 0, before = f->received.size; quiet < 3; before = f->received.size) {
        fixture_turns(f, 1);
        quiet = f->received.size == before ? quiet + 1 : 0;
    }
}

static void talk(struct fixture *f, const uint8_t *data, size_t size, uint64_t seed)
{
    struct prng prng;
    prng_seed(&prng, seed);
    fixture_open(
        f, &(struct http_server_options){.body_size_max = 65536, .compression_size_min = 512});
    while (size && !f->ended) {
        size_t part = seed ? 1 + prng_below(&prng, 40) : size;
        part = MIN(part, size);
        fixture_send(f, (struct str){(const char *)data, part});
        data += part;
        size -= part;
    }
    turn_until_quiet(f);
    /* What waits is answered, so that what follows it is read too. */
    for (int i = 0; i < 100 && f->pending && !f->pending->holds; i++) {
        struct http_exchange *pending = f->pending;
        f->pending = NULL;
        if (pending->answered)
            http_stream_end(pending);
        else
            http_respond_json(pending, 200, STR("{}"));
        turn_until_quiet(f);
    }
}

static void end(struct fixture *f)
{
    struct http_exchange *held = f->pending && f->pending->holds ? f->pending : NULL;
    fixture_hang_up(f);
    fixture_turns(f, 3);
    assert(counter_get(&http_server_counters(f->server)->connections_open) == 0);
    if (held) http_exchange_release(held);
    fixture_close(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > 65536) return 0;
    /* A held exchange that is never answered would be a leak of the handler's. */
    if (memmem(data, size, "/held", 5)) return 0;
    struct fixture whole, pieces;
    talk(&whole, data + 1, size - 1, 0);
    talk(&pieces, data + 1, size - 1, 1 + (uint64_t)data[0]);
    assert(whole.requests == pieces.requests);
    assert(whole.reject_status == pieces.reject_status);
    assert(str_equal(buffer_view(&whole.seen), buffer_view(&pieces.seen)));
    end(&whole);
    end(&pieces);
    return 0;
}
