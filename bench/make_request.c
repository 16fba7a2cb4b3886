/*
 * Writes one whole inference request with random numbers to standard output, for load's "- @FILE":
 *
 *   make_request json|binary PATH INPUT ROWS COLUMNS
 *
 * An FP32 input of shape [ROWS,COLUMNS]; `binary` sends it behind the JSON (the binary tensor
 * extension) and asks for the outputs that way.
 */
#include "base/mem.h"
#include "base/num.h"
#include "base/rand.h"
#include "base/shortest.h"

enum { VALUES_MAX = 1 << 22, REQUEST_MAX = 1 << 28 };

static void add_body(struct buffer *body, bool binary, struct str input, const uint64_t shape[2])
{
    struct prng prng;
    prng_seed(&prng, 1);
    size_t count = (size_t)(shape[0] * shape[1]);
    float *values = MEM_NEW_ARRAY(float, count);
    for (size_t i = 0; i < count; i++) values[i] = (float)prng_double(&prng);
    buffer_add_format(
        body, "{\"inputs\":[{\"name\":\"%.*s\",\"shape\":[%llu,%llu],\"datatype\":\"FP32\",",
        STR_ARGS(input), (unsigned long long)shape[0], (unsigned long long)shape[1]);
    if (binary) {
        buffer_add_format(body,
                          "\"parameters\":{\"binary_data_size\":%zu}}],"
                          "\"parameters\":{\"binary_data_output\":true}}",
                          count * sizeof *values);
    } else {
        buffer_add(body, STR("\"data\":["));
        shortest_add_floats(body, values, count);
        buffer_add(body, STR("]}]}"));
    }
    size_t json_size = body->size;
    if (binary) buffer_add(body, (struct str){(const char *)values, count * sizeof *values});
    mem_free(values);
    printf("Content-Length: %zu\r\n", body->size);
    if (binary) printf("Inference-Header-Content-Length: %zu\r\n", json_size);
}

int main(int argc, char **argv)
{
    bool binary = argc == 6 && strcmp(argv[1], "binary") == 0;
    uint64_t shape[2];
    if (argc != 6 || (!binary && strcmp(argv[1], "json") != 0) ||
        !num_read_u64(str_of(argv[4]), &shape[0]) || !num_read_u64(str_of(argv[5]), &shape[1]) ||
        shape[0] > VALUES_MAX || shape[1] > VALUES_MAX || shape[0] * shape[1] > VALUES_MAX) {
        fprintf(stderr, "usage: make_request json|binary PATH INPUT ROWS COLUMNS\n");
        return 64;
    }
    struct buffer body;
    buffer_init(&body, REQUEST_MAX);
    printf("POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/%s\r\n", argv[2],
           binary ? "octet-stream" : "json");
    add_body(&body, binary, str_of(argv[3]), shape);
    printf("\r\n");
    size_t written = fwrite(body.data, 1, body.size, stdout);
    bool good = written == body.size && fflush(stdout) == 0;
    buffer_clear(&body);
    return good ? 0 : 1;
}
