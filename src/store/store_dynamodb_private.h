/*
 * What the files of the store in DynamoDB share: the service, one call's work, requests.
 */
#ifndef STORE_STORE_DYNAMODB_PRIVATE_H
#define STORE_STORE_DYNAMODB_PRIVATE_H

#include "aws/s3.h"
#include "store/store_dynamodb.h"
#include "store/store_dynamodb_item.h"

#include <pthread.h>

enum {
    DYNAMODB_BODY_MAX = 16 * 1024 * 1024,  /* of a request */
    DYNAMODB_REPLY_MAX = 64 * 1024 * 1024, /* of an answer: 16 MB of items, in base 64 */
    DYNAMODB_CONFLICTS_MAX = 12,           /* times that others are in the way */
};

/* What the sessions share. */
struct dynamodb {
    struct aws_credentials *credentials;
    struct aws_client *client;
    struct aws_client *s3; /* NULL: large payloads are refused */
    char *table;
    char *spill_url;           /* what `spill` is a view of */
    struct aws_s3_place spill; /* key is the prefix, without a slash at its end */
    uint64_t keep_age_ns;

    pthread_mutex_t mutex;                /* of what follows */
    char loans_until[RECORD_ID_SIZE + 1]; /* no record before it has a loan; empty: unknown */
};

/* One store call. */
struct dynamodb_work {
    struct dynamodb *dynamodb;
    struct arena arena; /* of what is read and written on the way */
    uint64_t now_s;
};

/* A request's body, an object that is begun with the table's name. */
struct dynamodb_body {
    struct buffer text;
    struct json_writer json;
};

void dynamodb_body_init(struct dynamodb_body *body, const struct dynamodb_work *work);

/* Ends the object, sends it as `operation` ("PutItem") and clears the body. */
enum status dynamodb_ask(struct dynamodb_work *work, const char *operation,
                         struct dynamodb_body *body, struct aws_reply *reply,
                         struct error *err) FALLIBLE;

/* As above, of a whole body that begins with no table's name. */
enum status dynamodb_send(struct dynamodb_work *work, const char *operation, struct buffer *text,
                          struct aws_reply *reply, struct error *err) FALLIBLE;

/* {"#a":"a","#b":"b"} of names, up to NULL. */
void dynamodb_add_names(struct json_writer *json, const char *const *names);

/* The member "Key" of a request. */
void dynamodb_add_key(struct json_writer *json, struct str pk);

/* A record that is not there, or has expired: *ret_found false. */
enum status dynamodb_get(struct dynamodb_work *work, struct str pk, struct item *ret_item,
                         bool *ret_found, struct error *err) FALLIBLE;

bool dynamodb_is_live(const struct dynamodb_work *work, const struct item *item);

/* The raw value of an object's member; false: none. */
bool dynamodb_member(struct str object, const char *name, struct str *ret_raw);

/* The item in an answer's member ("Item", "Attributes"); *ret_found false: none. */
enum status dynamodb_read_member(struct dynamodb_work *work, struct str body, const char *name,
                                 struct item *ret_item, bool *ret_found,
                                 struct error *err) FALLIBLE;

/* Copies a record into the call's arena; payloads that lie in S3 are fetched for it. */
enum status dynamodb_give(struct dynamodb_work *work, struct item *item, bool with_payloads,
                          struct arena *arena, struct record *ret_record,
                          struct error *err) FALLIBLE;

/* A payload that is not in the item any more; failures are forgotten, the bucket's rules see to
 * it. */
void dynamodb_forget_spill(struct dynamodb_work *work, const struct item_spill *spill);

/* Waits, longer with each attempt, when others are in the way. */
void dynamodb_pause(unsigned attempt);

enum status dynamodb_run_list(struct dynamodb_work *work, struct store_call *call,
                              struct error *err) FALLIBLE;
enum status dynamodb_run_prune(struct dynamodb_work *work, struct store_call *call,
                               struct error *err) FALLIBLE;
enum status dynamodb_run_statistics(struct dynamodb_work *work, struct store_call *call,
                                    struct error *err) FALLIBLE;

/* Of DescribeTable, a few hours old. */
enum status dynamodb_table_size(struct dynamodb_work *work, uint64_t *ret_bytes,
                                struct error *err) FALLIBLE;

#endif
