/*
 * A stack that posters push on with one compare-and-swap and the receiver takes whole and turns
 * round. Who finds the stack empty rings the bell; who does not knows that it has been rung.
 */
#include "loop/mailbox.h"

#include <errno.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Mailboxes whose bell this thread has yet to ring. */
enum { HELD_MAX = 16 };
static _Thread_local struct {
    struct mailbox *mailboxes[HELD_MAX];
    int count;
    bool holds;
} held;

enum status mailbox_init(struct mailbox *mailbox, struct error *err)
{
    int descriptor = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (descriptor < 0) return fail_errno(err, errno, "making an event descriptor");
    mailbox->oldest = NULL;
    mailbox->event_descriptor = descriptor;
    atomic_init(&mailbox->newest, NULL);
    atomic_init(&mailbox->posting, 0);
    return STATUS_OK;
}

void mailbox_clear(struct mailbox *mailbox)
{
    while (atomic_load_explicit(&mailbox->posting, memory_order_acquire) > 0) sched_yield();
    if (mailbox->event_descriptor >= 0) (void)close(mailbox->event_descriptor);
    mailbox->event_descriptor = -1;
}

static void ring(int descriptor)
{
    /* EAGAIN would mean that the counter is full: then the receiver is awake anyway. */
    uint64_t one = 1;
    while (write(descriptor, &one, sizeof one) < 0 && errno == EINTR) {
    }
}

static bool is_held(const struct mailbox *mailbox)
{
    for (int i = 0; i < held.count; i++)
        if (held.mailboxes[i] == mailbox) return true;
    return false;
}

/* Rings, now or with those held back. False: later, and until then this post is not over. */
static bool ring_or_hold(struct mailbox *mailbox)
{
    if (held.holds && is_held(mailbox)) return true;
    if (held.holds && held.count < HELD_MAX) {
        held.mailboxes[held.count++] = mailbox;
        return false;
    }
    ring(mailbox->event_descriptor);
    return true;
}

void mailbox_post(struct mailbox *mailbox, struct mail *mail)
{
    assert(mail->receive);
    /* The mail may be received before we ring, and the receiver be gone but for this count. */
    atomic_fetch_add_explicit(&mailbox->posting, 1, memory_order_relaxed);
    struct mail *newest = atomic_load_explicit(&mailbox->newest, memory_order_relaxed);
    do {
        mail->next = newest;
    } while (!atomic_compare_exchange_weak_explicit(&mailbox->newest, &newest, mail,
                                                    memory_order_release, memory_order_relaxed));
    if (!newest && !ring_or_hold(mailbox)) return;
    atomic_fetch_sub_explicit(&mailbox->posting, 1, memory_order_release);
}

void mailbox_hold_bells(void)
{
    assert(!held.holds);
    held.holds = true;
}

void mailbox_ring_held(void)
{
    assert(held.holds);
    held.holds = false;
    while (held.count > 0) {
        struct mailbox *mailbox = held.mailboxes[--held.count];
        ring(mailbox->event_descriptor);
        atomic_fetch_sub_explicit(&mailbox->posting, 1, memory_order_release);
    }
}

/* Takes all that was posted; the newest comes first, so turn it round. */
static struct mail *fetch(struct mailbox *mailbox)
{
    if (!atomic_load_explicit(&mailbox->newest, memory_order_relaxed)) return NULL;
    struct mail *mail = atomic_exchange_explicit(&mailbox->newest, NULL, memory_order_acquire);
    struct mail *oldest = NULL;
    while (mail) {
        struct mail *next = mail->next;
        mail->next = oldest;
        oldest = mail;
        mail = next;
    }
    return oldest;
}

bool mailbox_receive(struct mailbox *mailbox, size_t count_max)
{
    for (size_t count = 0; count < count_max; count++) {
        if (!mailbox->oldest) mailbox->oldest = fetch(mailbox);
        struct mail *mail = mailbox->oldest;
        if (!mail) return false;
        mailbox->oldest = mail->next;
        mail->next = NULL;
        mail->receive(mail);
    }
    return mailbox->oldest || atomic_load_explicit(&mailbox->newest, memory_order_relaxed);
}
