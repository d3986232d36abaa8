/* SPDX-License-Identifier: Apache-2.0 */
/* The table of fields against the contract, section 3. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "collector/field.h"

/* As the contract lists them. */
#define ALL_FIELDS                                                                              \
    "task_id kind host status log summary start_time end_time duration processed failed total " \
    "lines bytes warnings errors first_error counters end_reason complete updated_at position"

static void the_fields_are_those_of_the_contract(void **state)
{
    char list[256];

    (void)state;
    field_list(false, list, sizeof(list));
    assert_string_equal(list, ALL_FIELDS);
}

static void only_what_never_changes_finds_rows(void **state)
{
    char list[256];

    (void)state;
    field_list(true, list, sizeof(list));
    assert_string_equal(list, "task_id kind host start_time");
}

static void every_field_is_found_by_its_name(void **state)
{
    (void)state;
    for (int i = 0; i < FIELD_COUNT; i++) {
        const char *name = field_infos[i].name;
        assert_int_equal(field_by_name(name, strlen(name)), i);
    }
}

static void other_names_are_no_fields(void **state)
{
    static const char *const names[] = {"", "lo", "logs", "LOG", "Log", " log", "task_id ", "id"};

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        assert_int_equal(field_by_name(names[i], strlen(names[i])), FIELD_COUNT);
}

static void a_name_ends_where_it_is_said_to(void **state)
{
    (void)state;
    assert_int_equal(field_by_name("log=table_log", 3), FIELD_LOG);
    assert_int_equal(field_by_name("task_id=id", 4), FIELD_COUNT);
}

static void a_list_that_is_too_long_ends_with_a_whole_name(void **state)
{
    char list[sizeof(ALL_FIELDS)];

    (void)state;
    for (size_t room = 1; room <= sizeof(ALL_FIELDS); room++) {
        memset(list, 'x', sizeof(list));
        field_list(false, list, room);
        size_t bytes = strlen(list);
        assert_true(bytes < room);
        assert_memory_equal(list, ALL_FIELDS, bytes);
        assert_true(bytes == 0 || ALL_FIELDS[bytes] == ' ' || ALL_FIELDS[bytes] == '\0');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_fields_are_those_of_the_contract),
        cmocka_unit_test(only_what_never_changes_finds_rows),
        cmocka_unit_test(every_field_is_found_by_its_name),
        cmocka_unit_test(other_names_are_no_fields),
        cmocka_unit_test(a_name_ends_where_it_is_said_to),
        cmocka_unit_test(a_list_that_is_too_long_ends_with_a_whole_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
