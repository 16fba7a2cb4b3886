#include "jobs/callback.c"
#include "test.h"

static bool is_url(const char *text)
{
    struct callback_url url;
    struct error err;
    return callback_url_read(str_of(text), &url, &err) == STATUS_OK;
}

TEST(plain_urls_have_parts)
{
    struct callback_url url;
    struct error err;
    REQUIRE(callback_url_read(STR("https://hooks.example.com:8443/a/b?c=d"), &url, &err) ==
            STATUS_OK);
    EXPECT(url.secure);
    EXPECT_STR(url.host, STR("hooks.example.com"));
    EXPECT_INT(url.port, 8443);
    EXPECT_STR(url.path, STR("/a/b?c=d"));
    REQUIRE(callback_url_read(STR("http://[::1]"), &url, &err) == STATUS_OK);
    EXPECT(!url.secure);
    EXPECT_STR(url.host, STR("::1"));
    EXPECT_INT(url.port, 80);
    EXPECT_STR(url.path, STR_EMPTY);
    REQUIRE(callback_url_read(STR("HTTPS://a?x"), &url, &err) == STATUS_OK);
    EXPECT_INT(url.port, 443);
    EXPECT_STR(url.path, STR("?x"));
}

TEST(what_is_no_plain_url_is_refused)
{
    static const char *const texts[] = {
        "",
        "example.com",
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://127.0.0.1:6379/_x",
        "https://",
        "https:///path",
        "https://user@example.com/",
        "https://user:word@example.com/",
        "https://good.com@evil.com/",
        "https://evil.com\\@good.com/",
        "https://good.com#@evil.com/",
        "https://a b/",
        "https://a/b c",
        "https://a/\r\nX: y",
        "https://a:0/",
        "https://a:65536/",
        "https://a:/",
        "https://a:80x/",
        "https://[::1",
        "https://[::1]x/",
        "https://[fe80::1%25eth0]/",
        "https://.example.com/",
        "https://ex%61mple.com/",
        "https://a/../b",
        "https://a/b/..",
        "https://a/%2e%2E/b",
        "https://a/.%2e/b",
        "https://a/b/..%2fc",
        "https://a/b%2F..",
        "https://a/b%5c.%2e/c",
        "https://a/./b",
        "https://a/%2e",
        "https://a\x7f/",
        "https://\xc3\xa4.example/",
    };
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        if (is_url(texts[i])) test_failed(__FILE__, __LINE__, "'%s' is taken", texts[i]);
    EXPECT(is_url("https://a/..b"));
    EXPECT(is_url("https://a/b..c/...?d=../e"));
}

static bool allows(const char *entry, const char *url, bool *private)
{
    struct callback_rules *rules;
    struct error err;
    EXPECT_STATUS(callback_rules_new(&entry, 1, &rules, &err), STATUS_OK, err);
    *private = false;
    bool good = callback_rules_check(rules, str_of(url), private, &err) == STATUS_OK;
    callback_rules_free(rules);
    return good;
}

TEST(entries_and_what_they_allow)
{
    static const struct {
        const char *entry, *url;
        bool allowed;
    } cases[] = {
        {"https://a.com/hooks", "https://a.com/hooks", true},
        {"https://a.com/hooks", "https://A.com/hooks/1", true},
        {"https://a.com/hooks", "https://a.com/hooks?x=1", true},
        {"https://a.com/hooks", "https://a.com/hooksevil", false},
        {"https://a.com/hooks", "https://a.com/other", false},
        {"https://a.com/hooks/", "https://a.com/hooks", false},
        {"https://a.com/hooks/", "https://a.com/hooks/x", true},
        {"https://a.com/hooks", "http://a.com/hooks", false},
        {"https://a.com/hooks", "https://a.com:444/hooks", false},
        {"https://a.com:443/hooks", "https://a.com/hooks", true},
        {"https://a.com", "https://a.com.evil.com/", false},
        {"https://a.com", "https://a.com/any?thing", true},
        {"a.com", "https://a.com:9000/x", true},
        {"a.com", "http://a.com/x", false},
        {"a.com", "https://b.a.com/x", false},
        {"*.a.com", "https://b.a.com/x", true},
        {"*.a.com", "https://c.b.a.com/x", true},
        {"*.a.com", "https://a.com/x", false},
        {"*.a.com", "https://evila.com/x", false},
        {"http://127.0.0.1:9000", "http://127.0.0.1:9000/x", true},
    };
    bool private;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        if (allows(cases[i].entry, cases[i].url, &private) != cases[i].allowed)
            test_failed(__FILE__, __LINE__, "'%s' and '%s'", cases[i].entry, cases[i].url);
}

TEST(private_addresses_are_asked_for)
{
    bool private;
    EXPECT(allows("http://127.0.0.1:9000!private", "http://127.0.0.1:9000/x", &private) && private);
    EXPECT(allows("a.com !private", "https://a.com/x", &private) && private);
    EXPECT(allows("a.com", "https://a.com/x", &private) && !private);
}

TEST(no_rules_allow_nothing)
{
    struct error err;
    bool private;
    EXPECT_STATUS(callback_rules_check(NULL, STR("https://a.com/"), &private, &err),
                  STATUS_PERMISSION_DENIED, err);
}

TEST(wrong_entries_are_named)
{
    static const char *const entries[] = {"", "https://", "a b", "ftp://a", "https://u@a", "*."};
    for (size_t i = 0; i < COUNT_OF(entries); i++) {
        struct callback_rules *rules;
        struct error err;
        if (callback_rules_new(&entries[i], 1, &rules, &err) == STATUS_INVALID_ARGUMENT) continue;
        test_failed(__FILE__, __LINE__, "'%s' is taken", entries[i]);
    }
}

TEST(signatures_are_those_of_openssl)
{
    /* printf '%s' '1700000000.{"a":1}' | openssl dgst -sha256 -hmac secret */
    char text[CALLBACK_SIGNATURE_SIZE];
    callback_sign(STR("secret"), 1700000000, STR("{\"a\":1}"), text);
    EXPECT_TEXT(text,
                "t=1700000000,v1=49f24e537407743fa4a0242bb63b94b9a47ee99cbbe071ccd8a22550ae411686");
}
