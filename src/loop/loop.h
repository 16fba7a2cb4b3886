/*
 * An event loop: one thread, one epoll. Everything of a loop belongs to its thread; from others
 * come only loop_post and loop_stop.
 *
 *   struct loop *loop;
 *   TRY(loop_new(&(struct loop_options){0}, &loop, err));
 *   loop_hook_add(loop, LOOP_PHASE_RUN, run_batches, lane);
 *   loop_run(loop);                    // until loop_stop
 *   loop_free(loop);
 *
 * The loop goes round in turns, and a turn is what makes batches:
 *
 *   1 wait     for events, timers, mail; not at all if someone is in a hurry
 *   2 READ     handlers of ready descriptors, mail, due timers: read and parse all there is
 *   3 RUN      hooks: run what step 2 has collected, one engine call for all of it
 *   4 WRITE    hooks: one send per connection that has output
 *   5 CLEANUP  hooks
 *
 * A turn is bounded (LOOP_EVENTS_MAX events, LOOP_MAIL_MAX letters, LOOP_TIMERS_PER_TURN timers),
 * so that a flood of one kind starves none of the others; what is left comes in the next turn,
 * which then does not wait.
 */
#ifndef LOOP_LOOP_H
#define LOOP_LOOP_H

#include "base/clock.h"
#include "loop/mailbox.h"

#include <sys/epoll.h>

enum {
    LOOP_EVENTS_MAX = 1024,
    LOOP_MAIL_MAX = 4096,
    LOOP_TIMERS_PER_TURN = 1024,
    LOOP_TIMERS_MAX = 1 << 20, /* waiting at the same time */
    LOOP_HOOKS_MAX = 16,       /* of one phase */
    LOOP_SIGNALS_MAX = 8,
    LOOP_ROUNDS_MAX = 64, /* of the RUN phase in one turn */
};

struct loop;

struct loop_options {
    struct clock *clock;   /* borrowed; NULL: the system's */
    uint64_t busy_poll_ns; /* look again and again for so long before blocking; 0: block at once */
};

/* Any thread makes it; the thread that runs it owns it. *ret_loop is ended by loop_free. */
enum status loop_new(const struct loop_options *options, struct loop **ret_loop,
                     struct error *err) FALLIBLE;

/* Receives what mail is left and frees. Watches, timers and hooks of others are forgotten, not
 * called. Accepts NULL. */
void loop_free(struct loop *loop);

/* Turns until loop_stop was called. */
void loop_run(struct loop *loop);

/* One turn that waits at most `wait_ns`. For tests and for those who keep the turn in hand. */
void loop_turn(struct loop *loop, uint64_t wait_ns);

/* The turn that runs is the last. Any thread, and signal-safe. */
void loop_stop(struct loop *loop);

/* Monotonic nanoseconds, read once per turn after the wait. */
uint64_t loop_now_ns(const struct loop *loop);

/* The clock that the loop was made with. */
struct clock *loop_clock(const struct loop *loop);

/* Has `mail` received in a turn of this loop. Any thread; never blocks. */
void loop_post(struct loop *loop, struct mail *mail);

/* The next turn does not wait: there is work that no descriptor tells of. */
void loop_hurry(struct loop *loop);

/* --- phases ----------------------------------------------------------------------------------- */

enum loop_phase { LOOP_PHASE_RUN, LOOP_PHASE_WRITE, LOOP_PHASE_CLEANUP, LOOP_PHASE_COUNT };

typedef void loop_hook_function(void *context);

/* Calls hook(context) in that phase of each turn, in the order they were added. */
void loop_hook_add(struct loop *loop, enum loop_phase phase, loop_hook_function *hook,
                   void *context);
void loop_hook_remove(struct loop *loop, enum loop_phase phase, loop_hook_function *hook,
                      void *context);

/*
 * Called in READ or RUN: the RUN hooks run once more in this turn, because running has brought new
 * work (the next request of a connection whose last one was just answered). After LOOP_ROUNDS_MAX
 * rounds the rest is left to the next turn, which does not wait.
 */
void loop_run_again(struct loop *loop);

/* --- descriptors ------------------------------------------------------------------------------ */

enum {
    LOOP_READABLE = EPOLLIN,
    LOOP_WRITABLE = EPOLLOUT,
    LOOP_HANGUP = EPOLLRDHUP,          /* the peer sends no more */
    LOOP_BROKEN = EPOLLERR | EPOLLHUP, /* always told, need not be asked for */
};
#define LOOP_EDGE ((uint32_t)EPOLLET) /* tell changes, not states */

struct loop_watch;
typedef void loop_watch_function(struct loop_watch *watch, uint32_t events);

/* Inside the owner's object. Zero it, or leave it to loop_watch_add. */
struct loop_watch {
    loop_watch_function *on_event;
    int descriptor;
    bool active;
};

/* Fails if the kernel does. Borrows watch and descriptor until loop_watch_remove. */
enum status loop_watch_add(struct loop *loop, struct loop_watch *watch, int descriptor,
                           uint32_t events, loop_watch_function *on_event,
                           struct error *err) FALLIBLE;
void loop_watch_change(struct loop *loop, struct loop_watch *watch, uint32_t events);

/* Before the descriptor is closed. No event of this turn comes any more: the watch may be freed at
 * once. Does nothing to a watch that is not active. */
void loop_watch_remove(struct loop *loop, struct loop_watch *watch);

/* --- timers ----------------------------------------------------------------------------------- */

struct loop_timer;
typedef void loop_timer_function(struct loop_timer *timer);

/* Inside the owner's object; starts zeroed. */
struct loop_timer {
    loop_timer_function *on_time;
    uint64_t when_ns;
    uint32_t position; /* in the heap, from 1; 0: not started */
};

/*
 * Calls on_time once when the clock has reached `when_ns` (monotonic). Starting a timer that runs
 * moves it. O(log n), without a system call; false, and not started, at LOOP_TIMERS_MAX.
 */
bool loop_timer_start(struct loop *loop, struct loop_timer *timer, uint64_t when_ns);

/* Does nothing to a timer that does not run. */
void loop_timer_stop(struct loop *loop, struct loop_timer *timer);

static inline bool loop_timer_is_started(const struct loop_timer *timer)
{
    return timer->position != 0;
}

/* --- signals ---------------------------------------------------------------------------------- */

typedef void loop_signal_function(void *context, int signal_number);

/*
 * Calls on_signal in a turn when the process gets the signal. Blocks the signal in the calling
 * thread: call it before other threads are made, so that they inherit that. One loop per signal.
 */
enum status loop_signal_add(struct loop *loop, int signal_number, loop_signal_function *on_signal,
                            void *context, struct error *err) FALLIBLE;

#endif
