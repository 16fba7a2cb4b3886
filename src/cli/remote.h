/*
 * A server, as commands talk to it: an HTTP client, a URL's prefix, and failures with the server's
 * own words.
 *
 *   struct remote *remote;
 *   TRY(remote_open("http://127.0.0.1:8080", 60 * NS_PER_S, &remote, err));
 *   struct str body;
 *   TRY(remote_get(remote, "/v2/models/x", &body, err));      // valid until the next request
 *   remote_close(remote);
 *
 * One thread.
 */
#ifndef CLI_REMOTE_H
#define CLI_REMOTE_H

#include "net/client.h"
#include "protocol/infer.h"

struct remote;

/* Does not connect yet. `timeout_ns` is for one request. */
enum status remote_open(const char *url, uint64_t timeout_ns, struct remote **ret_remote,
                        struct error *err) FALLIBLE;
void remote_close(struct remote *remote);

/* The request with the URL's own path before request->path; any status is success. */
enum status remote_send(struct remote *remote, const struct client_request *request,
                        struct client_response *ret_response, struct error *err) FALLIBLE;

/* GET and POST of JSON; an answer that is not 200 is a failure with the server's message. */
enum status remote_get(struct remote *remote, const char *path, struct str *ret_body,
                       struct error *err) FALLIBLE;
enum status remote_post(struct remote *remote, const char *path, struct str body,
                        struct str *ret_body, struct error *err) FALLIBLE;

/* The failure that an answer is: the text of {"error":...} and the status that belongs to it. */
enum status remote_fail(const struct client_response *response, struct error *err);

/* "/v2/models/NAME[/versions/VERSION]SUFFIX", the name percent-encoded; owned (mem_free). */
char *remote_model_path(struct str name, struct str version, const char *suffix);

/* Appends "?NAME=VALUE" to a path, or "&..." to one that has a query; nothing if the value is
 * empty. */
void remote_add_parameter(struct buffer *path, const char *name, struct str value);

/* The model's metadata as a specification; memory from the arena. Shapes as the server tells them:
 * the first dimension is taken for the batch's if it is -1 in every input. */
enum status remote_spec(struct remote *remote, struct str name, struct str version,
                        struct arena *arena, struct infer_spec *ret_spec,
                        struct error *err) FALLIBLE;

#endif
