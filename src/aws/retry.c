/* Codes of errors, the budget, and the date of an answer. */
#include "aws/retry.h"

#include "aws/sigv4.h"
#include "base/error.h"

#define DELAY_MAX_NS (20 * NS_PER_S)

enum { DOUBLINGS_MAX = 16, HTTP_DATE_SIZE = 29 };

/* --- faults ----------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    enum aws_fault fault;
} codes[] = {
    {"Throttling", AWS_FAULT_THROTTLED},
    {"ThrottlingException", AWS_FAULT_THROTTLED},
    {"ThrottledException", AWS_FAULT_THROTTLED},
    {"RequestThrottled", AWS_FAULT_THROTTLED},
    {"RequestThrottledException", AWS_FAULT_THROTTLED},
    {"TooManyRequestsException", AWS_FAULT_THROTTLED},
    {"ProvisionedThroughputExceededException", AWS_FAULT_THROTTLED},
    {"RequestLimitExceeded", AWS_FAULT_THROTTLED},
    {"BandwidthLimitExceeded", AWS_FAULT_THROTTLED},
    {"LimitExceededException", AWS_FAULT_THROTTLED},
    {"SlowDown", AWS_FAULT_THROTTLED},
    {"PriorRequestNotComplete", AWS_FAULT_THROTTLED},
    {"TransactionInProgressException", AWS_FAULT_THROTTLED},
    {"RequestTimeout", AWS_FAULT_TRANSIENT},
    {"RequestTimeoutException", AWS_FAULT_TRANSIENT},
    {"InternalError", AWS_FAULT_TRANSIENT},
    {"InternalFailure", AWS_FAULT_TRANSIENT},
    {"InternalServerError", AWS_FAULT_TRANSIENT},
    {"ServiceUnavailable", AWS_FAULT_TRANSIENT},
    {"IDPCommunicationError", AWS_FAULT_TRANSIENT},
    {"ExpiredToken", AWS_FAULT_EXPIRED},
    {"ExpiredTokenException", AWS_FAULT_EXPIRED},
    {"RequestExpired", AWS_FAULT_SKEWED},
    {"RequestTimeTooSkewed", AWS_FAULT_SKEWED},
    {"RequestInTheFuture", AWS_FAULT_SKEWED},
};

struct str aws_error_name(struct str code)
{
    size_t hash = str_find(code, '#');
    if (hash != SIZE_MAX) code = str_from(code, hash + 1);
    size_t colon = str_find(code, ':');
    return colon == SIZE_MAX ? code : (struct str){code.data, colon};
}

static enum aws_fault fault_of_status(int http_status)
{
    if (http_status == 0) return AWS_FAULT_TRANSPORT;
    if (http_status >= 200 && http_status < 300) return AWS_FAULT_NONE;
    if (http_status == 429) return AWS_FAULT_THROTTLED;
    bool transient = http_status == 408 || http_status == 500 || http_status == 502 ||
                     http_status == 503 || http_status == 504;
    return transient ? AWS_FAULT_TRANSIENT : AWS_FAULT_PERMANENT;
}

enum aws_fault aws_fault_of(int http_status, struct str code)
{
    struct str name = aws_error_name(code);
    for (size_t i = 0; i < COUNT_OF(codes); i++)
        if (str_equal(name, str_of(codes[i].name))) return codes[i].fault;
    enum aws_fault fault = fault_of_status(http_status);
    /* S3 may begin with 200 and fail afterwards. */
    return fault == AWS_FAULT_NONE && name.size > 0 ? AWS_FAULT_PERMANENT : fault;
}

bool fault_is_retryable(enum aws_fault fault)
{
    return fault != AWS_FAULT_NONE && fault != AWS_FAULT_PERMANENT;
}

/* --- how long, how often ---------------------------------------------------------------------- */

uint64_t retry_delay_ns(enum aws_fault fault, unsigned attempt, struct prng *prng)
{
    if (fault == AWS_FAULT_EXPIRED || fault == AWS_FAULT_SKEWED) return 0;
    uint64_t first = fault == AWS_FAULT_THROTTLED ? 500 * NS_PER_MS : 50 * NS_PER_MS;
    uint64_t ceiling = first << MIN(attempt, (unsigned)DOUBLINGS_MAX);
    return prng_below(prng, MIN(ceiling, DELAY_MAX_NS) + 1);
}

static unsigned cost_of(enum aws_fault fault)
{
    return fault == AWS_FAULT_TRANSPORT ? RETRY_COST_TRANSPORT : RETRY_COST;
}

void retry_budget_init(struct retry_budget *budget)
{
    budget->left = RETRY_BUDGET_MAX;
}

bool retry_budget_take(struct retry_budget *budget, enum aws_fault fault)
{
    if (budget->left < cost_of(fault)) return false;
    budget->left -= cost_of(fault);
    return true;
}

void retry_budget_give(struct retry_budget *budget, enum aws_fault last)
{
    unsigned gain = last == AWS_FAULT_NONE ? RETRY_GAIN : cost_of(last);
    budget->left = MIN(budget->left + gain, (unsigned)RETRY_BUDGET_MAX);
}

/* --- the service's clock ---------------------------------------------------------------------- */

static unsigned month_of(struct str name)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    for (unsigned i = 0; i < 12; i++)
        if (str_equal(name, (struct str){months + (size_t)3 * i, 3})) return i + 1;
    return 0;
}

/* RFC 9110's only form that is still sent, brought into the one that signatures have. */
bool retry_read_http_date(struct str text, uint64_t *ret_seconds)
{
    char date[] = "00000000T000000Z";
    if (text.size != HTTP_DATE_SIZE || !str_ends_with(text, STR(" GMT"))) return false;
    const char *at = text.data;
    unsigned month = month_of((struct str){at + 8, 3});
    if (month == 0 || at[3] != ',' || at[4] != ' ' || at[7] != ' ' || at[11] != ' ' ||
        at[16] != ' ' || at[19] != ':' || at[22] != ':')
        return false;
    memcpy(date, at + 12, 4);
    date[4] = (char)('0' + month / 10);
    date[5] = (char)('0' + month % 10);
    memcpy(date + 6, at + 5, 2);
    memcpy(date + 9, at + 17, 2);
    memcpy(date + 11, at + 20, 2);
    memcpy(date + 13, at + 23, 2);
    return sigv4_read_date(str_of(date), ret_seconds);
}
