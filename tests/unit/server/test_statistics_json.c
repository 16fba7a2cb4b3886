#include "server/statistics_json.c"
#include "test.h"

TEST(only_batch_sizes_that_ran_are_listed)
{
    struct statistics_batch_value batches[3] = {{0}};
    batches[2] = (struct statistics_batch_value){2, 10, 20, 30};
    struct serve_statistics_row row = {.name = (char[]){"m"}, .version = (char[]){"1"}};
    row.weight_bytes = 7;
    row.values.inference_count = 6;
    row.values.execution_count = 2;
    row.values.success.count = 6;
    row.values.success.ns = 600;
    row.values.batch_count = 3;
    row.values.batches = batches;
    struct serve_statistics statistics = {&row, 1};
    struct buffer out;
    buffer_init(&out, 65536);
    statistics_json_write(&out, &statistics);
    EXPECT(strstr(buffer_text(&out), "{\"model_stats\":[{\"name\":\"m\",\"version\":\"1\"") ==
           out.data);
    EXPECT(strstr(out.data, "\"success\":{\"count\":6,\"ns\":600}") != NULL);
    EXPECT(strstr(out.data, "\"batch_stats\":[{\"batch_size\":3,\"compute_input\":{\"count\":2,"
                            "\"ns\":10},") != NULL);
    EXPECT(strstr(out.data, "\"byte_size\":7") != NULL);
    buffer_clear(&out);
}
