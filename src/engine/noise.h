/*
 * What a library writes to stderr while it is opened, caught and told in one record. Debian 13's
 * ONNX Runtime and libtorch share a library of operators that complains of each of several hundred,
 * because it is made to register them twice.
 *
 *   struct noise noise;
 *   noise_catch(&noise);
 *   status = open_file(path, "onnx", &engine, err);
 *   noise_tell(&noise, "onnx");
 *
 * From catch to tell one thread of the process at a time; another one waits. Whatever the process
 * writes to descriptor 2 meanwhile is caught too, so our own records go elsewhere (main.c). If
 * nothing can be caught, nothing is: stderr stays as it is.
 */
#ifndef ENGINE_NOISE_H
#define ENGINE_NOISE_H

struct noise {
    int caught;   /* a file in memory in place of stderr; -1: none */
    int original; /* where stderr went */
};

void noise_catch(struct noise *noise);

/* Gives stderr back. One DEBUG record with the size and the beginning, if anything was written. */
void noise_tell(struct noise *noise, const char *engine);

#endif
