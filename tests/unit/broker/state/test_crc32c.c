// SPDX-License-Identifier: Apache-2.0
#include "broker/state/crc32c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/base/rng.h"

/* Source: RFC 3720, appendix B.4. */
static void known_values(void **state)
{
    (void)state;
    uint8_t bytes[32] = {0};
    assert_int_equal(crc32c(0, bytes, 32), 0x8a9136aa);
    for (int i = 0; i < 32; i++)
        bytes[i] = 0xff;
    assert_int_equal(crc32c(0, bytes, 32), 0x62a8ab43);
    for (int i = 0; i < 32; i++)
        bytes[i] = (uint8_t)i;
    assert_int_equal(crc32c(0, bytes, 32), 0x46dd794e);
    assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
    assert_int_equal(crc32c(0, "", 0), 0);
}

static void tables_and_instruction_agree_in_pieces(void **state)
{
    (void)state;
    uint8_t bytes[200];
    struct rng rng = rng_seed(1);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)rng_next(&rng);
    for (size_t n = 0; n <= sizeof bytes; n++) {
        size_t cut = rng_below(&rng, (uint32_t)n + 1);
        uint32_t whole = crc32c_by_table(0, bytes, n);
        assert_int_equal(crc32c(0, bytes, n), whole);
        assert_int_equal(crc32c(crc32c(0, bytes, cut), bytes + cut, n - cut), whole);
        assert_int_equal(crc32c_by_table(crc32c_by_table(0, bytes, cut), bytes + cut, n - cut),
                         whole);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_values),
        cmocka_unit_test(tables_and_instruction_agree_in_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
