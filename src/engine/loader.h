/*
 * Finds engines by name and opens each on first need: a server with only ONNX models never maps
 * libtorch. An engine is the shared object `slipway_engine_NAME.so` in the first of these
 * directories that has it:
 *
 *   the one given to engine_registry_new       the option engine-directory
 *   <directory of the program>/../lib/slipway/engines                   installed
 *   <directory of the program>/engines                                  build tree
 *
 * One registry per process, made at start, freed at the end. All functions: any thread. Opening one
 * engine does not wait for the opening of another.
 */
#ifndef ENGINE_LOADER_H
#define ENGINE_LOADER_H

#include "engine/engine.h"

/* "onnx" with its NUL; lower-case letters, digits and '_', so that no name leaves the directory. */
enum { ENGINE_NAME_SIZE = 64, ENGINE_COUNT_MAX = 32 };

struct engine_registry;

/* `directory` may be NULL or empty: only the other two are searched. Copied. */
struct engine_registry *engine_registry_new(const char *directory);

/* Forgets the engines; their code stays mapped. No model of theirs is loaded any more. */
void engine_registry_free(struct engine_registry *registry);

/*
 * The engine of that name, opened now if it was not before; owned by the registry. NOT_FOUND lists
 * what is there; FAILED_PRECONDITION says what is wrong with the shared object. A failure is not
 * remembered: the next call tries again.
 */
enum status engine_open(struct engine_registry *registry, const char *name,
                        struct engine **ret_engine, struct error *err) FALLIBLE;

/* Calls `visit` with the name of each engine in the directories, opened or not, once each. */
void engine_registry_visit(struct engine_registry *registry,
                           void (*visit)(void *context, const char *name), void *context);

/* True if the engine's file is there; does not open it. */
bool engine_is_installed(const struct engine_registry *registry, const char *name);

/* The path of the engine's file, which the caller frees with mem_free; NULL if there is none. */
char *engine_file(const struct engine_registry *registry, const char *name);

/* True for a name that an engine may have. */
bool engine_name_is_valid(struct str name);

#endif
