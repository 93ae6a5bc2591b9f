// SPDX-License-Identifier: Apache-2.0
#include "common/log.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/buf.h"
#include "common/clock.h"
#include "common/fs.h"
#include "tests/unit/common/temp.h"

static int kept_stderr;
static const char *path;

static void begin_capture(struct temp *temp)
{
    path = temp_at(temp, "log");
    kept_stderr = dup(STDERR_FILENO);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    dup2(fd, STDERR_FILENO);
    close(fd);
}

static void end_capture(struct buf *out)
{
    dup2(kept_stderr, STDERR_FILENO);
    close(kept_stderr);
    assert_int_equal(fs_read(path, out, NULL), OK);
}

static void one_line_per_fact(void **state)
{
    AUTO(buf_fini) struct buf out = buf_init(0);
    log_set_level(LOG_INFO);
    begin_capture(*state);
    log_event(LOG_INFO, "task.requeued", "task=%s attempt=%u", "abc", 2u);
    log_event(LOG_DEBUG, "frame.read", "bytes=%d", 7);
    log_event(LOG_ERROR, "store.lost", "%s", "");
    end_capture(&out);
    const char *text = buf_text(&out);
    assert_int_equal(strlen("2026-01-01T00:00:00.000Z"), strcspn(text, " "));
    assert_int_equal(text[10], 'T');
    assert_int_equal(text[23], 'Z');
    assert_non_null(strstr(text, "Z info task.requeued task=abc attempt=2\n"));
    assert_null(strstr(text, "frame.read"));
    assert_non_null(strstr(text, "Z error store.lost \n"));
}

static void a_long_line_is_cut_and_still_ends(void **state)
{
    AUTO(buf_fini) struct buf out = buf_init(0);
    static char far[5000];
    memset(far, 'x', sizeof far - 1);
    log_set_level(LOG_WARN);
    begin_capture(*state);
    log_event(LOG_WARN, "a.b", "text=%s", far);
    log_event(LOG_WARN, far, "k=%d", 1);
    end_capture(&out);
    const char *first = strchr(buf_text(&out), '\n');
    assert_int_equal(first - buf_text(&out), 2046);
    assert_int_equal(out.bytes[out.count - 1], '\n');
}

static void levels(void **state)
{
    (void)state;
    log_set_level(LOG_ERROR);
    assert_true(log_is_on(LOG_ERROR));
    assert_false(log_is_on(LOG_WARN));
    log_set_level(LOG_DEBUG);
    assert_true(log_is_on(LOG_DEBUG));
}

static void expect_quoted(const char *text, const char *expected)
{
    char out[64];
    assert_string_equal(log_quote(text, out, sizeof out), expected);
}

static void values_are_quoted_where_needed(void **state)
{
    (void)state;
    expect_quoted("plain/path.yaml:3", "plain/path.yaml:3");
    expect_quoted("", "\"\"");
    expect_quoted("two words", "\"two words\"");
    expect_quoted("a=b", "\"a=b\"");
    expect_quoted("say \"x\"\\", "\"say \\\"x\\\"\\\\\"");
    expect_quoted("line\nbreak\ttab\r\x1b[0m", "\"line\\nbreak\\ttab\\x0d\\x1b[0m\"");
    expect_quoted("grün", "grün");
}

static void quoting_fits_its_room(void **state)
{
    (void)state;
    for (size_t room = 0; room < 20; room++) {
        char out[24];
        memset(out, '#', sizeof out);
        log_quote("a \n\x01 b\"c", out, room);
        assert_int_equal(out[room], '#');
        if (room >= 4) {
            size_t bytes = strlen(out);
            assert_true(bytes < room && out[0] == '"' && out[bytes - 1] == '"');
        }
    }
    char small[6];
    assert_string_equal(log_quote("plain text", small, sizeof small), "\"pla\"");
}

static void clocks_agree(void **state)
{
    (void)state;
    int64_t us = clock_us(), epoch = clock_epoch_us();
    ms_t ms = clock_ms();
    assert_true(ms - us / 1000 >= 0 && ms - us / 1000 < 1000);
    assert_true(clock_us() >= us);
    assert_true(epoch > 1700000000000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_line_per_fact, temp_setup, temp_teardown),
        cmocka_unit_test_setup_teardown(a_long_line_is_cut_and_still_ends, temp_setup,
                                        temp_teardown),
        cmocka_unit_test(levels),
        cmocka_unit_test(values_are_quoted_where_needed),
        cmocka_unit_test(quoting_fits_its_room),
        cmocka_unit_test(clocks_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
