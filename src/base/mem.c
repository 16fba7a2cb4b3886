/* The only file that calls the allocator. */
#include "base/mem.h"

#include <stdarg.h>

static void *or_die(void *pointer, size_t size)
{
    if (LIKELY(pointer != NULL)) return pointer;
    (void)fprintf(stderr, "slipway: out of memory: %zu bytes refused by the system\n", size);
    abort();
}

void *mem_new(size_t size)
{
    return or_die(malloc(size ? size : 1), size);
}

void *mem_new_zeroed(size_t count, size_t size)
{
    size_t total;
    if (!size_multiply(count, size, &total)) return or_die(NULL, SIZE_MAX);
    return or_die(calloc(1, total ? total : 1), total);
}

void *mem_resize(void *pointer, size_t size)
{
    return or_die(realloc(pointer, size ? size : 1), size);
}

char *mem_copy_text(const char *text)
{
    size_t size = strlen(text) + 1;
    return memcpy(mem_new(size), text, size);
}

char *mem_format(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    assert(length >= 0);
    char *text = mem_new((size_t)length + 1);
    va_start(args, format);
    (void)vsnprintf(text, (size_t)length + 1, format, args);
    va_end(args);
    return text;
}

void *mem_try_new(size_t size)
{
    return malloc(size ? size : 1);
}

void *mem_try_resize(void *pointer, size_t size)
{
    return realloc(pointer, size ? size : 1);
}

void *mem_try_new_aligned(size_t alignment, size_t size)
{
    void *pointer = NULL;
    if (posix_memalign(&pointer, alignment, size ? size : 1) != 0) return NULL;
    return pointer;
}

void mem_free(void *pointer)
{
    free(pointer);
}

void mem_freep(void *address)
{
    void *pointer;
    memcpy(&pointer, address, sizeof pointer);
    free(pointer);
}
