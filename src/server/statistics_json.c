/* Statistics rows to the extension's JSON. */
#include "server/statistics_json.h"

#include "base/json.h"

static void put_duration(struct json_writer *json, const char *name, uint64_t count, uint64_t ns)
{
    json_add_name(json, str_of(name));
    json_begin_object(json);
    json_put_u64(json, STR("count"), count);
    json_put_u64(json, STR("ns"), ns);
    json_end_object(json);
}

static void put_durations(struct json_writer *json, const struct statistics_snapshot *values)
{
    json_add_name(json, STR("inference_stats"));
    json_begin_object(json);
#define X(name) put_duration(json, #name, values->name.count, values->name.ns);
    STATISTICS_DURATION_TABLE(X)
#undef X
    json_end_object(json);
}

static void put_batch(struct json_writer *json, uint64_t size,
                      const struct statistics_batch_value *batch)
{
    json_begin_object(json);
    json_put_u64(json, STR("batch_size"), size);
    put_duration(json, "compute_input", batch->count, batch->compute_input_ns);
    put_duration(json, "compute_infer", batch->count, batch->compute_infer_ns);
    put_duration(json, "compute_output", batch->count, batch->compute_output_ns);
    json_end_object(json);
}

static void put_batches(struct json_writer *json, const struct statistics_snapshot *values)
{
    json_add_name(json, STR("batch_stats"));
    json_begin_array(json);
    for (size_t i = 0; i < values->batch_count; i++)
        if (values->batches[i].count > 0) put_batch(json, i + 1, &values->batches[i]);
    json_end_array(json);
}

static void put_memory(struct json_writer *json, const struct serve_statistics_row *row)
{
    json_add_name(json, STR("memory_usage"));
    json_begin_array(json);
    if (row->weight_bytes > 0) {
        json_begin_object(json);
        json_put_string(json, STR("type"), STR("CPU"));
        json_put_u64(json, STR("id"), 0);
        json_put_u64(json, STR("byte_size"), row->weight_bytes);
        json_end_object(json);
    }
    json_end_array(json);
}

static void put_row(struct json_writer *json, const struct serve_statistics_row *row)
{
    json_begin_object(json);
    json_put_string(json, STR("name"), str_of(row->name));
    json_put_string(json, STR("version"), str_of(row->version));
    json_put_u64(json, STR("last_inference"), row->values.last_inference_ms);
    json_put_u64(json, STR("inference_count"), row->values.inference_count);
    json_put_u64(json, STR("execution_count"), row->values.execution_count);
    put_durations(json, &row->values);
    json_add_name(json, STR("response_stats")); /* only decoupled models have some */
    json_begin_object(json);
    json_end_object(json);
    put_batches(json, &row->values);
    put_memory(json, row);
    json_end_object(json);
}

void statistics_json_write(struct buffer *out, const struct serve_statistics *statistics)
{
    struct json_writer json;
    json_writer_init(&json, out);
    json_begin_object(&json);
    json_add_name(&json, STR("model_stats"));
    json_begin_array(&json);
    for (size_t i = 0; i < statistics->count; i++) put_row(&json, &statistics->rows[i]);
    json_end_array(&json);
    json_end_object(&json);
}
