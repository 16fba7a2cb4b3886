/*
 * Memory. Two families:
 *
 *   mem_*      small allocations of our own: they do not fail; without memory the process ends with
 *              a message, because no caller could do better.
 *   mem_try_*  anything whose size a client or a file decides: NULL when there is none, which the
 *              caller reports as STATUS_EXHAUSTED. Check the size against a limit first.
 *
 * Both are released by mem_free, which takes NULL. No other file calls malloc and its kin.
 * MEM_FREE is for CLEANUP: char *text CLEANUP(mem_freep) = ...;
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include "base/base.h"

void *mem_new(size_t size) __attribute__((malloc, returns_nonnull, alloc_size(1)));
void *mem_new_zeroed(size_t count, size_t size)
    __attribute__((malloc, returns_nonnull, alloc_size(1, 2)));
void *mem_resize(void *pointer, size_t size) __attribute__((returns_nonnull, alloc_size(2)));
char *mem_copy_text(const char *text) __attribute__((malloc, returns_nonnull));
char *mem_format(const char *format, ...) PRINTF_LIKE(1, 2)
    __attribute__((malloc, returns_nonnull));

void *mem_try_new(size_t size) FALLIBLE __attribute__((malloc, alloc_size(1)));
void *mem_try_resize(void *pointer, size_t size) FALLIBLE __attribute__((alloc_size(2)));
/* alignment is a power of two, a multiple of sizeof(void *). */
void *mem_try_new_aligned(size_t alignment, size_t size) FALLIBLE
    __attribute__((malloc, alloc_size(2)));

void mem_free(void *pointer);

/* For CLEANUP: frees *(void **)address. */
void mem_freep(void *address);

/* A zeroed object or array of a type. */
#define MEM_NEW(type) ((type *)mem_new_zeroed(1, sizeof(type)))
#define MEM_NEW_ARRAY(type, count) ((type *)mem_new_zeroed((count), sizeof(type)))

/* a * b, a + b; false, and *ret untouched, if it does not fit. */
static inline bool size_multiply(size_t a, size_t b, size_t *ret)
{
    size_t product;
    if (__builtin_mul_overflow(a, b, &product)) return false;
    *ret = product;
    return true;
}

static inline bool size_add(size_t a, size_t b, size_t *ret)
{
    size_t sum;
    if (__builtin_add_overflow(a, b, &sum)) return false;
    *ret = sum;
    return true;
}

#endif
