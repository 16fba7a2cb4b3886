/*
 * A model of the echo engine is a text file that says what goes in and which input each output
 * repeats, and, for tests of everything above an engine, how it misbehaves. One statement a line,
 * '#' starts a comment, the last line is `end` (so that a file cut short is seen to be):
 *
 *   input  x FP32 [-1,4]              # name, type, shape; [] is a scalar, * an unknown rank
 *   input  note BYTES [1] optional
 *   output y x                        # output y repeats input x
 *   delay_us 500                      # each execute sleeps
 *   spin_us 500                       # each execute burns processor time
 *   fail_every 3 UNAVAILABLE          # every third execute fails with this status
 *   fail_negative INVALID_ARGUMENT    # an execute fails if input 0 holds a negative number
 *   fail_load EXHAUSTED               # loading fails
 *   crash_load 1                      # loading ends the process by abort()
 *   fail_instance EXHAUSTED           # making an instance fails
 *   load_delay_us 500                 # loading sleeps
 *   hang_until /tmp/file              # execute waits until the file exists
 *   hang_negative 1                   # only if input 0 holds a negative number
 *   leak_bytes 1000                   # each execute loses memory
 *   nan                               # floating-point outputs are NaN
 *   malformed shape                   # or: type, size, count, data, rank: a result against the ABI
 *   weight_bytes 1000                 # allocated and touched as long as the model is loaded
 *   end
 *
 * The statements with one number may also come as `parameters` of the model's configuration.
 */
#ifndef ECHO_MODEL_FILE_H
#define ECHO_MODEL_FILE_H

#include <slipway/engine.h>

#include <stdbool.h>

enum { ECHO_TENSORS_MAX = 64, ECHO_NAME_SIZE = 64, ECHO_TEXT_SIZE = 256, ECHO_FILE_MAX = 65536 };

enum echo_malformed {
    ECHO_WELL_FORMED,
    ECHO_MALFORMED_SHAPE,
    ECHO_MALFORMED_TYPE,
    ECHO_MALFORMED_SIZE,
    ECHO_MALFORMED_COUNT,
    ECHO_MALFORMED_DATA,
    ECHO_MALFORMED_RANK,
};

struct echo_tensor {
    char name[ECHO_NAME_SIZE];
    enum slipway_dtype dtype;
    bool optional;
    int32_t rank;
    int64_t dims[SLIPWAY_RANK_MAX];
    size_t source; /* of an output: the input it repeats */
};

struct echo_file {
    struct echo_tensor inputs[ECHO_TENSORS_MAX];
    struct echo_tensor outputs[ECHO_TENSORS_MAX];
    size_t input_count, output_count;
    uint64_t delay_us, spin_us, load_delay_us, leak_bytes, weight_bytes;
    uint64_t crash_load;    /* 0: does not */
    uint64_t hang_negative; /* 0: each execute hangs */
    uint64_t fail_every;    /* 0: never */
    enum slipway_status fail_status, fail_negative, fail_load, fail_instance; /* OK: does not */
    enum echo_malformed malformed;
    bool nan;
    bool ended;
    char hang_until[ECHO_TEXT_SIZE]; /* "": does not */
};

/* Reads a model file. The struct is the caller's; on failure its content is undefined. */
enum slipway_status echo_file_read(const char *path, struct echo_file *file,
                                   struct slipway_error *error);

/* Sets a number by its statement's name; false if there is none of that name or it is no number. */
bool echo_file_set(struct echo_file *file, const char *key, const char *value);

/* Writes a failure and returns its status. */
enum slipway_status echo_fail(struct slipway_error *error, enum slipway_status status,
                              const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
