/* Two forms of one answer. */
#include "server/sqs_out.h"

#include "base/base64.h"

static const char replacement[] = "\xef\xbf\xbd";

static void escape_byte(struct buffer *buffer, char byte)
{
    switch (byte) {
    case '&': buffer_add(buffer, STR("&amp;")); break;
    case '<': buffer_add(buffer, STR("&lt;")); break;
    case '>': buffer_add(buffer, STR("&gt;")); break;
    case '"': buffer_add(buffer, STR("&quot;")); break;
    case '\r': buffer_add(buffer, STR("&#xD;")); break;
    case '\t':
    case '\n': buffer_add_byte(buffer, byte); break;
    default:
        if ((unsigned char)byte < 0x20)
            buffer_add_text(buffer, replacement);
        else
            buffer_add_byte(buffer, byte);
    }
}

void sqs_out_escape(struct buffer *buffer, struct str text)
{
    bool whole = str_is_utf8(text);
    for (size_t i = 0; i < text.size; i++) {
        if (!whole && (unsigned char)text.data[i] >= 0x80)
            buffer_add_text(buffer, replacement);
        else
            escape_byte(buffer, text.data[i]);
    }
}

static void open_element(struct sqs_out *out, const char *name)
{
    buffer_add_byte(out->buffer, '<');
    buffer_add_text(out->buffer, name);
    buffer_add_byte(out->buffer, '>');
}

static void close_element(struct sqs_out *out, const char *name)
{
    buffer_add(out->buffer, STR("</"));
    buffer_add_text(out->buffer, name);
    buffer_add_byte(out->buffer, '>');
}

static void add_element(struct sqs_out *out, const char *name, struct str value)
{
    open_element(out, name);
    sqs_out_escape(out->buffer, value);
    close_element(out, name);
}

void sqs_out_init(struct sqs_out *out, struct buffer *buffer, bool xml)
{
    *out = (struct sqs_out){.buffer = buffer, .xml = xml};
    json_writer_init(&out->json, buffer);
}

void sqs_out_begin(struct sqs_out *out, struct str operation)
{
    if (!out->xml) {
        json_begin_object(&out->json);
        return;
    }
    buffer_add_format(out->buffer,
                      "<?xml version=\"1.0\"?><%.*sResponse xmlns=\"" SQS_NAMESPACE
                      "\"><%.*sResult>",
                      STR_ARGS(operation), STR_ARGS(operation));
}

void sqs_out_end(struct sqs_out *out, struct str operation, struct str request_id)
{
    if (!out->xml) {
        json_end_object(&out->json);
        return;
    }
    buffer_add_format(out->buffer, "</%.*sResult><ResponseMetadata><RequestId>",
                      STR_ARGS(operation));
    sqs_out_escape(out->buffer, request_id);
    buffer_add_format(out->buffer, "</RequestId></ResponseMetadata></%.*sResponse>",
                      STR_ARGS(operation));
}

void sqs_out_text(struct sqs_out *out, const char *name, struct str value)
{
    if (!value.data) return;
    if (out->xml)
        add_element(out, name, value);
    else
        json_put_string(&out->json, str_of(name), value);
}

void sqs_out_binary(struct sqs_out *out, const char *name, struct str bytes)
{
    if (out->xml)
        open_element(out, name);
    else
        json_add_name(&out->json, str_of(name));
    if (!out->xml) json_add_raw(&out->json, STR("\""));
    base64_encode(out->buffer, bytes);
    if (out->xml)
        close_element(out, name);
    else
        buffer_add_byte(out->buffer, '"');
}

void sqs_out_u64(struct sqs_out *out, const char *name, uint64_t value)
{
    if (!out->xml) {
        json_put_u64(&out->json, str_of(name), value);
        return;
    }
    open_element(out, name);
    buffer_add_u64(out->buffer, value);
    close_element(out, name);
}

void sqs_out_bool(struct sqs_out *out, const char *name, bool value)
{
    if (out->xml)
        add_element(out, name, value ? STR("true") : STR("false"));
    else
        json_put_bool(&out->json, str_of(name), value);
}

void sqs_out_list_begin(struct sqs_out *out, const char *name)
{
    if (out->xml) return;
    json_add_name(&out->json, str_of(name));
    json_begin_array(&out->json);
}

void sqs_out_list_end(struct sqs_out *out)
{
    if (!out->xml) json_end_array(&out->json);
}

void sqs_out_item_begin(struct sqs_out *out, const char *element)
{
    if (out->xml)
        open_element(out, element);
    else
        json_begin_object(&out->json);
}

void sqs_out_item_end(struct sqs_out *out, const char *element)
{
    if (out->xml)
        close_element(out, element);
    else
        json_end_object(&out->json);
}

void sqs_out_text_item(struct sqs_out *out, const char *element, struct str value)
{
    if (out->xml)
        add_element(out, element, value);
    else
        json_add_string(&out->json, value);
}

void sqs_out_map_begin(struct sqs_out *out, const char *name)
{
    if (out->xml) return;
    json_add_name(&out->json, str_of(name));
    json_begin_object(&out->json);
}

void sqs_out_map_end(struct sqs_out *out)
{
    if (!out->xml) json_end_object(&out->json);
}

static const char *key_element(const char *element)
{
    return strcmp(element, "Tag") == 0 ? "Key" : "Name";
}

void sqs_out_map_text(struct sqs_out *out, const char *element, struct str name, struct str value)
{
    if (!out->xml) {
        json_put_string(&out->json, name, value);
        return;
    }
    open_element(out, element);
    add_element(out, key_element(element), name);
    add_element(out, "Value", value);
    close_element(out, element);
}

void sqs_out_map_item_begin(struct sqs_out *out, const char *element, struct str name)
{
    if (!out->xml) {
        json_add_name(&out->json, name);
        json_begin_object(&out->json);
        return;
    }
    open_element(out, element);
    add_element(out, key_element(element), name);
    open_element(out, "Value");
}

void sqs_out_map_item_end(struct sqs_out *out, const char *element)
{
    if (!out->xml) {
        json_end_object(&out->json);
        return;
    }
    close_element(out, "Value");
    close_element(out, element);
}
