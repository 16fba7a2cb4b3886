/* dlopen and dlsym, with errors that say what to do. */
#include "base/library.h"

#include <dlfcn.h>
#include <pthread.h>

/* Of several threads that load a library at the same time, one sets its pointers. */
static pthread_mutex_t loading = PTHREAD_MUTEX_INITIALIZER;

static enum status load(const char *name, const char *package,
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
        /*
         * Object and function pointers are alike wherever dlsym exists; ISO C does not say so. Once
         * set they are only read: who loaded before calls them meanwhile.
         */
        if (memcmp(functions[i].pointer, &function, sizeof function) != 0)
            memcpy(functions[i].pointer, &function, sizeof function);
    }
    return STATUS_OK; /* stays open: its functions may be called until the process ends */
}

enum status library_load(const char *name, const char *package,
                         const struct library_function *functions, size_t count, struct error *err)
{
    pthread_mutex_lock(&loading);
    enum status status = load(name, package, functions, count, err);
    pthread_mutex_unlock(&loading);
    return status;
}
