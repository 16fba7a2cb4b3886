/* dlopen and dlsym, with errors that say what to do. */
#include "base/library.h"

#include <dlfcn.h>

enum status library_load(const char *name, const char *package,
                         const struct library_function *functions, size_t count, struct error *err)
{
    void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return fail(err, STATUS_FAILED_PRECONDITION, "the library %s is needed: %s; install %s",
                    name, dlerror(), package);
    for (size_t i = 0; i < count; i++) {
        void *function = dlsym(library, functions[i].name);
        if (!function)
            return fail(err, STATUS_FAILED_PRECONDITION,
                        "the library %s has no %s: it is too old; install a newer %s", name,
                        functions[i].name, package);
        /* Object and function pointers are alike wherever dlsym exists; ISO C does not say so. */
        memcpy(functions[i].pointer, &function, sizeof function);
    }
    return STATUS_OK; /* stays open: its functions may be called until the process ends */
}
