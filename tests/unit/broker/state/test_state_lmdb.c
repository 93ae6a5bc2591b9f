/* What the embedded state survives: kills at every byte, damage, a lost index, a second writer,
 * readers beside the writer, a full disk, another start of the machine. */
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/state/state.h"
#include "common/fs.h"
#include "tests/unit/broker/state/commit.h"

static char folder[64];

static int make_folder(void **context)
{
    (void)context;
    snprintf(folder, sizeof folder, "/tmp/penstock-lmdb-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **context)
{
    (void)context;
    umount2(folder, MNT_DETACH); /* a test that failed with its small disk mounted */
    return fs_remove_tree(folder, NULL) == OK ? 0 : -1;
}

static const char *at(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static struct state *open_or_fail(enum state_mode mode)
{
    struct state *state;
    struct err err = {0};
    if (state_open(folder, mode, &state, &err) != OK)
        fail_msg("%s", err.text);
    return state;
}

static enum status open_status(enum state_mode mode, struct err *err)
{
    struct state *state;
    enum status status = state_open(folder, mode, &state, err);
    if (status == OK)
        state_close(state);
    else
        assert_null(state);
    return status;
}

static off_t journal_bytes(void)
{
    struct stat info;
    assert_int_equal(stat(at("journal"), &info), 0);
    return info.st_size;
}

static void lose_index(void)
{
    assert_int_equal(unlink(at("index")), 0);
    assert_int_equal(unlink(at("index-lock")), 0);
}

static void flip_byte(const char *name, off_t offset)
{
    uint8_t byte;
    int fd = open(at(name), O_RDWR);
    assert_int_equal(pread(fd, &byte, 1, offset), 1);
    byte ^= 0x40;
    assert_int_equal(pwrite(fd, &byte, 1, offset), 1);
    close(fd);
}

static void copy_file(const char *from, const char *to)
{
    char source[128];
    snprintf(source, sizeof source, "%s", at(from));
    unlink(at(to));
    assert_int_equal(fs_copy(source, at(to), NULL), OK);
}

/* ---- restarts ---- */

static void everything_is_there_after_a_restart(void **context)
{
    (void)context;
    struct state *state = open_or_fail(STATE_WRITE);
    struct commit commit;
    commit_begin(&commit);
    commit_record(&commit, 1, 10, "ann", true);
    commit_run(&commit, "2026-a", "A");
    commit_now(&commit, state);
    commit_alias(&commit, 2, 10);
    commit_now(&commit, state);
    commit_fini(&commit);
    state_close(state);
    state = open_or_fail(STATE_WRITE);
    assert_string_equal(worker_of_task(state, 1), "ann");
    assert_string_equal(worker_of_action(state, 10), "ann");
    assert_string_equal(worker_of_task(state, 2), "ann");
    char id[STATE_RUN_ID_BYTES];
    AUTO(buf_fini) struct buf document = buf_init(0);
    assert_int_equal(state_get_run(state, "latest", id, sizeof id, &document, NULL), OK);
    assert_string_equal(buf_text(&document), "A");
    state_close(state);
}

/* A killed process: what it committed was not indexed, nothing was closed. */
static void commit_in_a_killed_process(uint32_t count)
{
    pid_t child = fork();
    if (child == 0) {
        struct state *state = open_or_fail(STATE_WRITE);
        for (uint32_t n = 0; n < count; n++)
            commit_one(state, n, "killed");
        kill(getpid(), SIGKILL);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void a_kill_loses_nothing_committed(void **context)
{
    (void)context;
    commit_in_a_killed_process(50);
    for (int again = 0; again < 2; again++) {
        struct state *state = open_or_fail(STATE_WRITE);
        for (uint32_t n = 0; n < 50; n++)
            assert_string_equal(worker_of_task(state, n), "killed");
        assert_string_equal(worker_of_task(state, 50), "");
        state_close(state);
    }
}

static void a_kill_at_every_byte_loses_only_the_last_commit(void **context)
{
    (void)context;
    struct state *state = open_or_fail(STATE_WRITE);
    commit_one(state, 1, "one");
    commit_one(state, 2, "two");
    state_close(state);
    off_t before = journal_bytes();
    state = open_or_fail(STATE_WRITE);
    commit_one(state, 3, "three");
    state_close(state);
    off_t after = journal_bytes();
    copy_file("journal", "whole");
    for (off_t cut = before; cut < after; cut++) {
        copy_file("whole", "journal");
        lose_index();
        assert_int_equal(truncate(at("journal"), cut), 0);
        state = open_or_fail(STATE_WRITE);
        assert_string_equal(worker_of_task(state, 1), "one");
        assert_string_equal(worker_of_task(state, 2), "two");
        assert_string_equal(worker_of_task(state, 3), "");
        assert_string_equal(worker_of_action(state, 3), "");
        if (cut == after - 1) { /* and it goes on behind the cut */
            commit_one(state, 3, "again");
            assert_string_equal(worker_of_task(state, 3), "again");
        }
        state_close(state);
        if (cut != after - 1)
            assert_int_equal(journal_bytes(), before);
    }
    state = open_or_fail(STATE_WRITE);
    assert_string_equal(worker_of_task(state, 3), "again");
    state_close(state);
}

static void a_kill_while_the_file_is_made_is_mended(void **context)
{
    (void)context;
    for (off_t cut = 0; cut < 40; cut++) {
        struct state *state = open_or_fail(STATE_WRITE);
        state_close(state);
        assert_int_equal(truncate(at("journal"), cut), 0);
        state = open_or_fail(STATE_WRITE);
        commit_one(state, 1, "one");
        state_close(state);
        state = open_or_fail(STATE_WRITE);
        assert_string_equal(worker_of_task(state, 1), "one");
        state_close(state);
        assert_int_equal(fs_remove_tree(folder, NULL), OK);
    }
}

/* ---- damage ---- */

/* Three commits; returns where the second lies. */
static off_t make_three(bool is_flushed)
{
    struct state *state = open_or_fail(STATE_WRITE);
    commit_one(state, 1, "one");
    off_t middle = journal_bytes();
    commit_one(state, 2, "two");
    commit_one(state, 3, "three");
    if (is_flushed)
        assert_int_equal(state_flush(state, NULL), OK);
    state_close(state);
    return middle;
}

static void damage_of_what_was_flushed_is_reported(void **context)
{
    (void)context;
    off_t middle = make_three(true);
    off_t spots[] = {middle, middle + 5, middle + 30, middle + 50};
    copy_file("journal", "whole");
    for (size_t i = 0; i < sizeof spots / sizeof *spots; i++) {
        struct err err;
        copy_file("whole", "journal");
        lose_index();
        flip_byte("journal", spots[i]);
        assert_int_equal(open_status(STATE_WRITE, &err), E_CORRUPT);
        assert_non_null(strstr(err.text, "journal"));
        assert_int_equal(open_status(STATE_READ, &err), E_CORRUPT);
        off_t left = journal_bytes();
        copy_file("whole", "journal");
        assert_int_equal(left, journal_bytes()); /* nothing was cut off */
        struct state *state = open_or_fail(STATE_WRITE);
        state_close(state);
    }
}

/* After a power loss later pages may be there and earlier ones not. */
static void a_hole_in_what_was_not_flushed_is_cut_off(void **context)
{
    (void)context;
    off_t middle = make_three(false);
    lose_index();
    flip_byte("journal", middle + 40);
    struct state *state = open_or_fail(STATE_WRITE);
    assert_string_equal(worker_of_task(state, 1), "one");
    assert_string_equal(worker_of_task(state, 2), "");
    assert_string_equal(worker_of_task(state, 3), "");
    state_close(state);
    assert_int_equal(journal_bytes(), middle);
}

static void ignore_found(void *context, uint32_t index, const uint8_t *record, size_t bytes)
{
    (void)context, (void)index, (void)record, (void)bytes;
}

static void a_look_up_notices_a_damaged_record(void **context)
{
    (void)context;
    make_three(true);
    flip_byte("journal", journal_bytes() - 32 - 5); /* the last record's end; a mark follows */
    struct state *state = open_or_fail(STATE_WRITE);
    struct id id = test_id(3);
    struct err err;
    assert_string_equal(worker_of_task(state, 2), "two");
    assert_int_equal(state_find_tasks(state, &id, 1, ignore_found, NULL, &err), E_CORRUPT);
    assert_non_null(strstr(err.text, "damaged"));
    state_close(state);
}

static void another_file_is_no_journal(void **context)
{
    (void)context;
    struct err err;
    char text[100];
    memset(text, 'x', sizeof text);
    assert_int_equal(fs_write(at("journal"), text, sizeof text, NULL), OK);
    assert_int_equal(open_status(STATE_WRITE, &err), E_CORRUPT);
    assert_int_equal(open_status(STATE_READ, &err), E_CORRUPT);
    memcpy(text, "penstock journal\x09\0\0\0", 20);
    assert_int_equal(fs_write(at("journal"), text, sizeof text, NULL), OK);
    assert_int_equal(open_status(STATE_WRITE, &err), E_VERSION);
}

/* ---- the index ---- */

static void check_600(struct state *state)
{
    for (uint32_t n = 0; n < COMMIT_ITEMS_MAX; n++)
        assert_string_equal(worker_of_task(state, n), n == 7 ? "" : "w");
    assert_string_equal(worker_of_task(state, 1000), "w");
    assert_string_equal(worker_of_action(state, 7), "");
}

static void make_600(void)
{
    struct state *state = open_or_fail(STATE_WRITE);
    struct commit commit;
    commit_begin(&commit);
    for (uint32_t n = 0; n < COMMIT_ITEMS_MAX; n++)
        commit_record(&commit, n, n, "w", true);
    commit_now(&commit, state);
    commit_alias(&commit, 1000, 3);
    commit_removal(&commit, 7);
    commit_now(&commit, state);
    commit_fini(&commit);
    check_600(state);
    state_close(state);
}

static void a_lost_index_is_made_anew(void **context)
{
    (void)context;
    make_600();
    lose_index();
    for (int again = 0; again < 2; again++) {
        struct state *state = open_or_fail(STATE_WRITE);
        check_600(state);
        state_close(state);
    }
}

static void a_damaged_index_is_made_anew(void **context)
{
    (void)context;
    make_600();
    struct stat info;
    assert_int_equal(stat(at("index"), &info), 0);
    const off_t lengths[] = {0, 100, 4096, info.st_size / 2};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        assert_int_equal(truncate(at("index"), lengths[i]), 0);
        struct state *reader = open_or_fail(STATE_READ);
        check_600(reader);
        state_close(reader);
        struct state *state = open_or_fail(STATE_WRITE);
        check_600(state);
        state_close(state);
    }
    char text[8192];
    memset(text, 'x', sizeof text);
    assert_int_equal(fs_write(at("index"), text, sizeof text, NULL), OK);
    struct state *state = open_or_fail(STATE_WRITE);
    check_600(state);
    state_close(state);
}

static void an_index_of_another_boot_is_not_trusted(void **context)
{
    (void)context;
    make_600();
    char text[8192];
    memset(text, 'x', sizeof text); /* would not even open */
    assert_int_equal(fs_write(at("index"), text, sizeof text, NULL), OK);
    assert_int_equal(fs_write(at("boot"), "another\n", 8, NULL), OK);
    struct state *state = open_or_fail(STATE_READ);
    check_600(state);
    state_close(state);
    state = open_or_fail(STATE_WRITE);
    check_600(state);
    state_close(state);
}

static void an_index_ahead_of_the_journal_is_made_anew(void **context)
{
    (void)context;
    struct state *state = open_or_fail(STATE_WRITE);
    commit_one(state, 1, "one");
    state_close(state);
    copy_file("journal", "older");
    state = open_or_fail(STATE_WRITE);
    commit_one(state, 2, "two");
    state_close(state);
    copy_file("older", "journal"); /* somebody put a copy back */
    state = open_or_fail(STATE_WRITE);
    assert_string_equal(worker_of_task(state, 1), "one");
    assert_string_equal(worker_of_task(state, 2), "");
    commit_one(state, 3, "three");
    state_close(state);
    state = open_or_fail(STATE_WRITE);
    assert_string_equal(worker_of_task(state, 3), "three");
    state_close(state);
}

static void the_index_grows(void **context)
{
    (void)context;
    enum { ROUNDS = 60 };
    struct state *state = open_or_fail(STATE_WRITE);
    struct commit commit;
    commit_begin(&commit);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        for (uint32_t n = 0; n < COMMIT_ITEMS_MAX; n++)
            commit_record(&commit, round * COMMIT_ITEMS_MAX + n, n, "w", false);
        commit_now(&commit, state);
        assert_string_equal(worker_of_task(state, round * COMMIT_ITEMS_MAX / 2), "w");
    }
    commit_fini(&commit);
    state_close(state);
    struct stat info;
    assert_int_equal(stat(at("index"), &info), 0);
    assert_true(info.st_size > 2 << 20); /* past LMDB's first map */
    state = open_or_fail(STATE_WRITE);
    assert_string_equal(worker_of_task(state, ROUNDS * COMMIT_ITEMS_MAX - 1), "w");
    state_close(state);
}

/* ---- more than one process ---- */

static void a_second_writer_is_told_the_first(void **context)
{
    (void)context;
    struct state *state = open_or_fail(STATE_WRITE);
    struct err err;
    char pid[32];
    snprintf(pid, sizeof pid, "pid %ld", (long)getpid());
    assert_int_equal(open_status(STATE_WRITE, &err), E_CONFLICT);
    assert_non_null(strstr(err.text, pid));
    state_close(state);
    assert_int_equal(open_status(STATE_WRITE, &err), OK);
}

/* Runs `check` in a process of its own, with a reader. */
static void in_reader(void (*check)(struct state *state))
{
    pid_t child = fork();
    if (child == 0) {
        struct state *state = open_or_fail(STATE_READ);
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
    struct state *state = open_or_fail(STATE_WRITE);
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
    assert_int_equal(open_status(STATE_READ, &err), E_NOTFOUND);
    assert_int_equal(fs_remove_tree(folder, NULL), OK);
    assert_int_equal(open_status(STATE_READ, &err), E_NOTFOUND);
    assert_false(fs_exists(folder));
}

static void a_reader_leaves_a_torn_end_alone(void **context)
{
    (void)context;
    make_three(false);
    off_t bytes = journal_bytes() - 3;
    assert_int_equal(truncate(at("journal"), bytes), 0);
    lose_index();
    struct state *state = open_or_fail(STATE_READ);
    assert_string_equal(worker_of_task(state, 2), "two");
    assert_string_equal(worker_of_task(state, 3), "");
    state_close(state);
    assert_int_equal(journal_bytes(), bytes);
}

/* ---- a full disk ---- */

static void a_full_disk_takes_nothing_and_waits(void **context)
{
    (void)context;
    if (mount("tmpfs", folder, "tmpfs", 0, "size=512k") != 0) {
        assert_true(errno == EPERM || errno == EACCES);
        skip();
    }
    struct state *state = open_or_fail(STATE_WRITE);
    commit_one(state, 1, "one");
    usleep(50000); /* the index has it */
    int fd = open(at("ballast"), O_WRONLY | O_CREAT, 0600);
    char block[4096] = {1};
    while (write(fd, block, sizeof block) > 0)
        continue;
    close(fd);
    struct commit commit;
    struct err err;
    commit_begin(&commit);
    for (uint32_t n = 100; n < 200; n++)
        commit_record(&commit, n, n, "w", true);
    off_t before = journal_bytes();
    assert_int_equal(commit_try(&commit, state, &err), E_FULL);
    assert_non_null(strstr(err.text, "journal"));
    assert_int_equal(journal_bytes(), before);
    assert_string_equal(worker_of_task(state, 150), "");
    assert_string_equal(worker_of_task(state, 1), "one");
    assert_int_equal(unlink(at("ballast")), 0);
    commit_now(&commit, state); /* the same once more */
    assert_string_equal(worker_of_task(state, 150), "w");
    state_close(state);
    state = open_or_fail(STATE_WRITE);
    assert_string_equal(worker_of_task(state, 1), "one");
    assert_string_equal(worker_of_task(state, 199), "w");
    state_close(state);
    commit_fini(&commit);
    assert_int_equal(umount(folder), 0);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(everything_is_there_after_a_restart),
        IN_FOLDER(a_kill_loses_nothing_committed),
        IN_FOLDER(a_kill_at_every_byte_loses_only_the_last_commit),
        IN_FOLDER(a_kill_while_the_file_is_made_is_mended),
        IN_FOLDER(damage_of_what_was_flushed_is_reported),
        IN_FOLDER(a_hole_in_what_was_not_flushed_is_cut_off),
        IN_FOLDER(a_look_up_notices_a_damaged_record),
        IN_FOLDER(another_file_is_no_journal),
        IN_FOLDER(a_lost_index_is_made_anew),
        IN_FOLDER(a_damaged_index_is_made_anew),
        IN_FOLDER(an_index_of_another_boot_is_not_trusted),
        IN_FOLDER(an_index_ahead_of_the_journal_is_made_anew),
        IN_FOLDER(the_index_grows),
        IN_FOLDER(a_second_writer_is_told_the_first),
        IN_FOLDER(a_reader_sees_what_was_committed_before),
        IN_FOLDER(a_reader_needs_a_state),
        IN_FOLDER(a_reader_leaves_a_torn_end_alone),
        IN_FOLDER(a_full_disk_takes_nothing_and_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
