#include "test.h"
#include "worker/worker.c"

TEST(patterns_of_queue_names)
{
    static const struct {
        const char *pattern, *name;
        bool fits;
    } cases[] = {
        {"inference*", "inference", true},
        {"inference*", "inference-dev", true},
        {"inference*", "inference_dev.fifo", true},
        {"inference*", "my-inference", false},
        {"*", "", true},
        {"*", "anything", true},
        {"", "", true},
        {"", "a", false},
        {"a?c", "abc", true},
        {"a?c", "ac", false},
        {"*.fifo", "x.fifo", true},
        {"*.fifo", "x.fif", false},
        {"a*b*c", "a-b-b-c", true},
        {"a*b*c", "a-b-b-c-", false},
        {"a**", "a", true},
        {"*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        if (worker_pattern_fits(str_of(cases[i].pattern), str_of(cases[i].name)) != cases[i].fits)
            test_failed(__FILE__, __LINE__, "'%s' and '%s'", cases[i].pattern, cases[i].name);
}

/* The plainest statement of what a pattern is. */
static bool fits_naively(struct str pattern, struct str name)
{
    if (pattern.size == 0) return name.size == 0;
    if (*pattern.data == '*') {
        for (size_t i = 0; i <= name.size; i++)
            if (fits_naively(str_from(pattern, 1), str_from(name, i))) return true;
        return false;
    }
    if (name.size == 0 || (*pattern.data != '?' && *pattern.data != *name.data)) return false;
    return fits_naively(str_from(pattern, 1), str_from(name, 1));
}

TEST(patterns_against_the_plain_definition)
{
    struct prng prng;
    prng_seed(&prng, test_seed());
    for (int round = 0; round < 20000; round++) {
        char pattern[8], name[10];
        size_t pattern_size = prng_below(&prng, sizeof pattern);
        size_t name_size = prng_below(&prng, sizeof name);
        for (size_t i = 0; i < pattern_size; i++) pattern[i] = "ab*?"[prng_below(&prng, 4)];
        for (size_t i = 0; i < name_size; i++) name[i] = "ab"[prng_below(&prng, 2)];
        struct str p = {pattern, pattern_size}, n = {name, name_size};
        if (worker_pattern_fits(p, n) != fits_naively(p, n))
            test_failed(__FILE__, __LINE__, "'%.*s' and '%.*s'", STR_ARGS(p), STR_ARGS(n));
    }
}
