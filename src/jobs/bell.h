/*
 * The bell: tells waiting requests of this process that something happened to a job. What happened
 * they read from the store; a bell that is missed (another process did it) costs them the time
 * until they look by themselves.
 *
 *   listener.on_ring = look_again;
 *   if (!bell_listen(bell, &listener, loop, id)) ... too many wait ...
 *   bell_ring(bell, id);                       // any thread
 *   if (!bell_leave(bell, &listener)) ... its memory stays until on_ring came once more
 */
#ifndef JOBS_BELL_H
#define JOBS_BELL_H

#include "base/list.h"
#include "base/str.h"
#include "loop/loop.h"
#include "store/record.h"

enum { BELL_LISTENERS_MAX = 16384 };

struct bell;
struct bell_listener;

/* On the listener's loop; also once after bell_leave returned false, with `left` set. */
typedef void bell_function(struct bell_listener *listener);

/* The caller's memory. */
struct bell_listener {
    bell_function *on_ring;
    bool left; /* bell_leave was called */

    /* the bell's own */
    struct list link;
    char id[RECORD_ID_SIZE + 1];
    struct loop *loop;
    struct mail mail;
    bool rung; /* the mail is on its way; under the lock */
    struct bell *bell;
};

struct bell *bell_new(void);

/* Nobody listens any more. Accepts NULL. */
void bell_free(struct bell *bell);

/* On the loop's thread. False at BELL_LISTENERS_MAX. `on_ring` is set; the id is a record's. */
bool bell_listen(struct bell *bell, struct bell_listener *listener, struct loop *loop,
                 struct str id) FALLIBLE;

/* On the loop's thread. False: a ring is on its way still. */
bool bell_leave(struct bell *bell, struct bell_listener *listener) FALLIBLE;

void bell_ring(struct bell *bell, struct str id);

#endif
