/* Reading the text: one table of statements. */
#include "model_file.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS_MAX = 5 };

enum slipway_status echo_fail(struct slipway_error *error, enum slipway_status status,
                              const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(error->message, sizeof error->message, format, args);
    va_end(args);
    error->status = status;
    return status;
}

/* ---- Words ---- */

static bool parse_number(const char *word, uint64_t *ret_number)
{
    uint64_t number = 0;
    if (!*word) return false;
    for (; *word; word++) {
        if (*word < '0' || *word > '9') return false;
        if (__builtin_mul_overflow(number, 10u, &number) ||
            __builtin_add_overflow(number, (uint64_t)(*word - '0'), &number))
            return false;
    }
    *ret_number = number;
    return true;
}

static bool parse_status(const char *word, enum slipway_status *ret_status)
{
#define X(name, value)                                                                             \
    if (strcmp(word, #name) == 0) {                                                                \
        *ret_status = SLIPWAY_##name;                                                              \
        return true;                                                                               \
    }
    SLIPWAY_STATUS_TABLE(X)
#undef X
    return false;
}

static bool parse_dtype(const char *word, enum slipway_dtype *ret_dtype)
{
#define X(name, value, width)                                                                      \
    if (strcmp(word, #name) == 0) {                                                                \
        *ret_dtype = SLIPWAY_DTYPE_##name;                                                         \
        return true;                                                                               \
    }
    SLIPWAY_DTYPE_TABLE(X)
#undef X
    return false;
}

/* "*", "[]", "[-1,4]". Writes into the word. */
static bool parse_shape(char *word, struct echo_tensor *tensor)
{
    size_t size = strlen(word);
    tensor->rank = -1;
    if (strcmp(word, "*") == 0) return true;
    if (size < 2 || word[0] != '[' || word[size - 1] != ']') return false;
    word[size - 1] = '\0';
    tensor->rank = 0;
    char *rest = word + 1;
    while (*rest) {
        char *comma = strchr(rest, ',');
        if (comma) *comma = '\0';
        uint64_t dim = 0;
        bool variable = strcmp(rest, "-1") == 0;
        if (tensor->rank == SLIPWAY_RANK_MAX) return false;
        if (!variable && (!parse_number(rest, &dim) || dim > INT64_MAX)) return false;
        tensor->dims[tensor->rank++] = variable ? -1 : (int64_t)dim;
        rest = comma ? comma + 1 : rest + strlen(rest);
    }
    return true;
}

static bool set_name(char name[ECHO_NAME_SIZE], const char *word)
{
    if (strlen(word) >= ECHO_NAME_SIZE) return false;
    memcpy(name, word, strlen(word) + 1);
    return true;
}

/* ---- Statements: each returns false if its words are wrong ---- */

static bool read_input(struct echo_file *file, char **words, size_t count)
{
    if (count < 4 || file->input_count == ECHO_TENSORS_MAX) return false;
    struct echo_tensor *input = &file->inputs[file->input_count++];
    input->optional = count == 5 && strcmp(words[4], "optional") == 0;
    if (count == 5 && !input->optional) return false;
    return set_name(input->name, words[1]) && parse_dtype(words[2], &input->dtype) &&
           parse_shape(words[3], input);
}

static bool read_output(struct echo_file *file, char **words, size_t count)
{
    if (count != 3 || file->output_count == ECHO_TENSORS_MAX) return false;
    struct echo_tensor *output = &file->outputs[file->output_count++];
    for (size_t i = 0; i < file->input_count; i++) {
        if (strcmp(file->inputs[i].name, words[2]) != 0) continue;
        *output = file->inputs[i];
        output->source = i;
        return set_name(output->name, words[1]);
    }
    return false;
}

static bool read_fail_every(struct echo_file *file, char **words, size_t count)
{
    return count == 3 && parse_number(words[1], &file->fail_every) &&
           parse_status(words[2], &file->fail_status);
}

static bool read_fail_negative(struct echo_file *file, char **words, size_t count)
{
    return count == 2 && parse_status(words[1], &file->fail_negative);
}

static bool read_fail_load(struct echo_file *file, char **words, size_t count)
{
    return count == 2 && parse_status(words[1], &file->fail_load);
}

static bool read_fail_instance(struct echo_file *file, char **words, size_t count)
{
    return count == 2 && parse_status(words[1], &file->fail_instance);
}

static bool read_hang_until(struct echo_file *file, char **words, size_t count)
{
    if (count != 2 || strlen(words[1]) >= sizeof file->hang_until) return false;
    memcpy(file->hang_until, words[1], strlen(words[1]) + 1);
    return true;
}

static bool read_nan(struct echo_file *file, char **words, size_t count)
{
    (void)words;
    file->nan = true;
    return count == 1;
}

static bool read_malformed(struct echo_file *file, char **words, size_t count)
{
    static const char *const kinds[] = {"", "shape", "type", "size", "count", "data", "rank"};
    for (size_t i = 1; i < sizeof kinds / sizeof kinds[0]; i++)
        if (count == 2 && strcmp(words[1], kinds[i]) == 0) {
            file->malformed = (enum echo_malformed)i;
            return true;
        }
    return false;
}

static bool read_end(struct echo_file *file, char **words, size_t count)
{
    (void)words;
    file->ended = true;
    return count == 1;
}

static const struct statement {
    const char *name;
    bool (*read)(struct echo_file *file, char **words, size_t count);
} statements[] = {
    {"input", read_input},           {"output", read_output},
    {"fail_every", read_fail_every}, {"fail_negative", read_fail_negative},
    {"fail_load", read_fail_load},   {"fail_instance", read_fail_instance},
    {"hang_until", read_hang_until}, {"nan", read_nan},
    {"malformed", read_malformed},   {"end", read_end},
};

static const struct number {
    const char *name;
    size_t offset;
} numbers[] = {
    {"delay_us", offsetof(struct echo_file, delay_us)},
    {"spin_us", offsetof(struct echo_file, spin_us)},
    {"load_delay_us", offsetof(struct echo_file, load_delay_us)},
    {"crash_load", offsetof(struct echo_file, crash_load)},
    {"hang_negative", offsetof(struct echo_file, hang_negative)},
    {"leak_bytes", offsetof(struct echo_file, leak_bytes)},
    {"weight_bytes", offsetof(struct echo_file, weight_bytes)},
};

bool echo_file_set(struct echo_file *file, const char *key, const char *value)
{
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (strcmp(key, numbers[i].name) == 0)
            return parse_number(value, (uint64_t *)(void *)((char *)file + numbers[i].offset));
    return false;
}

static bool read_statement(struct echo_file *file, char **words, size_t count)
{
    if (file->ended) return false;
    for (size_t i = 0; i < sizeof statements / sizeof statements[0]; i++)
        if (strcmp(words[0], statements[i].name) == 0)
            return statements[i].read(file, words, count);
    return count == 2 && echo_file_set(file, words[0], words[1]);
}

/* Cuts a line at blanks; false if it has too many words. Writes into the line. */
static bool split(char *line, char *words[WORDS_MAX], size_t *ret_count)
{
    char *comment = strchr(line, '#');
    if (comment) *comment = '\0';
    size_t count = 0;
    for (;;) {
        line += strspn(line, " \t\r");
        if (!*line) break;
        if (count == WORDS_MAX) return false;
        words[count++] = line;
        line += strcspn(line, " \t\r");
        if (*line) *line++ = '\0';
    }
    *ret_count = count;
    return true;
}

static enum slipway_status read_text(const char *path, char *text, struct echo_file *file,
                                     struct slipway_error *error)
{
    unsigned line_number = 1;
    for (char *line = text; line; line_number++) {
        char *next = strchr(line, '\n');
        if (next) *next++ = '\0';
        char *words[WORDS_MAX];
        size_t count;
        if (!split(line, words, &count) || (count > 0 && !read_statement(file, words, count)))
            return echo_fail(error, SLIPWAY_INVALID_ARGUMENT,
                             "'%.200s' line %u is not a statement of an echo model", path,
                             line_number);
        line = next;
    }
    if (!file->ended)
        return echo_fail(error, SLIPWAY_INVALID_ARGUMENT,
                         "'%.200s' is cut short: its last line must be 'end'", path);
    return SLIPWAY_OK;
}

enum slipway_status echo_file_read(const char *path, struct echo_file *file,
                                   struct slipway_error *error)
{
    memset(file, 0, sizeof *file);
    FILE *stream = fopen(path, "re");
    if (!stream)
        return echo_fail(error, errno == ENOENT ? SLIPWAY_NOT_FOUND : SLIPWAY_INVALID_ARGUMENT,
                         "cannot open '%.200s': %s", path, strerror(errno));
    char *text = malloc(ECHO_FILE_MAX + 1);
    size_t size = text ? fread(text, 1, ECHO_FILE_MAX + 1, stream) : 0;
    (void)fclose(stream);
    if (!text) return echo_fail(error, SLIPWAY_EXHAUSTED, "no memory to read '%.200s'", path);
    enum slipway_status status;
    if (size > ECHO_FILE_MAX || memchr(text, '\0', size)) {
        status = echo_fail(error, SLIPWAY_INVALID_ARGUMENT, "'%.200s' is not an echo model", path);
    } else {
        text[size] = '\0';
        status = read_text(path, text, file, error);
    }
    free(text);
    return status;
}
