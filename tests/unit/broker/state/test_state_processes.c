/* The embedded state among others: a second writer, readers beside the writer, a full disk. */
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/state/state.h"
#include "common/fs.h"
#include "tests/unit/broker/state/commit.h"
#include "tests/unit/broker/state/folder.h"

/* ---- more than one process ---- */

static void a_second_writer_is_told_the_first(void **context)
{
    (void)context;
    struct state *state = folder_open(STATE_WRITE);
    struct err err;
    char pid[32];
    snprintf(pid, sizeof pid, "pid %ld", (long)getpid());
    assert_int_equal(folder_open_status(STATE_WRITE, &err), E_CONFLICT);
    assert_non_null(strstr(err.text, pid));
    state_close(state);
    assert_int_equal(folder_open_status(STATE_WRITE, &err), OK);
}

/* Runs `check` in a process of its own, with a reader. */
static void in_reader(void (*check)(struct state *state))
{
    pid_t child = fork();
    if (child == 0) {
        struct state *state = folder_open(STATE_READ);
        check(state);
        state_close(state);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void expect_1(struct state *state)
{
    struct commit commit;
    if (strcmp(worker_of_task(state, 1), "one") != 0 || strcmp(worker_of_task(state, 2), "") != 0)
        _exit(1);
    commit_begin(&commit);
    commit_record(&commit, 9, 9, "w", false);
    if (commit_try(&commit, state, NULL) != E_DENIED)
        _exit(2);
}

static void expect_removed(struct state *state)
{
    if (strcmp(worker_of_task(state, 1), "") != 0 || strcmp(worker_of_task(state, 2), "two") != 0)
        _exit(1);
    char id[STATE_RUN_ID_BYTES];
    AUTO(buf_fini) struct buf document = buf_init(0);
    if (state_get_run(state, "latest", id, sizeof id, &document, NULL) != OK ||
        strcmp(buf_text(&document), "B") != 0)
        _exit(2);
}

static void a_reader_sees_what_was_committed_before(void **context)
{
    (void)context;
    struct state *state = folder_open(STATE_WRITE);
    struct commit commit;
    commit_begin(&commit);
    commit_one(state, 1, "one");
    in_reader(expect_1); /* not indexed yet, or just so: it must not matter */
    usleep(50000);
    in_reader(expect_1);
    commit_removal(&commit, 1);
    commit_run(&commit, "a", "A");
    commit_run(&commit, "b", "B");
    commit_now(&commit, state);
    commit_one(state, 2, "two");
    in_reader(expect_removed);
    usleep(50000);
    in_reader(expect_removed);
    commit_fini(&commit);
    state_close(state);
    in_reader(expect_removed);
}

static void a_reader_needs_a_state(void **context)
{
    (void)context;
    struct err err;
    assert_int_equal(folder_open_status(STATE_READ, &err), E_NOTFOUND);
    assert_int_equal(fs_remove_tree(folder, NULL), OK);
    assert_int_equal(folder_open_status(STATE_READ, &err), E_NOTFOUND);
    assert_false(fs_exists(folder));
}

static void a_reader_leaves_a_torn_end_alone(void **context)
{
    (void)context;
    folder_make_three(false);
    off_t bytes = folder_journal_bytes() - 3;
    assert_int_equal(truncate(folder_at("journal"), bytes), 0);
    folder_lose_index();
    struct state *state = folder_open(STATE_READ);
    assert_string_equal(worker_of_task(state, 2), "two");
    assert_string_equal(worker_of_task(state, 3), "");
    state_close(state);
    assert_int_equal(folder_journal_bytes(), bytes);
}

/* ---- a full disk ---- */

static void a_full_disk_takes_nothing_and_waits(void **context)
{
    (void)context;
    if (mount("tmpfs", folder, "tmpfs", 0, "size=512k") != 0) {
        assert_true(errno == EPERM || errno == EACCES);
        skip();
    }
    struct state *state = folder_open(STATE_WRITE);
    commit_one(state, 1, "one");
    usleep(50000); /* the index has it */
    int fd = open(folder_at("ballast"), O_WRONLY | O_CREAT, 0600);
    char block[4096] = {1};
    while (write(fd, block, sizeof block) > 0)
        continue;
    close(fd);
    struct commit commit;
    struct err err;
    commit_begin(&commit);
    for (uint32_t n = 100; n < 200; n++)
        commit_record(&commit, n, n, "w", true);
    off_t before = folder_journal_bytes();
    assert_int_equal(commit_try(&commit, state, &err), E_FULL);
    assert_non_null(strstr(err.text, "journal"));
    assert_int_equal(folder_journal_bytes(), before);
    assert_string_equal(worker_of_task(state, 150), "");
    assert_string_equal(worker_of_task(state, 1), "one");
    assert_int_equal(unlink(folder_at("ballast")), 0);
    commit_now(&commit, state); /* the same once more */
    assert_string_equal(worker_of_task(state, 150), "w");
    state_close(state);
    state = folder_open(STATE_WRITE);
    assert_string_equal(worker_of_task(state, 1), "one");
    assert_string_equal(worker_of_task(state, 199), "w");
    state_close(state);
    commit_fini(&commit);
    assert_int_equal(umount(folder), 0);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, folder_make, folder_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(a_second_writer_is_told_the_first),
        IN_FOLDER(a_reader_sees_what_was_committed_before),
        IN_FOLDER(a_reader_needs_a_state),
        IN_FOLDER(a_reader_leaves_a_torn_end_alone),
        IN_FOLDER(a_full_disk_takes_nothing_and_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
