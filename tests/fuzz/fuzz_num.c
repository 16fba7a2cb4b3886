/* Numbers from any bytes: the fast ways agree with the C library, printed values read back. */
#include "base/decimal.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/num_array.h"
#include "base/shortest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool condition)
{
    if (!condition) abort();
}

static void check_token(struct str text)
{
    const char *at = text.data, *end = at + text.size;
    double real;
    float single;
    if (!decimal_read_double(&at, end, &real)) return;
    struct str token = {text.data, (size_t)(at - text.data)};
    double exact = num_exact_double(token);
    must(memcmp(&exact, &real, sizeof real) == 0);
    at = text.data;
    must(decimal_read_float(&at, end, &single));
    float exact_single = num_exact_float(token);
    must(memcmp(&exact_single, &single, sizeof single) == 0);
    char room[SHORTEST_ROOM];
    double again;
    if (__builtin_isinf(real)) return;
    must(num_read_double((struct str){room, shortest_print_double(room, real)}, &again));
    must(memcmp(&again, &real, sizeof real) == 0);
}

/* As many numbers as one by one, and the same. */
static void check_array(struct str text)
{
    size_t room = text.size / 2 + 1;
    float *values CLEANUP(mem_freep) = mem_new(room * sizeof *values);
    const char *at = text.data, *end = at + text.size, *one = at;
    size_t count = num_array_read_floats(&at, end, values, room);
    for (size_t i = 0; i < count; i++) {
        float value;
        while (i && (*one == ',' || *one == ' ' || *one == '\n' || *one == '\t' || *one == '\r'))
            one++;
        must(decimal_read_float(&one, end, &value) && memcmp(&value, &values[i], 4) == 0);
    }
    must(one == at);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {(const char *)data, size};
    struct buffer out CLEANUP(buffer_clear);
    buffer_init(&out, 1 << 10);
    check_token(text);
    check_array(text);
    int64_t integer;
    uint64_t value;
    if (num_read_i64(text, &integer) && integer) {
        buffer_add_i64(&out, integer);
        must(str_equal(buffer_view(&out), text));
    }
    if (num_read_duration(text, &value)) {
        uint64_t again;
        buffer_reset(&out);
        num_print_duration(&out, value);
        must(num_read_duration(buffer_view(&out), &again) && again == value);
    }
    if (num_read_size(text, &value)) {
        uint64_t again;
        buffer_reset(&out);
        num_print_size(&out, value);
        must(num_read_size(buffer_view(&out), &again) && again == value);
    }
    return 0;
}
