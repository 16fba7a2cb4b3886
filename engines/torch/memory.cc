/*
 * A block:  | header, 64 bytes: its size class | what the tensor has ... |
 *           raw from libtorch's own allocator    at a boundary of 64 bytes
 *
 * The header is there for the deleter, which is told an address and nothing else, on any thread.
 */
#include "memory.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/alloc_cpu.h>
#include <cstdint>
#include <cstring>
#include <new>

namespace shim
{

static constexpr size_t BOUNDARY = 64;
static constexpr size_t SMALLEST = 64;
static constexpr uint32_t CLASSES = 7; /* 64, 128, ... 4096 bytes */
static constexpr size_t LARGEST = SMALLEST << (CLASSES - 1);
static constexpr uint32_t NO_CLASS = CLASSES;
/* A sanitizer must see that a tensor's memory is gone. */
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
static constexpr uint32_t KEPT_MAX = 0;
#else
static constexpr uint32_t KEPT_MAX = 64;
#endif

struct Header {
    uint32_t size_class;
    Header *next; /* while it is free */
};
static_assert(sizeof(Header) <= BOUNDARY, "the tensor's part starts at a boundary");

/* The free blocks of a thread. */
struct Shelf {
    Header *first[CLASSES] = {};
    uint32_t count[CLASSES] = {};

    ~Shelf();
};

/* Plain, so that it can still be looked at when the thread's other objects end. */
static thread_local Shelf *shelf;
static thread_local bool thread_ends;

Shelf::~Shelf()
{
    shelf = nullptr;
    thread_ends = true;
    for (Header *header : first)
        while (header) {
            Header *next = header->next;
            c10::free_cpu(header);
            header = next;
        }
}

/* NULL when the thread ends. */
static Shelf *own_shelf()
{
    if (__builtin_expect(shelf != nullptr, 1)) return shelf;
    if (thread_ends) return nullptr;
    static thread_local Shelf own;
    shelf = &own;
    return shelf;
}

static uint32_t class_of(size_t size)
{
    if (size > LARGEST) return NO_CLASS;
    if (size <= SMALLEST) return 0;
    return 58 - static_cast<uint32_t>(__builtin_clzll(size - 1));
}

/* Of nothing too, as free() does: libtorch gives back empty buffers by this function alone. */
static void give_back(void *memory)
{
    if (!memory) return;
    auto *header = reinterpret_cast<Header *>(static_cast<char *>(memory) - BOUNDARY);
    uint32_t size_class = header->size_class;
    Shelf *own = size_class < CLASSES ? own_shelf() : nullptr;
    if (!own || own->count[size_class] >= KEPT_MAX) {
        c10::free_cpu(header);
        return;
    }
    header->next = own->first[size_class];
    own->first[size_class] = header;
    own->count[size_class]++;
}

/* Throws what libtorch throws when there is no memory. */
static void *take(size_t size)
{
    uint32_t size_class = class_of(size);
    Shelf *own = size_class < CLASSES ? own_shelf() : nullptr;
    Header *header = own ? own->first[size_class] : nullptr;
    if (header) {
        own->first[size_class] = header->next;
        own->count[size_class]--;
    } else {
        size_t room = size_class < CLASSES ? SMALLEST << size_class : size;
        if (__builtin_add_overflow(room, BOUNDARY, &room)) throw std::bad_alloc();
        header = static_cast<Header *>(c10::alloc_cpu(room));
        header->size_class = size_class;
    }
    return reinterpret_cast<char *>(header) + BOUNDARY;
}

/*
 * libtorch's interface has changed between the versions we build with: allocate was const until
 * 2.2, and copy_data was not there. Each function here overrides the one that is.
 */
struct Keeper final : c10::Allocator {
    c10::DataPtr allocate(size_t size) const
    {
        const c10::Device device(c10::DeviceType::CPU);
        if (size == 0) return {nullptr, nullptr, &give_back, device};
        void *memory = take(size);
        return {memory, memory, &give_back, device};
    }
    c10::DataPtr allocate(size_t size) { return static_cast<const Keeper *>(this)->allocate(size); }
    c10::DeleterFnPtr raw_deleter() const override { return &give_back; }
    void copy_data(void *target, const void *from, size_t size) const
    {
        memcpy(target, from, size);
    }
};

void keep_small_blocks()
{
    static auto *keeper = new Keeper; /* never freed: tensors may outlive every static */
    c10::SetCPUAllocator(keeper);
}

} // namespace shim
