/*
 * Walks a pickle without making its objects: that it ends, that no opcode takes more from the stack
 * than is there, and that no size goes beyond the bytes. TorchScript's own reader believes all of
 * that, and crashes on a file that lies. What the opcodes make, and of which classes, is for it to
 * judge: it runs no Python.
 *
 *   TRY(pickle_check(bytes, err));
 *
 * Accepted are the opcodes that torch.jit.save writes and their near relations (protocol 2).
 */
#ifndef ENGINE_PICKLE_H
#define ENGINE_PICKLE_H

#include "base/str.h"

/* Marks that may be open at once, and entries of the memo. */
enum { PICKLE_MARKS_MAX = 256, PICKLE_MEMO_MAX = 10000000 };

/* INVALID_ARGUMENT, saying what is wrong and where. Pure. */
enum status pickle_check(struct str bytes, struct error *err) FALLIBLE;

#endif
