/* One row per opcode: what follows it, what it takes from the stack, what it leaves. */
#include "engine/pickle.h"

/* What follows an opcode. */
enum operand {
    OPERAND_FOREIGN = 0, /* not an opcode that is allowed */
    OPERAND_NONE,
    OPERAND_1,
    OPERAND_2,
    OPERAND_4,
    OPERAND_8,
    OPERAND_SIZED_1, /* a size of 1 byte, and that many */
    OPERAND_SIZED_4,
    OPERAND_LINES_2, /* module and name */
};

enum special { PLAIN = 0, MARK, TO_MARK, PUT_1, PUT_4, GET_1, GET_4, STOP };

static const struct opcode {
    uint8_t operand, special;
    uint8_t pops, pushes; /* TO_MARK: what lies under the mark */
} opcodes[256] = {
    [0x80] = {OPERAND_1, PLAIN, 0, 0},       ['c'] = {OPERAND_LINES_2, PLAIN, 0, 1},
    ['q'] = {OPERAND_1, PUT_1, 1, 1},        ['r'] = {OPERAND_4, PUT_4, 1, 1},
    ['h'] = {OPERAND_1, GET_1, 0, 1},        ['j'] = {OPERAND_4, GET_4, 0, 1},
    [')'] = {OPERAND_NONE, PLAIN, 0, 1},     [']'] = {OPERAND_NONE, PLAIN, 0, 1},
    ['}'] = {OPERAND_NONE, PLAIN, 0, 1},     ['('] = {OPERAND_NONE, MARK, 0, 0},
    ['t'] = {OPERAND_NONE, TO_MARK, 0, 1},   ['e'] = {OPERAND_NONE, TO_MARK, 1, 1},
    ['u'] = {OPERAND_NONE, TO_MARK, 1, 1},   ['l'] = {OPERAND_NONE, TO_MARK, 0, 1},
    ['d'] = {OPERAND_NONE, TO_MARK, 0, 1},   ['a'] = {OPERAND_NONE, PLAIN, 2, 1},
    ['s'] = {OPERAND_NONE, PLAIN, 3, 1},     [0x85] = {OPERAND_NONE, PLAIN, 1, 1},
    [0x86] = {OPERAND_NONE, PLAIN, 2, 1},    [0x87] = {OPERAND_NONE, PLAIN, 3, 1},
    ['R'] = {OPERAND_NONE, PLAIN, 2, 1},     [0x81] = {OPERAND_NONE, PLAIN, 2, 1},
    ['b'] = {OPERAND_NONE, PLAIN, 2, 1},     ['X'] = {OPERAND_SIZED_4, PLAIN, 0, 1},
    ['T'] = {OPERAND_SIZED_4, PLAIN, 0, 1},  ['U'] = {OPERAND_SIZED_1, PLAIN, 0, 1},
    [0x88] = {OPERAND_NONE, PLAIN, 0, 1},    [0x89] = {OPERAND_NONE, PLAIN, 0, 1},
    ['N'] = {OPERAND_NONE, PLAIN, 0, 1},     ['J'] = {OPERAND_4, PLAIN, 0, 1},
    ['K'] = {OPERAND_1, PLAIN, 0, 1},        ['M'] = {OPERAND_2, PLAIN, 0, 1},
    [0x8a] = {OPERAND_SIZED_1, PLAIN, 0, 1}, ['G'] = {OPERAND_8, PLAIN, 0, 1},
    ['Q'] = {OPERAND_NONE, PLAIN, 1, 1},     ['.'] = {OPERAND_NONE, STOP, 1, 0},
};

struct walk {
    struct str bytes;
    size_t place;
    size_t depth;                   /* objects on the stack */
    size_t marks[PICKLE_MARKS_MAX]; /* the depth at each open mark */
    size_t mark_count;
    uint64_t memo_count; /* entries 0 .. memo_count are filled */
};

static enum status fail_at(const struct walk *walk, struct error *err, const char *what)
{
    return fail(err, STATUS_INVALID_ARGUMENT, "at byte %zu %s", walk->place, what);
}

static size_t left(const struct walk *walk)
{
    return walk->bytes.size - walk->place;
}

static uint64_t number_at(const struct walk *walk, size_t width)
{
    uint64_t value = 0;
    for (size_t i = width; i > 0; i--)
        value = value << 8 | (unsigned char)walk->bytes.data[walk->place + i - 1];
    return value;
}

static bool skip(struct walk *walk, uint64_t size)
{
    if (size > left(walk)) return false;
    walk->place += (size_t)size;
    return true;
}

static bool skip_sized(struct walk *walk, size_t width)
{
    if (left(walk) < width) return false;
    uint64_t size = number_at(walk, width);
    walk->place += width;
    return skip(walk, size);
}

static bool skip_lines(struct walk *walk, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t size = str_find(str_from(walk->bytes, walk->place), '\n');
        if (size == SIZE_MAX || !skip(walk, size + 1)) return false;
    }
    return true;
}

static bool skip_operand(struct walk *walk, enum operand operand)
{
    switch (operand) {
    case OPERAND_FOREIGN: return false;
    case OPERAND_NONE: return true;
    case OPERAND_1: return skip(walk, 1);
    case OPERAND_2: return skip(walk, 2);
    case OPERAND_4: return skip(walk, 4);
    case OPERAND_8: return skip(walk, 8);
    case OPERAND_SIZED_1: return skip_sized(walk, 1);
    case OPERAND_SIZED_4: return skip_sized(walk, 4);
    case OPERAND_LINES_2: return skip_lines(walk, 2);
    }
    return false;
}

/* The memo is filled in order; each entry is read only after it was written. */
static enum status use_memo(struct walk *walk, enum special special, uint64_t number,
                            struct error *err)
{
    bool puts = special == PUT_1 || special == PUT_4;
    if (!puts && number >= walk->memo_count)
        return fail_at(walk, err, "it refers to what it has not kept");
    if (puts && (number > walk->memo_count || number >= PICKLE_MEMO_MAX))
        return fail_at(walk, err, "it keeps an object at a place out of order");
    if (puts && number == walk->memo_count) walk->memo_count++;
    return STATUS_OK;
}

static enum status use_marks(struct walk *walk, enum special special, struct error *err)
{
    if (special == MARK) {
        if (walk->mark_count == PICKLE_MARKS_MAX) return fail_at(walk, err, "it nests too deeply");
        walk->marks[walk->mark_count++] = walk->depth;
    } else if (special == TO_MARK) {
        if (walk->mark_count == 0) return fail_at(walk, err, "an opcode lacks its mark");
        walk->depth = walk->marks[--walk->mark_count];
    }
    return STATUS_OK;
}

static enum status step(struct walk *walk, bool *ret_end, struct error *err)
{
    if (left(walk) == 0) return fail_at(walk, err, "it ends too early");
    const struct opcode *opcode = &opcodes[(unsigned char)walk->bytes.data[walk->place]];
    if (opcode->operand == OPERAND_FOREIGN) return fail_at(walk, err, "an opcode is not allowed");
    walk->place++;
    size_t operand = walk->place;
    if (!skip_operand(walk, (enum operand)opcode->operand))
        return fail_at(walk, err, "it ends too early");

    enum special special = (enum special)opcode->special;
    TRY(use_marks(walk, special, err));
    if (special >= PUT_1 && special <= GET_4) {
        struct walk at = {.bytes = walk->bytes, .place = operand};
        TRY(use_memo(walk, special, number_at(&at, walk->place - operand), err));
    }
    size_t floor = walk->mark_count > 0 ? walk->marks[walk->mark_count - 1] : 0;
    if (walk->depth - floor < opcode->pops)
        return fail_at(walk, err, "an opcode takes more than there is");
    walk->depth = walk->depth - opcode->pops + opcode->pushes;
    *ret_end = special == STOP;
    return STATUS_OK;
}

enum status pickle_check(struct str bytes, struct error *err)
{
    struct walk walk = {.bytes = bytes};
    if (!str_starts_with(bytes, STR("\x80\x02"))) return fail_at(&walk, err, "it is no protocol 2");
    bool end = false;
    while (!end) TRY(step(&walk, &end, err));
    if (walk.depth != 0 || walk.mark_count != 0 || left(&walk) != 0)
        return fail_at(&walk, err, "it does not end where it should");
    return STATUS_OK;
}
