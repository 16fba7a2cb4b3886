/* `slipway events`: sample events of every shape a function knows. */
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/rand.h"
#include "cli/command.h"
#include "cli/console.h"
#include "lambda/sample.h"

enum { EVENT_SIZE_MAX = 64 * 1024 * 1024, NAME_SIZE = 128, JSON_MEMORY_MAX = 16 * 1024 * 1024 };

static enum status find_kind(const char *name, enum lambda_sample_kind *ret_kind, struct error *err)
{
    if (lambda_sample_find(str_of(name), ret_kind)) return STATUS_OK;
    struct buffer known CLEANUP(buffer_clear);
    buffer_init(&known, 1024);
    for (int kind = 0; kind < LAMBDA_SAMPLE_KINDS; kind++)
        buffer_add_format(&known, "%s%s", kind ? ", " : "",
                          lambda_sample_name((enum lambda_sample_kind)kind));
    return fail(err, STATUS_INVALID_ARGUMENT, "'%s' is no kind of event; there are %s", name,
                buffer_text(&known));
}

static bool is_of_queue(enum lambda_sample_kind kind)
{
    return kind == LAMBDA_SAMPLE_SQS || kind == LAMBDA_SAMPLE_SQS_FIFO;
}

/* What stands in the event as JSON must be some; a queue's message may be anything. */
static enum status check_body(enum lambda_sample_kind kind, struct str body, struct error *err)
{
    if (!str_is_utf8(body))
        return fail(err, STATUS_INVALID_ARGUMENT, "the body is not UTF-8: no event can carry it");
    if (kind != LAMBDA_SAMPLE_DIRECT && kind != LAMBDA_SAMPLE_EVENTBRIDGE) return STATUS_OK;
    struct json_reader reader;
    struct arena arena;
    arena_init(&arena, JSON_MEMORY_MAX);
    json_reader_init(&reader, body, &arena);
    enum status status = json_skip(&reader, err);
    if (status == STATUS_OK) status = json_end(&reader, err);
    arena_clear(&arena);
    return fail_while(err, status, "the body of a kind '%s'", lambda_sample_name(kind));
}

static enum status check_bodies(const struct lambda_sample *sample, struct error *err)
{
    if (sample->body_count > 1 && !is_of_queue(sample->kind))
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "an event of the kind '%s' has one body, not %zu; of sqs and sqs-fifo it may "
                    "have many",
                    lambda_sample_name(sample->kind), sample->body_count);
    for (size_t i = 0; i < sample->body_count; i++)
        TRY(check_body(sample->kind, sample->bodies[i], err));
    return STATUS_OK;
}

/* The names, as AWS would have them. */
static void set_names(const struct config *config, struct lambda_sample *sample,
                      char queue[NAME_SIZE], struct buffer *path)
{
    bool fifo = sample->kind == LAMBDA_SAMPLE_SQS_FIFO;
    bool named = str_ends_with(str_of(config->events_queue), STR(".fifo"));
    (void)snprintf(queue, NAME_SIZE, "%s%s", config->events_queue, fifo && !named ? ".fifo" : "");
    if (*config->events_path)
        buffer_add_text(path, config->events_path);
    else
        buffer_add_format(path, "/models/%s",
                          *config->events_model ? config->events_model : "doubleit");
    sample->queue = str_of(queue);
    sample->group = str_of(config->events_group);
    sample->model = str_of(config->events_model);
    sample->path = buffer_view(path);
}

/* `nameless`: the sample without its names. */
static enum status print_event(struct command_context *context,
                               const struct lambda_sample *nameless, struct error *err)
{
    struct lambda_sample sample = *nameless;
    char queue[NAME_SIZE];
    struct buffer path CLEANUP(buffer_clear), out;
    buffer_init(&path, 8192);
    set_names(context->config, &sample, queue, &path);
    TRY(check_bodies(&sample, err));
    buffer_init(&out, EVENT_SIZE_MAX);
    lambda_sample_write(&sample, &out);
    return console_flush(&out, context->out, err);
}

enum status cmd_events(struct command_context *context, struct error *err)
{
    static const struct str example = {"[1,2,3,4,5]", 11};
    const struct config_list *arguments = &context->config->positionals;
    if (arguments->count == 0)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "name a kind of event, as in 'slipway events sqs'; see 'slipway help events'");
    struct lambda_sample sample = {.body_count = MAX(arguments->count - 1, (size_t)1),
                                   .now_ms = clock_wall_ns() / NS_PER_MS,
                                   .seed = prng_seed_from_system()};
    TRY(find_kind(arguments->items[0], &sample.kind, err));
    struct str *bodies CLEANUP(mem_freep) = MEM_NEW_ARRAY(struct str, sample.body_count);
    bodies[0] = example;
    for (size_t i = 1; i < arguments->count; i++) bodies[i - 1] = str_of(arguments->items[i]);
    sample.bodies = bodies;
    return print_event(context, &sample, err);
}
