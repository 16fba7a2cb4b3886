/* getenv and its kin, in one place. */
#include "config/environment.h"

#include <unistd.h>

const char *const *environment_all(void)
{
    return (const char *const *)environ;
}

const char *environment_get(const char *name)
{
    return getenv(name);
}

void environment_set(const char *name, const char *value)
{
    /* Fails only without memory or for a name with '=': nothing a caller could do about. */
    (void)setenv(name, value, 1);
}
