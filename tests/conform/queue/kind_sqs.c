/*
 * SQS's protocol as this server speaks it: queues in memory, whose time is the test's, behind HTTP
 * in this process, and queue_sqs before it.
 */
#include "app/data.c"
/* Instead of the library's: its database gets a clock. */
#include "app/app.h"
#include "aws/credentials.h"
#include "jobs/jobs.h"
#include "kind.h"
#include "queue/queue_sqs.h"
#include "server/server.h"
#include "test.h"

static struct config config;
static struct app *app;
static struct server *server;
static struct aws_credentials *credentials;
static char endpoint[64];

const char *kind_skips(const char *row)
{
    enum { EVERYWHERE = true, ELASTICMQ = false };
    static const struct {
        const char *row;
        bool here;
        const char *reason;
    } rows[] = {
#define ROW(name, where, reason) {#name, where, reason},
#include "sqs_rows.def"
#undef ROW
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (rows[i].here && strcmp(rows[i].row, row) == 0) return rows[i].reason;
    return NULL;
}

bool kind_begin(void)
{
    return true;
}

static enum status open_data(struct clock *clock, struct error *err)
{
    struct data *data = app->data;
    TRY(sqlite_memory_new(64 << 20, &(struct database_options){.clock = clock},
                          &data->parts.database, err));
    TRY(queue_sqlite_new(data->parts.database, &data->parts.queues, err));
    TRY(store_sqlite_new(data->parts.database, &data->parts.store, err));
    data->open = true;
    jobs_attach(app->jobs, data->parts.queues, data->parts.store);
    return jobs_prepare(app->jobs, err);
}

static enum status start(struct clock *clock, struct error *err)
{
    config_init(&config);
    config.http_threads = 1;
    TRY(app_open(&config, &app, err));
    TRY(open_data(clock, err));
    const struct server_options options = {
        .serve = app->serve,
        .data = app->data,
        .jobs = app->jobs,
        .name = "test",
        .address = "127.0.0.1",
        .thread_count = app->thread_count,
        .sqs = {config.sqs_account, config.sqs_region, NULL, 0},
        .http = {.header_size_max = config.http_header_bytes_max,
                 .body_size_max = config.http_body_bytes_max,
                 .connection_count_max = 100,
                 .idle_timeout_ns = config.http_idle_timeout_ns,
                 .drain_idle_ns = config.drain_idle_ns,
                 .header_timeout_ns = config.http_header_timeout_ns,
                 .body_timeout_ns = config.http_body_timeout_ns,
                 .write_timeout_ns = config.http_write_timeout_ns},
    };
    TRY(server_start(&options, &server, err));
    TRY(serve_start_loading(app->serve, err));
    (void)snprintf(endpoint, sizeof endpoint, "http://127.0.0.1:%u", server_port(server));
    const struct aws_keys keys = {.key_id = STR("test"), .secret = STR("test")};
    return aws_credentials_new(&(struct aws_credentials_options){.keys = &keys}, &credentials, err);
}

enum status kind_open(struct clock *clock, struct queue_store **ret_queues, struct error *err)
{
    if (!server) TRY(start(clock, err));
    const struct queue_sqs_options options = {
        .region = "us-east-1", .endpoint = endpoint, .credentials = credentials};
    return queue_sqs_new(&options, ret_queues, err);
}

void kind_close(struct queue_store *queues)
{
    queue_store_free(queues);
}

void kind_end(void)
{
    aws_credentials_free(credentials);
    server_stop(server);
    app_close(app);
    config_clear(&config);
    credentials = NULL;
    server = NULL;
    app = NULL;
}
