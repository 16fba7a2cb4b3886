/*
 * The results store in DynamoDB: one table, that somebody else has made.
 *
 *   TRY(store_dynamodb_open(&(struct store_dynamodb_options){.table = "results"}, &database, err));
 *   TRY(store_dynamodb_new(database, &store, err));
 *   ...
 *   store_free(store);
 *   database_free(database);
 *
 * The table has the hash key `pk` (S) and one index, `by_time`: hash key `shard` (S), range key
 * `id` (S), with the attributes of store_dynamodb_index projected. Time to live is by `expires_at`.
 *
 *   pk "r#ID"                a record. shard is one of "0" to "7", so that writes spread; lists
 *                            merge the eight.
 *   pk "k#SIZE#MODEL#KEY"    an idempotency key: id is its record's. It counts as long as that
 *                            record is there.
 *
 * What is one step, whatever fails or is asked twice on the way:
 *   PUT     each record by itself: conditional on its id, and on its key in one transaction
 *   ADMIT   key and record, in one transaction
 *   CHANGE  one conditional update, with a token in it: if the answer is lost and the request made
 *           again, the second finds its own token and is no failure
 * There are no transactions over several calls: a chain with queues is made one after the other.
 *
 * Reads of one record and conditions are consistent. Lists go by the index, which is a little
 * behind, and then read each record as it is. What has expired is not there, even before DynamoDB
 * deletes it. Payloads of more than 112 KiB lie in S3, with their SHA-256 in the item.
 */
#ifndef STORE_STORE_DYNAMODB_H
#define STORE_STORE_DYNAMODB_H

#include "store/store.h"

struct store_dynamodb_options {
    const char *table;
    const char *spill;     /* "s3://BUCKET/PREFIX"; NULL: large payloads are refused */
    uint64_t keep_age_ns;  /* finished records expire so long after their end; 0: never */
    const char *region;    /* NULL: the environment's */
    const char *endpoint;  /* NULL: the environment's, else AWS's own */
    uint32_t writer_count; /* 0: 16; calls at the same time */
    struct clock *clock;   /* borrowed; NULL: the system's */
};

/* Attributes that the index projects, NULL at the end. */
extern const char *const store_dynamodb_index[];

/*
 * Looks at the table once. NOT_FOUND, FAILED_PRECONDITION: there is none, or it is another's; the
 * message says what it must be like. UNAVAILABLE, UNAUTHENTICATED...: aws/client.h.
 */
enum status store_dynamodb_open(const struct store_dynamodb_options *options,
                                struct database **ret_database, struct error *err) FALLIBLE;

enum status store_dynamodb_new(struct database *database, struct store **ret_store,
                               struct error *err) FALLIBLE;

#endif
