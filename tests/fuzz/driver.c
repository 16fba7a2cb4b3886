/*
 * main() for a fuzz target where there is no libFuzzer: runs the target over each file of a corpus,
 * then over mutations of them that a seed decides, so that every build and sanitizer repeats what
 * fuzzing once found.
 *
 *   fuzz_json CORPUS_DIRECTORY MUTATIONS      SEED=n for other mutations than the usual
 *   fuzz_json FILE                            one input, to look into a crash
 */
#include "base/mem.h"
#include "base/rand.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FILES_MAX = 4096, INPUT_MAX = 1 << 20, ROUNDS_MAX = 4 };

struct input {
    uint8_t *data;
    size_t size;
};

static struct input corpus[FILES_MAX];
static size_t corpus_count;
/* What runs now, for the report of a crash. */
static volatile uint64_t current_mutation;
static uint64_t seed = 1;
static struct input current;

static void die(const char *what, const char *path)
{
    (void)fprintf(stderr, "fuzz: %s '%s'\n", what, path);
    exit(2);
}

/* A copy of exactly the input's size, so that AddressSanitizer sees one byte too far. */
static void run_target(const uint8_t *data, size_t size)
{
    uint8_t *copy = mem_new(size ? size : 1);
    memcpy(copy, data, size);
    current = (struct input){copy, size};
    (void)LLVMFuzzerTestOneInput(copy, size);
    mem_free(copy);
}

/* The program is ending: what a handler must not call it calls all the same, for the report. */
static void on_crash(int signal_number)
{
    FILE *file = fopen("fuzz-crash.bin", "wb");
    if (file) {
        (void)fwrite(current.data, 1, current.size, file);
        (void)fclose(file);
    }
    (void)fprintf(stderr, "fuzz: crashed at mutation %llu of seed %llu; input in fuzz-crash.bin\n",
                  (unsigned long long)current_mutation, (unsigned long long)seed);
    (void)signal(signal_number, SIG_DFL);
    (void)raise(signal_number);
}

static struct input read_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file) die("cannot open", path);
    struct input input = {.data = mem_new(INPUT_MAX)};
    input.size = fread(input.data, 1, INPUT_MAX, file);
    (void)fclose(file);
    return input;
}

static int by_name(const struct dirent **left, const struct dirent **right)
{
    return strcmp((*left)->d_name, (*right)->d_name);
}

static void read_corpus(const char *directory)
{
    struct dirent **entries;
    int count = scandir(directory, &entries, NULL, by_name);
    if (count < 0) die("cannot read the corpus", directory);
    for (int i = 0; i < count; i++) {
        if (entries[i]->d_name[0] != '.' && corpus_count < FILES_MAX) {
            char *path = mem_format("%s/%s", directory, entries[i]->d_name);
            corpus[corpus_count++] = read_file(path);
            mem_free(path);
        }
        free(entries[i]);
    }
    free(entries);
}

static void overwrite(struct prng *prng, struct input *input)
{
    static const uint8_t telling[] = {0,   1,   0x7f, 0x80, 0xff, ' ', '"', '\\', '{',
                                      '}', '[', ']',  ':',  ',',  '-', '9', '\r', '\n'};
    if (input->size == 0) return;
    uint8_t *byte = &input->data[prng_below(prng, input->size)];
    switch (prng_below(prng, 3)) {
    case 0: *byte ^= (uint8_t)(1u << prng_below(prng, 8)); break;
    case 1: *byte = (uint8_t)prng_below(prng, 256); break;
    default: *byte = telling[prng_below(prng, sizeof telling)]; break;
    }
}

static void remove_range(struct prng *prng, struct input *input)
{
    if (input->size == 0) return;
    size_t from = prng_below(prng, input->size);
    size_t length = 1 + prng_below(prng, input->size - from);
    memmove(input->data + from, input->data + from + length, input->size - from - length);
    input->size -= length;
}

/* Puts a piece of another input, or of this one, somewhere. */
static void insert_range(struct prng *prng, struct input *input)
{
    struct input other = prng_below(prng, 2) ? *input : corpus[prng_below(prng, corpus_count)];
    if (other.size == 0) return;
    size_t from = prng_below(prng, other.size);
    size_t length = 1 + prng_below(prng, other.size - from);
    if (input->size + length > INPUT_MAX) return;
    uint8_t *piece = mem_new(length);
    memcpy(piece, other.data + from, length);
    size_t at = prng_below(prng, input->size + 1);
    memmove(input->data + at + length, input->data + at, input->size - at);
    memcpy(input->data + at, piece, length);
    input->size += length;
    mem_free(piece);
}

static void mutate(struct prng *prng, struct input *input)
{
    for (uint64_t left = 1 + prng_below(prng, ROUNDS_MAX); left > 0; left--) {
        switch (prng_below(prng, 5)) {
        case 0: remove_range(prng, input); break;
        case 1: insert_range(prng, input); break;
        case 2: input->size = prng_below(prng, input->size + 1); break;
        default: overwrite(prng, input); break;
        }
    }
}

static void run_mutations(uint64_t count)
{
    struct prng prng;
    prng_seed(&prng, seed);
    struct input input = {.data = mem_new(INPUT_MAX)};
    for (current_mutation = 1; current_mutation <= count; current_mutation++) {
        struct input base = corpus[prng_below(&prng, corpus_count)];
        memcpy(input.data, base.data, base.size);
        input.size = base.size;
        mutate(&prng, &input);
        run_target(input.data, input.size);
    }
    mem_free(input.data);
}

int main(int count, char **arguments)
{
    if (count < 2) die("usage: fuzz_X CORPUS_DIRECTORY MUTATIONS, or a", "FILE");
    (void)signal(SIGABRT, on_crash);
    const char *seed_text = getenv("SEED");
    if (seed_text) seed = strtoull(seed_text, NULL, 0);
    struct stat status;
    if (stat(arguments[1], &status) != 0) die("no such file", arguments[1]);
    if (S_ISREG(status.st_mode)) {
        corpus[corpus_count++] = read_file(arguments[1]);
    } else {
        read_corpus(arguments[1]);
    }
    if (corpus_count == 0) die("empty corpus", arguments[1]);
    for (size_t i = 0; i < corpus_count; i++) run_target(corpus[i].data, corpus[i].size);
    uint64_t mutations = count > 2 ? strtoull(arguments[2], NULL, 0) : 0;
    run_mutations(mutations);
    (void)printf("%zu inputs and %llu mutations of seed %llu\n", corpus_count,
                 (unsigned long long)mutations, (unsigned long long)seed);
    for (size_t i = 0; i < corpus_count; i++) mem_free(corpus[i].data);
    return 0;
}
