/* SPDX-License-Identifier: Apache-2.0 */
/* A second session of the PostgreSQL driver, which takes half of a large batch; see pgsql_twin.c. */
#ifndef STORE_PGSQL_TWIN_H
#define STORE_PGSQL_TWIN_H

#include "pgsql.h"

/* Before a batch is written: nothing of the second session's is left to come, and it is closed if it was of
 * no use for long. 0 or an error of the first session. */
int twin_settle(struct pgsql *pg, int64_t deadline_ms);

/* Is a batch so large, and the second session well? */
bool twin_is_worth_it(const struct pgsql *pg, const struct tasklog_row *rows, size_t count);

/* As pgsql_write_batch, by both sessions. Rows that the second one could not store are put off, as not tried. */
int twin_write(struct pgsql *pg, const struct tasklog_row *rows, size_t count, int64_t deadline_ms,
               struct tasklog_outcome *outcomes);

#endif
