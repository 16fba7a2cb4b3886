/*
 * ONNX Runtime's messages as a user of the server should read them: without source positions, C++
 * signatures, codes and line breaks. Pure.
 *
 *   "Non-zero status code returned while running Gather node. Name:'g' Status Message: /src/x.cc:12
 *    onnxruntime::common::Status f(int) idx=7 is out of bounds.\n"
 *   -> "operator Gather 'g': idx=7 is out of bounds"
 */
#ifndef ONNX_MESSAGE_H
#define ONNX_MESSAGE_H

#include <stddef.h>

/* Writes at most size bytes with the NUL; size > 0. */
void onnx_message_clean(const char *raw, char *to, size_t size);

#endif
