/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables that say what an error code means for a row, compared with a second list made by hand
 * from the manuals of PostgreSQL and SQLite. It does not ask a database.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "store/refusal.h"

static const struct {
    const char *sqlstate;
    const char *name;
    enum refusal refusal;
} sqlstates[] = {
    {"08000", "connection_exception", REFUSAL_SESSION},
    {"08003", "connection_does_not_exist", REFUSAL_SESSION},
    {"08006", "connection_failure", REFUSAL_SESSION},
    {"08P01", "protocol_violation", REFUSAL_SESSION},
    {"0A000", "feature_not_supported", REFUSAL_TARGET},
    {"21000", "cardinality_violation", REFUSAL_NEVER},
    {"22001", "string_data_right_truncation", REFUSAL_NEVER},
    {"22003", "numeric_value_out_of_range", REFUSAL_NEVER},
    {"22007", "invalid_datetime_format", REFUSAL_NEVER},
    {"22021", "character_not_in_repertoire", REFUSAL_NEVER},
    {"22P02", "invalid_text_representation", REFUSAL_NEVER},
    {"22P05", "untranslatable_character", REFUSAL_NEVER},
    {"23000", "integrity_constraint_violation", REFUSAL_NEVER},
    {"23502", "not_null_violation", REFUSAL_NEVER},
    {"23503", "foreign_key_violation", REFUSAL_NEVER},
    {"23505", "unique_violation", REFUSAL_NEVER},
    {"23514", "check_violation", REFUSAL_NEVER},
    {"23P01", "exclusion_violation", REFUSAL_NEVER},
    {"25000", "invalid_transaction_state", REFUSAL_LATER},
    {"25006", "read_only_sql_transaction", REFUSAL_SESSION},
    {"25P02", "in_failed_sql_transaction", REFUSAL_LATER},
    {"25P03", "idle_in_transaction_session_timeout", REFUSAL_SESSION},
    {"27000", "triggered_data_change_violation", REFUSAL_NEVER},
    {"28000", "invalid_authorization_specification", REFUSAL_TARGET},
    {"28P01", "invalid_password", REFUSAL_TARGET},
    {"3D000", "invalid_catalog_name", REFUSAL_TARGET},
    {"3F000", "invalid_schema_name", REFUSAL_TARGET},
    {"40001", "serialization_failure", REFUSAL_LATER},
    {"40003", "statement_completion_unknown", REFUSAL_LATER},
    {"40P01", "deadlock_detected", REFUSAL_LATER},
    {"42501", "insufficient_privilege", REFUSAL_TARGET},
    {"42601", "syntax_error", REFUSAL_TARGET},
    {"42703", "undefined_column", REFUSAL_TARGET},
    {"42804", "datatype_mismatch", REFUSAL_NEVER},
    {"42883", "undefined_function", REFUSAL_TARGET},
    {"42P01", "undefined_table", REFUSAL_TARGET},
    {"44000", "with_check_option_violation", REFUSAL_NEVER},
    {"53100", "disk_full", REFUSAL_LATER},
    {"53200", "out_of_memory", REFUSAL_LATER},
    {"53300", "too_many_connections", REFUSAL_LATER},
    {"54000", "program_limit_exceeded", REFUSAL_NEVER},
    {"55000", "object_not_in_prerequisite_state", REFUSAL_TARGET},
    {"55006", "object_in_use", REFUSAL_LATER},
    {"55P03", "lock_not_available", REFUSAL_LATER},
    {"57014", "query_canceled", REFUSAL_LATER},
    {"57P01", "admin_shutdown", REFUSAL_SESSION},
    {"57P02", "crash_shutdown", REFUSAL_SESSION},
    {"57P03", "cannot_connect_now", REFUSAL_SESSION},
    {"57P05", "idle_session_timeout", REFUSAL_SESSION},
    {"58030", "io_error", REFUSAL_LATER},
    {"72000", "snapshot_too_old", REFUSAL_LATER},
    {"F0000", "config_file_error", REFUSAL_LATER},
    {"HV000", "fdw_error", REFUSAL_LATER},
    {"P0001", "raise_exception", REFUSAL_NEVER},
    {"P0004", "assert_failure", REFUSAL_NEVER},
    {"XX000", "internal_error", REFUSAL_LATER},
    {"XX001", "data_corrupted", REFUSAL_LATER},
    {"TL001", "one that a trigger made up", REFUSAL_NEVER},
    {"", "no state at all", REFUSAL_SESSION},
    {"4200", "a state cut short", REFUSAL_SESSION},
    {NULL, "none", REFUSAL_SESSION},
};

static const struct {
    int code;
    const char *name;
    enum refusal refusal;
} sqlite_codes[] = {
    {SQLITE_BUSY, "BUSY", REFUSAL_LATER},
    {SQLITE_BUSY_SNAPSHOT, "BUSY_SNAPSHOT", REFUSAL_LATER},
    {SQLITE_BUSY_RECOVERY, "BUSY_RECOVERY", REFUSAL_LATER},
    {SQLITE_LOCKED, "LOCKED", REFUSAL_LATER},
    {SQLITE_LOCKED_SHAREDCACHE, "LOCKED_SHAREDCACHE", REFUSAL_LATER},
    {SQLITE_INTERRUPT, "INTERRUPT", REFUSAL_LATER},
    {SQLITE_PROTOCOL, "PROTOCOL", REFUSAL_LATER},
    {SQLITE_NOMEM, "NOMEM", REFUSAL_LATER},
    {SQLITE_IOERR_NOMEM, "IOERR_NOMEM", REFUSAL_LATER},
    {SQLITE_FULL, "FULL", REFUSAL_LATER},
    {SQLITE_IOERR, "IOERR", REFUSAL_SESSION},
    {SQLITE_IOERR_FSYNC, "IOERR_FSYNC", REFUSAL_SESSION},
    {SQLITE_CANTOPEN, "CANTOPEN", REFUSAL_SESSION},
    {SQLITE_READONLY, "READONLY", REFUSAL_SESSION},
    {SQLITE_READONLY_DBMOVED, "READONLY_DBMOVED", REFUSAL_SESSION},
    {SQLITE_READONLY_DIRECTORY, "READONLY_DIRECTORY", REFUSAL_SESSION},
    {SQLITE_SCHEMA, "SCHEMA", REFUSAL_SESSION},
    {SQLITE_NOTADB, "NOTADB", REFUSAL_TARGET},
    {SQLITE_CORRUPT, "CORRUPT", REFUSAL_TARGET},
    {SQLITE_CORRUPT_INDEX, "CORRUPT_INDEX", REFUSAL_TARGET},
    {SQLITE_PERM, "PERM", REFUSAL_TARGET},
    {SQLITE_AUTH, "AUTH", REFUSAL_TARGET},
    {SQLITE_ERROR, "ERROR", REFUSAL_TARGET},
    {SQLITE_CONSTRAINT, "CONSTRAINT", REFUSAL_NEVER},
    {SQLITE_CONSTRAINT_NOTNULL, "CONSTRAINT_NOTNULL", REFUSAL_NEVER},
    {SQLITE_CONSTRAINT_CHECK, "CONSTRAINT_CHECK", REFUSAL_NEVER},
    {SQLITE_CONSTRAINT_UNIQUE, "CONSTRAINT_UNIQUE", REFUSAL_NEVER},
    {SQLITE_CONSTRAINT_FOREIGNKEY, "CONSTRAINT_FOREIGNKEY", REFUSAL_NEVER},
    {SQLITE_CONSTRAINT_TRIGGER, "CONSTRAINT_TRIGGER", REFUSAL_NEVER},
    {SQLITE_TOOBIG, "TOOBIG", REFUSAL_NEVER},
    {SQLITE_MISMATCH, "MISMATCH", REFUSAL_NEVER},
    {SQLITE_RANGE, "RANGE", REFUSAL_NEVER},
    {99, "one that does not exist yet", REFUSAL_SESSION},
};

static void every_sqlstate_has_its_meaning(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof sqlstates / sizeof *sqlstates; i++) {
        enum refusal refusal = refusal_of_sqlstate(sqlstates[i].sqlstate);

        if (refusal != sqlstates[i].refusal)
            fail_msg("%s (%s) means %d, not %d", sqlstates[i].sqlstate, sqlstates[i].name,
                     (int)refusal, (int)sqlstates[i].refusal);
    }
}

static void every_sqlite_code_has_its_meaning(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof sqlite_codes / sizeof *sqlite_codes; i++) {
        enum refusal refusal = refusal_of_sqlite(sqlite_codes[i].code);

        if (refusal != sqlite_codes[i].refusal)
            fail_msg("SQLITE_%s means %d, not %d", sqlite_codes[i].name, (int)refusal,
                     (int)sqlite_codes[i].refusal);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_sqlstate_has_its_meaning),
        cmocka_unit_test(every_sqlite_code_has_its_meaning),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
