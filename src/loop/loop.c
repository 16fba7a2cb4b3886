/* The loop: epoll, and the order of a turn. */
#include "loop/loop.h"

#include "base/mem.h"
#include "loop/timer.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NEAR_NS (100 * NS_PER_MS) /* timers so near are waited for to the microsecond */

struct hook {
    loop_hook_function *run;
    void *context;
};

struct hooks {
    struct hook items[LOOP_HOOKS_MAX];
    uint32_t count;
};

struct signal_handler {
    loop_signal_function *on_signal;
    void *context;
    int number;
};

struct loop {
    struct mailbox mailbox;
    struct clock *clock;
    uint64_t now_ns;
    uint64_t busy_poll_ns;
    int epoll;
    int event_count; /* of `events`, in the turn that runs */
    int event_next;
    bool hurry;
    bool run_again;
    bool coarse_wait; /* the kernel has no epoll_pwait2 */
    _Atomic bool stopping;

    struct hooks hooks[LOOP_PHASE_COUNT];
    struct timer_heap timers;

    struct loop_watch mail_watch;
    struct loop_watch signal_watch;
    int signal_descriptor;
    sigset_t signal_set;
    struct signal_handler signals[LOOP_SIGNALS_MAX];
    uint32_t signal_count;

    struct epoll_event events[LOOP_EVENTS_MAX];
};

/* The mail itself is received in each turn; here the bell is only silenced. */
static void silence_bell(struct loop_watch *watch, uint32_t events UNUSED)
{
    uint64_t count;
    (void)!read(watch->descriptor, &count, sizeof count);
}

enum status loop_new(const struct loop_options *options, struct loop **ret_loop, struct error *err)
{
    struct loop *loop = mem_try_new_aligned(64, sizeof *loop);
    if (!loop) return fail(err, STATUS_EXHAUSTED, "no memory for an event loop");
    memset(loop, 0, sizeof *loop);
    loop->clock = options->clock ? options->clock : &clock_system;
    loop->busy_poll_ns = options->busy_poll_ns;
    loop->now_ns = loop->clock->monotonic_ns(loop->clock);
    loop->signal_descriptor = loop->mailbox.event_descriptor = -1;
    (void)sigemptyset(&loop->signal_set);
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    enum status status = loop->epoll < 0 ? fail_errno(err, errno, "making an epoll descriptor")
                                         : mailbox_init(&loop->mailbox, err);
    if (status == STATUS_OK)
        status = loop_watch_add(loop, &loop->mail_watch, loop->mailbox.event_descriptor,
                                LOOP_READABLE | LOOP_EDGE, silence_bell, err);
    if (status != STATUS_OK) {
        loop_free(loop);
        return status;
    }
    *ret_loop = loop;
    return STATUS_OK;
}

void loop_free(struct loop *loop)
{
    if (!loop) return;
    if (loop->mailbox.event_descriptor >= 0)
        while (mailbox_receive(&loop->mailbox, LOOP_MAIL_MAX)) {
        }
    mailbox_clear(&loop->mailbox);
    timer_heap_clear(&loop->timers);
    if (loop->signal_descriptor >= 0) (void)close(loop->signal_descriptor);
    if (loop->epoll >= 0) (void)close(loop->epoll);
    mem_free(loop);
}

uint64_t loop_now_ns(const struct loop *loop)
{
    return loop->now_ns;
}
struct clock *loop_clock(const struct loop *loop)
{
    return loop->clock;
}
void loop_post(struct loop *loop, struct mail *mail)
{
    mailbox_post(&loop->mailbox, mail);
}
void loop_hurry(struct loop *loop)
{
    loop->hurry = true;
}
void loop_run_again(struct loop *loop)
{
    loop->run_again = true;
}

void loop_stop(struct loop *loop)
{
    atomic_store_explicit(&loop->stopping, true, memory_order_release);
    uint64_t one = 1;
    (void)!write(loop->mailbox.event_descriptor, &one, sizeof one);
}

/* --- hooks ------------------------------------------------------------------------------------ */

void loop_hook_add(struct loop *loop, enum loop_phase phase, loop_hook_function *hook,
                   void *context)
{
    struct hooks *hooks = &loop->hooks[phase];
    assert(hook && hooks->count < LOOP_HOOKS_MAX);
    hooks->items[hooks->count++] = (struct hook){hook, context};
}

void loop_hook_remove(struct loop *loop, enum loop_phase phase, loop_hook_function *hook,
                      void *context)
{
    struct hooks *hooks = &loop->hooks[phase];
    uint32_t kept = 0;
    for (uint32_t i = 0; i < hooks->count; i++) {
        struct hook item = hooks->items[i];
        if (item.run != hook || item.context != context) hooks->items[kept++] = item;
    }
    hooks->count = kept;
}

static void run_hooks(struct loop *loop, enum loop_phase phase)
{
    struct hooks *hooks = &loop->hooks[phase];
    for (uint32_t i = 0; i < hooks->count; i++) hooks->items[i].run(hooks->items[i].context);
}

static void run_phase(struct loop *loop)
{
    for (int round = 0; round < LOOP_ROUNDS_MAX; round++) {
        loop->run_again = false;
        run_hooks(loop, LOOP_PHASE_RUN);
        if (!loop->run_again) return;
    }
    loop->hurry = true;
}

/* --- descriptors ------------------------------------------------------------------------------ */

enum status loop_watch_add(struct loop *loop, struct loop_watch *watch, int descriptor,
                           uint32_t events, loop_watch_function *on_event, struct error *err)
{
    struct epoll_event event = {.events = events, .data.ptr = watch};
    if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, descriptor, &event) != 0)
        return fail_errno(err, errno, "watching descriptor %d", descriptor);
    *watch = (struct loop_watch){.on_event = on_event, .descriptor = descriptor, .active = true};
    return STATUS_OK;
}

void loop_watch_change(struct loop *loop, struct loop_watch *watch, uint32_t events)
{
    assert(watch->active);
    struct epoll_event event = {.events = events, .data.ptr = watch};
    int result = epoll_ctl(loop->epoll, EPOLL_CTL_MOD, watch->descriptor, &event);
    assert(result == 0); /* it is in the set, and a change needs no memory */
}

void loop_watch_remove(struct loop *loop, struct loop_watch *watch)
{
    if (!watch->active) return;
    watch->active = false;
    (void)epoll_ctl(loop->epoll, EPOLL_CTL_DEL, watch->descriptor, NULL);
    for (int i = loop->event_next; i < loop->event_count; i++)
        if (loop->events[i].data.ptr == watch) loop->events[i].data.ptr = NULL;
}

static void handle_events(struct loop *loop)
{
    while (loop->event_next < loop->event_count) {
        struct epoll_event event = loop->events[loop->event_next++];
        struct loop_watch *watch = event.data.ptr;
        if (LIKELY(watch)) watch->on_event(watch, event.events);
    }
}

/* --- timers ----------------------------------------------------------------------------------- */

bool loop_timer_start(struct loop *loop, struct loop_timer *timer, uint64_t when_ns)
{
    assert(timer->on_time);
    return timer_heap_set(&loop->timers, timer, when_ns);
}

void loop_timer_stop(struct loop *loop, struct loop_timer *timer)
{
    timer_heap_remove(&loop->timers, timer);
}

static void handle_timers(struct loop *loop)
{
    for (int count = 0; count < LOOP_TIMERS_PER_TURN; count++) {
        struct loop_timer *timer = timer_heap_first(&loop->timers);
        if (!timer || timer->when_ns > loop->now_ns) return;
        timer_heap_remove(&loop->timers, timer);
        timer->on_time(timer);
    }
    loop->hurry = true;
}

/* --- signals ---------------------------------------------------------------------------------- */

static void handle_signal(struct loop_watch *watch, uint32_t events UNUSED)
{
    struct loop *loop = CONTAINER_OF(watch, struct loop, signal_watch);
    struct signalfd_siginfo info;
    while (read(loop->signal_descriptor, &info, sizeof info) == (ssize_t)sizeof info)
        for (uint32_t i = 0; i < loop->signal_count; i++) {
            struct signal_handler handler = loop->signals[i];
            if ((uint32_t)handler.number == info.ssi_signo)
                handler.on_signal(handler.context, handler.number);
        }
}

enum status loop_signal_add(struct loop *loop, int signal_number, loop_signal_function *on_signal,
                            void *context, struct error *err)
{
    assert(loop->signal_count < LOOP_SIGNALS_MAX);
    (void)sigaddset(&loop->signal_set, signal_number);
    int error = pthread_sigmask(SIG_BLOCK, &loop->signal_set, NULL);
    if (error) return fail_errno(err, error, "blocking signal %d", signal_number);
    int descriptor =
        signalfd(loop->signal_descriptor, &loop->signal_set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (descriptor < 0) return fail_errno(err, errno, "making a signal descriptor");
    if (loop->signal_descriptor < 0) {
        loop->signal_descriptor = descriptor;
        TRY(loop_watch_add(loop, &loop->signal_watch, descriptor, LOOP_READABLE, handle_signal,
                           err));
    }
    loop->signals[loop->signal_count++] =
        (struct signal_handler){on_signal, context, signal_number};
    return STATUS_OK;
}

/* --- turns ------------------------------------------------------------------------------------ */

/* Waits exactly where the kernel can, else to the millisecond above. */
static int wait_for_events(struct loop *loop, uint64_t wait_ns)
{
    if (wait_ns == 0) return epoll_wait(loop->epoll, loop->events, LOOP_EVENTS_MAX, 0);
    uint64_t longest = NS_PER_S * 3600;
    wait_ns = MIN(wait_ns, longest);
    if (!loop->coarse_wait) {
        struct timespec wait = {.tv_sec = (time_t)(wait_ns / NS_PER_S),
                                .tv_nsec = (long)(wait_ns % NS_PER_S)};
        int count = epoll_pwait2(loop->epoll, loop->events, LOOP_EVENTS_MAX, &wait, NULL);
        if (count >= 0 || errno == EINTR) return count;
        loop->coarse_wait = true; /* an old kernel, or a filter of system calls */
    }
    int milliseconds = (int)((wait_ns + NS_PER_MS - 1) / NS_PER_MS);
    return epoll_wait(loop->epoll, loop->events, LOOP_EVENTS_MAX, milliseconds);
}

/* How long the turn may wait, given the timers. */
static uint64_t wait_limit(struct loop *loop, uint64_t wait_ns)
{
    if (loop->hurry || atomic_load_explicit(&loop->stopping, memory_order_acquire)) return 0;
    struct loop_timer *first = timer_heap_first(&loop->timers);
    if (!first) return wait_ns;
    /* What the turn has taken counts, where it could be noticed. */
    uint64_t now = loop->now_ns;
    if (first->when_ns < now + NEAR_NS) now = loop->clock->monotonic_ns(loop->clock);
    return first->when_ns > now ? MIN(wait_ns, first->when_ns - now) : 0;
}

/* Looks without blocking for busy_poll_ns, then blocks. The number of events. */
static int wait_busily(struct loop *loop, uint64_t wait_ns)
{
    uint64_t start = loop->clock->monotonic_ns(loop->clock);
    uint64_t spin_ns = MIN(wait_ns, loop->busy_poll_ns);
    for (uint64_t spent = 0; spent < spin_ns;) {
        int count = wait_for_events(loop, 0);
        if (count != 0) return count;
        spent = loop->clock->monotonic_ns(loop->clock) - start;
    }
    return wait_ns > spin_ns ? wait_for_events(loop, wait_ns - spin_ns) : 0;
}

void loop_turn(struct loop *loop, uint64_t wait_ns)
{
    wait_ns = wait_limit(loop, wait_ns);
    loop->hurry = false;
    int count =
        loop->busy_poll_ns && wait_ns ? wait_busily(loop, wait_ns) : wait_for_events(loop, wait_ns);
    loop->event_count = MAX(count, 0); /* interrupted is as if nothing had come */
    loop->event_next = 0;
    loop->now_ns = loop->clock->monotonic_ns(loop->clock);
    handle_events(loop);
    if (mailbox_receive(&loop->mailbox, LOOP_MAIL_MAX)) loop->hurry = true;
    handle_timers(loop);
    run_phase(loop);
    run_hooks(loop, LOOP_PHASE_WRITE);
    run_hooks(loop, LOOP_PHASE_CLEANUP);
    loop->event_count = loop->event_next = 0;
}

void loop_run(struct loop *loop)
{
    while (!atomic_load_explicit(&loop->stopping, memory_order_acquire))
        loop_turn(loop, UINT64_MAX);
}
