/* Each step takes one kind of wrapping off, or leaves the message as it is. */
#include "message.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static bool is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

static bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* Behind the first occurrence, NULL if there is none. */
static const char *behind(const char *text, const char *part)
{
    const char *found = strstr(text, part);
    return found ? found + strlen(part) : NULL;
}

/* "Load model from PATH failed:" -- whoever reports it names the path. */
static const char *skip_loading(const char *text)
{
    const char *rest = starts_with(text, "Load model from ") ? behind(text, " failed:") : NULL;
    return rest ? rest : text;
}

/* "[ONNXRuntimeError] : 1 : FAIL : " */
static const char *skip_code(const char *text)
{
    if (!starts_with(text, "[ONNXRuntimeError] : ")) return text;
    const char *rest = behind(text, " : ");
    if (rest) rest = behind(rest, " : ");
    if (rest) rest = behind(rest, " : ");
    return rest ? rest : text;
}

/* The end of a word that is a source position: "/a/b.cc:12", "x.h:3". NULL if the word is none. */
static const char *end_of_position(const char *text)
{
    size_t size = strcspn(text, " ");
    if (size < 4 || !is_digit(text[size - 1])) return NULL;
    const char *end = text + size;
    while (is_digit(end[-1])) end--;
    bool is_source = end[-1] == ':' && end - text >= 4 &&
                     (strncmp(end - 4, ".cc:", 4) == 0 || strncmp(end - 3, ".h:", 3) == 0);
    return is_source ? text + size : NULL;
}

/* Behind "(...)" with what is nested in it; NULL if it does not end. */
static const char *behind_parentheses(const char *text)
{
    int depth = 0;
    for (; *text; text++) {
        if (*text == '(') depth++;
        if (*text == ')' && --depth == 0) return text + 1;
    }
    return NULL;
}

/* "void ns::Class<T>::f(const std::string&, int) const [with T = int] " -> what follows */
static const char *skip_signature(const char *text)
{
    const char *open = strchr(text, '(');
    const char *scope = strstr(text, "::");
    if (!open || !scope || scope > open) { // the bare name of a function
        const char *space = strchr(text, ' ');
        return space ? space + 1 : text;
    }
    const char *rest = behind_parentheses(open);
    if (!rest) return text;
    if (starts_with(rest, " const")) rest += strlen(" const");
    if (starts_with(rest, " [with ")) {
        const char *end = behind(rest, "]");
        if (end) rest = end;
    }
    return rest;
}

static const char *skip_position(const char *text)
{
    const char *end = end_of_position(text);
    if (!end || *end == '\0') return text;
    return skip_signature(end + 1);
}

/* All wrappings, in whatever order they come. */
static const char *skip_wrappings(const char *text)
{
    for (const char *before = NULL; before != text;) {
        before = text;
        while (*text == ' ' || *text == '\n') text++;
        text = skip_loading(text);
        text = skip_code(text);
        text = skip_position(text);
    }
    return text;
}

/* Appends text, each run of blanks and control bytes as one space. Returns the new length. */
static size_t append(char *to, size_t size, size_t used, const char *text, size_t text_size)
{
    for (size_t i = 0; i < text_size && used + 1 < size; i++) {
        bool blank = (unsigned char)text[i] <= ' ' || text[i] == 0x7f;
        if (blank && (used == 0 || to[used - 1] == ' ')) continue;
        to[used++] = blank ? ' ' : text[i];
    }
    return used;
}

static size_t append_text(char *to, size_t size, size_t used, const char *text)
{
    return append(to, size, used, text, strlen(text));
}

/* "Non-zero status code returned while running X node. Name:'N' Status Message: " as "operator X".
 */
static const char *append_operator(const char *text, char *to, size_t size, size_t *used)
{
    const char *type = behind(text, "Non-zero status code returned while running ");
    if (!type || type != text + strlen("Non-zero status code returned while running ")) return text;
    const char *type_end = strstr(type, " node. Name:'");
    if (!type_end) return text;
    const char *name = type_end + strlen(" node. Name:'");
    const char *name_end = strstr(name, "' Status Message: ");
    if (!name_end) return text;
    *used = append_text(to, size, *used, "operator ");
    *used = append(to, size, *used, type, (size_t)(type_end - type));
    if (name_end > name) {
        *used = append_text(to, size, *used, " '");
        *used = append(to, size, *used, name, (size_t)(name_end - name));
        *used = append_text(to, size, *used, "'");
    }
    *used = append_text(to, size, *used, ": ");
    return name_end + strlen("' Status Message: ");
}

void onnx_message_clean(const char *raw, char *to, size_t size)
{
    size_t used = 0;
    const char *text = append_operator(skip_wrappings(raw), to, size, &used);
    used = append_text(to, size, used, skip_wrappings(text));
    while (used > 0 && (to[used - 1] == ' ' || to[used - 1] == '.')) used--;
    to[used] = '\0';
}
