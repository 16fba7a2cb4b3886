/*
 * Where a service is asked: region and address, as set, from the environment, or AWS's own.
 *
 *   char *region = NULL, *url = NULL;
 *   TRY(aws_region_find(NULL, &region, err));                   // owned by the caller: mem_free
 *   TRY(aws_endpoint_find("sqs", region, NULL, &url, err));     //
 * "https://sqs.eu-west-3.amazonaws.com"
 *
 * Reads the environment and the profile's file; nothing else.
 */
#ifndef AWS_ENDPOINT_H
#define AWS_ENDPOINT_H

#include "base/str.h"

/*
 * `given` if it is not NULL, else $AWS_REGION, $AWS_DEFAULT_REGION, the profile's. INVALID_ARGUMENT
 * if there is none, or it is no name of one.
 */
enum status aws_region_find(const char *given, char **ret_region, struct error *err) FALLIBLE;

/*
 * http(s)://host[:port], no slash at its end: `given`, else $AWS_ENDPOINT_URL_SERVICE,
 * $AWS_ENDPOINT_URL (both unless $AWS_IGNORE_CONFIGURED_ENDPOINT_URLS is "true"), else AWS's own.
 * INVALID_ARGUMENT if it is no such address.
 */
enum status aws_endpoint_find(const char *service, const char *region, const char *given,
                              char **ret_url, struct error *err) FALLIBLE;

/* What stands in the header Host of requests to it: without the scheme's own port. */
struct str aws_endpoint_host(const char *url);

#endif
