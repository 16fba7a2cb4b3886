/*
 * The libraries behind libtorch that have a say in speed: OpenMP and BLAS. They are asked for by
 * name at run time, because which ones are there is the system's choice.
 */
#ifndef SHIM_LIBRARY_H
#define SHIM_LIBRARY_H

#include <string>

namespace shim
{

/* Threads that one operator may use, for all that this thread runs from now on. Cheap. */
void use_threads(int count) noexcept;

/* BLAS has one number for the process: the largest that a model asked for. */
void raise_blas_threads(int count) noexcept;

/* The file of a BLAS without any optimisation, empty if a better one is in use. */
std::string reference_blas();

} // namespace shim

#endif
