/*
 * An internal extension, which has one purpose: Lambda sends SIGTERM to a runtime only if an
 * extension is registered, and kills it at once if none is.
 *
 *   extension = lambda_extension_start("127.0.0.1:9001", stop);
 *   ... load models ...
 *   lambda_extension_wait(extension);     // registered, before the first event is asked for
 *   ...
 *   lambda_extension_end(extension);      // `stop` is readable
 *
 * Its thread blocks in the Extensions API for as long as the process lives. That it cannot be
 * registered is no failure: an emulator may have no such API. Called by one thread.
 */
#ifndef LAMBDA_EXTENSION_H
#define LAMBDA_EXTENSION_H

#include "base/base.h"

struct lambda_extension;

/* Starts its thread. NULL if there is no thread to be had. `stop` is a descriptor that ends it once
 * it is readable. */
struct lambda_extension *lambda_extension_start(const char *address, int stop);

/* Until it is registered, or was refused. Accepts NULL. */
void lambda_extension_wait(struct lambda_extension *extension);

/* Joins its thread; `stop` must be readable. Accepts NULL. */
void lambda_extension_end(struct lambda_extension *extension);

#endif
