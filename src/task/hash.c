/* SPDX-License-Identifier: Apache-2.0 */
/* SipHash-1-3 after Aumasson and Bernstein, "SipHash: a fast short-input PRF" (2012): one round a
 * word, three at the end. Words are read in the machine's own order: the result stays inside one
 * process. */
#include "hash.h"

#include <string.h>

struct state {
    uint64_t v0, v1, v2, v3;
};

static uint64_t rotate(uint64_t x, int bits)
{
    return (x << bits) | (x >> (64 - bits));
}

static void mix(struct state *s)
{
    s->v0 += s->v1;
    s->v1 = rotate(s->v1, 13) ^ s->v0;
    s->v0 = rotate(s->v0, 32);
    s->v2 += s->v3;
    s->v3 = rotate(s->v3, 16) ^ s->v2;
    s->v0 += s->v3;
    s->v3 = rotate(s->v3, 21) ^ s->v0;
    s->v2 += s->v1;
    s->v1 = rotate(s->v1, 17) ^ s->v2;
    s->v2 = rotate(s->v2, 32);
}

static void absorb(struct state *s, uint64_t word)
{
    s->v3 ^= word;
    mix(s);
    s->v0 ^= word;
}

uint64_t hash_bytes(const struct hash_key *key, const void *data, size_t bytes)
{
    struct state s = {key->k0 ^ UINT64_C(0x736f6d6570736575),
                      key->k1 ^ UINT64_C(0x646f72616e646f6d),
                      key->k0 ^ UINT64_C(0x6c7967656e657261),
                      key->k1 ^ UINT64_C(0x7465646279746573)};
    const char *at = data;
    uint64_t word, last = (uint64_t)bytes << 56;
    size_t left = bytes;

    for (; left >= sizeof(word); left -= sizeof(word), at += sizeof(word)) {
        memcpy(&word, at, sizeof(word));
        absorb(&s, word);
    }
    for (size_t i = 0; i < left; i++)
        last |= (uint64_t)(unsigned char)at[i] << (8 * i);
    absorb(&s, last);
    s.v2 ^= 0xFF;
    mix(&s);
    mix(&s);
    mix(&s);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
