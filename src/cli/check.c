/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tasklog check: what a configuration would write where, and whether the database takes it. It connects and
 * looks; it writes nothing. The stores have the words for what is wrong.
 */
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "check_source.h"
#include "cli.h"
#include "tasklog/store.h"

enum { TIMEOUT_MS = 10000 };

static void print_usage(FILE *out)
{
    fputs("usage: tasklog check CONF ...\n\n"
          "Says what a configuration would write into which columns, and looks whether the\n"
          "database has them and lets it. CONF is a configuration of rsyslog (with what it\n"
          "includes), of tasklog-journald or of tasklog-kafka. Run it as the user who will\n"
          "write: sudo -u USER.\n",
          out);
}

static void print_columns(const struct tasklog_config *config, const char *head, size_t from,
                          const struct tasklog_column *columns, size_t count)
{
    for (size_t i = 0; i < count; i++)
        printf("  %-9s %-12s -> %s\n", i == 0 ? head : "", tasklog_config_field(config, from + i),
               columns[i].name);
}

static void print_plan(const struct check_target *found, const struct tasklog_store *store)
{
    const struct tasklog_target *target = tasklog_config_target(found->config);

    printf("%s \"%s\" (%s", found->what, found->name, found->path);
    if (found->line > 0)
        printf(":%d", found->line);
    printf(")\n  database  %s\n  table     %s, mode \"%s\"\n", tasklog_store_name(store),
           target->table, target->mode == TASKLOG_UPSERT ? "upsert" : "update");
    if (found->kind_count > 0)
        fputs("  kinds    ", stdout);
    for (size_t i = 0; i < found->kind_count; i++)
        printf(" %s", found->kinds[i]);
    if (found->kind_count > 0)
        putchar('\n');
    if (found->spool)
        printf("  spool     %s\n", found->spool);
    else
        printf("  spool     tasklog/%s below rsyslog's workDirectory, which is not set here\n",
               found->name);
    print_columns(found->config, "key", 0, target->keys, target->key_count);
    print_columns(found->config, "columns", target->key_count, target->columns,
                  target->column_count);
}

static void complain(const struct check_target *found, const char *why)
{
    fflush(stdout);
    if (found->line > 0)
        cli_error("%s:%d: %s \"%s\": %s", found->path, found->line, found->what, found->name, why);
    else
        cli_error("%s: %s \"%s\": %s", found->path, found->what, found->name, why);
}

static void check_target(void *context, const struct check_target *found)
{
    size_t *wrong = context; /* how many targets were */
    struct tasklog_store *store = NULL;
    char error[TASKLOG_ERROR_BYTES] = "out of memory";

    if (tasklog_store_new(tasklog_config_target(found->config), &cli_clock, error, sizeof(error),
                          &store) < 0) {
        complain(found, error);
        (*wrong)++;
        return;
    }
    int r = tasklog_store_open(store, TIMEOUT_MS);
    print_plan(found, store);
    printf("  %s\n\n", r == 0 ? "all right" : "WRONG");
    if (r < 0) {
        complain(found, tasklog_store_message(store));
        (*wrong)++;
    }
    tasklog_store_free(store);
}

static int run(int count, char **arguments)
{
    static const struct option options[] = {{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    size_t mistakes = 0, wrong = 0;
    int option;

    while ((option = getopt_long(count, arguments, "h", options, NULL)) != -1) {
        print_usage(option == 'h' ? stdout : stderr);
        return option == 'h' ? CLI_OK : CLI_USAGE;
    }
    if (optind == count) {
        print_usage(stderr);
        return CLI_USAGE;
    }
    for (int i = optind; i < count; i++)
        mistakes += check_source_read(arguments[i], check_target, &wrong);
    return mistakes + wrong > 0 ? CLI_FAILED : CLI_OK;
}

const struct cli_command cli_check = {"check", "look whether a configuration and its database fit",
                                      run};
