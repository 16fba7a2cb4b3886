/* Answers in the order of their requests. */
#include "serve/order.h"

#include "base/clock.h"
#include "base/mem.h"
#include "serve/lane.h"

struct serve_parked {
    struct serve_outputs *held;
    enum status status;
    struct error error;
    struct slipway_tensor *tensors; /* behind it in memory, then their dims */
};

static struct serve_call *call_of(struct list *link)
{
    return CONTAINER_OF(link, struct serve_call, order_link);
}

bool order_enter(struct serve_call *call)
{
    struct serve_model *model = call->model;
    uint32_t limit = model->model->settings.policy.size_max;
    if (limit && model->ordered_count >= limit) return false;
    list_add_last(&model->order, &call->order_link);
    model->ordered_count++;
    return true;
}

bool order_may_answer(const struct serve_call *call)
{
    return !list_is_linked(&call->order_link) || call->model->order.next == &call->order_link;
}

/* Shapes of rows of a batch lie in the lane's memory, which the next answer uses again. */
static void copy_outputs(struct serve_parked *parked, struct serve_call *call)
{
    int64_t(*dims)[SLIPWAY_RANK_MAX] = (void *)(parked->tensors + call->output_count);
    for (size_t i = 0; i < call->output_count; i++) {
        struct slipway_tensor *tensor = &parked->tensors[i];
        *tensor = call->outputs[i];
        if (tensor->dtype == DTYPE_ANY || tensor->rank == 0) continue;
        tensor->dims = memcpy(dims[i], tensor->dims, tensor->rank * sizeof **dims);
    }
    call->outputs = parked->tensors;
}

void order_park(struct serve_call *call, enum status status, const struct error *err)
{
    bool copies = status == STATUS_OK && !call->cached;
    size_t count = copies ? call->output_count : 0;
    struct serve_parked *parked =
        mem_new(sizeof *parked +
                count * (sizeof(struct slipway_tensor) + SLIPWAY_RANK_MAX * sizeof(int64_t)));
    parked->tensors = (struct slipway_tensor *)(void *)(parked + 1);
    parked->status = status;
    parked->held = copies ? serve_outputs_hold(call) : NULL;
    if (status != STATUS_OK) parked->error = *err;
    if (copies) copy_outputs(parked, call);
    list_remove(&call->item.link);
    call->parked = parked;
    call->state = SERVE_CALL_PARKED;
}

struct serve_outputs *order_outputs(const struct serve_call *call)
{
    return call->parked->held;
}

static bool first_is_parked(const struct serve_model *model)
{
    return !list_is_empty(&model->order) && call_of(model->order.next)->parked;
}

void order_leave(struct serve_lane *lane, struct serve_call *call)
{
    struct serve_model *model = call->model;
    if (!list_is_linked(&call->order_link)) return;
    bool was_first = model->order.next == &call->order_link;
    list_remove(&call->order_link);
    model->ordered_count--;
    if (!was_first || !first_is_parked(model) || list_is_linked(&model->flush_link)) return;
    list_add_last(&lane->flushes, &model->flush_link);
    lane_wake(lane);
}

void order_forget(struct serve_call *call)
{
    struct serve_parked *parked = TAKE(call->parked);
    if (!parked) return;
    if (parked->held) serve_outputs_release(parked->held);
    mem_free(parked);
}

static void answer_parked(struct serve_lane *lane, struct serve_call *call)
{
    enum status status = call->parked->status;
    call->state = SERVE_CALL_RUNNING; /* whatever on_done does, it stays until the end */
    lane_answer(lane, call, status, status == STATUS_OK ? NULL : &call->parked->error);
    lane_count(call, 1, status, clock_monotonic_ns());
    lane_let_go(lane, call);
}

void order_flush(struct serve_lane *lane)
{
    struct list flushes, *link;
    list_init(&flushes);
    list_move_all(&flushes, &lane->flushes);
    while ((link = list_take_first(&flushes))) {
        struct serve_model *model = CONTAINER_OF(link, struct serve_model, flush_link);
        serve_model_hold(model);
        while (first_is_parked(model)) answer_parked(lane, call_of(model->order.next));
        list_remove(&model->flush_link); /* put back by the calls that left just now */
        serve_model_release(model);
    }
}
