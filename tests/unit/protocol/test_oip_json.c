#include "base/mem.h"
#include "protocol/oip_json.c"
#include "test.h"

static struct error err;
static struct arena arena;
static struct infer_request request;

static enum status read_text(struct str text)
{
    arena_clear(&arena);
    arena_init(&arena, 1 << 20);
    infer_request_init(&request, &arena);
    request.model_name = STR("M");
    return oip_json_read(text, STR_EMPTY, &request, &err);
}

#define ACCEPTED(text) EXPECT_STATUS(read_text(STR(text)), STATUS_OK, err)
#define REFUSED(text, status, wording)                                                             \
    do {                                                                                           \
        EXPECT_STATUS(read_text(STR(text)), status, err);                                          \
        EXPECT_TEXT(err.message, wording);                                                         \
    } while (0)

/* A request with one input, whose members are given. */
#define INPUT(members) "{\"inputs\":[{" members "}]}"
#define DATA(dtype, data)                                                                          \
    INPUT("\"name\":\"x\",\"shape\":[2],\"datatype\":\"" dtype "\",\"data\":" data)

TEST(the_smallest_request)
{
    ACCEPTED("{\"inputs\":[{\"name\":\"x\",\"shape\":[1,5],\"datatype\":\"INT64\",\"data\":[1,2,3,"
             "4,-5]}]}");
    REQUIRE(request.input_count == 1);
    const struct infer_tensor *input = &request.inputs[0];
    EXPECT_STR(input->name, STR("x"));
    EXPECT_INT(input->tensor.dtype, DTYPE_INT64);
    EXPECT_INT(input->tensor.rank, 2);
    EXPECT_INT(input->tensor.dims[1], 5);
    EXPECT_INT(input->tensor.byte_size, 40);
    EXPECT_INT(((int64_t *)input->tensor.data)[4], -5);
    EXPECT_INT(request.output_count, 0);
    arena_clear(&arena);
}

TEST(members_in_any_order_nested_and_spaced)
{
    ACCEPTED(" { \"id\" : \"42\" , \"unknown\":[{}], \"inputs\" : [ { \"data\" : [ [1.5, 2 ] ,[ "
             "3e0,-4]] , "
             "\"datatype\":\"FP32\",\"parameters\":{\"p\":1,\"q\":\"s\",\"r\":true,\"d\":1.5,\"u\":"
             "18446744073709551615},"
             "\"shape\":[ 2 , 2 ],\"name\":\"x\" , \"other\":null} ] } ");
    EXPECT_STR(request.id, STR("42"));
    REQUIRE(request.input_count == 1);
    const float *data = request.inputs[0].tensor.data;
    EXPECT(data[0] == 1.5F && data[1] == 2 && data[2] == 3 && data[3] == -4);
    EXPECT_INT(request.inputs[0].parameters.count, 5);
    EXPECT_INT(request.inputs[0].parameters.items[4].kind, INFER_PARAMETER_UINT64);
    arena_clear(&arena);
}

TEST(every_type)
{
    ACCEPTED(DATA("BOOL", "[true, false]"));
    EXPECT(memcmp(request.inputs[0].tensor.data, "\1\0", 2) == 0);
    ACCEPTED(DATA("UINT8", "[0,255]"));
    EXPECT(memcmp(request.inputs[0].tensor.data, "\0\377", 2) == 0);
    ACCEPTED(DATA("INT8", "[-128,127]"));
    EXPECT(memcmp(request.inputs[0].tensor.data, "\200\177", 2) == 0);
    ACCEPTED(DATA("UINT16", "[0,65535]"));
    ACCEPTED(DATA("INT16", "[-32768,32767]"));
    ACCEPTED(DATA("UINT32", "[0,4294967295]"));
    ACCEPTED(DATA("INT32", "[-2147483648,2147483647]"));
    ACCEPTED(DATA("UINT64", "[0,18446744073709551615]"));
    EXPECT(((uint64_t *)request.inputs[0].tensor.data)[1] == UINT64_MAX);
    ACCEPTED(DATA("INT64", "[-9223372036854775808,9223372036854775807]"));
    EXPECT(((int64_t *)request.inputs[0].tensor.data)[0] == INT64_MIN);
    ACCEPTED(DATA("FP64", "[0.1,NaN]"));
    EXPECT(((double *)request.inputs[0].tensor.data)[0] == 0.1);
    ACCEPTED(DATA("FP32", "[-Infinity,0.1]"));
    EXPECT(((float *)request.inputs[0].tensor.data)[1] == 0.1F);
    ACCEPTED(DATA("BYTES", "[\"a\\u0000\\n\", \"\"]"));
    struct slipway_bytes *bytes = request.inputs[0].tensor.data;
    EXPECT_STR(((struct str){bytes[0].data, bytes[0].size}), STR("a\0\n"));
    EXPECT_INT(bytes[1].size, 0);
    REFUSED(DATA("FP16", "[1,2]"), STATUS_INVALID_ARGUMENT,
            "receiving FP16 data via JSON is not supported. Please use the binary data format for "
            "input x");
    REFUSED(DATA("BF16", "[1,2]"), STATUS_INVALID_ARGUMENT,
            "receiving BF16 data via JSON is not supported. Please use the binary data format for "
            "input x");
    REFUSED(DATA("ANY", "[1,2]"), STATUS_INVALID_ARGUMENT, "invalid datatype 'ANY' for input 'x'");
    REFUSED(DATA("TYPE_FP32", "[1,2]"), STATUS_INVALID_ARGUMENT,
            "invalid datatype 'TYPE_FP32' for input 'x'");
    arena_clear(&arena);
}

TEST(values_of_the_wrong_kind)
{
    REFUSED(DATA("INT32", "[1,\"2\"]"), STATUS_INVALID_ARGUMENT,
            "Unable to parse 'data': attempt to access JSON non-signed-integer as signed-integer");
    REFUSED(DATA("INT32", "[1,2.5]"), STATUS_INVALID_ARGUMENT,
            "Unable to parse 'data': attempt to access JSON non-signed-integer as signed-integer");
    REFUSED(
        DATA("UINT8", "[1,-2]"), STATUS_INVALID_ARGUMENT,
        "Unable to parse 'data': attempt to access JSON non-unsigned-integer as unsigned-integer");
    REFUSED(DATA("FP32", "[1,null]"), STATUS_INVALID_ARGUMENT,
            "Unable to parse 'data': attempt to access JSON non-number as number");
    REFUSED(DATA("BOOL", "[true,1]"), STATUS_INVALID_ARGUMENT,
            "Unable to parse 'data': attempt to access JSON non-boolean as boolean");
    REFUSED(DATA("BYTES", "[\"a\",{}]"), STATUS_INVALID_ARGUMENT,
            "Unable to parse 'data': attempt to access JSON non-string as string");
    REFUSED(DATA("UINT8", "[1,256]"), STATUS_INVALID_ARGUMENT,
            "Unable to parse 'data': 256 is out of range for UINT8 in 'x'");
    REFUSED(DATA("INT8", "[-129,1]"), STATUS_INVALID_ARGUMENT,
            "Unable to parse 'data': -129 is out of range for INT8 in 'x'");
    REFUSED(DATA("UINT64", "[18446744073709551616,1]"), STATUS_INVALID_ARGUMENT,
            "Unable to parse 'data': 18446744073709551616 is out of range for UINT64 in 'x'");
    REFUSED(DATA("FP32", "[1e39,1]"), STATUS_INVALID_ARGUMENT,
            "Unable to parse 'data': 1e39 is out of range for FP32 in 'x'");
    REFUSED(DATA("FP64", "[1,1e309]"), STATUS_INVALID_ARGUMENT,
            "Unable to parse 'data': 1e309 is out of range for FP64 in 'x'");
    arena_clear(&arena);
}

TEST(shape_and_data_must_agree)
{
    REFUSED(DATA("FP32", "[1,2,3]"), STATUS_INTERNAL,
            "Unable to parse 'data': Shape does not match true shape of 'data' field");
    REFUSED(DATA("FP32", "[1]"), STATUS_INTERNAL,
            "Failed to parse 'data' field: shape does not match true shape");
    REFUSED(INPUT("\"name\":\"x\",\"shape\":[1000000000],\"datatype\":\"FP32\",\"data\":[1]"),
            STATUS_INTERNAL, "Failed to parse 'data' field: shape does not match true shape");
    REFUSED(
        INPUT("\"name\":\"x\",\"shape\":[-1],\"datatype\":\"FP32\",\"data\":[1]"),
        STATUS_INVALID_ARGUMENT,
        "Unable to parse 'shape': attempt to access JSON non-unsigned-integer as unsigned-integer");
    REFUSED(
        INPUT("\"name\":\"x\",\"shape\":[1.0],\"datatype\":\"FP32\",\"data\":[1]"),
        STATUS_INVALID_ARGUMENT,
        "Unable to parse 'shape': attempt to access JSON non-unsigned-integer as unsigned-integer");
    REFUSED(
        INPUT(
            "\"name\":\"x\",\"shape\":[4294967296,4294967296],\"datatype\":\"FP32\",\"data\":[1]"),
        STATUS_INVALID_ARGUMENT,
        "shape of input 'x' causes total element count to exceed maximum size of "
        "9223372036854775807");
    REFUSED(
        INPUT("\"name\":\"x\",\"shape\":[4611686018427387904],\"datatype\":\"FP32\",\"data\":[1]"),
        STATUS_INVALID_ARGUMENT, "byte size overflow for input 'x'");
    REFUSED(INPUT("\"name\":\"x\",\"shape\":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1],\"datatype\":"
                  "\"FP32\",\"data\":[1]"),
            STATUS_INVALID_ARGUMENT, "Unable to parse 'shape': more than 16 dimensions");
    ACCEPTED(INPUT("\"name\":\"x\",\"shape\":[0],\"datatype\":\"FP32\",\"data\":[]"));
    ACCEPTED(INPUT("\"name\":\"x\",\"shape\":[0,7],\"datatype\":\"BYTES\",\"data\":[[],[ ]]"));
    ACCEPTED(INPUT("\"name\":\"x\",\"shape\":[],\"datatype\":\"FP32\",\"data\":[5]"));
    EXPECT_INT(request.inputs[0].tensor.byte_size, 4);
    arena_clear(&arena);
}

TEST(fields_that_must_and_must_not_be_there)
{
    REFUSED("{}", STATUS_INVALID_ARGUMENT,
            "Unable to parse 'inputs': attempt to access non-existing object member 'inputs'");
    REFUSED(INPUT("\"shape\":[1],\"datatype\":\"FP32\",\"data\":[1]"), STATUS_INVALID_ARGUMENT,
            "Unable to parse 'name': attempt to access non-existing object member 'name'");
    REFUSED(INPUT("\"name\":\"x\",\"shape\":[1],\"datatype\":\"FP32\""), STATUS_INVALID_ARGUMENT,
            "Input must set only one of the following fields: 'data', 'binary_data_size' in "
            "'parameters', "
            "'shared_memory_region' in 'parameters'. But no field is set");
    REFUSED(INPUT("\"name\":\"x\",\"shape\":[1],\"datatype\":\"FP32\",\"data\":[1],\"parameters\":{"
                  "\"binary_data_size\":4}"),
            STATUS_INVALID_ARGUMENT,
            "Input must set only one of the following fields: 'data', 'binary_data_size' in "
            "'parameters', "
            "'shared_memory_region' in 'parameters'. But set 'data' 'binary_data_size'");
    REFUSED(INPUT("\"name\":\"x\",\"shape\":[1],\"datatype\":\"FP32\",\"parameters\":{\"binary_"
                  "data_size\":4}"),
            STATUS_INVALID_ARGUMENT,
            "unexpected size for input 'x', expecting 4 additional bytes for model 'M'");
    REFUSED(INPUT("\"name\":\"x\",\"shape\":[1],\"datatype\":\"FP32\",\"parameters\":{\"shared_"
                  "memory_region\":\"r\"}"),
            STATUS_INVALID_ARGUMENT,
            "Client shared memory is disabled. Send the tensor in the request's body instead");
    REFUSED(
        INPUT("\"name\":\"x\",\"name\":\"y\""), STATUS_INVALID_ARGUMENT,
        "failed to parse the request JSON buffer: invalid JSON at byte 30: a member is repeated");
    REFUSED("{\"inputs\":[],\"inputs\":[]}x", STATUS_INVALID_ARGUMENT,
            "failed to parse the request JSON buffer: invalid JSON at byte 22: 'inputs' is "
            "repeated");
    REFUSED("{\"inputs\":{}}", STATUS_INVALID_ARGUMENT,
            "Unable to parse 'inputs': attempt to access JSON non-array as array");
    REFUSED("", STATUS_INVALID_ARGUMENT,
            "failed to parse the request JSON buffer: invalid JSON at byte 0: an object is "
            "expected here");
    ACCEPTED("{\"inputs\":[]}");
    arena_clear(&arena);
}

TEST(request_parameters)
{
    ACCEPTED("{\"inputs\":[],\"parameters\":{\"priority\":2,\"timeout\":1000,\"sequence_id\":17,"
             "\"sequence_start\":true,\"sequence_end\":false,\"binary_data_output\":true,\"mine\":"
             "\"x\"},"
             "\"outputs\":[{\"name\":\"a\"},{\"name\":\"b\",\"parameters\":{\"binary_data\":false,"
             "\"classification\":3,\"k\":1}},{\"name\":\"c\"}]}");
    EXPECT_INT(request.priority, 2);
    EXPECT_INT(request.timeout_us, 1000);
    EXPECT_STR(request.sequence_id, STR("17"));
    EXPECT(request.sequence_start && !request.sequence_end && request.binary_output_default);
    EXPECT_INT(request.parameters.count, 1);
    REQUIRE(request.output_count == 3);
    EXPECT(request.outputs[0].binary && !request.outputs[1].binary && request.outputs[2].binary);
    EXPECT_INT(request.outputs[1].classification, 3);
    EXPECT_INT(request.outputs[1].parameters.count, 1);
    REFUSED("{\"inputs\":[],\"parameters\":{\"triton_x\":1}}", STATUS_INVALID_ARGUMENT,
            "parameter keys starting with 'triton_' are reserved for Triton usage and should not "
            "be specified.");
    REFUSED("{\"inputs\":[],\"parameters\":{\"p\":[1]}}", STATUS_INVALID_ARGUMENT,
            "parameter 'p' has invalid type. It should be either 'int', 'bool', or 'string'.");
    REFUSED("{\"inputs\":[],\"parameters\":{\"timeout\":-1}}", STATUS_INVALID_ARGUMENT,
            "Unable to parse 'timeout': attempt to access JSON non-unsigned-integer as "
            "unsigned-integer");
    REFUSED("{\"inputs\":[],\"outputs\":[{\"name\":\"a\",\"parameters\":{\"shared_memory_region\":"
            "\"r\",\"classification\":1}}]}",
            STATUS_INVALID_ARGUMENT,
            "Output can't set both 'shared_memory_region' and 'classification'");
    REFUSED("{\"inputs\":[],\"outputs\":[{\"name\":\"a\",\"parameters\":{\"shared_memory_region\":"
            "\"r\",\"binary_data\":true}}]}",
            STATUS_INVALID_ARGUMENT,
            "Output can't set both 'shared_memory_region' and 'binary_data'");
    arena_clear(&arena);
}

TEST(many_inputs_and_parameters_keep_their_order)
{
    struct buffer text;
    buffer_init(&text, 1 << 20);
    buffer_add_text(&text, "{\"inputs\":[");
    for (int i = 0; i < 100; i++)
        buffer_add_format(&text,
                          "%s{\"name\":\"i%d\",\"shape\":[1],\"datatype\":\"INT32\",\"data\":[%d],"
                          "\"parameters\":{\"a\":1,\"b\":2,\"c\":3,\"d\":4,\"e\":5}}",
                          i ? "," : "", i, i);
    buffer_add_text(&text, "]}");
    EXPECT_STATUS(read_text(buffer_view(&text)), STATUS_OK, err);
    REQUIRE(request.input_count == 100);
    for (int i = 0; i < 100; i++) {
        EXPECT_INT(*(int32_t *)request.inputs[i].tensor.data, i);
        EXPECT_INT(request.inputs[i].parameters.items[4].value.int64, 5);
    }
    buffer_clear(&text);
    arena_clear(&arena);
}

TEST(a_small_arena_is_exhaustion_not_a_crash)
{
    struct str text = STR(DATA("INT64", "[1,2]"));
    for (size_t ceiling = 0; ceiling < 400; ceiling += 8) {
        struct arena small;
        arena_init(&small, ceiling);
        infer_request_init(&request, &small);
        enum status status = oip_json_read(text, STR_EMPTY, &request, &err);
        EXPECT(status == STATUS_OK || status == STATUS_EXHAUSTED);
        arena_clear(&small);
    }
}

/* --- random requests: write(read(write(x))) == write(x), and damage never crashes ---------------
 */

static void random_text(struct prng *prng, struct buffer *scratch, struct str *ret)
{
    size_t size = prng_below(prng, 12);
    buffer_reset(scratch);
    for (size_t i = 0; i < size; i++) {
        static const char *const parts[] = {
            "a", "Z", "0", "_", "\"", "\\", "\n", "\xc3\xa9", "\xf0\x9f\x98\x80", " "};
        buffer_add_text(scratch, parts[prng_below(prng, COUNT_OF(parts))]);
    }
    *ret = arena_try_copy(&arena, buffer_view(scratch));
}

static void fill_tensor(struct prng *prng, struct infer_tensor *tensor, struct buffer *scratch)
{
    static const enum dtype dtypes[] = {DTYPE_BOOL,   DTYPE_UINT8, DTYPE_UINT16, DTYPE_UINT32,
                                        DTYPE_UINT64, DTYPE_INT8,  DTYPE_INT16,  DTYPE_INT32,
                                        DTYPE_INT64,  DTYPE_FP32,  DTYPE_FP64,   DTYPE_BYTES};
    enum dtype dtype = dtypes[prng_below(prng, COUNT_OF(dtypes))];
    uint32_t rank = (uint32_t)prng_below(prng, 4);
    int64_t *dims = ARENA_TRY_ARRAY(&arena, int64_t, 4), count = 1;
    for (uint32_t i = 0; i < rank; i++) count *= dims[i] = (int64_t)prng_below(prng, 6);
    size_t size = (size_t)count * dtype_width(dtype);
    uint8_t *data = arena_try_new(&arena, size + 16);
    for (size_t i = 0; i < size; i++) data[i] = (uint8_t)prng_u64(prng);
    for (size_t i = 0; i < size && dtype == DTYPE_BOOL; i++) data[i] &= 1;
    for (int64_t i = 0; i < count && dtype == DTYPE_FP32; i++)
        ((float *)(void *)data)[i] = (float)prng_double(prng) - 0.5F;
    for (int64_t i = 0; i < count && dtype == DTYPE_FP64; i++)
        ((double *)(void *)data)[i] = prng_double(prng) * 1e300;
    for (int64_t i = 0; i < count && dtype == DTYPE_BYTES; i++) {
        struct str text;
        random_text(prng, scratch, &text);
        ((struct slipway_bytes *)(void *)data)[i] = (struct slipway_bytes){text.data, text.size};
    }
    tensor->tensor = (struct slipway_tensor){dtype, rank, dims, data, size};
}

static void random_request(struct prng *prng, struct infer_request *out, struct buffer *scratch)
{
    infer_request_init(out, &arena);
    random_text(prng, scratch, &out->id);
    out->input_count = prng_below(prng, 4);
    out->inputs = ARENA_TRY_ARRAY(&arena, struct infer_tensor, 4);
    for (size_t i = 0; i < out->input_count; i++) {
        random_text(prng, scratch, &out->inputs[i].name);
        fill_tensor(prng, &out->inputs[i], scratch);
    }
    out->output_count = prng_below(prng, 3);
    out->outputs = ARENA_TRY_ARRAY(&arena, struct infer_wanted_output, 4);
    for (size_t i = 0; i < out->output_count; i++) {
        random_text(prng, scratch, &out->outputs[i].name);
        out->outputs[i].classification = (uint32_t)prng_below(prng, 3);
        out->outputs[i].binary = prng_below(prng, 2);
    }
    out->priority = (uint32_t)prng_below(prng, 3);
    out->timeout_us = prng_below(prng, 2) ? prng_u64(prng) : 0;
}

TEST(written_requests_read_back_and_damage_never_crashes)
{
    struct prng prng;
    prng_seed(&prng, test_seed());
    struct buffer first, second, scratch;
    buffer_init(&first, 1 << 20);
    buffer_init(&second, 1 << 20);
    buffer_init(&scratch, 1 << 10);
    arena_clear(&arena);
    arena_init(&arena, 1 << 22);
    for (int i = 0; i < 3000; i++) {
        struct infer_request original, again;
        random_request(&prng, &original, &scratch);
        buffer_reset(&first);
        buffer_reset(&second);
        EXPECT_STATUS(oip_json_write_request(&original, &first, &err), STATUS_OK, err);
        infer_request_init(&again, &arena);
        EXPECT_STATUS(oip_json_read(buffer_view(&first), STR_EMPTY, &again, &err), STATUS_OK, err);
        EXPECT_STATUS(oip_json_write_request(&again, &second, &err), STATUS_OK, err);
        EXPECT_STR(buffer_view(&second), buffer_view(&first));
        for (int j = 0; j < 10; j++) {
            first.data[prng_below(&prng, first.size)] = (char)prng_u64(&prng);
            struct str damaged = {first.data, j & 1 ? prng_below(&prng, first.size) : first.size};
            (void)!oip_json_read(damaged, STR_EMPTY, &again, &err);
        }
        arena_reset(&arena);
    }
    arena_clear(&arena);
    buffer_clear(&first);
    buffer_clear(&second);
    buffer_clear(&scratch);
}

TEST(replies)
{
    arena_clear(&arena);
    arena_init(&arena, 1 << 20);
    float values[] = {1, 2.5F, __builtin_nanf(""), -__builtin_inff()};
    struct infer_tensor output = {.name = STR("y"),
                                  .tensor = {DTYPE_FP32, 2, (const int64_t[]){1, 4}, values, 16}};
    struct infer_reply reply = {.model_name = STR("m"),
                                .model_version = STR("1"),
                                .id = STR("4\"2"),
                                .outputs = &output,
                                .output_count = 1};
    struct buffer out;
    buffer_init(&out, 1 << 16);
    EXPECT_STATUS(oip_json_write(&reply, &out, &err), STATUS_OK, err);
    EXPECT_TEXT(buffer_text(&out),
                "{\"model_name\":\"m\",\"model_version\":\"1\",\"id\":\"4\\\"2\",\"outputs\":["
                "{\"name\":\"y\",\"datatype\":\"FP32\",\"shape\":[1,4],\"data\":[1.0,2.5,NaN,-"
                "Infinity]}]}");
    struct infer_reply again;
    EXPECT_STATUS(oip_json_read_reply(buffer_view(&out), STR_EMPTY, &arena, &again, &err),
                  STATUS_OK, err);
    EXPECT_STR(again.id, STR("4\"2"));
    REQUIRE(again.output_count == 1);
    EXPECT(memcmp(again.outputs[0].tensor.data, values, 8) == 0);
    output.tensor.dtype = DTYPE_FP16;
    EXPECT_STATUS(oip_json_write(&reply, &out, &err), STATUS_INVALID_ARGUMENT, err);
    output.tensor.dtype = DTYPE_FP32;
    struct buffer small;
    buffer_init(&small, 20);
    EXPECT_STATUS(oip_json_write(&reply, &small, &err), STATUS_EXHAUSTED, err);
    buffer_clear(&small);
    buffer_clear(&out);
    arena_clear(&arena);
}

/*
 * A reply of random outputs, of which some are not what the texts were prepared for: another name,
 * another type, another place.
 */
static void random_reply(struct prng *prng, struct infer_reply *reply, struct infer_spec *spec,
                         struct buffer *scratch)
{
    struct slipway_tensor_spec *specs = ARENA_TRY_ARRAY(&arena, struct slipway_tensor_spec, 4);
    *reply = (struct infer_reply){.output_count = prng_below(prng, 4)};
    random_text(prng, scratch, &reply->model_name);
    random_text(prng, scratch, &reply->model_version);
    if (prng_below(prng, 2)) random_text(prng, scratch, &reply->id);
    reply->outputs = ARENA_TRY_ARRAY(&arena, struct infer_tensor, 4);
    for (size_t i = 0; i < reply->output_count; i++) {
        struct infer_tensor *output = &reply->outputs[i];
        random_text(prng, scratch, &output->name);
        fill_tensor(prng, output, scratch);
        specs[i] =
            (struct slipway_tensor_spec){.name = output->name.data, .dtype = output->tensor.dtype};
        if (prng_below(prng, 4) == 0) random_text(prng, scratch, &output->name);
        if (prng_below(prng, 4) == 0) specs[i].dtype = DTYPE_INT8;
    }
    *spec = (struct infer_spec){.name = reply->model_name.data,
                                .outputs = specs,
                                .output_count = prng_below(prng, reply->output_count + 1)};
}

TEST(prepared_texts_change_nothing)
{
    struct prng prng;
    prng_seed(&prng, test_seed());
    struct buffer plain, prepared, scratch;
    buffer_init(&plain, 1 << 20);
    buffer_init(&prepared, 1 << 20);
    buffer_init(&scratch, 1 << 10);
    arena_clear(&arena);
    arena_init(&arena, 1 << 22);
    for (int i = 0; i < 2000; i++) {
        struct infer_reply reply;
        struct infer_spec spec;
        struct oip_json_texts texts;
        random_reply(&prng, &reply, &spec, &scratch);
        EXPECT_STATUS(oip_json_prepare(&spec, reply.model_version, &arena, &texts, &err), STATUS_OK,
                      err);
        buffer_reset(&plain);
        buffer_reset(&prepared);
        EXPECT_STATUS(oip_json_write(&reply, &plain, &err), STATUS_OK, err);
        EXPECT_STATUS(oip_json_write_prepared(&reply, &texts, &prepared, &err), STATUS_OK, err);
        EXPECT_STR(buffer_view(&prepared), buffer_view(&plain));
        arena_reset(&arena);
    }
    arena_clear(&arena);
    struct infer_spec spec = {.name = "m"};
    struct oip_json_texts texts;
    arena_init(&arena, 8);
    EXPECT_STATUS(oip_json_prepare(&spec, STR("1"), &arena, &texts, &err), STATUS_EXHAUSTED, err);
    arena_clear(&arena);
    buffer_clear(&plain);
    buffer_clear(&prepared);
    buffer_clear(&scratch);
}

/* In memory of exactly its size, so that a look beyond its end is seen. */
static enum status read_exactly(struct str text)
{
    char *copy CLEANUP(mem_freep) = mem_new(MAX(text.size, (size_t)1));
    memcpy(copy, text.data, text.size);
    return read_text((struct str){copy, text.size});
}

TEST(every_beginning_of_a_request_is_refused_within_its_bounds)
{
    static const char *const texts[] = {
        "{\"inputs\":[{\"name\":\"x\",\"shape\":[1,5],\"datatype\":\"INT64\",\"data\":[1,2,3,4,5]}]"
        "}",
        "{\"inputs\":[{\"name\":\"x\",\"shape\":[123456789,0],\"datatype\":\"BOOL\",\"data\":[]}]}",
        "{\"inputs\": [{\"name\": \"x\", \"shape\": [2], \"datatype\": \"FP32\", \"data\": [1.5, "
        "2]}]}",
    };
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct str text = str_of(texts[i]);
        for (size_t size = 0; size < text.size; size++)
            EXPECT(read_exactly((struct str){text.data, size}) != STATUS_OK);
        EXPECT_STATUS(read_exactly(text), STATUS_OK, err);
    }
    arena_clear(&arena);
}

/* The short way for the usual form takes nothing that the general way would not. */
TEST(the_usual_form_is_as_strict_as_any)
{
#define USUAL(name, shape, dtype)                                                                  \
    "{\"inputs\":[{\"name\":\"" name "\",\"shape\":[" shape "],\"datatype\":\"" dtype              \
    "\",\"data\":[1,2,3,4,5,6,7,8,9,10]"
    ACCEPTED(USUAL("x", "2,5", "FP64") "}]}");
    ACCEPTED(USUAL("x\\u0041", "10", "INT8") "}]}");
    EXPECT_STR(request.inputs[0].name, STR("xA"));
    static const char *const texts[] = {
        USUAL("x", "010", "INT8") "}]}",
        USUAL("x", "1,-10", "INT8") "}]}",
        USUAL("x", "10,", "INT8") "}]}",
        USUAL("x", ",10", "INT8") "}]}",
        USUAL("x", "1 0", "INT8") "}]}",
        USUAL("x", "10", "ANY") "}]}",
        USUAL("x", "10", "INT88") "}]}",
        USUAL("x\n", "10", "INT8") "}]}",
        USUAL("\xff", "10", "INT8") "}]}",
        USUAL("x", "10", "INT8") ",\"name\":\"y\"}]}",
        USUAL("x", "10", "INT8") ",\"data\":[1]}]}",
        USUAL("x", "11", "INT8") "}]}",
        USUAL("x", "9", "INT8") "}]}",
        USUAL("x", "10", "INT8") "]}",
        USUAL("x", "1000000000,1000000000,1000000000", "INT8") "}]}",
    };
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        if (read_exactly(str_of(texts[i])) == STATUS_OK)
            test_failed(__FILE__, __LINE__, "'%s' was taken", texts[i]);
    ACCEPTED(USUAL("x", "10", "INT8") ",\"parameters\":{\"a\":1}}]}");
    EXPECT_INT(request.inputs[0].parameters.count, 1);
    arena_clear(&arena);
}
