/* Checked products of dimensions. */
#include "tensor/shape.h"

bool shape_element_count_large(const int64_t *dims, size_t rank, int64_t *ret_count)
{
    int64_t count = 1;
    bool overflow = false;
    bool empty = false;
    for (size_t i = 0; i < rank; i++) {
        if (dims[i] < 0) return false;
        if (dims[i] == 0) empty = true;
        if (__builtin_mul_overflow(count, dims[i], &count)) overflow = true;
    }
    if (overflow && !empty) return false;
    *ret_count = empty ? 0 : count;
    return true;
}

bool shape_matches(const int64_t *spec, size_t spec_rank, const int64_t *dims, size_t rank)
{
    if (spec_rank != rank) return false;
    for (size_t i = 0; i < rank; i++)
        if (spec[i] != -1 && spec[i] != dims[i]) return false;
    return true;
}

void shape_print(struct buffer *out, const int64_t *dims, size_t rank)
{
    buffer_add_byte(out, '[');
    for (size_t i = 0; i < rank; i++) {
        if (i > 0) buffer_add_byte(out, ',');
        buffer_add_i64(out, dims[i]);
    }
    buffer_add_byte(out, ']');
}
