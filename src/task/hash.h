/* SPDX-License-Identifier: Apache-2.0 */
/* SipHash-1-3: a keyed hash, since whoever may log chooses the task ids. */
#ifndef TASKLOG_SRC_HASH_H
#define TASKLOG_SRC_HASH_H

#include <stddef.h>
#include <stdint.h>

struct hash_key {
    uint64_t k0;
    uint64_t k1;
};

uint64_t hash_bytes(const struct hash_key *key, const void *data, size_t bytes);

#endif
