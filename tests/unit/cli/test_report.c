#include "cli/report.c"
#include "test.h"

static void fill(struct report *report)
{
    report_init(report);
    report_add(report, "m", "load", VERDICT_PASS, "%d ms", 7);
    report_add(report, "m", "case <&\"", VERDICT_FAIL, "two\nlines \x01");
    report_add(report, "n", "batching", VERDICT_SKIP, "not batchable");
    report_add(report, "n", "cases", VERDICT_WARN, "none");
}

TEST(text_groups_by_subject)
{
    struct report report;
    fill(&report);
    struct buffer out;
    buffer_init(&out, 4096);
    report_print(&report, false, &out);
    EXPECT(strstr(buffer_text(&out), "m\n  PASS  load                 7 ms\n  FAIL  case") ==
           out.data);
    EXPECT(strstr(out.data, "\n\nn\n  SKIP") != NULL);
    EXPECT(strstr(out.data, "FAIL  1 passed, 1 failed, 1 warning, 1 skipped\n") != NULL);
    EXPECT(strchr(out.data, '\x01') == NULL && strchr(out.data, '\33') == NULL);
    buffer_reset(&out);
    report_print(&report, true, &out);
    EXPECT(strstr(buffer_text(&out), "\33[1;31mFAIL\33[0m") != NULL);
    buffer_clear(&out);
    report_clear(&report);
}

TEST(json_can_be_read)
{
    struct report report;
    fill(&report);
    struct buffer out;
    buffer_init(&out, 4096);
    report_print_json(&report, &out);
    struct arena arena;
    arena_init(&arena, 65536);
    struct json_reader reader;
    struct error err;
    json_reader_init(&reader, buffer_view(&out), &arena);
    EXPECT_STATUS(json_skip(&reader, &err), STATUS_OK, err);
    EXPECT_STATUS(json_end(&reader, &err), STATUS_OK, err);
    EXPECT(strstr(buffer_text(&out), "{\"passed\":false,\"failures\":1,\"warnings\":1,") ==
           out.data);
    arena_clear(&arena);
    buffer_clear(&out);
    report_clear(&report);
}

TEST(junit_is_escaped_and_counted)
{
    struct report report;
    fill(&report);
    struct buffer out;
    buffer_init(&out, 8192);
    report_print_junit(&report, "slipway check", &out);
    const char *text = buffer_text(&out);
    EXPECT(strstr(text, "<testsuites name=\"slipway check\" tests=\"4\" failures=\"1\">") != NULL);
    EXPECT(strstr(text, "<testsuite name=\"m\" tests=\"2\" failures=\"1\" errors=\"0\" "
                        "skipped=\"0\">") != NULL);
    EXPECT(strstr(text, "name=\"case &lt;&amp;&quot;\"") != NULL);
    EXPECT(strstr(text, "<failure message=\"two&#10;lines ?\"/>") != NULL);
    EXPECT(strstr(text, "<skipped message=\"not batchable\"/>") != NULL);
    buffer_clear(&out);
    report_clear(&report);
}
