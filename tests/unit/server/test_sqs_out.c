#include "server/sqs_out.c"
#include "test.h"

static void write_all(struct sqs_out *out)
{
    sqs_out_begin(out, STR("Op"));
    sqs_out_text(out, "A", STR("<\r&\">"));
    sqs_out_text(out, "None", (struct str){NULL, 0});
    sqs_out_u64(out, "N", 7);
    sqs_out_bool(out, "F", false);
    sqs_out_binary(out, "B", STR("ab"));
    sqs_out_list_begin(out, "Urls");
    sqs_out_text_item(out, "Url", STR("u1"));
    sqs_out_text_item(out, "Url", STR("u2"));
    sqs_out_list_end(out);
    sqs_out_list_begin(out, "Items");
    sqs_out_item_begin(out, "Item");
    sqs_out_map_begin(out, "Attributes");
    sqs_out_map_text(out, "Attribute", STR("k"), STR("v"));
    sqs_out_map_end(out);
    sqs_out_map_begin(out, "MessageAttributes");
    sqs_out_map_item_begin(out, "MessageAttribute", STR("m"));
    sqs_out_text(out, "StringValue", STR("s"));
    sqs_out_map_item_end(out, "MessageAttribute");
    sqs_out_map_end(out);
    sqs_out_item_end(out, "Item");
    sqs_out_list_end(out);
    sqs_out_map_begin(out, "Tags");
    sqs_out_map_text(out, "Tag", STR("k"), STR("v"));
    sqs_out_map_end(out);
    sqs_out_end(out, STR("Op"), STR("id"));
}

TEST(one_answer_in_two_forms)
{
    struct buffer buffer CLEANUP(buffer_clear);
    struct sqs_out out;
    buffer_init(&buffer, 1 << 16);
    sqs_out_init(&out, &buffer, false);
    write_all(&out);
    EXPECT_STR(
        buffer_view(&buffer),
        STR("{\"A\":\"<\\r&\\\">\",\"N\":7,\"F\":false,\"B\":\"YWI=\",\"Urls\":[\"u1\",\"u2\"],"
            "\"Items\":[{\"Attributes\":{\"k\":\"v\"},\"MessageAttributes\":{\"m\":"
            "{\"StringValue\":\"s\"}}}],\"Tags\":{\"k\":\"v\"}}"));
    buffer_reset(&buffer);
    sqs_out_init(&out, &buffer, true);
    write_all(&out);
    EXPECT_STR(buffer_view(&buffer),
               STR("<?xml version=\"1.0\"?><OpResponse "
                   "xmlns=\"http://queue.amazonaws.com/doc/2012-11-05/\"><OpResult>"
                   "<A>&lt;&#xD;&amp;&quot;&gt;</A><N>7</N><F>false</F><B>YWI=</B><Url>u1</Url>"
                   "<Url>u2</Url><Item><Attribute><Name>k</Name><Value>v</Value></Attribute>"
                   "<MessageAttribute><Name>m</Name><Value><StringValue>s</StringValue></Value>"
                   "</MessageAttribute></Item><Tag><Key>k</Key><Value>v</Value></Tag></OpResult>"
                   "<ResponseMetadata><RequestId>id</RequestId></ResponseMetadata></OpResponse>"));
}
