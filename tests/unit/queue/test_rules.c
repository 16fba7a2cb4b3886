#include "queue/rules.c"
#include "test.h"

static bool name_is_good(const char *name)
{
    struct error err;
    return rules_check_name(str_of(name), &err) == STATUS_OK;
}

TEST(names)
{
    EXPECT(name_is_good("a"));
    EXPECT(name_is_good("A-_9.fifo"));
    EXPECT(!name_is_good(""));
    EXPECT(!name_is_good(".fifo"));
    EXPECT(!name_is_good("a.fif"));
    EXPECT(!name_is_good("a/b"));
    EXPECT(!name_is_good("a\xc3\xbc"));
    EXPECT(rules_is_fifo_name(STR("x.fifo")) && !rules_is_fifo_name(STR("x.FIFO")));
}

TEST(characters_of_a_message)
{
    EXPECT(rules_text_is_allowed(STR("")));
    EXPECT(rules_text_is_allowed(STR("a\t\r\n\x20\x7f\xc2\x80\xed\x9f\xbf\xee\x80\x80")));
    EXPECT(rules_text_is_allowed(STR("\xef\xbf\xbd\xf0\x90\x80\x80\xf4\x8f\xbf\xbf")));
    EXPECT(!rules_text_is_allowed(STR("a\0b")));
    EXPECT(!rules_text_is_allowed(STR("\x1f")));
    EXPECT(!rules_text_is_allowed(STR("\xed\xa0\x80")));
    EXPECT(!rules_text_is_allowed(STR("\xef\xbf\xbe")));
    EXPECT(!rules_text_is_allowed(STR("\xef\xbf\xbf")));
    EXPECT(!rules_text_is_allowed(STR("\xff")));
}

static enum status check_lease_of(uint32_t count, int64_t visibility_ms, int64_t wait_ms)
{
    struct error err;
    struct queue_call call = {
        .operation = QUEUE_LEASE,
        .lease = {.count_max = count, .visibility_ms = visibility_ms, .wait_ms = wait_ms}};
    return rules_check(&call, &err);
}

TEST(ranges_of_a_lease)
{
    EXPECT(check_lease_of(1, -1, -1) == STATUS_OK);
    EXPECT(check_lease_of(QUEUE_LEASE_MAX, 43200000, QUEUE_WAIT_MS_MAX) == STATUS_OK);
    EXPECT(check_lease_of(0, 0, 0) == STATUS_INVALID_ARGUMENT);
    EXPECT(check_lease_of(QUEUE_LEASE_MAX + 1, 0, 0) == STATUS_INVALID_ARGUMENT);
    EXPECT(check_lease_of(1, 43200001, 0) == STATUS_INVALID_ARGUMENT);
    EXPECT(check_lease_of(1, 0, QUEUE_WAIT_MS_MAX + 1) == STATUS_INVALID_ARGUMENT);
}

TEST(a_negative_visibility_of_a_receipt_is_refused)
{
    struct error err;
    struct queue_receipt receipt = {.receipt = STR("x"), .visibility_ms = -1};
    struct queue_call call = {.operation = QUEUE_EXTEND, .receipts = {&receipt, 1}};
    EXPECT(rules_check(&call, &err) == STATUS_INVALID_ARGUMENT);
}

TEST(sizes_count_attributes_too)
{
    struct error err;
    struct queue_sent sent;
    static char body[QUEUE_MESSAGE_SIZE_MAX];
    struct queue_attribute attribute = {STR("n"), STR("String"), STR("v")};
    struct queue_new_message message = {
        .body = {body, sizeof body - 8}, .attributes = &attribute, .attribute_count = 1};
    struct queue_call call = {.operation = QUEUE_SEND, .send = {&message, 1, &sent}};
    EXPECT(rules_check(&call, &err) == STATUS_OK);
    message.body.size++;
    EXPECT(rules_check(&call, &err) == STATUS_INVALID_ARGUMENT);
    message.body.size = 1;
    message.attribute_count = QUEUE_ATTRIBUTES_MAX + 1;
    EXPECT(rules_check(&call, &err) == STATUS_INVALID_ARGUMENT);
    message.attribute_count = 0;
    message.group = STR("with space");
    EXPECT(rules_check(&call, &err) == STATUS_INVALID_ARGUMENT);
    message.group = STR("fine");
    message.priority = QUEUE_PRIORITY_MAX + 1;
    EXPECT(rules_check(&call, &err) == STATUS_INVALID_ARGUMENT);
}

TEST(what_differs_is_named)
{
    struct error err;
    struct queue_settings a, b;
    queue_settings_init(&a, true);
    b = a;
    EXPECT(rules_check_same(&a, &b, &err) == STATUS_OK);
    b.content_based_deduplication = true;
    EXPECT(rules_check_same(&a, &b, &err) == STATUS_ALREADY_EXISTS);
    EXPECT(strstr(err.message, "ContentBasedDeduplication") != NULL);
    b = a;
    (void)snprintf(b.dead_letter, sizeof b.dead_letter, "x.fifo");
    EXPECT(rules_check_same(&a, &b, &err) == STATUS_ALREADY_EXISTS);
    EXPECT(strstr(err.message, "RedrivePolicy") != NULL);
}

TEST(a_dead_letter_queue_is_of_the_same_kind)
{
    struct error err;
    struct queue_settings settings;
    queue_settings_init(&settings, true);
    settings.max_receive_count = 3;
    (void)snprintf(settings.dead_letter, sizeof settings.dead_letter, "dead");
    EXPECT(rules_check_settings(&settings, STR("q.fifo"), &err) == STATUS_INVALID_ARGUMENT);
    (void)snprintf(settings.dead_letter, sizeof settings.dead_letter, "dead.fifo");
    EXPECT(rules_check_settings(&settings, STR("q.fifo"), &err) == STATUS_OK);
    settings.max_receive_count = 0;
    EXPECT(rules_check_settings(&settings, STR("q.fifo"), &err) == STATUS_INVALID_ARGUMENT);
}
