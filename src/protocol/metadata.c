/* Metadata bodies. */
#include "protocol/metadata.h"

#include "base/json.h"

static void add_tensors(struct json_writer *writer, struct str name,
                        const struct slipway_tensor_spec *specs, size_t count)
{
    json_add_name(writer, name);
    json_begin_array(writer);
    for (size_t i = 0; i < count; i++) {
        json_begin_object(writer);
        json_put_string(writer, STR("name"), str_of(specs[i].name));
        json_put_string(writer, STR("datatype"), str_of(dtype_name((enum dtype)specs[i].dtype)));
        json_add_name(writer, STR("shape"));
        json_begin_array(writer);
        for (int32_t j = 0; j < specs[i].rank; j++) json_add_i64(writer, specs[i].dims[j]);
        /* An unknown shape is one variable dimension: clients need a list. */
        if (specs[i].rank < 0) json_add_i64(writer, -1);
        json_end_array(writer);
        json_end_object(writer);
    }
    json_end_array(writer);
}

void metadata_write_model(const struct metadata_model *model, struct buffer *out)
{
    struct json_writer writer;
    json_writer_init(&writer, out);
    json_begin_object(&writer);
    json_put_string(&writer, STR("name"), str_of(model->spec->name));
    json_add_name(&writer, STR("versions"));
    json_begin_array(&writer);
    for (size_t i = 0; i < model->version_count; i++) json_add_string(&writer, model->versions[i]);
    json_end_array(&writer);
    json_put_string(&writer, STR("platform"), str_of(model->platform));
    add_tensors(&writer, STR("inputs"), model->spec->inputs, model->spec->input_count);
    add_tensors(&writer, STR("outputs"), model->spec->outputs, model->spec->output_count);
    json_end_object(&writer);
}

void metadata_write_server(const struct metadata_server *server, struct buffer *out)
{
    struct json_writer writer;
    json_writer_init(&writer, out);
    json_begin_object(&writer);
    json_put_string(&writer, STR("name"), str_of(server->name));
    json_put_string(&writer, STR("version"), str_of(server->version));
    json_add_name(&writer, STR("extensions"));
    json_begin_array(&writer);
    for (size_t i = 0; i < server->extension_count; i++)
        json_add_string(&writer, str_of(server->extensions[i]));
    json_end_array(&writer);
    json_end_object(&writer);
}

void metadata_write_index(const struct metadata_index_row *rows, size_t count, struct buffer *out)
{
    struct json_writer writer;
    json_writer_init(&writer, out);
    json_begin_array(&writer);
    for (size_t i = 0; i < count; i++) {
        json_begin_object(&writer);
        json_put_string(&writer, STR("name"), rows[i].name);
        if (rows[i].version.size) json_put_string(&writer, STR("version"), rows[i].version);
        if (rows[i].state.size) {
            json_put_string(&writer, STR("state"), rows[i].state);
            json_put_string(&writer, STR("reason"), rows[i].reason);
        }
        json_end_object(&writer);
    }
    json_end_array(&writer);
}
