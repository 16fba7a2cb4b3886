/* Texts to filters. */
#include "store/filter.h"

#include "base/num.h"

enum { US_PER_S = 1000000, S_PER_DAY = 86400 };

const char *const store_filter_names[] = {"model", "version",  "variant", "group",  "queue",
                                          "key",   "trace_id", "state",   "source", "failed",
                                          "since", "until",    NULL};

/* --- times ------------------------------------------------------------------------------------ */

/* Takes a number of `digits` digits, and the byte behind it if `follows` is not 0. */
static bool take_number(struct str *rest, size_t digits, char follows, uint64_t *ret_value)
{
    size_t size = digits + (follows != 0);
    uint64_t value = 0;
    if (rest->size < size || (follows && rest->data[digits] != follows)) return false;
    for (size_t i = 0; i < digits; i++) {
        if (rest->data[i] < '0' || rest->data[i] > '9') return false;
        value = value * 10 + (uint64_t)(rest->data[i] - '0');
    }
    *rest = str_from(*rest, size);
    *ret_value = value;
    return true;
}

static bool is_leap(uint64_t year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* Days since 1970-01-01 of a date of the Gregorian calendar. */
static bool count_days(uint64_t year, uint64_t month, uint64_t day, uint64_t *ret_days)
{
    static const uint64_t lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (year < 1970 || month < 1 || month > 12) return false;
    if (day < 1 || day > lengths[month - 1] + (month == 2 && is_leap(year))) return false;
    uint64_t before = year - 1;
    uint64_t days = before * 365 + before / 4 - before / 100 + before / 400 - 719162;
    for (uint64_t i = 1; i < month; i++) days += lengths[i - 1] + (i == 2 && is_leap(year));
    *ret_days = days + day - 1;
    return true;
}

/* HH:MM, then perhaps :SS and a fraction, then perhaps Z. */
static bool read_time_of_day(struct str rest, uint64_t *ret_us)
{
    uint64_t hour, minute, second = 0, digit, unit = US_PER_S, fraction = 0;
    if (!take_number(&rest, 2, ':', &hour) || !take_number(&rest, 2, 0, &minute)) return false;
    bool seconds = rest.size > 0 && rest.data[0] == ':';
    if (seconds) rest = str_from(rest, 1);
    if (seconds && !take_number(&rest, 2, 0, &second)) return false;
    if (seconds && rest.size > 1 && rest.data[0] == '.') {
        rest = str_from(rest, 1);
        while (take_number(&rest, 1, 0, &digit)) fraction += digit * (unit /= 10);
    }
    if (rest.size > 0 && !str_equal(rest, STR("Z"))) return false;
    if (hour > 23 || minute > 59 || second > 59) return false;
    *ret_us = ((hour * 60 + minute) * 60 + second) * US_PER_S + fraction;
    return true;
}

static bool read_date(struct str text, uint64_t *ret_us)
{
    uint64_t year, month, day, days, us = 0;
    if (!take_number(&text, 4, '-', &year) || !take_number(&text, 2, '-', &month)) return false;
    if (!take_number(&text, 2, 0, &day) || !count_days(year, month, day, &days)) return false;
    bool has_time = text.size > 0;
    if (has_time && text.data[0] != 'T' && text.data[0] != ' ') return false;
    if (has_time && !read_time_of_day(str_from(text, 1), &us)) return false;
    *ret_us = days * S_PER_DAY * US_PER_S + us;
    return true;
}

static enum status read_time(struct str value, uint64_t now_us, uint64_t *ret_us, struct error *err)
{
    uint64_t ago_ns;
    if (read_date(value, ret_us)) return STATUS_OK;
    if (num_read_duration(value, &ago_ns)) {
        uint64_t ago_us = ago_ns / NS_PER_US;
        *ret_us = ago_us < now_us ? now_us - ago_us : 1;
        return STATUS_OK;
    }
    return fail(err, STATUS_INVALID_ARGUMENT,
                "'%.*s' is no time: give 2026-11-22, 2026-11-22T20:37:00Z, or how long ago, as in "
                "1h30m",
                STR_ARGS(value));
}

/* --- filters ---------------------------------------------------------------------------------- */

static bool state_bit(struct str name, unsigned *bits)
{
    enum record_state state;
    if (!record_state_of(name, &state)) return false;
    *bits |= 1U << state;
    return true;
}

static bool source_bit(struct str name, unsigned *bits)
{
    enum record_source source;
    if (!record_source_of(name, &source)) return false;
    *bits |= 1U << source;
    return true;
}

static enum status read_bits(struct str value, bool (*set)(struct str name, unsigned *bits),
                             const char *what, unsigned *ret_bits, struct error *err)
{
    unsigned bits = 0;
    while (value.data) {
        struct str one = str_cut(&value, ',');
        if (!set(one, &bits))
            return fail(err, STATUS_INVALID_ARGUMENT, "'%.*s' is none of %s", STR_ARGS(one), what);
    }
    *ret_bits = bits;
    return STATUS_OK;
}

static enum status read_failed(struct str value, bool *ret_failed, struct error *err)
{
    bool yes = str_equal(value, STR("true")), no = str_equal(value, STR("false"));
    if (!yes && !no)
        return fail(err, STATUS_INVALID_ARGUMENT, "failed is true or false, not '%.*s'",
                    STR_ARGS(value));
    *ret_failed = yes;
    return STATUS_OK;
}

enum status store_filter_set(struct store_filter *filter, struct str name, struct str value,
                             uint64_t now_us, struct error *err)
{
    const struct {
        struct str name;
        struct str *field;
    } texts[] = {
        {STR("model"), &filter->model},       {STR("version"), &filter->version},
        {STR("variant"), &filter->variant},   {STR("group"), &filter->group},
        {STR("queue"), &filter->queue},       {STR("key"), &filter->key},
        {STR("trace_id"), &filter->trace_id},
    };
    if (value.size == 0) return STATUS_OK;
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        if (!str_equal(name, texts[i].name)) continue;
        *texts[i].field = value;
        return STATUS_OK;
    }
    if (str_equal(name, STR("state")))
        return read_bits(value, state_bit,
                         "pending, running, succeeded, failed, cancelled, expired", &filter->states,
                         err);
    if (str_equal(name, STR("source")))
        return read_bits(value, source_bit, "http, grpc, job, queue", &filter->sources, err);
    if (str_equal(name, STR("failed"))) return read_failed(value, &filter->failed_only, err);
    if (str_equal(name, STR("since")))
        return fail_while(err, read_time(value, now_us, &filter->since_us, err), "since");
    if (str_equal(name, STR("until")))
        return fail_while(err, read_time(value, now_us, &filter->until_us, err), "until");
    return fail(err, STATUS_INVALID_ARGUMENT, "there is no filter '%.*s'", STR_ARGS(name));
}
