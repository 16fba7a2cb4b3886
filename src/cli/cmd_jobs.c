/* `slipway jobs`: what a server has to run later; submit, wait, cancel, retry. */
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "cli/command.h"
#include "cli/console.h"
#include "cli/input.h"
#include "cli/remote.h"
#include "protocol/oip_json.h"
#include "store/filter.h"
#include "store/record.h"

enum {
    PAGE_SIZE = 500,
    LIST_COUNT = 20,
    PATH_SIZE_MAX = 16 * 1024,
    TEXT_SIZE_MAX = 1 << 30,
    MEMORY_MAX = 1 << 30,
    WAIT_STEP_S = 20, /* of one request; below what proxies cut */
    REQUEST_S = 60,   /* of any other */
};

enum form { FORM_AUTO, FORM_TABLE, FORM_NDJSON, FORM_JSON };

struct work {
    struct command_context *context;
    const struct config *config;
    struct remote *remote;
    struct arena arena;
    struct buffer text; /* what is printed */
    enum form form;
};

/* --- one job as the server tells it ------------------------------------------------------------
 */

struct job {
    struct str raw;
    struct str id, model, version, state, received_at, done_at, group, error;
    uint64_t attempts;
};

static enum status read_member(struct json_reader *reader, struct str key, struct job *job,
                               struct error *err)
{
    const struct {
        struct str name;
        struct str *value;
    } texts[] = {
        {STR("id"), &job->id},           {STR("model"), &job->model},
        {STR("version"), &job->version}, {STR("state"), &job->state},
        {STR("group"), &job->group},     {STR("received_at"), &job->received_at},
        {STR("error"), &job->error},     {STR("done_at"), &job->done_at},
    };
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        if (str_equal(key, texts[i].name)) return json_read_string(reader, texts[i].value, err);
    if (str_equal(key, STR("attempts"))) return json_read_u64(reader, &job->attempts, err);
    return json_skip(reader, err);
}

static enum status read_job(struct work *work, struct str raw, struct job *ret_job,
                            struct error *err)
{
    struct json_reader reader;
    struct job job = {.raw = raw};
    bool more = true;
    json_reader_init(&reader, raw, &work->arena);
    TRY(json_open_object(&reader, err));
    while (more) {
        struct str key;
        TRY(json_next_member(&reader, &key, &more, err));
        if (more) TRY(read_member(&reader, key, &job, err));
    }
    *ret_job = job;
    return STATUS_OK;
}

/* --- asking ------------------------------------------------------------------------------------
 */

/* An answer of 200 or 202; it lasts as long as the arena. */
static enum status ask(struct work *work, const struct client_request *request,
                       struct str *ret_body, struct error *err)
{
    struct client_response response;
    TRY(remote_send(work->remote, request, &response, err));
    if (response.status != 200 && response.status != 202) return remote_fail(&response, err);
    *ret_body = arena_try_copy(&work->arena, response.body);
    if (!ret_body->data)
        return fail(err, STATUS_EXHAUSTED, "an answer of %zu bytes is too large",
                    response.body.size);
    return STATUS_OK;
}

static enum status check_id(struct str id, struct error *err)
{
    if (record_id_is_valid(id)) return STATUS_OK;
    return fail(err, STATUS_INVALID_ARGUMENT,
                "'%.*s' is no id of a job: 'slipway jobs list' shows them", STR_ARGS(id));
}

static enum status ask_job(struct work *work, const char *method, const char *id,
                           const char *suffix, struct job *ret_job, struct error *err)
{
    struct str body;
    TRY(check_id(str_of(id), err));
    char *path CLEANUP(mem_freep) = mem_format("/v2/jobs/%s%s", id, suffix);
    struct client_request request = {.method = method, .path = path, .accept_compressed = true};
    TRY(ask(work, &request, &body, err));
    return fail_while(err, read_job(work, body, ret_job, err), "reading the server's answer");
}

/* --- list --------------------------------------------------------------------------------------
 */

static const char *const columns[] = {"id",    "received", "model", "version",
                                      "state", "attempts", "group", "error"};

static void add_cell(struct table *table, struct str text)
{
    struct str shown = text.size > 0 ? text : STR("-");
    table_add_format(table, "%.*s", (int)MIN(shown.size, (size_t)80), shown.data);
}

static void add_row(struct table *table, const struct job *job)
{
    add_cell(table, job->id);
    add_cell(table, job->received_at);
    add_cell(table, job->model);
    add_cell(table, job->version);
    add_cell(table, job->state);
    table_add_format(table, "%llu", (unsigned long long)job->attempts);
    add_cell(table, job->group);
    table_add_format(table, "%.*s", (int)MIN(job->error.size, (size_t)80),
                     job->error.data ? job->error.data : "");
}

static void add_job(struct work *work, const struct job *job, uint64_t index, struct table *table)
{
    if (work->form == FORM_TABLE) {
        add_row(table, job);
        return;
    }
    if (work->form == FORM_JSON) buffer_add(&work->text, index == 0 ? STR("[") : STR(",\n"));
    buffer_add(&work->text, job->raw);
    if (work->form == FORM_NDJSON) buffer_add_byte(&work->text, '\n');
}

/* "since" and "until" as people write them, as the server reads them: seconds since 1970. */
static enum status add_times(const struct config *config, struct buffer *path, struct error *err)
{
    struct store_filter filter = {0};
    uint64_t now_us = clock_wall_ns() / NS_PER_US;
    char text[32];
    TRY(store_filter_set(&filter, STR("since"), str_of(config->job_since), now_us, err));
    if (filter.since_us == 0) return STATUS_OK;
    int size = snprintf(text, sizeof text, "%llu", (unsigned long long)filter.since_us / 1000000);
    remote_add_parameter(path, "since", (struct str){text, (size_t)size});
    return STATUS_OK;
}

static enum status list_path(const struct config *config, uint64_t count, struct str cursor,
                             struct buffer *path, struct error *err)
{
    char limit[24];
    int size = snprintf(limit, sizeof limit, "%llu", (unsigned long long)count);
    buffer_add_text(path, "/v2/jobs");
    remote_add_parameter(path, "state", str_of(config->job_state));
    remote_add_parameter(path, "model", str_of(config->job_model));
    remote_add_parameter(path, "group", str_of(config->job_group));
    remote_add_parameter(path, "idempotency_key", str_of(config->job_key));
    TRY(add_times(config, path, err));
    remote_add_parameter(path, "limit", (struct str){limit, (size_t)size});
    if (config->job_oldest) remote_add_parameter(path, "order", STR("oldest"));
    remote_add_parameter(path, "cursor", cursor);
    return STATUS_OK;
}

/* Adds one page's jobs; *count grows with them. */
static enum status read_page(struct work *work, struct str body, struct table *table,
                             uint64_t *count, struct str *ret_next, struct error *err)
{
    struct json_reader reader;
    struct str key, raw;
    struct job job;
    bool more = true, another;
    *ret_next = STR_EMPTY;
    json_reader_init(&reader, body, &work->arena);
    TRY(json_open_object(&reader, err));
    for (;;) {
        TRY(json_next_member(&reader, &key, &more, err));
        if (!more) return STATUS_OK;
        if (str_equal(key, STR("next"))) {
            TRY(json_read_string(&reader, ret_next, err));
            continue;
        }
        if (!str_equal(key, STR("jobs"))) {
            TRY(json_skip(&reader, err));
            continue;
        }
        TRY(json_open_array(&reader, err));
        for (;;) {
            TRY(json_next_element(&reader, &another, err));
            if (!another) break;
            TRY(json_read_raw(&reader, &raw, err));
            TRY(read_job(work, raw, &job, err));
            add_job(work, &job, (*count)++, table);
        }
    }
}

static enum status list_pages(struct work *work, struct table *table, uint64_t *count,
                              struct error *err)
{
    const struct config *config = work->config;
    uint64_t limit = config->job_all ? UINT64_MAX : config->job_limit;
    struct str next = STR_EMPTY;
    char cursor[1024] = "";
    do {
        struct buffer path CLEANUP(buffer_clear);
        struct str body;
        buffer_init(&path, PATH_SIZE_MAX);
        uint64_t page = MIN(limit - *count, (uint64_t)PAGE_SIZE);
        TRY(list_path(config, page, str_of(cursor), &path, err));
        arena_reset(&work->arena);
        struct client_request request = {.path = buffer_text(&path), .accept_compressed = true};
        TRY(ask(work, &request, &body, err));
        TRY(fail_while(err, read_page(work, body, table, count, &next, err),
                       "reading the server's answer"));
        (void)snprintf(cursor, sizeof cursor, "%.*s", STR_ARGS(next));
        if (work->form == FORM_NDJSON) TRY(console_flush(&work->text, work->context->out, err));
    } while (next.size > 0 && next.size < sizeof cursor && *count < limit);
    return STATUS_OK;
}

static enum status run_list(struct work *work, struct error *err)
{
    struct table table;
    uint64_t count = 0;
    if (work->form == FORM_AUTO) work->form = FORM_TABLE;
    table_init(&table, COUNT_OF(columns));
    for (size_t i = 0; i < COUNT_OF(columns); i++) table_add(&table, columns[i]);
    enum status status = list_pages(work, &table, &count, err);
    if (status == STATUS_OK && work->form == FORM_TABLE) table_print(&table, &work->text);
    if (status == STATUS_OK && work->form == FORM_JSON)
        buffer_add(&work->text, count == 0 ? STR("[]\n") : STR("]\n"));
    table_clear(&table);
    return status;
}

/* --- show, cancel, retry, wait -----------------------------------------------------------------
 */

static void print_raw(struct work *work, struct str raw)
{
    buffer_add(&work->text, raw);
    buffer_add_byte(&work->text, '\n');
}

static enum status run_show(struct work *work, struct error *err)
{
    struct job job;
    TRY(ask_job(work, NULL, work->config->positionals.items[1], "", &job, err));
    print_raw(work, job.raw);
    return STATUS_OK;
}

/* Each of the ids; those before one that fails have been done. */
static enum status change_each(struct work *work, const char *suffix, struct error *err)
{
    const struct config_list *ids = &work->config->positionals;
    for (size_t i = 1; i < ids->count; i++) {
        struct job job;
        TRY(ask_job(work, "POST", ids->items[i], suffix, &job, err));
        if (work->form == FORM_NDJSON || work->form == FORM_JSON)
            print_raw(work, job.raw);
        else
            buffer_add_format(&work->text, "%.*s %.*s\n", STR_ARGS(job.id), STR_ARGS(job.state));
        TRY(console_flush(&work->text, work->context->out, err));
    }
    return STATUS_OK;
}

static enum status run_cancel(struct work *work, struct error *err)
{
    return change_each(work, "/cancel", err);
}

static enum status run_retry(struct work *work, struct error *err)
{
    return change_each(work, "/retry", err);
}

static bool is_over(const struct job *job)
{
    enum record_state state;
    return record_state_of(job->state, &state) && record_state_is_final(state);
}

/* The job is printed however it ended; the exit code says whether it succeeded. */
static enum status run_wait(struct work *work, struct error *err)
{
    const char *id = work->config->positionals.items[1];
    uint64_t until_ns = clock_monotonic_ns() + work->config->job_timeout_ns;
    struct job job;
    for (;;) {
        uint64_t now_ns = clock_monotonic_ns();
        uint64_t left_ms = until_ns > now_ns ? (until_ns - now_ns) / NS_PER_MS : 0;
        char suffix[40];
        (void)snprintf(suffix, sizeof suffix, "?wait=%llums",
                       (unsigned long long)MIN(left_ms, (uint64_t)WAIT_STEP_S * 1000));
        arena_reset(&work->arena);
        TRY(ask_job(work, NULL, id, suffix, &job, err));
        if (is_over(&job)) break;
        if (left_ms == 0)
            return fail(err, STATUS_DEADLINE_EXCEEDED, "job '%s' is %.*s after %llu ms (--timeout)",
                        id, STR_ARGS(job.state),
                        (unsigned long long)(work->config->job_timeout_ns / NS_PER_MS));
    }
    print_raw(work, job.raw);
    if (str_equal(job.state, STR("succeeded"))) return STATUS_OK;
    TRY(console_flush(&work->text, work->context->out, err));
    return fail(err, STATUS_ABORTED, "job '%s' %s%.*s%s%.*s", id,
                str_equal(job.state, STR("failed")) ? "" : "was ", STR_ARGS(job.state),
                job.error.size > 0 ? ": " : "", STR_ARGS(job.error));
}

/* --- submit ------------------------------------------------------------------------------------
 */

static enum status read_input(struct work *work, struct str model, struct buffer *body,
                              struct error *err)
{
    const struct config *config = work->config;
    struct infer_request request;
    struct infer_spec spec;
    struct buffer text CLEANUP(buffer_clear);
    const char *path = *config->job_file ? config->job_file : "-";
    buffer_init(&text, TEXT_SIZE_MAX);
    TRY(remote_spec(work->remote, model, str_of(config->job_model_version), &work->arena, &spec,
                    err));
    infer_request_init(&request, &work->arena);
    for (size_t i = 0; i < config->job_input.count; i++)
        TRY(input_read_flag(config->job_input.items[i], &spec, &request, err));
    if (config->job_input.count == 0) {
        TRY(console_read_file(path, TEXT_SIZE_MAX, &text, err));
        enum status status =
            input_read_text(buffer_view(&text), INPUT_FORMAT_AUTO, &spec, &request, err);
        TRY(fail_while(err, status, "reading '%s'", path));
    }
    TRY(oip_json_write_request(&request, body, err));
    if (buffer_failed(body)) return fail(err, STATUS_EXHAUSTED, "the input is too large");
    return STATUS_OK;
}

static void submit_path(const struct config *config, struct str model, struct buffer *path)
{
    char *plain = remote_model_path(model, str_of(config->job_model_version), "/jobs");
    buffer_add_text(path, plain);
    mem_free(plain);
    remote_add_parameter(path, "group", str_of(config->job_group));
    remote_add_parameter(path, "delay", str_of(config->job_delay));
    remote_add_parameter(path, "ttl", str_of(config->job_ttl));
    remote_add_parameter(path, "priority", str_of(config->job_priority));
    remote_add_parameter(path, "callback", str_of(config->job_callback));
}

static enum status run_submit(struct work *work, struct error *err)
{
    const struct config *config = work->config;
    struct str model = str_of(config->positionals.items[1]), answer;
    struct buffer body CLEANUP(buffer_clear), path CLEANUP(buffer_clear);
    struct client_field key = {STR("Idempotency-Key"), str_of(config->job_key)};
    struct job job;
    buffer_init(&body, TEXT_SIZE_MAX);
    buffer_init(&path, PATH_SIZE_MAX);
    TRY(read_input(work, model, &body, err));
    submit_path(config, model, &path);
    struct client_request request = {
        .method = "POST",
        .path = buffer_text(&path),
        .content_type = "application/json",
        .fields = &key,
        .field_count = key.value.size > 0 ? 1 : 0,
        .body = buffer_view(&body),
    };
    TRY(ask(work, &request, &answer, err));
    TRY(fail_while(err, read_job(work, answer, &job, err), "reading the server's answer"));
    print_raw(work, work->form == FORM_NDJSON || work->form == FORM_JSON ? job.raw : job.id);
    return STATUS_OK;
}

/* --- the command -------------------------------------------------------------------------------
 */

static const struct verb {
    const char *name;
    size_t arguments; /* the verb counted in */
    bool many;        /* more of them are welcome */
    const char *usage;
    enum status (*run)(struct work *work, struct error *err);
} verbs[] = {
    {"list", 1, false, "list", run_list},
    {"show", 2, false, "show ID", run_show},
    {"submit", 2, false, "submit MODEL", run_submit},
    {"wait", 2, false, "wait ID", run_wait},
    {"cancel", 2, true, "cancel ID...", run_cancel},
    {"retry", 2, true, "retry ID...", run_retry},
};

static enum status find_verb(const struct config *config, const struct verb **ret_verb,
                             struct error *err)
{
    const struct config_list *arguments = &config->positionals;
    const char *name = arguments->count > 0 ? arguments->items[0] : "";
    for (size_t i = 0; i < COUNT_OF(verbs); i++) {
        const struct verb *verb = &verbs[i];
        if (strcmp(verb->name, name) != 0) continue;
        if (verb->arguments != arguments->count &&
            !(verb->many && arguments->count > verb->arguments))
            return fail(err, STATUS_INVALID_ARGUMENT, "usage: slipway jobs %s", verb->usage);
        *ret_verb = verb;
        return STATUS_OK;
    }
    return fail(err, STATUS_INVALID_ARGUMENT,
                "'%s' is none of list, show, submit, wait, cancel, retry", name);
}

enum status cmd_jobs(struct command_context *context, struct error *err)
{
    const struct config *config = context->config;
    struct work work = {
        .context = context, .config = config, .form = (enum form)config->job_format};
    const struct verb *verb;
    TRY(find_verb(config, &verb, err));
    TRY(remote_open(config->job_url, REQUEST_S * NS_PER_S, &work.remote, err));
    arena_init(&work.arena, MEMORY_MAX);
    buffer_init(&work.text, TEXT_SIZE_MAX);
    enum status status = verb->run(&work, err);
    if (status == STATUS_OK) status = console_flush(&work.text, context->out, err);
    buffer_clear(&work.text);
    arena_clear(&work.arena);
    remote_close(work.remote);
    return status;
}
