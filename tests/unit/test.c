/* Runs the tests that registered themselves. */
#include "test.h"

#include "base/clock.h"

#include <stdarg.h>

static struct test *first;
static const char *running;
static bool running_failed;

void test_register(struct test *test)
{
    struct test **end = &first;
    while (*end) end = &(*end)->next;
    *end = test;
}

void test_failed(const char *file, int line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)printf("%s:%d: %s: ", file, line, running);
    (void)vprintf(format, args);
    (void)printf("\n");
    va_end(args);
    running_failed = true;
}

uint64_t test_seed(void)
{
    static uint64_t seed;
    static bool chosen;
    if (!chosen) {
        const char *text = getenv("SEED");
        seed = text ? strtoull(text, NULL, 0) : prng_seed_from_system();
        chosen = true;
    }
    return seed;
}

int main(int count, char **names)
{
    int passed = 0, failed = 0;
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    for (struct test *test = first; test; test = test->next) {
        if (count > 1 && strcmp(test->name, names[1]) != 0) continue;
        running = test->name;
        running_failed = false;
        test->run();
        if (running_failed) {
            failed++;
            (void)printf("FAILED %s (SEED=%llu)\n", test->name, (unsigned long long)test_seed());
        } else {
            passed++;
        }
    }
    (void)printf("%d passed, %d failed\n", passed, failed);
    if (passed + failed == 0) {
        (void)printf("no test named '%s'\n", count > 1 ? names[1] : "");
        return 2;
    }
    return failed ? 1 : 0;
}
