/*
 * A mailbox: the one way from thread to thread. Any thread posts, one thread receives; what a
 * letter carries is the receiver's from then on.
 *
 *   struct reply { struct mail mail; ... };
 *   reply->mail.receive = reply_arrived;      // poster
 *   mailbox_post(&mailbox, &reply->mail);
 *
 *   static void reply_arrived(struct mail *mail)     // receiver's thread
 *   { struct reply *reply = CONTAINER_OF(mail, struct reply, mail); ... }
 *
 * The mail lies inside the poster's object, so posting allocates nothing and cannot fail. Letters
 * of one poster arrive in the order they were posted. The event descriptor becomes readable when
 * there is mail: one write(2) wakes the receiver for a whole burst. A loop has a mailbox of its
 * own: see loop_post.
 *
 * A thread that posts many letters one after the other holds the bells back meanwhile:
 *
 *   mailbox_hold_bells();
 *   for (...) mailbox_post(&mailbox, ...);    // perhaps to several mailboxes
 *   mailbox_ring_held();                      // one write(2) for each mailbox
 */
#ifndef LOOP_MAILBOX_H
#define LOOP_MAILBOX_H

#include "base/error.h"

#include <stdatomic.h>

struct mail;

/* On the receiver's thread. May free the object that holds the mail, may post. */
typedef void mail_receive_function(struct mail *mail);

struct mail {
    struct mail *next; /* the mailbox's own while posted */
    mail_receive_function *receive;
};

/* The posters' and the receiver's parts lie on lines of their own. */
struct mailbox {
    _Alignas(64) _Atomic(struct mail *) newest; /* posted and not yet fetched, newest first */
    _Atomic uint32_t posting;                   /* threads inside mailbox_post */
    _Alignas(64) struct mail *oldest;           /* fetched, oldest first; the receiver's */
    int event_descriptor;
};

/* The caller's memory. Fails if there is no descriptor left. */
enum status mailbox_init(struct mailbox *mailbox, struct error *err) FALLIBLE;

/* No thread begins to post any more; one whose mail was received before it has rung is waited for.
 * Mail that was not received stays with its posters' objects: receive it before. */
void mailbox_clear(struct mailbox *mailbox);

/* Any thread; never blocks. The mail is on one mailbox at most, and `receive` is set. */
void mailbox_post(struct mailbox *mailbox, struct mail *mail);

/*
 * From now on this thread's posts wait for mailbox_ring_held with their bell, so that the receiver
 * does not wake for the first letter of many. What is in between is short, and waits for nobody.
 * Not nested.
 */
void mailbox_hold_bells(void);
void mailbox_ring_held(void);

/*
 * Calls `receive` for what has arrived, at most `count_max` letters. True if some are left, which
 * the descriptor does not tell. The receiver's thread.
 */
bool mailbox_receive(struct mailbox *mailbox, size_t count_max);

#endif
