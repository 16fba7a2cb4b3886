/*
 * What is generated from the tables: docs/options.md, docs/errors.md, the man page and the shells'
 * completion scripts. Each appends to a buffer. The committed pages are compared with these.
 */
#ifndef CLI_DOCUMENT_H
#define CLI_DOCUMENT_H

#include "cli/command.h"

void document_options(struct buffer *out);
void document_errors(struct buffer *out);
void document_man(struct buffer *out);
void document_completion(struct buffer *out, enum config_shell shell);

#endif
