#include "protocol/nested.c"
#include "test.h"

static struct error err;
static struct arena arena;

static enum status read_text(struct str text, enum dtype dtype, struct slipway_tensor *tensor)
{
    struct json_reader reader;
    arena_clear(&arena);
    arena_init(&arena, 1 << 20);
    json_reader_init(&reader, text, &arena);
    reader.nonfinite_allowed = true;
    struct nested_options options = {.dtype = dtype, .base64_allowed = true};
    TRY(nested_read(&reader, &options, tensor, &err));
    return json_end(&reader, &err);
}

/* Reads, writes and compares with `expected`. */
static void expect_copy(const char *text, enum dtype dtype, const char *expected)
{
    struct slipway_tensor tensor;
    struct buffer out;
    buffer_init(&out, 1 << 16);
    EXPECT_STATUS(read_text(str_of(text), dtype, &tensor), STATUS_OK, err);
    EXPECT_STATUS(nested_write(&tensor, &out, &err), STATUS_OK, err);
    EXPECT_TEXT(buffer_text(&out), expected);
    buffer_clear(&out);
}

TEST(nesting_is_the_shape)
{
    expect_copy("[1,2,3,4,5]", DTYPE_INT64, "[1,2,3,4,5]");
    expect_copy("[[1,2],[3,4],[5,6]]", DTYPE_FP32, "[[1.0,2.0],[3.0,4.0],[5.0,6.0]]");
    expect_copy("[[[1],[2]],[[3],[4]]]", DTYPE_ANY, "[[[1],[2]],[[3],[4]]]");
    expect_copy("7", DTYPE_ANY, "7");
    expect_copy("\"x\"", DTYPE_ANY, "\"x\"");
    expect_copy("[]", DTYPE_ANY, "[]");
    expect_copy("[[],[]]", DTYPE_ANY, "[[],[]]");
    expect_copy("[[[],[]],[[],[]]]", DTYPE_ANY, "[[[],[]],[[],[]]]");
    expect_copy("[1, 2.5]", DTYPE_ANY, "[1.0,2.5]");
    expect_copy("[9223372036854775807]", DTYPE_ANY, "[9223372036854775807]");
    expect_copy("[9223372036854775808]", DTYPE_ANY, "[9223372000000000000.0]");
    expect_copy("[true,false]", DTYPE_ANY, "[true,false]");
    expect_copy("[NaN, 1]", DTYPE_ANY, "[NaN,1.0]");
    expect_copy("[[\"a\",\"b\"]]", DTYPE_ANY, "[[\"a\",\"b\"]]");
    expect_copy("[{\"b64\":\"aGk=\"},\"x\"]", DTYPE_BYTES, "[\"hi\",\"x\"]");
    arena_clear(&arena);
}

TEST(shapes_are_told)
{
    struct slipway_tensor tensor;
    EXPECT_STATUS(read_text(STR("[[1,2,3],[4,5,6]]"), DTYPE_ANY, &tensor), STATUS_OK, err);
    EXPECT(tensor.rank == 2 && tensor.dims[0] == 2 && tensor.dims[1] == 3);
    EXPECT_INT(tensor.dtype, DTYPE_INT64);
    struct buffer out;
    buffer_init(&out, 1000);
    EXPECT_STATUS(nested_write_row(&tensor, 1, &out, &err), STATUS_OK, err);
    EXPECT_TEXT(buffer_text(&out), "[4,5,6]");
    buffer_clear(&out);
    EXPECT_STATUS(read_text(STR("[[],[]]"), DTYPE_ANY, &tensor), STATUS_OK, err);
    EXPECT(tensor.rank == 2 && tensor.dims[0] == 2 && tensor.dims[1] == 0 && tensor.byte_size == 0);
    arena_clear(&arena);
}

TEST(irregular_arrays_are_refused)
{
    static const char *const texts[] = {
        "[[1],[2,3]]",
        "[[1],2]",
        "[1,[2]]",
        "[[],[1]]",
        "[[1],[]]",
        "[[],5]",
        "[5,[]]",
        "[[[]],[]]",
        "[[],[[]]]",
        "[[[1]],[2]]",
        "[1,null]",
        "[{}]",
        "{}",
        "[1",
        "[1,]",
        "[true,1]",
        "[\"a\",1]",
        "[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]",
        "[{\"b64\":\"a\"}]",
        "[{\"b64\":\"aGk=\",\"x\":1}]",
        "[{\"x\":1}]",
    };
    struct slipway_tensor tensor;
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        if (read_text(str_of(texts[i]), DTYPE_ANY, &tensor) == STATUS_OK)
            test_failed(__FILE__, __LINE__, "'%s' was taken", texts[i]);
    EXPECT(read_text(STR("[1.5]"), DTYPE_INT32, &tensor) != STATUS_OK);
    EXPECT(read_text(STR("[1]"), DTYPE_FP16, &tensor) != STATUS_OK);
    arena_clear(&arena);
}

/* Whatever is accepted has as many values as its shape says, and is written back in that shape. */
TEST(accepted_arrays_are_consistent)
{
    struct prng prng;
    prng_seed(&prng, test_seed());
    struct buffer out;
    buffer_init(&out, 1 << 16);
    size_t accepted = 0;
    for (int i = 0; i < 30000; i++) {
        char text[24];
        size_t size = 1 + prng_below(&prng, sizeof text - 1);
        for (size_t j = 0; j < size; j++) text[j] = "[[[]]],,,11"[prng_below(&prng, 11)];
        struct slipway_tensor tensor, again;
        if (read_text((struct str){text, size}, DTYPE_ANY, &tensor) != STATUS_OK) continue;
        accepted++;
        int64_t count;
        EXPECT(shape_element_count(tensor.dims, tensor.rank, &count));
        EXPECT_INT(tensor.byte_size, (uint64_t)count * dtype_width((enum dtype)tensor.dtype));
        buffer_reset(&out);
        EXPECT_STATUS(nested_write(&tensor, &out, &err), STATUS_OK, err);
        uint32_t rank = tensor.rank;
        EXPECT_STATUS(read_text(buffer_view(&out), DTYPE_ANY, &again), STATUS_OK, err);
        EXPECT_INT(again.rank, rank);
    }
    EXPECT(accepted > 50);
    buffer_clear(&out);
    arena_clear(&arena);
}
