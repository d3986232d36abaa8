/* SPDX-License-Identifier: Apache-2.0 */
/* SipHash-1-3 against the vectors that others publish, and that it spreads what people call tasks. */
#include "task/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

/* Words are read in the machine's own order; the published numbers are a little-endian one's. */
static void skip_if_big_endian(void)
{
    const uint16_t one = 1;

    if (*(const char *)&one == 0)
        skip();
}

static void it_agrees_with_the_published_vectors(void **state)
{
    /* Key 00 01 … 0f, input 00 01 02 … of the index's length; as in Rust's library. */
    static const uint64_t expected[] = {
        0xabac0158050fc4dc, 0xc9f49bf37d57ca93, 0x82cb9b024dc7d44d, 0x8bf80ab8e7ddf7fb,
        0xcf75576088d38328, 0xdef9d52f49533b67, 0xc50d2b50c59f22a7, 0xd3927d989bb11140,
        0x369095118d299a8e, 0x25a48eb36c063de4, 0x79de85ee92ff097f, 0x70c118c1f94dc352,
        0x78a384b157b4d9a2, 0x306f760c1229ffa7, 0x605aa111c0f95d34, 0xd320d86d2a519956,
        0xcc4fdd1a7d908b66, 0x9cf2689063dbd80c, 0x8ffc389cb473e63e, 0xf21f9de58d297d1c,
        0xc0dc2f46a6cce040, 0xb992abfe2b45f844, 0x7ffe7b9ba320872e, 0x525a0e7fdae6c123,
        0xf464aeb267349c8c,
    };
    const struct hash_key key = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
    unsigned char input[sizeof(expected) / sizeof(expected[0])];

    (void)state;
    skip_if_big_endian();
    for (size_t i = 0; i < sizeof(input); i++) {
        input[i] = (unsigned char)i;
        assert_true(hash_bytes(&key, input, i) == expected[i]);
    }
}

static void it_agrees_with_pythons_hash_of_bytes(void **state)
{
    /* Python 3.11 and later with PYTHONHASHSEED=0, whose key is zero. */
    static const struct {
        const char *text;
        uint64_t expected;
    } cases[] = {
        {"a", 0x407448d2b89b1813},
        {"abc", 0xc03bc3a0042630f2},
        {"abcdefgh", 0x3f7b849c0b8e35ea},
        {"abcdefghi", 0xf89b34a3d11eb6e5},
        {"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", 0x003e6ede9d87d836},
    };
    const struct hash_key key = {0, 0};

    (void)state;
    skip_if_big_endian();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_true(hash_bytes(&key, cases[i].text, strlen(cases[i].text)) == cases[i].expected);
}

static void another_key_gives_another_hash(void **state)
{
    const struct hash_key keys[] = {{0, 0}, {1, 0}, {0, 1}};

    (void)state;
    assert_true(hash_bytes(&keys[0], "job", 3) != hash_bytes(&keys[1], "job", 3));
    assert_true(hash_bytes(&keys[0], "job", 3) != hash_bytes(&keys[2], "job", 3));
    assert_true(hash_bytes(&keys[0], "", 0) != hash_bytes(&keys[0], "\0", 1));
}

static void numbered_ids_spread_over_the_buckets(void **state)
{
    static unsigned buckets[1 << 16];
    const struct hash_key key = {0x0123456789abcdef, 0xfedcba9876543210};
    unsigned longest = 0;

    (void)state;
    for (int i = 0; i < 1 << 16; i++) {
        char id[32];
        size_t bytes = (size_t)snprintf(id, sizeof(id), "job%crun-%d", '\0', i);
        unsigned *bucket = &buckets[hash_bytes(&key, id, bytes) & 0xFFFF];
        (*bucket)++;
        longest = *bucket > longest ? *bucket : longest;
    }
    assert_in_range(longest, 4, 12); /* balls into bins: 8 is what chance gives */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_agrees_with_the_published_vectors),
        cmocka_unit_test(it_agrees_with_pythons_hash_of_bytes),
        cmocka_unit_test(another_key_gives_another_hash),
        cmocka_unit_test(numbered_ids_spread_over_the_buckets),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
