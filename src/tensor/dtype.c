/* The element types, as data. */
#include "tensor/dtype.h"

struct dtype_row {
    const char *name;
    size_t width;
};

static const struct dtype_row rows[] = {
#define X(name, value, width) [value] = {#name, width},
    SLIPWAY_DTYPE_TABLE(X)
#undef X
};

_Static_assert(COUNT_OF(rows) == DTYPE_COUNT, "every type has its row");
_Static_assert(sizeof(struct slipway_bytes) == 16, "the table's width of BYTES");

const char *dtype_name(enum dtype dtype)
{
    assert(dtype < DTYPE_COUNT);
    return rows[dtype].name;
}

size_t dtype_width(enum dtype dtype)
{
    assert(dtype < DTYPE_COUNT);
    return rows[dtype].width;
}

bool dtype_find(struct str name, enum dtype *ret_dtype)
{
    if (str_starts_with(name, STR("TYPE_"))) {
        name = str_from(name, 5);
        if (str_equal(name, STR("STRING"))) name = STR("BYTES");
    }
    for (size_t i = DTYPE_BOOL; i < DTYPE_COUNT; i++) {
        if (!str_equal(name, str_of(rows[i].name))) continue;
        *ret_dtype = (enum dtype)i;
        return true;
    }
    return false;
}
