/* Repositories with the echo engine: what is found, loaded, reloaded, kept, unloaded. */
#include "base/clock.h"
#include "base/mem.h"
#include "engine/loader.h"
#include "serve/core.h"
#include "serve/file.h"
#include "serve/settings.h"
#include "test.h"

#include <sys/stat.h>
#include <unistd.h>

#define MODEL "input x FP32 [-1,4]\noutput y x\n"

struct place {
    char root[256];
    struct engine_registry *engines;
    struct serve *serve;
    struct loop *loop;
    struct serve_lane *lane;
};

static void place_init(struct place *place)
{
    memset(place, 0, sizeof *place);
    (void)snprintf(place->root, sizeof place->root, WORK_DIRECTORY "/repository.XXXXXX");
    if (!mkdtemp(place->root)) abort();
}

/* Replaces a file of the repository. */
static void put(const struct place *place, const char *name, const char *text)
{
    struct error err;
    char *path CLEANUP(mem_freep) = mem_format("%s/%s", place->root, name);
    (void)unlink(path);
    EXPECT_STATUS(file_write_inside(place->root, str_of(name), str_of(text), &err), STATUS_OK, err);
}

static void drop(const struct place *place, const char *name)
{
    char *path CLEANUP(mem_freep) = mem_format("%s/%s", place->root, name);
    file_remove_tree(path);
}

static bool ready_despite_failures; /* of the next begin */

static void begin(struct place *place, enum serve_control control, const char *startup)
{
    struct error err;
    const char *root = place->root;
    place->engines = engine_registry_new(ENGINE_DIRECTORY);
    const struct serve_options options = {.engines = place->engines,
                                          .repositories = &root,
                                          .repository_count = 1,
                                          .control = control,
                                          .startup = &startup,
                                          .startup_count = startup ? 1 : 0,
                                          .poll_interval_ms = 20,
                                          .ready_despite_failures = ready_despite_failures};
    EXPECT_STATUS(serve_new(&options, &place->serve, &err), STATUS_OK, err);
    EXPECT_STATUS(serve_start_loading(place->serve, &err), STATUS_OK, err);
    EXPECT_STATUS(loop_new(&(struct loop_options){0}, &place->loop, &err), STATUS_OK, err);
    place->lane = serve_lane_new(place->serve, place->loop);
    EXPECT(serve_wait_started(place->serve, 20 * NS_PER_S));
}

static void end(struct place *place)
{
    serve_lane_free(place->lane);
    serve_free(place->serve);
    loop_free(place->loop);
    engine_registry_free(place->engines);
    file_remove_tree(place->root);
}

/* "a:1:READY b::": the index as one text. */
static const char *index_text(struct place *place, bool only_ready)
{
    static char text[2048];
    struct serve_index index;
    size_t used = 0;
    text[0] = '\0';
    serve_index_read(place->serve, only_ready, &index);
    for (size_t i = 0; i < index.count; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s:%s:%s", i ? " " : "",
                                 index.rows[i].name, index.rows[i].version, index.rows[i].state);
    serve_index_clear(&index);
    return text;
}

static bool index_becomes(struct place *place, const char *wanted)
{
    uint64_t end_ns = clock_monotonic_ns() + 10 * NS_PER_S;
    while (clock_monotonic_ns() < end_ns) {
        loop_turn(place->loop, NS_PER_MS);
        if (strcmp(index_text(place, false), wanted) == 0) return true;
    }
    (void)printf("index is '%s', not '%s'\n", index_text(place, false), wanted);
    return false;
}

static enum status find(struct place *place, const char *name, const char *version,
                        struct serve_model **ret_model)
{
    struct error err;
    return serve_find(place->lane, str_of(name), str_of(version), ret_model, &err);
}

struct control {
    bool done;
    enum status status;
    struct error error;
};

static void control_done(void *context, enum status status, const struct error *err)
{
    struct control *control = context;
    control->done = true;
    control->status = status;
    if (err) control->error = *err;
}

static void wait_for(struct place *place, struct control *control)
{
    uint64_t end_ns = clock_monotonic_ns() + 10 * NS_PER_S;
    while (!control->done && clock_monotonic_ns() < end_ns) loop_turn(place->loop, NS_PER_MS);
    EXPECT(control->done);
}

static enum status load(struct place *place, const char *name,
                        const struct serve_load_overrides *overrides, struct error *err)
{
    struct control control = {0};
    TRY(serve_load(place->serve, place->lane, str_of(name), overrides, control_done, &control,
                   err));
    wait_for(place, &control);
    *err = control.error;
    return control.status;
}

static enum status unload(struct place *place, const char *name, struct error *err)
{
    struct control control = {0};
    TRY(serve_unload(place->serve, place->lane, str_of(name), control_done, &control, err));
    wait_for(place, &control);
    *err = control.error;
    return control.status;
}

TEST(all_layouts_are_found_and_bad_models_do_not_stop_the_others)
{
    struct place place;
    place_init(&place);
    put(&place, "triton/1/model.echo", MODEL "end\n");
    put(&place, "triton/3/model.echo", MODEL "end\n");
    put(&place, "triton/config.pbtxt", "max_batch_size: 8\n");
    put(&place, "direct/model.echo", MODEL "end\n");
    put(&place, "direct/model.yaml", "max_batch_size: 4\n");
    put(&place, "lone.echo", MODEL "end\n");
    put(&place, "README.md", "not a model\n");
    put(&place, "training/make.py", "not a model\n");
    put(&place, "broken/1/model.echo", "nonsense\n");
    put(&place, "refused/1/model.echo", MODEL "fail_load EXHAUSTED\nend\n");
    put(&place, "config/config.pbtxt", "no_such_field: 1\n");
    put(&place, "config/1/model.echo", MODEL "end\n");
    put(&place, "empty/config.pbtxt", "max_batch_size: 1\n");
    begin(&place, SERVE_CONTROL_NONE, NULL);
    EXPECT_TEXT(index_text(&place, false),
                "broken:1:UNAVAILABLE config::UNAVAILABLE direct:1:READY empty::UNAVAILABLE "
                "lone:1:READY refused:1:UNAVAILABLE triton:3:READY");
    EXPECT_TEXT(index_text(&place, true), "direct:1:READY lone:1:READY triton:3:READY");
    EXPECT(!serve_is_ready(place.serve));
    struct serve_model *model;
    REQUIRE(find(&place, "triton", "", &model) == STATUS_OK);
    EXPECT_STR(serve_model_version(model), STR("3"));
    EXPECT_INT(serve_model_spec(model)->batch_size_max, 8);
    EXPECT_INT(serve_model_spec(model)->inputs[0].dims[0], -1);
    EXPECT_INT(serve_model_spec(model)->inputs[0].dims[1], 4);
    EXPECT_STATUS(find(&place, "triton", "1", &model), STATUS_NOT_FOUND, (struct error){0});
    EXPECT_STATUS(find(&place, "broken", "", &model), STATUS_UNAVAILABLE, (struct error){0});
    EXPECT_STATUS(find(&place, "nothing", "", &model), STATUS_INVALID_ARGUMENT, (struct error){0});
    struct error err;
    EXPECT_STATUS(serve_load(place.serve, place.lane, STR("lone"), NULL, control_done, NULL, &err),
                  STATUS_UNAVAILABLE, err);
    end(&place);
}

TEST(version_policies_choose)
{
    struct place place;
    place_init(&place);
    for (int version = 1; version <= 4; version++) {
        static const char *const names[] = {"all", "latest", "some"};
        for (size_t i = 0; i < COUNT_OF(names); i++) {
            char *path CLEANUP(mem_freep) = mem_format("%s/%d/model.echo", names[i], version);
            put(&place, path, MODEL "end\n");
        }
    }
    put(&place, "all/config.pbtxt", "version_policy: { all: {} }\n");
    put(&place, "latest/config.pbtxt", "version_policy: { latest: { num_versions: 2 } }\n");
    put(&place, "some/config.pbtxt", "version_policy: { specific: { versions: [1, 3] } }\n");
    begin(&place, SERVE_CONTROL_NONE, NULL);
    EXPECT_TEXT(index_text(&place, false),
                "all:1:READY all:2:READY all:3:READY all:4:READY latest:3:READY latest:4:READY "
                "some:1:READY some:3:READY");
    EXPECT(serve_is_ready(place.serve));
    const struct str *versions;
    EXPECT_INT(serve_versions(place.lane, STR("some"), &versions), 2);
    EXPECT_STR(versions[1], STR("3"));
    serve_drain(place.serve);
    EXPECT(!serve_is_ready(place.serve));
    end(&place);
}

TEST(a_model_directory_and_a_file_are_repositories_of_one)
{
    struct error err;
    struct place place;
    place_init(&place);
    put(&place, "doubleit/model.echo", MODEL "end\n");
    put(&place, "single.echo", MODEL "end\n");
    char *directory CLEANUP(mem_freep) = mem_format("%s/doubleit", place.root);
    char *inside CLEANUP(mem_freep) = mem_format("%s/doubleit/model.echo", place.root);
    char *file CLEANUP(mem_freep) = mem_format("%s/single.echo", place.root);
    const char *const paths[] = {directory, inside, file};
    static const char *const names[] = {"doubleit:1:READY", "doubleit:1:READY", "single:1:READY"};
    for (size_t i = 0; i < COUNT_OF(paths); i++) {
        struct serve_options options = {.repositories = &paths[i], .repository_count = 1};
        options.engines = place.engines = engine_registry_new(ENGINE_DIRECTORY);
        EXPECT_STATUS(serve_new(&options, &place.serve, &err), STATUS_OK, err);
        EXPECT_STATUS(serve_start_loading(place.serve, &err), STATUS_OK, err);
        EXPECT(serve_wait_started(place.serve, 10 * NS_PER_S));
        EXPECT_TEXT(index_text(&place, false), names[i]);
        serve_free(place.serve);
        engine_registry_free(place.engines);
    }
    const char *missing = "/nonexistent/models";
    struct serve_options options = {.repositories = &missing, .repository_count = 1};
    EXPECT_STATUS(serve_new(&options, &place.serve, &err), STATUS_NOT_FOUND, err);
    file_remove_tree(place.root);
}

TEST(polling_follows_changes_and_never_loses_what_works)
{
    struct place place;
    place_init(&place);
    put(&place, "m/1/model.echo", MODEL "end\n");
    begin(&place, SERVE_CONTROL_POLL, NULL);
    EXPECT_TEXT(index_text(&place, false), "m:1:READY");
    struct serve_model *model;
    REQUIRE(find(&place, "m", "", &model) == STATUS_OK);
    struct model *first = model->model;

    put(&place, "m/1/model.echo", MODEL "end\n"); /* other times, the same content: not reloaded */
    put(&place, "other/1/model.echo", MODEL "end\n");
    EXPECT(index_becomes(&place, "m:1:READY other:1:READY"));
    REQUIRE(find(&place, "m", "", &model) == STATUS_OK);
    EXPECT(model->model == first);

    put(&place, "m/2/model.echo", "half a fi"); /* a version that does not load */
    EXPECT(index_becomes(&place, "m:1:READY m:2:UNAVAILABLE other:1:READY"));
    REQUIRE(find(&place, "m", "", &model) == STATUS_OK);
    EXPECT_STR(serve_model_version(model), STR("1"));

    put(&place, "m/2/model.echo", MODEL "# whole\nend\n");
    EXPECT(index_becomes(&place, "m:2:READY other:1:READY"));
    loop_turn(place.loop, 0);
    REQUIRE(find(&place, "m", "", &model) == STATUS_OK);
    EXPECT_STR(serve_model_version(model), STR("2"));

    put(&place, "m/2/model.echo", "damaged"); /* what serves goes on */
    (void)usleep(100000);
    EXPECT(index_becomes(&place, "m:2:READY other:1:READY"));
    EXPECT(find(&place, "m", "2", &model) == STATUS_OK);

    drop(&place, "other");
    EXPECT(index_becomes(&place, "m:2:READY"));
    struct error err;
    EXPECT_STATUS(serve_load(place.serve, NULL, STR("m"), NULL, control_done, NULL, &err),
                  STATUS_UNAVAILABLE, err);
    EXPECT_TEXT(err.message, "explicit model load / unload is not allowed if polling is enabled");
    end(&place);
}

TEST(explicit_control_loads_and_unloads_by_name)
{
    struct place place;
    struct error err;
    struct serve_model *model;
    place_init(&place);
    put(&place, "a/1/model.echo", MODEL "end\n");
    put(&place, "b/1/model.echo", MODEL "end\n");
    put(&place, "bad/1/model.echo", "nonsense");
    put(&place, "none/config.pbtxt", "version_policy: { specific: { versions: [7] } }\n");
    put(&place, "none/1/model.echo", MODEL "end\n");
    begin(&place, SERVE_CONTROL_EXPLICIT, "a");
    EXPECT_TEXT(index_text(&place, false), "a:1:READY b:: bad:: none::");
    EXPECT(serve_is_ready(place.serve));
    EXPECT_STATUS(load(&place, "b", NULL, &err), STATUS_OK, err);
    EXPECT(find(&place, "b", "1", &model) == STATUS_OK);
    EXPECT_STATUS(load(&place, "b", NULL, &err), STATUS_OK, err); /* again: nothing to do */
    EXPECT_STATUS(unload(&place, "a", &err), STATUS_OK, err);
    EXPECT(find(&place, "a", "", &model) == STATUS_INVALID_ARGUMENT);
    EXPECT_TEXT(index_text(&place, false), "a:: b:1:READY bad:: none::");
    EXPECT_STATUS(unload(&place, "a", &err), STATUS_OK, err);
    EXPECT_STATUS(load(&place, "bad", NULL, &err), STATUS_INTERNAL, err);
    EXPECT(strstr(err.message, "load failed for model 'bad': version 1") != NULL);
    EXPECT_STATUS(load(&place, "none", NULL, &err), STATUS_INTERNAL, err);
    EXPECT_TEXT(err.message, "failed to load 'none', no version is available");
    EXPECT_STATUS(load(&place, "ghost", NULL, &err), STATUS_INTERNAL, err);
    EXPECT_TEXT(err.message, "failed to load 'ghost', failed to poll from model repository");
    EXPECT_STATUS(load(&place, "../a", NULL, &err), STATUS_INVALID_ARGUMENT, err);
    EXPECT_TEXT(err.message, "invalid model name '../a', model name must not contain path "
                             "traversal characters");
    EXPECT_STATUS(load(&place, "", NULL, &err), STATUS_INVALID_ARGUMENT, err);
    EXPECT_TEXT(err.message, "Model name cannot be empty. Please enter a valid name to deploy.");
    static const char *const wild[] = {"..", ".", "a/b", "a\\b", "/etc"};
    for (size_t i = 0; i < COUNT_OF(wild); i++)
        EXPECT_STATUS(load(&place, wild[i], NULL, &err), STATUS_INVALID_ARGUMENT, err);
    end(&place);
}

TEST(a_load_may_bring_its_configuration_and_files)
{
    struct place place;
    struct error err;
    struct serve_model *model;
    place_init(&place);
    put(&place, "a/1/model.echo", MODEL "end\n");
    begin(&place, SERVE_CONTROL_EXPLICIT, "a");
    struct serve_load_overrides overrides = {.config = STR("{\"max_batch_size\": 16}")};
    EXPECT_STATUS(load(&place, "a", &overrides, &err), STATUS_OK, err);
    REQUIRE(find(&place, "a", "", &model) == STATUS_OK);
    EXPECT_INT(serve_model_spec(model)->batch_size_max, 16);

    struct serve_load_file file = {STR("5/model.echo"), STR(MODEL "end\n")};
    overrides.files = &file, overrides.file_count = 1;
    EXPECT_STATUS(load(&place, "a", &overrides, &err), STATUS_OK, err);
    EXPECT(index_becomes(&place, "a:5:READY"));
    EXPECT_STATUS(load(&place, "new", &overrides, &err), STATUS_OK, err);
    EXPECT(find(&place, "new", "5", &model) == STATUS_OK);

    char component[400] = "1/";
    memset(component + 2, 'x', 300);
    const char *const wrong[] = {"../x", "1/../../x", "/etc/x", "model.echo",
                                 "0/m",  "1//m",      component};
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        file.path = str_of(wrong[i]);
        EXPECT_STATUS(load(&place, "a", &overrides, &err), STATUS_INVALID_ARGUMENT, err);
    }
    file.path = STR("1/model.echo");
    overrides.config = (struct str){NULL, 0};
    EXPECT_STATUS(load(&place, "a", &overrides, &err), STATUS_INVALID_ARGUMENT, err);
    overrides.config = STR("{nonsense");
    EXPECT_STATUS(load(&place, "a", &overrides, &err), STATUS_INVALID_ARGUMENT, err);
    EXPECT(index_becomes(&place, "a:5:READY new:5:READY")); /* nothing was lost */
    EXPECT_STATUS(unload(&place, "new", &err), STATUS_OK, err);
    EXPECT(index_becomes(&place, "a:5:READY"));
    end(&place);
}

TEST(settings_come_from_the_configuration)
{
    struct place place;
    struct serve_model *model;
    place_init(&place);
    put(&place, "m/1/model.echo", "input x FP32 [-1,4]\noutput y x\nend\n");
    put(&place, "m/labels.txt", "cat\ndog\r\n");
    put(&place, "m/config.pbtxt",
        "max_batch_size: 32\n"
        "output { name: \"y\" data_type: TYPE_FP32 dims: [ 4 ] label_filename: \"labels.txt\" }\n"
        "instance_group { count: 3 }\n"
        "dynamic_batching { preferred_batch_size: [ 8, 4 ] max_queue_delay_microseconds: 500\n"
        "  priority_levels: 3 default_priority_level: 2\n"
        "  default_queue_policy { default_timeout_microseconds: 900 max_queue_size: 7 }\n"
        "  priority_queue_policy { key: 1 value { timeout_action: DELAY } } }\n"
        "model_warmup { name: \"w\" batch_size: 2\n"
        "  inputs { key: \"x\" value { data_type: TYPE_FP32 dims: [ 4 ] random_data: true } } }\n");
    begin(&place, SERVE_CONTROL_NONE, NULL);
    REQUIRE(find(&place, "m", "", &model) == STATUS_OK);
    const struct model_settings *settings = &model->model->settings;
    EXPECT_INT(settings->policy.rows_max, 32);
    EXPECT_INT(settings->policy.delay_ns, 500000);
    EXPECT_INT(settings->policy.preferred[0], 4);
    EXPECT_INT(settings->policy.preferred[1], 8);
    EXPECT_INT(settings->policy.level_count, 3);
    EXPECT_INT(settings->policy.level_default, 1);
    EXPECT(settings->policy.levels[0].timeout_delays);
    EXPECT_INT(settings->policy.levels[2].timeout_us, 900);
    EXPECT_INT(settings->policy.levels[2].size_max, 7);
    EXPECT_INT(settings->placement.mode, PLACEMENT_RUNNER); /* a delay waits on the runners */
    EXPECT_INT(runners_count(model->model->runners), 3);
    const struct str *labels;
    REQUIRE(serve_model_labels(model, 0, &labels) == 2);
    EXPECT_STR(labels[1], STR("dog"));
    EXPECT_INT(serve_model_labels(model, 1, &labels), 0);
    EXPECT(model->model->warm_cost_ns > 0);
    end(&place);
}

TEST(a_lane_may_go_while_its_load_runs)
{
    struct place place;
    struct error err;
    struct control control = {0};
    place_init(&place);
    put(&place, "slow/1/model.echo", MODEL "load_delay_us 30000\nend\n");
    begin(&place, SERVE_CONTROL_EXPLICIT, NULL);
    EXPECT_STATUS(
        serve_load(place.serve, place.lane, STR("slow"), NULL, control_done, &control, &err),
        STATUS_OK, err);
    (void)usleep(5000);
    serve_lane_free(place.lane);
    loop_free(place.loop);
    (void)usleep(60000);
    EXPECT(!control.done);
    EXPECT_INT(serve_in_flight(place.serve), 0);
    serve_free(place.serve);
    engine_registry_free(place.engines);
    file_remove_tree(place.root);
}

TEST(readiness_can_put_up_with_a_model_that_failed)
{
    struct place place;
    place_init(&place);
    put(&place, "good/1/model.echo", MODEL "end\n");
    put(&place, "bad/1/model.echo", MODEL "fail_load EXHAUSTED\nend\n");
    ready_despite_failures = true;
    begin(&place, SERVE_CONTROL_NONE, NULL);
    ready_despite_failures = false;
    EXPECT_TEXT(index_text(&place, false), "bad:1:UNAVAILABLE good:1:READY");
    EXPECT(serve_is_ready(place.serve));
    serve_drain(place.serve);
    EXPECT(!serve_is_ready(place.serve));
    end(&place);
}
