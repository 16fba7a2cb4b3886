/* An immutable table of models by name and version. */
#include "serve/plan.h"

#include "base/mem.h"

/* All bytes of a text of up to seven. */
static inline uint64_t short_word(struct str name)
{
    uint32_t first = 0, last = 0;
    if (name.size >= 4) {
        memcpy(&first, name.data, 4);
        memcpy(&last, name.data + name.size - 4, 4);
    } else if (name.size) {
        first = (uint8_t)name.data[0] | (uint32_t)(uint8_t)name.data[name.size / 2] << 8;
        last = (uint8_t)name.data[name.size - 1];
    }
    return (uint64_t)last << 32 | first;
}

/* Names are short, and ours to choose: eight bytes at a time, the last eight again. */
static inline uint32_t hash_name(struct str name)
{
    uint64_t hash = name.size, part = 0;
    if (name.size < 8) hash ^= short_word(name);
    for (size_t i = 0; name.size >= 8; i = MIN(i + 8, name.size - 8)) {
        memcpy(&part, name.data + i, 8);
        hash = (hash ^ part) * UINT64_C(0x9E3779B97F4A7C15);
        hash ^= hash >> 32;
        if (i == name.size - 8) break;
    }
    hash *= UINT64_C(0x9E3779B97F4A7C15);
    return (uint32_t)(hash >> 32);
}

static int compare_models(const void *a, const void *b)
{
    const struct model *x = *(struct model *const *)a, *y = *(struct model *const *)b;
    int names = str_compare(x->name_text, y->name_text);
    if (names != 0) return names;
    return (x->version > y->version) - (x->version < y->version);
}

static int compare_unready(const void *a, const void *b)
{
    const struct plan_unready *x = a, *y = b;
    int names = strcmp(x->name, y->name);
    if (names != 0) return names;
    return (x->version > y->version) - (x->version < y->version);
}

static void group_names(struct plan *plan)
{
    plan->names = MEM_NEW_ARRAY(struct plan_name, plan->model_count);
    for (size_t i = 0; i < plan->model_count; i++) {
        struct str name = plan->models[i]->name_text;
        struct plan_name *last = plan->name_count ? &plan->names[plan->name_count - 1] : NULL;
        if (last && str_equal(last->name, name)) {
            last->count++;
            continue;
        }
        plan->names[plan->name_count++] = (struct plan_name){name, (uint32_t)i, 1};
    }
}

static void fill_table(struct plan *plan)
{
    uint32_t size = 8;
    while (size < plan->name_count * 2) size *= 2;
    plan->table = MEM_NEW_ARRAY(uint32_t, size);
    plan->table_mask = size - 1;
    for (size_t i = 0; i < plan->name_count; i++) {
        uint32_t slot = hash_name(plan->names[i].name) & plan->table_mask;
        while (plan->table[slot]) slot = (slot + 1) & plan->table_mask;
        plan->table[slot] = (uint32_t)i + 1;
    }
}

static void copy_models(struct plan *plan, struct model **models, size_t count)
{
    if (count > 0) qsort(models, count, sizeof(struct model *), compare_models);
    plan->models = MEM_NEW_ARRAY(struct model *, count);
    plan->versions = MEM_NEW_ARRAY(struct str, count);
    plan->model_count = count;
    for (size_t i = 0; i < count; i++) {
        model_ref(models[i]);
        plan->models[i] = models[i];
        plan->versions[i] = models[i]->version_str;
    }
}

struct plan *plan_new(struct model **models, size_t model_count, struct plan_unready *unready,
                      size_t unready_count, uint32_t generation)
{
    struct plan *plan = MEM_NEW(struct plan);
    atomic_init(&plan->references, 1);
    plan->generation = generation;
    copy_models(plan, models, model_count);
    group_names(plan);
    fill_table(plan);
    if (unready_count > 0) qsort(unready, unready_count, sizeof *unready, compare_unready);
    plan->unready = MEM_NEW_ARRAY(struct plan_unready, unready_count);
    plan->unready_count = unready_count;
    for (size_t i = 0; i < unready_count; i++)
        plan->unready[i] =
            (struct plan_unready){mem_copy_text(unready[i].name), unready[i].version};
    return plan;
}

void plan_ref(struct plan *plan)
{
    atomic_fetch_add_explicit(&plan->references, 1, memory_order_relaxed);
}

void plan_unref(struct plan *plan)
{
    if (!plan) return;
    if (atomic_fetch_sub_explicit(&plan->references, 1, memory_order_acq_rel) != 1) return;
    for (size_t i = 0; i < plan->model_count; i++) model_unref(plan->models[i]);
    for (size_t i = 0; i < plan->unready_count; i++) mem_free(plan->unready[i].name);
    mem_free(plan->models);
    mem_free(plan->versions);
    mem_free(plan->names);
    mem_free(plan->table);
    mem_free(plan->unready);
    mem_free(plan);
}

const struct plan_name *plan_find_name(const struct plan *plan, struct str name)
{
    uint32_t slot = hash_name(name) & plan->table_mask;
    for (; plan->table[slot]; slot = (slot + 1) & plan->table_mask) {
        const struct plan_name *entry = &plan->names[plan->table[slot] - 1];
        if (LIKELY(str_equal(entry->name, name))) return entry;
    }
    return NULL;
}

int64_t plan_parse_version(struct str text)
{
    int64_t version = 0;
    if (text.size == 0 || text.size >= MODEL_VERSION_TEXT_SIZE) return 0;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') return 0;
        if (__builtin_mul_overflow(version, INT64_C(10), &version)) return 0;
        if (__builtin_add_overflow(version, (int64_t)(text.data[i] - '0'), &version)) return 0;
    }
    return version;
}

/* True if the repository has that name, or that version of it, in whatever state. */
static bool is_unready(const struct plan *plan, struct str name, int64_t version)
{
    size_t low = 0, high = plan->unready_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (str_compare(str_of(plan->unready[middle].name), name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < plan->unready_count && str_equal(str_of(plan->unready[low].name), name); low++)
        if (version == 0 || plan->unready[low].version == version) return true;
    return false;
}

static enum status refuse_name(const struct plan *plan, struct str name, struct error *err)
{
    if (is_unready(plan, name, 0))
        return fail(err, STATUS_UNAVAILABLE,
                    "Request for unknown model: '%.*s' has no available versions", STR_ARGS(name));
    return fail(err, STATUS_INVALID_ARGUMENT, "Request for unknown model: '%.*s' is not found",
                STR_ARGS(name));
}

enum status plan_find(const struct plan *plan, struct str name, struct str version,
                      struct model **ret_model, struct error *err)
{
    const struct plan_name *entry = plan_find_name(plan, name);
    int64_t number = version.size ? plan_parse_version(version) : 0;
    if (entry && version.size == 0) {
        *ret_model = plan->models[entry->first + entry->count - 1];
        return STATUS_OK;
    }
    for (uint32_t i = 0; entry && i < entry->count; i++) {
        if (plan->models[entry->first + i]->version != number) continue;
        *ret_model = plan->models[entry->first + i];
        return STATUS_OK;
    }
    if (number > 0 && is_unready(plan, name, number))
        return fail(err, STATUS_UNAVAILABLE,
                    "Request for unknown model: '%.*s' version %.*s is not at ready state",
                    STR_ARGS(name), STR_ARGS(version));
    if (!entry) return refuse_name(plan, name, err);
    return fail(err, STATUS_NOT_FOUND,
                "Request for unknown model: '%.*s' version %.*s is not found", STR_ARGS(name),
                STR_ARGS(version));
}
