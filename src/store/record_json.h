/*
 * A record as a person and a program read it: one JSON object, for the REST face and for exports.
 *
 *   {"id":"01...","model":"doubleit","version":"1","source":"http","state":"succeeded",
 *    "status":"OK","received":"2026-11-22T20:37:00.123Z","received_us":1795379820123456,...,
 *    "input":{"keep":"inline","type":"application/json","size":63,"json":{...}},...}
 *
 * What a record does not have is left out. A payload that is JSON is embedded as `json`, other
 * UTF-8 text stands in `text`, any other bytes in `base64`. Pure.
 */
#ifndef STORE_RECORD_JSON_H
#define STORE_RECORD_JSON_H

#include "base/json.h"
#include "store/record.h"

void record_write_json(struct json_writer *writer, const struct record *record);

/* Reads what record_write_json wrote; memory from the reader's arena, which must be there. What it
 * does not know is skipped. */
enum status record_read_json(struct json_reader *reader, struct record *ret_record,
                             struct error *err) FALLIBLE;

/* The columns of a CSV export, in their order, and one row; both end with CR LF (RFC 4180). */
void record_write_csv_header(struct buffer *out);
void record_write_csv(struct buffer *out, const struct record *record);

#endif
