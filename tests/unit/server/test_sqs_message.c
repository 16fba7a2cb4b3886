#include "server/sqs_message.c"
#include "test.h"

static struct sqs_failure failure;
static struct queue_new_message message;
static struct queue_attribute items[QUEUE_ATTRIBUTES_MAX];

static struct sqs_entry entry_of(struct str body)
{
    return (struct sqs_entry){.body = body, .delay_s = SQS_UNSET, .visibility_s = SQS_UNSET};
}

static struct sqs_entry entry_with(const char *name, const char *type, struct str value)
{
    struct sqs_entry entry = entry_of(STR("x"));
    items[0] = (struct queue_attribute){str_of(name), str_of(type), value};
    entry.attributes = (struct sqs_attributes){items, 1};
    return entry;
}

static enum sqs_fault check(struct sqs_entry entry, bool fifo)
{
    failure = (struct sqs_failure){0};
    if (sqs_message_check(&entry, fifo, &message, &failure) == STATUS_OK)
        return SQS_FAULT_COUNT; /* none */
    EXPECT(failure.error.status == STATUS_INVALID_ARGUMENT);
    return failure.fault;
}

#define GOOD SQS_FAULT_COUNT

TEST(bodies_have_the_characters_of_xml)
{
    static const struct {
        struct str body;
        bool good;
    } rows[] = {
        {{"x", 1}, true},
        {{"\t\n\r", 3}, true},
        {{"\x7f", 1}, true},
        {{"\xed\x9f\xbf", 3}, true},     /* U+D7FF */
        {{"\xee\x80\x80", 3}, true},     /* U+E000 */
        {{"\xef\xbf\xbd", 3}, true},     /* U+FFFD */
        {{"\xf0\x90\x80\x80", 4}, true}, /* U+10000 */
        {{"\xf4\x8f\xbf\xbf", 4}, true}, /* U+10FFFF */
        {{"a\0b", 3}, false},
        {{"\x01", 1}, false},
        {{"\x1f", 1}, false},
        {{"\xef\xbf\xbe", 3}, false}, /* U+FFFE */
        {{"\xef\xbf\xbf", 3}, false}, /* U+FFFF */
        {{"\xed\xa0\x80", 3}, false}, /* a surrogate */
        {{"\xff", 1}, false},
        {{"ab\xef", 3}, false}, /* cut */
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        EXPECT_INT(check(entry_of(rows[i].body), false),
                   rows[i].good ? GOOD : SQS_FAULT_INVALID_MESSAGE_CONTENTS);
    EXPECT_INT(check(entry_of(STR_EMPTY), false), SQS_FAULT_MISSING_PARAMETER);
    EXPECT_TEXT(failure.error.message, "The request must contain the parameter MessageBody.");
}

TEST(names_types_and_values_of_attributes)
{
    static const struct {
        const char *name, *type, *value;
        bool good;
    } rows[] = {
        {"a", "String", "v", true},
        {"A-b_c.9", "String.any thing", "v", true},
        {"n", "Number", "-1.5e-7", true},
        {"n", "Number.int", "+00012", true},
        {"n", "Number", ".5", true},
        {"b", "Binary.png", "\x01", true},
        {"", "String", "v", false},
        {"a b", "String", "v", false},
        {"\xc3\xa4", "String", "v", false},
        {".a", "String", "v", false},
        {"a.", "String", "v", false},
        {"a..b", "String", "v", false},
        {"aws.x", "String", "v", false},
        {"AWS.x", "String", "v", false},
        {"aMaZoN.x", "String", "v", false},
        {"awsx", "String", "v", true},
        {"a", "", "v", false},
        {"a", "string", "v", false},
        {"a", "Strings", "v", false},
        {"a", "Float", "v", false},
        {"a", "String", "", false},
        {"a", "Binary", "", false},
        {"a", "String", "\x01", false},
        {"n", "Number", "one", false},
        {"n", "Number", "1e", false},
        {"n", "Number", "-", false},
        {"n", "Number", "1 ", false},
        {"n", "Number", "0x10", false},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        enum sqs_fault fault =
            check(entry_with(rows[i].name, rows[i].type, str_of(rows[i].value)), false);
        if (fault != (rows[i].good ? GOOD : SQS_FAULT_INVALID_PARAMETER))
            test_failed(__FILE__, __LINE__, "row %zu: %s", i, failure.error.message);
    }
    char name[QUEUE_ATTRIBUTE_NAME_MAX + 2];
    memset(name, 'a', sizeof name);
    name[QUEUE_ATTRIBUTE_NAME_MAX] = '\0';
    EXPECT_INT(check(entry_with(name, "String", STR("v")), false), GOOD);
    name[QUEUE_ATTRIBUTE_NAME_MAX] = 'a';
    name[QUEUE_ATTRIBUTE_NAME_MAX + 1] = '\0';
    EXPECT_INT(check(entry_with(name, "String", STR("v")), false), SQS_FAULT_INVALID_PARAMETER);
    struct sqs_entry many = entry_with("a", "String", STR("v"));
    many.attributes.count = 11;
    EXPECT_INT(check(many, false), SQS_FAULT_INVALID_PARAMETER);
    EXPECT_TEXT(failure.error.message,
                "Number of message attributes [11] exceeds the allowed maximum [10].");
}

TEST(sizes_are_body_and_attributes)
{
    size_t size = QUEUE_MESSAGE_SIZE_MAX - 1 - 6 - 3; /* "a", "String", "abc" */
    struct buffer body CLEANUP(buffer_clear);
    buffer_init(&body, 2 << 20);
    for (size_t i = 0; i < size; i++) buffer_add_byte(&body, 'x');
    struct sqs_entry entry = entry_with("a", "String", STR("abc"));
    entry.body = buffer_view(&body);
    EXPECT_INT(check(entry, false), GOOD);
    EXPECT_INT(sqs_message_size(&entry), QUEUE_MESSAGE_SIZE_MAX);
    buffer_add_byte(&body, 'x');
    entry.body = buffer_view(&body);
    EXPECT_INT(check(entry, false), SQS_FAULT_INVALID_PARAMETER);
    EXPECT_TEXT(failure.error.message,
                "One or more parameters are invalid. Reason: Message must be "
                "shorter than 1048576 bytes.");
}

TEST(fifo_and_standard_differ)
{
    struct sqs_entry entry = entry_of(STR("x"));
    EXPECT_INT(check(entry, true), SQS_FAULT_MISSING_PARAMETER);
    entry.group = STR("g");
    EXPECT_INT(check(entry, true), GOOD);
    EXPECT_INT(check(entry, false), GOOD);
    entry.delay_s = 0;
    EXPECT_INT(check(entry, true), GOOD);
    EXPECT_INT(message.delay_ms, -1);
    entry.delay_s = 2;
    EXPECT_INT(check(entry, true), SQS_FAULT_INVALID_PARAMETER);
    EXPECT_TEXT(failure.error.message, "Value 2 for parameter DelaySeconds is invalid. Reason: The "
                                       "request include parameter that is not valid for this queue "
                                       "type.");
    EXPECT_INT(check(entry, false), GOOD);
    EXPECT_INT(message.delay_ms, 2000);
    entry.delay_s = 901;
    EXPECT_INT(check(entry, false), SQS_FAULT_INVALID_PARAMETER);
    entry.delay_s = SQS_UNSET;
    entry.deduplication_id = STR("d");
    EXPECT_INT(check(entry, true), GOOD);
    EXPECT_INT(check(entry, false), SQS_FAULT_INVALID_PARAMETER);
    entry.deduplication_id = STR("group 123");
    EXPECT_INT(check(entry, true), SQS_FAULT_INVALID_PARAMETER);
    EXPECT_TEXT(
        failure.error.message,
        "Value group 123 for parameter MessageDeduplicationId is invalid. Reason: "
        "MessageDeduplicationId can only include alphanumeric and punctuation characters. 1 "
        "to 128 in length.");
    entry.deduplication_id = STR_EMPTY;
    EXPECT_INT(check(entry, true), SQS_FAULT_INVALID_PARAMETER);
}

TEST(trace_headers_are_the_only_system_attribute)
{
    struct sqs_entry entry = entry_of(STR("x"));
    struct queue_attribute system = {STR("AWSTraceHeader"), STR("String"), STR("Root=1-2-3")};
    entry.system_attributes = (struct sqs_attributes){&system, 1};
    EXPECT_INT(check(entry, false), GOOD);
    EXPECT_STR(message.trace_header, STR("Root=1-2-3"));
    EXPECT_INT(sqs_message_size(&entry), 1);
    system.name = STR("Other");
    EXPECT_INT(check(entry, false), SQS_FAULT_INVALID_PARAMETER);
    system = (struct queue_attribute){STR("AWSTraceHeader"), STR("Binary"), STR("x")};
    EXPECT_INT(check(entry, false), SQS_FAULT_INVALID_PARAMETER);
}

/* Digests that AWS was recorded to give. */
TEST(digests_are_those_of_aws)
{
    char text[MD5_HEX_SIZE];
    struct queue_attribute one = {STR("MyAttribute"), STR("String"), STR("foobar")};
    REQUIRE(attributes_md5(&one, 1, text));
    EXPECT_TEXT(text, "adb59cd4678ea5a855436b949cd07ab6");
    struct queue_attribute foo = {STR("Foo"), STR("String"), STR("Bar")};
    REQUIRE(attributes_md5(&foo, 1, text));
    EXPECT_TEXT(text, "ae7155c6026991b6d54b11589678bf9c");
    struct queue_attribute binary = {STR("Foo"), STR("Binary"), STR("Bar")};
    char other[MD5_HEX_SIZE];
    REQUIRE(attributes_md5(&binary, 1, other));
    EXPECT(strcmp(text, other) != 0);
}

TEST(attributes_are_put_in_order)
{
    struct sqs_entry entry = entry_of(STR("x"));
    items[0] = (struct queue_attribute){STR("b"), STR("String"), STR("2")};
    items[1] = (struct queue_attribute){STR("a"), STR("String"), STR("1")};
    items[2] = (struct queue_attribute){STR("B"), STR("String"), STR("0")};
    entry.attributes = (struct sqs_attributes){items, 3};
    EXPECT_INT(check(entry, false), GOOD);
    EXPECT_STR(message.attributes[0].name, STR("B"));
    EXPECT_STR(message.attributes[1].name, STR("a"));
    EXPECT_STR(message.attributes[2].name, STR("b"));
    items[1].name = STR("B");
    EXPECT_INT(check(entry, false), SQS_FAULT_INVALID_PARAMETER);
}

static enum sqs_fault check_batch(const struct sqs_request *request)
{
    failure = (struct sqs_failure){0};
    if (sqs_batch_check(request, STR("SendMessageBatch"), &failure) == STATUS_OK)
        return SQS_FAULT_COUNT;
    return failure.fault;
}

TEST(batches_have_ids_and_limits)
{
    static struct sqs_entry entries[SQS_ENTRIES_MAX];
    struct sqs_request request = {.entries = entries, .entry_count = 2};
    char big[SQS_BATCH_ID_MAX + 2];
    memset(big, 'a', sizeof big);
    entries[0].id = STR("a-Z_0");
    entries[1].id = (struct str){big, SQS_BATCH_ID_MAX};
    EXPECT_INT(check_batch(&request), GOOD);
    entries[1].id = (struct str){big, SQS_BATCH_ID_MAX + 1};
    EXPECT_INT(check_batch(&request), SQS_FAULT_INVALID_BATCH_ID);
    entries[1].id = STR("invalid:id");
    EXPECT_INT(check_batch(&request), SQS_FAULT_INVALID_BATCH_ID);
    entries[1].id = STR_EMPTY;
    EXPECT_INT(check_batch(&request), SQS_FAULT_INVALID_BATCH_ID);
    entries[1].id = entries[0].id;
    EXPECT_INT(check_batch(&request), SQS_FAULT_BATCH_IDS_NOT_DISTINCT);
    request.entry_count = 0;
    EXPECT_INT(check_batch(&request), SQS_FAULT_EMPTY_BATCH);
    request.entry_count = 20;
    EXPECT_INT(check_batch(&request), SQS_FAULT_TOO_MANY_ENTRIES);
    EXPECT_TEXT(failure.error.message,
                "Maximum number of entries per request are 10. You have sent 20.");
    static char half[QUEUE_MESSAGE_SIZE_MAX / 2 + 1];
    request.entry_count = 2;
    entries[1].id = STR("b");
    entries[0].body = (struct str){half, QUEUE_MESSAGE_SIZE_MAX / 2};
    entries[1].body = (struct str){half, QUEUE_MESSAGE_SIZE_MAX / 2};
    EXPECT_INT(check_batch(&request), GOOD);
    entries[1].body.size++;
    EXPECT_INT(check_batch(&request), SQS_FAULT_BATCH_TOO_LONG);
    EXPECT_TEXT(failure.error.message,
                "Batch requests cannot be longer than 1048576 bytes. You have "
                "sent 1048577 bytes.");
}

TEST(receipts_need_a_handle_and_a_time)
{
    struct queue_receipt receipt;
    struct sqs_entry entry = {.receipt = STR("r"), .visibility_s = SQS_UNSET};
    failure = (struct sqs_failure){0};
    EXPECT_STATUS(sqs_receipt_check(&entry, false, &receipt, &failure), STATUS_OK, failure.error);
    EXPECT(sqs_receipt_check(&entry, true, &receipt, &failure) != STATUS_OK);
    EXPECT_INT(failure.fault, SQS_FAULT_MISSING_PARAMETER);
    entry.visibility_s = 43200;
    EXPECT_STATUS(sqs_receipt_check(&entry, true, &receipt, &failure), STATUS_OK, failure.error);
    EXPECT_INT(receipt.visibility_ms, 43200000);
    entry.visibility_s = 43201;
    EXPECT(sqs_receipt_check(&entry, true, &receipt, &failure) != STATUS_OK);
    EXPECT_INT(failure.fault, SQS_FAULT_INVALID_PARAMETER);
    entry.receipt = STR_EMPTY;
    EXPECT(sqs_receipt_check(&entry, false, &receipt, &failure) != STATUS_OK);
    EXPECT_INT(failure.fault, SQS_FAULT_MISSING_PARAMETER);
}
