// SPDX-License-Identifier: Apache-2.0
#include "common/program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "common/base/buf.h"
#include "tests/unit/common/temp.h"

static struct err err;

static void its_own_path(void **state)
{
    (void)state;
    char path[PATH_MAX];
    assert_int_equal(program_path(path, &err), OK);
    assert_int_equal(path[0], '/');
    assert_string_equal(strrchr(path, '/'), "/test_program");
}

static void siblings(void **state)
{
    (void)state;
    char path[PATH_MAX], own[PATH_MAX];
    unsetenv("PENSTOCK_TEST_PROGRAM");
    unsetenv("PENSTOCK_ABSENT");
    assert_int_equal(program_path(own, &err), OK);
    assert_int_equal(program_sibling("test_program", path, &err), OK);
    assert_string_equal(path, own);
    assert_int_equal(program_sibling("absent", path, &err), E_NOTFOUND);
    assert_non_null(strstr(err.text, "set PENSTOCK_ABSENT to its path"));
}

static void the_environment_overrides(void **state)
{
    struct temp *temp = *state;
    char path[PATH_MAX];
    const char *other = temp_at(temp, "other");
    temp_write_text(other, "#!/bin/sh\n");
    setenv("PENSTOCK_TEST_PROGRAM", other, 1);
    assert_int_equal(program_sibling("test_program", path, &err), E_NOTFOUND);
    assert_non_null(strstr(err.text, "PENSTOCK_TEST_PROGRAM="));
    chmod(other, 0755);
    assert_int_equal(program_sibling("test_program", path, &err), OK);
    assert_string_equal(path, other);
    setenv("PENSTOCK_TEST_PROGRAM", "", 1); /* as if unset */
    assert_int_equal(program_sibling("test_program", path, &err), OK);
    assert_string_not_equal(path, other);
    unsetenv("PENSTOCK_TEST_PROGRAM");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(its_own_path),
        cmocka_unit_test(siblings),
        cmocka_unit_test_setup_teardown(the_environment_overrides, temp_setup, temp_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
