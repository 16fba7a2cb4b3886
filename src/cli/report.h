/*
 * The findings of `slipway check` and `slipway doctor`, and their three forms: text for a person,
 * JSON, JUnit XML.
 *
 *   struct report report;
 *   report_init(&report);
 *   report_add(&report, "doubleit", "determinism", VERDICT_PASS, "100 runs, bit by bit equal");
 *   report_print(&report, "check", color, &out);
 *   bool good = report_count(&report, VERDICT_FAIL) == 0;
 *   report_clear(&report);
 *
 * One thread.
 */
#ifndef CLI_REPORT_H
#define CLI_REPORT_H

#include "base/str.h"

enum {
    REPORT_ITEMS_MAX = 100000,
    REPORT_TEXT_MAX = 4096,             /* of one item */
    REPORT_SIZE_MAX = 64 * 1024 * 1024, /* of a printed report */
};

/* X(name, word, JUnit's element) */
#define VERDICT_TABLE(X)                                                                           \
    X(PASS, "PASS")                                                                                \
    X(INFO, "INFO")                                                                                \
    X(SKIP, "SKIP")                                                                                \
    X(WARN, "WARN")                                                                                \
    X(FAIL, "FAIL")

enum verdict {
#define X(name, word) VERDICT_##name,
    VERDICT_TABLE(X)
#undef X
        VERDICT_COUNT
};

struct report_item {
    char *subject; /* a model, or a part of the machine */
    char *name;    /* of the check */
    char *text;    /* reason and numbers */
    enum verdict verdict;
    uint64_t time_ns;
};

struct report {
    struct report_item *items;
    size_t count;
    size_t capacity;
    uint64_t started_ns; /* monotonic: of the item to come */
    bool full;           /* REPORT_ITEMS_MAX was reached; what came later is lost */
};

void report_init(struct report *report);
void report_clear(struct report *report);

/* Copies everything. The time since the last item is this one's. */
void report_add(struct report *report, const char *subject, const char *name, enum verdict verdict,
                const char *format, ...) PRINTF_LIKE(5, 6);

size_t report_count(const struct report *report, enum verdict verdict);

/* "PASS" */
const char *verdict_word(enum verdict verdict);

/* Appended: grouped by subject, with a last line that counts. `color`: ANSI colours. */
void report_print(const struct report *report, bool color, struct buffer *out);

/* {"passed":true,"items":[{"subject":..,"check":..,"verdict":..,"text":..,"seconds":..}]} */
void report_print_json(const struct report *report, struct buffer *out);

/* JUnit's XML as CI systems read it: one testsuite per subject; SKIP is skipped, FAIL a failure. */
void report_print_junit(const struct report *report, const char *suite, struct buffer *out);

#endif
