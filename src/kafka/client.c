/* SPDX-License-Identifier: Apache-2.0 */
/* Properties, and the subscription. */
#include "client.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>

struct property {
    const char *name;
    const char *value;
};

/* What is refused is in the error. */
static bool set_one(rd_kafka_conf_t *conf, const char *name, const char *value, char *error)
{
    char why[256];

    if (rd_kafka_conf_set(conf, name, value, why, sizeof(why)) == RD_KAFKA_CONF_OK)
        return true;
    snprintf(error, TASKLOG_ERROR_BYTES, "[kafka]: \"%.100s\": %s", name, why);
    return false;
}

static bool set_all(rd_kafka_conf_t *conf, const struct property *properties, size_t count,
                    char *error)
{
    bool good = true;

    for (size_t i = 0; good && i < count; i++)
        good = set_one(conf, properties[i].name, properties[i].value, error);
    return good;
}

/* NULL with an error. */
static rd_kafka_conf_t *make_conf(const struct tasklog_kafka *kafka, char *error)
{
    const struct property defaults[] = {{"fetch.wait.max.ms", "100"},
                                        {"client.id", "tasklog-kafka"}};
    const struct property own[] = {
        {"bootstrap.servers", kafka->brokers},
        {"group.id", kafka->group},
        {"enable.auto.commit", "false"},
        {"enable.auto.offset.store", "false"},
        {"auto.offset.reset", "earliest"},
        {"enable.partition.eof", "true"},
        {"partition.assignment.strategy", "range,roundrobin"}, /* all is given back each time */
    };
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    bool good = set_all(conf, defaults, sizeof(defaults) / sizeof(defaults[0]), error);

    for (size_t i = 0; good && i < kafka->property_count; i++)
        good = set_one(conf, kafka->properties[i].name, kafka->properties[i].value, error);
    if (good && set_all(conf, own, sizeof(own) / sizeof(own[0]), error))
        return conf;
    rd_kafka_conf_destroy(conf);
    return NULL;
}

static rd_kafka_resp_err_t subscribe(rd_kafka_t *client, const char *topic)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);

    (void)rd_kafka_poll_set_consumer(client);
    rd_kafka_topic_partition_list_add(list, topic, RD_KAFKA_PARTITION_UA);
    rd_kafka_resp_err_t r = rd_kafka_subscribe(client, list);
    rd_kafka_topic_partition_list_destroy(list);
    return r;
}

int client_new(const struct tasklog_kafka *kafka, const struct client_calls *calls, void *context,
               char *error, rd_kafka_t **ret_client)
{
    rd_kafka_conf_t *conf = make_conf(kafka, error);
    char why[256];

    if (!conf)
        return -EINVAL;
    rd_kafka_conf_set_opaque(conf, context);
    rd_kafka_conf_set_log_cb(conf, calls->log);
    rd_kafka_conf_set_error_cb(conf, calls->failed);
    rd_kafka_conf_set_rebalance_cb(conf, calls->rebalanced);
    rd_kafka_conf_set_offset_commit_cb(conf, calls->committed);
    rd_kafka_t *client = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof(why));
    if (!client) {
        rd_kafka_conf_destroy(conf);
        snprintf(error, TASKLOG_ERROR_BYTES, "[kafka]: %s", why);
        return -EINVAL;
    }
    rd_kafka_resp_err_t r = subscribe(client, kafka->topic);
    if (r != RD_KAFKA_RESP_ERR_NO_ERROR) {
        rd_kafka_destroy(client);
        snprintf(error, TASKLOG_ERROR_BYTES, "[kafka]: \"topic\": %s", rd_kafka_err2str(r));
        return -EINVAL;
    }
    *ret_client = client;
    return 0;
}
