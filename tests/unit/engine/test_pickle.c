#include "engine/pickle.c"
#include "test.h"

static enum status check(const char *bytes, size_t size)
{
    struct error err;
    return pickle_check((struct str){bytes, size}, &err);
}

#define CHECK(literal) check("\x80\x02" literal, sizeof("\x80\x02" literal) - 1)

TEST(pickle_as_torch_writes_it)
{
    EXPECT(CHECK(").") == STATUS_OK);
    EXPECT(CHECK("c__torch__\nModel\nq\0)\x81}(X\x08\0\0\0trainingq\1\x89X\3\0\0\0abcq\2Nubq\3.") ==
           STATUS_OK);
    EXPECT(CHECK("(K\1M\1\2J\1\2\3\4G\0\0\0\0\0\0\0\0\x8a\2\1\2t.") == STATUS_OK);
    EXPECT(CHECK("]q\0(h\0h\0e.") == STATUS_OK);
    EXPECT(CHECK("((K\1tK\2\x86K\3\x85t.") == STATUS_OK);
}

TEST(pickle_that_takes_more_than_there_is)
{
    EXPECT(CHECK("\x86.") != STATUS_OK);
    EXPECT(CHECK("K\1\x86.") != STATUS_OK);
    EXPECT(CHECK("N(b.") != STATUS_OK);
    EXPECT(CHECK("NN(b.") != STATUS_OK); // what lies under a mark is out of reach
    EXPECT(CHECK("t.") != STATUS_OK);
    EXPECT(CHECK("(u.") != STATUS_OK);
    EXPECT(CHECK("Q.") != STATUS_OK);
    EXPECT(CHECK(".") != STATUS_OK);
    EXPECT(CHECK("q\0.") != STATUS_OK);
}

TEST(pickle_that_lies_of_sizes_and_places)
{
    EXPECT(CHECK("X\xff\xff\xff\x7f.") != STATUS_OK);
    EXPECT(CHECK("U\x05"
                 "abc.") != STATUS_OK);
    EXPECT(CHECK("Nq\1.") != STATUS_OK);
    EXPECT(CHECK("Nr\xff\xff\xff\xff.") != STATUS_OK);
    EXPECT(CHECK("h\0.") != STATUS_OK);
    EXPECT(CHECK("cmodule\nname") != STATUS_OK);
    EXPECT(CHECK("N") != STATUS_OK);
    EXPECT(CHECK("NN.") != STATUS_OK);
    EXPECT(CHECK("N.N") != STATUS_OK);
    EXPECT(CHECK("(N.") != STATUS_OK);
    EXPECT(CHECK("i.") != STATUS_OK);
    EXPECT(check("\x80\x04N.", 4) != STATUS_OK);
    EXPECT(check("", 0) != STATUS_OK);
}

TEST(pickle_that_nests_without_end)
{
    char bytes[5000] = "\x80\x02";
    memset(bytes + 2, '(', sizeof bytes - 2);
    EXPECT(check(bytes, sizeof bytes) == STATUS_INVALID_ARGUMENT);
}

TEST(pickle_of_any_bytes)
{
    struct prng prng;
    prng_seed(&prng, test_seed());
    static const char common[] = "()]}NqhKtRbuse.X\x85\x86\x87\x81";
    for (int round = 0; round < 20000; round++) {
        char bytes[64] = "\x80\x02";
        size_t size = 2 + (size_t)prng_below(&prng, sizeof bytes - 2);
        for (size_t i = 2; i < size; i++)
            bytes[i] = prng_below(&prng, 4) ? common[prng_below(&prng, sizeof common - 1)]
                                            : (char)prng_u64(&prng);
        enum status status = check(bytes, size);
        EXPECT(status == STATUS_OK || status == STATUS_INVALID_ARGUMENT);
    }
}
