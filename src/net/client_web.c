/* libcurl, with as little freedom as it can be given. */
#include "net/client_web.h"

#include "base/library.h"
#include "base/mem.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <sys/socket.h>

enum { TIMEOUT_MS = 10000, REPLY_SIZE_MAX = 64 * 1024 };

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
    bool private_is_allowed;
    bool refused; /* an address was */
    size_t received;
    size_t reply_size_max;
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
    if (!web->private_is_allowed && !client_web_is_public(&address->addr)) {
        web->refused = true;
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static size_t forget(char *data UNUSED, size_t size, size_t count, void *context)
{
    struct client_web *web = context;
    web->received += size * count;
    return web->received > web->reply_size_max ? 0 : size * count;
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
    *ret_web = web;
    return STATUS_OK;
}

void client_web_free(struct client_web *web)
{
    if (!web) return;
    lib.curl_easy_cleanup(web->curl);
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
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)MAX(timeout_ms / 2, UINT64_C(1)));
    /* A connection that is kept was checked for the request before: each gets its own. */
    SET(CURLOPT_FORBID_REUSE, 1L);
    return !failed;
}

static bool set_request(struct client_web *web, const struct client_web_request *request,
                        struct curl_slist *fields)
{
    CURL *curl = web->curl;
    bool failed = false;
    SET(CURLOPT_URL, request->url);
    SET(CURLOPT_POST, 1L);
    SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.size);
    SET(CURLOPT_POSTFIELDS, request->body.data);
    SET(CURLOPT_HTTPHEADER, fields);
    SET(CURLOPT_ERRORBUFFER, web->message);
    SET(CURLOPT_OPENSOCKETFUNCTION, open_socket);
    SET(CURLOPT_OPENSOCKETDATA, web);
    SET(CURLOPT_WRITEFUNCTION, forget);
    SET(CURLOPT_WRITEDATA, web);
    return !failed;
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
    enum status status =
        code == CURLE_OPERATION_TIMEDOUT ? STATUS_DEADLINE_EXCEEDED : STATUS_UNAVAILABLE;
    return fail(err, status, "%s", *web->message ? web->message : lib.curl_easy_strerror(code));
}

enum status client_web_post(struct client_web *web, const struct client_web_request *request,
                            int *ret_status, struct error *err)
{
    struct curl_slist *fields;
    long status = 0;
    if (!list_fields(request, &fields))
        return fail(err, STATUS_EXHAUSTED, "no memory for a request");
    web->private_is_allowed = request->private_is_allowed;
    web->refused = false;
    web->received = 0;
    web->reply_size_max = request->reply_size_max ? request->reply_size_max : REPLY_SIZE_MAX;
    *web->message = '\0';
    lib.curl_easy_reset(web->curl);
    CURLcode code = CURLE_FAILED_INIT;
    if (set_limits(web->curl, request) && set_request(web, request, fields))
        code = lib.curl_easy_perform(web->curl);
    if (code == CURLE_OK) code = lib.curl_easy_getinfo(web->curl, CURLINFO_RESPONSE_CODE, &status);
    lib.curl_slist_free_all(fields);
    if (code != CURLE_OK) return explain(web, code, err);
    *ret_status = (int)status;
    return STATUS_OK;
}
