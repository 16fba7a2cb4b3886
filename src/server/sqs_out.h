/*
 * What SQS answers, in the form that the request came in: AwsJson1.0, or the XML of the older Query
 * protocol. The same calls write either; where the two name a thing differently, both names are
 * given.
 *
 *   sqs_out_text(out, "MessageId", id);
 *   sqs_out_list_begin(out, "Messages");
 *   sqs_out_item_begin(out, "Message"); ... sqs_out_item_end(out, "Message");
 *   sqs_out_list_end(out);
 *
 * In JSON a list is an array and a map an object; in XML both are flat, repeated elements.
 */
#ifndef SERVER_SQS_OUT_H
#define SERVER_SQS_OUT_H

#include "base/json.h"

#define SQS_NAMESPACE "http://queue.amazonaws.com/doc/2012-11-05/"

struct sqs_out {
    struct json_writer json;
    struct buffer *buffer;
    bool xml;
};

void sqs_out_init(struct sqs_out *out, struct buffer *buffer, bool xml);

/* Around the members of the whole answer. */
void sqs_out_begin(struct sqs_out *out, struct str operation);
void sqs_out_end(struct sqs_out *out, struct str operation, struct str request_id);

/* A member; nothing if the text's data is NULL. */
void sqs_out_text(struct sqs_out *out, const char *name, struct str value);
void sqs_out_binary(struct sqs_out *out, const char *name, struct str bytes);
void sqs_out_u64(struct sqs_out *out, const char *name, uint64_t value);
void sqs_out_bool(struct sqs_out *out, const char *name, bool value);

/* A list of structs, or of texts. */
void sqs_out_list_begin(struct sqs_out *out, const char *name);
void sqs_out_list_end(struct sqs_out *out);
void sqs_out_item_begin(struct sqs_out *out, const char *element);
void sqs_out_item_end(struct sqs_out *out, const char *element);
void sqs_out_text_item(struct sqs_out *out, const char *element, struct str value);

/* A map. Its element in XML has a name and a value: "Name" and "Value", of tags "Key". */
void sqs_out_map_begin(struct sqs_out *out, const char *name);
void sqs_out_map_end(struct sqs_out *out);
void sqs_out_map_text(struct sqs_out *out, const char *element, struct str name, struct str value);
/* The same with a struct as its value. */
void sqs_out_map_item_begin(struct sqs_out *out, const char *element, struct str name);
void sqs_out_map_item_end(struct sqs_out *out, const char *element);

/* Text within XML: markup is escaped, and CR, which parsers would lose; what XML cannot hold, and
 * bytes that are not UTF-8, become U+FFFD. */
void sqs_out_escape(struct buffer *buffer, struct str text);

#endif
