// SPDX-License-Identifier: Apache-2.0
#include "common/store/hash_behind.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/crypto/hash.h"
#include "tests/unit/common/temp.h"

enum { BYTES = 3000000, STEP = 70001 };

static uint8_t content[BYTES];
static struct err err;

static int open_file(struct temp *temp)
{
    for (size_t i = 0; i < BYTES; i++)
        content[i] = (uint8_t)(i * 31 + i / 4096);
    int fd = open(temp_at(temp, "file"), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    return fd;
}

static void what_is_written_is_hashed(void **state)
{
    int fd = open_file(*state);
    struct hash_behind *behind = hash_behind_begin(fd, "file");
    for (size_t at = 0; at < BYTES; at += STEP) {
        size_t bytes = BYTES - at < STEP ? BYTES - at : STEP;
        assert_int_equal(pwrite(fd, content + at, bytes, (off_t)at), bytes);
        hash_behind_reach(behind, at + bytes);
        hash_behind_reach(behind, at); /* never back */
    }
    struct id expected, seen;
    hash_bytes(NULL, content, BYTES, &expected);
    assert_int_equal(hash_behind_end(behind, &seen, &err), OK);
    assert_true(id_equal(&seen, &expected));
    close(fd);
}

static void nothing_has_a_hash_too(void **state)
{
    int fd = open_file(*state);
    struct id expected, seen;
    hash_bytes(NULL, "", 0, &expected);
    assert_int_equal(hash_behind_end(hash_behind_begin(fd, "file"), &seen, &err), OK);
    assert_true(id_equal(&seen, &expected));
    close(fd);
}

static void a_file_that_is_shorter_than_said_is_an_error(void **state)
{
    int fd = open_file(*state);
    struct id seen;
    struct hash_behind *behind = hash_behind_begin(fd, "the file");
    hash_behind_reach(behind, 10);
    assert_int_equal(hash_behind_end(behind, &seen, &err), E_IO);
    assert_non_null(strstr(err.text, "the file: cannot read back"));
    close(fd);
}

static void it_can_be_dropped(void **state)
{
    int fd = open_file(*state);
    assert_int_equal(pwrite(fd, content, BYTES, 0), BYTES);
    struct hash_behind *behind = hash_behind_begin(fd, "file");
    hash_behind_reach(behind, BYTES);
    hash_behind_drop(behind);
    hash_behind_drop(hash_behind_begin(fd, "file"));
    close(fd);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, temp_setup, temp_teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_is_written_is_hashed),
        TEST(nothing_has_a_hash_too),
        TEST(a_file_that_is_shorter_than_said_is_an_error),
        TEST(it_can_be_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
