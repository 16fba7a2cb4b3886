#include "base/mem.h"
#include "loop/mailbox.c"
#include "test.h"

#include <poll.h>
#include <pthread.h>

enum { POSTERS = 4, LETTERS = 20000 };

struct letter {
    struct mail mail;
    int poster;
    int number;
};

static int next_of[POSTERS];
static int received, misordered;

static void receive(struct mail *mail)
{
    struct letter *letter = CONTAINER_OF(mail, struct letter, mail);
    if (letter->number != next_of[letter->poster]++) misordered++;
    received++;
    mem_free(letter);
}

static struct mailbox mailbox;

static void *post(void *context)
{
    for (int i = 0; i < LETTERS; i++) {
        struct letter *letter = MEM_NEW(struct letter);
        letter->mail.receive = receive;
        letter->poster = (int)(intptr_t)context;
        letter->number = i;
        mailbox_post(&mailbox, &letter->mail);
    }
    return NULL;
}

/* Waiting only on the bell: a letter without its ring would hang. */
TEST(nothing_is_lost_and_each_posters_order_is_kept)
{
    struct error err;
    pthread_t threads[POSTERS];
    EXPECT_STATUS(mailbox_init(&mailbox, &err), STATUS_OK, err);
    for (intptr_t i = 0; i < POSTERS; i++)
        REQUIRE(pthread_create(&threads[i], NULL, post, (void *)i) == 0);
    while (received < POSTERS * LETTERS) {
        struct pollfd bell = {.fd = mailbox.event_descriptor, .events = POLLIN};
        uint64_t count;
        if (poll(&bell, 1, 20000) != 1) break;
        (void)!read(mailbox.event_descriptor, &count, sizeof count);
        while (mailbox_receive(&mailbox, 100)) {
        }
    }
    for (int i = 0; i < POSTERS; i++) (void)pthread_join(threads[i], NULL);
    EXPECT_INT(received, POSTERS * LETTERS);
    EXPECT_INT(misordered, 0);
    mailbox_clear(&mailbox);
}

static struct mail letters[10];
static int calls;
static void count_and_post(struct mail *mail)
{
    if (++calls == 1) mailbox_post(&mailbox, mail);
}

TEST(a_burst_rings_once_and_is_received_in_parts)
{
    struct error err;
    uint64_t rings = 0;
    EXPECT_STATUS(mailbox_init(&mailbox, &err), STATUS_OK, err);
    for (size_t i = 0; i < COUNT_OF(letters); i++) {
        letters[i].receive = count_and_post;
        mailbox_post(&mailbox, &letters[i]);
    }
    EXPECT_INT(read(mailbox.event_descriptor, &rings, sizeof rings), 8);
    EXPECT_INT(rings, 1);
    EXPECT(mailbox_receive(&mailbox, 4));
    EXPECT_INT(calls, 4);
    EXPECT(!mailbox_receive(&mailbox, 100));
    EXPECT_INT(calls, 11);
    mailbox_clear(&mailbox);
}

static void *post_once(void *context)
{
    mailbox_post(&mailbox, context);
    return NULL;
}

static void receive_nothing(struct mail *mail UNUSED)
{
    received++;
}

/* The receiver may take the mail before its poster rings; nothing may ring after the end. */
static void ignore(struct mail *mail UNUSED) {}

static bool rang(const struct mailbox *box)
{
    uint64_t count;
    return read(box->event_descriptor, &count, sizeof count) == (ssize_t)sizeof count;
}

TEST(held_bells_ring_once_each_at_the_end)
{
    struct error err;
    struct mailbox boxes[HELD_MAX + 2];
    struct mail first[HELD_MAX + 2], second[HELD_MAX + 2];
    for (int i = 0; i < HELD_MAX + 2; i++) {
        EXPECT_STATUS(mailbox_init(&boxes[i], &err), STATUS_OK, err);
        first[i].receive = second[i].receive = ignore;
    }
    mailbox_hold_bells();
    for (int i = 0; i < HELD_MAX + 2; i++) {
        mailbox_post(&boxes[i], &first[i]);
        while (mailbox_receive(&boxes[i], 1)) { /* awake by chance: takes it before the bell */
        }
        mailbox_post(&boxes[i], &second[i]);
        /* More mailboxes than can be held back ring at once. */
        EXPECT_INT(rang(&boxes[i]), i >= HELD_MAX);
    }
    mailbox_ring_held();
    for (int i = 0; i < HELD_MAX + 2; i++) {
        EXPECT_INT(rang(&boxes[i]), i < HELD_MAX);
        EXPECT_INT(atomic_load(&boxes[i].posting), 0);
        while (mailbox_receive(&boxes[i], 100)) {
        }
        mailbox_clear(&boxes[i]);
    }
}

TEST(the_end_waits_for_a_poster_that_has_not_rung)
{
    for (int i = 0; i < 300; i++) {
        struct error err;
        struct mail mail = {.receive = receive_nothing};
        pthread_t poster;
        received = 0;
        REQUIRE(mailbox_init(&mailbox, &err) == STATUS_OK);
        REQUIRE(pthread_create(&poster, NULL, post_once, &mail) == 0);
        while (received == 0) (void)mailbox_receive(&mailbox, 1);
        mailbox_clear(&mailbox);
        /* Most likely the same descriptor, and now somebody else's. */
        int other = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        REQUIRE(other >= 0);
        pthread_join(poster, NULL);
        uint64_t rung;
        EXPECT(read(other, &rung, sizeof rung) < 0);
        (void)close(other);
    }
}
