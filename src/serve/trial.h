/*
 * Trying a model file in a process of its own before this one loads it. A library that crashes on
 * a file takes the whole process along; here it takes the child, and the file is refused.
 *
 *   parent   trial_run(program, engine, &options, batch_size_max, err)
 *   child    `program trial-load ...` -> trial_main: loads, makes an instance, runs zeros once
 *
 * The child has limits of processor time, wall clock and address space, no core dump, and nobody
 * sees its output. Only how it ends counts: what it refuses in good order is a success here,
 * because the real load refuses it as well and can say why.
 *
 * It takes a whole load and the start of a process: off unless asked for (docs/adr/0011).
 */
#ifndef SERVE_TRIAL_H
#define SERVE_TRIAL_H

#include "engine/engine.h"

#define TRIAL_COMMAND "trial-load"

enum {
    TRIAL_TIME_MAX_S = 300,     /* of the wall clock, and of each processor */
    TRIAL_ARGUMENTS_MAX = 4096, /* words on the child's command line */
};

/* Beyond the machine's memory; libraries reserve more than they use. */
#define TRIAL_ADDRESS_SPACE_SPARE (UINT64_C(16) << 30)

/*
 * Blocks until the child has ended: control threads. `program`: this one's file. INVALID_ARGUMENT
 * with what the engine died of; other failures are those of starting a process.
 */
enum status trial_run(const char *program, const struct engine *engine,
                      const struct slipway_load_options *options, int64_t batch_size_max,
                      struct error *err) FALLIBLE;

/* The child: `arguments` behind TRIAL_COMMAND. Never returns. */
void trial_main(const char *const *arguments, size_t count) __attribute__((noreturn));

#endif
