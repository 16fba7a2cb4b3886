#include "server/sqs_form.c"
#include "test.h"

static struct arena arena;
static struct sqs_request request;
static struct sqs_failure failure;
static struct str action;

static enum status read(const char *text)
{
    arena_clear(&arena);
    arena_init(&arena, 1 << 20);
    failure = (struct sqs_failure){0};
    return sqs_request_read_form(str_of(text), &arena, &request, &action, &failure);
}

TEST(a_message_as_a_form)
{
    EXPECT_STATUS(
        read(
            "Action=SendMessage&Version=2012-11-05&QueueUrl=http%3A%2F%2Fh%2F0%2Fq&MessageBody="
            "a+b%26%C3%A4&DelaySeconds=5&MessageAttribute.1.Name=n&MessageAttribute.1.Value."
            "StringValue=v&MessageAttribute.1.Value.DataType=String&MessageAttribute.2.Value."
            "BinaryValue=AP8%3D&MessageAttribute.2.Value.DataType=Binary&MessageAttribute.2.Name=b&"
            "MessageSystemAttribute.1.Name=AWSTraceHeader&MessageGroupId=g"),
        STATUS_OK, failure.error);
    const struct sqs_entry *entry = &request.entries[0];
    EXPECT_STR(action, STR("SendMessage"));
    EXPECT_STR(request.queue_url, STR("http://h/0/q"));
    EXPECT_STR(entry->body, STR("a b&\xc3\xa4"));
    EXPECT_INT(entry->delay_s, 5);
    EXPECT_STR(entry->group, STR("g"));
    REQUIRE(entry->attributes.count == 2);
    EXPECT_STR(entry->attributes.items[0].value, STR("v"));
    EXPECT_STR(entry->attributes.items[1].name, STR("b"));
    EXPECT_STR(entry->attributes.items[1].value, ((struct str){"\0\xff", 2}));
    EXPECT_INT(entry->system_attributes.count, 1);
    EXPECT_INT(request.entry_count, 0);
    arena_clear(&arena);
}

TEST(batches_lists_and_maps_as_a_form)
{
    EXPECT_STATUS(
        read("SendMessageBatchRequestEntry.2.Id=b&SendMessageBatchRequestEntry.1.Id=a&"
             "SendMessageBatchRequestEntry.1.MessageAttribute.1.Name=n&"
             "SendMessageBatchRequestEntry.12.Id=x&AttributeName.1=All&AttributeName.2=x&"
             "Attribute.1.Name=DelaySeconds&Attribute.1.Value=3&Tag.1.Key=k&Tag.1.Value=v&TagKey.1="
             "t&MaxNumberOfMessages=10&Unknown=1&Unknown.1.x=2&Attribute.x.Name=y&=z&&"),
        STATUS_OK, failure.error);
    EXPECT_INT(request.entry_count, 12);
    EXPECT_STR(request.entries[0].id, STR("a"));
    EXPECT_STR(request.entries[1].id, STR("b"));
    EXPECT_INT(request.entries[0].attributes.count, 1);
    REQUIRE(request.attribute_names.count == 2);
    EXPECT_STR(request.attribute_names.items[1], STR("x"));
    REQUIRE(request.attributes.count == 1);
    EXPECT_STR(request.attributes.items[0].name, STR("DelaySeconds"));
    EXPECT_STR(request.attributes.items[0].value, STR("3"));
    REQUIRE(request.tags.count == 1);
    EXPECT_STR(request.tags.items[0].name, STR("k"));
    EXPECT_INT(request.tag_keys.count, 1);
    EXPECT_INT(request.messages_max, 10);
    EXPECT_INT(action.size, 0);
    arena_clear(&arena);
}

TEST(wrong_forms_are_refused)
{
    static const char *const texts[] = {"a=%",
                                        "a=%4",
                                        "a=%zz",
                                        "%=1",
                                        "a=%FF",
                                        "DelaySeconds=x",
                                        "MessageAttribute.1.Value.BinaryValue=%25"};
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        EXPECT_STATUS(read(texts[i]), STATUS_INVALID_ARGUMENT, failure.error);
        EXPECT_INT(failure.fault, SQS_FAULT_SERIALIZATION);
    }
    EXPECT_STATUS(read("AttributeName.999=x"), STATUS_INVALID_ARGUMENT, failure.error);
    EXPECT_INT(failure.fault, SQS_FAULT_INVALID_PARAMETER);
    EXPECT_STATUS(read("Tag.999.Key=x"), STATUS_INVALID_ARGUMENT, failure.error);
    EXPECT_STATUS(read("AttributeName.0=x&AttributeName.99999999999=x"), STATUS_OK, failure.error);
    EXPECT_INT(request.attribute_names.count, 0);
    arena_clear(&arena);
}
