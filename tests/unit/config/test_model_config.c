/* A model's configuration: the three syntaxes, the rules, completion from the model, JSON. */
#include "config/model_config.c"
#include "test.h"

static struct model_config *read_text(const char *text, enum model_config_syntax syntax)
{
    struct model_config *config = NULL;
    struct error err;
    EXPECT_STATUS(model_config_read(str_of(text), syntax, "file", &config, &err), STATUS_OK, err);
    return config ? config : model_config_new();
}

/* What is said of a text that must be refused. */
static const char *failure(const char *text, enum model_config_syntax syntax)
{
    static struct error err;
    struct model_config *config = NULL;
    if (model_config_read(str_of(text), syntax, "file", &config, &err) == STATUS_OK)
        (void)snprintf(err.message, sizeof err.message, "accepted");
    model_config_free(config);
    return err.message;
}

#define PBTXT(text) failure(text, MODEL_CONFIG_PBTXT)
#define YAML(text) failure(text, MODEL_CONFIG_YAML)

static const char full_pbtxt[] =
    "# a comment\n"
    "name: \"res\" 'net'  # two strings are one\n"
    "platform: \"onnxruntime_onnx\"; max_batch_size: 0x10,\n"
    "input [\n"
    "  { name: \"x\" data_type: TYPE_FP32 dims: [ 3, -1 ] format: FORMAT_NONE },\n"
    "  < name: 'y\\x41\\102\\n\\u00e9' data_type: TYPE_STRING dims: 1 dims: 2 optional: true >\n"
    "]\n"
    "input { name: \"z\" data_type: 8 dims: [ 4 ] reshape: { shape: [ 2, 2 ] } }\n"
    "output { name: \"o\" data_type: TYPE_FP32 dims: [ 10 ] label_filename: \"labels.txt\" }\n"
    "version_policy: { specific { versions: [1, 3] } }\n"
    "instance_group [ { count: 2 kind: KIND_CPU } ]\n"
    "dynamic_batching {\n"
    "  preferred_batch_size: [ 4, 010 ]\n"
    "  max_queue_delay_microseconds: 100\n"
    "  priority_levels: 2 default_priority_level: 1\n"
    "  default_queue_policy { timeout_action: DELAY max_queue_size: 7 }\n"
    "  priority_queue_policy { key: 2 value { default_timeout_microseconds: 5 } }\n"
    "}\n"
    "parameters: { key: \"placement\" value: { string_value: \"runner\" } }\n"
    "parameters { key: \"k\" value { string_value: \"v\" } }\n"
    "model_warmup { name: \"w\" batch_size: 1 inputs { key: \"x\" value { data_type: TYPE_FP32 "
    "dims: 3 zero_data: true } } }\n"
    "response_cache { enable: true }\n"
    "optimization { execution_accelerators { gpu_execution_accelerator: [ { name: \"t\" } ] } }\n"
    "[type.googleapis.com/some.Thing] { a: -1.5e3f b: -inf }\n";

TEST(protobuf_text_is_read_whole)
{
    struct model_config *config = read_text(full_pbtxt, MODEL_CONFIG_PBTXT);
    EXPECT_TEXT(config->name, "resnet");
    EXPECT_INT(config->max_batch_size, 16);
    REQUIRE(config->input.count == 3);
    EXPECT_INT(config->input.items[0].dims.items[1], -1);
    EXPECT_TEXT(config->input.items[1].name, "yAB\n\xc3\xa9");
    EXPECT_INT(config->input.items[1].dims.count, 2);
    EXPECT(config->input.items[1].optional);
    EXPECT_INT(config->input.items[2].data_type, SLIPWAY_DTYPE_INT32);
    EXPECT_INT(config->input.items[2].reshape->shape.count, 2);
    EXPECT_TEXT(config->output.items[0].label_filename, "labels.txt");
    EXPECT_INT(config->version_policy->specific->versions.items[1], 3);
    EXPECT_INT(config->instance_group.items[0].kind, MODEL_CONFIG_KIND_CPU);
    EXPECT_INT(config->dynamic_batching->preferred_batch_size.items[1], 8);
    EXPECT_INT(config->dynamic_batching->default_queue_policy->timeout_action, MODEL_CONFIG_DELAY);
    EXPECT_INT(config->dynamic_batching->priority_queue_policy.items[0].key, 2);
    EXPECT_TEXT(model_config_parameter(config, "k"), "v");
    EXPECT(!model_config_parameter(config, "no"));
    EXPECT_INT(config->slipway->placement, MODEL_CONFIG_PLACEMENT_RUNNER);
    EXPECT(config->model_warmup.items[0].inputs.items[0].value.zero_data);
    EXPECT(config->response_cache->enable);
    REQUIRE(config->warnings.count == 2);
    EXPECT_TEXT(config->warnings.items[0], "file:23: 'optimization' in ModelConfig has no effect "
                                           "here");
    model_config_free(config);
}

TEST(preserve_ordering_is_taken_but_not_with_priorities)
{
    struct error err;
    struct model_config *config;
    EXPECT_STATUS(model_config_read(STR("max_batch_size: 4\ndynamic_batching { preserve_ordering: "
                                        "true }"),
                                    MODEL_CONFIG_PBTXT, "file", &config, &err),
                  STATUS_OK, err);
    EXPECT(config->dynamic_batching->preserve_ordering);
    EXPECT_INT(config->warnings.count, 0);
    model_config_free(config);
    EXPECT_TEXT(PBTXT("max_batch_size: 4\ndynamic_batching { preserve_ordering: true "
                      "priority_levels: 2 default_priority_level: 1 }"),
                "file: dynamic_batching: preserve_ordering goes with one priority level, not 2: an "
                "urgent request could not be answered before an earlier one");
}

TEST(protobuf_text_errors_tell_the_place)
{
    EXPECT_TEXT(PBTXT("name: \"a\"\n  max_batchsize: 8"),
                "file:2:18: unknown field 'max_batchsize' in ModelConfig, did you mean "
                "'max_batch_size'");
    EXPECT_TEXT(PBTXT("zzzzzzzzzzz: 8"), "file:1:14: unknown field 'zzzzzzzzzzz' in ModelConfig");
    EXPECT_TEXT(PBTXT("name: \"a\nb\""), "file:1:9: a closing quote is expected, not byte 0x0a");
    EXPECT_TEXT(PBTXT("input [ { name: \"a\" }\n"),
                "file:2:1: ',' or ']' is expected, but the file "
                "ends");
    EXPECT_TEXT(PBTXT("input {\n name: \"a\"\n"), "file:3:1: '}' is missing for the '{' in line 1");
    EXPECT_TEXT(PBTXT("input { > }"), "file:1:9: a field's name is expected, not '>'");
    EXPECT_TEXT(PBTXT("name \"a\""), "file:1:6: ':' or '{' is expected, not '\"'");
    EXPECT_TEXT(PBTXT("name: a"), "file:1:7: name: 'a' is not a text in quotes");
    EXPECT_TEXT(PBTXT("name: \"a\" name: \"b\""), "file:1:17: 'name' was given before");
    EXPECT_TEXT(PBTXT("name: \"\\q\""), "file:1:9: an escape is expected, not 'q'");
    EXPECT_TEXT(PBTXT("name: \"\\ud800\""),
                "file:1:14: the escape before is no character, not '\"'");
    EXPECT_TEXT(PBTXT("max_batch_size: 4294967296"),
                "file:1:17: max_batch_size: '4294967296' is not a whole number of 32 bits");
    EXPECT_TEXT(PBTXT("max_batch_size: 1.5"),
                "file:1:17: max_batch_size: '1.5' is not a whole number of 32 bits");
    EXPECT_TEXT(PBTXT("max_batch_size: 09"), "file:1:17: '09' is not a number");
    EXPECT_TEXT(PBTXT("input { name: \"a\" data_type: TYPE_FP33 }"),
                "file:1:30: data_type: 'TYPE_FP33' is not known, did you mean 'TYPE_FP32'");
    EXPECT_TEXT(PBTXT("response_cache { enable: yes }"),
                "file:1:26: enable: 'yes' is not true or false");
    EXPECT_TEXT(PBTXT("ensemble_scheduling { }"),
                "file:1:21: 'ensemble_scheduling' is not supported");
    EXPECT_TEXT(PBTXT("slipway { }"), "file:1:9: unknown field 'slipway' in ModelConfig");
    EXPECT_TEXT(PBTXT("input { dims: [1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1] }"),
                "file:1:48: dims: more than 16 entries");
}

TEST(nesting_and_size_are_bounded)
{
    struct buffer text;
    buffer_init(&text, 4 * 1024 * 1024);
    for (int i = 0; i < 100; i++) buffer_add_text(&text, "a {");
    EXPECT_TEXT(PBTXT(buffer_text(&text)), "file:1:195: nested more than 64 deep");
    buffer_reset(&text);
    for (int i = 0; i < 100; i++) buffer_add_text(&text, "{a: ");
    EXPECT(strstr(YAML(buffer_text(&text)), "nested more than 64 deep"));
    buffer_reset(&text);
    for (int i = 0; i < 200000; i++) buffer_add_text(&text, "a:1 ");
    EXPECT_TEXT(PBTXT(buffer_text(&text)), "file:1: more than 100000 values");
    while (text.size <= TREE_FILE_SIZE_MAX) buffer_add_text(&text, "          ");
    EXPECT_TEXT(PBTXT(buffer_text(&text)), "file: larger than 1048576 bytes");
    EXPECT_TEXT(YAML(buffer_text(&text)), "file: larger than 1048576 bytes");
    buffer_clear(&text);
}

TEST(yaml_says_the_same_and_more)
{
    struct model_config *config = read_text("name: mlp\n"
                                            "max_batch_size: 8\n"
                                            "input:\n"
                                            "  - {name: x, data_type: fp32, dims: [-1]}\n"
                                            "version_policy: {all: }\n"
                                            "parameters: {a: b, c: {string_value: d}}\n"
                                            "dynamic_batching:\n"
                                            "slipway:\n"
                                            "  placement: inline\n"
                                            "  nan: allow\n"
                                            "  budget: {latency_p99: 5ms, memory: 100MiB}\n"
                                            "  record: {input: hashed, bytes_max: 4KiB,"
                                            " redact: [ssn, $.parameters.user]}\n",
                                            MODEL_CONFIG_YAML);
    EXPECT_TEXT(config->name, "mlp");
    EXPECT_INT(config->input.items[0].data_type, SLIPWAY_DTYPE_FP32);
    EXPECT(config->version_policy->all);
    EXPECT(config->dynamic_batching);
    EXPECT_TEXT(model_config_parameter(config, "a"), "b");
    EXPECT_TEXT(model_config_parameter(config, "c"), "d");
    EXPECT_INT(config->slipway->placement, MODEL_CONFIG_PLACEMENT_INLINE);
    EXPECT_INT(config->slipway->nan, MODEL_CONFIG_NAN_ALLOW);
    EXPECT_INT(config->slipway->budget->latency_p99_ns, 5000000);
    EXPECT_INT(config->slipway->budget->memory_bytes, 104857600);
    EXPECT_INT(config->slipway->record->input, MODEL_CONFIG_KEEP_HASHED);
    EXPECT_INT(config->slipway->record->output, MODEL_CONFIG_KEEP_DEFAULT);
    EXPECT_INT(config->slipway->record->bytes_max, 4096);
    EXPECT_INT(config->slipway->record->redact.count, 2);
    EXPECT_TEXT(config->slipway->record->redact.items[1], "$.parameters.user");
    model_config_free(config);
}

TEST(json_numbers_may_be_strings)
{
    struct model_config *config =
        read_text("{\"name\": \"a\\u0041\", \"input\": [{\"name\": \"x\", \"dims\": [\"5\", -1],\n"
                  "\t\"data_type\": \"TYPE_INT64\"}], \"parameters\": {}, \"version_policy\": "
                  "{\"latest\": {\"num_versions\": 2}}}",
                  MODEL_CONFIG_JSON);
    EXPECT_TEXT(config->name, "aA");
    EXPECT_INT(config->input.items[0].dims.items[0], 5);
    EXPECT_INT(config->version_policy->latest->num_versions, 2);
    model_config_free(config);
}

TEST(yaml_errors_tell_the_place)
{
    EXPECT_TEXT(YAML("nam: x"), "file:1:6: unknown field 'nam' in ModelConfig, did you mean "
                                "'name'");
    EXPECT_TEXT(YAML("input: {name: x\n"), "file:2:1: did not find expected ',' or '}' while "
                                           "parsing a flow mapping");
    EXPECT_TEXT(YAML("a: &b 1\nc: *b\n"), "file:2:4: aliases are not supported");
    EXPECT_TEXT(YAML("name: a\nname: b\n"), "file:2:7: 'name' was given before, in line 1");
    EXPECT_TEXT(YAML("max_batch_size: {}"),
                "file:1:17: max_batch_size: a single value is expected");
    EXPECT_TEXT(YAML("response_cache: 3"), "file:1:17: the fields of ModelResponseCache are "
                                           "expected");
    EXPECT_TEXT(YAML("slipway: {budget: {load: fast}}"),
                "file:1:26: load: 'fast' is not a duration like 250us, 5ms or 2s");
    EXPECT_TEXT(
        YAML("slipway: {record: {redact: [$.a..b]}}"),
        "file: slipway.record.redact: '$.a..b' cannot be redacted: give a tensor's name, or "
        "a path such as $.parameters.user or $.inputs.0.data");
    EXPECT_TEXT(YAML("---\na: 1\n---\nb: 2\n"), "file:3:1: a second document");
}

TEST(rules_hold)
{
    EXPECT_TEXT(YAML("max_batch_size: -1"), "file: max_batch_size -1 is outside 0 to 1048576");
    EXPECT_TEXT(YAML("input: [{data_type: fp32}]"), "file: input 0 has no name");
    EXPECT_TEXT(YAML("output: [{name: a}, {name: a}]"), "file: output 'a' is listed twice");
    EXPECT_TEXT(YAML("input: [{name: a, dims: [0]}]"),
                "file: input 'a': dimension 0 must be 1 or more, or -1 for any size");
    EXPECT_TEXT(YAML("input: [{name: a, dims: [4], reshape: {shape: [3]}}]"),
                "file: input 'a': dims and reshape must have the same number of elements");
    EXPECT_TEXT(YAML("input: [{name: a, dims: [9223372036854775807, 3]}]"),
                "file: input 'a': the dimensions' product is too large");
    EXPECT_TEXT(YAML("output: [{name: a, label_filename: ../x}]"),
                "file: output 'a': label_filename: '../x' must be the name of a file in the "
                "model's directory");
    EXPECT_TEXT(YAML("default_model_filename: a/b"),
                "file: default_model_filename: 'a/b' must be the name of a file in the model's "
                "directory");
    EXPECT_TEXT(YAML("version_policy: {latest: {num_versions: 0}}"),
                "file: version_policy: latest.num_versions must be 1 or more");
    EXPECT_TEXT(YAML("version_policy: {latest: {num_versions: 1}, all: }"),
                "file: version_policy: give one of latest, all, specific");
    EXPECT_TEXT(YAML("max_batch_size: 4\ndynamic_batching: {preferred_batch_size: [8]}"),
                "file: dynamic_batching: preferred_batch_size 8 is outside 1 to max_batch_size, "
                "which is 4");
    EXPECT_TEXT(YAML("max_batch_size: 4\ndynamic_batching: {priority_levels: 2}"),
                "file: dynamic_batching: default_priority_level 0 is outside 1 to "
                "priority_levels, which is 2");
    EXPECT_TEXT(YAML("parameters: {placement: here}"),
                "file: parameters: placement 'here' is none of auto, inline, runner");
    EXPECT_TEXT(
        YAML("model_warmup: [{name: w, inputs: {x: {zero_data: true, random_data: true}}}]"),
        "file: model_warmup 'w': input 'x': give one of zero_data, random_data, "
        "input_data_file");
    EXPECT_TEXT(YAML("instance_group: [{count: 65}]"),
                "file: instance_group: count 65 is outside 0 to 64 (0 is one)");
    EXPECT_TEXT(YAML("model_transaction_policy: {decoupled: true}"),
                "file: model_transaction_policy: decoupled models are not supported");
}

static const int64_t batch_of_five[] = {-1, 5};
static const int64_t three[] = {3};

static const struct slipway_tensor_spec spec_x = {"x", SLIPWAY_DTYPE_FP32, 0, 2, batch_of_five};
static const struct slipway_tensor_spec spec_y = {"y", SLIPWAY_DTYPE_INT64, 0, 1, three};

static const char *completion(const char *yaml, const struct slipway_tensor_spec *input,
                              struct model_config **ret_config)
{
    static struct error err;
    struct slipway_model_info info = {.struct_size = sizeof info,
                                      .platform = "onnxruntime_onnx",
                                      .inputs = input,
                                      .input_count = 1,
                                      .outputs = &spec_x,
                                      .output_count = 1};
    struct model_config *config = read_text(yaml, MODEL_CONFIG_YAML);
    enum status status = model_config_set_name(config, "m", &err);
    if (status == STATUS_OK) status = model_config_complete(config, &info, &err);
    if (status == STATUS_OK) (void)snprintf(err.message, sizeof err.message, "ok");
    if (ret_config)
        *ret_config = config;
    else
        model_config_free(config);
    return err.message;
}

TEST(completion_takes_what_is_left_out_from_the_model)
{
    struct model_config *config = NULL;
    EXPECT_TEXT(completion("max_batch_size: 4", &spec_x, &config), "ok");
    EXPECT_TEXT(config->platform, "onnxruntime_onnx");
    EXPECT_TEXT(config->backend, "onnxruntime");
    REQUIRE(config->input.count == 1);
    EXPECT_TEXT(config->input.items[0].name, "x");
    EXPECT_INT(config->input.items[0].data_type, SLIPWAY_DTYPE_FP32);
    REQUIRE(config->input.items[0].dims.count == 1);
    EXPECT_INT(config->input.items[0].dims.items[0], 5);
    EXPECT_TEXT(config->instance_group.items[0].name, "m_0");
    EXPECT_INT(config->version_policy->latest->num_versions, 1);

    struct model_config *copy = model_config_copy(config);
    model_config_free(config);
    struct buffer json;
    buffer_init(&json, 1 << 20);
    model_config_write_json(&json, copy);
    EXPECT_TEXT(
        buffer_text(&json),
        "{\"name\":\"m\",\"platform\":\"onnxruntime_onnx\",\"backend\":\"onnxruntime\","
        "\"runtime\":\"\",\"version_policy\":{\"latest\":{\"num_versions\":1}},"
        "\"max_batch_size\":4,\"input\":[{\"name\":\"x\",\"data_type\":\"TYPE_FP32\","
        "\"format\":\"FORMAT_NONE\",\"dims\":[5],\"is_shape_tensor\":false,"
        "\"allow_ragged_batch\":false,\"optional\":false,\"is_non_linear_format_io\":false}],"
        "\"output\":[{\"name\":\"x\",\"data_type\":\"TYPE_FP32\",\"dims\":[5],"
        "\"label_filename\":\"\",\"is_shape_tensor\":false,\"is_non_linear_format_io\":false}],"
        "\"batch_input\":[],\"batch_output\":[],\"optimization\":{\"priority\":"
        "\"PRIORITY_DEFAULT\",\"input_pinned_memory\":{\"enable\":true},"
        "\"output_pinned_memory\":{\"enable\":true},\"gather_kernel_buffer_threshold\":0,"
        "\"eager_batching\":false},\"instance_group\":[{\"name\":\"m_0\",\"kind\":\"KIND_CPU\","
        "\"count\":1,\"gpus\":[],\"secondary_devices\":[],\"profile\":[],\"passive\":false,"
        "\"host_policy\":\"\"}],\"default_model_filename\":\"\",\"cc_model_filenames\":{},"
        "\"metric_tags\":{},\"parameters\":{},\"model_warmup\":[]}");

    /* What is printed can be read again. */
    struct model_config *again = read_text(buffer_text(&json), MODEL_CONFIG_JSON);
    EXPECT_INT(again->input.items[0].dims.items[0], 5);
    model_config_free(again);
    buffer_clear(&json);
    model_config_free(copy);
}

TEST(completion_finds_contradictions)
{
    EXPECT_TEXT(completion("input: [{name: x, data_type: int8}]", &spec_x, NULL),
                "model 'm': input 'x' is FP32 in the model, but the configuration says INT8");
    EXPECT_TEXT(completion("input: [{name: x, dims: [4]}]\nmax_batch_size: 1", &spec_x, NULL),
                "model 'm': input 'x' is [-1,5] in the model, but the configuration says [4] "
                "behind the batch dimension that max_batch_size adds");
    EXPECT_TEXT(completion("input: [{name: y, dims: [3]}]\nmax_batch_size: 8", &spec_y, NULL),
                "model 'm': the first dimension of input 'y' is fixed at 3, so max_batch_size 8 "
                "cannot be: set it to 0, or export the model with a variable first dimension");
    EXPECT_TEXT(completion("input: [{name: z}]", &spec_x, NULL),
                "model 'm' has no input 'z', it has 'x'");
    EXPECT_TEXT(completion("input: [{name: x}, {name: in__0}]", &spec_x, NULL),
                "model 'm': input 'in__0' is the model's 'x', which is listed already");
    EXPECT_TEXT(completion("input: [{name: INPUT__0, dims: [-1, -1]}]", &spec_x, NULL), "ok");
    EXPECT_TEXT(completion("name: other", &spec_x, NULL),
                "the configuration names the model 'other', but its directory is 'm'");
}

/* Cutting, flipping and repeating parts of a good text: refused or read, never worse. */
TEST(mutations_are_refused_or_read)
{
    struct prng random;
    prng_seed(&random, test_seed());
    for (int i = 0; i < 3000; i++) {
        char text[sizeof full_pbtxt];
        memcpy(text, full_pbtxt, sizeof text);
        for (uint64_t flips = 1 + prng_below(&random, 4); flips > 0; flips--)
            text[prng_below(&random, sizeof text - 1)] =
                "{}<>[]\"'\\:,;#0-a\n"[prng_below(&random, 17)];
        size_t size = prng_below(&random, sizeof text);
        struct model_config *config = NULL;
        struct error err;
        enum model_config_syntax syntax = i % 2 ? MODEL_CONFIG_YAML : MODEL_CONFIG_PBTXT;
        if (model_config_read((struct str){text, size}, syntax, "file", &config, &err) == STATUS_OK)
            model_config_free(model_config_copy(config));
        model_config_free(config);
    }
}
