/* Counters whose changes are gathered until the commit. */
#include "base/mem.h"
#include "db/postgres_private.h"

enum {
    NAMES_MAX = 4096, /* of one transaction */
    SLOTS = 64,       /* rows of one name: each connection has one, if there are enough */
};

struct count {
    char name[POSTGRES_COUNT_NAME_MAX + 1];
    int64_t add;
};

/* What one transaction has counted so far. */
struct counts {
    struct postgres_hook hook;
    struct count *items;
    size_t count, capacity;
};

/* Advisory locks of ours: "SLPC" before the slot. */
#define SLOT_LOCK (INT64_C(0x534c5043) << 32)

static const char owner; /* its address is the hook's owner */

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct count *)a)->name, ((const struct count *)b)->name);
}

/*
 * Whoever changes a row holds it until his commit is on the disk; so no two connections should
 * change the same. An advisory lock of the connection says that the slot is taken.
 */
static enum status find_slot(struct database_session *session, int64_t *ret_slot, struct error *err)
{
    struct postgres *postgres = session->connection;
    struct postgres_result *r CLEANUP(postgres_result_freep) = NULL;
    struct postgres_value values[] = {postgres_int(SLOT_LOCK), postgres_int(SLOTS)};
    if (postgres->count_slot == 0) {
        TRY(postgres_query(session,
                           "SELECT coalesce((SELECT s FROM generate_series(0, $2::bigint - 1) AS s"
                           "   WHERE pg_try_advisory_lock($1::bigint + s) LIMIT 1),"
                           " pg_backend_pid() % $2::bigint)",
                           values, COUNT_OF(values), &r, err));
        postgres->count_slot = 1 + (int)postgres_int_at(r, 0, 0);
    }
    *ret_slot = postgres->count_slot - 1;
    return STATUS_OK;
}

/* In the order of names, so that two transactions in the same slot wait, but not for each other. */
static enum status write_counts(struct postgres_hook *hook, struct database_session *session,
                                struct error *err)
{
    struct counts *counts = CONTAINER_OF(hook, struct counts, hook);
    struct str *names CLEANUP(mem_freep) = MEM_NEW_ARRAY(struct str, counts->count);
    int64_t *adds CLEANUP(mem_freep) = MEM_NEW_ARRAY(int64_t, counts->count);
    size_t used = 0;
    int64_t slot;
    qsort(counts->items, counts->count, sizeof counts->items[0], compare_names);
    for (size_t i = 0; i < counts->count; i++) {
        if (counts->items[i].add == 0) continue;
        names[used] = str_of(counts->items[i].name);
        adds[used++] = counts->items[i].add;
    }
    if (used == 0) return STATUS_OK;
    TRY(find_slot(session, &slot, err));
    struct postgres_value values[] = {postgres_texts(names, used), postgres_ints(adds, used),
                                      postgres_int(slot)};
    return postgres_execute(session,
                            "INSERT INTO slipway_counts AS c"
                            "  SELECT name, $3::bigint, value"
                            "  FROM unnest($1::text[], $2::bigint[]) AS n(name, value)"
                            "  ON CONFLICT (name, slot) DO UPDATE"
                            "  SET value = c.value + excluded.value",
                            values, COUNT_OF(values), NULL, err);
}

static void counts_end(struct postgres_hook *hook)
{
    struct counts *counts = CONTAINER_OF(hook, struct counts, hook);
    mem_free(counts->items);
    mem_free(counts);
}

static struct counts *counts_of(struct database_session *session)
{
    struct postgres_hook *hook = postgres_hook_find(session, &owner);
    if (hook) return CONTAINER_OF(hook, struct counts, hook);
    struct counts *counts = MEM_NEW(struct counts);
    counts->hook = (struct postgres_hook){.owner = &owner, .run = write_counts, .end = counts_end};
    postgres_hook_add(session, &counts->hook);
    return counts;
}

void postgres_count(struct database_session *session, const char *name, int64_t add)
{
    struct counts *counts = counts_of(session);
    assert(strlen(name) <= POSTGRES_COUNT_NAME_MAX);
    for (size_t i = counts->count; i-- > 0;) {
        if (strcmp(counts->items[i].name, name) != 0) continue;
        counts->items[i].add += add;
        return;
    }
    assert(counts->count < NAMES_MAX);
    if (counts->count == counts->capacity) {
        counts->capacity = MAX(2 * counts->capacity, (size_t)8);
        counts->items = mem_resize(counts->items, counts->capacity * sizeof counts->items[0]);
    }
    struct count *item = &counts->items[counts->count++];
    (void)snprintf(item->name, sizeof item->name, "%s", name);
    item->add = add;
}

enum status postgres_count_read(struct database_session *session, const char *name,
                                int64_t *ret_value, struct error *err)
{
    struct postgres_result *result CLEANUP(postgres_result_freep) = NULL;
    struct postgres_value value = postgres_text_value(str_of(name));
    TRY(postgres_query(session,
                       "SELECT coalesce(sum(value), 0)::bigint FROM slipway_counts"
                       "  WHERE name = $1::text",
                       &value, 1, &result, err));
    *ret_value = postgres_int_at(result, 0, 0);
    return STATUS_OK;
}

enum status postgres_count_forget(struct database_session *session, const char *name,
                                  struct error *err)
{
    struct postgres_value value = postgres_text_value(str_of(name));
    return postgres_execute(session, "DELETE FROM slipway_counts WHERE name = $1::text", &value, 1,
                            NULL, err);
}
