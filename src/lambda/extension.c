/* Registered for nothing but SIGTERM. */
#include "lambda/extension.h"

#include "base/log.h"
#include "base/mem.h"
#include "net/client.h"

#include <pthread.h>

/* The Init phase has 10 s. */
#define REGISTER_NS (2 * NS_PER_S)
#define WAIT_NS (UINT64_C(366) * 86400 * NS_PER_S)

struct lambda_extension {
    char *address;
    int stop;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool settled; /* under the lock: registered, or not to be */
};

static void client_freep(struct client **client)
{
    client_free(*client);
}

static enum status connect_to(const struct lambda_extension *extension, uint64_t timeout_ns,
                              struct client **ret_client, struct error *err)
{
    char *host CLEANUP(mem_freep) = NULL;
    char *url CLEANUP(mem_freep) = mem_format("http://%s", extension->address);
    uint16_t port;
    struct str path;
    TRY(client_parse_url(url, &host, &port, &path, err));
    const struct client_options options = {.host = host,
                                           .port = port,
                                           .timeout_ns = timeout_ns,
                                           .connect_timeout_ns = REGISTER_NS,
                                           .body_size_max = 1 << 20,
                                           .stop_descriptor = extension->stop};
    return client_new(&options, ret_client, err);
}

/* The identifier of who registered, owned. */
static enum status enlist(const struct lambda_extension *extension, char **ret_identifier,
                          struct error *err)
{
    struct client *client CLEANUP(client_freep) = NULL;
    const struct client_field name = {STR("Lambda-Extension-Name"), STR("slipway")};
    const struct client_request request = {.method = "POST",
                                           .path = "/2020-01-01/extension/register",
                                           .content_type = "application/json",
                                           .fields = &name,
                                           .field_count = 1,
                                           .body = STR("{\"events\":[]}")};
    struct client_response response;
    TRY(connect_to(extension, REGISTER_NS, &client, err));
    TRY(client_request(client, &request, &response, err));
    struct str identifier = client_response_field(&response, STR("Lambda-Extension-Identifier"));
    if (response.status != 200 || !identifier.data)
        return fail(err, STATUS_UNIMPLEMENTED, "the Extensions API answered %d", response.status);
    *ret_identifier = str_copy(identifier);
    return STATUS_OK;
}

static void settle(struct lambda_extension *extension)
{
    (void)pthread_mutex_lock(&extension->lock);
    extension->settled = true;
    (void)pthread_cond_broadcast(&extension->changed);
    (void)pthread_mutex_unlock(&extension->lock);
}

/* Init does not end before every extension waits for an event; none will ever come. */
static enum status wait_for_ever(const struct lambda_extension *extension, const char *identifier,
                                 struct error *err)
{
    struct client *client CLEANUP(client_freep) = NULL;
    const struct client_field field = {STR("Lambda-Extension-Identifier"), str_of(identifier)};
    const struct client_request request = {
        .path = "/2020-01-01/extension/event/next", .fields = &field, .field_count = 1};
    struct client_response response;
    TRY(connect_to(extension, WAIT_NS, &client, err));
    return client_request(client, &request, &response, err);
}

static void *run(void *context)
{
    struct lambda_extension *extension = context;
    char *identifier CLEANUP(mem_freep) = NULL;
    struct error err;
    enum status status = enlist(extension, &identifier, &err);
    settle(extension);
    if (status == STATUS_OK) status = wait_for_ever(extension, identifier, &err);
    if (status != STATUS_OK && status != STATUS_CANCELLED)
        log_debug("no extension, and so no SIGTERM before the end", LOG_TEXT("error", err.message));
    return NULL;
}

struct lambda_extension *lambda_extension_start(const char *address, int stop)
{
    struct lambda_extension *extension = MEM_NEW(struct lambda_extension);
    extension->address = mem_copy_text(address);
    extension->stop = stop;
    (void)pthread_mutex_init(&extension->lock, NULL);
    (void)pthread_cond_init(&extension->changed, NULL);
    if (pthread_create(&extension->thread, NULL, run, extension) == 0) return extension;
    mem_free(extension->address);
    mem_free(extension);
    return NULL;
}

void lambda_extension_wait(struct lambda_extension *extension)
{
    if (!extension) return;
    (void)pthread_mutex_lock(&extension->lock);
    while (!extension->settled) (void)pthread_cond_wait(&extension->changed, &extension->lock);
    (void)pthread_mutex_unlock(&extension->lock);
}

void lambda_extension_end(struct lambda_extension *extension)
{
    if (!extension) return;
    (void)pthread_join(extension->thread, NULL);
    (void)pthread_cond_destroy(&extension->changed);
    (void)pthread_mutex_destroy(&extension->lock);
    mem_free(extension->address);
    mem_free(extension);
}
