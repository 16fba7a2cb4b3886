/*
 * Callback URLs and the lists that allow them. The input is lines: the first is the URL, the others
 * are entries of a list. A URL that is taken is the same when it is put together again, and a fixed
 * list allows none that a second, simpler look at its parts does not.
 */
#include "base/mem.h"
#include "jobs/callback.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ENTRIES_MAX = 16 };

static const char *const fixed[] = {"https://hooks.example.com/jobs", "*.example.org",
                                    "http://10.0.0.5:9000/h!private"};

static bool has(struct str text, const char *part)
{
    return text.size > 0 && memmem(text.data, text.size, part, strlen(part)) != NULL;
}

static void check_again(const struct callback_url *url)
{
    char text[2 * CALLBACK_URL_MAX];
    struct callback_url again;
    struct error err;
    bool ipv6 = memchr(url->host.data, ':', url->host.size) != NULL;
    bool bracketed = ipv6 || url->host.data[-1] == '[';
    int size = snprintf(text, sizeof text, "http%s://%s%.*s%s:%u%.*s", url->secure ? "s" : "",
                        bracketed ? "[" : "", STR_ARGS(url->host), bracketed ? "]" : "", url->port,
                        STR_ARGS(url->path));
    if (size > CALLBACK_URL_MAX) return; /* the port was not written before */
    if (callback_url_read((struct str){text, (size_t)size}, &again, &err) != STATUS_OK) abort();
    if (again.secure != url->secure || again.port != url->port ||
        !str_equal(again.host, url->host) || !str_equal(again.path, url->path))
        abort();
}

/* As a receiver may see the path: decoded, and then its dots resolved. */
static void check_decoded(struct str path)
{
    char text[CALLBACK_URL_MAX];
    size_t size = 0;
    uint64_t byte;
    for (size_t i = 0; i < path.size; i++, size++) {
        text[size] = path.data[i];
        if (path.data[i] != '%' || i + 2 >= path.size) continue;
        const char digits[] = {path.data[i + 1], path.data[i + 2], '\0'};
        if (strspn(digits, "0123456789abcdefABCDEF") != 2) continue;
        byte = 0;
        for (int k = 0; k < 2; k++)
            byte = byte * 16 +
                   (uint64_t)(digits[k] <= '9' ? digits[k] - '0' : (digits[k] | 32) - 'a' + 10);
        text[size] = byte == '\\' ? '/' : (char)byte;
        i += 2;
    }
    struct str decoded = {text, size};
    if (has(decoded, "/../") || has(decoded, "/./") || str_ends_with(decoded, STR("/..")) ||
        str_ends_with(decoded, STR("/.")))
        abort();
}

static void check_url(const struct callback_url *url)
{
    struct str path = url->path;
    if (url->host.size == 0 || url->port == 0) abort();
    if (has(url->host, "@") || has(url->host, "/") || has(url->host, "\\")) abort();
    if (path.size > 0 && *path.data != '/' && *path.data != '?') abort();
    if (has(path, "#") || has(path, " ") || has(path, "\r") || has(path, "\n")) abort();
    check_decoded(str_cut(&path, '?'));
    check_again(url);
}

static bool may_be(const struct callback_url *url)
{
    struct str host = url->host;
    if (url->secure && url->port == 443 && str_equal_ignoring_case(host, STR("hooks.example.com")))
        return str_starts_with(url->path, STR("/jobs"));
    if (!url->secure)
        return url->port == 9000 && str_equal(host, STR("10.0.0.5")) &&
               str_starts_with(url->path, STR("/h"));
    return host.size > 12 &&
           str_equal_ignoring_case(str_from(host, host.size - 12), STR(".example.org"));
}

static void check_fixed(struct str text)
{
    struct callback_rules *rules;
    struct callback_url url;
    struct error err;
    bool private = false;
    if (callback_rules_new(fixed, COUNT_OF(fixed), &rules, &err) != STATUS_OK) abort();
    if (callback_rules_check(rules, text, &private, &err) == STATUS_OK) {
        if (callback_url_read(text, &url, &err) != STATUS_OK || !may_be(&url)) abort();
        if (private == url.secure) abort(); /* only the last entry may, and only it is plain */
    }
    callback_rules_free(rules);
}

static void check_list(struct str text, struct str rest)
{
    char *entries[ENTRIES_MAX];
    struct callback_rules *rules = NULL;
    struct error err;
    size_t count = 0;
    bool private;
    for (; rest.data && count < ENTRIES_MAX; count++) {
        struct str line = str_cut(&rest, '\n');
        entries[count] = mem_format("%.*s", STR_ARGS(line));
    }
    if (callback_rules_new((const char *const *)entries, count, &rules, &err) == STATUS_OK)
        (void)!callback_rules_check(rules, text, &private, &err);
    else if (err.status != STATUS_INVALID_ARGUMENT)
        abort();
    callback_rules_free(rules);
    for (size_t i = 0; i < count; i++) mem_free(entries[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = {(const char *)data, size};
    struct callback_url url;
    struct error err;
    if (size == 0 || size > 16384) return 0;
    struct str text = str_cut(&rest, '\n');
    if (callback_url_read(text, &url, &err) == STATUS_OK)
        check_url(&url);
    else if (err.status != STATUS_INVALID_ARGUMENT)
        abort();
    check_fixed(text);
    check_list(text, rest);
    return 0;
}
