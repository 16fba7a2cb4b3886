/* The table of faults, and faults made of statuses. */
#include "server/sqs_fault.h"

#include "server/sqs_out.h"

struct row {
    const char *type;
    const char *code;
    int http;
};

static const struct row rows[] = {
#define X(name, type, code, http) {type, code, http},
    SQS_FAULT_TABLE(X)
#undef X
};

_Static_assert(COUNT_OF(rows) == SQS_FAULT_COUNT, "a row for each fault");

enum { VALUE_SHOWN_MAX = 256 }; /* of a value in a message; AWS shows all, ours are bounded */

enum status sqs_fail_value(struct sqs_failure *failure, struct str value, const char *parameter,
                           const char *reason)
{
    value.size = MIN(value.size, (size_t)VALUE_SHOWN_MAX);
    return SQS_FAIL(failure, INVALID_PARAMETER,
                    "Value %.*s for parameter %s is invalid. Reason: %s", STR_ARGS(value),
                    parameter, reason);
}

enum status sqs_fail_number(struct sqs_failure *failure, int64_t value, const char *parameter,
                            const char *reason)
{
    return SQS_FAIL(failure, INVALID_PARAMETER,
                    "Value %lld for parameter %s is invalid. Reason: %s", (long long)value,
                    parameter, reason);
}

enum status sqs_fail_missing(struct sqs_failure *failure, const char *parameter)
{
    return SQS_FAIL(failure, MISSING_PARAMETER, "The request must contain the parameter %s.",
                    parameter);
}

static enum sqs_fault fault_of(enum status status)
{
    switch (status) {
    case STATUS_NOT_FOUND: return SQS_FAULT_QUEUE_DOES_NOT_EXIST;
    case STATUS_ALREADY_EXISTS: return SQS_FAULT_QUEUE_NAME_EXISTS;
    case STATUS_INVALID_ARGUMENT:
    case STATUS_OUT_OF_RANGE:
    case STATUS_FAILED_PRECONDITION: return SQS_FAULT_INVALID_PARAMETER;
    case STATUS_UNIMPLEMENTED: return SQS_FAULT_UNSUPPORTED;
    case STATUS_CANCELLED:
    case STATUS_EXHAUSTED:
    case STATUS_ABORTED:
    case STATUS_DEADLINE_EXCEEDED:
    case STATUS_UNAVAILABLE: return SQS_FAULT_UNAVAILABLE;
    case STATUS_OK:
    case STATUS_UNKNOWN:
    case STATUS_PERMISSION_DENIED:
    case STATUS_INTERNAL:
    case STATUS_DATA_LOSS:
    case STATUS_UNAUTHENTICATED: break;
    }
    return SQS_FAULT_BY_STATUS;
}

enum status sqs_fail_named(struct sqs_failure *failure)
{
    enum status status = failure->error.status;
    if (failure->fault != SQS_FAULT_BY_STATUS) return error_failed(status);
    failure->fault = fault_of(status);
    if (failure->fault == SQS_FAULT_QUEUE_DOES_NOT_EXIST)
        return SQS_FAIL(failure, QUEUE_DOES_NOT_EXIST, "The specified queue does not exist.");
    return error_failed(status);
}

const char *sqs_fault_type(enum sqs_fault fault)
{
    return rows[fault].type;
}

const char *sqs_fault_code(enum sqs_fault fault)
{
    return rows[fault].code;
}

int sqs_fault_http(enum sqs_fault fault)
{
    return rows[fault].http;
}

bool sqs_fault_is_senders(enum sqs_fault fault)
{
    return rows[fault].http < 500;
}

void sqs_fault_write(const struct sqs_failure *failure, struct buffer *out)
{
    struct json_writer writer;
    json_writer_init(&writer, out);
    json_begin_object(&writer);
    json_put_string(&writer, STR("__type"), str_of(sqs_fault_type(failure->fault)));
    json_put_string(&writer, STR("message"), str_of(failure->error.message));
    json_end_object(&writer);
}

void sqs_fault_write_xml(const struct sqs_failure *failure, struct str request_id,
                         struct buffer *out)
{
    buffer_add(out, STR("<?xml version=\"1.0\"?><ErrorResponse xmlns=\"" SQS_NAMESPACE
                        "\"><Error><Type>"));
    buffer_add_text(out, sqs_fault_is_senders(failure->fault) ? "Sender" : "Receiver");
    buffer_add(out, STR("</Type><Code>"));
    buffer_add_text(out, sqs_fault_code(failure->fault));
    buffer_add(out, STR("</Code><Message>"));
    sqs_out_escape(out, str_of(failure->error.message));
    buffer_add(out, STR("</Message><Detail/></Error><RequestId>"));
    sqs_out_escape(out, request_id);
    buffer_add(out, STR("</RequestId></ErrorResponse>"));
}
