/*
 * One AWS service in one region: requests are signed, sent, and asked again where that helps.
 *
 *   struct aws_client *sqs;
 *   TRY(aws_client_new(&(struct aws_client_options){.service = "sqs", .credentials = credentials},
 *                      &sqs, err));
 *   struct aws_reply reply;
 *   enum status status = aws_json_call(sqs, &(struct aws_json_request){
 *           .target = "AmazonSQS.SendMessage", .body = json}, arena, &reply, err);
 *   if (status != STATUS_OK && str_equal(reply.code, STR("QueueDoesNotExist"))) ...
 *   aws_client_free(sqs);
 *
 * Any thread, several at once: each call has a connection of its own, which is kept for the next
 * (AWS_CLIENT_IDLE_MAX of them). Calls block.
 *
 * What is asked again (aws/retry.h): throttling, the service's own trouble, no answer or half of
 * one, keys that are over (fetched anew first), and a clock that differs from the service's (its
 * own is used from then on, by this client). So a request may reach the service more than once:
 * whoever sends what must not happen twice says so to the service (conditions, deduplication ids).
 * Waiting ends with the call's time, or when `stop` becomes true.
 *
 * Failures are the service's, as a status of ours:
 *
 *   NOT_FOUND            no such queue, table, key, bucket
 *   FAILED_PRECONDITION  a condition did not hold
 *   INVALID_ARGUMENT     any other complaint about the request (4xx)
 *   PERMISSION_DENIED    this key may not;  UNAUTHENTICATED: there is no key, or a wrong one
 *   EXHAUSTED            throttled to the end
 *   UNAVAILABLE, DEADLINE_EXCEEDED    no answer, or the service's own trouble, to the end
 *   CANCELLED            `stop`
 */
#ifndef AWS_CLIENT_H
#define AWS_CLIENT_H

#include "aws/answer.h"
#include "aws/credentials.h"
#include "aws/sigv4.h"
#include "net/client_web.h"

enum {
    AWS_CLIENT_IDLE_MAX = 64,   /* connections that are kept while nobody uses them */
    AWS_CLIENT_FIELDS_MAX = 16, /* headers of a request */
    AWS_CLIENT_ATTEMPTS = 3,    /* the first counted in */
};

struct aws_client;

struct aws_client_options {
    const char *service;  /* as in signatures: "sqs", "dynamodb", "s3", "monitoring", "states" */
    const char *region;   /* NULL: $AWS_REGION, $AWS_DEFAULT_REGION, the profile's */
    const char *endpoint; /* http(s)://host[:port]; NULL: $AWS_ENDPOINT_URL_SERVICE,
                             $AWS_ENDPOINT_URL, AWS's own */
    struct aws_credentials *credentials; /* borrowed; NULL: requests are not signed */
    struct clock *clock;                 /* borrowed; NULL: the system's */
    unsigned attempts_max;               /* 0: AWS_CLIENT_ATTEMPTS */
    /* Waits between attempts; NULL: the thread sleeps. For tests. */
    void (*pause)(void *context, uint64_t ns);
    void *pause_context;
};

struct aws_request {
    const char *method;               /* NULL: "POST" */
    struct str path;                  /* percent-encoded; empty: "/" */
    struct str query;                 /* percent-encoded, without '?' */
    const struct sigv4_field *fields; /* without Host and what signing adds */
    size_t field_count;
    struct str body;
    uint64_t timeout_ns;         /* of all attempts and pauses; 0: 60 s */
    uint64_t attempt_timeout_ns; /* of one; 0: 10 s */
    size_t reply_size_max;       /* 0: 16 MiB */
    bool json;                   /* an answer that is no JSON is half of one */
    /* Takes the body of an answer 200 or 206 in pieces; `begin` comes before each attempt. */
    client_web_sink_function *sink;
    void (*begin)(void *context);
    void *sink_context;
    const _Atomic bool *stop; /* NULL: never */
};

struct aws_json_request {
    const char *target;  /* "AmazonSQS.SendMessage" */
    const char *version; /* NULL: "1.0"; "1.1" */
    struct str body;
    uint64_t timeout_ns; /* as above, and those below */
    uint64_t attempt_timeout_ns;
    size_t reply_size_max;
    const _Atomic bool *stop;
};

/* INVALID_ARGUMENT: no region, or an endpoint that is none. Connects to nobody. */
enum status aws_client_new(const struct aws_client_options *options, struct aws_client **ret_client,
                           struct error *err) FALLIBLE;

/* No call is on its way any more. Accepts NULL. */
void aws_client_free(struct aws_client *client);

/* OK: an answer of 2xx. `reply` is set in any case, also if the call fails: to what was answered
 * last. */
enum status aws_client_call(struct aws_client *client, const struct aws_request *request,
                            struct arena *arena, struct aws_reply *reply,
                            struct error *err) FALLIBLE;

/* The protocols AwsJson1.0 and 1.1. */
enum status aws_json_call(struct aws_client *client, const struct aws_json_request *request,
                          struct arena *arena, struct aws_reply *reply, struct error *err) FALLIBLE;

/*
 * The protocol Query: `form` is "Action=Publish&Version=...&...", its values encoded by
 * sigv4_encode. The answer is XML: see aws_xml_text.
 */
enum status aws_query_call(struct aws_client *client, struct str form, struct arena *arena,
                           struct aws_reply *reply, struct error *err) FALLIBLE;

const char *aws_client_region(const struct aws_client *client);

#endif
