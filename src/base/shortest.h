/*
 * Floating point to the shortest decimal text that reads back as the same value, nearest to it
 * where there are several (R. Giulietti, "The Schubfach way to render doubles", 2020). Pure, any
 * thread.
 *
 * The text is a JSON number as RapidJSON, and so Triton, writes it: "2.0", "0.001", "1e30",
 * "1.5e-7"; plain digits for exponents from -6 to 20. Values that JSON has no number for become
 * NaN, Infinity and -Infinity.
 */
#ifndef BASE_SHORTEST_H
#define BASE_SHORTEST_H

#include "base/str.h"

/* Room that a value needs; what is behind its text in the room may be overwritten. */
enum { SHORTEST_ROOM = 64 };

/* Writes the text, without NUL, and returns its size, at most 25. */
size_t shortest_print_float(char room[SHORTEST_ROOM], float value);
size_t shortest_print_double(char room[SHORTEST_ROOM], double value);

/* Appends it. */
void shortest_add_float(struct buffer *out, float value);
void shortest_add_double(struct buffer *out, double value);

/* Appends `count` values with commas between them; fast. */
void shortest_add_floats(struct buffer *out, const float *values, size_t count);
void shortest_add_doubles(struct buffer *out, const double *values, size_t count);

#endif
