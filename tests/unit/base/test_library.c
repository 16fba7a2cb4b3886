#include "base/library.c"
#include "test.h"

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
