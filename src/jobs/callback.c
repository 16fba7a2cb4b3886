/* Rules and signatures of callbacks. */
#include "jobs/callback.h"

#include "base/hash.h"
#include "base/mem.h"
#include "base/num.h"

#define PRIVATE_SUFFIX "!private"

struct entry {
    char *text; /* what the views are of */
    struct callback_url url;
    bool any_place; /* a host alone: every port and path */
    bool below;     /* *.host */
    bool private;
};

struct callback_rules {
    struct entry *entries;
    size_t count;
};

/* --- URLs ------------------------------------------------------------------------------------- */

static bool is_host_byte(char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || byte == '-' || byte == '.' || byte == '_';
}

static bool is_host(struct str host)
{
    if (host.size == 0 || host.size > 253 || *host.data == '.') return false;
    for (size_t i = 0; i < host.size; i++)
        if (!is_host_byte(host.data[i])) return false;
    return true;
}

static bool is_ipv6(struct str host)
{
    if (host.size < 2 || host.size > 45) return false;
    for (size_t i = 0; i < host.size; i++) {
        char byte = host.data[i];
        bool hex = (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'f') ||
                   (byte >= 'A' && byte <= 'F');
        if (!hex && byte != ':' && byte != '.') return false;
    }
    return true;
}

/* "host", "host:port", "[address]:port". */
static bool read_authority(struct str text, struct callback_url *url)
{
    struct str port = {NULL, 0};
    uint64_t number = url->secure ? 443 : 80;
    if (text.size > 0 && *text.data == '[') {
        size_t end = str_find(text, ']');
        if (end == SIZE_MAX) return false;
        url->host = (struct str){text.data + 1, end - 1};
        if (!is_ipv6(url->host)) return false;
        struct str rest = str_from(text, end + 1);
        if (rest.size > 0 && *rest.data != ':') return false;
        if (rest.size > 0) port = str_from(rest, 1);
    } else {
        port = text;
        url->host = str_cut(&port, ':');
        if (!is_host(url->host)) return false;
    }
    if (port.data && (!num_read_u64(port, &number) || number < 1 || number > 65535)) return false;
    url->port = (uint16_t)number;
    return true;
}

static bool is_dot(struct str *text)
{
    if (text->size > 0 && *text->data == '.') {
        *text = str_from(*text, 1);
        return true;
    }
    if (text->size < 3 || !str_equal_ignoring_case((struct str){text->data, 3}, STR("%2e")))
        return false;
    *text = str_from(*text, 3);
    return true;
}

/* Bytes of a separator that the text begins with: "/", or what receivers may decode to one. */
static size_t separator_size(struct str text)
{
    if (*text.data == '/') return 1;
    if (text.size < 3) return 0;
    struct str start = {text.data, 3};
    return str_equal_ignoring_case(start, STR("%2f")) || str_equal_ignoring_case(start, STR("%5c"))
               ? 3
               : 0;
}

/* A segment of one or two dots, however written: it would lead out of the path that is allowed. */
static bool has_dot_segment(struct str path)
{
    struct str rest = path;
    struct str plain = str_cut(&rest, '?');
    while (plain.size > 0) {
        size_t separator = separator_size(plain);
        plain = str_from(plain, MAX(separator, (size_t)1));
        if (separator == 0) continue;
        struct str segment = plain;
        bool dot = is_dot(&segment);
        (void)(dot && is_dot(&segment)); /* a second one may follow */
        if (dot && (segment.size == 0 || separator_size(segment) > 0)) return true;
    }
    return false;
}

static bool is_plain_text(struct str text)
{
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] <= ' ' || text.data[i] > '~' || text.data[i] == '\\' ||
            text.data[i] == '#')
            return false;
    return true;
}

static bool take_scheme(struct str *text, bool *ret_secure)
{
    static const struct str secure = {"https://", 8}, plain = {"http://", 7};
    *ret_secure = text->size >= 8 && str_equal_ignoring_case((struct str){text->data, 8}, secure);
    if (!*ret_secure &&
        !(text->size >= 7 && str_equal_ignoring_case((struct str){text->data, 7}, plain)))
        return false;
    *text = str_from(*text, *ret_secure ? 8 : 7);
    return true;
}

static bool read_url(struct str text, struct callback_url *url)
{
    if (text.size > CALLBACK_URL_MAX || !is_plain_text(text) || !take_scheme(&text, &url->secure))
        return false;
    size_t end = 0;
    while (end < text.size && text.data[end] != '/' && text.data[end] != '?') end++;
    url->path = str_from(text, end);
    return read_authority((struct str){text.data, end}, url) && !has_dot_segment(url->path);
}

enum status callback_url_read(struct str text, struct callback_url *ret_url, struct error *err)
{
    struct callback_url url = {0};
    if (!read_url(text, &url))
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "callback '%.*s' is no plain URL: expected http(s)://host[:port][/path], "
                    "without user, fragment and dot segments",
                    (int)MIN(text.size, (size_t)256), text.data);
    *ret_url = url;
    return STATUS_OK;
}

/* --- rules ------------------------------------------------------------------------------------ */

static bool read_host_entry(struct str text, struct entry *entry)
{
    entry->any_place = true;
    entry->url.secure = true;
    entry->below = str_starts_with(text, STR("*."));
    entry->url.host = entry->below ? str_from(text, 2) : text;
    return is_host(entry->url.host);
}

static enum status read_entry(const char *given, struct entry *entry, struct error *err)
{
    entry->text = mem_copy_text(given);
    struct str text = str_trim(str_of(entry->text));
    entry->private = str_ends_with(text, STR(PRIVATE_SUFFIX));
    if (entry->private) text.size -= strlen(PRIVATE_SUFFIX);
    text = str_trim(text);
    bool good = memmem(text.data, text.size, "://", 3) ? read_url(text, &entry->url)
                                                       : read_host_entry(text, entry);
    if (good) return STATUS_OK;
    return fail(err, STATUS_INVALID_ARGUMENT,
                "jobs.callback_allow has '%s': expected https://host/path, a host, or *.host, with "
                "'!private' behind it for addresses that are not public",
                given);
}

enum status callback_rules_new(const char *const *entries, size_t count,
                               struct callback_rules **ret_rules, struct error *err)
{
    if (count > CALLBACK_ENTRIES_MAX)
        return fail(err, STATUS_INVALID_ARGUMENT, "jobs.callback_allow has %zu entries, at most %d",
                    count, CALLBACK_ENTRIES_MAX);
    struct callback_rules *rules = MEM_NEW(struct callback_rules);
    rules->entries = MEM_NEW_ARRAY(struct entry, count + 1);
    for (size_t i = 0; i < count; i++) {
        rules->count = i + 1;
        if (read_entry(entries[i], &rules->entries[i], err) == STATUS_OK) continue;
        callback_rules_free(rules);
        return STATUS_INVALID_ARGUMENT;
    }
    *ret_rules = rules;
    return STATUS_OK;
}

void callback_rules_free(struct callback_rules *rules)
{
    if (!rules) return;
    for (size_t i = 0; i < rules->count; i++) mem_free(rules->entries[i].text);
    mem_free(rules->entries);
    mem_free(rules);
}

static bool host_fits(const struct entry *entry, struct str host)
{
    if (!entry->below) return str_equal_ignoring_case(entry->url.host, host);
    size_t size = entry->url.host.size;
    if (host.size <= size + 1 || host.data[host.size - size - 1] != '.') return false;
    return str_equal_ignoring_case(entry->url.host, str_from(host, host.size - size));
}

/* "/a" holds "/a", "/a/b" and "/a?b", not "/ab". */
static bool path_fits(struct str allowed, struct str path)
{
    if (allowed.size == 0) return true;
    if (!str_starts_with(path, allowed)) return false;
    if (path.size == allowed.size || allowed.data[allowed.size - 1] == '/') return true;
    char next = path.data[allowed.size];
    return next == '/' || next == '?';
}

static bool entry_fits(const struct entry *entry, const struct callback_url *url)
{
    if (entry->url.secure != url->secure || !host_fits(entry, url->host)) return false;
    return entry->any_place ||
           (entry->url.port == url->port && path_fits(entry->url.path, url->path));
}

enum status callback_rules_check(const struct callback_rules *rules, struct str text,
                                 bool *ret_private, struct error *err)
{
    struct callback_url url;
    TRY(callback_url_read(text, &url, err));
    bool found = false, private = false;
    for (size_t i = 0; rules && i < rules->count; i++) {
        if (!entry_fits(&rules->entries[i], &url)) continue;
        found = true;
        private = private || rules->entries[i].private;
    }
    if (!found)
        return fail(err, STATUS_PERMISSION_DENIED,
                    "callback '%.*s' is not allowed: no entry of jobs.callback_allow fits",
                    (int)MIN(text.size, (size_t)256), text.data);
    *ret_private = private;
    return STATUS_OK;
}

/* --- signatures ------------------------------------------------------------------------------- */

void callback_sign(struct str secret, uint64_t seconds, struct str body,
                   char ret_text[CALLBACK_SIGNATURE_SIZE])
{
    struct buffer signed_text;
    uint8_t digest[SHA256_SIZE];
    char hex[SHA256_HEX_SIZE];
    buffer_init(&signed_text, body.size + 32);
    buffer_add_u64(&signed_text, seconds);
    buffer_add_byte(&signed_text, '.');
    buffer_add(&signed_text, body);
    assert(!buffer_failed(&signed_text));
    hmac_sha256(secret, buffer_view(&signed_text), digest);
    buffer_clear(&signed_text);
    sha256_hex(digest, hex);
    (void)snprintf(ret_text, CALLBACK_SIGNATURE_SIZE, "t=%llu,v1=%s", (unsigned long long)seconds,
                   hex);
}
