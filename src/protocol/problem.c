/* Failures as bodies. */
#include "protocol/problem.h"

#include "base/json.h"

enum { BODY_SHOWN_MAX = 200, ARENA_MAX = 64 * 1024 };

void problem_write(struct buffer *out, const char *message)
{
    buffer_add(out, STR("{\"error\":"));
    json_print_string(out, str_of(message));
    buffer_add_byte(out, '}');
}

/* Several statuses share an HTTP status; the first of these is what it most likely was. */
static enum status status_of_http(int http_status)
{
    static const enum status order[] = {
        STATUS_INVALID_ARGUMENT, STATUS_UNAUTHENTICATED, STATUS_PERMISSION_DENIED,
        STATUS_NOT_FOUND,        STATUS_ABORTED,         STATUS_INTERNAL,
        STATUS_UNIMPLEMENTED,    STATUS_UNAVAILABLE,     STATUS_DEADLINE_EXCEEDED,
    };
    for (size_t i = 0; i < COUNT_OF(order); i++)
        if (status_http(order[i]) == http_status) return order[i];
    if (http_status == 429) return STATUS_EXHAUSTED;
    return http_status >= 400 && http_status < 500 ? STATUS_INVALID_ARGUMENT : STATUS_UNKNOWN;
}

/* The text of the member `error`; false if the body is not such an object. */
static bool find_message(struct str body, struct arena *arena, struct str *ret_message)
{
    struct json_reader reader;
    struct error ignored;
    bool found = false;
    json_reader_init(&reader, body, arena);
    if (json_open_object(&reader, &ignored) != STATUS_OK) return false;
    for (;;) {
        struct str key;
        bool more;
        if (json_next_member(&reader, &key, &more, &ignored) != STATUS_OK) return false;
        if (!more) return found;
        bool wanted = str_equal(key, STR("error")) && json_peek(&reader) == JSON_STRING;
        enum status status = wanted ? json_read_string(&reader, ret_message, &ignored)
                                    : json_skip(&reader, &ignored);
        if (status != STATUS_OK) return false;
        found |= wanted;
    }
}

enum status problem_read(struct str body, int http_status, struct error *err)
{
    struct arena arena CLEANUP(arena_clear);
    arena_init(&arena, ARENA_MAX);
    enum status status = status_of_http(http_status);
    struct str message;
    if (find_message(body, &arena, &message))
        return fail(err, status, "%.*s", (int)MIN(message.size, (size_t)ERROR_MESSAGE_SIZE),
                    message.data);
    struct buffer shown CLEANUP(buffer_clear);
    buffer_init(&shown, BODY_SHOWN_MAX * 8);
    json_print_string(&shown, (struct str){body.data, MIN(body.size, (size_t)BODY_SHOWN_MAX)});
    return fail(err, status, "the server answered with HTTP status %d and %s", http_status,
                buffer_text(&shown));
}
