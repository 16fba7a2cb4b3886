/* Counters whose changes are gathered until the commit. */
#include "base/mem.h"
#include "db/postgres_private.h"

enum {
    NAMES_MAX = 4096, /* of one transaction */
    SLOTS = 32,       /* rows of one name: transactions at the same time seldom share one */
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

static const char owner; /* its address is the hook's owner */

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct count *)a)->name, ((const struct count *)b)->name);
}

/* In the order of names, so that two transactions in the same slot wait, but not for each other. */
static enum status write_counts(struct postgres_hook *hook, struct database_session *session,
                                struct error *err)
{
    struct counts *counts = CONTAINER_OF(hook, struct counts, hook);
    struct str *names CLEANUP(mem_freep) = MEM_NEW_ARRAY(struct str, counts->count);
    int64_t *adds CLEANUP(mem_freep) = MEM_NEW_ARRAY(int64_t, counts->count);
    size_t used = 0;
    qsort(counts->items, counts->count, sizeof counts->items[0], compare_names);
    for (size_t i = 0; i < counts->count; i++) {
        if (counts->items[i].add == 0) continue;
        names[used] = str_of(counts->items[i].name);
        adds[used++] = counts->items[i].add;
    }
    if (used == 0) return STATUS_OK;
    struct postgres_value values[] = {postgres_texts(names, used), postgres_ints(adds, used),
                                      postgres_int(SLOTS)};
    return postgres_execute(session,
                            "INSERT INTO slipway_counts AS c"
                            "  SELECT name, pg_backend_pid() % $3::bigint, value"
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
