#include "base/library.c"
#include "test.h"

#include <pthread.h>
#include <stdatomic.h>

static double (*cosine)(double);
static void (*missing)(void);

TEST(functions_are_found)
{
    struct error err;
    const struct library_function functions[] = {{"cos", &cosine}};
    EXPECT_STATUS(library_load("libm.so.6", "libc6", functions, 1, &err), STATUS_OK, err);
    EXPECT(cosine && cosine(0) == 1);
    EXPECT(library_load("libm.so.6", "libc6", functions, 1, &err) == STATUS_OK);
}

static void *load_and_call(void *context)
{
    static const struct library_function functions[] = {{"cos", &cosine}};
    const atomic_bool *over = context;
    struct error err;
    bool good = library_load("libm.so.6", "libc6", functions, 1, &err) == STATUS_OK;
    while (good && !atomic_load(over)) good = cosine(0) == 1;
    return good ? context : NULL;
}

/* ThreadSanitizer is the judge: a pointer that is being called is not written again. */
TEST(one_loads_while_others_call)
{
    pthread_t threads[3];
    atomic_bool over = false;
    void *result;
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        REQUIRE(pthread_create(&threads[i], NULL, load_and_call, &over) == 0);
    for (int i = 0; i < 100; i++) {
        const struct library_function functions[] = {{"cos", &cosine}};
        struct error err;
        EXPECT_STATUS(library_load("libm.so.6", "libc6", functions, 1, &err), STATUS_OK, err);
    }
    atomic_store(&over, true);
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        EXPECT(pthread_join(threads[i], &result) == 0);
        EXPECT(result == &over);
    }
}

TEST(what_is_missing_is_named_with_what_to_install)
{
    struct error err;
    const struct library_function functions[] = {{"no_such_function", &missing}};
    EXPECT(library_load("libnone.so.9", "libnone9", functions, 1, &err) ==
           STATUS_FAILED_PRECONDITION);
    EXPECT(strstr(err.message, "libnone.so.9") && strstr(err.message, "install libnone9"));
    EXPECT(library_load("libm.so.6", "libc6", functions, 1, &err) == STATUS_FAILED_PRECONDITION);
    EXPECT(strstr(err.message, "no_such_function") && strstr(err.message, "too old"));
    EXPECT(!missing);
}
