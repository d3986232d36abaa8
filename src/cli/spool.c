/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tasklog spool: looks at the dead letters of spools, writes them again or drops them. It works beside
 * the process that holds a spool, and opens no segment.
 */
#include <errno.h>
#include <getopt.h>
#include <glob.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli.h"
#include "tasklog/letter.h"
#include "tasklog/letterbox.h"

#define DEFAULT_SPOOLS "/var/spool/rsyslog/tasklog/*"
enum { STORE_TIMEOUT_MS = 30000, ERROR_BYTES = 512 };

struct call {
    glob_t spools;
    bool all;
    char **names;
    size_t name_count;
    size_t found_count; /* letters that were named and found */
    size_t failed_count;
};

/* One letter, read; returns CLI_OK, or CLI_FAILED after saying why. */
typedef int act_function(const char *spool, const struct tasklog_letter_entry *entry,
                         const struct tasklog_letter *letter);

static void print_usage(FILE *out)
{
    fputs(
        "usage: tasklog spool [-d FOLDER ...] list\n"
        "       tasklog spool [-d FOLDER ...] show LETTER ... | --all\n"
        "       tasklog spool [-d FOLDER ...] retry LETTER ... | --all\n"
        "       tasklog spool [-d FOLDER ...] drop LETTER ... | --all\n\n"
        "Dead letters are results that the database refused for good: they are kept in the spool,\n"
        "with the reason. `retry` writes them once more, after the cause has been mended.\n\n"
        "  -d FOLDER   a spool; the default is each one below " DEFAULT_SPOOLS "\n"
        "  -a, --all   every letter\n",
        out);
}

static int list_letter(const char *spool, const struct tasklog_letter_entry *entry,
                       const struct tasklog_letter *letter)
{
    (void)spool;
    printf("%s  ", entry->name);
    cli_print_time(stdout, letter->time_us);
    fputs("  ", stdout);
    cli_print_text(stdout, letter->kind, strlen(letter->kind));
    fputc('[', stdout);
    cli_print_text(stdout, letter->task_id, strlen(letter->task_id));
    printf("]  %s  ", letter->target.table);
    cli_print_text(stdout, letter->reason, strlen(letter->reason));
    fputc('\n', stdout);
    return CLI_OK;
}

static void print_value(const struct tasklog_column *column, const struct tasklog_value *value)
{
    printf("  %s: ", column->name);
    if (value->is_null) {
        fputs("NULL", stdout);
    } else {
        switch (column->type) {
        case TASKLOG_TEXT:
        case TASKLOG_JSON:
            if (memchr(value->text, '\n', value->text_bytes))
                fputc('\n', stdout);
            cli_print_text(stdout, value->text, value->text_bytes);
            break;
        case TASKLOG_TIME:
            cli_print_time(stdout, value->number);
            break;
        case TASKLOG_SECONDS:
            printf("%.6f", (double)value->number / 1e6);
            break;
        case TASKLOG_INTEGER:
        case TASKLOG_BOOLEAN:
            printf("%lld", (long long)value->number);
            break;
        }
    }
    fputc('\n', stdout);
}

static int show_letter(const char *spool, const struct tasklog_letter_entry *entry,
                       const struct tasklog_letter *letter)
{
    const struct tasklog_target *target = &letter->target;

    printf("letter  %s in %s\nrefused ", entry->name, spool);
    cli_print_time(stdout, letter->time_us);
    fputs("\nreason  ", stdout);
    cli_print_text(stdout, letter->reason, strlen(letter->reason));
    if (letter->sqlstate[0])
        printf(" (SQLSTATE %s)", letter->sqlstate);
    fputs("\ntask    ", stdout);
    cli_print_text(stdout, letter->kind, strlen(letter->kind));
    fputc('[', stdout);
    cli_print_text(stdout, letter->task_id, strlen(letter->task_id));
    printf("]\ntable   %s\nkey\n", target->table);
    for (size_t i = 0; i < target->key_count; i++)
        print_value(&target->keys[i], &letter->row.keys[i]);
    fputs("columns\n", stdout);
    for (size_t i = 0; i < target->column_count; i++)
        print_value(&target->columns[i], &letter->row.columns[i]);
    fputc('\n', stdout);
    return CLI_OK;
}

static int remove_letter(const char *spool, const char *name, const char *done)
{
    int r = tasklog_letterbox_remove(spool, name);

    if (r < 0) {
        cli_error("%s cannot be removed: %s", name, strerror(-r));
        return CLI_FAILED;
    }
    printf("%s %s\n", name, done);
    return CLI_OK;
}

static int drop_letter(const char *spool, const struct tasklog_letter_entry *entry,
                       const struct tasklog_letter *letter)
{
    (void)letter;
    return remove_letter(spool, entry->name, "dropped");
}

static int retry_letter(const char *spool, const struct tasklog_letter_entry *entry,
                        const struct tasklog_letter *letter)
{
    struct tasklog_outcome outcome = {.verdict = TASKLOG_LATER};
    struct tasklog_store *store = NULL;
    char error[ERROR_BYTES];
    int r = tasklog_store_new(&letter->target, &cli_clock, error, sizeof(error), &store);

    if (r == 0)
        r = tasklog_store_write(store, &letter->row, 1, STORE_TIMEOUT_MS, &outcome);
    else
        outcome.verdict = TASKLOG_NEVER;
    if (r == 0 && outcome.verdict == TASKLOG_KEPT) {
        tasklog_store_free(store);
        return remove_letter(spool, entry->name, "stored");
    }
    cli_error("%s is still not stored: %s", entry->name,
              !store  ? error
              : r < 0 ? tasklog_store_message(store)
                      : outcome.reason);
    tasklog_store_free(store);
    return CLI_FAILED;
}

static bool is_wanted(const struct call *call, const char *name)
{
    if (call->all)
        return true;
    for (size_t i = 0; i < call->name_count; i++)
        if (strcmp(call->names[i], name) == 0)
            return true;
    return false;
}

static void do_letter(struct call *call, const char *spool,
                      const struct tasklog_letter_entry *entry, act_function *act)
{
    struct tasklog_letter letter;
    void *data;
    size_t bytes;

    if (act == drop_letter) { /* a damaged one can go, too */
        call->found_count++;
        call->failed_count += drop_letter(spool, entry, NULL) != CLI_OK;
        return;
    }
    int r = tasklog_letterbox_read(spool, entry->name, &data, &bytes);

    if (r == -ENOENT)
        return; /* somebody else took it */
    call->found_count++;
    if (r == 0) {
        r = tasklog_letter_decode(data, bytes, &letter);
        if (r == 0) {
            if (act(spool, entry, &letter) != CLI_OK)
                call->failed_count++;
            tasklog_letter_done(&letter);
        }
        free(data);
    }
    if (r < 0) {
        cli_error("%s in %s cannot be read: %s", entry->name, spool,
                  r == -EBADMSG ? "it is damaged" : strerror(-r));
        call->failed_count++;
    }
}

static void do_spool(struct call *call, const char *spool, act_function *act)
{
    struct tasklog_letter_entry *entries = NULL;
    struct stat status;
    size_t count = 0;
    int r = stat(spool, &status) < 0 ? -errno : tasklog_letterbox_list(spool, &entries, &count);

    if (r < 0) {
        cli_error("spool %s cannot be read: %s", spool, strerror(-r));
        call->failed_count++;
        return;
    }
    for (size_t i = 0; i < count; i++)
        if (is_wanted(call, entries[i].name))
            do_letter(call, spool, &entries[i], act);
    free(entries);
}

static int do_all(struct call *call, act_function *act)
{
    for (size_t i = 0; i < call->spools.gl_pathc; i++)
        do_spool(call, call->spools.gl_pathv[i], act);
    if (!call->all && call->found_count < call->name_count) {
        cli_error("%zu of the letters named %s not there; tasklog spool list shows them",
                  call->name_count - call->found_count,
                  call->name_count - call->found_count == 1 ? "is" : "are");
        return CLI_FAILED;
    }
    return call->failed_count > 0 ? CLI_FAILED : CLI_OK;
}

static int dispatch(struct call *call, const char *verb)
{
    static const struct {
        const char *name;
        act_function *act;
        bool takes_all;
    } verbs[] = {{"list", list_letter, false},
                 {"show", show_letter, true},
                 {"retry", retry_letter, true},
                 {"drop", drop_letter, true}};

    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        if (strcmp(verb, verbs[i].name) != 0)
            continue;
        if (i == 0)
            call->all = true;
        if (!call->all && call->name_count == 0) {
            cli_error("which letters? name them, or say --all");
            return CLI_USAGE;
        }
        return do_all(call, verbs[i].act);
    }
    cli_error("\"spool %s\" is none of list, show, retry, drop", verb);
    return CLI_USAGE;
}

static int run(int count, char **arguments)
{
    static const struct option options[] = {{"directory", required_argument, NULL, 'd'},
                                            {"all", no_argument, NULL, 'a'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    struct call call = {0};
    int option, flags = 0, result;

    while ((option = getopt_long(count, arguments, "ad:h", options, NULL)) != -1) {
        switch (option) {
        case 'd':
            (void)glob(optarg, GLOB_NOCHECK | GLOB_NOMAGIC | flags, NULL, &call.spools);
            flags = GLOB_APPEND;
            break;
        case 'a':
            call.all = true;
            break;
        case 'h':
            print_usage(stdout);
            globfree(&call.spools);
            return CLI_OK;
        default:
            print_usage(stderr);
            globfree(&call.spools);
            return CLI_USAGE;
        }
    }
    if (flags == 0 && optind < count && glob(DEFAULT_SPOOLS, 0, NULL, &call.spools) != 0) {
        cli_error(
            "no spool is to be seen below /var/spool/rsyslog/tasklog: either there is none, or it "
            "may "
            "be looked at by root only, or rsyslog's workDirectory is elsewhere: name it with -d");
        return CLI_FAILED;
    }
    if (optind == count) {
        print_usage(stderr);
        result = CLI_USAGE;
    } else {
        call.names = arguments + optind + 1;
        call.name_count = (size_t)(count - optind - 1);
        result = dispatch(&call, arguments[optind]);
    }
    globfree(&call.spools);
    return result;
}

const struct cli_command cli_spool = {"spool", "look at dead letters, store them again, drop them",
                                      run};
