/*
 * How a model is run, from the `parameters` of its configuration: names as Triton's pytorch backend
 * has them, in any case. A name that is unknown is reported and ignored.
 *
 *   INFERENCE_MODE               true   no autograd bookkeeping
 *   DISABLE_OPTIMIZED_EXECUTION  false  run the code as it is written
 *   INTRA_OP_THREAD_COUNT               threads inside one operator; default: the load options'
 *   FREEZE                       true   weights become constants, submodules are inlined
 *   OPTIMIZE_FOR_INFERENCE       false  also fold and re-order arithmetic: faster, last digits
 * differ ENABLE_JIT_PROFILING         false  specialise to observed shapes: the process' models all
 *   ENABLE_JIT_EXECUTOR          true   the profiling executor: the process' models all
 */
#ifndef SHIM_SETTINGS_H
#define SHIM_SETTINGS_H

#include <slipway/engine.h>

namespace shim
{

struct Settings {
    bool inference_mode = true;
    bool optimized_execution = true;
    bool freeze = true;
    bool optimize_for_inference = false;
    int threads = 1;
};

/* Throws INVALID_ARGUMENT for a value that is none. */
Settings settings_of(const slipway_load_options &options, const slipway_host &host);

} // namespace shim

#endif
