/*
 * simdjson's on-demand parser on the arrays that bench/codec writes with `texts`.
 *
 *   simdjson DIRECTORY      one line per file: number, MB/s, nanoseconds a value; best of 51 rounds
 *
 * As with Slipway, the values end as floats in an array; parser and buffers are reused.
 */
#include <chrono>
#include <cstdio>
#include <fstream>
#include <simdjson.h>
#include <string>
#include <vector>

static constexpr int rounds = 51;

/* Seconds of one parse. */
static double parse(simdjson::ondemand::parser &parser, const simdjson::padded_string &text,
                    std::vector<float> &values)
{
    auto start = std::chrono::steady_clock::now();
    values.clear();
    simdjson::ondemand::document document = parser.iterate(text);
    for (double value : document.get_array()) values.push_back(static_cast<float>(value));
    std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    return taken.count();
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        std::fprintf(stderr, "usage: simdjson DIRECTORY\n");
        return 64;
    }
    for (int set = 0;; set++) {
        std::string path = std::string(argv[1]) + "/" + std::to_string(set) + ".json";
        if (!std::ifstream(path)) return set == 0;
        simdjson::padded_string text = simdjson::padded_string::load(path);
        simdjson::ondemand::parser parser;
        std::vector<float> values;
        double best = 1e9;
        for (int round = 0; round < rounds; round++)
            best = std::min(best, parse(parser, text, values));
        std::printf("%d %.0f %.1f\n", set, static_cast<double>(text.size()) / best / 1e6,
                    best * 1e9 / static_cast<double>(values.size()));
    }
}
