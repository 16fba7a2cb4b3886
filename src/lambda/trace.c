/* Trace headers. */
#include "lambda/trace.h"

/* "1-" 8 digits "-" 24 digits */
enum { ROOT_SIZE = 35, EPOCH_START = 2, EPOCH_SIZE = 8, UNIQUE_START = 11, UNIQUE_SIZE = 24 };

/* Copies hexadecimal digits in lower case; false if one is none, or all are 0. */
static bool copy_hex(struct str text, char *out)
{
    bool some = false;
    for (size_t i = 0; i < text.size; i++) {
        char byte = text.data[i];
        if (byte >= 'A' && byte <= 'F') byte = (char)(byte - 'A' + 'a');
        if (!((byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'f'))) return false;
        some |= byte != '0';
        out[i] = byte;
    }
    return some;
}

static void read_root(struct str root, struct lambda_trace *trace)
{
    char id[LAMBDA_TRACE_ID_SIZE];
    if (root.size != ROOT_SIZE || !str_starts_with(root, STR("1-")) || root.data[10] != '-') return;
    bool epoch = copy_hex((struct str){root.data + EPOCH_START, EPOCH_SIZE}, id);
    bool unique = copy_hex((struct str){root.data + UNIQUE_START, UNIQUE_SIZE}, id + EPOCH_SIZE);
    if (!epoch || !unique) return;
    memcpy(trace->trace_id, id, sizeof id);
}

static void read_part(struct str part, struct lambda_trace *trace)
{
    struct str value = part;
    struct str name = str_trim(str_cut(&value, '='));
    value = str_trim(value);
    char id[LAMBDA_SPAN_ID_SIZE];
    if (str_equal(name, STR("Root"))) read_root(value, trace);
    if (str_equal(name, STR("Sampled"))) trace->sampled = str_equal(value, STR("1"));
    if (str_equal(name, STR("Parent")) && value.size == sizeof id && copy_hex(value, id))
        memcpy(trace->parent_id, id, sizeof id);
}

void lambda_trace_read(struct str header, struct lambda_trace *ret_trace)
{
    *ret_trace = (struct lambda_trace){0};
    while (header.size > 0) read_part(str_cut(&header, ';'), ret_trace);
}

void lambda_trace_parent(const struct lambda_trace *trace, char text[LAMBDA_TRACEPARENT_SIZE + 1])
{
    *text = '\0';
    if (!*trace->trace_id || !*trace->parent_id) return;
    (void)snprintf(text, LAMBDA_TRACEPARENT_SIZE + 1, "00-%s-%s-%s", trace->trace_id,
                   trace->parent_id, trace->sampled ? "01" : "00");
}
