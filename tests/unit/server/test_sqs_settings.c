#include "server/sqs_settings.c"
#include "test.h"

static struct arena arena;
static struct queue_description description;
static struct sqs_failure failure;

static const struct sqs_site site = {
    .scheme = {"http", 4}, .host = {"h:1", 3}, .account = {"000000000000", 12}, .region = {"r", 1}};

static void begin(const char *name)
{
    arena_clear(&arena);
    arena_init(&arena, 1 << 20);
    description = (struct queue_description){.name = str_of(name)};
    description.settings = (struct queue_settings){
        .fifo = sqs_name_is_fifo(description.name),
        .visibility_s = 30,
        .retention_s = 345600,
        .message_size_max = QUEUE_MESSAGE_SIZE_MAX,
    };
}

static enum sqs_fault apply(const char *name, const char *value, bool creates)
{
    struct sqs_pair pair = {str_of(name), str_of(value)};
    struct sqs_pairs pairs = {&pair, 1};
    struct sqs_change change = {description.name, creates, &arena};
    failure = (struct sqs_failure){0};
    if (sqs_settings_apply(&pairs, &change, &description.settings, &failure) == STATUS_OK)
        return SQS_FAULT_COUNT;
    return failure.fault;
}

static const char *print(const char *name)
{
    struct queue_depth depth = {.visible = 1, .in_flight = 2, .delayed = 3};
    struct sqs_view view = {&description, &depth, &site, &arena};
    struct str text = sqs_settings_print(&view, str_of(name));
    return text.data ? arena_try_copy(&arena, text).data : "-";
}

#define GOOD SQS_FAULT_COUNT

TEST(numbers_have_ranges)
{
    static const struct {
        const char *name;
        uint32_t minimum, maximum;
    } rows_of_ranges[] = {
        {"DelaySeconds", 0, 900},
        {"VisibilityTimeout", 0, 43200},
        {"ReceiveMessageWaitTimeSeconds", 0, 20},
        {"MessageRetentionPeriod", 60, 1209600},
        {"MaximumMessageSize", 1024, 1048576},
        {"KmsDataKeyReusePeriodSeconds", 60, 86400},
    };
    begin("q");
    for (size_t i = 0; i < COUNT_OF(rows_of_ranges); i++) {
        const char *name = rows_of_ranges[i].name;
        char text[32];
        for (int at = -1; at <= 1; at++) {
            (void)snprintf(text, sizeof text, "%lld", (long long)rows_of_ranges[i].minimum + at);
            EXPECT_INT(apply(name, text, false), at < 0 ? SQS_FAULT_INVALID_ATTRIBUTE_VALUE : GOOD);
            (void)snprintf(text, sizeof text, "%lld", (long long)rows_of_ranges[i].maximum + at);
            EXPECT_INT(apply(name, text, false), at > 0 ? SQS_FAULT_INVALID_ATTRIBUTE_VALUE : GOOD);
        }
        EXPECT_INT(apply(name, "x", false), SQS_FAULT_INVALID_ATTRIBUTE_VALUE);
        (void)snprintf(text, sizeof text, "%u", rows_of_ranges[i].maximum);
        EXPECT_INT(apply(name, text, false), GOOD);
        EXPECT_TEXT(print(name), text);
    }
    arena_clear(&arena);
}

TEST(names_decide_the_type)
{
    begin("q");
    EXPECT_INT(apply("FifoQueue", "false", true), SQS_FAULT_INVALID_ATTRIBUTE_NAME);
    EXPECT_TEXT(failure.error.message, "Unknown Attribute FifoQueue.");
    EXPECT_INT(apply("FifoQueue", "true", true), SQS_FAULT_INVALID_PARAMETER);
    EXPECT_INT(apply("ContentBasedDeduplication", "true", true), SQS_FAULT_INVALID_ATTRIBUTE_NAME);
    EXPECT_INT(apply("DeduplicationScope", "queue", true), SQS_FAULT_INVALID_ATTRIBUTE_NAME);
    EXPECT_TEXT(failure.error.message,
                "You can specify the DeduplicationScope only when FifoQueue is set to true.");
    EXPECT_TEXT(print("FifoQueue"), "-");
    begin("q.fifo");
    EXPECT_INT(apply("DelaySeconds", "1", true), SQS_FAULT_INVALID_PARAMETER);
    EXPECT_INT(apply("FifoQueue", "true", true), GOOD);
    EXPECT_INT(apply("FifoQueue", "false", false), SQS_FAULT_INVALID_ATTRIBUTE_VALUE);
    EXPECT_INT(apply("ContentBasedDeduplication", "true", false), GOOD);
    EXPECT(description.settings.content_based_deduplication);
    EXPECT_INT(apply("FifoThroughputLimit", "perMessageGroupId", false),
               SQS_FAULT_INVALID_ATTRIBUTE_VALUE);
    description.settings.throughput_per_group = false;
    EXPECT_INT(apply("DeduplicationScope", "messageGroup", false), GOOD);
    EXPECT_INT(apply("FifoThroughputLimit", "perMessageGroupId", false), GOOD);
    EXPECT_TEXT(print("FifoQueue"), "true");
    EXPECT_TEXT(print("DeduplicationScope"), "messageGroup");
    EXPECT_TEXT(print("FifoThroughputLimit"), "perMessageGroupId");
    EXPECT_INT(apply("DeduplicationScope", "group", false), SQS_FAULT_INVALID_ATTRIBUTE_VALUE);
    arena_clear(&arena);
}

TEST(new_names_are_checked)
{
    static const char *const wrong[] = {
        "",
        "a b",
        "a/b",
        "a.b",
        ".fifo",
        "\xc3\xa4",
        "a.fifo",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
        "aaaaaaaaaaaaaaaaaaa"};
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        begin(wrong[i]);
        EXPECT_INT(apply("DelaySeconds", "0", true), SQS_FAULT_INVALID_PARAMETER);
    }
    begin("A-z_9");
    EXPECT_INT(apply("DelaySeconds", "0", true), GOOD);
    arena_clear(&arena);
}

TEST(what_is_only_told_cannot_be_set)
{
    begin("q");
    description.created_ms = 1700000000123;
    description.modified_ms = 1700000001999;
    static const char *const names[] = {
        "QueueArn",         "ApproximateNumberOfMessages", "CreatedTimestamp", "All", "",
        "visibilitytimeout"};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        EXPECT_INT(apply(names[i], "1", false), SQS_FAULT_INVALID_ATTRIBUTE_NAME);
    EXPECT_TEXT(print("QueueArn"), "arn:aws:sqs:r:000000000000:q");
    EXPECT_TEXT(print("ApproximateNumberOfMessages"), "1");
    EXPECT_TEXT(print("ApproximateNumberOfMessagesNotVisible"), "2");
    EXPECT_TEXT(print("ApproximateNumberOfMessagesDelayed"), "3");
    EXPECT_TEXT(print("CreatedTimestamp"), "1700000000");
    EXPECT_TEXT(print("LastModifiedTimestamp"), "1700000001");
    EXPECT_TEXT(print("Policy"), "-");
    arena_clear(&arena);
}

TEST(redrive_policies)
{
#define DEAD "\"deadLetterTargetArn\":\"arn:aws:sqs:eu-west-3:123456789012:dead\""
    begin("q");
    EXPECT_INT(apply("RedrivePolicy", "{" DEAD ",\"maxReceiveCount\":\"3\"}", false), GOOD);
    EXPECT_TEXT(description.settings.dead_letter, "dead");
    EXPECT_INT(description.settings.max_receive_count, 3);
    EXPECT_INT(apply("RedrivePolicy", "{" DEAD ",\"maxReceiveCount\":1000,\"x\":[]}", false), GOOD);
    EXPECT_TEXT(
        print("RedrivePolicy"),
        "{\"deadLetterTargetArn\":\"arn:aws:sqs:r:000000000000:dead\",\"maxReceiveCount\":1000}");
    static const char *const wrong[] = {
        "x",
        "[]",
        "{}",
        "{" DEAD "}",
        "{\"maxReceiveCount\":1}",
        "{" DEAD ",\"maxReceiveCount\":0}",
        "{" DEAD ",\"maxReceiveCount\":1001}",
        "{" DEAD ",\"maxReceiveCount\":1.5}",
        "{" DEAD ",\"maxReceiveCount\":null}",
        "{\"deadLetterTargetArn\":\"dead\",\"maxReceiveCount\":1}",
        "{\"deadLetterTargetArn\":\"arn:aws:sns:r:1:dead\",\"maxReceiveCount\":1}",
        "{\"deadLetterTargetArn\":\"arn:aws:sqs:r:1:dead.fifo\",\"maxReceiveCount\":1}",
        "{\"deadLetterTargetArn\":\"arn:aws:sqs:r:1:dead:x\",\"maxReceiveCount\":1}",
        "{" DEAD ",\"maxReceiveCount\":1} x",
    };
    for (size_t i = 0; i < COUNT_OF(wrong); i++)
        EXPECT_INT(apply("RedrivePolicy", wrong[i], false), SQS_FAULT_INVALID_PARAMETER);
    EXPECT_TEXT(description.settings.dead_letter, "dead");
    EXPECT_INT(apply("RedrivePolicy", "", false), GOOD);
    EXPECT_INT(description.settings.max_receive_count, 0);
    EXPECT_TEXT(print("RedrivePolicy"), "-");
    EXPECT_INT(apply("RedriveAllowPolicy", "{\"redrivePermission\":\"denyAll\"}", false), GOOD);
    EXPECT_TEXT(print("RedriveAllowPolicy"), "{\"redrivePermission\":\"denyAll\"}");
    EXPECT_INT(apply("RedriveAllowPolicy", "{\"redrivePermission\":\"x\"}", false),
               SQS_FAULT_INVALID_PARAMETER);
    EXPECT_INT(apply("RedriveAllowPolicy", "[]", false), SQS_FAULT_INVALID_PARAMETER);
    arena_clear(&arena);
}

TEST(who_may_redrive_here)
{
    static const struct {
        const char *text;
        bool allowed;
    } policies[] = {
        {"", true},
        {"{\"redrivePermission\":\"allowAll\"}", true},
        {"{\"redrivePermission\":\"denyAll\"}", false},
        {"{\"redrivePermission\":\"byQueue\"}", false},
        {"{\"redrivePermission\":\"byQueue\",\"sourceQueueArns\":[\"arn:aws:sqs:r:1:q\"]}", true},
        {"{\"sourceQueueArns\":[\"arn:aws:sqs:r:1:x\",\"arn:aws:sqs:r:1:q\"],"
         "\"redrivePermission\":\"byQueue\"}",
         true},
        {"{\"redrivePermission\":\"byQueue\",\"sourceQueueArns\":[\"arn:aws:sqs:r:1:qq\"]}", false},
        {"{\"redrivePermission\":\"denyAll\",\"sourceQueueArns\":[\"arn:aws:sqs:r:1:q\"]}", false},
        {"broken", false},
    };
    for (size_t i = 0; i < COUNT_OF(policies); i++) {
        begin("dead");
        description.settings.redrive_allow = str_of(policies[i].text);
        EXPECT(sqs_redrive_is_allowed(&description.settings, STR("q"), &arena) ==
               policies[i].allowed);
    }
    EXPECT_INT(apply("RedriveAllowPolicy",
                     "{\"redrivePermission\":\"byQueue\",\"sourceQueueArns\":[\"q\"]}", false),
               SQS_FAULT_INVALID_PARAMETER);
    arena_clear(&arena);
}

TEST(what_has_no_effect_is_kept)
{
    begin("q");
    EXPECT_INT(apply("Policy", "{\"a\":\"\\u00e4\"}", false), GOOD);
    EXPECT_INT(apply("KmsMasterKeyId", "key", false), GOOD);
    EXPECT_INT(apply("SqsManagedSseEnabled", "true", false), GOOD);
    EXPECT_INT(apply("KmsMasterKeyId", "other", false), GOOD);
    EXPECT_TEXT(print("Policy"), "{\"a\":\"\\u00e4\"}");
    EXPECT_TEXT(print("KmsMasterKeyId"), "other");
    EXPECT_TEXT(print("SqsManagedSseEnabled"), "true");
    EXPECT_INT(apply("Policy", "", false), GOOD);
    EXPECT_TEXT(print("Policy"), "-");
    EXPECT_INT(apply("KmsMasterKeyId", "", false), GOOD);
    EXPECT_INT(apply("SqsManagedSseEnabled", "", false), GOOD);
    EXPECT_INT(description.settings.other.size, 0);
    arena_clear(&arena);
}

TEST(differences_are_found_among_what_was_named)
{
    begin("q");
    struct queue_description there = description;
    there.settings.delay_s = 5;
    struct sqs_view ours = {&description, NULL, &site, &arena},
                    theirs = {&there, NULL, &site, &arena};
    struct sqs_pair pairs[] = {{STR("VisibilityTimeout"), STR("30")},
                               {STR("DelaySeconds"), STR("0")}};
    struct sqs_pairs named = {pairs, 1};
    EXPECT(sqs_settings_difference(&named, &ours, &theirs) == NULL);
    named.count = 2;
    EXPECT(sqs_settings_difference(&named, &ours, &theirs) == &pairs[1]);
    there.settings.delay_s = 0;
    EXPECT(sqs_settings_difference(&named, &ours, &theirs) == NULL);
    struct sqs_pair policy = {STR("Policy"), STR("x")};
    named = (struct sqs_pairs){&policy, 1};
    EXPECT_INT(apply("Policy", "x", false), GOOD);
    EXPECT(sqs_settings_difference(&named, &ours, &theirs) == &policy);
    arena_clear(&arena);
}
