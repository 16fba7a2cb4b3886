/*
 * A record as an item of DynamoDB, and values in its JSON: {"S":"text"}, {"N":"12"},
 * {"B":"base64"}. Pure.
 *
 *   item_write(&writer, &record, spills);              // an object: attributes of the record
 *   TRY(item_read(&reader, arena, &item, err));        // views of what was read, and of the arena
 *
 * Texts that are absent have no attribute. A payload of more than ITEM_INLINE_MAX bytes is not in
 * the item: its `spill` says where it lies.
 *
 *   pk          "r#ID"; of an idempotency key "k#SIZE#MODEL#KEY", where id is its record's
 *   shard, id   of the index by_time: see store_dynamodb.h
 *   bytes       about what the item and its payloads take
 *   expires_at  seconds since 1970, DynamoDB's time to live; absent: for ever
 *   lent        there is a payload on loan
 *   change, change_was    the token of the last change, and the state it found
 */
#ifndef STORE_STORE_DYNAMODB_ITEM_H
#define STORE_STORE_DYNAMODB_ITEM_H

#include "base/json.h"
#include "store/record.h"

enum {
    ITEM_SHARDS = 8,
    ITEM_INLINE_MAX = 112 * 1024, /* bytes of one payload in an item */
    ITEM_BASE_SIZE = 400,         /* about, without payloads */
    ITEM_ARENA_MAX = 256 * 1024 * 1024,
};

/* DynamoDB's items have 400 KB; texts take their share (record_check bounds error and label). */
_Static_assert(3 * ITEM_INLINE_MAX + 40 * 1024 < 400 * 1024, "three payloads and texts fit");

enum item_part { ITEM_INPUT, ITEM_OUTPUT, ITEM_LOAN, ITEM_PART_COUNT };

/* Of a payload that lies elsewhere. */
struct item_spill {
    struct str key; /* data NULL: it does not */
    uint8_t hash[SHA256_SIZE];
};

struct item {
    struct record record;
    struct item_spill spills[ITEM_PART_COUNT];
    uint64_t bytes;
    uint64_t expires_s; /* 0: never */
    bool lent;
    struct str change;
    uint64_t change_was;
};

const char *item_part_name(enum item_part part);
struct record_payload *item_payload(struct record *record, enum item_part part);

/* "r#ID" and "k#..."; appended. */
void item_print_record_key(struct buffer *out, struct str id);
void item_print_idempotency_key(struct buffer *out, struct str model, struct str key);
unsigned item_shard(struct str id);

/* Values. */
void item_add_text(struct json_writer *writer, struct str text);
void item_add_number(struct json_writer *writer, uint64_t number);
void item_add_bytes(struct json_writer *writer, struct str bytes);
void item_add_progress(struct json_writer *writer, double progress);

/* The attributes of a payload, "input_type" and so on, into an object that is open. */
void item_write_payload(struct json_writer *writer, enum item_part part,
                        const struct record_payload *payload, const struct item_spill *spill);

/* The whole record; `expires_s` 0: for ever. */
void item_write(struct json_writer *writer, const struct record *record,
                const struct item_spill spills[ITEM_PART_COUNT], uint64_t expires_s);

/* Of a payload in an item, wherever it lies. */
uint64_t item_payload_size(const struct record_payload *payload);

/* DATA_LOSS: it is no item of ours. What it does not know is skipped. */
enum status item_read(struct json_reader *reader, struct arena *arena, struct item *ret_item,
                      struct error *err) FALLIBLE;

#endif
