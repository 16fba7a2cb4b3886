/*
 * What was recorded: lists, single records, feedback. The store answers on a thread of its own; the
 * exchange waits for it as an errand.
 */
#include "app/data.h"
#include "base/json.h"
#include "base/num.h"
#include "net/http.h"
#include "server/answer.h"
#include "server/errand.h"
#include "server/routes.h"
#include "store/filter.h"
#include "store/record_json.h"

enum {
    PAGE_DEFAULT = 100,
    PAGE_MEMORY_MAX = 64 << 20,    /* of a list: a page that is larger is cut */
    RECORD_MEMORY_MAX = 160 << 20, /* of one record: two payloads */
    ANSWER_SIZE_MAX = 512 << 20,
};

struct question {
    struct errand errand;
    struct store_call call;
    struct arena arena; /* of the store's answer: another thread fills it */
    enum status status;
    struct error err;
};

/* --- there and back --------------------------------------------------------------------------- */

static void on_store_done(struct store_call *call, enum status status, const struct error *err)
{
    struct question *question = call->context;
    question->status = status;
    if (status != STATUS_OK) question->err = *err;
    errand_return(&question->errand);
}

static void end(struct question *question)
{
    arena_clear(&question->arena);
    errand_end(&question->errand);
}

/* False: it is answered and over. */
static bool has_answer(struct question *question)
{
    if (question->status == STATUS_OK) return true;
    answer_failure(question->errand.thread, question->errand.exchange, &question->err);
    end(question);
    return false;
}

static void answer_buffer(struct question *question, struct buffer *out)
{
    struct errand *errand = &question->errand;
    struct error err;
    if (buffer_failed(out)) {
        fail(&err, STATUS_EXHAUSTED, "the answer is larger than %d bytes: ask for less at once",
             ANSWER_SIZE_MAX);
        answer_failure(errand->thread, errand->exchange, &err);
    } else {
        answer_json(errand->thread, errand->exchange, buffer_view(out));
    }
}

/* Submits the question, or answers why not. */
static void ask(struct question *question, errand_function *returned, size_t memory_max)
{
    struct errand *errand = &question->errand;
    struct data_parts parts;
    struct error err;
    arena_init(&question->arena, memory_max);
    question->call.arena = &question->arena;
    question->call.done = on_store_done;
    question->call.context = question;
    enum status status = data_get(errand->thread->options->data, &parts, &err);
    if (status == STATUS_OK) {
        errand_begin(errand, returned);
        status = store_submit(parts.store, &question->call, &err);
        if (status == STATUS_OK) return;
        errand_end(errand);
    }
    answer_failure(errand->thread, errand->exchange, &err);
}

static enum status check_id(struct str id, struct error *err)
{
    if (record_id_is_valid(id)) return STATUS_OK;
    return fail(err, STATUS_NOT_FOUND, "there is no record '%.*s'", (int)MIN(id.size, (size_t)64),
                id.data);
}

static struct question *begin(struct server_thread *thread, struct http_exchange *exchange)
{
    struct error err;
    struct question *question = errand_new(thread, exchange, sizeof *question, &err);
    if (!question) answer_failure(thread, exchange, &err);
    return question;
}

/* --- list ------------------------------------------------------------------------------------- */

static void listed(struct errand *errand)
{
    struct question *question = CONTAINER_OF(errand, struct question, errand);
    const struct store_list *list = &question->call.list;
    struct json_writer writer;
    if (!has_answer(question)) return;
    struct buffer *out = http_exchange_scratch(errand->exchange);
    json_writer_init(&writer, out);
    json_begin_object(&writer);
    json_add_name(&writer, STR("results"));
    json_begin_array(&writer);
    for (size_t i = 0; i < list->count && out->size < ANSWER_SIZE_MAX; i++)
        record_write_json(&writer, &list->records[i]);
    json_end_array(&writer);
    if (list->next.size > 0) json_put_string(&writer, STR("next"), list->next);
    json_end_object(&writer);
    if (out->size > ANSWER_SIZE_MAX) out->failed = true;
    answer_buffer(question, out);
    end(question);
}

static enum status read_flag(struct str text, const char *name, bool *ret_value, struct error *err)
{
    bool yes = str_equal(text, STR("true")), no = str_equal(text, STR("false"));
    if (text.data && !yes && !no)
        return fail(err, STATUS_INVALID_ARGUMENT, "%s is true or false, not '%.*s'", name,
                    STR_ARGS(text));
    *ret_value = yes;
    return STATUS_OK;
}

static enum status read_limit(struct str text, uint32_t *ret_limit, struct error *err)
{
    uint64_t limit = PAGE_DEFAULT;
    if (text.data && (!num_read_u64(text, &limit) || limit < 1 || limit > STORE_LIST_MAX))
        return fail(err, STATUS_INVALID_ARGUMENT, "limit is 1 to %d, not '%.*s'", STORE_LIST_MAX,
                    STR_ARGS(text));
    *ret_limit = (uint32_t)limit;
    return STATUS_OK;
}

static enum status read_order(struct str text, bool *ret_ascending, struct error *err)
{
    bool oldest = str_equal(text, STR("oldest"));
    if (text.data && !oldest && !str_equal(text, STR("newest")))
        return fail(err, STATUS_INVALID_ARGUMENT, "order is newest or oldest, not '%.*s'",
                    STR_ARGS(text));
    *ret_ascending = oldest;
    return STATUS_OK;
}

static bool is_list_parameter(struct str name)
{
    static const char *const names[] = {"cursor", "limit", "order", "payload"};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (str_equal(name, str_of(names[i]))) return true;
    for (size_t i = 0; store_filter_names[i]; i++)
        if (str_equal(name, str_of(store_filter_names[i]))) return true;
    return false;
}

/* A filter that is misspelt would show everything: it is refused. */
static enum status check_names(struct str query, struct error *err)
{
    while (query.data) {
        struct str pair = str_cut(&query, '&');
        struct str name = str_cut(&pair, '=');
        if (name.size > 0 && !is_list_parameter(name))
            return fail(err, STATUS_INVALID_ARGUMENT,
                        "'%.*s' is no parameter of this list; docs/results.md has them",
                        STR_ARGS(name));
    }
    return STATUS_OK;
}

static enum status read_list(const struct http_exchange *exchange, struct store_list *list,
                             struct error *err)
{
    struct arena *arena = exchange->arena;
    struct str query = exchange->query;
    uint64_t now_us = clock_wall_ns() / NS_PER_US;
    bool payload;
    TRY(check_names(query, err));
    for (size_t i = 0; store_filter_names[i]; i++) {
        struct str name = str_of(store_filter_names[i]);
        struct str value = query_find(query, name, arena);
        TRY(store_filter_set(&list->filter, name, value, now_us, err));
    }
    list->cursor = query_find(query, STR("cursor"), arena);
    TRY(read_limit(query_find(query, STR("limit"), arena), &list->count_max, err));
    TRY(read_order(query_find(query, STR("order"), arena), &list->ascending, err));
    TRY(read_flag(query_find(query, STR("payload"), arena), "payload", &payload, err));
    list->without_payloads = !payload;
    return STATUS_OK;
}

void results_handle_list(struct server_thread *thread, struct http_exchange *exchange,
                         const struct route_match *match UNUSED)
{
    struct error err;
    struct question *question = begin(thread, exchange);
    if (!question) return;
    question->call.operation = STORE_LIST;
    if (read_list(exchange, &question->call.list, &err) == STATUS_OK)
        ask(question, listed, PAGE_MEMORY_MAX);
    else
        answer_failure(thread, exchange, &err);
}

/* --- one record ------------------------------------------------------------------------------- */

static void got(struct errand *errand)
{
    struct question *question = CONTAINER_OF(errand, struct question, errand);
    struct json_writer writer;
    if (!has_answer(question)) return;
    struct buffer *out = http_exchange_scratch(errand->exchange);
    json_writer_init(&writer, out);
    record_write_json(&writer, &question->call.get.record);
    answer_buffer(question, out);
    end(question);
}

void results_handle_get(struct server_thread *thread, struct http_exchange *exchange,
                        const struct route_match *match)
{
    struct error err;
    struct question *question = begin(thread, exchange);
    if (!question) return;
    question->call.operation = STORE_GET;
    question->call.get.id = match->captures[0];
    if (check_id(match->captures[0], &err) == STATUS_OK)
        ask(question, got, RECORD_MEMORY_MAX);
    else
        answer_failure(thread, exchange, &err);
}

/* --- feedback --------------------------------------------------------------------------------- */

static void labelled(struct errand *errand)
{
    struct question *question = CONTAINER_OF(errand, struct question, errand);
    if (!has_answer(question)) return;
    answer_json(errand->thread, errand->exchange, STR("{}"));
    end(question);
}

/* The body is the label, any JSON; an empty body or null takes it away. */
void results_handle_label(struct server_thread *thread, struct http_exchange *exchange,
                          const struct route_match *match)
{
    struct error err;
    struct question *question = begin(thread, exchange);
    if (!question) return;
    struct str label = str_trim(exchange->body);
    question->call.operation = STORE_LABEL;
    question->call.label.id = match->captures[0];
    question->call.label.label = str_equal(label, STR("null")) ? STR_EMPTY : label;
    if (check_id(match->captures[0], &err) == STATUS_OK)
        ask(question, labelled, RECORD_LABEL_MAX);
    else
        answer_failure(thread, exchange, &err);
}
