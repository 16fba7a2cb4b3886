/*
 * The handle of one receive: names the message and the receive of it, for the implementations that
 * number both. Opaque to clients; checked, so that what is not a handle is told apart from one that
 * is old. Pure.
 */
#ifndef QUEUE_RECEIPT_H
#define QUEUE_RECEIPT_H

#include "base/str.h"

enum { RECEIPT_TEXT_SIZE = 60 }; /* characters, without a NUL */

struct receipt {
    uint64_t queue; /* the queue's number */
    uint64_t sequence;
    uint64_t lease;
};

void receipt_write(const struct receipt *receipt, char text[RECEIPT_TEXT_SIZE]);

/* False if the text is no handle. */
bool receipt_read(struct str text, struct receipt *ret_receipt);

#endif
