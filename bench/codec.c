/*
 * The codec's speed: arrays of numbers in JSON, both ways, against the C library; the smallest
 * request and reply, alone.
 *
 *   codec                        all of it; each number is the best of 51 rounds
 *   codec texts DIRECTORY        writes the arrays' texts there, for other parsers
 *   codec read|bind|write COUNT  that alone, COUNT times, for callgrind: the instructions of
 *                                      one are those of 2000 less those of 1000, divided by 1000
 */
#include "base/clock.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/num_array.h"
#include "base/rand.h"
#include "base/shortest.h"
#include "protocol/oip_json.h"

enum { VALUE_COUNT = 100000, ROUNDS = 51, SMALL_TURNS = 1000000 };

#define SMALL_REQUEST                                                                              \
    "{\"inputs\":[{\"name\":\"x\",\"shape\":[1,5],\"datatype\":\"INT64\",\"data\":[1,2,3,4,5]}]}"

/* One turn of what is measured; returns something, so that it is not optimised away. */
typedef size_t turn_function(void *context);

/*
 * Seconds of one turn: the least of the rounds. The work is the same each time, so whatever takes
 * longer is the machine doing something else.
 */
static double measure(turn_function *turn, void *context)
{
    double best = 1e9;
    volatile size_t sink = turn(context);
    for (size_t i = 0; i < ROUNDS; i++) {
        uint64_t start = clock_monotonic_ns();
        sink += turn(context);
        double seconds = (double)(clock_monotonic_ns() - start) / 1e9;
        best = MIN(best, seconds);
    }
    return best;
}

struct array {
    struct buffer text; /* "1.5,2,3" */
    struct buffer out;
    float *floats;
    double *doubles;
    int64_t *integers;
};

static size_t read_floats(void *context)
{
    struct array *array = context;
    const char *at = array->text.data;
    return num_array_read_floats(&at, at + array->text.size, array->floats, VALUE_COUNT);
}

static size_t read_floats_portable(void *context)
{
    struct array *array = context;
    const char *at = array->text.data;
    return num_array_read_floats_portable(&at, at + array->text.size, array->floats, VALUE_COUNT);
}

static size_t read_doubles(void *context)
{
    struct array *array = context;
    const char *at = array->text.data;
    return num_array_read_doubles(&at, at + array->text.size, array->doubles, VALUE_COUNT);
}

static size_t read_integers(void *context)
{
    struct array *array = context;
    const char *at = array->text.data;
    return num_array_read_integers(&at, at + array->text.size, NUM_INT64, array->integers,
                                   VALUE_COUNT);
}

/* What a simple parser does: strtof from comma to comma. */
static size_t read_strtof(void *context)
{
    struct array *array = context;
    struct str left = buffer_view(&array->text);
    size_t count = 0;
    while (left.data) array->floats[count++] = num_exact_float(str_cut(&left, ','));
    return count;
}

static size_t write_floats(void *context)
{
    struct array *array = context;
    buffer_reset(&array->out);
    shortest_add_floats(&array->out, array->floats, VALUE_COUNT);
    return array->out.size;
}

static size_t write_doubles(void *context)
{
    struct array *array = context;
    buffer_reset(&array->out);
    shortest_add_doubles(&array->out, array->doubles, VALUE_COUNT);
    return array->out.size;
}

static size_t write_integers(void *context)
{
    struct array *array = context;
    buffer_reset(&array->out);
    num_array_add_integers(&array->out, NUM_INT64, array->integers, VALUE_COUNT);
    return array->out.size;
}

static size_t write_printf(void *context)
{
    struct array *array = context;
    char text[64];
    size_t size = 0;
    for (size_t i = 0; i < VALUE_COUNT; i++)
        size += (size_t)snprintf(text, sizeof text, "%.9g,", (double)array->floats[i]);
    return size;
}

enum set { SET_NINE_DIGITS, SET_FOUR_PLACES, SET_SEVENTEEN, SET_SHORTEST, SET_INTEGERS, SET_COUNT };
static const char *const set_names[SET_COUNT] = {"%.9g", "%.4f", "17 digits", "shortest",
                                                 "integers"};

static void make_text(struct array *array, enum set set)
{
    struct prng prng;
    prng_seed(&prng, 42);
    buffer_reset(&array->text);
    for (size_t i = 0; i < VALUE_COUNT; i++) {
        double value = (prng_double(&prng) - 0.5) * 20;
        if (i) buffer_add_byte(&array->text, ',');
        switch (set) {
        case SET_NINE_DIGITS: buffer_add_format(&array->text, "%.9g", value); break;
        case SET_FOUR_PLACES: buffer_add_format(&array->text, "%.4f", value); break;
        case SET_SEVENTEEN: buffer_add_format(&array->text, "%.17g", value); break;
        case SET_SHORTEST: shortest_add_float(&array->text, (float)value); break;
        case SET_INTEGERS: buffer_add_u64(&array->text, prng_below(&prng, 1000)); break;
        case SET_COUNT: break;
        }
    }
}

/* MB/s, and how often that is what the C library does. */
static void report(const char *what, size_t bytes, double seconds, double library)
{
    printf("  %-18s %8.0f MB/s  %5.1f ns a value", what, (double)bytes / seconds / 1e6,
           seconds * 1e9 / VALUE_COUNT);
    if (library > 0) printf("  %5.1f times the C library", library / seconds);
    printf("\n");
}

static void bench_reading(struct array *array)
{
    for (enum set set = 0; set < SET_COUNT; set++) {
        make_text(array, set);
        size_t bytes = array->text.size;
        printf("read %s, %.1f bytes a value\n", set_names[set], (double)bytes / VALUE_COUNT);
        double library = measure(read_strtof, array);
        report("strtof", bytes, library, 0);
        report("floats", bytes, measure(read_floats, array), library);
        report("floats, portable", bytes, measure(read_floats_portable, array), library);
        report("doubles", bytes, measure(read_doubles, array), 0);
        if (set == SET_INTEGERS) report("int64", bytes, measure(read_integers, array), library);
    }
}

static void bench_writing(struct array *array)
{
    for (enum set set = 0; set < SET_COUNT; set++) {
        make_text(array, set);
        (void)read_floats(array);
        (void)read_doubles(array);
        printf("write %s\n", set_names[set]);
        double library = measure(write_printf, array);
        double seconds = measure(write_floats, array);
        report("floats", array->out.size, seconds, library);
        seconds = measure(write_doubles, array);
        report("doubles", array->out.size, seconds, 0);
        if (set != SET_INTEGERS) continue;
        (void)read_integers(array);
        seconds = measure(write_integers, array);
        report("int64", array->out.size, seconds, 0);
    }
}

static const int64_t small_dims[] = {1, 5};
static const struct slipway_tensor_spec small_tensors[] = {{"x", DTYPE_INT64, 0, 2, small_dims}};
static const struct infer_spec small_spec = {"doubleit", small_tensors, 1, small_tensors, 1, 0};

struct small {
    struct arena arena;
    struct infer_request request;
    struct infer_tensor output;
    struct buffer out;
};

static void die(const struct error *err)
{
    fprintf(stderr, "codec: %s\n", err->message);
    abort();
}

static void small_read(struct small *small)
{
    struct error err;
    arena_reset(&small->arena);
    infer_request_init(&small->request, &small->arena);
    small->request.model_name = STR("doubleit");
    if (oip_json_read(STR(SMALL_REQUEST), STR_EMPTY, &small->request, &err) != STATUS_OK) die(&err);
}

static void small_bind(struct small *small)
{
    struct infer_bound bound;
    struct error err;
    small_read(small);
    if (infer_request_bind(&small_spec, &small->request, &bound, &err) != STATUS_OK) die(&err);
}

static void small_write(struct small *small)
{
    struct infer_reply reply = {.model_name = STR("doubleit"),
                                .model_version = STR("1"),
                                .id = STR(""),
                                .outputs = &small->output,
                                .output_count = 1};
    struct error err;
    buffer_reset(&small->out);
    if (oip_json_write(&reply, &small->out, &err) != STATUS_OK) die(&err);
}

/* Nanoseconds of one. */
static double bench_small(struct small *small, const char *what, size_t count)
{
    uint64_t start = clock_monotonic_ns();
    for (size_t i = 0; i < count; i++) {
        if (*what == 'r')
            small_read(small);
        else if (*what == 'b')
            small_bind(small);
        else
            small_write(small);
    }
    return (double)(clock_monotonic_ns() - start) / (double)count;
}

static int bench_all_small(const char *what, size_t count)
{
    static int64_t values[] = {2, 4, 6, 8, 10};
    struct small small = {.output = {.name = STR("y")}};
    small.output.tensor = (struct slipway_tensor){DTYPE_INT64, 2, small_dims, values, 40};
    arena_init(&small.arena, 1 << 20);
    buffer_init(&small.out, 1 << 16);
    small_read(&small);
    if (what) {
        (void)bench_small(&small, what, count);
    } else {
        printf("small request of %zu bytes: read %.0f ns", sizeof SMALL_REQUEST - 1,
               bench_small(&small, "read", count));
        printf(", read and bind %.0f ns", bench_small(&small, "bind", count));
        printf("; reply written in %.0f ns\n", bench_small(&small, "write", count));
    }
    buffer_clear(&small.out);
    arena_clear(&small.arena);
    return 0;
}

static int write_texts(struct array *array, const char *directory)
{
    for (enum set set = 0; set < SET_COUNT; set++) {
        char path[512];
        make_text(array, set);
        (void)snprintf(path, sizeof path, "%s/%d.json", directory, (int)set);
        FILE *file = fopen(path, "w");
        if (!file) return 1;
        fprintf(file, "[%.*s]", STR_ARGS(buffer_view(&array->text)));
        if (fclose(file) != 0) return 1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "texts") != 0) {
        uint64_t count;
        if (!num_read_u64(str_of(argv[2]), &count)) return 64;
        return bench_all_small(argv[1], count);
    }
    struct array array;
    buffer_init(&array.text, (size_t)1 << 30);
    buffer_init(&array.out, (size_t)1 << 30);
    array.floats = mem_new_zeroed(VALUE_COUNT, sizeof(float));
    array.doubles = mem_new_zeroed(VALUE_COUNT, sizeof(double));
    array.integers = mem_new_zeroed(VALUE_COUNT, sizeof(int64_t));
    if (argc == 3) return write_texts(&array, argv[2]);
    (void)bench_all_small(NULL, SMALL_TURNS);
    bench_reading(&array);
    bench_writing(&array);
    buffer_clear(&array.text);
    buffer_clear(&array.out);
    mem_free(array.floats);
    mem_free(array.doubles);
    mem_free(array.integers);
    return 0;
}
