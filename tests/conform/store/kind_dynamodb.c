/* A table for each test, in the emulator of tests/aws/with_aws; large payloads in its S3. */
#include "aws/client.h"
#include "config/environment.h"
#include "kind.h"
#include "store/store_dynamodb.h"

static char table[32];
static unsigned number;

static enum status ask(const char *operation, const char *body, struct error *err)
{
    struct aws_credentials *credentials;
    struct aws_client *client;
    struct aws_reply reply;
    struct arena arena;
    char target[64];
    (void)snprintf(target, sizeof target, "DynamoDB_20120810.%s", operation);
    TRY(aws_credentials_new(&(struct aws_credentials_options){.keys = NULL}, &credentials, err));
    TRY(aws_client_new(
        &(struct aws_client_options){.service = "dynamodb",
                                     .endpoint = environment_get("SLIPWAY_TEST_DYNAMODB"),
                                     .credentials = credentials},
        &client, err));
    arena_init(&arena, 1 << 20);
    enum status status =
        aws_json_call(client, &(struct aws_json_request){.target = target, .body = str_of(body)},
                      &arena, &reply, err);
    arena_clear(&arena);
    aws_client_free(client);
    aws_credentials_free(credentials);
    return status;
}

static void print_attributes(struct buffer *out)
{
    for (size_t i = 0; store_dynamodb_index[i]; i++)
        buffer_add_format(out, "%s\"%s\"", i ? "," : "", store_dynamodb_index[i]);
}

bool kind_begin(void)
{
    struct error err;
    struct buffer body;
    (void)snprintf(table, sizeof table, "results-%u", ++number);
    buffer_init(&body, 64 * 1024);
    buffer_add_format(&body,
                      "{\"TableName\":\"%s\",\"BillingMode\":\"PAY_PER_REQUEST\","
                      "\"AttributeDefinitions\":[{\"AttributeName\":\"pk\",\"AttributeType\":\"S\"}"
                      ",{\"AttributeName\":\"shard\",\"AttributeType\":\"S\"},"
                      "{\"AttributeName\":\"id\",\"AttributeType\":\"S\"}],"
                      "\"KeySchema\":[{\"AttributeName\":\"pk\",\"KeyType\":\"HASH\"}],"
                      "\"GlobalSecondaryIndexes\":[{\"IndexName\":\"by_time\",\"KeySchema\":["
                      "{\"AttributeName\":\"shard\",\"KeyType\":\"HASH\"},"
                      "{\"AttributeName\":\"id\",\"KeyType\":\"RANGE\"}],\"Projection\":"
                      "{\"ProjectionType\":\"INCLUDE\",\"NonKeyAttributes\":[",
                      table);
    print_attributes(&body);
    buffer_add_text(&body, "]}}]}");
    enum status status = ask("CreateTable", buffer_text(&body), &err);
    buffer_clear(&body);
    if (status != STATUS_OK) fprintf(stderr, "%s\n", err.message);
    return status == STATUS_OK;
}

enum status kind_open(struct store **ret_store, struct error *err)
{
    struct database *database;
    const struct store_dynamodb_options options = {.table = table, .spill = "s3://payloads/tests/"};
    TRY(store_dynamodb_open(&options, &database, err));
    return store_dynamodb_new(database, ret_store, err);
}

void kind_close(struct store *store)
{
    struct database *database = store_database(store);
    store_free(store);
    database_free(database);
}

bool kind_commits_chains(void)
{
    return false;
}

void kind_end(void)
{
    struct error err;
    char body[64];
    (void)snprintf(body, sizeof body, "{\"TableName\":\"%s\"}", table);
    if (ask("DeleteTable", body, &err) != STATUS_OK) fprintf(stderr, "%s\n", err.message);
}
