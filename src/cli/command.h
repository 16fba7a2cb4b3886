/*
 * The command table: argv[1] is a row, the rest is its settings and arguments.
 *
 *   int main(int argc, char **argv) { return command_main(argc, argv); }
 *
 * A command is a row in commands.def and a file cmd_NAME.c with
 *
 *   enum status cmd_NAME(struct command_context *context, struct error *err);
 *
 * It gets its settings read and checked, prints to context->out, and returns; the message of a
 * failure is printed, and the exit code chosen, here. Main thread only.
 */
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H

#include "config/config.h"

struct command_row;

struct command_context {
    const struct command_row *row;
    const char *program;                  /* argv[0] */
    const struct config *config;          /* arguments that are no flags: config->positionals */
    const struct config_request *request; /* what config was loaded from, to load it again */
    FILE *out;                            /* standard output */
    bool color;    /* a person is looking and wants it: ANSI colours may be used */
    int exit_code; /* 0; a command may ask for another one with STATUS_OK */
};

typedef enum status command_function(struct command_context *context, struct error *err);

struct command_row {
    const char *name;
    command_function *run;
    uint64_t categories;
    const char *arguments;
    const char *summary;
    const char *text;
};

#define COMMAND(name, ...) command_function cmd_##name;
#include "cli/commands.def"
#undef COMMAND

enum command_id {
#define COMMAND(name, ...) COMMAND_##name,
#include "cli/commands.def"
#undef COMMAND
    COMMAND_COUNT
};

extern const struct command_row command_rows[COMMAND_COUNT];

/* The exit code of a command line that could not be understood (sysexits.h: EX_USAGE). */
enum { COMMAND_EXIT_USAGE = 64 };

/* The whole program; returns its exit code. */
int command_main(int argc, const char *const *argv);

#endif
