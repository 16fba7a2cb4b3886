/*
 * The process's environment: the only room that asks for it.
 */
#ifndef CONFIG_ENVIRONMENT_H
#define CONFIG_ENVIRONMENT_H

#include "base/str.h"

/* All variables, "NAME=value", NULL at the end. Valid until the environment is changed. */
const char *const *environment_all(void);

/* A variable's value, NULL if it is not set. */
const char *environment_get(const char *name);

/* Sets a variable. Only before there is a second thread. */
void environment_set(const char *name, const char *value);

/* Tells the libraries of engines not to talk to anybody. Before they are loaded, as above. */
void environment_silence_libraries(void);

#endif
