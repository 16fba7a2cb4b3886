/* From configuration to what serve works with. */
#include "serve/settings.h"

#include "base/mem.h"

void settings_init(struct model_settings *settings, const struct serve_options *options,
                   int64_t batch_size_max)
{
    memset(settings, 0, sizeof *settings);
    batch_policy_init(&settings->policy, batch_size_max, options->queue_size_max);
    settings->placement = (struct placement_rule){.mode = PLACEMENT_AUTO,
                                                  .limit_ns = options->inline_cost_max_ns,
                                                  .dwell_ns = options->placement_dwell_ns};
    settings->instance_count = 1;
}

void settings_free_model_parts(struct model *model)
{
    for (size_t i = 0; model->labels && i < model->spec.output_count; i++) {
        mem_free(model->labels[i].text);
        mem_free(model->labels[i].lines);
    }
    mem_free(model->labels);
    mem_free(model->input_reshapes);
    mem_free(model->output_reshapes);
}
