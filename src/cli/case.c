/* Cases: files that say what a model must answer. */
#include "cli/case.h"

#include "base/json.h"
#include "base/mem.h"
#include "protocol/oip_json.h"

#include <dirent.h>
#include <errno.h>

static enum status read_tolerance(struct json_reader *reader, struct model_case *model_case,
                                  struct error *err)
{
    TRY(json_open_object(reader, err));
    for (;;) {
        struct str key;
        bool more;
        TRY(json_next_member(reader, &key, &more, err));
        if (!more) break;
        double value;
        TRY(json_read_double(reader, &value, err));
        if (!(value >= 0)) return json_fail(reader, "a tolerance is 0 or more", err);
        if (str_equal(key, STR("absolute")))
            model_case->tolerance.absolute = value;
        else if (str_equal(key, STR("relative")))
            model_case->tolerance.relative = value;
        else
            return fail(err, STATUS_INVALID_ARGUMENT,
                        "unknown member '%.*s' of tolerance; known are absolute and relative",
                        STR_ARGS(key));
    }
    model_case->has_tolerance = true;
    return STATUS_OK;
}

struct case_parts {
    struct str request;
    struct str expect;
};

static enum status read_member(struct json_reader *reader, struct str key,
                               struct model_case *model_case, struct case_parts *parts,
                               struct error *err)
{
    if (str_equal(key, STR("description")))
        return json_read_string(reader, &model_case->description, err);
    if (str_equal(key, STR("request"))) return json_read_raw(reader, &parts->request, err);
    if (str_equal(key, STR("expect"))) return json_read_raw(reader, &parts->expect, err);
    if (str_equal(key, STR("tolerance"))) return read_tolerance(reader, model_case, err);
    if (str_equal(key, STR("expect_error"))) {
        model_case->expects_error = true;
        return json_read_string(reader, &model_case->expect_error, err);
    }
    return fail(err, STATUS_INVALID_ARGUMENT,
                "unknown member '%.*s'; a case has description, request, tolerance, and expect or "
                "expect_error",
                STR_ARGS(key));
}

/* An empty part of a message is in every message, and no output would be compared with nothing. */
static enum status check_expectation(const struct model_case *model_case, struct error *err)
{
    if (model_case->expects_error && model_case->expect_error.size == 0)
        return fail(err, STATUS_INVALID_ARGUMENT, "'expect_error' is empty");
    if (!model_case->expects_error && model_case->expect.output_count == 0)
        return fail(err, STATUS_INVALID_ARGUMENT, "'expect' lists no outputs");
    return STATUS_OK;
}

enum status case_read(struct str text, struct arena *arena, struct model_case *ret_case,
                      struct error *err)
{
    struct model_case model_case = {.description = STR_EMPTY,
                                    .tolerance = compare_tolerance_default};
    struct case_parts parts = {{NULL, 0}, {NULL, 0}};
    struct json_reader reader;
    json_reader_init(&reader, text, arena);
    reader.nonfinite_allowed = true;
    TRY(json_open_object(&reader, err));
    for (;;) {
        struct str key;
        bool more;
        TRY(json_next_member(&reader, &key, &more, err));
        if (!more) break;
        TRY(read_member(&reader, key, &model_case, &parts, err));
    }
    TRY(json_end(&reader, err));
    if (!parts.request.data) return fail(err, STATUS_INVALID_ARGUMENT, "the case has no 'request'");
    if (!parts.expect.data == !model_case.expects_error)
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "the case needs either 'expect' or 'expect_error'");
    if (parts.expect.data)
        TRY(fail_while(err,
                       oip_json_read_reply(parts.expect, STR_EMPTY, arena, &model_case.expect, err),
                       "reading 'expect'"));
    TRY(check_expectation(&model_case, err));
    infer_request_init(&model_case.request, arena);
    enum status status = oip_json_read(parts.request, STR_EMPTY, &model_case.request, err);
    /* A case may be about a request that does not even parse. */
    if (status != STATUS_OK &&
        !(model_case.expects_error &&
          memmem(err->message, strlen(err->message), model_case.expect_error.data,
                 model_case.expect_error.size)))
        return fail_while(err, status, "reading 'request'");
    model_case.is_unreadable = status != STATUS_OK;
    *ret_case = model_case;
    return STATUS_OK;
}

/* --- directories ------------------------------------------------------------------------------ */

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool is_case(const char *name)
{
    return name[0] != '.' && str_ends_with(str_of(name), STR(".json"));
}

enum status case_names_read(const char *directory, struct case_names *ret_names, struct error *err)
{
    DIR *entries = opendir(directory);
    if (!entries) return fail_errno(err, errno, "opening '%s'", directory);
    struct case_names names = {NULL, 0};
    bool full = false;
    for (struct dirent *entry; (entry = readdir(entries)) && !full;) {
        if (!is_case(entry->d_name)) continue;
        full = names.count == CASES_MAX;
        if (full) break;
        names.items = mem_resize(names.items, (names.count + 1) * sizeof *names.items);
        names.items[names.count++] = mem_copy_text(entry->d_name);
    }
    closedir(entries);
    if (full) {
        case_names_free(&names);
        return fail(err, STATUS_EXHAUSTED, "'%s' holds more than %d cases", directory, CASES_MAX);
    }
    if (names.count) qsort(names.items, names.count, sizeof *names.items, compare_names);
    *ret_names = names;
    return STATUS_OK;
}

void case_names_free(struct case_names *names)
{
    for (size_t i = 0; i < names->count; i++) mem_free(names->items[i]);
    mem_free(names->items);
    *names = (struct case_names){NULL, 0};
}
