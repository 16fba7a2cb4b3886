/* Handles as text: 28 bytes, the last four a check, in upper-case hexadecimal with a mark. */
#include "queue/receipt.h"

enum { MARK_SIZE = 4, BYTES = 28 };
static const char mark[MARK_SIZE + 1] = "AQEB";
_Static_assert(MARK_SIZE + 2 * BYTES == RECEIPT_TEXT_SIZE, "all of it fits");

/* FNV-1a: against typing errors and other people's handles, not against an attacker, who gains
 * nothing: a handle that is made up names a receive that never was. */
static uint32_t check_of(const uint64_t words[3])
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < 24; i++)
        hash = (hash ^ (uint8_t)(words[i / 8] >> (8 * (i % 8)))) * 16777619u;
    return hash;
}

static void write_hex(char *text, uint64_t value, size_t digits)
{
    for (size_t i = digits; i > 0; i--, value >>= 4) text[i - 1] = "0123456789ABCDEF"[value & 15];
}

static bool read_hex(const char *text, size_t digits, uint64_t *ret_value)
{
    uint64_t value = 0;
    for (size_t i = 0; i < digits; i++) {
        char c = text[i];
        bool decimal = c >= '0' && c <= '9';
        if (!decimal && !(c >= 'A' && c <= 'F')) return false;
        value = value << 4 | (uint64_t)(decimal ? c - '0' : c - 'A' + 10);
    }
    *ret_value = value;
    return true;
}

void receipt_write(const struct receipt *receipt, char text[RECEIPT_TEXT_SIZE])
{
    const uint64_t words[3] = {receipt->queue, receipt->sequence, receipt->lease};
    memcpy(text, mark, MARK_SIZE);
    for (size_t i = 0; i < 3; i++) write_hex(text + MARK_SIZE + 16 * i, words[i], 16);
    write_hex(text + MARK_SIZE + 48, check_of(words), 8);
}

bool receipt_read(struct str text, struct receipt *ret_receipt)
{
    uint64_t words[3], check;
    if (text.size != RECEIPT_TEXT_SIZE || memcmp(text.data, mark, MARK_SIZE) != 0) return false;
    for (size_t i = 0; i < 3; i++)
        if (!read_hex(text.data + MARK_SIZE + 16 * i, 16, &words[i])) return false;
    if (!read_hex(text.data + MARK_SIZE + 48, 8, &check) || check != check_of(words)) return false;
    *ret_receipt = (struct receipt){words[0], words[1], words[2]};
    return true;
}
