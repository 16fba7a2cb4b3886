/*
 * What may be asked of a queue: names, ranges, sizes, characters. Pure, the same for every kind of
 * storage, and in AWS's words where it has some, so that a face can pass them on.
 */
#ifndef QUEUE_RULES_H
#define QUEUE_RULES_H

#include "queue/queue.h"

/* Everything about a call that can be told without looking at its queue. INVALID_ARGUMENT. */
enum status rules_check(const struct queue_call *call, struct error *err) FALLIBLE;

/* A name: 1 to 80 of letters, digits, '-' and '_'; ".fifo" at the end if and only if it is FIFO. */
enum status rules_check_name(struct str name, struct error *err) FALLIBLE;
bool rules_is_fifo_name(struct str name);

/* Ranges. */
enum status rules_check_settings(const struct queue_settings *settings, struct str name,
                                 struct error *err) FALLIBLE;

/* A queue that exists is made again: ALREADY_EXISTS names the attribute that differs. */
enum status rules_check_same(const struct queue_settings *existing,
                             const struct queue_settings *wanted, struct error *err) FALLIBLE;

/* True if the text is UTF-8 of characters that a message may have: #x9, #xA, #xD, #x20 to #xD7FF,
 * #xE000 to #xFFFD, #x10000 to #x10FFFF. */
bool rules_text_is_allowed(struct str text);

/* Why a message is refused that is larger than its queue takes; in the arena. */
const char *rules_too_large(uint32_t size_max, struct arena *arena);

#endif
