/* SPDX-License-Identifier: Apache-2.0 */
/* Rate limit of messages; see the header. */
#include "rate.h"

enum { MINUTE_MS = 60000 };

bool rate_allows(struct rate *rate, unsigned per_minute, int64_t now_ms, uint64_t *ret_held)
{
    if (rate->said == 0 || now_ms - rate->since_ms >= MINUTE_MS) {
        rate->since_ms = now_ms;
        rate->said = 0;
    }
    if (rate->said == per_minute) {
        rate->held++;
        return false;
    }
    rate->said++;
    *ret_held = rate->held;
    rate->held = 0;
    return true;
}
