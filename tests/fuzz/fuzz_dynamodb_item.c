/* Items of DynamoDB from any bytes: what the store takes is, written and read again, the same. */
#include "base/mem.h"
#include "store/store_dynamodb_item.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* One that lies elsewhere has nothing here. */
static bool is_same(struct item *a, struct item *b, enum item_part part)
{
    if (b->spills[part].key.data) return str_equal(a->spills[part].key, b->spills[part].key);
    return item_payload_size(item_payload(&a->record, part)) ==
           item_payload_size(item_payload(&b->record, part));
}

static void read_again(struct item *item, struct arena *arena)
{
    struct buffer text;
    struct json_writer writer;
    struct json_reader reader;
    struct item again;
    struct error err;
    buffer_init(&text, 64 << 20);
    json_writer_init(&writer, &text);
    item_write(&writer, &item->record, item->spills, item->expires_s);
    json_reader_init(&reader, buffer_view(&text), arena);
    assert(item_read(&reader, arena, &again, &err) == STATUS_OK);
    assert(str_equal(str_of(again.record.id), str_of(item->record.id)));
    assert(again.record.state == item->record.state && again.expires_s == item->expires_s);
    for (int part = 0; part < ITEM_PART_COUNT; part++)
        assert(is_same(&again, item, (enum item_part)part));
    buffer_clear(&text);
}

/* What store_dynamodb.c looks at before it gives an item away. */
static bool is_taken(const struct record *record)
{
    return *record->id && record->state < RECORD_STATE_COUNT &&
           record->source < RECORD_SOURCE_COUNT;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct json_reader reader;
    struct item item;
    struct error err;
    arena_init(&arena, 16 << 20);
    json_reader_init(&reader, (struct str){(const char *)data, size}, &arena);
    if (item_read(&reader, &arena, &item, &err) == STATUS_OK && is_taken(&item.record)) {
        assert(record_id_is_valid(str_of(item.record.id)));
        read_again(&item, &arena);
    }
    arena_clear(&arena);
    return 0;
}
