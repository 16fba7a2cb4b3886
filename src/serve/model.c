/* A loaded model: its instances, its lanes' parts, its end. */
#include "serve/model.h"

#include "base/clock.h"
#include "base/mem.h"
#include "serve/core.h"
#include "serve/settings.h"
#include "serve/warmup.h"

void model_unref(struct model *model)
{
    if (atomic_fetch_sub_explicit(&model->references, 1, memory_order_acq_rel) != 1) return;
    serve_dispose(model->serve, model);
}

static void free_lanes(struct model *model)
{
    for (uint32_t i = 0; model->lanes && i < model->lane_count; i++) {
        engine_instance_free(model->lanes[i].instance);
        statistics_free(model->lanes[i].statistics);
    }
    mem_free(model->lanes);
}

void model_free(struct model *model)
{
    if (!model) return;
    runners_free(model->runners);
    free_lanes(model);
    engine_model_unload(model->engine_model);
    settings_free_model_parts(model);
    mem_free(model->name);
    mem_free(model);
}

struct model *model_new(struct serve *serve, const char *name, int64_t version)
{
    struct model *model = MEM_NEW(struct model);
    atomic_init(&model->references, 1);
    model->serve = serve;
    model->name = mem_copy_text(name);
    model->name_text = str_of(model->name);
    model->version = version;
    (void)snprintf(model->version_text, sizeof model->version_text, "%lld", (long long)version);
    model->version_str = str_of(model->version_text);
    return model;
}

/* --- assembling ----------------------------------------------------------------------------- */

static bool may_run_inline(const struct model_settings *settings)
{
    return settings->placement.mode != PLACEMENT_RUNNER;
}

static void fill_plan(struct model *model)
{
    model->plan.name = model->name;
    model->plan.spec = &model->spec;
    model->plan.input_reshapes = model->input_reshapes;
    model->plan.output_reshapes = model->output_reshapes;
}

static enum status make_lanes(struct model *model, struct error *err)
{
    uint32_t count = model->serve->options.lane_count;
    model->lanes = mem_try_new_aligned(64, count * sizeof *model->lanes);
    if (!model->lanes) return fail(err, STATUS_EXHAUSTED, "no memory for model '%s'", model->name);
    memset(model->lanes, 0, count * sizeof *model->lanes);
    model->lane_count = count;
    for (uint32_t i = 0; i < count; i++) {
        struct serve_model *lane = &model->lanes[i];
        lane->model = model;
        batch_queue_init(&lane->queue, &model->settings.policy);
        list_init(&lane->ready_link);
        list_init(&lane->order);
        list_init(&lane->flush_link);
        lane->statistics = statistics_new((uint64_t)model->settings.policy.rows_max);
        if (!lane->statistics)
            return fail(err, STATUS_EXHAUSTED, "no memory for model '%s'", model->name);
        if (!may_run_inline(&model->settings)) continue;
        TRY(engine_instance_new(model->engine_model, &lane->instance, err));
    }
    return STATUS_OK;
}

static void place(struct model *model)
{
    for (uint32_t i = 0; i < model->lane_count; i++) {
        struct serve_model *lane = &model->lanes[i];
        placement_init(&lane->placement, &model->settings.placement, model->warm_cost_ns);
        counter_set(&lane->runs_inline, lane->placement.runs_inline);
    }
}

/* Each instance runs the samples, so that the first request finds everything in place. */
static enum status warm_up(struct model *model, const struct warmup *warmup, struct error *err)
{
    for (uint32_t i = 0; i < model->lane_count; i++)
        if (model->lanes[i].instance)
            TRY(warmup_run(warmup, model, model->lanes[i].instance, &model->warm_cost_ns, err));
    for (uint32_t i = 0; i < runners_count(model->runners); i++)
        TRY(warmup_run(warmup, model, runners_instance(model->runners, i), &model->warm_cost_ns,
                       err));
    return STATUS_OK;
}

enum status model_assemble(struct model *model, const struct warmup *warmup, struct error *err)
{
    assert(model->engine_model && model->spec.input_count <= SLIPWAY_TENSORS_MAX);
    fill_plan(model);
    TRY(make_lanes(model, err));
    if (model->settings.placement.mode != PLACEMENT_INLINE)
        TRY(runners_new(model, model->settings.instance_count, &model->runners, err));
    TRY(fail_while(err, warm_up(model, warmup, err), "warming up"));
    place(model);
    return STATUS_OK;
}
