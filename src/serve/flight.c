/* Single flight. */
#include "serve/flight.h"

#include "base/hash.h"
#include "base/mem.h"
#include "serve/lane.h"

_Static_assert((FLIGHT_BUCKETS & (FLIGHT_BUCKETS - 1)) == 0, "a bucket is some bits of the key");

struct flight {
    struct flight *next;       /* in the bucket */
    struct serve_call *leader; /* whose cache_key is the flight's */
    struct list followers;     /* by item.link, in the order they came in */
    uint32_t count;
};

static struct serve_call *call_of(struct list *link)
{
    return CONTAINER_OF(link, struct serve_call, item.link);
}

/* --- the table ------------------------------------------------------------------------------ */

/* The cache chose its shard and bucket by the first bytes. */
static struct flight **bucket_of(struct flights *flights, const uint8_t *key)
{
    return &flights->buckets[key[3] & (FLIGHT_BUCKETS - 1)];
}

static struct flight *find(struct flights *flights, const uint8_t *key)
{
    struct flight *flight = *bucket_of(flights, key);
    while (flight && memcmp(flight->leader->cache_key, key, SHA256_SIZE) != 0)
        flight = flight->next;
    return flight;
}

static void begin(struct flights *flights, struct serve_call *leader)
{
    if (flights->count == FLIGHTS_MAX) return;
    struct flight *flight = MEM_NEW(struct flight);
    struct flight **bucket = bucket_of(flights, leader->cache_key);
    flight->leader = leader;
    flight->count = 0;
    list_init(&flight->followers);
    flight->next = *bucket;
    *bucket = flight;
    flights->count++;
    leader->flight = flight;
}

/* --- joining and leaving -------------------------------------------------------------------- */

bool flight_follow(struct serve_lane *lane, struct serve_call *call, uint64_t now_ns)
{
    struct flight *flight = find(&lane->flights, call->cache_key);
    if (!flight) {
        begin(&lane->flights, call);
        return false;
    }
    batch_item_arrive(&call->model->queue, &call->item, now_ns);
    if (flight->count == FLIGHT_FOLLOWERS_MAX) return false;
    if (call->item.level < flight->leader->item.level) return false;
    list_add_last(&flight->followers, &call->item.link);
    flight->count++;
    call->flight = flight;
    call->shares = true;
    call->state = SERVE_CALL_FOLLOWING;
    return true;
}

bool flight_may_expire(const struct serve_call *call)
{
    const struct serve_call *leader = call->flight ? call->flight->leader : call;
    if (leader == call) return true;
    if (leader->handed_over) return runners_has_waiting(leader->model->model->runners, leader);
    return leader->state == SERVE_CALL_WAITING;
}

struct flight *flight_land(struct serve_lane *lane, struct serve_call *call)
{
    struct flight *flight = call->flight;
    if (!flight || flight->leader != call) return NULL;
    struct flight **place = bucket_of(&lane->flights, call->cache_key);
    while (*place != flight) place = &(*place)->next;
    *place = flight->next;
    lane->flights.count--;
    call->flight = NULL;
    return flight;
}

bool flight_is_empty(const struct flight *flight)
{
    return list_is_empty(&flight->followers);
}

/* Queued in the next RUN phase, not here: that may fail, and then calls back. */
static void orphan(struct serve_lane *lane, struct flight *flight, bool alone)
{
    LIST_EACH(link, &flight->followers)
    {
        call_of(link)->flight = NULL;
        call_of(link)->shares = false;
        call_of(link)->runs_alone = alone;
    }
    if (!list_is_empty(&flight->followers)) lane_wake(lane);
    list_move_all(&lane->orphans, &flight->followers);
    mem_free(flight);
}

void flight_leave(struct serve_lane *lane, struct serve_call *call)
{
    struct flight *flight = flight_land(lane, call);
    if (flight) {
        orphan(lane, flight, false);
    } else if (call->flight) {
        call->flight->count--; /* whoever took it out of its queue took it off the list */
        call->flight = NULL;
    }
}

/* --- answering ------------------------------------------------------------------------------ */

static void answer_follower(struct serve_lane *lane, struct serve_call *call,
                            const struct flight_answer *answer)
{
    call->flight = NULL;
    call->state = SERVE_CALL_RUNNING;
    call->outputs = answer->outputs;
    call->output_count = answer->output_count;
    call->batch_rows = answer->batch_rows;
    call->times.compute_start_ns = answer->start_ns;
    call->times.compute_end_ns = answer->end_ns;
    lane_deliver_shared(lane, call);
}

void flight_answer(struct serve_lane *lane, struct flight *flight,
                   const struct flight_answer *answer)
{
    struct list *link;
    if (!flight) return;
    if (answer->status != STATUS_OK) {
        orphan(lane, flight, true);
        return;
    }
    while ((link = list_take_first(&flight->followers)))
        answer_follower(lane, call_of(link), answer);
    mem_free(flight);
}

void flight_run_orphans(struct serve_lane *lane)
{
    struct list orphans, *link;
    list_init(&orphans);
    list_move_all(&orphans, &lane->orphans);
    while ((link = list_take_first(&orphans))) {
        struct serve_call *call = call_of(link);
        uint64_t since_ns = call->times.queued_ns; /* its time-out goes on */
        if (!call->runs_alone && flight_follow(lane, call, since_ns)) continue;
        if (lane_enqueue(lane, call, since_ns)) continue;
        call->state = SERVE_CALL_RUNNING; /* in no queue */
        lane_reject(lane, call, STATUS_UNAVAILABLE, STATISTICS_REJECTED_QUEUE_FULL,
                    "Exceeds maximum queue size");
        lane_let_go(lane, call);
    }
}
