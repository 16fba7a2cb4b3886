/* Forms, field by field, in any order. */
#include "server/sqs_form.h"

#include "base/base64.h"
#include "base/num.h"

enum {
    FIELDS_MAX = 4096, /* of one form */
    NUMBER_MAX = 1000, /* of an element */
};

struct form {
    struct sqs_request *request;
    struct sqs_failure *failure;
    struct str action;
};

struct list_name {
    struct str name;
    size_t offset; /* in struct sqs_request */
};

#define LIST(text, field)                                                                          \
    {                                                                                              \
        {"" text, sizeof(text) - 1}, offsetof(struct sqs_request, field)                           \
    }

static const struct list_name name_lists[] = {
    LIST("AttributeName", attribute_names),
    LIST("MessageAttributeName", message_names),
    LIST("MessageSystemAttributeName", system_names),
    LIST("TagKey", tag_keys),
    LIST("AWSAccountId", accounts),
    LIST("ActionName", actions),
};

static const struct list_name pair_lists[] = {
    LIST("Attribute", attributes),
    LIST("Tag", tags),
};

static void *find_list(const struct list_name *table, size_t count, struct str name,
                       struct sqs_request *request)
{
    for (size_t i = 0; i < count; i++)
        if (str_equal(table[i].name, name)) return (char *)request + table[i].offset;
    return NULL;
}

static enum status no_memory(struct sqs_failure *failure)
{
    return fail(&failure->error, STATUS_EXHAUSTED, "no memory to read the request");
}

/* --- text ------------------------------------------------------------------------------------- */

static int hex_value(char byte)
{
    if (byte >= '0' && byte <= '9') return byte - '0';
    if (byte >= 'a' && byte <= 'f') return byte - 'a' + 10;
    if (byte >= 'A' && byte <= 'F') return byte - 'A' + 10;
    return -1;
}

/* Percent-encoding and '+' undone, in the arena. */
static enum status decode(struct str text, struct arena *arena, struct str *ret_text,
                          struct sqs_failure *failure)
{
    char *out = arena_try_aligned(arena, text.size + 1, 1);
    size_t size = 0;
    if (!out) return no_memory(failure);
    for (size_t i = 0; i < text.size; i++) {
        char byte = text.data[i] == '+' ? ' ' : text.data[i];
        if (byte == '%') {
            int high = i + 2 < text.size ? hex_value(text.data[i + 1]) : -1;
            int low = i + 2 < text.size ? hex_value(text.data[i + 2]) : -1;
            if (high < 0 || low < 0)
                return SQS_FAIL(failure, SERIALIZATION, "a '%%' is not followed by two digits");
            byte = (char)(high * 16 + low);
            i += 2;
        }
        out[size++] = byte;
    }
    *ret_text = (struct str){out, size};
    if (!str_is_utf8(*ret_text))
        return SQS_FAIL(failure, SERIALIZATION, "a value of the form is not UTF-8");
    return STATUS_OK;
}

/* --- numbered fields -------------------------------------------------------------------------- */

static enum status put_name(struct form *form, struct sqs_names *names, size_t number,
                            struct str value)
{
    if (!names->items)
        names->items = ARENA_TRY_ARRAY(form->request->arena, struct str, SQS_NAMES_MAX);
    if (!names->items) return no_memory(form->failure);
    if (number > SQS_NAMES_MAX)
        return SQS_FAIL(form->failure, INVALID_PARAMETER, "A list has more than %d elements",
                        SQS_NAMES_MAX);
    names->items[number - 1] = value;
    names->count = MAX(names->count, number);
    return STATUS_OK;
}

static enum status put_pair(struct form *form, struct sqs_pairs *pairs, size_t number,
                            const struct sqs_pair *field)
{
    if (!pairs->items)
        pairs->items = ARENA_TRY_ARRAY(form->request->arena, struct sqs_pair, SQS_PAIRS_MAX);
    if (!pairs->items) return no_memory(form->failure);
    if (number > SQS_PAIRS_MAX)
        return SQS_FAIL(form->failure, INVALID_PARAMETER, "A map has more than %d members",
                        SQS_PAIRS_MAX);
    struct sqs_pair *pair = &pairs->items[number - 1];
    if (number > pairs->count) pairs->count = number;
    if (str_equal(field->name, STR("Value")))
        pair->value = field->value;
    else if (str_equal(field->name, STR("Name")) || str_equal(field->name, STR("Key")))
        pair->name = field->value;
    return STATUS_OK;
}

/* Name, Value.DataType, Value.StringValue, Value.BinaryValue. */
static enum status put_attribute(struct form *form, struct sqs_attributes *attributes,
                                 size_t number, const struct sqs_pair *field)
{
    struct arena *arena = form->request->arena;
    if (!attributes->items)
        attributes->items = ARENA_TRY_ARRAY(arena, struct queue_attribute, QUEUE_ATTRIBUTES_MAX);
    if (!attributes->items) return no_memory(form->failure);
    attributes->count = MAX(attributes->count, number);
    if (number > QUEUE_ATTRIBUTES_MAX) return STATUS_OK;
    struct queue_attribute *attribute = &attributes->items[number - 1];
    if (str_equal(field->name, STR("Name"))) attribute->name = field->value;
    if (str_equal(field->name, STR("Value.DataType"))) attribute->type = field->value;
    if (str_equal(field->name, STR("Value.StringValue"))) attribute->value = field->value;
    if (!str_equal(field->name, STR("Value.BinaryValue"))) return STATUS_OK;
    enum status status =
        base64_decode(field->value, arena, &attribute->value, &form->failure->error);
    if (status == STATUS_INVALID_ARGUMENT)
        return SQS_FAIL(form->failure, SERIALIZATION, "a BinaryValue is not base64");
    return status;
}

/* "3.Name": the number, and what follows. False if it is none. */
static bool cut_number(struct str *rest, size_t *ret_number)
{
    uint64_t number;
    if (!rest->data || !num_read_u64(str_cut(rest, '.'), &number)) return false;
    if (number < 1 || number > NUMBER_MAX) return false;
    *ret_number = (size_t)number;
    return true;
}

/* A field of a message or receipt: its own, or of its attributes. */
static enum status put_entry_field(struct form *form, struct sqs_entry *entry, struct str key,
                                   struct str value)
{
    struct str rest = key, head = str_cut(&rest, '.');
    size_t number;
    if (!rest.data) return sqs_request_put(form->request, entry, head, value, form->failure);
    bool system = str_equal(head, STR("MessageSystemAttribute"));
    if (!system && !str_equal(head, STR("MessageAttribute"))) return STATUS_OK;
    if (!cut_number(&rest, &number) || !rest.data) return STATUS_OK;
    struct sqs_pair field = {rest, value};
    return put_attribute(form, system ? &entry->system_attributes : &entry->attributes, number,
                         &field);
}

static enum status put_numbered(struct form *form, struct str head, struct str rest,
                                struct str value)
{
    struct sqs_request *request = form->request;
    struct sqs_names *names = find_list(name_lists, COUNT_OF(name_lists), head, request);
    struct sqs_pairs *pairs = find_list(pair_lists, COUNT_OF(pair_lists), head, request);
    size_t number;
    if (!cut_number(&rest, &number)) return STATUS_OK;
    if (names) return put_name(form, names, number, value);
    if (!rest.data) return STATUS_OK;
    struct sqs_pair field = {rest, value};
    if (pairs) return put_pair(form, pairs, number, &field);
    if (!str_ends_with(head, STR("BatchRequestEntry"))) return STATUS_OK;
    request->entry_count = MAX(request->entry_count, number);
    if (number > SQS_ENTRIES_MAX) return STATUS_OK;
    return put_entry_field(form, &request->entries[number - 1], rest, value);
}

static enum status put_field(struct form *form, struct str key, struct str value)
{
    struct str rest = key, head = str_cut(&rest, '.');
    if (str_equal(key, STR("Action"))) {
        form->action = value;
        return STATUS_OK;
    }
    if (!rest.data || str_equal(head, STR("MessageAttribute")) ||
        str_equal(head, STR("MessageSystemAttribute")))
        return put_entry_field(form, &form->request->entries[0], key, value);
    return put_numbered(form, head, rest, value);
}

enum status sqs_request_read_form(struct str body, struct arena *arena,
                                  struct sqs_request *ret_request, struct str *ret_action,
                                  struct sqs_failure *failure)
{
    struct form form = {ret_request, failure, STR_EMPTY};
    struct str rest = body;
    TRY(sqs_request_init(ret_request, arena, failure));
    for (size_t count = 0; rest.data; count++) {
        struct str value = str_cut(&rest, '&'), key = str_cut(&value, '=');
        if (key.size == 0) continue;
        if (count == FIELDS_MAX)
            return SQS_FAIL(failure, SERIALIZATION, "the form has more than %d fields", FIELDS_MAX);
        TRY(decode(key, arena, &key, failure));
        TRY(decode(value.data ? value : STR_EMPTY, arena, &value, failure));
        TRY(put_field(&form, key, value));
    }
    *ret_action = form.action;
    return STATUS_OK;
}
