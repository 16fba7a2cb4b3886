/* Numbers as text. Floating point goes through base/decimal; the exact fallback is strtod. */
#include "base/num.h"

#include "base/decimal.h"

#include <math.h>

/*
 * More digits than this cannot change a double's rounding (767 are the most that a midpoint has),
 * except by not being all zeros, which one more digit keeps.
 */
enum { EXACT_DIGITS_MAX = 800, EXACT_EXPONENT_MAX = 1000000000 };

bool num_read_u64(struct str text, uint64_t *ret_value)
{
    if (text.size == 0 || text.size > 20 || (text.size > 1 && text.data[0] == '0')) return false;
    uint64_t value = 0;
    for (size_t i = 0; i < text.size; i++) {
        unsigned digit = (unsigned)(unsigned char)text.data[i] - '0';
        if (digit > 9 || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, digit, &value))
            return false;
    }
    *ret_value = value;
    return true;
}

bool num_read_i64(struct str text, int64_t *ret_value)
{
    bool negative = text.size && text.data[0] == '-';
    uint64_t magnitude;
    if (!num_read_u64(str_from(text, negative), &magnitude)) return false;
    if (magnitude > (uint64_t)INT64_MAX + negative) return false;
    *ret_value = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    return true;
}

static bool read_special(struct str text, double *ret_value)
{
    if (str_equal(text, STR("NaN")))
        *ret_value = (double)NAN;
    else if (str_equal(text, STR("Infinity")))
        *ret_value = (double)INFINITY;
    else if (str_equal(text, STR("-Infinity")))
        *ret_value = -(double)INFINITY;
    else
        return false;
    return true;
}

bool num_read_double(struct str text, double *ret_value)
{
    if (read_special(text, ret_value)) return true;
    double value;
    const char *at = text.data;
    if (!decimal_read_double(&at, text.data + text.size, &value)) return false;
    if (at != text.data + text.size || isinf(value)) return false;
    *ret_value = value;
    return true;
}

bool num_read_float(struct str text, float *ret_value)
{
    float value;
    const char *at = text.data;
    if (!decimal_read_float(&at, text.data + text.size, &value)) return false;
    if (at != text.data + text.size || isinf(value)) return false;
    *ret_value = value;
    return true;
}

struct unit {
    const char *name;
    uint64_t value;
};

/* Largest first: printing takes the first that divides. */
static const struct unit duration_units[] = {
    {"d", 86400 * NS_PER_S},
    {"h", 3600 * NS_PER_S},
    {"m", 60 * NS_PER_S},
    {"s", NS_PER_S},
    {"ms", NS_PER_MS},
    {"us", NS_PER_US},
    {"ns", 1},
};

static const struct unit size_units[] = {
    {"TiB", UINT64_C(1) << 40},   {"TB", UINT64_C(1000000000000)}, {"GiB", UINT64_C(1) << 30},
    {"GB", UINT64_C(1000000000)}, {"MiB", UINT64_C(1) << 20},      {"MB", UINT64_C(1000000)},
    {"KiB", UINT64_C(1) << 10},   {"kB", UINT64_C(1000)},          {"B", 1},
};

/* The unit of that name, among the rows from `first` on. */
static size_t unit_find(const struct unit *units, size_t first, size_t count, struct str name)
{
    for (size_t i = first; i < count; i++)
        if (str_equal(name, str_of(units[i].name))) return i;
    return SIZE_MAX;
}

/* Splits "90m..." into its number and the letters behind it. */
static bool cut_quantity(struct str *text, uint64_t *ret_number, struct str *ret_unit)
{
    size_t digits = 0;
    while (digits < text->size && text->data[digits] >= '0' && text->data[digits] <= '9') digits++;
    size_t end = digits;
    while (end < text->size && (text->data[end] < '0' || text->data[end] > '9')) end++;
    if (!num_read_u64((struct str){text->data, digits}, ret_number)) return false;
    *ret_unit = (struct str){text->data + digits, end - digits};
    *text = str_from(*text, end);
    return true;
}

bool num_read_duration(struct str text, uint64_t *ret_ns)
{
    uint64_t total = 0;
    size_t first = 0;
    if (str_equal(text, STR("0"))) {
        *ret_ns = 0;
        return true;
    }
    if (text.size == 0) return false;
    while (text.size) {
        uint64_t number;
        struct str name;
        if (!cut_quantity(&text, &number, &name)) return false;
        size_t unit = unit_find(duration_units, first, COUNT_OF(duration_units), name);
        if (unit == SIZE_MAX) return false;
        first = unit + 1;
        if (__builtin_mul_overflow(number, duration_units[unit].value, &number) ||
            __builtin_add_overflow(total, number, &total))
            return false;
    }
    *ret_ns = total;
    return true;
}

bool num_read_size(struct str text, uint64_t *ret_bytes)
{
    uint64_t number;
    struct str name;
    if (!cut_quantity(&text, &number, &name) || text.size) return false;
    size_t unit =
        name.size ? unit_find(size_units, 0, COUNT_OF(size_units), name) : COUNT_OF(size_units) - 1;
    if (unit == SIZE_MAX || __builtin_mul_overflow(number, size_units[unit].value, &number))
        return false;
    *ret_bytes = number;
    return true;
}

void num_print_duration(struct buffer *out, uint64_t ns)
{
    if (ns == 0) buffer_add_byte(out, '0');
    for (size_t i = 0; ns; i++) {
        uint64_t count = ns / duration_units[i].value;
        if (count == 0) continue;
        buffer_add_u64(out, count);
        buffer_add_text(out, duration_units[i].name);
        ns -= count * duration_units[i].value;
    }
}

void num_print_size(struct buffer *out, uint64_t bytes)
{
    size_t i = 0;
    while (bytes == 0 ? size_units[i].value != 1 : bytes % size_units[i].value != 0) i++;
    buffer_add_u64(out, bytes / size_units[i].value);
    if (size_units[i].value != 1) buffer_add_text(out, size_units[i].name);
}

/* A token for strtod: NUL-terminated and no longer than it must be to round right. */
struct exact_text {
    char data[EXACT_DIGITS_MAX + 64];
};

static int64_t read_exponent(const char *at, const char *end)
{
    bool negative = at < end && *at == '-';
    if (at < end && (*at == '-' || *at == '+')) at++;
    int64_t value = 0;
    for (; at < end && value < EXACT_EXPONENT_MAX; at++) value = value * 10 + (*at - '0');
    return negative ? -value : value;
}

/* Keeps the first digits that count, and a 1 for whatever follows if that is not all zeros. */
static void exact_text_shorten(struct exact_text *text, struct str token)
{
    const char *at = token.data, *end = token.data + token.size;
    size_t size = 0, kept = 0;
    int64_t exponent = 0;
    bool fraction = false, sticky = false;
    if (at < end && *at == '-') text->data[size++] = *at++;
    for (; at < end && (*at | 0x20) != 'e'; at++) {
        if (*at == '.') {
            fraction = true;
            continue;
        }
        bool keep = (kept || *at != '0') && kept < EXACT_DIGITS_MAX;
        if (keep)
            text->data[size + kept++] = *at;
        else
            sticky |= *at != '0';
        exponent += (int64_t)(kept && !keep) - (int64_t)fraction;
    }
    size += kept;
    if (kept == 0) text->data[size++] = '0';
    if (sticky) {
        text->data[size++] = '1';
        exponent--;
    }
    if (at < end) exponent += read_exponent(at + 1, end);
    exponent = MAX(MIN(exponent, (int64_t)EXACT_EXPONENT_MAX), -(int64_t)EXACT_EXPONENT_MAX);
    (void)snprintf(text->data + size, sizeof text->data - size, "e%d", (int)exponent);
}

static void exact_text_make(struct exact_text *text, struct str token)
{
    size_t size = token.size;
    if (size > sizeof text->data - 1) {
        exact_text_shorten(text, token);
        return;
    }
    memcpy(text->data, token.data, size);
    memset(text->data + size, 0, 1); /* gcc 12 sees an overflow in a plain store */
}

double num_exact_double(struct str token)
{
    struct exact_text text;
    exact_text_make(&text, token);
    return strtod(text.data, NULL);
}

float num_exact_float(struct str token)
{
    struct exact_text text;
    exact_text_make(&text, token);
    return strtof(text.data, NULL);
}
