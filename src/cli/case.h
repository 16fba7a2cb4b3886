/*
 * A case: what a model must answer to one request, in a file beside the model.
 *
 *   {"description": "twice [1,2,3]",
 *    "request":   {"inputs": [{"name": "x", "shape": [3], "datatype": "INT64", "data": [1,2,3]}]},
 *    "expect":    {"outputs": [{"name": "y", "shape": [3], "datatype": "INT64", "data": [2,4,6]}]},
 *    "tolerance": {"absolute": 1e-5, "relative": 1e-4}}
 *
 * In place of `expect`, `expect_error` is a part of the message of the refusal that must come.
 * `request` and `expect` are bodies of the Open Inference Protocol. Unknown members are refused: a
 * misspelt "expect" must not pass as a case without expectations.
 */
#ifndef CLI_CASE_H
#define CLI_CASE_H

#include "cli/compare.h"
#include "protocol/infer.h"

enum {
    CASE_SIZE_MAX = 256 * 1024 * 1024, /* bytes of a file */
    CASE_MEMORY_MAX = 1024 * 1024 * 1024,
    CASES_MAX = 10000, /* of one model */
};

struct model_case {
    struct str description;
    struct infer_request request;
    struct infer_reply expect;
    bool expects_error;
    bool is_unreadable; /* the request does not parse, with the error that is expected */
    struct str expect_error;
    bool has_tolerance;
    struct compare_tolerance tolerance;
};

/* Reads a case; memory from the arena, views of the text. INVALID_ARGUMENT says what is wrong. */
enum status case_read(struct str text, struct arena *arena, struct model_case *ret_case,
                      struct error *err) FALLIBLE;

/*
 * The names of the *.json files of a directory, sorted, owned by the caller (case_names_free).
 * NOT_FOUND if there is no such directory.
 */
struct case_names {
    char **items;
    size_t count;
};

enum status case_names_read(const char *directory, struct case_names *ret_names,
                            struct error *err) FALLIBLE;
void case_names_free(struct case_names *names);

#endif
