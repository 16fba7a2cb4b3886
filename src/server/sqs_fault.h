/*
 * What goes wrong in SQS's protocol: each fault has the names that the clients' libraries look for,
 * and the message that AWS was recorded to give.
 *
 *   return SQS_FAIL(failure, MISSING_PARAMETER, "The request must contain the parameter %s.",
 * name);
 *
 * Functions of the codec take `struct sqs_failure *` where others take `struct error *`: the same
 * convention, with the fault beside the message. A failure that comes from elsewhere (JSON, queue)
 * keeps the fault SQS_FAULT_BY_STATUS and is named by its status.
 */
#ifndef SERVER_SQS_FAULT_H
#define SERVER_SQS_FAULT_H

#include "base/json.h"

#define SQS_OWN(shape) "com.amazonaws.sqs#" shape
#define SQS_COMMON(shape) "com.amazon.coral.service#" shape
#define SQS_CODE(code) "AWS.SimpleQueueService." code

/* X(name, type in JSON, code of the older protocol and of x-amzn-query-error, HTTP status) */
#define SQS_FAULT_TABLE(X)                                                                         \
    X(BY_STATUS, SQS_COMMON("InternalFailure"), "InternalFailure", 500)                            \
    X(QUEUE_DOES_NOT_EXIST, SQS_OWN("QueueDoesNotExist"), SQS_CODE("NonExistentQueue"), 400)       \
    X(QUEUE_NAME_EXISTS, SQS_OWN("QueueNameExists"), "QueueAlreadyExists", 400)                    \
    X(QUEUE_DELETED_RECENTLY, SQS_OWN("QueueDeletedRecently"), SQS_CODE("QueueDeletedRecently"),   \
      400)                                                                                         \
    X(INVALID_ATTRIBUTE_NAME, SQS_OWN("InvalidAttributeName"), "InvalidAttributeName", 400)        \
    X(INVALID_ATTRIBUTE_VALUE, SQS_OWN("InvalidAttributeValue"), "InvalidAttributeValue", 400)     \
    X(INVALID_ADDRESS, SQS_OWN("InvalidAddress"), "InvalidAddress", 400)                           \
    X(INVALID_PARAMETER, SQS_COMMON("InvalidParameterValueException"), "InvalidParameterValue",    \
      400)                                                                                         \
    X(MISSING_PARAMETER, SQS_COMMON("MissingRequiredParameterException"), "MissingParameter", 400) \
    X(INVALID_MESSAGE_CONTENTS, SQS_OWN("InvalidMessageContents"), "InvalidMessageContents", 400)  \
    X(TOO_MANY_ENTRIES, SQS_OWN("TooManyEntriesInBatchRequest"),                                   \
      SQS_CODE("TooManyEntriesInBatchRequest"), 400)                                               \
    X(EMPTY_BATCH, SQS_OWN("EmptyBatchRequest"), SQS_CODE("EmptyBatchRequest"), 400)               \
    X(BATCH_TOO_LONG, SQS_OWN("BatchRequestTooLong"), SQS_CODE("BatchRequestTooLong"), 400)        \
    X(INVALID_BATCH_ID, SQS_OWN("InvalidBatchEntryId"), SQS_CODE("InvalidBatchEntryId"), 400)      \
    X(BATCH_IDS_NOT_DISTINCT, SQS_OWN("BatchEntryIdsNotDistinct"),                                 \
      SQS_CODE("BatchEntryIdsNotDistinct"), 400)                                                   \
    X(INVALID_RECEIPT, SQS_OWN("ReceiptHandleIsInvalid"), "ReceiptHandleIsInvalid", 400)           \
    X(PURGE_IN_PROGRESS, SQS_OWN("PurgeQueueInProgress"), SQS_CODE("PurgeQueueInProgress"), 400)   \
    X(RESOURCE_NOT_FOUND, SQS_OWN("ResourceNotFoundException"), "ResourceNotFoundException", 404)  \
    X(OVER_LIMIT, SQS_OWN("OverLimit"), "OverLimit", 400)                                          \
    X(UNSUPPORTED, SQS_OWN("UnsupportedOperation"), SQS_CODE("UnsupportedOperation"), 400)         \
    X(UNKNOWN_OPERATION, SQS_COMMON("UnknownOperationException"), "InvalidAction", 400)            \
    X(SERIALIZATION, SQS_COMMON("SerializationException"), "MalformedInput", 400)                  \
    X(UNAVAILABLE, SQS_COMMON("ServiceUnavailableException"), "ServiceUnavailable", 503)           \
    X(UNSIGNED, SQS_COMMON("MissingAuthenticationTokenException"), "MissingAuthenticationToken",   \
      403)                                                                                         \
    X(INCOMPLETE_SIGNATURE, SQS_COMMON("IncompleteSignatureException"), "IncompleteSignature",     \
      400)                                                                                         \
    X(UNKNOWN_KEY, SQS_COMMON("UnrecognizedClientException"), "InvalidClientTokenId", 403)         \
    X(WRONG_SIGNATURE, SQS_COMMON("InvalidSignatureException"), "SignatureDoesNotMatch", 403)

enum sqs_fault {
#define X(name, type, code, http) SQS_FAULT_##name,
    SQS_FAULT_TABLE(X)
#undef X
        SQS_FAULT_COUNT
};

struct sqs_failure {
    enum sqs_fault fault;
    struct error error;
};

#define SQS_FAIL(failure, name, ...)                                                               \
    ((failure)->fault = SQS_FAULT_##name,                                                          \
     fail(&(failure)->error, STATUS_INVALID_ARGUMENT, __VA_ARGS__))

/* "Value V for parameter P is invalid. Reason: WHY", the form that most refusals have. */
enum status sqs_fail_value(struct sqs_failure *failure, struct str value, const char *parameter,
                           const char *reason);

/* "Value 11 for parameter MaxNumberOfMessages is invalid. Reason: WHY" */
enum status sqs_fail_number(struct sqs_failure *failure, int64_t value, const char *parameter,
                            const char *reason);

/* "The request must contain the parameter P." */
enum status sqs_fail_missing(struct sqs_failure *failure, const char *parameter);

/* Gives a failure from elsewhere the fault that its status stands for, and AWS's message if there
 * is one. The status is returned. */
enum status sqs_fail_named(struct sqs_failure *failure);

/* Columns of the table. */
const char *sqs_fault_type(enum sqs_fault fault); /* "com.amazonaws.sqs#QueueDoesNotExist" */
const char *sqs_fault_code(enum sqs_fault fault); /* "AWS.SimpleQueueService.NonExistentQueue" */
int sqs_fault_http(enum sqs_fault fault);

/* True if the client must change the request; false if it may try again. */
bool sqs_fault_is_senders(enum sqs_fault fault);

/* The body of an answer in JSON: {"__type":"...","message":"..."}. */
void sqs_fault_write(const struct sqs_failure *failure, struct buffer *out);

/* The same in the XML of the older protocol. */
void sqs_fault_write_xml(const struct sqs_failure *failure, struct str request_id,
                         struct buffer *out);

#endif
