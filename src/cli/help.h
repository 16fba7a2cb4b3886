/*
 * What `slipway help` says, from the tables of commands and settings. Appended to a buffer; with
 * `color`, titles and names carry ANSI codes.
 */
#ifndef CLI_HELP_H
#define CLI_HELP_H

#include "cli/command.h"

/* The list of commands. */
void help_overview(struct buffer *out, bool color);

/* One command: usage, text, its settings; lines are broken before `width`. */
void help_command(struct buffer *out, const struct command_row *row, bool color, size_t width);

#endif
