/* The service and its table: opened once, looked at once. */
#include "base/mem.h"
#include "base/num.h"
#include "store/store_dynamodb_private.h"

enum { WRITERS = 16, READERS = 8, ATTEMPTS = 5 };

const char *const store_dynamodb_index[] = {
    "model",  "version", "variant", "message_group", "queue", "key",        "trace_id", "state",
    "source", "status",  "done_us", "bytes",         "lent",  "expires_at", NULL};

#define SHAPE                                                                                      \
    "it needs the hash key 'pk' (S) alone, and an index 'by_time' of 'shard' (S) and 'id' (S): "   \
    "docs/results.md has the command that makes it"

/* --- the table ---------------------------------------------------------------------------------
 */

/* True if the array of {"AttributeName":..., "KeyType":...} is the hash key and the range key. */
static bool has_keys(struct str schema, const char *hash, const char *range)
{
    struct json_reader reader;
    struct error unheard;
    struct str element, name, kind;
    size_t count = 0, good = 0;
    bool more;
    json_reader_init(&reader, schema, NULL);
    if (json_open_array(&reader, &unheard) != STATUS_OK) return false;
    for (;; count++) {
        if (json_next_element(&reader, &more, &unheard) != STATUS_OK) return false;
        if (!more) return count == good && good == (range ? 2 : 1);
        if (json_read_raw(&reader, &element, &unheard) != STATUS_OK ||
            !dynamodb_member(element, "AttributeName", &name) || name.size < 2 ||
            !dynamodb_member(element, "KeyType", &kind))
            return false;
        struct str plain = {name.data + 1, name.size - 2};
        bool is_hash = str_equal(kind, STR("\"HASH\""));
        const char *wanted = is_hash ? hash : range;
        good += wanted && str_equal(plain, str_of(wanted));
    }
}

static bool projects(struct str projection, const char *name)
{
    struct str kind, names;
    char quoted[40];
    size_t size = (size_t)snprintf(quoted, sizeof quoted, "\"%s\"", name);
    if (!dynamodb_member(projection, "ProjectionType", &kind)) return false;
    if (str_equal(kind, STR("\"ALL\""))) return true;
    if (!dynamodb_member(projection, "NonKeyAttributes", &names)) return false;
    return memmem(names.data, names.size, quoted, size) != NULL;
}

/* One index of the table's: `by_time` as it must be, or why it is not. */
static enum status check_index(const struct dynamodb *dynamodb, struct str index, bool *ret_found,
                               struct error *err)
{
    struct str name, schema, projection;
    *ret_found = dynamodb_member(index, "IndexName", &name) && str_equal(name, STR("\"by_time\""));
    if (!*ret_found) return STATUS_OK;
    if (!dynamodb_member(index, "KeySchema", &schema) || !has_keys(schema, "shard", "id"))
        return fail(err, STATUS_FAILED_PRECONDITION,
                    "index 'by_time' of DynamoDB's table '%s' has other keys: " SHAPE,
                    dynamodb->table);
    for (size_t i = 0; store_dynamodb_index[i]; i++)
        if (!dynamodb_member(index, "Projection", &projection) ||
            !projects(projection, store_dynamodb_index[i]))
            return fail(err, STATUS_FAILED_PRECONDITION,
                        "index 'by_time' of DynamoDB's table '%s' does not project '%s': "
                        "docs/results.md has the command that makes it",
                        dynamodb->table, store_dynamodb_index[i]);
    return STATUS_OK;
}

static enum status check_indexes(const struct dynamodb *dynamodb, struct str table,
                                 struct error *err)
{
    struct str indexes, index;
    struct json_reader reader;
    bool more, found = false;
    if (dynamodb_member(table, "GlobalSecondaryIndexes", &indexes)) {
        json_reader_init(&reader, indexes, NULL);
        TRY(json_open_array(&reader, err));
        while (!found) {
            TRY(json_next_element(&reader, &more, err));
            if (!more) break;
            TRY(json_read_raw(&reader, &index, err));
            TRY(check_index(dynamodb, index, &found, err));
        }
    }
    if (found) return STATUS_OK;
    return fail(err, STATUS_FAILED_PRECONDITION, "DynamoDB's table '%s' has no index: " SHAPE,
                dynamodb->table);
}

static enum status describe(struct dynamodb_work *work, struct str *ret_table, struct error *err)
{
    struct dynamodb *dynamodb = work->dynamodb;
    struct dynamodb_body body;
    struct aws_reply reply;
    dynamodb_body_init(&body, work);
    enum status status = dynamodb_ask(work, "DescribeTable", &body, &reply, err);
    if (status == STATUS_NOT_FOUND)
        return fail(err, STATUS_NOT_FOUND,
                    "DynamoDB has no table '%s' in %s, and none is made unasked: " SHAPE,
                    dynamodb->table, aws_client_region(dynamodb->client));
    TRY(status);
    if (!dynamodb_member(reply.body, "Table", ret_table))
        return fail(err, STATUS_UNAVAILABLE, "DynamoDB does not describe table '%s'",
                    dynamodb->table);
    return STATUS_OK;
}

/* Who may use a table but not look at it finds out by using it. */
static enum status check_table(struct dynamodb *dynamodb, struct error *err)
{
    struct dynamodb_work work = {.dynamodb = dynamodb};
    struct str table, schema;
    arena_init(&work.arena, ITEM_ARENA_MAX);
    enum status status = describe(&work, &table, err);
    if (status == STATUS_OK &&
        (!dynamodb_member(table, "KeySchema", &schema) || !has_keys(schema, "pk", NULL)))
        status = fail(err, STATUS_FAILED_PRECONDITION,
                      "DynamoDB's table '%s' has other keys: " SHAPE, dynamodb->table);
    else if (status == STATUS_OK)
        status = check_indexes(dynamodb, table, err);
    arena_clear(&work.arena);
    return status == STATUS_PERMISSION_DENIED ? STATUS_OK : status;
}

enum status dynamodb_table_size(struct dynamodb_work *work, uint64_t *ret_bytes, struct error *err)
{
    struct str table, size;
    TRY(describe(work, &table, err));
    if (!dynamodb_member(table, "TableSizeBytes", &size) || !num_read_u64(size, ret_bytes))
        *ret_bytes = 0;
    return STATUS_OK;
}

/* --- as a database -----------------------------------------------------------------------------
 */

/* Sessions are threads; there is nothing to begin, commit or roll back. */
static enum status session_open(struct database *database UNUSED, bool reads UNUSED,
                                struct database_session *session UNUSED, struct error *err UNUSED)
{
    return STATUS_OK;
}

static void session_close(struct database_session *session UNUSED) {}

static enum status begin_or_commit(struct database_session *session UNUSED,
                                   struct error *err UNUSED)
{
    return STATUS_OK;
}

static void rollback(struct database_session *session UNUSED) {}

static enum status no_schema(struct error *err)
{
    return fail(err, STATUS_UNIMPLEMENTED, "DynamoDB has no schema of ours");
}

static enum status schema_read(struct database_session *session UNUSED, const char *room UNUSED,
                               int64_t *ret_number UNUSED, struct error *err)
{
    return no_schema(err);
}

static enum status schema_script(struct database_session *session UNUSED, const char *sql UNUSED,
                                 struct error *err)
{
    return no_schema(err);
}

static enum status schema_note(struct database_session *session UNUSED, const char *room UNUSED,
                               int64_t number UNUSED, const char *name UNUSED, struct error *err)
{
    return no_schema(err);
}

static void dynamodb_free(struct dynamodb *dynamodb)
{
    aws_client_free(dynamodb->client);
    aws_client_free(dynamodb->s3);
    aws_credentials_free(dynamodb->credentials);
    (void)pthread_mutex_destroy(&dynamodb->mutex);
    mem_free(dynamodb->table);
    mem_free(dynamodb->spill_url);
    mem_free(dynamodb);
}

static void close_database(struct database *database)
{
    dynamodb_free(database_state(database));
}

static const struct database_ops ops = {
    .name = "dynamodb",
    .session_open = session_open,
    .session_close = session_close,
    .begin = begin_or_commit,
    .commit = begin_or_commit,
    .rollback = rollback,
    .schema_read = schema_read,
    .schema_script = schema_script,
    .schema_note = schema_note,
    .close = close_database,
};

/* --- opening -----------------------------------------------------------------------------------
 */

static enum status open_spill(struct dynamodb *dynamodb,
                              const struct store_dynamodb_options *options, struct error *err)
{
    if (!options->spill || !*options->spill) return STATUS_OK;
    dynamodb->spill_url = mem_copy_text(options->spill);
    TRY(fail_while(err, aws_s3_parse(dynamodb->spill_url, &dynamodb->spill, err),
                   "data.results_spill"));
    if (str_ends_with(dynamodb->spill.key, STR("/"))) dynamodb->spill.key.size--;
    const struct aws_client_options s3 = {.service = "s3",
                                          .region = options->region,
                                          .credentials = dynamodb->credentials,
                                          .clock = options->clock};
    return aws_client_new(&s3, &dynamodb->s3, err);
}

static enum status open_services(struct dynamodb *dynamodb,
                                 const struct store_dynamodb_options *options, struct error *err)
{
    const struct aws_credentials_options credentials = {.clock = options->clock};
    TRY(aws_credentials_new(&credentials, &dynamodb->credentials, err));
    const struct aws_client_options client = {.service = "dynamodb",
                                              .region = options->region,
                                              .endpoint = options->endpoint,
                                              .credentials = dynamodb->credentials,
                                              .clock = options->clock,
                                              .attempts_max = ATTEMPTS};
    TRY(aws_client_new(&client, &dynamodb->client, err));
    TRY(open_spill(dynamodb, options, err));
    return check_table(dynamodb, err);
}

enum status store_dynamodb_open(const struct store_dynamodb_options *options,
                                struct database **ret_database, struct error *err)
{
    struct dynamodb *dynamodb = MEM_NEW(struct dynamodb);
    dynamodb->table = mem_copy_text(options->table);
    dynamodb->keep_age_ns = options->keep_age_ns;
    (void)pthread_mutex_init(&dynamodb->mutex, NULL);
    enum status status = open_services(dynamodb, options, err);
    if (status != STATUS_OK) {
        dynamodb_free(dynamodb);
        return status;
    }
    const struct database_options database = {
        .clock = options->clock,
        .writer_count = options->writer_count ? options->writer_count : WRITERS,
        .reader_count = READERS,
        .batch_max = 1};
    return database_new(&ops, dynamodb, &database, ret_database, err);
}
