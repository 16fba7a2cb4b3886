/*
 * What the files of the suite share: a store of the kind that it is linked with, and its calls.
 * Each test has a database of its own.
 */
#ifndef CONFORM_STORE_FIXTURE_H
#define CONFORM_STORE_FIXTURE_H

#include "kind.h"
#include "test.h"

/* Each test has a day of its own: ids never go back. */
extern uint64_t start_ms;

struct fixture {
    struct store *store;
    struct arena arena;
    struct error err;
};

static inline bool begin(struct fixture *fixture)
{
    arena_init(&fixture->arena, 256 << 20);
    start_ms += 86400000;
    if (!kind_begin()) return false;
    enum status status = kind_open(&fixture->store, &fixture->err);
    EXPECT_STATUS(status, STATUS_OK, fixture->err);
    return status == STATUS_OK;
}

static inline bool reopen(struct fixture *fixture)
{
    kind_close(fixture->store);
    enum status status = kind_open(&fixture->store, &fixture->err);
    EXPECT_STATUS(status, STATUS_OK, fixture->err);
    return status == STATUS_OK;
}

static inline void end(struct fixture *fixture)
{
    kind_close(fixture->store);
    kind_end();
    arena_clear(&fixture->arena);
}

static inline struct record record_at(uint64_t ms)
{
    struct record record = {.model = STR("doubleit"),
                            .version = STR("1"),
                            .state = RECORD_SUCCEEDED,
                            .received_us = ms * 1000,
                            .done_us = ms * 1000};
    record_id_make(ms, record.id);
    return record;
}

static inline enum status put(struct fixture *fixture, const struct record *records, size_t count)
{
    struct store_call call = {.operation = STORE_PUT, .put = {.records = records, .count = count}};
    return store_run(fixture->store, &call, &fixture->err);
}

static inline enum status get(struct fixture *fixture, const char *id, struct record *ret_record)
{
    struct store_call call = {
        .operation = STORE_GET, .arena = &fixture->arena, .get = {.id = str_of(id)}};
    enum status status = store_run(fixture->store, &call, &fixture->err);
    *ret_record = (struct record){.model = STR_EMPTY};
    if (status == STATUS_OK) *ret_record = call.get.record;
    return status;
}

static inline bool texts_equal(struct str a, struct str b)
{
    return !a.data == !b.data && str_equal(a, b);
}

static inline bool payloads_equal(const struct record_payload *a, const struct record_payload *b)
{
    return texts_equal(a->bytes, b->bytes) && texts_equal(a->type, b->type) &&
           a->header_size == b->header_size && a->size == b->size && a->hashed == b->hashed &&
           (!a->hashed || memcmp(a->hash, b->hash, SHA256_SIZE) == 0) && a->keep == b->keep;
}

static inline enum status list(struct fixture *fixture, struct store_list *list)
{
    struct store_call call = {.operation = STORE_LIST, .arena = &fixture->arena, .list = *list};
    if (call.list.count_max == 0) call.list.count_max = 100;
    enum status status = store_run(fixture->store, &call, &fixture->err);
    *list = call.list;
    return status;
}

static inline enum status change(struct fixture *fixture, struct store_change change,
                                 enum record_state *ret_was)
{
    struct store_call call = {.operation = STORE_CHANGE, .change = change};
    enum status status = store_run(fixture->store, &call, &fixture->err);
    *ret_was = call.change.was;
    return status;
}

static inline struct store_prune prune(struct fixture *fixture, struct store_prune prune)
{
    struct store_call call = {.operation = STORE_PRUNE, .prune = prune};
    EXPECT_STATUS(store_run(fixture->store, &call, &fixture->err), STATUS_OK, fixture->err);
    return call.prune;
}

static inline struct store_statistics statistics(struct fixture *fixture)
{
    struct store_call call = {.operation = STORE_STATISTICS, .arena = &fixture->arena};
    EXPECT_STATUS(store_run(fixture->store, &call, &fixture->err), STATUS_OK, fixture->err);
    return call.statistics;
}

#endif
