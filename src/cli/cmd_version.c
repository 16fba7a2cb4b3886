/* `slipway version`: what this is, in text or JSON. */
#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"
#include "cli/command.h"
#include "engine/loader.h"

#ifndef SLIPWAY_COMMIT
#define SLIPWAY_COMMIT "unknown"
#endif

#if defined(__clang__)
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

static void add_engine(void *context, const char *name)
{
    json_add_string(context, str_of(name));
}

/* Of a file that cannot be read: none. */
static void put_digest(struct json_writer *writer, struct str name, const char *path)
{
    uint8_t digest[SHA256_SIZE];
    char text[SHA256_HEX_SIZE];
    struct error err;
    if (!path || sha256_of_file(path, digest, &err) != STATUS_OK) return;
    sha256_hex(digest, text);
    json_put_string(writer, name, str_of(text));
}

struct digests {
    struct json_writer *writer;
    const struct engine_registry *engines;
};

static void add_digest(void *context, const char *name)
{
    const struct digests *digests = context;
    char *path CLEANUP(mem_freep) = engine_file(digests->engines, name);
    put_digest(digests->writer, str_of(name), path);
}

/* SHA-256 of the program's file and of each engine's. */
static void print_digests(struct json_writer *writer, struct engine_registry *engines)
{
    struct digests digests = {writer, engines};
    json_add_name(writer, STR("digests"));
    json_begin_object(writer);
    put_digest(writer, STR("slipway"), "/proc/self/exe");
    engine_registry_visit(engines, add_digest, &digests);
    json_end_object(writer);
}

static void print_json(struct buffer *out, struct engine_registry *engines)
{
    struct json_writer writer;
    json_writer_init(&writer, out);
    json_begin_object(&writer);
    json_put_string(&writer, STR("version"), STR(SLIPWAY_VERSION));
    json_put_string(&writer, STR("commit"), STR(SLIPWAY_COMMIT));
    json_put_string(&writer, STR("compiler"), STR(COMPILER));
    json_put_i64(&writer, STR("engine_abi"), SLIPWAY_ENGINE_ABI_VERSION);
    json_add_name(&writer, STR("engines"));
    json_begin_array(&writer);
    engine_registry_visit(engines, add_engine, &writer);
    json_end_array(&writer);
    print_digests(&writer, engines);
    json_end_object(&writer);
    buffer_add_byte(out, '\n');
}

static void add_engine_text(void *context, const char *name)
{
    buffer_add_format(context, " %s", name);
}

static void print_text(struct buffer *out, struct engine_registry *engines)
{
    buffer_add_text(out, "slipway " SLIPWAY_VERSION "\n"
                         "commit:   " SLIPWAY_COMMIT "\n"
                         "compiler: " COMPILER "\n"
                         "engines: ");
    size_t before = out->size;
    engine_registry_visit(engines, add_engine_text, out);
    if (out->size == before) buffer_add_text(out, " none");
    buffer_add_format(out, " (ABI %d)\n", SLIPWAY_ENGINE_ABI_VERSION);
}

enum status cmd_version(struct command_context *context, struct error *err)
{
    if (context->config->positionals.count > 0)
        return fail(err, STATUS_INVALID_ARGUMENT, "version takes no argument '%s'",
                    context->config->positionals.items[0]);
    struct engine_registry *engines = engine_registry_new(context->config->engine_directory);
    struct buffer text;
    buffer_init(&text, 64 * 1024);
    if (context->config->version_json)
        print_json(&text, engines);
    else
        print_text(&text, engines);
    (void)fwrite(buffer_text(&text), 1, text.size, context->out); /* flushed and checked by main */
    buffer_clear(&text);
    engine_registry_free(engines);
    return STATUS_OK;
}
