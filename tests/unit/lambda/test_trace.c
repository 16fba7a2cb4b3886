#include "lambda/trace.c"
#include "test.h"

static struct lambda_trace trace;
static char parent[LAMBDA_TRACEPARENT_SIZE + 1];

TEST(an_x_ray_header_is_a_w3c_parent)
{
    lambda_trace_read(
        STR("Root=1-67891233-abcdef012345678912345678;Parent=53995C3f42cd8ad8;Sampled=1"), &trace);
    lambda_trace_parent(&trace, parent);
    EXPECT_TEXT(parent, "00-67891233abcdef012345678912345678-53995c3f42cd8ad8-01");
    lambda_trace_read(
        STR("Sampled=0; Self=x; Parent=53995c3f42cd8ad8 ;Lineage=1:2:3;Root=1-67891233-"
            "abcdef012345678912345678"),
        &trace);
    lambda_trace_parent(&trace, parent);
    EXPECT_TEXT(parent, "00-67891233abcdef012345678912345678-53995c3f42cd8ad8-00");
}

TEST(nonsense_is_no_trace)
{
    static const char *const texts[] = {"",
                                        ";",
                                        "Root",
                                        "Root=",
                                        "=;=;",
                                        "Root=1-67891233-abcdef01234567891234567",
                                        "Root=2-67891233-abcdef012345678912345678",
                                        "Root=1-6789123g-abcdef012345678912345678",
                                        "Root=1-67891233_abcdef012345678912345678",
                                        "Root=1-00000000-000000000000000000000000"};
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        lambda_trace_read(str_of(texts[i]), &trace);
        EXPECT_TEXT(trace.trace_id, "");
        lambda_trace_parent(&trace, parent);
        EXPECT_TEXT(parent, "");
    }
}
