/*
 * Memory of small tensors. libtorch asks the C library for memory at a boundary of 64 bytes for
 * each tensor that it makes, which is the one kind of small request that the C library keeps no
 * lists for. Here each thread keeps some blocks of each size for its next tensors.
 */
#ifndef SHIM_MEMORY_H
#define SHIM_MEMORY_H

namespace shim
{

/*
 * Makes this the allocator of all tensors on the CPU. Once, before models are loaded. A thread
 * keeps at most 64 free blocks of each size, 0.5 MiB together, and frees them when it ends.
 */
void keep_small_blocks();

} // namespace shim

#endif
