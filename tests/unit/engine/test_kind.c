/* Which engine a model needs. */
#include "base/mem.h"
#include "engine/kind.c"
#include "test.h"

#include <unistd.h>

static void check_file(const char *name, struct str content, const char *engine, const char *text)
{
    char directory[] = "/tmp/slipway-kind-XXXXXX";
    REQUIRE(mkdtemp(directory));
    char *path CLEANUP(mem_freep) = mem_format("%s/%s", directory, name);
    FILE *file = fopen(path, "we");
    REQUIRE(file);
    (void)fwrite(content.data, 1, content.size, file);
    (void)fclose(file);
    struct engine_registry *registry = engine_registry_new(directory);
    char found[ENGINE_NAME_SIZE] = "untouched";
    struct error err = {0};
    enum status status = engine_for_file(registry, path, found, &err);
    EXPECT_STATUS(status, engine ? STATUS_OK : STATUS_INVALID_ARGUMENT, err);
    EXPECT_TEXT(found, engine ? engine : "untouched");
    if (!engine && !strstr(err.message, text))
        test_failed(__FILE__, __LINE__, "'%s' does not say '%s'", err.message, text);
    engine_registry_free(registry);
    (void)unlink(path);
    (void)rmdir(directory);
}

TEST(platforms_of_other_servers_are_known)
{
    EXPECT_STR(engine_for_platform(STR("pytorch_libtorch")), STR("torch"));
    EXPECT_STR(engine_for_platform(STR("pytorch")), STR("torch"));
    EXPECT_STR(engine_for_platform(STR("torch")), STR("torch"));
    EXPECT_STR(engine_for_platform(STR("onnxruntime_onnx")), STR("onnx"));
    EXPECT_STR(engine_for_platform(STR("onnxruntime")), STR("onnx"));
    EXPECT_STR(engine_for_platform(STR("onnx")), STR("onnx"));
    EXPECT_STR(engine_for_platform(STR("mine")), STR("mine"));
    EXPECT_STR(engine_for_platform(STR("")), STR(""));
}

TEST(an_extension_decides)
{
    check_file("m.onnx", STR("x"), "onnx", "");
    check_file("m.ONNX", STR("x"), "onnx", "");
    check_file("m.pt", STR("x"), "torch", "");
    check_file("m.pth", STR("x"), "torch", "");
    check_file("m.torchscript", STR("x"), "torch", "");
}

TEST(the_first_bytes_decide_otherwise)
{
    check_file("model", STR("PK\x03\x04rest"), "torch", "");
    check_file("model.bin", STR("\x08\x08\x12\x07pytorch"), "onnx", "");
    check_file("model.bin", STR("\x08\x0a\x3a\x05graph"), "onnx", "");
}

TEST(known_foreign_files_come_with_advice)
{
    check_file("model", STR("\x80\x02}q"), NULL, "torch.jit.save");
    check_file("model.h5", STR("\x89HDF\r\n"), NULL, "Keras");
    check_file("model.tflite", STR("\x1c\0\0\0TFL3"), NULL, "TensorFlow Lite");
    check_file("model.gguf", STR("GGUF\3"), NULL, "GGUF");
    check_file("model.onnx.gz", STR("\x1f\x8b\x08"), NULL, "decompress");
}

TEST(unknown_files_list_what_is_known)
{
    check_file("model", STR(""), NULL, ".onnx");
    check_file("model", STR("hello"), NULL, "TorchScript");
    check_file(".hidden", STR("\x08\x00\x00"), NULL, ".pt");
    check_file("model.", STR("\x08"), NULL, ".pt");
    check_file("model.../x" + 8, STR("\x08"), NULL, ".pt");
}

TEST(what_is_no_file_is_refused)
{
    struct engine_registry *registry = engine_registry_new(NULL);
    char name[ENGINE_NAME_SIZE];
    struct error err;
    EXPECT_STATUS(engine_for_file(registry, "/nowhere/m.onnx", name, &err), STATUS_NOT_FOUND, err);
    EXPECT_STATUS(engine_for_file(registry, "/tmp", name, &err), STATUS_INVALID_ARGUMENT, err);
    EXPECT_STATUS(engine_for_file(registry, "/dev/zero", name, &err), STATUS_INVALID_ARGUMENT, err);
    engine_registry_free(registry);
}

TEST(default_files)
{
    EXPECT_TEXT(engine_default_file(STR("onnx")), "model.onnx");
    EXPECT_TEXT(engine_default_file(STR("torch")), "model.pt");
    EXPECT(engine_default_file(STR("echo")) == NULL);
}
