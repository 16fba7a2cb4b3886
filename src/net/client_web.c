/* libcurl, with as little freedom as it can be given. */
#include "net/client_web.h"

#include "base/library.h"
#include "base/mem.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <sys/socket.h>

enum {
    TIMEOUT_MS = 10000,
    REPLY_SIZE_MAX = 64 * 1024,
    KEPT_SIZE_MAX = 1024 * 1024, /* of a buffer that is kept between requests */
    CONNECTION_AGE_S = 20,       /* idle; services close theirs after this or later */
};

/* Plain functions, not the header's macros around them. */
#undef curl_easy_setopt
#undef curl_easy_getinfo

#define CURL_FUNCTIONS(X)                                                                          \
    X(curl_easy_cleanup)                                                                           \
    X(curl_easy_getinfo)                                                                           \
    X(curl_easy_init)                                                                              \
    X(curl_easy_perform)                                                                           \
    X(curl_easy_reset)                                                                             \
    X(curl_easy_setopt)                                                                            \
    X(curl_easy_strerror)                                                                          \
    X(curl_global_init)                                                                            \
    X(curl_slist_append)                                                                           \
    X(curl_slist_free_all)

static struct {
    LIBRARY_MEMBERS(CURL_FUNCTIONS)
} lib;

#define ROW(name) {#name, &lib.name},
static const struct library_function functions[] = {CURL_FUNCTIONS(ROW)};

struct client_web {
    CURL *curl;
    char message[CURL_ERROR_SIZE];
    const struct client_web_request *request; /* the present one */
    bool refused;                             /* an address was */
    bool sink_ended;                          /* the sink wants no more */
    bool keeps_reply;
    size_t received;
    size_t reply_size_max;
    struct buffer head; /* "name: value" of the answer, as offsets in `places` say */
    struct buffer body;
    struct place {
        size_t name, name_size, value, value_size;
    } places[CLIENT_WEB_REPLY_FIELDS_MAX];
    size_t place_count;
    struct client_web_field fields[CLIENT_WEB_REPLY_FIELDS_MAX];
};

/* --- addresses -------------------------------------------------------------------------------- */

struct range {
    uint32_t network;
    unsigned bits;
};

#define IPV4(a, b, c, d)                                                                           \
    ((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (uint32_t)(d))

/* IANA's special-purpose registry, and what it leaves to multicast and the future. */
static const struct range special[] = {
    {IPV4(0, 0, 0, 0), 8},       {IPV4(10, 0, 0, 0), 8},     {IPV4(100, 64, 0, 0), 10},
    {IPV4(127, 0, 0, 0), 8},     {IPV4(169, 254, 0, 0), 16}, {IPV4(172, 16, 0, 0), 12},
    {IPV4(192, 0, 0, 0), 24},    {IPV4(192, 0, 2, 0), 24},   {IPV4(192, 31, 196, 0), 24},
    {IPV4(192, 52, 193, 0), 24}, {IPV4(192, 88, 99, 0), 24}, {IPV4(192, 168, 0, 0), 16},
    {IPV4(192, 175, 48, 0), 24}, {IPV4(198, 18, 0, 0), 15},  {IPV4(198, 51, 100, 0), 24},
    {IPV4(203, 0, 113, 0), 24},  {IPV4(224, 0, 0, 0), 4},    {IPV4(240, 0, 0, 0), 4},
};

static bool is_public_ipv4(uint32_t address)
{
    for (size_t i = 0; i < COUNT_OF(special); i++)
        if ((address ^ special[i].network) >> (32 - special[i].bits) == 0) return false;
    return true;
}

static bool begins_with(const uint8_t *address, const char *prefix, size_t size)
{
    return memcmp(address, prefix, size) == 0;
}

/* Of IPv6 only 2000::/3 is global; in it are ranges for protocols, examples and 6to4. */
static bool is_public_ipv6(const uint8_t address[16])
{
    static const char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, '\xff', '\xff'};
    if (begins_with(address, mapped, sizeof mapped))
        return is_public_ipv4(IPV4(address[12], address[13], address[14], address[15]));
    if (address[0] >> 5 != 1) return false;
    bool protocols = begins_with(address, "\x20\x01", 2) && address[2] < 2;
    bool examples = begins_with(address, "\x20\x01\x0d\xb8", 4) ||
                    (begins_with(address, "\x3f\xff", 2) && address[2] < 0x10);
    bool six_to_four = begins_with(address, "\x20\x02", 2);
    return !protocols && !examples && !six_to_four;
}

bool client_web_is_public(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        struct sockaddr_in ipv4;
        memcpy(&ipv4, address, sizeof ipv4);
        return is_public_ipv4(ntohl(ipv4.sin_addr.s_addr));
    }
    if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 ipv6;
        memcpy(&ipv6, address, sizeof ipv6);
        return is_public_ipv6(ipv6.sin6_addr.s6_addr);
    }
    return false;
}

/* --- what curl calls -------------------------------------------------------------------------- */

static curl_socket_t open_socket(void *context, curlsocktype purpose UNUSED,
                                 struct curl_sockaddr *address)
{
    struct client_web *web = context;
    if (!web->request->private_is_allowed && !client_web_is_public(&address->addr)) {
        web->refused = true;
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static bool is_whole_or_part(struct client_web *web)
{
    long status = 0;
    return lib.curl_easy_getinfo(web->curl, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK &&
           (status == 200 || status == 206);
}

static size_t take_body(char *data, size_t size, size_t count, void *context)
{
    struct client_web *web = context;
    struct str bytes = {data, size * count};
    web->received += bytes.size;
    if (web->received > web->reply_size_max) return 0;
    if (web->request->sink && is_whole_or_part(web)) {
        web->sink_ended = !web->request->sink(web->request->sink_context, bytes);
        return web->sink_ended ? 0 : bytes.size;
    }
    if (web->keeps_reply) buffer_add(&web->body, bytes);
    return buffer_failed(&web->body) ? 0 : bytes.size;
}

static struct str without_line_end(struct str line)
{
    while (line.size > 0 && (line.data[line.size - 1] == '\n' || line.data[line.size - 1] == '\r'))
        line.size--;
    return line;
}

static void note_field(struct client_web *web, struct str line)
{
    size_t colon = str_find(line, ':'), start = web->head.size;
    if (colon == SIZE_MAX || web->place_count == CLIENT_WEB_REPLY_FIELDS_MAX) return;
    struct str name = str_trim((struct str){line.data, colon});
    struct str value = str_trim(str_from(line, colon + 1));
    buffer_add(&web->head, name);
    buffer_add(&web->head, value);
    web->places[web->place_count++] =
        (struct place){start, name.size, start + name.size, value.size};
}

/* A status line begins an answer: what an interim one (100) had in its head is not the answer's. */
static size_t take_head(char *data, size_t size, size_t count, void *context)
{
    struct client_web *web = context;
    struct str line = without_line_end((struct str){data, size * count});
    if (!web->keeps_reply) return size * count;
    if (str_starts_with(line, STR("HTTP/"))) {
        web->place_count = 0;
        buffer_reset(&web->head);
    } else {
        note_field(web, line);
    }
    return buffer_failed(&web->head) ? 0 : size * count;
}

static int look_at_stop(void *context, curl_off_t a UNUSED, curl_off_t b UNUSED,
                        curl_off_t c UNUSED, curl_off_t d UNUSED)
{
    const struct client_web *web = context;
    return web->request->stop && atomic_load(web->request->stop);
}

/* --- the request ------------------------------------------------------------------------------ */

enum status client_web_start(struct error *err)
{
    TRY(library_load("libcurl.so.4", "libcurl4", functions, COUNT_OF(functions), err));
    if (lib.curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK) return STATUS_OK;
    return fail(err, STATUS_INTERNAL, "libcurl does not start");
}

enum status client_web_new(struct client_web **ret_web, struct error *err)
{
    CURL *curl = lib.curl_easy_init();
    if (!curl) return fail(err, STATUS_EXHAUSTED, "no memory for a client of the web");
    struct client_web *web = MEM_NEW(struct client_web);
    web->curl = curl;
    buffer_init(&web->head, CLIENT_WEB_REPLY_HEAD_MAX);
    buffer_init(&web->body, 0);
    *ret_web = web;
    return STATUS_OK;
}

void client_web_free(struct client_web *web)
{
    if (!web) return;
    lib.curl_easy_cleanup(web->curl);
    buffer_clear(&web->head);
    buffer_clear(&web->body);
    mem_free(web);
}

/* The options have types of their own for each; a failure of one is a failure of the request. */
#define SET(option, value) failed |= lib.curl_easy_setopt(curl, (option), (value)) != CURLE_OK

static bool set_limits(CURL *curl, const struct client_web_request *request)
{
    bool failed = false;
    uint64_t timeout_ms = request->timeout_ns ? request->timeout_ns / NS_PER_MS : TIMEOUT_MS;
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_TIMEOUT_MS, (long)MAX(timeout_ms, UINT64_C(1)));
    uint64_t connect_ms =
        request->connect_timeout_ns ? request->connect_timeout_ns / NS_PER_MS : timeout_ms / 2;
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)MAX(MIN(connect_ms, timeout_ms), UINT64_C(1)));
    /* A connection that is kept was checked for the request before: else each gets its own. */
    SET(CURLOPT_FORBID_REUSE, request->keeps_connection ? 0L : 1L);
    SET(CURLOPT_FRESH_CONNECT, request->keeps_connection ? 0L : 1L);
    SET(CURLOPT_MAXAGE_CONN, (long)CONNECTION_AGE_S);
    return !failed;
}

static bool set_method(CURL *curl, const struct client_web_request *request)
{
    const char *method = request->method ? request->method : "POST";
    bool failed = false;
    if (strcmp(method, "HEAD") == 0) {
        SET(CURLOPT_NOBODY, 1L);
        return !failed;
    }
    if (request->body.data || strcmp(method, "POST") == 0) {
        SET(CURLOPT_POST, 1L);
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.size);
        SET(CURLOPT_POSTFIELDS, request->body.data ? request->body.data : "");
    }
    SET(CURLOPT_CUSTOMREQUEST, method);
    return !failed;
}

static bool set_request(struct client_web *web, const struct client_web_request *request,
                        struct curl_slist *fields)
{
    CURL *curl = web->curl;
    bool failed = false;
    SET(CURLOPT_URL, request->url);
    SET(CURLOPT_PATH_AS_IS, 1L); /* signatures are over the path as it is */
    SET(CURLOPT_HTTPHEADER, fields);
    SET(CURLOPT_ERRORBUFFER, web->message);
    SET(CURLOPT_OPENSOCKETFUNCTION, open_socket);
    SET(CURLOPT_OPENSOCKETDATA, web);
    SET(CURLOPT_WRITEFUNCTION, take_body);
    SET(CURLOPT_WRITEDATA, web);
    SET(CURLOPT_HEADERFUNCTION, take_head);
    SET(CURLOPT_HEADERDATA, web);
    SET(CURLOPT_XFERINFOFUNCTION, look_at_stop);
    SET(CURLOPT_XFERINFODATA, web);
    SET(CURLOPT_NOPROGRESS, request->stop ? 0L : 1L);
    return !failed && set_method(curl, request);
}

static bool list_fields(const struct client_web_request *request, struct curl_slist **list)
{
    assert(request->field_count <= CLIENT_WEB_FIELDS_MAX);
    /* No wait for "100 Continue", which many receivers do not send. */
    *list = lib.curl_slist_append(NULL, "Expect:");
    for (size_t i = 0; *list && i < request->field_count; i++) {
        struct curl_slist *longer = lib.curl_slist_append(*list, request->fields[i]);
        if (!longer) lib.curl_slist_free_all(*list);
        *list = longer;
    }
    return *list != NULL;
}

static enum status explain(const struct client_web *web, CURLcode code, struct error *err)
{
    if (web->refused)
        return fail(err, STATUS_PERMISSION_DENIED,
                    "its name leads to an address of this host or of a private network");
    if (web->received > web->reply_size_max)
        return fail(err, STATUS_UNAVAILABLE, "its answer is longer than %zu bytes",
                    web->reply_size_max);
    if (buffer_failed(&web->head))
        return fail(err, STATUS_UNAVAILABLE, "its answer's head is longer than %d bytes",
                    CLIENT_WEB_REPLY_HEAD_MAX);
    if (code == CURLE_ABORTED_BY_CALLBACK)
        return fail(err, STATUS_CANCELLED, "the request was given up");
    if (web->sink_ended) return fail(err, STATUS_EXHAUSTED, "its answer could not be kept");
    enum status status =
        code == CURLE_OPERATION_TIMEDOUT ? STATUS_DEADLINE_EXCEEDED : STATUS_UNAVAILABLE;
    return fail(err, status, "%s", *web->message ? web->message : lib.curl_easy_strerror(code));
}

static void prepare(struct client_web *web, const struct client_web_request *request,
                    bool keeps_reply)
{
    assert(!request->keeps_connection || request->private_is_allowed);
    web->request = request;
    web->refused = web->sink_ended = false;
    web->keeps_reply = keeps_reply;
    web->received = 0;
    web->reply_size_max = request->reply_size_max ? request->reply_size_max : REPLY_SIZE_MAX;
    web->place_count = 0;
    buffer_reset(&web->head);
    if (web->body.capacity > KEPT_SIZE_MAX) buffer_clear(&web->body);
    buffer_reset(&web->body);
    web->body.ceiling = web->reply_size_max;
    *web->message = '\0';
    lib.curl_easy_reset(web->curl);
}

static enum status perform(struct client_web *web, const struct client_web_request *request,
                           int *ret_status, struct error *err)
{
    struct curl_slist *fields;
    long status = 0;
    if (!list_fields(request, &fields))
        return fail(err, STATUS_EXHAUSTED, "no memory for a request");
    CURLcode code = CURLE_FAILED_INIT;
    if (set_limits(web->curl, request) && set_request(web, request, fields))
        code = lib.curl_easy_perform(web->curl);
    if (code == CURLE_OK) code = lib.curl_easy_getinfo(web->curl, CURLINFO_RESPONSE_CODE, &status);
    lib.curl_slist_free_all(fields);
    if (code != CURLE_OK) return explain(web, code, err);
    *ret_status = (int)status;
    return STATUS_OK;
}

enum status client_web_post(struct client_web *web, const struct client_web_request *request,
                            int *ret_status, struct error *err)
{
    prepare(web, request, false);
    return perform(web, request, ret_status, err);
}

enum status client_web_call(struct client_web *web, const struct client_web_request *request,
                            struct client_web_reply *ret_reply, struct error *err)
{
    int status;
    prepare(web, request, true);
    TRY(perform(web, request, &status, err));
    const char *head = buffer_view(&web->head).data;
    for (size_t i = 0; i < web->place_count; i++) {
        const struct place *place = &web->places[i];
        web->fields[i] = (struct client_web_field){{head + place->name, place->name_size},
                                                   {head + place->value, place->value_size}};
    }
    *ret_reply =
        (struct client_web_reply){status, web->fields, web->place_count, buffer_view(&web->body)};
    return STATUS_OK;
}

struct str client_web_reply_field(const struct client_web_reply *reply, struct str name)
{
    for (size_t i = 0; i < reply->field_count; i++)
        if (str_equal_ignoring_case(reply->fields[i].name, name)) return reply->fields[i].value;
    return (struct str){NULL, 0};
}
