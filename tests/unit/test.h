/*
 * A test is written and that is all: it registers itself.
 *
 *   TEST(shape_products_are_checked) { EXPECT(count == 6); EXPECT_TEXT(name, "FP32"); }
 *
 * A test file includes the .c file it tests, so that statics are in reach, and becomes a program of
 * its own: `test_shape` runs all, `test_shape NAME` one, SEED=n repeats a property test's run. Each
 * failed EXPECT is printed and fails the test; REQUIRE also ends it.
 */
#ifndef TEST_H
#define TEST_H

#include "base/error.h"
#include "base/rand.h"
#include "base/str.h"

typedef void test_function(void);

struct test {
    const char *name;
    test_function *run;
    struct test *next;
};

void test_register(struct test *test);
void test_failed(const char *file, int line, const char *format, ...) PRINTF_LIKE(3, 4);

/* The seed of this run: from SEED, else from the system. Printed when a test fails. */
uint64_t test_seed(void);

#define TEST(test_name)                                                                            \
    static void test_run_##test_name(void);                                                        \
    __attribute__((constructor)) static void test_register_##test_name(void)                       \
    {                                                                                              \
        static struct test test = {#test_name, test_run_##test_name, NULL};                        \
        test_register(&test);                                                                      \
    }                                                                                              \
    static void test_run_##test_name(void)

#define EXPECT(condition)                                                                          \
    do {                                                                                           \
        if (!(condition)) test_failed(__FILE__, __LINE__, "%s", #condition);                       \
    } while (0)

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            test_failed(__FILE__, __LINE__, "%s", #condition);                                     \
            return;                                                                                \
        }                                                                                          \
    } while (0)

#define EXPECT_INT(actual, expected)                                                               \
    do {                                                                                           \
        long long actual_ = (long long)(actual), expected_ = (long long)(expected);                \
        if (actual_ != expected_)                                                                  \
            test_failed(__FILE__, __LINE__, "%s is %lld, not %lld", #actual, actual_, expected_);  \
    } while (0)

#define EXPECT_TEXT(actual, expected)                                                              \
    do {                                                                                           \
        const char *actual_ = (actual), *expected_ = (expected);                                   \
        if (strcmp(actual_, expected_) != 0)                                                       \
            test_failed(__FILE__, __LINE__, "%s is \"%s\", not \"%s\"", #actual, actual_,          \
                        expected_);                                                                \
    } while (0)

#define EXPECT_STR(actual, expected)                                                               \
    do {                                                                                           \
        struct str str_actual_ = (actual), str_expected_ = (expected);                             \
        if (!str_equal(str_actual_, str_expected_))                                                \
            test_failed(__FILE__, __LINE__, "%s is \"%.*s\", not \"%.*s\"", #actual,               \
                        STR_ARGS(str_actual_), STR_ARGS(str_expected_));                           \
    } while (0)

/* The status of a call, and the message of err on a surprise. */
#define EXPECT_STATUS(actual, expected, err)                                                       \
    do {                                                                                           \
        enum status status_actual_ = (actual), status_expected_ = (expected);                      \
        if (status_actual_ != status_expected_)                                                    \
            test_failed(                                                                           \
                __FILE__, __LINE__, "%s is %s (%s), not %s", #actual, status_name(status_actual_), \
                status_actual_ == STATUS_OK ? "" : (err).message, status_name(status_expected_));  \
    } while (0)

#endif
