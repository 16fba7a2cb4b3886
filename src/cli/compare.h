/*
 * Compares tensors: bit by bit, or within a tolerance. Pure.
 *
 *   struct compare_result result;
 *   compare_tensors(&got, &expected, &tolerance, &result);
 *   if (!result.equal) printf("%s\n", result.text);
 */
#ifndef CLI_COMPARE_H
#define CLI_COMPARE_H

#include "protocol/infer.h"

/* |got - expected| <= absolute + relative * |expected|; both 0: bit by bit. */
struct compare_tolerance {
    double absolute;
    double relative;
};

/* For floating point where a case says nothing. Integers, booleans and bytes are always exact. */
extern const struct compare_tolerance compare_tolerance_default;

enum { COMPARE_TEXT_SIZE = 256 };

struct compare_result {
    bool equal;
    uint64_t different;           /* elements beyond the tolerance */
    uint64_t count;               /* elements compared */
    double worst;                 /* largest absolute difference, within the tolerance or not */
    uint64_t worst_at;            /* its index, row-major */
    char text[COMPARE_TEXT_SIZE]; /* what is wrong, for a person; "" if equal */
};

/*
 * NaN equals NaN, an infinity itself. Types must be the same, but FP32 is compared with FP64 by
 * value: a case's numbers are decimal.
 */
void compare_tensors(const struct slipway_tensor *got, const struct slipway_tensor *expected,
                     const struct compare_tolerance *tolerance, struct compare_result *ret_result);

/* How many elements are NaN, and how many infinite; 0 for types that have none. */
void compare_count_nonfinite(const struct slipway_tensor *tensor, uint64_t *ret_nan,
                             uint64_t *ret_infinite);

/* An element as a number; integers beyond 2^53 are rounded. 0 for BYTES. */
double compare_element(const struct slipway_tensor *tensor, uint64_t index);

#endif
