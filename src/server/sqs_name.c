/* URLs and ARNs. */
#include "server/sqs_name.h"

enum {
    ADDRESS_SIZE_MAX = 2048, /* of a URL that is looked at */
    ARN_PARTS = 6,
};

static struct str join(struct arena *arena, const struct str *parts, size_t count)
{
    size_t size = 0;
    for (size_t i = 0; i < count; i++) size += parts[i].size;
    char *text = arena_try_aligned(arena, size + 1, 1);
    if (!text) return (struct str){NULL, 0};
    char *at = text;
    for (size_t i = 0; i < count; i++) {
        if (parts[i].size) memcpy(at, parts[i].data, parts[i].size);
        at += parts[i].size;
    }
    return (struct str){text, size};
}

struct str sqs_url_of(const struct sqs_site *site, struct str queue, struct arena *arena)
{
    const struct str parts[] = {site->scheme,  STR("://"), site->host, STR("/"),
                                site->account, STR("/"),   queue};
    return join(arena, parts, COUNT_OF(parts));
}

struct str sqs_arn_of(const struct sqs_site *site, struct str queue, struct arena *arena)
{
    const struct str parts[] = {STR("arn:aws:sqs:"), site->region, STR(":"),
                                site->account,       STR(":"),     queue};
    return join(arena, parts, COUNT_OF(parts));
}

bool sqs_name_is_fifo(struct str name)
{
    return str_ends_with(name, STR(".fifo"));
}

bool sqs_name_is_valid(struct str name)
{
    if (name.size == 0 || name.size > QUEUE_NAME_MAX) return false;
    struct str stem = name;
    if (sqs_name_is_fifo(name)) stem.size -= 5;
    if (stem.size == 0) return false;
    for (size_t i = 0; i < stem.size; i++) {
        char byte = stem.data[i];
        bool letter = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
        if (!letter && !(byte >= '0' && byte <= '9') && byte != '-' && byte != '_') return false;
    }
    return true;
}

enum status sqs_queue_of_url(struct str url, struct str *ret_queue, struct sqs_failure *failure)
{
    if (url.size == 0) return sqs_fail_missing(failure, "QueueUrl");
    if (url.size > ADDRESS_SIZE_MAX)
        return SQS_FAIL(failure, INVALID_ADDRESS,
                        "The address is longer than %d bytes and not valid for this endpoint.",
                        ADDRESS_SIZE_MAX);
    size_t start = url.size;
    while (start > 0 && url.data[start - 1] != '/') start--;
    struct str name = str_from(url, start);
    if (!sqs_name_is_valid(name))
        return SQS_FAIL(failure, QUEUE_DOES_NOT_EXIST, "The specified queue does not exist.");
    *ret_queue = name;
    return STATUS_OK;
}

bool sqs_queue_of_arn(struct str arn, struct str *ret_queue)
{
    struct str parts[ARN_PARTS], rest = arn;
    for (size_t i = 0; i < ARN_PARTS; i++) {
        if (!rest.data) return false;
        parts[i] = str_cut(&rest, ':');
    }
    if (rest.data || !str_equal(parts[0], STR("arn")) || !str_equal(parts[2], STR("sqs")) ||
        !sqs_name_is_valid(parts[5]))
        return false;
    *ret_queue = parts[5];
    return true;
}
