/* SPDX-License-Identifier: Apache-2.0 */
/* librdkafka's consumer of one topic as tasklog-kafka needs it, with the user's properties. */
#ifndef TASKLOG_SRC_KAFKA_CLIENT_H
#define TASKLOG_SRC_KAFKA_CLIENT_H

#include <librdkafka/rdkafka.h>

#include "tasklog/targets.h"

/* As librdkafka has them; `log` from any thread, the others from within polls. */
struct client_calls {
    void (*log)(const rd_kafka_t *, int, const char *, const char *);
    void (*failed)(rd_kafka_t *, int, const char *, void *);
    void (*rebalanced)(rd_kafka_t *, rd_kafka_resp_err_t, rd_kafka_topic_partition_list_t *,
                       void *);
    void (*committed)(rd_kafka_t *, rd_kafka_resp_err_t, rd_kafka_topic_partition_list_t *, void *);
};

/* A consumer that is joining its group; `context` is the calls' and librdkafka's opaque. 0, or -EINVAL with a line
 * in `error` (TASKLOG_ERROR_BYTES). */
int client_new(const struct tasklog_kafka *kafka, const struct client_calls *calls, void *context,
               char *error, rd_kafka_t **ret_client) __attribute__((warn_unused_result));

#endif
