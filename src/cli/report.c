/* Findings, and their forms. */
#include "cli/report.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"

#include <stdarg.h>

static const char *const words[] = {
#define X(name, word) word,
    VERDICT_TABLE(X)
#undef X
};

const char *verdict_word(enum verdict verdict)
{
    assert(verdict < VERDICT_COUNT);
    return words[verdict];
}

void report_init(struct report *report)
{
    *report = (struct report){.started_ns = clock_monotonic_ns()};
}

void report_clear(struct report *report)
{
    for (size_t i = 0; i < report->count; i++) {
        mem_free(report->items[i].subject);
        mem_free(report->items[i].name);
        mem_free(report->items[i].text);
    }
    mem_free(report->items);
    *report = (struct report){.count = 0};
}

static struct report_item *new_item(struct report *report)
{
    if (report->count == REPORT_ITEMS_MAX) {
        report->full = true;
        return NULL;
    }
    if (report->count == report->capacity) {
        report->capacity = MAX(report->capacity * 2, (size_t)16);
        report->items = mem_resize(report->items, report->capacity * sizeof *report->items);
    }
    return &report->items[report->count++];
}

void report_add(struct report *report, const char *subject, const char *name, enum verdict verdict,
                const char *format, ...)
{
    struct report_item *item = new_item(report);
    if (!item) return;
    char text[REPORT_TEXT_MAX];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    uint64_t now_ns = clock_monotonic_ns();
    *item = (struct report_item){
        .subject = mem_copy_text(subject),
        .name = mem_copy_text(name),
        .text = mem_copy_text(text),
        .verdict = verdict,
        .time_ns = now_ns - report->started_ns,
    };
    report->started_ns = now_ns;
}

size_t report_count(const struct report *report, enum verdict verdict)
{
    size_t count = 0;
    for (size_t i = 0; i < report->count; i++) count += report->items[i].verdict == verdict;
    return count;
}

/* --- text ------------------------------------------------------------------------------------- */

static void add_verdict(struct buffer *out, enum verdict verdict, bool color)
{
    static const char *const colors[] = {"\33[32m", "", "\33[2m", "\33[33m", "\33[1;31m"};
    _Static_assert(COUNT_OF(colors) == VERDICT_COUNT, "a colour per verdict");
    buffer_add_format(out, "%s%s%s", color ? colors[verdict] : "", verdict_word(verdict),
                      color ? "\33[0m" : "");
}

/* Lines after the first stand under it; control bytes, which could be a file's, are blanked. */
static void add_text(struct buffer *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '\n')
            buffer_add_text(out, "\n                             ");
        else
            buffer_add_byte(out, (unsigned char)*text < 0x20 || *text == 0x7f ? ' ' : *text);
    }
    buffer_add_byte(out, '\n');
}

static void add_summary(const struct report *report, bool color, struct buffer *out)
{
    size_t failed = report_count(report, VERDICT_FAIL), warned = report_count(report, VERDICT_WARN);
    buffer_add_byte(out, '\n');
    add_verdict(out, failed ? VERDICT_FAIL : VERDICT_PASS, color);
    buffer_add_format(out, "  %zu passed, %zu failed, %zu %s, %zu skipped\n",
                      report_count(report, VERDICT_PASS), failed, warned,
                      warned == 1 ? "warning" : "warnings", report_count(report, VERDICT_SKIP));
    if (report->full)
        buffer_add_format(out, "only the first %d findings are shown\n", REPORT_ITEMS_MAX);
}

void report_print(const struct report *report, bool color, struct buffer *out)
{
    const char *subject = "";
    for (size_t i = 0; i < report->count; i++) {
        const struct report_item *item = &report->items[i];
        if (strcmp(subject, item->subject) != 0) {
            buffer_add_format(out, "%s%s\n", i ? "\n" : "", item->subject);
            subject = item->subject;
        }
        buffer_add(out, STR("  "));
        add_verdict(out, item->verdict, color);
        buffer_add_format(out, "  %-20s ", item->name);
        add_text(out, item->text);
    }
    add_summary(report, color, out);
}

/* --- JSON ------------------------------------------------------------------------------------- */

static void add_json_item(struct json_writer *json, const struct report_item *item)
{
    json_begin_object(json);
    json_put_string(json, STR("subject"), str_of(item->subject));
    json_put_string(json, STR("check"), str_of(item->name));
    json_put_string(json, STR("verdict"), str_of(verdict_word(item->verdict)));
    json_put_string(json, STR("text"), str_of(item->text));
    json_put_double(json, STR("seconds"), (double)item->time_ns / (double)NS_PER_S);
    json_end_object(json);
}

void report_print_json(const struct report *report, struct buffer *out)
{
    struct json_writer json;
    json_writer_init(&json, out);
    json_begin_object(&json);
    json_put_bool(&json, STR("passed"), report_count(report, VERDICT_FAIL) == 0);
    json_put_u64(&json, STR("failures"), report_count(report, VERDICT_FAIL));
    json_put_u64(&json, STR("warnings"), report_count(report, VERDICT_WARN));
    json_add_name(&json, STR("items"));
    json_begin_array(&json);
    for (size_t i = 0; i < report->count; i++) add_json_item(&json, &report->items[i]);
    json_end_array(&json);
    json_end_object(&json);
    buffer_add_byte(out, '\n');
}

/* --- JUnit ------------------------------------------------------------------------------------ */

/* XML 1.0 allows no control bytes but tab and line feed, not even escaped. */
static void add_xml(struct buffer *out, const char *text)
{
    bool clean = str_is_utf8(str_of(text));
    for (; *text; text++) {
        unsigned char byte = (unsigned char)*text;
        switch (byte) {
        case '&': buffer_add(out, STR("&amp;")); break;
        case '<': buffer_add(out, STR("&lt;")); break;
        case '>': buffer_add(out, STR("&gt;")); break;
        case '"': buffer_add(out, STR("&quot;")); break;
        case '\n': buffer_add(out, STR("&#10;")); break;
        default: buffer_add_byte(out, byte < 0x20 || (byte >= 0x80 && !clean) ? '?' : (char)byte);
        }
    }
}

static void add_junit_item(const struct report_item *item, struct buffer *out)
{
    buffer_add_text(out, "    <testcase classname=\"");
    add_xml(out, item->subject);
    buffer_add_text(out, "\" name=\"");
    add_xml(out, item->name);
    buffer_add_format(out, "\" time=\"%.6f\">", (double)item->time_ns / (double)NS_PER_S);
    const char *element = item->verdict == VERDICT_FAIL   ? "failure"
                          : item->verdict == VERDICT_SKIP ? "skipped"
                                                          : NULL;
    if (element)
        buffer_add_format(out, "<%s message=\"", element);
    else
        buffer_add_format(out, "<system-out>%s: ", verdict_word(item->verdict));
    add_xml(out, item->text);
    buffer_add_text(out, element ? "\"/>" : "</system-out>");
    buffer_add_text(out, "</testcase>\n");
}

/* The items from `first` on that have the same subject; returns the position behind them. */
static size_t add_junit_suite(const struct report *report, size_t first, struct buffer *out)
{
    size_t end = first, failures = 0, skipped = 0;
    for (; end < report->count; end++) {
        const struct report_item *item = &report->items[end];
        if (strcmp(item->subject, report->items[first].subject) != 0) break;
        failures += item->verdict == VERDICT_FAIL;
        skipped += item->verdict == VERDICT_SKIP;
    }
    buffer_add_text(out, "  <testsuite name=\"");
    add_xml(out, report->items[first].subject);
    buffer_add_format(out, "\" tests=\"%zu\" failures=\"%zu\" errors=\"0\" skipped=\"%zu\">\n",
                      end - first, failures, skipped);
    for (size_t i = first; i < end; i++) add_junit_item(&report->items[i], out);
    buffer_add_text(out, "  </testsuite>\n");
    return end;
}

void report_print_junit(const struct report *report, const char *suite, struct buffer *out)
{
    buffer_add_text(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"");
    add_xml(out, suite);
    buffer_add_format(out, "\" tests=\"%zu\" failures=\"%zu\">\n", report->count,
                      report_count(report, VERDICT_FAIL));
    for (size_t i = 0; i < report->count;) i = add_junit_suite(report, i, out);
    buffer_add_text(out, "</testsuites>\n");
}
