// SPDX-License-Identifier: Apache-2.0
#include "common/base/id_set.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct id id_of(uint32_t n)
{
    struct id id = {{0}};
    uint64_t mixed = (n + 1) * 0x9e3779b97f4a7c15u;
    memcpy(id.bytes, &mixed, sizeof mixed);
    memcpy(id.bytes + sizeof mixed, &n, sizeof n);
    return id;
}

static void ids_are_numbered_as_they_come(void **state)
{
    (void)state;
    enum { COUNT = 100000 };
    AUTO(id_set_fini) struct id_set set = {0};
    id_set_init(&set);
    for (uint32_t round = 0; round < 2; round++)
        for (uint32_t i = 0; i < COUNT; i++) {
            struct id id = id_of(i);
            assert_int_equal(id_set_add(&set, &id, NULL), OK);
            assert_int_equal(set.count, round ? COUNT : i + 1);
        }
    for (uint32_t i = 0; i < COUNT; i++) {
        struct id id = id_of(i), other = id_of(i + COUNT);
        assert_int_equal(id_set_find(&set, &id), i);
        assert_true(id_equal(&set.ids[i], &id));
        assert_false(id_set_has(&set, &other));
    }
    id_set_fini(&set);
    struct id first = id_of(0);
    assert_false(id_set_has(&set, &first));
    assert_int_equal(id_set_add(&set, &first, NULL), OK);
    assert_int_equal(id_set_find(&set, &first), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(ids_are_numbered_as_they_come)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
