/* A machine that gives no more descriptors or threads: an error that says so, and on as soon as it
 * does again. */
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/state/redis_journal.h"
#include "broker/state/redis_url.h"
#include "broker/state/state.h"
#include "tests/unit/broker/state/commit.h"
#include "tests/unit/broker/state/folder.h"
#include "tests/unit/broker/state/redis_server.h"

static enum status open_redis(const char *url, struct err *err)
{
    struct state *state;
    const struct state_options options = {.url = url, .mode = STATE_WRITE};
    TRY(state_open(&options, &state, err));
    state_close(state);
    return OK;
}

static enum status open_journal(const char *url, struct err *err)
{
    struct redis_url parsed;
    struct redis_journal *journal;
    TRY(redis_url_parse(url, &parsed, err));
    const struct redis_journal_options options = {.url = &parsed, .store = "mem:", .epoch = 1};
    enum status status = redis_journal_open(&options, &journal, err);
    if (status == OK)
        redis_journal_close(journal);
    redis_url_fini(&parsed);
    return status;
}

static enum status open_folder(const char *url, struct err *err)
{
    (void)url;
    return folder_open_status(STATE_WRITE, err);
}

/* With room for one descriptor more each time, opening fails where each of them is made, until it
 * does not. Returns how often it failed. */
static int open_with_few(enum status (*open)(const char *url, struct err *err), const char *url)
{
    struct rlimit before, few;
    enum status status = E_IO;
    int failures = 0;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = before;
    for (few.rlim_cur = 3; status != OK && few.rlim_cur < 64; few.rlim_cur++) {
        struct err err = {0};
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
        status = open(url, &err);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        failures += status != OK;
        assert_true(status == OK || *err.text);
    }
    assert_int_equal(status, OK);
    return failures;
}

static void a_lack_of_descriptors_is_an_error(void **context)
{
    (void)context;
    assert_true(open_with_few(open_folder, NULL) > 2);
}

static void so_it_is_with_redis(void **context)
{
    (void)context;
    struct redis_server server;
    if (!redis_server_is_there())
        skip();
    redis_server_start(&server, (const char *const[]){NULL});
    assert_true(open_with_few(open_redis, server.url) > 2);
    assert_true(open_with_few(open_journal, server.url) > 0);
    redis_server_stop(&server);
}

/* Bytes of address space in use. */
static rlim_t used_bytes(void)
{
    unsigned long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%llu", &pages), 1);
    fclose(file);
    return pages * (rlim_t)sysconf(_SC_PAGESIZE);
}

static void a_commit_that_gets_no_thread_is_tried_again(void **context)
{
    (void)context;
    enum { ENOUGH_BUT_FOR_A_STACK = 1 << 20 };
    struct state *state = folder_open(STATE_WRITE);
    struct commit commit;
    struct err err = {0};
    struct rlimit before, little;
    assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
    little = before;
    commit_begin(&commit);
    commit_record(&commit, 1, 10, "ann", true);
    little.rlim_cur = used_bytes() + ENOUGH_BUT_FOR_A_STACK;
    assert_int_equal(setrlimit(RLIMIT_AS, &little), 0);
    enum status status = commit_try(&commit, state, &err);
    assert_int_equal(setrlimit(RLIMIT_AS, &before), 0);
    assert_int_equal(status, E_IO);
    assert_non_null(strstr(err.text, "no thread"));
    commit_now(&commit, state);
    commit_fini(&commit);
    assert_string_equal(worker_of_task(state, 1), "ann");
    state_close(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_lack_of_descriptors_is_an_error, folder_make,
                                        folder_remove),
        cmocka_unit_test(so_it_is_with_redis),
        cmocka_unit_test_setup_teardown(a_commit_that_gets_no_thread_is_tried_again, folder_make,
                                        folder_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
