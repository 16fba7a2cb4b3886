/* Messages of ONNX Runtime, as they were seen. */
#include "../../../engines/onnx/message.c"
#include "test.h"

static void clean(const char *raw, const char *expected)
{
    char text[512];
    onnx_message_clean(raw, text, sizeof text);
    EXPECT_TEXT(text, expected);
}

#define RUNNING(type, name)                                                                        \
    "Non-zero status code returned while running " type " node. Name:'" name "' Status Message: "

TEST(operators_are_named)
{
    clean(RUNNING("Gather", "") "indices element out of data bounds, idx=7",
          "operator Gather: indices element out of data bounds, idx=7");
    clean(RUNNING("Gather", "layer/1") "bad.\n", "operator Gather 'layer/1': bad");
}

TEST(positions_and_signatures_go)
{
    clean(RUNNING("Reshape", "") "/onnxruntime_src/onnxruntime/core/providers/cpu/tensor/"
                                 "reshape_helper.h:27 onnxruntime::ReshapeHelper::ReshapeHelper("
                                 "const onnxruntime::TensorShape&, bool) unknown_dim == -1 was "
                                 "false. At most one dimension can be -1.\n",
          "operator Reshape: unknown_dim == -1 was false. At most one dimension can be -1");
    clean(RUNNING("ConstantOfShape", "") "/a/bfc_arena.cc:358 void* onnxruntime::BFCArena::Alloc("
                                         "size_t, bool, onnxruntime::Stream*) Failed to allocate "
                                         "memory",
          "operator ConstantOfShape: Failed to allocate memory");
    clean("/a/x.cc:1 T ns::f(void (*)(int)) const [with T = int] why", "why");
}

TEST(wrappings_may_be_nested)
{
    clean(RUNNING("ConstantOfShape", "") "/a/op_kernel.cc:83 virtual OrtValue* ns::K::M(int) "
                                         "[ONNXRuntimeError] : 1 : FAIL : tensor.cc:57 "
                                         "CalculateTensorStorageSize Tensor shape.Size() must be "
                                         ">= 0",
          "operator ConstantOfShape: Tensor shape.Size() must be >= 0");
    clean("Load model from /m.onnx failed:Exception during loading: no",
          "Exception during loading: no");
}

TEST(what_is_plain_stays)
{
    clean("", "");
    clean("plain", "plain");
    clean("two\n lines\t here..", "two lines here");
    clean("Load model from nowhere", "Load model from nowhere");
    clean("[ONNXRuntimeError] : 1", "[ONNXRuntimeError] : 1");
    clean("a.cc:1", "a.cc:1");
    clean("Invalid rank for input: x Got: 2 Expected: 1",
          "Invalid rank for input: x Got: 2 Expected: 1");
    clean("/x.cc:9 ns::f(", "ns::f(");
}

TEST(any_text_fits)
{
    struct prng random;
    prng_seed(&random, test_seed());
    static const char *const parts[] = {
        RUNNING("A", "b"), "[ONNXRuntimeError] : ", "x.cc:1 ",  "f(",     ")", "::", " : ", "\n",
        "word ",           "Load model from ",      " failed:", "[with ", "]"};
    for (size_t i = 0; i < 20000; i++) {
        struct buffer raw;
        buffer_init(&raw, 4096);
        for (uint64_t j = prng_below(&random, 12); j > 0; j--)
            buffer_add_text(&raw, parts[prng_below(&random, COUNT_OF(parts))]);
        char text[64];
        size_t size = 1 + (size_t)prng_below(&random, sizeof text);
        memset(text, 'x', sizeof text);
        onnx_message_clean(buffer_text(&raw), text, size);
        EXPECT(memchr(text, '\0', size) != NULL);
        buffer_clear(&raw);
    }
}
