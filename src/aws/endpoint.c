/* Names of services, regions and hosts. */
#include "aws/endpoint.h"

#include "aws/profile_files.h"
#include "base/mem.h"
#include "config/environment.h"

enum { REGION_SIZE_MAX = 64, URL_SIZE_MAX = 1024, VARIABLE_SIZE = 64 };

static const char *variable(const char *name)
{
    const char *value = environment_get(name);
    return value && *value ? value : NULL;
}

static bool is_name(struct str text)
{
    for (size_t i = 0; i < text.size; i++) {
        char byte = text.data[i];
        if (!(byte >= 'a' && byte <= 'z') && !(byte >= '0' && byte <= '9') && byte != '-')
            return false;
    }
    return text.size > 0 && text.size <= REGION_SIZE_MAX;
}

enum status aws_region_find(const char *given, char **ret_region, struct error *err)
{
    const char *region = given && *given ? given : variable("AWS_REGION");
    if (!region) region = variable("AWS_DEFAULT_REGION");
    char *found CLEANUP(mem_freep) = region ? mem_copy_text(region) : NULL;
    if (!found) TRY(aws_profile_region(&found, err));
    if (!found)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "no AWS region is set: set AWS_REGION, to eu-west-3 for example");
    if (!is_name(str_of(found)))
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "'%.64s' is no AWS region: those look like eu-west-3", found);
    *ret_region = TAKE(found);
    return STATUS_OK;
}

/* --- endpoints ---------------------------------------------------------------------------------
 */

/* The service in AWS_ENDPOINT_URL_...; most are their name in capitals. */
static const struct {
    const char *service;
    const char *suffix;
} suffixes[] = {{"monitoring", "CLOUDWATCH"}, {"states", "SFN"}};

static const char *configured(const char *service)
{
    char name[VARIABLE_SIZE];
    const char *suffix = service, *ignored = variable("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS");
    if (ignored && str_equal_ignoring_case(str_of(ignored), STR("true"))) return NULL;
    for (size_t i = 0; i < COUNT_OF(suffixes); i++)
        if (strcmp(suffixes[i].service, service) == 0) suffix = suffixes[i].suffix;
    (void)snprintf(name, sizeof name, "AWS_ENDPOINT_URL_%s", suffix);
    for (char *at = name; *at; at++)
        if (*at >= 'a' && *at <= 'z') *at = (char)(*at - ('a' - 'A'));
    const char *url = variable(name);
    return url ? url : variable("AWS_ENDPOINT_URL");
}

static struct str behind_scheme(struct str url)
{
    if (str_starts_with(url, STR("https://"))) return str_from(url, strlen("https://"));
    if (str_starts_with(url, STR("http://"))) return str_from(url, strlen("http://"));
    return (struct str){NULL, 0};
}

/* A host and perhaps a port: no path, no name and password, nothing that ends a header. */
static bool is_endpoint(struct str url)
{
    struct str host = behind_scheme(url);
    for (size_t i = 0; i < host.size; i++)
        if ((unsigned char)host.data[i] <= ' ' || (unsigned char)host.data[i] > '~' ||
            strchr("/?#@\\\"", host.data[i]))
            return false;
    return host.size > 0 && url.size <= URL_SIZE_MAX;
}

static struct str without_slash(struct str url)
{
    if (str_ends_with(url, STR("/"))) url.size--;
    return url;
}

enum status aws_endpoint_find(const char *service, const char *region, const char *given,
                              char **ret_url, struct error *err)
{
    const char *url = given && *given ? given : configured(service);
    if (!url) {
        const char *end = strncmp(region, "cn-", 3) == 0 ? ".cn" : "";
        *ret_url = mem_format("https://%s.%s.amazonaws.com%s", service, region, end);
        return STATUS_OK;
    }
    struct str text = without_slash(str_of(url));
    if (!is_endpoint(text))
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "'%.128s' is no address of an AWS service: those are http(s)://host or "
                    "http(s)://host:port",
                    url);
    *ret_url = str_copy(text);
    return STATUS_OK;
}

struct str aws_endpoint_host(const char *url)
{
    struct str text = str_of(url), host = behind_scheme(text);
    bool secure = str_starts_with(text, STR("https:"));
    struct str port = secure ? STR(":443") : STR(":80");
    if (str_ends_with(host, port)) host.size -= port.size;
    return host;
}
