#include "net/client_web.c"
#include "test.h"

static bool is_public(const char *text)
{
    struct sockaddr_in ipv4 = {.sin_family = AF_INET};
    struct sockaddr_in6 ipv6 = {.sin6_family = AF_INET6};
    if (inet_pton(AF_INET, text, &ipv4.sin_addr) == 1)
        return client_web_is_public((const struct sockaddr *)&ipv4);
    EXPECT(inet_pton(AF_INET6, text, &ipv6.sin6_addr) == 1);
    return client_web_is_public((const struct sockaddr *)&ipv6);
}

TEST(addresses_that_are_not_public)
{
    static const char *const inside[] = {
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "10.255.255.255",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.1",
        "192.0.2.1",
        "192.168.0.1",
        "192.168.255.255",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.7",
        "203.0.113.9",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fc00::1",
        "fd00:ec2::254",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::ffff:10.1.1.1",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "2001:10::1",
        "3fff::1",
        "100::1",
        "fec0::1",
        "64:ff9b:1::1",
    };
    for (size_t i = 0; i < COUNT_OF(inside); i++)
        if (is_public(inside[i])) test_failed(__FILE__, __LINE__, "%s is public", inside[i]);
}

TEST(addresses_that_are_public)
{
    static const char *const outside[] = {
        "1.1.1.1",      "9.255.255.255", "11.0.0.0",    "100.63.255.255",       "100.128.0.0",
        "126.255.0.1",  "128.0.0.1",     "169.253.0.1", "172.15.255.255",       "172.32.0.0",
        "192.167.1.1",  "192.169.0.0",   "198.17.0.1",  "198.20.0.1",           "223.255.255.255",
        "2606:4700::1", "2a00:1450::1",  "2001:200::1", "::ffff:93.184.216.34",
    };
    for (size_t i = 0; i < COUNT_OF(outside); i++)
        if (!is_public(outside[i])) test_failed(__FILE__, __LINE__, "%s is not", outside[i]);
}

TEST(other_families_are_not_public)
{
    struct sockaddr local = {.sa_family = AF_UNIX};
    EXPECT(!client_web_is_public(&local));
}

static enum status post(const char *url, bool private, struct error *err)
{
    struct client_web *web;
    int status = 0;
    TRY(client_web_start(err));
    TRY(client_web_new(&web, err));
    const struct client_web_request request = {
        .url = url, .body = STR("{}"), .private_is_allowed = private, .timeout_ns = 2 * NS_PER_S};
    enum status outcome = client_web_post(web, &request, &status, err);
    client_web_free(web);
    return outcome;
}

TEST(names_of_this_host_are_refused_before_a_packet_is_sent)
{
    static const char *const urls[] = {
        "http://127.0.0.1:1/",
        "http://localhost:1/",
        "http://[::1]:1/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://127.1/",
        "http://0/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::ffff:127.0.0.1]/",
    };
    struct error err;
    for (size_t i = 0; i < COUNT_OF(urls); i++)
        if (post(urls[i], false, &err) != STATUS_PERMISSION_DENIED)
            test_failed(__FILE__, __LINE__, "%s: %s", urls[i], err.message);
    EXPECT_STATUS(post("http://127.0.0.1:1/", true, &err), STATUS_UNAVAILABLE, err); /* refused */
}

TEST(other_schemes_are_not_spoken)
{
    static const char *const urls[] = {"file:///etc/passwd", "ftp://127.0.0.1/",
                                       "dict://127.0.0.1/", "gopher://127.0.0.1/"};
    struct error err;
    for (size_t i = 0; i < COUNT_OF(urls); i++)
        EXPECT_STATUS(post(urls[i], true, &err), STATUS_UNAVAILABLE, err);
}
