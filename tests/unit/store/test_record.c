/* Ids, states and what a record may hold. */
#include "store/record.c"
#include "test.h"

#include <pthread.h>

TEST(ids_rise_and_carry_their_time)
{
    char before[RECORD_ID_SIZE + 1] = "";
    const uint64_t start = 1700000000000;
    for (uint64_t i = 0; i < 100000; i++) {
        char id[RECORD_ID_SIZE + 1];
        record_id_make(start + i / 1000, id);
        REQUIRE(record_id_is_valid(str_of(id)));
        REQUIRE(strcmp(before, id) < 0);
        REQUIRE(record_id_time_ms(str_of(id)) == start + i / 1000);
        memcpy(before, id, sizeof id);
    }
}

TEST(ids_rise_when_the_clock_goes_back_and_when_a_millisecond_is_full)
{
    char before[RECORD_ID_SIZE + 1], id[RECORD_ID_SIZE + 1];
    const uint64_t start = 1800000000000;
    record_id_make(start, before);
    for (uint64_t i = 0; i < 200000; i++) {
        record_id_make(start - i % 7, id);
        REQUIRE(strcmp(before, id) < 0);
        memcpy(before, id, sizeof id);
    }
    uint64_t time = record_id_time_ms(str_of(id));
    EXPECT(time >= start + 2 && time <= start + 4); /* 65,536 a millisecond at most */
}

enum { RACERS = 4, RACER_IDS = 20000 };
struct racer {
    char ids[RACER_IDS][RECORD_ID_SIZE + 1];
};

static void *race(void *context)
{
    struct racer *racer = context;
    for (size_t i = 0; i < RACER_IDS; i++) record_id_make(1900000000000, racer->ids[i]);
    return NULL;
}

static int compare_ids(const void *a, const void *b)
{
    return strcmp(a, b);
}

TEST(ids_of_many_threads_are_all_different)
{
    static struct racer racers[RACERS];
    pthread_t threads[RACERS];
    for (size_t i = 0; i < RACERS; i++) pthread_create(&threads[i], NULL, race, &racers[i]);
    for (size_t i = 0; i < RACERS; i++) pthread_join(threads[i], NULL);
    for (size_t i = 0; i < RACERS; i++)
        for (size_t k = 1; k < RACER_IDS; k++)
            REQUIRE(strcmp(racers[i].ids[k - 1], racers[i].ids[k]) < 0);
    char(*all)[RECORD_ID_SIZE + 1] = racers[0].ids;
    qsort(all, (size_t)RACERS * RACER_IDS, sizeof *all, compare_ids);
    for (size_t i = 1; i < (size_t)RACERS * RACER_IDS; i++)
        REQUIRE(strcmp(all[i - 1], all[i]) != 0);
}

TEST(an_id_packs_and_unpacks_in_order)
{
    struct prng prng;
    prng_seed(&prng, test_seed());
    char before_text[RECORD_ID_SIZE + 1] = "00000000000000000000000000";
    uint8_t before[RECORD_ID_BYTES] = {0};
    for (int i = 0; i < 10000; i++) {
        char text[RECORD_ID_SIZE + 1], again[RECORD_ID_SIZE + 1];
        uint8_t bytes[RECORD_ID_BYTES];
        print_id(prng_u64(&prng), prng_u64(&prng), text);
        record_id_pack(str_of(text), bytes);
        record_id_unpack(bytes, again);
        EXPECT_TEXT(again, text);
        EXPECT((memcmp(before, bytes, sizeof bytes) < 0) == (strcmp(before_text, text) < 0));
        memcpy(before, bytes, sizeof bytes);
        memcpy(before_text, text, sizeof text);
    }
}

TEST(what_is_no_id)
{
    EXPECT(record_id_is_valid(STR("01ARZ3NDEKTSV4RRFFQ69G5FAV")));
    EXPECT(record_id_is_valid(STR("7ZZZZZZZZZZZZZZZZZZZZZZZZZ")));
    EXPECT(!record_id_is_valid(STR("8ZZZZZZZZZZZZZZZZZZZZZZZZZ")));
    EXPECT(!record_id_is_valid(STR("01ARZ3NDEKTSV4RRFFQ69G5FA")));
    EXPECT(!record_id_is_valid(STR("01ARZ3NDEKTSV4RRFFQ69G5FAVX")));
    EXPECT(!record_id_is_valid(STR("01ARZ3NDEKTSV4RRFFQ69G5FAU")));
    EXPECT(!record_id_is_valid(STR("01arz3ndektsv4rrffq69g5fav")));
    EXPECT(!record_id_is_valid(STR("01ARZ3NDEKTSV4RRFFQ69G5FA\0")));
    EXPECT(!record_id_is_valid(STR_EMPTY));
}

TEST(the_first_id_of_a_millisecond_is_not_above_its_ids)
{
    char first[RECORD_ID_SIZE + 1], next[RECORD_ID_SIZE + 1], id[RECORD_ID_SIZE + 1];
    const uint64_t now = 2000000000000;
    record_id_first(now, first);
    record_id_make(now, id);
    record_id_first(now + 1, next);
    EXPECT(strcmp(first, id) <= 0 && strcmp(id, next) < 0);
    record_id_first(UINT64_MAX, next);
    EXPECT(record_id_is_valid(str_of(next)));
}

TEST(states_and_sources_have_names)
{
    for (unsigned i = 0; i < RECORD_STATE_COUNT; i++) {
        enum record_state state = RECORD_STATE_COUNT;
        EXPECT(record_state_of(str_of(record_state_text((enum record_state)i)), &state));
        EXPECT_INT(state, i);
        EXPECT_INT(record_state_is_final(state), i != RECORD_PENDING && i != RECORD_RUNNING);
    }
    for (unsigned i = 0; i < RECORD_SOURCE_COUNT; i++) {
        enum record_source source = RECORD_SOURCE_COUNT;
        EXPECT(record_source_of(str_of(record_source_text((enum record_source)i)), &source));
        EXPECT_INT(source, i);
    }
    enum record_state state = RECORD_FAILED;
    EXPECT(!record_state_of(STR("Failed"), &state) && state == RECORD_FAILED);
    EXPECT_TEXT(record_keep_text(RECORD_KEEP_HASHED), "hashed");
}

TEST(what_a_store_would_not_keep_is_refused)
{
    struct error err;
    struct record record = {.id = "01ARZ3NDEKTSV4RRFFQ69G5FAV", .model = STR("m")};
    EXPECT_STATUS(record_check(&record, &err), STATUS_OK, err);
    record.request_id = STR("a\0b");
    EXPECT_STATUS(record_check(&record, &err), STATUS_INVALID_ARGUMENT, err);
    EXPECT_TEXT(err.message, "request id is not UTF-8 text without NUL");
    record.request_id = STR("\xff");
    EXPECT_STATUS(record_check(&record, &err), STATUS_INVALID_ARGUMENT, err);
    record.request_id = STR("é");
    static char key[RECORD_KEY_MAX + 1];
    memset(key, 'k', sizeof key);
    record.key = (struct str){key, RECORD_KEY_MAX};
    EXPECT_STATUS(record_check(&record, &err), STATUS_OK, err);
    record.key.size++;
    EXPECT_STATUS(record_check(&record, &err), STATUS_INVALID_ARGUMENT, err);
    record.key.size--;
    record.id[3] = 'u';
    EXPECT_STATUS(record_check(&record, &err), STATUS_INVALID_ARGUMENT, err);
}

/* Every kind of payload, of every state: what may be run or given again, and from where. */
TEST(what_is_there_whole)
{
    const struct record_payload whole = {.bytes = STR("[1]"), .keep = RECORD_KEEP_INLINE};
    for (unsigned state = 0; state < RECORD_STATE_COUNT; state++) {
        struct record record = {.state = (enum record_state)state, .input = whole, .output = whole};
        bool final = record_state_is_final(record.state), done = state == RECORD_SUCCEEDED;
        EXPECT(record_whole_input(&record) == &record.input);
        EXPECT(record_whole_output(&record) == (done ? &record.output : NULL));
        for (unsigned keep = 0; keep < RECORD_KEEP_COUNT; keep++) {
            record.input.keep = record.output.keep = (enum record_keep)keep;
            record.input.hashed = record.output.hashed = true; /* as what was redacted is */
            record.loan = (struct record_payload){.keep = RECORD_KEEP_INLINE};
            EXPECT(!record_whole_input(&record) && !record_whole_output(&record));
            record.loan.bytes = STR("[1]");
            EXPECT(record_whole_input(&record) == (final ? NULL : &record.loan));
            EXPECT(record_whole_output(&record) == (done ? &record.loan : NULL));
        }
    }
    const struct record_payload left_out = {.keep = RECORD_KEEP_INLINE}; /* of a list */
    EXPECT(!record_payload_is_whole(&left_out));
}
