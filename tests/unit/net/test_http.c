/* The server as a client sees it, over a socket pair, turn by turn. */
#include "http_fixture.h"
#include "net/http1.c"
#include "test.h"

#define HEAD_JSON                                                                                  \
    "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: application/json\r\n"
#define OK_EMPTY HEAD_JSON "Content-Length: 2\r\n\r\n{}"
#define ADD(buffer, literal) buffer_add((buffer), STR(literal))

static int status_of(const char *answer)
{
    struct str text = str_of(answer);
    if (text.size < 12 || !str_starts_with(text, STR("HTTP/1.1 "))) return -1;
    return (answer[9] - '0') * 100 + (answer[10] - '0') * 10 + (answer[11] - '0');
}

static int count_of(const char *text, const char *part)
{
    int count = 0;
    for (const char *at = text; (at = strstr(at, part)) != NULL; at++) count++;
    return count;
}

/* The answer's status; it must close the connection, with a JSON error, if it is one of net's. */
static void expect_status(struct str request, int status)
{
    struct fixture f;
    fixture_open(&f, &(struct http_server_options){0});
    const char *answer = fixture_talk(&f, request);
    if (status_of(answer) != status)
        test_failed(__FILE__, __LINE__, "'%.*s' is answered %.40s, not %d", STR_ARGS(request),
                    answer, status);
    EXPECT_INT(count_of(answer, "\r\nDate: "), 1);
    if (status >= 400) {
        EXPECT(strstr(answer, "\r\nConnection: close\r\n"));
        EXPECT(strstr(answer, "\r\n\r\n{\"error\":\""));
        EXPECT_INT(f.requests, 0);
        EXPECT_INT(f.ended, 1);
    }
    fixture_close(&f);
}

TEST(a_get_is_answered)
{
    struct fixture f;
    fixture_open(&f, &(struct http_server_options){0});
    EXPECT_TEXT(fixture_talk(&f, STR("GET /x?a=b HTTP/1.1\r\nHost: h\r\nX-A:  v w \r\nE:\r\n\r\n")),
                OK_EMPTY);
    EXPECT_TEXT(buffer_text(&f.seen), "0 /x?a=b|Host=h;X-A=v w;E=;|");
    EXPECT(!f.ended);
    fixture_close(&f);
}

TEST(an_idle_connection_holds_no_buffers)
{
    struct fixture f;
    fixture_open(&f, &(struct http_server_options){0});
    (void)fixture_talk(&f, STR("GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
    struct http_connection *connection =
        CONTAINER_OF(f.server->connections.next, struct http_connection, link);
    EXPECT(connection->work == NULL);
    EXPECT(connection->first_piece == NULL);
    fixture_close(&f);
}

/* --- every split gives the same -----------------------------------------------------------------
 */

static const char conversation[] =
    "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"
    "\r\nGET /b?q HTTP/1.1\r\nhost:h\r\nAccept: */*\r\nX: \r\n\r\n"
    "POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    "3\r\nabc\r\n4;ext=\"x\"\r\ndefg\r\n0\r\nTrailer: t\r\n\r\n"
    "HEAD /d HTTP/1.1\r\nHost: h\r\nConnection: keep-alive\r\n\r\n"
    "PUT http://h/e HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"
    "POST /f HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 4\r\n\r\nlast";

#define ANSWER(body, size) HEAD_JSON "Content-Length: " size "\r\n\r\n" body
static const char conversation_answers[] =
    ANSWER("abc", "3") ANSWER("{}", "2") ANSWER("abcdefg", "7") ANSWER("", "2") ANSWER("{}", "2")
        HEAD_JSON "Connection: close\r\nContent-Length: 4\r\n\r\nlast";

TEST(a_conversation_is_answered_whole)
{
    struct fixture f;
    fixture_open(&f, &(struct http_server_options){0});
    EXPECT_TEXT(fixture_talk(&f, str_of(conversation)), conversation_answers);
    EXPECT_INT(f.requests, 6);
    EXPECT(f.ended);
    fixture_close(&f);
}

TEST(a_split_at_any_byte_changes_nothing)
{
    for (size_t i = 1; i < sizeof conversation - 1; i++) {
        struct fixture f;
        fixture_open(&f, &(struct http_server_options){0});
        fixture_send(&f, (struct str){conversation, i});
        fixture_turns(&f, 1);
        EXPECT_TEXT(fixture_talk(&f, str_from(str_of(conversation), i)), conversation_answers);
        fixture_close(&f);
    }
}

TEST(byte_by_byte_changes_nothing)
{
    struct fixture f;
    fixture_open(&f, &(struct http_server_options){0});
    for (size_t i = 0; i < sizeof conversation - 1; i++)
        fixture_send(&f, (struct str){conversation + i, 1});
    fixture_turns(&f, 4);
    EXPECT_TEXT(buffer_text(&f.received), conversation_answers);
    fixture_close(&f);
}

/* The scanner and llhttp agree: what one read answers, single bytes answer too. */
static void expect_scanner_agrees(struct str request)
{
    struct fixture whole, bytes;
    fixture_open(&whole, &(struct http_server_options){0});
    fixture_open(&bytes, &(struct http_server_options){0});
    (void)fixture_talk(&whole, request);
    for (size_t i = 0; i < request.size; i++)
        fixture_send(&bytes, (struct str){request.data + i, 1});
    fixture_turns(&bytes, 4);
    if (strcmp(buffer_text(&whole.received), buffer_text(&bytes.received)) != 0 ||
        strcmp(buffer_text(&whole.seen), buffer_text(&bytes.seen)) != 0)
        test_failed(__FILE__, __LINE__, "'%.*s': %s but %s (seed %llu)", STR_ARGS(request),
                    buffer_text(&whole.received), buffer_text(&bytes.received),
                    (unsigned long long)test_seed());
    fixture_close(&whole);
    fixture_close(&bytes);
}

TEST(scanner_and_parser_agree_on_mutations)
{
    static const char good[] = "POST /v2/models/a%20b/infer?x=1 HTTP/1.1\r\nHost: h:80\r\n"
                               "Content-Type: application/json\r\nContent-Length: 2\r\n"
                               "Connection: keep-alive\r\n\r\n{}";
    static const char bytes[] = "\r\n :\t\0\x7f\x80#/ ,;aZ0-_\"%+";
    struct prng prng;
    prng_seed(&prng, test_seed());
    for (int round = 0; round < 400; round++) {
        char text[sizeof good];
        memcpy(text, good, sizeof good);
        size_t changes = 1 + prng_below(&prng, 2);
        for (size_t i = 0; i < changes; i++)
            text[prng_below(&prng, sizeof good - 1)] = bytes[prng_below(&prng, sizeof bytes - 1)];
        expect_scanner_agrees((struct str){text, sizeof good - 1});
    }
}

/* --- what is refused ----------------------------------------------------------------------------
 */

#define H "Host: h\r\n"
static const struct {
    struct str request;
    int status;
} refused[] = {
#define R(text, status)                                                                            \
    {                                                                                              \
        {text, sizeof(text) - 1}, status                                                           \
    }
    R("GET / HTTP/1.1\r\n\r\n", 400),
    R("GET / HTTP/1.1\r\n" H "Host: i\r\n\r\n", 400),
    R("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
    R("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    R("GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", 400),
    R("GET / HTTP/1.1\r\nHost: u@h\r\n\r\n", 400),
    R("GET / HTTP/1.1\nHost: h\n\n", 400),
    R("GET / HTTP/1.1\r\nHost: h\n\r\n", 400),
    R("GET / HTTP/1.1\r\nHost: h\rX: y\r\n\r\n", 400),
    R("GET / HTTP/1.1\r\n" H "X: a\r\n b\r\n\r\n", 400),
    R("GET / HTTP/1.1\r\n" H "X: a\r\n\tb\r\n\r\n", 400),
    R("GET / HTTP/1.1\r\n H\r\n\r\n", 400),
    R("GET / HTTP/1.1\r\nHost : h\r\n\r\n", 400),
    R("GET / HTTP/1.1\r\n" H "X\r\n\r\n", 400),
    R("GET / HTTP/1.1\r\n" H ": x\r\n\r\n", 400),
    R("GET / HTTP/1.1\r\n" H "X: a\0b\r\n\r\n", 400),
    R("GET / HTTP/1.1\r\n" H "X: a\x01z\r\n\r\n", 400),
    R("GET / HTTP/1.1\r\n" H "X\x80: a\r\n\r\n", 400),
    R("GET  / HTTP/1.1\r\n" H "\r\n", 400),
    R("GET /  HTTP/1.1\r\n" H "\r\n", 400),
    R("GET\t/ HTTP/1.1\r\n" H "\r\n", 501),
    R(" GET / HTTP/1.1\r\n" H "\r\n", 400),
    R("GET /a#b HTTP/1.1\r\n" H "\r\n", 400),
    R("GET a HTTP/1.1\r\n" H "\r\n", 400),
    R("GET * HTTP/1.1\r\n" H "\r\n", 400),
    R("GET /a\x01 HTTP/1.1\r\n" H "\r\n", 400),
    R("GET /\r\n\r\n", 400),
    R("GET / HTTP/1.1 \r\n" H "\r\n", 400),
    R("\nGET / HTTP/1.1\r\n" H "\r\n", 400),
    R("\r\rGET / HTTP/1.1\r\n" H "\r\n", 400),
    R("GET / HTTP/2.0\r\n" H "\r\n", 505),
    R("GET / HTTP/0.9\r\n" H "\r\n", 505),
    R("GET / HTTP/1.2\r\n" H "\r\n", 505),
    R("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    R("TRACE / HTTP/1.1\r\n" H "\r\n", 501),
    R("CONNECT h:1 HTTP/1.1\r\n" H "\r\n", 501),
    R("FOO / HTTP/1.1\r\n" H "\r\n", 501),
    R("get / HTTP/1.1\r\n" H "\r\n", 501),
    /* two opinions about the length */
    R("POST / HTTP/1.1\r\n" H "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      400),
    R("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n",
      400),
    R("POST / HTTP/1.1\r\n" H "Content-Length: 1\r\nContent-Length: 1\r\n\r\na", 400),
    R("POST / HTTP/1.1\r\n" H "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
    R("POST / HTTP/1.1\r\n" H "Content-Length: 1, 1\r\n\r\na", 400),
    R("POST / HTTP/1.1\r\n" H "Content-Length: +1\r\n\r\na", 400),
    R("POST / HTTP/1.1\r\n" H "Content-Length: -1\r\n\r\na", 400),
    R("POST / HTTP/1.1\r\n" H "Content-Length: 0x1\r\n\r\na", 400),
    R("POST / HTTP/1.1\r\n" H "Content-Length: 1 1\r\n\r\na", 400),
    R("POST / HTTP/1.1\r\n" H "Content-Length:\r\n\r\n", 400),
    R("POST / HTTP/1.1\r\n" H "Content-Length: 99999999999999999999\r\n\r\n", 400),
    R("POST / HTTP/1.1\r\n" H "Content-Length: 99999999999999999\r\n\r\n", 413),
    R("POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    R("POST / HTTP/1.1\r\n" H "Transfer-Encoding: identity\r\n\r\n", 501),
    R("POST / HTTP/1.1\r\n" H "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501),
    R("POST / HTTP/1.1\r\n" H "Transfer-Encoding: \x0b"
      "chunked\r\n\r\n0\r\n\r\n",
      400),
    R("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
      400),
    R("POST / HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
/* chunks */
#define CHUNKED "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
    R(CHUNKED "g\r\n", 400),
    R(CHUNKED "-1\r\n", 400),
    R(CHUNKED "0x1\r\na\r\n0\r\n\r\n", 400),
    R(CHUNKED "1 \r\na\r\n0\r\n\r\n", 400),
    R(CHUNKED "1\na\r\n0\r\n\r\n", 400),
    R(CHUNKED "1\r\na\n0\r\n\r\n", 400),
    R(CHUNKED "1\r\nab\r\n0\r\n\r\n", 400),
    R(CHUNKED "1\r\naXX0\r\n\r\n", 400),
    R(CHUNKED "1;\na\r\n0\r\n\r\n", 400),
    R(CHUNKED "\r\na\r\n0\r\n\r\n", 400),
    R(CHUNKED "10000000000000001\r\na\r\n0\r\n\r\n", 400),
    R(CHUNKED "ffffffffffffffff\r\na\r\n0\r\n\r\n", 413),
    R(CHUNKED "7ffffff\r\n", 413),
    /* expectations, encodings */
    R("POST / HTTP/1.1\r\n" H "Expect: 200-ok\r\nContent-Length: 1\r\n\r\na", 417),
    R("POST / HTTP/1.1\r\n" H "Content-Encoding: br\r\nContent-Length: 1\r\n\r\na", 501),
    R("POST / HTTP/1.1\r\n" H "Content-Encoding: gzip, gzip\r\nContent-Length: 1\r\n\r\na", 501),
    R("POST / HTTP/1.1\r\n" H "Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\na", 400),
    R("POST / HTTP/1.1\r\n" H "Content-Type: a\r\nContent-Type: b\r\n\r\n", 400),
};

TEST(what_could_mean_two_things_is_refused)
{
    for (size_t i = 0; i < COUNT_OF(refused); i++)
        expect_status(refused[i].request, refused[i].status);
}

TEST(what_is_refused_whole_is_refused_in_pieces)
{
    for (size_t i = 0; i < COUNT_OF(refused); i++) expect_scanner_agrees(refused[i].request);
}

TEST(other_ways_to_say_the_same_are_understood)
{
    expect_status(STR("GET / HTTP/1.1\r\nHost:\r\n\r\n"), 200);
    expect_status(STR("GET / HTTP/1.0\r\n\r\n"), 200);
    expect_status(STR("OPTIONS * HTTP/1.1\r\n" H "\r\n"), 200);
    expect_status(STR("GET http://x?q HTTP/1.1\r\n" H "\r\n"), 200);
    expect_status(STR("GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n"), 200);
    expect_status(STR("\r\n\r\nGET / HTTP/1.1\r\n" H "\r\n"), 200);
    expect_status(STR("POST / HTTP/1.1\r\n" H "Transfer-Encoding: Chunked\r\n\r\n0\r\n\r\n"), 200);
    expect_status(STR("GET / HTTP/1.1\r\n" H "Upgrade: h2c\r\nConnection: Upgrade\r\n\r\n"), 200);
}

/* --- limits -------------------------------------------------------------------------------------
 */

static void send_header_of(struct fixture *f, size_t size, bool in_target)
{
    struct buffer text;
    buffer_init(&text, 1 << 20);
    ADD(&text, "GET /");
    while (in_target && text.size < size) ADD(&text, "a");
    ADD(&text, " HTTP/1.1\r\nHost: h\r\nX: ");
    while (text.size + 4 < size) ADD(&text, "a");
    ADD(&text, "\r\n\r\n");
    (void)fixture_talk(f, buffer_view(&text));
    buffer_clear(&text);
}

TEST(header_size_has_a_limit)
{
    static const struct {
        size_t size;
        bool in_target;
        int status;
    } cases[] = {{16384, false, 200}, {16385, false, 431}, {40000, false, 431}, {40000, true, 414}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct fixture f;
        fixture_open(&f, &(struct http_server_options){0});
        send_header_of(&f, cases[i].size, cases[i].in_target);
        EXPECT_INT(status_of(buffer_text(&f.received)), cases[i].status);
        fixture_close(&f);
    }
}

TEST(field_count_has_a_limit)
{
    for (int count = HTTP_FIELDS_MAX - 1; count <= HTTP_FIELDS_MAX; count++) {
        struct buffer text;
        buffer_init(&text, 1 << 20);
        ADD(&text, "GET / HTTP/1.1\r\nHost: h\r\n");
        for (int i = 0; i < count; i++) buffer_add_format(&text, "X%d: a\r\n", i);
        ADD(&text, "\r\n");
        expect_status(buffer_view(&text), count < HTTP_FIELDS_MAX ? 200 : 431);
        buffer_clear(&text);
    }
}

TEST(chunk_count_has_a_limit)
{
    struct fixture f;
    fixture_open(&f, &(struct http_server_options){.chunk_count_max = 3});
    const char *answer = fixture_talk(&f, STR(CHUNKED "1\r\na\r\n1\r\na\r\n1\r\na\r\n0\r\n\r\n"));
    EXPECT_INT(status_of(answer), 200);
    buffer_reset(&f.received);
    answer = fixture_talk(&f, STR(CHUNKED "1\r\na\r\n1\r\na\r\n1\r\na\r\n1\r\na\r\n0\r\n\r\n"));
    EXPECT_INT(status_of(answer), 400);
    EXPECT(strstr(answer, "non-empty chunks"));
    fixture_close(&f);
}

TEST(trailers_are_bounded)
{
    struct fixture f;
    fixture_open(&f, &(struct http_server_options){0});
    fixture_send(&f, STR(CHUNKED "1\r\na\r\n0\r\n"));
    for (int i = 0; i < 2000 && !f.ended; i++) fixture_send(&f, STR("Trailer-Name: value\r\n"));
    fixture_turns(&f, 4);
    EXPECT_INT(status_of(buffer_text(&f.received)), 400);
    EXPECT_INT(f.requests, 0);
    fixture_close(&f);
}

TEST(body_size_has_a_limit_that_headers_may_change)
{
    struct fixture f;
    fixture_open(&f, &(struct http_server_options){.body_size_max = 100});
    f.body_limit = 2;
    EXPECT_INT(
        status_of(fixture_talk(&f, STR("POST / HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabc"))),
        413);
    EXPECT_INT(f.aborts, 1);
    EXPECT_INT(f.reject_status, 413);
    fixture_hang_up(&f);
    fixture_turns(&f, 2);
    fixture_connect(&f);
    EXPECT_INT(status_of(fixture_talk(&f, STR(CHUNKED "2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"))), 413);
    fixture_close(&f);
}

TEST(body_memory_has_a_limit)
{
    struct fixture f;
    fixture_open(&f, &(struct http_server_options){.body_memory_max = 50000});
    EXPECT_INT(
        status_of(fixture_talk(&f, STR("POST / HTTP/1.1\r\n" H "Content-Length: 60000\r\n\r\n"))),
        503);
    EXPECT_INT(f.server->body_memory, 0);
    fixture_close(&f);
}

/* --- bodies -------------------------------------------------------------------------------------
 */

static void send_post(struct fixture *f, const char *path, struct str body)
{
    struct buffer text;
    buffer_init(&text, (size_t)64 << 20);
    buffer_add_format(&text, "POST %s HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n", path,
                      body.size);
    buffer_add(&text, body);
    fixture_send(f, buffer_view(&text));
    buffer_clear(&text);
}

TEST(large_bodies_arrive_and_leave_whole)
{
    static const size_t sizes[] = {1, 30000, 32768, 33000, 100000, 3000000};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        struct fixture f;
        fixture_open(&f, &(struct http_server_options){0});
        send_post(&f, "/echo", fixture_large(sizes[i]));
        fixture_turns(&f, 200);
        struct str answer = buffer_view(&f.received);
        REQUIRE(answer.size > sizes[i]);
        EXPECT(str_equal(str_from(answer, answer.size - sizes[i]), fixture_large(sizes[i])));
        EXPECT_INT(f.server->body_memory, 0);
        fixture_close(&f);
    }
}

static uintptr_t aligned_at;
static void note_alignment(void *context, struct http_exchange *exchange)
{
    aligned_at = (uintptr_t)exchange->body.data + exchange->body_alignment_offset;
    fixture_request(context, exchange);
}

TEST(the_binary_section_is_aligned)
{
    static const size_t sizes[] = {40, 1000, 32700, 200000};
    struct http_handler handler = fixture_handler;
    handler.on_request = note_alignment;
    for (size_t i = 0; i < COUNT_OF(sizes); i++)
        for (size_t offset = 1; offset < 40; offset += 7) {
            struct fixture f;
            fixture_open(&f, &(struct http_server_options){0});
            f.server->handler = &handler;
            f.alignment = offset;
            send_post(&f, "/echo", fixture_large(sizes[i]));
            fixture_turns(&f, 40);
            EXPECT_INT(aligned_at % BODY_ALIGNMENT, 0);
            struct str answer = buffer_view(&f.received);
            REQUIRE(answer.size > sizes[i]);
            EXPECT(str_equal(str_from(answer, answer.size - sizes[i]), fixture_large(sizes[i])));
            fixture_close(&f);
        }
}

TEST(pipelined_bodies_are_aligned_too)
{
    struct http_handler handler = fixture_handler;
    handler.on_request = note_alignment;
    struct fixture f;
    fixture_open(&f, &(struct http_server_options){0});
    f.server->handler = &handler;
    f.alignment = 3;
    const char *answer =
        fixture_talk(&f, STR("POST / HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\n12345"
                             "POST / HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\n67890"));
    EXPECT_INT(count_of(answer, "12345"), 1);
    EXPECT_INT(count_of(answer, "67890"), 1);
    EXPECT_INT(aligned_at % BODY_ALIGNMENT, 0);
    fixture_close(&f);
}

static void send_encoded(struct fixture *f, enum coding coding, struct str content)
{
    struct buffer encoded, text;
    buffer_init(&encoded, 1 << 24);
    buffer_init(&text, 1 << 24);
    EXPECT(coding_encode(coding, 6, &content, 1, &encoded));
    buffer_add_format(&text,
                      "POST / HTTP/1.1\r\nHost: h\r\nContent-Encoding: %.*s\r\nContent-Length: "
                      "%zu\r\n\r\n",
                      STR_ARGS(coding_name(coding)), encoded.size);
    buffer_add(&text, buffer_view(&encoded));
    (void)fixture_talk(f, buffer_view(&text));
    buffer_clear(&encoded);
    buffer_clear(&text);
}

TEST(compressed_bodies_are_decoded)
{
    for (enum coding coding = CODING_GZIP; coding <= CODING_DEFLATE; coding++) {
        struct fixture f;
        fixture_open(&f, &(struct http_server_options){0});
        send_encoded(&f, coding, fixture_large(70000));
        fixture_turns(&f, 20);
        struct str answer = buffer_view(&f.received);
        REQUIRE(answer.size > 70000);
        EXPECT(str_equal(str_from(answer, answer.size - 70000), fixture_large(70000)));
        fixture_close(&f);
    }
}

TEST(a_compressed_bomb_is_refused)
{
    struct fixture f;
    fixture_open(&f, &(struct http_server_options){.body_size_max = 100000});
    send_encoded(&f, CODING_GZIP, fixture_large((size_t)8 << 20));
    EXPECT_INT(status_of(buffer_text(&f.received)), 413);
    EXPECT_INT(f.requests, 0);
    EXPECT_INT(f.server->body_memory, 0);
    fixture_close(&f);
}

TEST(continue_is_said_before_the_body)
{
    struct fixture f;
    fixture_open(&f, &(struct http_server_options){0});
    EXPECT_TEXT(fixture_talk(&f, STR("POST / HTTP/1.1\r\n" H "Expect: 100-Continue\r\n"
                                     "Content-Length: 2\r\n\r\n")),
                "HTTP/1.1 100 Continue\r\n\r\n");
    EXPECT_INT(status_of(strstr(fixture_talk(&f, STR("ab")), "HTTP/1.1 2")), 200);
    fixture_close(&f);
}

TEST(an_early_refusal_is_heard)
{
    struct fixture f;
    fixture_open(&f, &(struct http_server_options){0});
    fixture_send(&f, STR("POST /refuse HTTP/1.1\r\n" H "Expect: 100-continue\r\n"
                         "Content-Length: 1000000\r\n\r\n"));
    for (int i = 0; i < 10; i++) fixture_send(&f, fixture_large(50000));
    fixture_turns(&f, 4);
    EXPECT_INT(status_of(buffer_text(&f.received)), 403);
    EXPECT(strstr(buffer_text(&f.received), "{\"error\":\"not \\\"here\\\"\"}"));
    EXPECT_INT(f.requests, 0);
    EXPECT_INT(f.aborts, 0);
    fixture_hang_up(&f);
    fixture_turns(&f, 2);
    EXPECT_INT(counter_get(&f.server->counters.connections_open), 0);
    fixture_close(&f);
}

/* --- answers ------------------------------------------------------------------------------------
 */

TEST(versions_and_connections)
{
    struct fixture f;
    fixture_open(&f, &(struct http_server_options){.server_name = "s"});
    const char *answer = fixture_talk(&f, STR("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
    EXPECT(strstr(answer, "\r\nConnection: keep-alive\r\n"));
    EXPECT(strstr(answer, "\r\nServer: s\r\n"));
    EXPECT(!f.ended);
    buffer_reset(&f.received);
    EXPECT(strstr(fixture_talk(&f, STR("GET / HTTP/1.0\r\n\r\n")), "\r\nConnection: close\r\n"));
    EXPECT(f.ended);
    fixture_close(&f);
}

TEST(head_has_a_length_and_no_body)
{
    struct fixture f;
    fixture_open(&f, &(struct http_server_options){0});
    const char *answer = fixture_talk(&f, STR("HEAD /large HTTP/1.1\r\n" H "\r\n"));
    EXPECT(strstr(answer, "\r\nContent-Length: 100000\r\n"));
    EXPECT_TEXT(strstr(answer, "\r\n\r\n"), "\r\n\r\n");
    fixture_close(&f);
}

TEST(blobs_are_sent_from_where_they_are)
{
    struct fixture f;
    fixture_open(&f, &(struct http_server_options){0});
    (void)fixture_talk(&f, STR("GET /blobs HTTP/1.1\r\n" H "\r\n"));
    fixture_turns(&f, 100);
    size_t size = 10000 + 5 + ((size_t)3 << 20) + 3;
    struct str answer = buffer_view(&f.received);
    REQUIRE(answer.size > size);
    struct str body = str_from(answer, answer.size - size);
    EXPECT(str_equal((struct str){body.data, 10000}, fixture_large(10000)));
    EXPECT(str_equal((struct str){body.data + 10000, 5}, STR("small")));
    EXPECT(str_equal((struct str){body.data + 10005, (size_t)3 << 20},
                     fixture_large((size_t)3 << 20)));
    EXPECT(str_ends_with(body, STR("end")));
    EXPECT_INT(f.releases, 1);
    fixture_close(&f);
}

/* More is unsent than is allowed, for many turns; then the next request has its turn. */
TEST(what_follows_a_large_answer_is_answered)
{
    struct fixture f;
    fixture_open(&f, &(struct http_server_options){0});
    (void)fixture_talk(&f, STR("GET /blobs HTTP/1.1\r\n" H "\r\nGET /blobs HTTP/1.1\r\n" H "\r\n"
                               "GET / HTTP/1.1\r\n" H "\r\n"));
    fixture_turns(&f, 200);
    EXPECT_INT(f.requests, 3);
    EXPECT(str_ends_with(buffer_view(&f.received), STR(OK_EMPTY)));
    EXPECT_INT(f.releases, 2);
    fixture_close(&f);
}

TEST(blobs_are_released_when_nobody_reads)
{
    struct fixture f;
    fixture_open(&f, &(struct http_server_options){0});
    (void)send(f.client, "GET /blobs HTTP/1.1\r\nHost: h\r\n\r\n", 33, MSG_NOSIGNAL);
    for (int i = 0; i < 5; i++) loop_turn(f.loop, 0);
    EXPECT_INT(f.releases, 0);
    fixture_hang_up(&f);
    fixture_turns(&f, 3);
    EXPECT_INT(f.releases, 1);
    EXPECT_INT(counter_get(&f.server->counters.connections_open), 0);
    fixture_close(&f);
}

TEST(answers_are_compressed_if_that_is_accepted)
{
    struct fixture f;
    fixture_open(&f, &(struct http_server_options){.compression_size_min = 1000});
    const char *answer = fixture_talk(
        &f, STR("GET /large HTTP/1.1\r\n" H "Accept-Encoding: gzip;q=0.5, br\r\n\r\n"));
    EXPECT(strstr(answer, "\r\nContent-Encoding: gzip\r\n"));
    EXPECT(strstr(answer, "\r\nVary: Accept-Encoding\r\n"));
    EXPECT(f.received.size < 50000);
    buffer_reset(&f.received);
    answer = fixture_talk(&f, STR("GET /large HTTP/1.1\r\n" H "Accept-Encoding: gzip;q=0\r\n\r\n"));
    EXPECT(!strstr(answer, "Content-Encoding"));
    fixture_turns(&f, 20);
    EXPECT(f.received.size > 100000);
    fixture_close(&f);
}

TEST(answers_may_come_later_and_in_order)
{
    struct fixture f;
    fixture_open(&f, &(struct http_server_options){0});
    (void)fixture_talk(&f, STR("GET /later HTTP/1.1\r\n" H "\r\nGET /b HTTP/1.1\r\n" H "\r\n"));
    EXPECT_INT(f.requests, 1);
    EXPECT_INT(f.received.size, 0);
    REQUIRE(f.pending);
    http_respond_json(f.pending, 200, STR("first"));
    fixture_turns(&f, 1);
    EXPECT_TEXT(buffer_text(&f.received), HEAD_JSON "Content-Length: 5\r\n\r\nfirst" OK_EMPTY);
    fixture_close(&f);
}

TEST(a_held_exchange_outlives_answer_and_connection)
{
    struct fixture f;
    fixture_open(&f, &(struct http_server_options){0});
    (void)fixture_talk(&f, STR("POST /held HTTP/1.1\r\n" H "Content-Length: 4\r\n\r\nbody"
                               "GET / HTTP/1.1\r\n" H "\r\n"));
    REQUIRE(f.pending);
    http_respond_json(f.pending, 200, STR("x"));
    fixture_turns(&f, 2);
    EXPECT_INT(f.requests, 2);
    fixture_hang_up(&f);
    fixture_turns(&f, 2);
    EXPECT_STR(f.pending->body, STR("body"));
    EXPECT(arena_try_new(f.pending->arena, 10) != NULL);
    http_exchange_release(f.pending);
    fixture_close(&f);
}

TEST(a_held_exchange_outlives_the_server)
{
    struct fixture f;
    fixture_open(&f, &(struct http_server_options){0});
    (void)fixture_talk(&f, STR("POST /held HTTP/1.1\r\n" H "Content-Length: 4\r\n\r\nbody"));
    REQUIRE(f.pending);
    struct http_exchange *held = f.pending;
    http_server_free(f.server);
    f.server = NULL;
    EXPECT_INT(f.aborts, 1);
    http_respond_json(held, 200, STR("nobody hears"));
    EXPECT_STR(held->body, STR("body"));
    http_exchange_release(held);
    fixture_close(&f);
}

TEST(a_client_that_hangs_up_is_told_of)
{
    struct fixture f;
    fixture_open(&f, &(struct http_server_options){0});
    (void)fixture_talk(&f, STR("GET /later HTTP/1.1\r\n" H "\r\n"));
    fixture_hang_up(&f);
    fixture_turns(&f, 2);
    EXPECT_INT(f.aborts, 1);
    EXPECT_INT(counter_get(&f.server->counters.connections_open), 0);
    fixture_close(&f);
}

TEST(a_half_closed_client_gets_its_answer)
{
    struct fixture f;
    fixture_open(&f, &(struct http_server_options){0});
    (void)send(f.client, "GET / HTTP/1.1\r\nHost: h\r\n\r\n", 27, MSG_NOSIGNAL);
    (void)shutdown(f.client, SHUT_WR);
    fixture_turns(&f, 3);
    EXPECT_TEXT(buffer_text(&f.received), OK_EMPTY);
    EXPECT(f.ended);
    fixture_close(&f);
}

TEST(streams_are_chunked_and_drain)
{
    struct fixture f;
    fixture_open(&f, &(struct http_server_options){0});
    (void)fixture_talk(&f, STR("GET /stream HTTP/1.1\r\n" H "\r\n"));
    REQUIRE(f.pending);
    EXPECT(http_stream_write(f.pending, STR("hello")) > 0);
    http_stream_when_drained(f.pending, fixture_drained, &f);
    fixture_turns(&f, 1);
    EXPECT_INT(f.drains, 1);
    (void)http_stream_write(f.pending, STR(""));
    (void)http_stream_write(f.pending, fixture_large(20));
    http_stream_end(f.pending);
    (void)fixture_talk(&f, STR("GET / HTTP/1.1\r\n" H "\r\n"));
    const char *body = strstr(buffer_text(&f.received), "\r\n\r\n");
    REQUIRE(body);
    EXPECT_TEXT(body, "\r\n\r\n5\r\nhello\r\n14\r\nabcdefghijklmnopqrst\r\n0\r\n\r\n" OK_EMPTY);
    fixture_close(&f);
}

TEST(a_stream_that_is_cut_is_aborted)
{
    struct fixture f;
    fixture_open(&f, &(struct http_server_options){0});
    (void)fixture_talk(&f, STR("GET /stream HTTP/1.0\r\n\r\n"));
    REQUIRE(f.pending);
    http_exchange_hold(f.pending);
    EXPECT(!strstr(buffer_text(&f.received), "chunked"));
    fixture_hang_up(&f);
    fixture_turns(&f, 2);
    EXPECT_INT(f.aborts, 1);
    EXPECT(http_stream_write(f.pending, STR("x")) == SIZE_MAX);
    http_stream_end(f.pending);
    http_exchange_release(f.pending);
    fixture_close(&f);
}

TEST(a_field_from_a_request_cannot_end_its_line)
{
    struct fixture f;
    fixture_open(&f, &(struct http_server_options){0});
    (void)fixture_talk(&f, STR("GET /later HTTP/1.1\r\n" H "\r\n"));
    REQUIRE(f.pending);
    struct http_field field = {STR("X-Id"), STR("a\r\nSet-Cookie: b\n\n")};
    http_respond(f.pending,
                 &(struct http_response){.status = 204, .fields = &field, .field_count = 1});
    fixture_turns(&f, 1);
    EXPECT(strstr(buffer_text(&f.received), "\r\nX-Id: aSet-Cookie: b\r\n"));
    EXPECT(!strstr(buffer_text(&f.received), "Content-Length"));
    fixture_close(&f);
}

/* --- time ---------------------------------------------------------------------------------------
 */

TEST(slow_clients_are_cut)
{
    static const struct {
        struct str sent;
        uint64_t seconds;
        int status;
    } cases[] = {
        {{"", 0}, 75, -1},
        {{"G", 1}, 10, 408},
        {{"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\na", 47}, 30, 408},
        {{CHUNKED "5\r\na", sizeof CHUNKED + 3}, 30, 408},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct fixture f;
        fixture_open(&f, &(struct http_server_options){0});
        (void)fixture_talk(&f, cases[i].sent);
        clock_fake_advance(&f.clock, (cases[i].seconds - 1) * NS_PER_S);
        fixture_turns(&f, 2);
        EXPECT(!f.ended);
        clock_fake_advance(&f.clock, 2 * NS_PER_S);
        fixture_turns(&f, 3);
        EXPECT(f.ended);
        EXPECT_INT(status_of(buffer_text(&f.received)), cases[i].status);
        EXPECT_INT(counter_get(&f.server->counters.connections_timed_out), 1);
        fixture_close(&f);
    }
}

TEST(a_trickle_does_not_buy_time)
{
    struct fixture f;
    fixture_open(&f, &(struct http_server_options){0});
    (void)fixture_talk(&f, STR("POST / HTTP/1.1\r\n" H "Content-Length: 1000000\r\n\r\n"));
    int seconds = 0;
    for (; seconds < 100 && !f.ended; seconds++) {
        clock_fake_advance(&f.clock, NS_PER_S);
        fixture_send(&f, STR("x"));
        fixture_turns(&f, 2);
    }
    EXPECT(seconds >= 30 && seconds < 35);
    fixture_close(&f);
}

TEST(a_reader_that_does_not_read_is_cut)
{
    struct fixture f;
    fixture_open(&f, &(struct http_server_options){0});
    (void)send(f.client, "GET /blobs HTTP/1.1\r\nHost: h\r\n\r\n", 33, MSG_NOSIGNAL);
    for (int i = 0; i < 3; i++) loop_turn(f.loop, 0);
    clock_fake_advance(&f.clock, 31 * NS_PER_S);
    for (int i = 0; i < 3; i++) loop_turn(f.loop, 0);
    EXPECT_INT(counter_get(&f.server->counters.connections_open), 0);
    EXPECT_INT(f.releases, 1);
    fixture_close(&f);
}

TEST(the_date_moves_on)
{
    struct fixture f;
    fixture_open(&f, &(struct http_server_options){0});
    (void)fixture_talk(&f, STR("GET / HTTP/1.1\r\n" H "\r\n"));
    clock_fake_advance(&f.clock, 24 * NS_PER_S);
    buffer_reset(&f.received);
    EXPECT(strstr(fixture_talk(&f, STR("GET / HTTP/1.1\r\n" H "\r\n")),
                  "Date: Sun, 06 Nov 1994 08:50:01 GMT"));
    fixture_close(&f);
}

/* --- draining -----------------------------------------------------------------------------------
 */

static void hang_up(struct fixture *f)
{
    (void)close(f->client);
    f->client = -1;
    fixture_turns(f, 1);
}

TEST(draining_answers_what_is_in_flight)
{
    struct fixture f;
    fixture_open(&f, &(struct http_server_options){0});
    (void)fixture_talk(&f, STR("GET /later HTTP/1.1\r\n" H "\r\n"));
    http_server_drain(f.server, fixture_drained, &f);
    clock_fake_advance(&f.clock, NS_PER_S);
    fixture_turns(&f, 2);
    EXPECT_INT(f.drains, 0);
    http_respond_json(f.pending, 200, STR("{}"));
    fixture_turns(&f, 2);
    EXPECT(strstr(buffer_text(&f.received), "\r\nConnection: close\r\n"));
    EXPECT(f.ended);
    EXPECT_INT(f.drains, 0); /* it waits for the client's end, so that nothing is reset */
    hang_up(&f);
    EXPECT_INT(f.drains, 1);
    fixture_close(&f);
}

TEST(draining_an_idle_server_ends_at_once)
{
    struct fixture f;
    fixture_open(&f, &(struct http_server_options){0});
    hang_up(&f);
    http_server_drain(f.server, fixture_drained, &f);
    EXPECT_INT(f.drains, 1);
    fixture_close(&f);
}

TEST(draining_gives_an_idle_connection_time_for_one_more_request)
{
    struct fixture f;
    fixture_open(&f, &(struct http_server_options){.drain_idle_ns = NS_PER_S});
    (void)fixture_talk(&f, STR("GET / HTTP/1.1\r\n" H "\r\n"));
    http_server_drain(f.server, fixture_drained, &f);
    clock_fake_advance(&f.clock, NS_PER_S - 1);
    fixture_turns(&f, 2);
    EXPECT(!f.ended);
    buffer_reset(&f.received);
    (void)fixture_talk(&f, STR("GET / HTTP/1.1\r\n" H "\r\n"));
    EXPECT_INT(status_of(buffer_text(&f.received)), 200);
    EXPECT(strstr(buffer_text(&f.received), "\r\nConnection: close\r\n"));
    EXPECT(f.ended);
    hang_up(&f);
    EXPECT_INT(f.drains, 1);
    fixture_close(&f);
}

TEST(draining_ends_a_silent_connection_by_halves)
{
    struct fixture f;
    fixture_open(&f, &(struct http_server_options){.drain_idle_ns = NS_PER_S});
    http_server_drain(f.server, fixture_drained, &f);
    clock_fake_advance(&f.clock, NS_PER_S);
    fixture_turns(&f, 2);
    EXPECT(f.ended);
    EXPECT_INT(f.drains, 0);
    EXPECT(send(f.client, "GET", 3, MSG_NOSIGNAL) == 3); /* read, and thrown away */
    fixture_turns(&f, 2);
    EXPECT_INT(f.drains, 0);
    clock_fake_advance(&f.clock, NS_PER_S);
    fixture_turns(&f, 2);
    EXPECT_INT(f.drains, 1);
    fixture_close(&f);
}

TEST(a_request_that_arrives_at_the_last_moment_of_draining_is_answered)
{
    struct fixture f;
    fixture_open(&f, &(struct http_server_options){.drain_idle_ns = NS_PER_S});
    http_server_drain(f.server, fixture_drained, &f);
    (void)send(f.client, "GET / HTTP/1.1\r\nHost: h\r\n\r\n", 27, MSG_NOSIGNAL);
    clock_fake_advance(&f.clock, NS_PER_S);
    fixture_turns(&f, 2);
    EXPECT_INT(status_of(buffer_text(&f.received)), 200);
    hang_up(&f);
    EXPECT_INT(f.drains, 1);
    fixture_close(&f);
}

TEST(draining_answers_all_that_was_sent_in_one_go)
{
    struct fixture f;
    fixture_open(&f, &(struct http_server_options){0});
    http_server_drain(f.server, fixture_drained, &f);
    (void)fixture_talk(&f, STR("GET /1 HTTP/1.1\r\n" H "\r\nGET /2 HTTP/1.1\r\n" H
                               "\r\nGET /3 HTTP/1.1\r\n" H "\r\n"));
    EXPECT_INT(f.requests, 3);
    const char *close_field = strstr(buffer_text(&f.received), "\r\nConnection: close\r\n");
    EXPECT(close_field && !strstr(close_field, "200 OK")); /* the last says it */
    hang_up(&f);
    EXPECT_INT(f.drains, 1);
    fixture_close(&f);
}
