/*
 * What queue/queue.h promises, over the kind that this program is linked with. Time stands still
 * unless a test moves it, so five minutes cost nothing. Names in brackets are the lines of AWS's
 * recorded behaviour that a test holds.
 */
#include "world.h"

#include <pthread.h>

/* --- queues --------------------------------------------------------------------------------------
 */

TEST(a_queue_is_made_once) /* C1 C2 */
{
    BEGIN();
    struct queue_settings settings = settings_of("q");
    settings.visibility_s = 60;
    EXPECT_STATUS(create_with("q", &settings), STATUS_OK, failure);
    EXPECT_STATUS(create_with("q", &settings), STATUS_OK, failure);
    settings.visibility_s = 61;
    EXPECT(create_with("q", &settings) == STATUS_ALREADY_EXISTS);
    EXPECT(strstr(failure.message, "attribute VisibilityTimeout") != NULL);
    end();
}

TEST(names_and_ranges_are_checked) /* C3 C4 C6 */
{
    BEGIN();
    EXPECT(create("no spaces") == STATUS_INVALID_ARGUMENT);
    EXPECT(create("") == STATUS_INVALID_ARGUMENT);
    EXPECT(create("a.fifo.b") == STATUS_INVALID_ARGUMENT);
    char longest[82];
    memset(longest, 'a', sizeof longest);
    longest[80] = '\0';
    EXPECT(create(longest) == STATUS_OK);
    longest[80] = 'a', longest[81] = '\0';
    EXPECT(create(longest) == STATUS_INVALID_ARGUMENT);
    struct queue_settings settings = settings_of("x.fifo");
    EXPECT(create_with("x", &settings) == STATUS_INVALID_ARGUMENT);
    settings = settings_of("x");
    settings.delay_s = 901;
    EXPECT(create_with("x", &settings) == STATUS_INVALID_ARGUMENT);
    settings = settings_of("x");
    settings.retention_s = 59;
    EXPECT(create_with("x", &settings) == STATUS_INVALID_ARGUMENT);
    end();
}

TEST(a_deleted_name_rests_for_a_minute) /* C7 */
{
    BEGIN();
    struct queue_call call = {.operation = QUEUE_DELETE};
    EXPECT(create("q") == STATUS_OK);
    send("q", "old");
    EXPECT(run(&call, "q") == STATUS_OK);
    EXPECT(run(&call, "q") == STATUS_NOT_FOUND);
    EXPECT(create("q") == STATUS_ABORTED);
    pass(61);
    EXPECT(create("q") == STATUS_OK);
    EXPECT_TEXT(lease("q"), "");
    end();
}

TEST(queues_are_listed_and_described)
{
    BEGIN();
    const struct queue_attribute tags[] = {{STR("team"), STR(""), STR("blue")}};
    struct queue_call call = {.operation = QUEUE_CREATE};
    create_with_dead("orders.fifo", "dead.fifo", 3);
    call.description =
        (struct queue_description){.settings = settings_of("one"), .tags = tags, .tag_count = 1};
    call.description.settings.redrive_allow = STR("{\"redrivePermission\":\"denyAll\"}");
    EXPECT_STATUS(run(&call, "one"), STATUS_OK, failure);
    REQUIRE(reopen());
    call = (struct queue_call){.operation = QUEUE_LIST, .page = {.count_max = 2}};
    EXPECT_STATUS(run(&call, ""), STATUS_OK, failure);
    REQUIRE(call.page.count == 2);
    EXPECT(call.page.more);
    EXPECT_STR(call.page.queues[0].name, STR("dead.fifo"));
    EXPECT_STR(call.page.queues[1].name, STR("one"));
    EXPECT_STR(call.page.queues[1].tags[0].value, STR("blue"));
    EXPECT_STR(call.page.queues[1].settings.redrive_allow,
               STR("{\"redrivePermission\":\"denyAll\"}"));
    call.page = (struct queue_page){.count_max = 2, .after = STR("one")};
    EXPECT_STATUS(run(&call, ""), STATUS_OK, failure);
    EXPECT(call.page.count == 1 && !call.page.more);
    call.page = (struct queue_page){.count_max = 9, .prefix = STR("or")};
    EXPECT_STATUS(run(&call, ""), STATUS_OK, failure);
    EXPECT_INT(call.page.count, 1);
    call.page = (struct queue_page){.count_max = 9, .dead_letter = STR("dead.fifo")};
    EXPECT_STATUS(run(&call, ""), STATUS_OK, failure);
    REQUIRE(call.page.count == 1);
    EXPECT_STR(call.page.queues[0].name, STR("orders.fifo"));
    EXPECT_INT(call.page.queues[0].settings.max_receive_count, 3);
    call = (struct queue_call){.operation = QUEUE_DESCRIBE};
    EXPECT(run(&call, "none") == STATUS_NOT_FOUND);
    end();
}

TEST(a_changed_setting_acts_at_once)
{
    BEGIN();
    EXPECT(create("q") == STATUS_OK);
    struct queue_call call = {.operation = QUEUE_CONFIGURE};
    call.description.settings = settings_of("q");
    call.description.settings.visibility_s = 5;
    EXPECT_STATUS(run(&call, "q"), STATUS_OK, failure);
    send("q", "a");
    EXPECT_TEXT(lease("q"), "a");
    pass(6);
    EXPECT_TEXT(lease("q"), "a");
    end();
}

/* --- sending and receiving
 * -------------------------------------------------------------------------- */

TEST(a_message_comes_as_it_was_sent)
{
    BEGIN();
    const struct queue_attribute attributes[] = {{STR("binary"), STR("Binary.x"), STR("\0\1\377")},
                                                 {STR("text"), STR("String"), STR("gr\303\274n")}};
    const struct queue_new_message message = {.body = STR("line\r\nline"),
                                              .attributes = attributes,
                                              .attribute_count = 2,
                                              .trace_header = STR("Root=1-2-3"),
                                              .group = STR("fair"),
                                              .delay_ms = -1};
    EXPECT(create("q") == STATUS_OK);
    struct queue_sent sent = send_message("q", &message);
    EXPECT_INT(sent.id.size, 36);
    REQUIRE(reopen());
    EXPECT_TEXT(lease("q"), "line\r\nline");
    REQUIRE(held_count == 1 && held[0].attribute_count == 2);
    EXPECT_STR(held[0].attributes[0].value, STR("\0\1\377"));
    EXPECT_STR(held[0].attributes[1].type, STR("String"));
    EXPECT_STR(held[0].trace_header, STR("Root=1-2-3"));
    EXPECT_STR(held[0].group, STR("fair"));
    EXPECT(str_equal(held[0].id, sent.id));
    EXPECT_INT(held[0].receive_count, 1);
    EXPECT_INT(held[0].sent_ms, held[0].first_received_ms);
    end();
}

TEST(large_messages_are_kept_whole) /* S7 */
{
    BEGIN();
    EXPECT(create("q") == STATUS_OK);
    char *large = mem_new(QUEUE_MESSAGE_SIZE_MAX + 1);
    memset(large, 'x', QUEUE_MESSAGE_SIZE_MAX + 1);
    struct queue_new_message message = {.body = {large, QUEUE_MESSAGE_SIZE_MAX}, .delay_ms = -1};
    EXPECT(send_message("q", &message).status == STATUS_OK);
    message.body.size++;
    EXPECT(send_message("q", &message).status == STATUS_INVALID_ARGUMENT);
    struct queue_call call = {.operation = QUEUE_LEASE,
                              .lease = {.count_max = 10, .visibility_ms = -1}};
    EXPECT_STATUS(run(&call, "q"), STATUS_OK, failure);
    REQUIRE(call.lease.count == 1);
    EXPECT_INT(call.lease.messages[0].body.size, QUEUE_MESSAGE_SIZE_MAX);
    EXPECT(memcmp(call.lease.messages[0].body.data, large, QUEUE_MESSAGE_SIZE_MAX) == 0);
    held = call.lease.messages;
    EXPECT(ack("q", 0) == STATUS_OK);
    mem_free(large);
    end();
}

TEST(arrival_and_priority_decide)
{
    BEGIN();
    EXPECT(create("q") == STATUS_OK);
    const struct {
        const char *body;
        uint32_t priority;
    } rows[] = {{"c", 4}, {"e", 9}, {"a", 0}, {"d", 4}, {"b", 0}};
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        send_message("q", &(struct queue_new_message){.body = str_of(rows[i].body),
                                                      .priority = rows[i].priority,
                                                      .delay_ms = -1});
    EXPECT_TEXT(lease_for("q", 2, -1, 0), "a b");
    EXPECT_TEXT(lease("q"), "c d e");
    end();
}

TEST(a_leased_message_is_hidden_and_comes_back) /* V1 R6 */
{
    BEGIN();
    EXPECT(create("q") == STATUS_OK);
    send("q", "a");
    EXPECT_TEXT(lease("q"), "a");
    struct str first = held[0].receipt;
    uint64_t first_received = held[0].first_received_ms;
    EXPECT_TEXT(lease("q"), "");
    expect_depth("q", 0, 1, 0);
    pass(29.9);
    EXPECT_TEXT(lease("q"), "");
    pass(0.2);
    expect_depth("q", 1, 0, 0);
    EXPECT_TEXT(lease("q"), "a");
    EXPECT_INT(held[0].receive_count, 2);
    EXPECT_INT(held[0].first_received_ms, first_received);
    EXPECT(!str_equal(held[0].receipt, first));
    end();
}

TEST(a_visibility_of_zero_hides_nothing) /* V2 */
{
    BEGIN();
    EXPECT(create("q") == STATUS_OK);
    send("q", "a");
    send("q", "b");
    EXPECT_TEXT(lease_for("q", 10, 0, 0), "a b");
    EXPECT_TEXT(lease_for("q", 10, 0, 0), "a b");
    EXPECT_INT(held[0].receive_count, 2);
    end();
}

TEST(visibility_is_changed_by_receipt) /* V3 V4 V5 V6 */
{
    BEGIN();
    EXPECT(create("q") == STATUS_OK);
    send("q", "a");
    EXPECT_TEXT(lease_for("q", 1, 10000, 0), "a");
    pass(9);
    EXPECT(extend("q", 0, 10) == STATUS_OK);
    pass(9);
    struct queue_message *one = held;
    EXPECT_TEXT(lease("q"), "");
    held = one;
    EXPECT(extend("q", 0, 43199) == STATUS_INVALID_ARGUMENT);
    EXPECT(extend("q", 0, 0) == STATUS_OK);
    EXPECT_TEXT(lease_for("q", 1, 1000, 0), "a");
    pass(2);
    EXPECT(extend("q", 0, 30) == STATUS_OK);
    EXPECT_TEXT(lease("q"), "");
    end();
}

TEST(deleting_is_forgiving_on_a_standard_queue) /* V7 V8 V9 V10 */
{
    BEGIN();
    EXPECT(create("q") == STATUS_OK);
    send("q", "a");
    EXPECT_TEXT(lease_for("q", 1, 1000, 0), "a");
    struct str old = held[0].receipt;
    pass(2);
    EXPECT_TEXT(lease_for("q", 1, 1000, 0), "a");
    EXPECT(by_receipt(QUEUE_ACK, "q", old, 0) == STATUS_OK);
    pass(2);
    EXPECT_TEXT(lease_for("q", 1, 1000, 0), "a");
    pass(2);
    EXPECT(ack("q", 0) == STATUS_OK);
    EXPECT(ack("q", 0) == STATUS_OK);
    EXPECT(extend("q", 0, 5) == STATUS_NOT_FOUND);
    EXPECT(by_receipt(QUEUE_ACK, "q", STR("garbage"), 0) == STATUS_INVALID_ARGUMENT);
    expect_depth("q", 0, 0, 0);
    end();
}

TEST(delays_of_queue_and_message)
{
    BEGIN();
    struct queue_settings settings = settings_of("q");
    settings.delay_s = 10;
    EXPECT(create_with("q", &settings) == STATUS_OK);
    send("q", "late");
    send_message("q", &(struct queue_new_message){.body = STR("now"), .delay_ms = 0});
    expect_depth("q", 1, 0, 1);
    EXPECT_TEXT(lease("q"), "now");
    pass(11);
    EXPECT_TEXT(lease("q"), "late");
    end();
}

TEST(old_messages_are_gone) /* F15 */
{
    BEGIN();
    struct queue_settings settings = settings_of("q");
    settings.retention_s = 60;
    EXPECT(create_with("q", &settings) == STATUS_OK);
    send("q", "a");
    pass(59);
    send("q", "b");
    pass(2);
    EXPECT_TEXT(lease("q"), "b");
    expect_depth("q", 0, 1, 0);
    end();
}

/* --- FIFO
 * -------------------------------------------------------------------------------------------- */

TEST(many_of_one_group_come_together) /* F6 F5 */
{
    BEGIN();
    EXPECT(create("q.fifo") == STATUS_OK);
    uint64_t last = 0;
    const char *const sent[] = {"1:a", "2:a", "1:b", "1:c"};
    for (size_t i = 0; i < COUNT_OF(sent); i++) {
        uint64_t sequence = send("q.fifo", sent[i]).sequence;
        EXPECT(sequence > last);
        last = sequence;
    }
    EXPECT_TEXT(lease("q.fifo"), "1:a 1:b 1:c 2:a");
    end();
}

TEST(a_group_is_locked_while_one_of_it_is_in_flight) /* F7 F8 */
{
    BEGIN();
    EXPECT(create("q.fifo") == STATUS_OK);
    send("q.fifo", "1:a"), send("q.fifo", "1:b"), send("q.fifo", "1:c"), send("q.fifo", "2:a");
    EXPECT_TEXT(lease_for("q.fifo", 2, -1, 0), "1:a 1:b");
    struct queue_message *two = held;
    EXPECT_TEXT(lease("q.fifo"), "2:a");
    held = two;
    EXPECT(ack("q.fifo", 0) == STATUS_OK);
    EXPECT_TEXT(lease("q.fifo"), "");
    held = two;
    EXPECT(ack("q.fifo", 1) == STATUS_OK);
    EXPECT_TEXT(lease("q.fifo"), "1:c");
    end();
}

TEST(the_first_of_two_may_come_back_alone) /* F9 */
{
    BEGIN();
    EXPECT(create("q.fifo") == STATUS_OK);
    send("q.fifo", "1:a"), send("q.fifo", "1:b");
    EXPECT_TEXT(lease("q.fifo"), "1:a 1:b");
    EXPECT(extend("q.fifo", 0, 0) == STATUS_OK);
    EXPECT_TEXT(lease("q.fifo"), "1:a");
    end();
}

TEST(an_extended_message_holds_back_the_later_ones) /* F10 */
{
    BEGIN();
    EXPECT(create("q.fifo") == STATUS_OK);
    send("q.fifo", "1:a"), send("q.fifo", "1:b"), send("q.fifo", "1:c");
    EXPECT_TEXT(lease_for("q.fifo", 10, 10000, 0), "1:a 1:b 1:c");
    EXPECT(extend("q.fifo", 1, 60) == STATUS_OK);
    pass(11);
    EXPECT_TEXT(lease("q.fifo"), "1:a");
    end();
}

TEST(an_expired_receipt_deletes_nothing) /* F11 */
{
    BEGIN();
    EXPECT(create("q.fifo") == STATUS_OK);
    send("q.fifo", "1:a");
    EXPECT_TEXT(lease_for("q.fifo", 1, 5000, 0), "1:a");
    pass(4);
    EXPECT(extend("q.fifo", 0, 10) == STATUS_OK);
    pass(4);
    EXPECT(ack("q.fifo", 0) == STATUS_OK);
    send("q.fifo", "1:b");
    EXPECT_TEXT(lease_for("q.fifo", 1, 5000, 0), "1:b");
    pass(6);
    EXPECT(ack("q.fifo", 0) == STATUS_FAILED_PRECONDITION);
    EXPECT_TEXT(lease("q.fifo"), "1:b");
    end();
}

TEST(duplicates_within_five_minutes_are_one) /* F2 F3 F4 */
{
    BEGIN();
    struct queue_settings settings = settings_of("q.fifo");
    settings.content_based_deduplication = true;
    EXPECT(create_with("q.fifo", &settings) == STATUS_OK);
    struct queue_sent first = send("q.fifo", "1:a");
    EXPECT_TEXT(lease("q.fifo"), "1:a");
    EXPECT(ack("q.fifo", 0) == STATUS_OK);
    struct queue_sent again = send("q.fifo", "1:a");
    EXPECT(again.duplicate && str_equal(again.id, first.id));
    EXPECT_INT(again.sequence, first.sequence);
    struct queue_new_message other = {
        .body = STR("1:a"), .group = STR("2"), .deduplication_id = STR("1:a"), .delay_ms = -1};
    EXPECT(send_message("q.fifo", &other).duplicate);
    other.deduplication_id = (struct str){0};
    EXPECT(!send_message("q.fifo", &other).duplicate);
    EXPECT(send_message("q.fifo", &other).duplicate);
    REQUIRE(reopen());
    EXPECT(send_message("q.fifo", &other).duplicate);
    EXPECT_TEXT(lease("q.fifo"), "1:a");
    pass(301);
    EXPECT(!send("q.fifo", "1:a").duplicate);
    end();
}

TEST(deduplication_by_group_and_its_absence) /* F1 F3 */
{
    BEGIN();
    struct queue_settings settings = settings_of("q.fifo");
    settings.deduplicate_by_group = true;
    EXPECT(create_with("q.fifo", &settings) == STATUS_OK);
    struct queue_new_message message = {
        .body = STR("x"), .group = STR("1"), .deduplication_id = STR("d"), .delay_ms = -1};
    EXPECT(!send_message("q.fifo", &message).duplicate);
    message.group = STR("2");
    EXPECT(!send_message("q.fifo", &message).duplicate);
    EXPECT(send_message("q.fifo", &message).duplicate);
    message.deduplication_id = (struct str){0};
    EXPECT(send_message("q.fifo", &message).status == STATUS_INVALID_ARGUMENT);
    message.deduplication_id = STR("e");
    message.group = (struct str){0};
    EXPECT(send_message("q.fifo", &message).status == STATUS_INVALID_ARGUMENT);
    message.group = STR("1");
    message.delay_ms = 1000;
    EXPECT(send_message("q.fifo", &message).status == STATUS_INVALID_ARGUMENT);
    end();
}

TEST(a_delay_of_a_fifo_queue_acts_backwards) /* F13 */
{
    BEGIN();
    struct queue_settings settings = settings_of("q.fifo");
    settings.delay_s = 100;
    EXPECT(create_with("q.fifo", &settings) == STATUS_OK);
    send("q.fifo", "1:a");
    pass(10);
    EXPECT_TEXT(lease("q.fifo"), "");
    struct queue_call call = {.operation = QUEUE_CONFIGURE};
    call.description.settings = settings;
    call.description.settings.delay_s = 5;
    EXPECT_STATUS(run(&call, "q.fifo"), STATUS_OK, failure);
    EXPECT_TEXT(lease("q.fifo"), "1:a");
    end();
}

TEST(a_repeated_receive_gets_the_same_set) /* F12 */
{
    BEGIN();
    EXPECT(create("q.fifo") == STATUS_OK);
    send("q.fifo", "1:a"), send("q.fifo", "1:b");
    struct queue_call call = {
        .operation = QUEUE_LEASE,
        .lease = {.count_max = 10, .visibility_ms = -1, .attempt_id = STR("t")}};
    EXPECT_STATUS(run(&call, "q.fifo"), STATUS_OK, failure);
    REQUIRE(call.lease.count == 2);
    struct str receipt = call.lease.messages[0].receipt;
    send("q.fifo", "2:a");
    call.lease = (struct queue_lease){.count_max = 10, .visibility_ms = -1, .attempt_id = STR("t")};
    EXPECT_STATUS(run(&call, "q.fifo"), STATUS_OK, failure);
    REQUIRE(call.lease.count == 2);
    EXPECT(str_equal(call.lease.messages[0].receipt, receipt));
    EXPECT(by_receipt(QUEUE_ACK, "q.fifo", receipt, 0) == STATUS_OK);
    call.lease = (struct queue_lease){.count_max = 10, .visibility_ms = -1, .attempt_id = STR("t")};
    EXPECT_STATUS(run(&call, "q.fifo"), STATUS_OK, failure);
    REQUIRE(call.lease.count == 1);
    EXPECT_STR(call.lease.messages[0].body, STR("2:a"));
    end();
}

/* --- dead letters
 * --------------------------------------------------------------------------------------- */

TEST(a_message_dies_of_its_receives) /* D1 D2 D3 */
{
    BEGIN();
    create_with_dead("q", "dead", 2);
    struct queue_sent sent = send("q", "poison");
    uint64_t sent_ms = 0;
    for (int i = 0; i < 2; i++) {
        EXPECT_TEXT(lease("q"), "poison");
        sent_ms = held[0].sent_ms;
        pass(31);
    }
    EXPECT_TEXT(lease("q"), "");
    expect_depth("q", 0, 0, 0);
    expect_depth("dead", 1, 0, 0);
    EXPECT_TEXT(lease("dead"), "poison");
    EXPECT(str_equal(held[0].id, sent.id));
    EXPECT_INT(held[0].receive_count, 3);
    EXPECT_INT(held[0].sent_ms, sent_ms);
    EXPECT_STR(held[0].dead_letter_source, STR("q"));
    end();
}

TEST(a_dead_letter_frees_its_group) /* D4 D9 */
{
    BEGIN();
    create_with_dead("q.fifo", "dead.fifo", 1);
    struct queue_sent sent = send("q.fifo", "1:poison");
    send("q.fifo", "1:next");
    EXPECT_TEXT(lease_for("q.fifo", 1, -1, 0), "1:poison");
    uint64_t sent_ms = held[0].sent_ms;
    pass(31);
    EXPECT_TEXT(lease("q.fifo"), "1:next");
    EXPECT_TEXT(lease("dead.fifo"), "1:poison");
    EXPECT(str_equal(held[0].deduplication_id, sent.id));
    EXPECT(held[0].sent_ms > sent_ms);
    end();
}

TEST(poison_is_buried_at_once)
{
    BEGIN();
    create_with_dead("q.fifo", "dead.fifo", 5);
    send("q.fifo", "1:a"), send("q.fifo", "1:b");
    EXPECT_TEXT(lease_for("q.fifo", 1, -1, 0), "1:a");
    EXPECT(by_receipt(QUEUE_BURY, "q.fifo", held[0].receipt, 0) == STATUS_OK);
    EXPECT_TEXT(lease("q.fifo"), "1:b");
    EXPECT_TEXT(lease("dead.fifo"), "1:a");
    EXPECT(by_receipt(QUEUE_BURY, "dead.fifo", held[0].receipt, 0) == STATUS_OK);
    EXPECT_TEXT(lease("dead.fifo"), ""); /* it has none itself: deleted */
    pass(31);
    EXPECT_TEXT(lease("dead.fifo"), "");
    end();
}

/* What counts is the queue as it is at the moment, whatever a worker knows of it. */
TEST(a_dead_letter_queue_is_had_at_once)
{
    BEGIN();
    EXPECT(create("q") == STATUS_OK);
    send("q", "a"), send("q", "b");
    EXPECT_TEXT(lease_for("q", 1, -1, 0), "a");
    struct queue_receipt one = {.receipt = held[0].receipt};
    struct queue_call call = {.operation = QUEUE_BURY, .receipts = {&one, 1}};
    EXPECT_STATUS(run(&call, "q"), STATUS_OK, failure);
    EXPECT(one.status == STATUS_OK && !one.buried);
    EXPECT_TEXT(lease("q"), "b");
    one = (struct queue_receipt){.receipt = held[0].receipt};
    EXPECT(create("dead") == STATUS_OK);
    struct queue_call change = {.operation = QUEUE_CONFIGURE};
    change.description.settings = settings_of("q");
    (void)snprintf(change.description.settings.dead_letter, QUEUE_NAME_MAX, "dead");
    change.description.settings.max_receive_count = 5;
    EXPECT_STATUS(run(&change, "q"), STATUS_OK, failure);
    EXPECT_STATUS(run(&call, "q"), STATUS_OK, failure);
    EXPECT(one.status == STATUS_OK && one.buried);
    EXPECT_TEXT(lease("dead"), "b");
    end();
}

TEST(poison_stays_if_its_dead_letter_queue_was_deleted)
{
    BEGIN();
    create_with_dead("q", "dead", 5);
    send("q", "a");
    EXPECT_TEXT(lease("q"), "a");
    struct queue_call call = {.operation = QUEUE_DELETE};
    EXPECT_STATUS(run(&call, "dead"), STATUS_OK, failure);
    EXPECT(by_receipt(QUEUE_BURY, "q", held[0].receipt, 0) == STATUS_FAILED_PRECONDITION);
    pass(31);
    EXPECT_TEXT(lease("q"), "a");
    end();
}

/* A redrive runs in the background. */
static struct queue_move wait_for_move(const char *source)
{
    struct queue_call call = {.operation = QUEUE_MOVE_LIST};
    for (int i = 0; i < 500; i++) {
        call.moves = (struct queue_moves){.source = str_of(source), .count_max = 1};
        EXPECT_STATUS(run(&call, source), STATUS_OK, failure);
        if (call.moves.count == 1 && strcmp(call.moves.moves[0].state, "RUNNING") != 0) break;
        (void)nanosleep(&(struct timespec){0, 20000000}, NULL);
    }
    return call.moves.count ? call.moves.moves[0] : (struct queue_move){.state = "NONE"};
}

TEST(dead_letters_go_back) /* D5 */
{
    BEGIN();
    create_with_dead("q", "dead", 1);
    struct queue_sent sent[3];
    for (int i = 0; i < 3; i++) sent[i] = send("q", i == 0 ? "a" : i == 1 ? "b" : "c");
    EXPECT_TEXT(lease("q"), "a b c");
    pass(31);
    EXPECT_TEXT(lease("q"), "");
    struct queue_call call = {.operation = QUEUE_MOVE_START, .move = {.source = STR("q")}};
    EXPECT(run(&call, "q") == STATUS_INVALID_ARGUMENT);
    call.move = (struct queue_move){.source = STR("dead")};
    EXPECT_STATUS(run(&call, "dead"), STATUS_OK, failure);
    struct queue_move move = wait_for_move("dead");
    EXPECT_TEXT(move.state, "COMPLETED");
    EXPECT_INT(move.moved, 3);
    EXPECT_TEXT(lease("q"), "a b c");
    REQUIRE(held_count == 3);
    EXPECT(!str_equal(held[0].id, sent[0].id));
    EXPECT_INT(held[0].receive_count, 1);
    expect_depth("dead", 0, 0, 0);
    end();
}

/* --- nack, cancel, purge, must_hold
 * ------------------------------------------------------------------------ */

TEST(work_that_was_not_begun_is_given_back)
{
    BEGIN();
    create_with_dead("q", "dead", 1);
    send("q", "a");
    for (int i = 0; i < 5; i++) {
        EXPECT_TEXT(lease("q"), "a");
        EXPECT_INT(held[0].receive_count, 1);
        EXPECT(by_receipt(QUEUE_NACK, "q", held[0].receipt, i == 4 ? 5000 : 0) == STATUS_OK);
    }
    EXPECT_TEXT(lease("q"), "");
    pass(6);
    EXPECT_TEXT(lease("q"), "a");
    end();
}

TEST(a_waiting_message_can_be_cancelled)
{
    BEGIN();
    EXPECT(create("q") == STATUS_OK);
    const struct queue_new_message message = {
        .body = STR("a"), .delay_ms = -1, .id = STR("01234567-89ab-cdef-0123-456789abcdef")};
    EXPECT_STR(send_message("q", &message).id, STR("01234567-89ab-cdef-0123-456789abcdef"));
    EXPECT_TEXT(lease_for("q", 1, 1000, 0), "a");
    EXPECT(by_receipt(QUEUE_CANCEL, "q", message.id, 0) == STATUS_NOT_FOUND);
    pass(2);
    EXPECT(by_receipt(QUEUE_CANCEL, "q", message.id, 0) == STATUS_OK);
    EXPECT(by_receipt(QUEUE_CANCEL, "q", message.id, 0) == STATUS_NOT_FOUND);
    EXPECT_TEXT(lease("q"), "");
    expect_depth("q", 0, 0, 0);
    end();
}

TEST(a_purge_empties_and_forgets) /* F2 */
{
    BEGIN();
    struct queue_call call = {.operation = QUEUE_PURGE};
    EXPECT(create("q.fifo") == STATUS_OK);
    send("q.fifo", "1:a"), send("q.fifo", "2:a");
    EXPECT_TEXT(lease_for("q.fifo", 1, -1, 0), "1:a");
    EXPECT_STATUS(run(&call, "q.fifo"), STATUS_OK, failure);
    expect_depth("q.fifo", 0, 0, 0);
    EXPECT(run(&call, "q.fifo") == STATUS_ABORTED);
    EXPECT(!send("q.fifo", "1:a").duplicate);
    EXPECT_TEXT(lease("q.fifo"), "1:a");
    pass(61);
    EXPECT_STATUS(run(&call, "q.fifo"), STATUS_OK, failure);
    REQUIRE(reopen());
    EXPECT_TEXT(lease("q.fifo"), "");
    end();
}

TEST(who_does_not_hold_it_any_more_changes_nothing)
{
    BEGIN();
    EXPECT(create("q") == STATUS_OK);
    send("q", "a"), send("q", "b");
    EXPECT_TEXT(lease_for("q", 2, 5000, 0), "a b");
    EXPECT(extend("q", 0, 60) == STATUS_OK);
    pass(6);
    struct queue_receipt receipts[] = {{.receipt = held[0].receipt, .must_hold = true},
                                       {.receipt = held[1].receipt, .must_hold = true}};
    struct queue_call call = {.operation = QUEUE_ACK, .receipts = {receipts, 2}};
    EXPECT(run(&call, "q") == STATUS_FAILED_PRECONDITION);
    expect_depth("q", 1, 1, 0);
    call.receipts.count = 1;
    EXPECT_STATUS(run(&call, "q"), STATUS_OK, failure);
    expect_depth("q", 1, 0, 0);
    end();
}

/* --- waiting
 * ------------------------------------------------------------------------------------------------
 */

static void *send_soon(void *context)
{
    (void)nanosleep(&(struct timespec){0, 30000000}, NULL);
    struct arena own;
    struct error err;
    struct queue_sent sent;
    arena_init(&own, 1 << 20);
    struct queue_new_message message = {.body = STR("soon"), .delay_ms = -1};
    struct queue_call call = {.operation = QUEUE_SEND,
                              .queue = str_of(context),
                              .arena = &own,
                              .send = {&message, 1, &sent}};
    EXPECT(queue_run(queues, &call, &err) == STATUS_OK);
    arena_clear(&own);
    return NULL;
}

TEST(a_long_poll_gets_what_comes) /* R4 */
{
    BEGIN();
    pthread_t thread;
    char name[] = "q";
    EXPECT(create("q") == STATUS_OK);
    uint64_t start = clock_monotonic_ns();
    EXPECT(pthread_create(&thread, NULL, send_soon, name) == 0);
    EXPECT_TEXT(lease_for("q", 1, -1, 20000), "soon");
    EXPECT(clock_monotonic_ns() - start < 15 * NS_PER_S);
    EXPECT(pthread_join(thread, NULL) == 0);
    EXPECT_TEXT(lease_for("q", 1, -1, 50), "");
    end();
}

struct waiting_call {
    struct queue_call call;
    struct arena arena;
    _Atomic int over; /* 1 + status */
};

static void waiting_done(struct queue_call *call, enum status status,
                         const struct error *err UNUSED)
{
    ((struct waiting_call *)call->context)->over = 1 + (int)status;
}

/* After so long: 0 is before anybody has looked at the queue. */
static void cancel_after(long ns)
{
    struct waiting_call waiting = {
        .call = {.operation = QUEUE_LEASE,
                 .queue = STR("q"),
                 .done = waiting_done,
                 .lease = {.count_max = 1, .visibility_ms = -1, .wait_ms = 20000}}};
    waiting.call.arena = &waiting.arena;
    waiting.call.context = &waiting;
    arena_init(&waiting.arena, 1 << 20);
    EXPECT_STATUS(queue_submit(queues, &waiting.call, &failure), STATUS_OK, failure);
    if (ns > 0) (void)nanosleep(&(struct timespec){0, ns}, NULL);
    EXPECT_INT(waiting.over, 0);
    queue_cancel_wait(queues, &waiting.call);
    while (waiting.over == 0) (void)nanosleep(&(struct timespec){0, 1000000}, NULL);
    EXPECT_INT(waiting.over, 1 + STATUS_CANCELLED);
    arena_clear(&waiting.arena);
}

TEST(a_long_poll_can_be_cancelled_at_any_moment)
{
    BEGIN();
    EXPECT(create("q") == STATUS_OK);
    for (long ns = 0; ns < 50; ns++) cancel_after(ns * ns * 4000);
    cancel_after(20000000);
    end();
}
