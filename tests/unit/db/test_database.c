#include "base/mem.h"
#include "db/database.c"
#include "test.h"

/* A store of one number that can be rolled back, whose commits can be made to fail. */
struct fake {
    int64_t value, pending;
    _Atomic int commits, rollbacks, begins;
    _Atomic bool commit_fails;
    pthread_mutex_t gate; /* held: a commit waits */
};

/* A reader has no value: two threads would share it. */
static enum status fake_open(struct database *database, bool reads,
                             struct database_session *session, struct error *err UNUSED)
{
    session->connection = reads ? NULL : database_state(database);
    return STATUS_OK;
}

static void fake_close(struct database_session *session UNUSED) {}

static enum status fake_begin(struct database_session *session, struct error *err UNUSED)
{
    struct fake *fake = session->connection;
    if (!fake) return STATUS_OK;
    fake->begins++;
    fake->pending = fake->value;
    return STATUS_OK;
}

static enum status fake_commit(struct database_session *session, struct error *err)
{
    struct fake *fake = session->connection;
    if (!fake) return STATUS_OK;
    (void)pthread_mutex_lock(&fake->gate);
    (void)pthread_mutex_unlock(&fake->gate);
    if (fake->commit_fails) return fail(err, STATUS_EXHAUSTED, "disk full");
    fake->value = fake->pending;
    fake->commits++;
    return STATUS_OK;
}

static void fake_rollback(struct database_session *session)
{
    struct fake *fake = session->connection;
    fake->pending = fake->value;
    fake->rollbacks++;
}

static void fake_free(struct database *database UNUSED) {}

static const struct database_ops fake_ops = {
    .name = "fake",
    .session_open = fake_open,
    .session_close = fake_close,
    .begin = fake_begin,
    .commit = fake_commit,
    .rollback = fake_rollback,
    .close = fake_free,
};

struct addition {
    struct database_task task;
    int64_t amount;
    enum { ADD, REFUSE, BREAK } kind;
    _Atomic int done; /* 1 + status */
    int runs;
};

static enum status add(struct database_task *task, struct database_session *session,
                       struct error *err)
{
    struct addition *addition = CONTAINER_OF(task, struct addition, task);
    struct fake *fake = session->connection;
    addition->runs++;
    if (!fake) return STATUS_OK;
    if (addition->kind == REFUSE) return fail(err, STATUS_NOT_FOUND, "refused");
    fake->pending += addition->amount;
    if (addition->kind != BREAK) return STATUS_OK;
    session->dirty = true;
    return fail(err, STATUS_INTERNAL, "broken");
}

static void added(struct database_task *task, enum status status, const struct error *err)
{
    struct addition *addition = CONTAINER_OF(task, struct addition, task);
    EXPECT((status == STATUS_OK) == (err == NULL));
    addition->done = 1 + (int)status;
}

static struct addition addition(int64_t amount, int kind)
{
    return (struct addition){.task = {.run = add, .done = added}, .amount = amount, .kind = kind};
}

static void wait_done(struct addition *one)
{
    while (one->done == 0) (void)nanosleep(&(struct timespec){0, 100000}, NULL);
}

static struct fake fake;
static struct database *database;

static bool open_fake(void)
{
    struct error err;
    fake = (struct fake){.gate = PTHREAD_MUTEX_INITIALIZER};
    return database_new(&fake_ops, &fake, &(struct database_options){0}, &database, &err) ==
           STATUS_OK;
}

TEST(many_share_a_commit)
{
    enum { MANY = 100 };
    static struct addition many[MANY];
    struct error err;
    REQUIRE(open_fake());
    (void)pthread_mutex_lock(&fake.gate); /* the first is on its way, the others gather */
    for (int i = 0; i < MANY; i++) {
        many[i] = addition(1, ADD);
        EXPECT(database_submit(database, &many[i].task, &err) == STATUS_OK);
        if (i == 0)
            while (fake.begins == 0) (void)sched_yield();
    }
    EXPECT_INT(many[0].done, 0);
    (void)pthread_mutex_unlock(&fake.gate);
    for (int i = 0; i < MANY; i++) wait_done(&many[i]);
    EXPECT_INT(fake.value, MANY);
    EXPECT(fake.commits <= 3);
    database_free(database);
}

TEST(a_refusal_is_told_alone_and_others_are_kept)
{
    struct error err;
    REQUIRE(open_fake());
    (void)pthread_mutex_lock(&fake.gate);
    struct addition first = addition(1, ADD), good = addition(2, ADD), bad = addition(4, REFUSE),
                    last = addition(8, ADD);
    struct addition *all[] = {&first, &good, &bad, &last};
    for (size_t i = 0; i < COUNT_OF(all); i++)
        EXPECT(database_submit(database, &all[i]->task, &err) == STATUS_OK);
    (void)pthread_mutex_unlock(&fake.gate);
    for (size_t i = 0; i < COUNT_OF(all); i++) wait_done(all[i]);
    EXPECT_INT(bad.done, 1 + STATUS_NOT_FOUND);
    EXPECT_INT(fake.value, 11);
    EXPECT_INT(fake.rollbacks, 0);
    database_free(database);
}

TEST(a_broken_write_undoes_itself_only)
{
    struct error err;
    REQUIRE(open_fake());
    (void)pthread_mutex_lock(&fake.gate);
    struct addition first = addition(1, ADD), good = addition(2, ADD), bad = addition(4, BREAK),
                    last = addition(8, ADD);
    struct addition *all[] = {&first, &good, &bad, &last};
    for (size_t i = 0; i < COUNT_OF(all); i++)
        EXPECT(database_submit(database, &all[i]->task, &err) == STATUS_OK);
    (void)pthread_mutex_unlock(&fake.gate);
    for (size_t i = 0; i < COUNT_OF(all); i++) wait_done(all[i]);
    EXPECT_INT(bad.done, 1 + STATUS_INTERNAL);
    EXPECT_INT(good.done, 1 + STATUS_OK);
    EXPECT_INT(fake.value, 11);
    EXPECT(bad.runs == 2 && good.runs <= 2);
    database_free(database);
}

TEST(a_chain_is_kept_whole_or_not_at_all)
{
    struct error err;
    REQUIRE(open_fake());
    struct addition a = addition(1, ADD), b = addition(2, REFUSE), c = addition(4, ADD);
    a.task.together = &b.task;
    b.task.together = &c.task;
    EXPECT(database_run(database, &a.task, &err) == STATUS_NOT_FOUND);
    EXPECT_TEXT(err.message, "refused");
    EXPECT_INT(fake.value, 0);
    EXPECT(c.runs == 0);
    EXPECT(c.task.together == NULL);
    b.kind = ADD;
    EXPECT(database_run(database, &a.task, &err) == STATUS_OK);
    EXPECT_INT(fake.value, 7);
    database_free(database);
}

TEST(a_failed_commit_fails_all_and_keeps_nothing)
{
    struct error err;
    REQUIRE(open_fake());
    fake.commit_fails = true;
    struct addition a = addition(1, ADD), b = addition(2, ADD);
    a.task.together = &b.task;
    EXPECT(database_run(database, &a.task, &err) == STATUS_EXHAUSTED);
    EXPECT_TEXT(err.message, "disk full");
    EXPECT_INT(b.task.status, STATUS_EXHAUSTED);
    fake.commit_fails = false;
    EXPECT(database_run(database, &a.task, &err) == STATUS_OK);
    EXPECT_INT(fake.value, 3);
    struct database_counters counters;
    database_counters_read(database, &counters);
    EXPECT_INT(counters.commit_failures, 1);
    EXPECT_INT(counters.tasks_waiting, 0);
    database_free(database);
}

TEST(what_waits_is_run_before_the_end)
{
    enum { MANY = 1000 };
    static struct addition many[MANY];
    struct error err;
    REQUIRE(open_fake());
    for (int i = 0; i < MANY; i++) {
        many[i] = addition(1, ADD);
        many[i].task.reads = i % 7 == 0;
        if (many[i].task.reads) many[i].amount = 0;
        EXPECT(database_submit(database, &many[i].task, &err) == STATUS_OK);
    }
    database_free(database);
    for (int i = 0; i < MANY; i++) EXPECT_INT(many[i].done, 1);
}

TEST(time_goes_on_when_the_wall_clock_jumps)
{
    struct clock_fake clock;
    struct fake unused = {.gate = PTHREAD_MUTEX_INITIALIZER};
    struct database *timed;
    struct error err;
    clock_fake_init(&clock, 1000 * NS_PER_S);
    REQUIRE(database_new(&fake_ops, &unused, &(struct database_options){.clock = &clock.clock},
                         &timed, &err) == STATUS_OK);
    EXPECT_INT(database_now_ms(timed), 1000000);
    clock_fake_advance(&clock, 5 * NS_PER_MS);
    clock.wall = 0;
    EXPECT_INT(database_now_ms(timed), 1000005);
    database_free(timed);
}

/* Something that needs a lock which others hold for its first runs. */
struct contender {
    struct addition addition;
    int busy_runs;
    bool writes_first;
};

static enum status contend(struct database_task *task, struct database_session *session,
                           struct error *err)
{
    struct contender *contender = CONTAINER_OF(task, struct contender, addition.task);
    struct fake *shared = session->connection;
    contender->addition.runs++;
    if (contender->writes_first) {
        shared->pending += contender->addition.amount;
        session->dirty = true;
    }
    if (contender->busy_runs > 0) {
        contender->busy_runs--;
        session->busy = true;
        return fail(err, STATUS_ABORTED, "somebody holds it");
    }
    session->dirty = false;
    if (!contender->writes_first) shared->pending += contender->addition.amount;
    return STATUS_OK;
}

static void run_contenders(struct contender *contenders, size_t count)
{
    struct error err;
    REQUIRE(open_fake());
    struct addition first = addition(1, ADD);
    (void)pthread_mutex_lock(&fake.gate);
    EXPECT(database_submit(database, &first.task, &err) == STATUS_OK);
    while (fake.begins == 0) (void)sched_yield();
    for (size_t i = 0; i < count; i++) {
        contenders[i].addition.task = (struct database_task){.run = contend, .done = added};
        EXPECT(database_submit(database, &contenders[i].addition.task, &err) == STATUS_OK);
    }
    (void)pthread_mutex_unlock(&fake.gate);
    wait_done(&first);
    for (size_t i = 0; i < count; i++) wait_done(&contenders[i].addition);
    database_free(database);
}

TEST(who_finds_others_in_the_way_waits_for_the_next_transaction)
{
    struct contender contenders[] = {{.addition = {.amount = 2}, .busy_runs = 3},
                                     {.addition = {.amount = 4}},
                                     {.addition = {.amount = 8}, .busy_runs = 1}};
    run_contenders(contenders, COUNT_OF(contenders));
    for (size_t i = 0; i < COUNT_OF(contenders); i++)
        EXPECT_INT(contenders[i].addition.done, 1 + STATUS_OK);
    EXPECT_INT(fake.value, 15);
    EXPECT_INT(contenders[1].addition.runs, 1);
    EXPECT_INT(contenders[2].addition.runs, 2);
    EXPECT_INT(fake.rollbacks, 0);
    EXPECT_INT(fake.commits, 5);
}

TEST(a_conflict_after_a_write_is_tried_again_alone_for_a_while)
{
    struct contender contenders[] = {
        {.addition = {.amount = 2}, .busy_runs = 3, .writes_first = true},
        {.addition = {.amount = 4}},
        {.addition = {.amount = 8}, .busy_runs = 1000, .writes_first = true}};
    run_contenders(contenders, COUNT_OF(contenders));
    EXPECT_INT(contenders[0].addition.done, 1 + STATUS_OK);
    EXPECT_INT(contenders[1].addition.done, 1 + STATUS_OK);
    EXPECT_INT(contenders[2].addition.done, 1 + STATUS_ABORTED);
    EXPECT_INT(contenders[2].addition.runs, DATABASE_TRIES_MAX);
    EXPECT_INT(fake.value, 7);
}

/* What asks another chain into its transaction, each time it is run. */
struct inviter {
    struct addition addition;
    struct addition *guest; /* once: it can be in one list only */
};

static enum status invite(struct database_task *task, struct database_session *session,
                          struct error *err)
{
    struct inviter *inviter = CONTAINER_OF(task, struct inviter, addition.task);
    if (inviter->guest) database_join(session, &inviter->guest->task);
    inviter->guest = NULL;
    return add(task, session, err);
}

static struct inviter inviter(int kind, struct addition *guest)
{
    struct inviter one = {.addition = addition(1, kind), .guest = guest};
    one.addition.task.run = invite;
    return one;
}

TEST(who_joins_is_part_of_the_same_commit)
{
    struct error err;
    REQUIRE(open_fake());
    struct addition guest = addition(2, ADD), refused = addition(4, REFUSE);
    struct inviter first = inviter(ADD, &guest), second = inviter(ADD, &refused);
    first.addition.task.together = &second.addition.task;
    EXPECT(database_submit(database, &first.addition.task, &err) == STATUS_OK);
    wait_done(&guest);
    wait_done(&refused);
    EXPECT_INT(first.addition.done, 1 + STATUS_OK);
    EXPECT_INT(guest.done, 1 + STATUS_OK);
    EXPECT_INT(refused.done, 1 + STATUS_NOT_FOUND);
    EXPECT_INT(fake.value, 4);
    EXPECT_INT(fake.commits, 1);
    database_free(database);
}

TEST(who_joins_what_fails_is_run_all_the_same)
{
    struct error err;
    static const int kinds[] = {REFUSE, BREAK};
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        REQUIRE(open_fake());
        struct addition guest = addition(2, ADD);
        struct inviter host = inviter(kinds[i], &guest);
        EXPECT(database_submit(database, &host.addition.task, &err) == STATUS_OK);
        wait_done(&host.addition);
        wait_done(&guest);
        EXPECT(host.addition.done != 1 + STATUS_OK);
        EXPECT_INT(guest.done, 1 + STATUS_OK);
        EXPECT_INT(fake.value, 2);
        database_free(database);
    }
}

TEST(who_joins_and_breaks_undoes_itself_only)
{
    struct error err;
    REQUIRE(open_fake());
    struct addition guest = addition(2, BREAK);
    struct inviter host = inviter(ADD, &guest);
    EXPECT(database_submit(database, &host.addition.task, &err) == STATUS_OK);
    wait_done(&host.addition);
    wait_done(&guest);
    EXPECT_INT(host.addition.done, 1 + STATUS_OK);
    EXPECT_INT(guest.done, 1 + STATUS_INTERNAL);
    EXPECT_INT(fake.value, 1);
    database_free(database);
}
