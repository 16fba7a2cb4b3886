/*
 * Chance from a seed: the same seed gives the same numbers everywhere. For tests, sampling and
 * jitter; never for secrets. xoshiro256** (Blackman and Vigna, 2018), seeded by splitmix64.
 */
#ifndef BASE_RAND_H
#define BASE_RAND_H

#include "base/base.h"

struct prng {
    uint64_t state[4];
};

void prng_seed(struct prng *prng, uint64_t seed);
uint64_t prng_u64(struct prng *prng);

/* Uniform in [0, bound); bound > 0 (Lemire's method, without bias). */
uint64_t prng_below(struct prng *prng, uint64_t bound);

/* Uniform in [0, 1). */
double prng_double(struct prng *prng);

/* A seed from the system, for programs that print it. */
uint64_t prng_seed_from_system(void);

#endif
