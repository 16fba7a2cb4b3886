/* Records from any bytes: what was read is written, read and written again: the two are equal. */
#include "store/record_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool pass(struct str text, struct arena *arena, struct buffer *out)
{
    struct json_reader reader;
    struct json_writer writer;
    struct record record;
    struct error err;
    json_reader_init(&reader, text, arena);
    if (record_read_json(&reader, &record, &err) != STATUS_OK) return false;
    if (!record.id[0]) memcpy(record.id, "01ARZ3NDEKTSV4RRFFQ69G5FAV", RECORD_ID_SIZE + 1);
    buffer_init(out, 64 << 20);
    json_writer_init(&writer, out);
    record_write_json(&writer, &record);
    struct buffer row CLEANUP(buffer_clear);
    buffer_init(&row, 64 << 20);
    record_write_csv(&row, &record);
    return !buffer_failed(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena CLEANUP(arena_clear);
    struct buffer first CLEANUP(buffer_clear) = {0}, second CLEANUP(buffer_clear) = {0};
    arena_init(&arena, 64 << 20);
    if (!pass((struct str){(const char *)data, size}, &arena, &first)) return 0;
    if (!pass(buffer_view(&first), &arena, &second)) abort();
    if (!str_equal(buffer_view(&first), buffer_view(&second))) abort();
    return 0;
}
