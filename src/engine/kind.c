/* The tables. */
#include "engine/kind.h"

#include <errno.h>
#include <sys/stat.h>

static const struct platform {
    const char *platform, *engine;
} platforms[] = {
    {"pytorch", "torch"},     {"pytorch_libtorch", "torch"}, {"libtorch", "torch"},
    {"torchscript", "torch"}, {"onnxruntime", "onnx"},       {"onnxruntime_onnx", "onnx"},
};

static const struct extension {
    const char *extension, *engine;
} extensions[] = {
    {".onnx", "onnx"},
    {".pt", "torch"},
    {".pth", "torch"},
    {".torchscript", "torch"},
};

static const struct default_file {
    const char *engine, *file;
} default_files[] = {{"onnx", "model.onnx"}, {"torch", "model.pt"}};

/* Files that people try and that no engine here reads: first bytes, and what to say. */
static const struct foreign {
    size_t offset;
    struct str bytes;
    const char *advice;
} foreign_files[] = {
    {0, {"\x80\x02", 2}, "is a Python pickle; save it with torch.jit.save or export it to ONNX"},
    {0, {"\x80\x04", 2}, "is a Python pickle; export the model to ONNX"},
    {0, {"\x89HDF", 4}, "is an HDF5 file, as Keras writes; export the model to ONNX"},
    {4, {"TFL3", 4}, "is a TensorFlow Lite model; convert it to ONNX"},
    {0, {"GGUF", 4}, "is a GGUF file, which holds language model weights only"},
    {0, {"\x1f\x8b", 2}, "is gzip-compressed; decompress it first"},
    {0,
     {"\x7f"
      "ELF",
      4},
     "is a program or shared object, not a model"},
};

struct str engine_for_platform(struct str platform)
{
    for (size_t i = 0; i < COUNT_OF(platforms); i++)
        if (str_equal(platform, str_of(platforms[i].platform))) return str_of(platforms[i].engine);
    return platform;
}

const char *engine_default_file(struct str engine)
{
    for (size_t i = 0; i < COUNT_OF(default_files); i++)
        if (str_equal(engine, str_of(default_files[i].engine))) return default_files[i].file;
    return NULL;
}

/* The last extension of a path with its dot, empty if there is none. */
static struct str extension_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *dot = strrchr(slash ? slash : path, '.');
    return dot ? str_of(dot) : STR_EMPTY;
}

static const char *engine_of_extension(struct str extension)
{
    for (size_t i = 0; i < COUNT_OF(extensions); i++)
        if (str_equal_ignoring_case(extension, str_of(extensions[i].extension)))
            return extensions[i].engine;
    return NULL;
}

/*
 * An ONNX file is a protobuf message whose first field is, in every writer known, ir_version: tag
 * 0x08, a small number, then the tag of another field of ModelProto, all of wire type 2 or 0.
 */
static bool looks_like_onnx(struct str head)
{
    const unsigned char *bytes = (const unsigned char *)head.data;
    if (head.size < 3 || bytes[0] != 0x08 || bytes[1] == 0 || bytes[1] > 0x40) return false;
    unsigned field = bytes[2] >> 3, wire_type = bytes[2] & 7;
    return field >= 2 && field <= 8 && wire_type == (field == 5 ? 0 : 2);
}

static const char *engine_of_head(struct str head)
{
    if (str_starts_with(head, STR("PK\x03\x04"))) return "torch";
    return looks_like_onnx(head) ? "onnx" : NULL;
}

static enum status fail_unknown(const char *path, struct str head, struct error *err)
{
    for (size_t i = 0; i < COUNT_OF(foreign_files); i++) {
        const struct foreign *foreign = &foreign_files[i];
        if (head.size > foreign->offset &&
            str_starts_with(str_from(head, foreign->offset), foreign->bytes))
            return fail(err, STATUS_INVALID_ARGUMENT, "'%.300s' %s", path, foreign->advice);
    }
    return fail(err, STATUS_INVALID_ARGUMENT,
                "'%.300s' is not a model of a known kind: ONNX (.onnx), TorchScript (.pt, .pth, "
                ".torchscript), or an installed engine's name as extension",
                path);
}

static enum status read_head(const char *path, char *bytes, size_t size, struct str *ret_head,
                             struct error *err)
{
    struct stat status;
    if (stat(path, &status) != 0) return fail_errno(err, errno, "model file '%.300s'", path);
    if (S_ISDIR(status.st_mode))
        return fail(err, STATUS_INVALID_ARGUMENT, "'%.300s' is a directory, not a model file",
                    path);
    if (!S_ISREG(status.st_mode)) // opening a pipe would wait
        return fail(err, STATUS_INVALID_ARGUMENT, "'%.300s' is not a regular file", path);
    FILE *file = fopen(path, "re");
    if (!file) return fail_errno(err, errno, "model file '%.300s'", path);
    size_t used = fread(bytes, 1, size, file);
    (void)fclose(file);
    *ret_head = (struct str){bytes, used};
    return STATUS_OK;
}

/* Copies a name that is known to be valid, and so to fit. */
static void set_name(char *ret_name, struct str name)
{
    assert(engine_name_is_valid(name));
    memcpy(ret_name, name.data, name.size);
    ret_name[name.size] = '\0';
}

enum status engine_for_file(const struct engine_registry *registry, const char *path,
                            char *ret_name, struct error *err)
{
    char bytes[16];
    struct str head;
    TRY(read_head(path, bytes, sizeof bytes, &head, err));
    struct str extension = extension_of(path);
    const char *name = engine_of_extension(extension);
    if (!name && extension.size > 1 && engine_is_installed(registry, extension.data + 1))
        name = extension.data + 1;
    if (!name) name = engine_of_head(head);
    if (!name) return fail_unknown(path, head, err);
    set_name(ret_name, str_of(name));
    return STATUS_OK;
}
