/*
 * What every source of ours may take for granted: fixed-width types, booleans, and the few words
 * that C lacks. Included first by every header of the product.
 *
 *   FALLIBLE   the result is a status that must be looked at
 *   CLEANUP(f) runs f(&variable) when the variable goes out of scope
 *   TAKE(p)    gives p away: yields its value and leaves NULL behind, so that CLEANUP finds nothing
 *   TRY(e)     returns from the function if e is not STATUS_OK
 */
#ifndef BASE_BASE_H
#define BASE_BASE_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FALLIBLE __attribute__((warn_unused_result))
#define PRINTF_LIKE(text_index, first) __attribute__((format(printf, text_index, first)))
#define CLEANUP(function) __attribute__((cleanup(function)))
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#define UNUSED __attribute__((unused))
#define ALWAYS_INLINE inline __attribute__((always_inline))

#define TAKE(pointer)                                                                              \
    __extension__({                                                                                \
        __auto_type take_value_ = (pointer);                                                       \
        (pointer) = NULL;                                                                          \
        take_value_;                                                                               \
    })

#define TRY(expression)                                                                            \
    do {                                                                                           \
        enum status try_status_ = (expression);                                                    \
        if (UNLIKELY(try_status_ != STATUS_OK)) return try_status_;                                \
    } while (0)

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/* The struct that holds `member`, from a pointer to that member. */
#define CONTAINER_OF(pointer, type, member)                                                        \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

/* 64 x 64 bit products. */
__extension__ typedef unsigned __int128 uint128;

#define NS_PER_US UINT64_C(1000)
#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S UINT64_C(1000000000)

#endif
