/* The server as a client sees it, over a socket pair, turn by turn. */
#include "http_fixture.h"
#include "net/http1.c"
#include "test.h"

#define HEAD_JSON                                                                                  \
    "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: application/json\r\n"
#define OK_EMPTY HEAD_JSON "Content-Length: 2\r\n\r\n{}"

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
