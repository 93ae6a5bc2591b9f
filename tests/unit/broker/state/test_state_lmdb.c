/* What the embedded state survives: kills at every byte, damage, a lost index, another start of the
 * machine. */
// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/state/state.h"
#include "common/fs.h"
#include "tests/unit/broker/state/commit.h"
#include "tests/unit/broker/state/folder.h"

/* ---- restarts ---- */

static void everything_is_there_after_a_restart(void **context)
{
    (void)context;
    struct state *state = folder_open(STATE_WRITE);
    struct commit commit;
    commit_begin(&commit);
    commit_record(&commit, 1, 10, "ann", true);
    commit_run(&commit, "2026-a", "A");
    commit_now(&commit, state);
    commit_alias(&commit, 2, 10);
    commit_now(&commit, state);
    commit_fini(&commit);
    state_close(state);
    state = folder_open(STATE_WRITE);
    assert_string_equal(worker_of_task(state, 1), "ann");
    assert_string_equal(worker_of_action(state, 10), "ann");
    assert_string_equal(worker_of_task(state, 2), "ann");
    char id[STATE_RUN_ID_BYTES];
    AUTO(buf_fini) struct buf document = buf_init(0);
    assert_int_equal(state_get_run(state, "latest", id, sizeof id, &document, NULL), OK);
    assert_string_equal(buf_text(&document), "A");
    state_close(state);
}

static void each_writer_has_a_higher_epoch(void **context)
{
    (void)context;
    struct state *state = folder_open(STATE_WRITE);
    uint64_t first = state_epoch(state);
    state_close(state);
    struct state_options options = {.url = folder, .mode = STATE_WRITE, .epoch_min = first + 4};
    assert_int_equal(state_open(&options, &state, NULL), OK);
    assert_int_equal(state_epoch(state), first + 5);
    struct state *reader = folder_open(STATE_READ);
    struct state_lead lead;
    assert_int_equal(state_epoch(reader), first + 5);
    assert_int_equal(state_leader(reader, &lead, NULL), OK);
    assert_true(lead.is_held);
    state_close(state);
    assert_int_equal(state_leader(reader, &lead, NULL), OK);
    assert_false(lead.is_held);
    assert_int_equal(lead.epoch, first + 5);
    state_close(reader);
}

static void find_proof(struct state *state, uint32_t task, const char *worker)
{
    struct id id = test_id(task);
    struct state_proof proof = {.frame = buf_init(0)};
    struct record record;
    struct err err = {0};
    if (state_find_proof(state, &id, &proof, &err) != OK)
        fail_msg("%s", err.text);
    assert_false(proof.is_signed);
    assert_in_range(proof.offset + proof.bytes, 1, proof.frame.count);
    assert_int_equal(record_parse(proof.frame.bytes + proof.offset, proof.bytes, &record, &err),
                     OK);
    assert_int_equal(record.worker_bytes, strlen(worker));
    assert_memory_equal(record.worker, worker, strlen(worker));
    buf_fini(&proof.frame);
}

static void a_records_frame_is_found(void **context)
{
    (void)context;
    struct state *state = folder_open(STATE_WRITE);
    struct commit commit;
    commit_one(state, 1, "ann");
    commit_begin(&commit);
    commit_record(&commit, 2, 2, "bob", true);
    commit_record(&commit, 3, 3, "cid", true);
    commit_now(&commit, state);
    commit_alias(&commit, 4, 3);
    commit_now(&commit, state);
    commit_fini(&commit);
    find_proof(state, 1, "ann");
    find_proof(state, 3, "cid");
    find_proof(state, 4, "cid");
    state_close(state);
    state = folder_open(STATE_READ);
    find_proof(state, 2, "bob");
    struct id unknown = test_id(9);
    struct state_proof proof = {.frame = buf_init(0)};
    assert_int_equal(state_find_proof(state, &unknown, &proof, NULL), E_NOTFOUND);
    state_close(state);
}

/* A chain of 20,000 has as many proofs: each went through the heads of all entries before it. */
static void heads_of_the_journal_are_read_once(void **context)
{
    (void)context;
    struct state *state = folder_open(STATE_WRITE);
    for (uint32_t task = 1; task <= 5; task++)
        commit_one(state, task, "ann");
    find_proof(state, 3, "ann");
    int fd = open(folder_at("journal"), O_RDWR | O_CLOEXEC);
    assert_int_equal(pwrite(fd, "x", 1, 40), 1); /* the first head, which nobody needs any more */
    close(fd);
    for (uint32_t task = 5; task > 1; task--)
        find_proof(state, task, "ann");
    commit_one(state, 6, "bob");
    find_proof(state, 6, "bob");
    find_proof(state, 5, "ann");
    state_close(state);
}

static enum status count_run(void *context, const char *id, const uint8_t *document, size_t bytes,
                             struct err *err)
{
    (void)id, (void)document, (void)bytes, (void)err;
    ++*(int *)context;
    return OK;
}

/* It sees what the index does not have yet, removals too. */
static void a_reader_sees_that_a_run_is_gone(void **context)
{
    (void)context;
    struct state *state = folder_open(STATE_WRITE);
    struct commit commit;
    commit_begin(&commit);
    commit_run(&commit, "2026-a", "A");
    commit_run(&commit, "2026-b", "B");
    commit_now(&commit, state);
    state_close(state); /* indexed */
    state = folder_open(STATE_WRITE);
    commit_run(&commit, "2026-b", "");
    commit_now(&commit, state);
    commit_fini(&commit);
    struct state *reader = folder_open(STATE_READ);
    char id[STATE_RUN_ID_BYTES];
    AUTO(buf_fini) struct buf document = buf_init(0);
    int count = 0;
    assert_int_equal(state_get_run(reader, "latest", id, sizeof id, &document, NULL), OK);
    assert_string_equal(id, "2026-a");
    assert_int_equal(state_each_run(reader, 0, count_run, &count, NULL), OK);
    assert_int_equal(count, 1);
    state_close(reader);
    state_close(state);
}

/* A killed process: what it committed was not indexed, nothing was closed. */
static void commit_in_a_killed_process(uint32_t count)
{
    pid_t child = fork();
    if (child == 0) {
        struct state *state = folder_open(STATE_WRITE);
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
        struct state *state = folder_open(STATE_WRITE);
        for (uint32_t n = 0; n < 50; n++)
            assert_string_equal(worker_of_task(state, n), "killed");
        assert_string_equal(worker_of_task(state, 50), "");
        state_close(state);
    }
}

static void a_kill_at_every_byte_loses_only_the_last_commit(void **context)
{
    (void)context;
    struct state *state = folder_open(STATE_WRITE);
    commit_one(state, 1, "one");
    commit_one(state, 2, "two");
    state_close(state);
    off_t before = folder_journal_bytes();
    state = folder_open(STATE_WRITE);
    commit_one(state, 3, "three");
    state_close(state);
    off_t after = folder_journal_bytes();
    folder_copy("journal", "whole");
    for (off_t cut = before; cut < after; cut++) {
        folder_copy("whole", "journal");
        folder_lose_index();
        assert_int_equal(truncate(folder_at("journal"), cut), 0);
        state = folder_open(STATE_WRITE);
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
            assert_int_equal(folder_journal_bytes(), before);
    }
    state = folder_open(STATE_WRITE);
    assert_string_equal(worker_of_task(state, 3), "again");
    state_close(state);
}

static void a_kill_while_the_file_is_made_is_mended(void **context)
{
    (void)context;
    for (off_t cut = 0; cut < 40; cut++) {
        struct state *state = folder_open(STATE_WRITE);
        state_close(state);
        assert_int_equal(truncate(folder_at("journal"), cut), 0);
        state = folder_open(STATE_WRITE);
        commit_one(state, 1, "one");
        state_close(state);
        state = folder_open(STATE_WRITE);
        assert_string_equal(worker_of_task(state, 1), "one");
        state_close(state);
        assert_int_equal(fs_remove_tree(folder, NULL), OK);
    }
}

/* ---- damage ---- */

static void damage_of_what_was_flushed_is_reported(void **context)
{
    (void)context;
    off_t middle = folder_make_three(true);
    off_t spots[] = {middle, middle + 5, middle + 30, middle + 50};
    folder_copy("journal", "whole");
    for (size_t i = 0; i < sizeof spots / sizeof *spots; i++) {
        struct err err;
        folder_copy("whole", "journal");
        folder_lose_index();
        folder_flip_byte("journal", spots[i]);
        assert_int_equal(folder_open_status(STATE_WRITE, &err), E_CORRUPT);
        assert_non_null(strstr(err.text, "journal"));
        assert_int_equal(folder_open_status(STATE_READ, &err), E_CORRUPT);
        off_t left = folder_journal_bytes();
        folder_copy("whole", "journal");
        assert_int_equal(left, folder_journal_bytes()); /* nothing was cut off */
        struct state *state = folder_open(STATE_WRITE);
        state_close(state);
    }
}

/* After a power loss later pages may be there and earlier ones not. */
/* The journal's descriptor becomes one that takes everything and can't be flushed. */
static void lose_the_disk(void)
{
    struct stat journal, open_file;
    int null = open("/dev/null", O_RDWR), found = -1;
    assert_int_equal(stat(folder_at("journal"), &journal), 0);
    for (int fd = 0; fd < 64; fd++)
        if (fstat(fd, &open_file) == 0 && open_file.st_ino == journal.st_ino &&
            open_file.st_dev == journal.st_dev)
            found = fd;
    assert_true(found >= 0);
    assert_int_equal(dup2(null, found), found);
    close(null);
}

/* Tried again, it might seem to succeed: what the kernel dropped is not written by the next one. */
static void a_disk_that_failed_once_is_not_waited_for(void **context)
{
    (void)context;
    struct err err = {0};
    struct state *state = folder_open(STATE_WRITE);
    lose_the_disk();
    commit_one(state, 1, "one");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(state_flush(state, &err), E_CORRUPT);
        assert_non_null(strstr(err.text, "power loss"));
    }
    state_close(state);
}

static void a_hole_in_what_was_not_flushed_is_cut_off(void **context)
{
    (void)context;
    off_t middle = folder_make_three(false);
    folder_lose_index();
    folder_flip_byte("journal", middle + 40);
    struct state *state = folder_open(STATE_WRITE);
    assert_string_equal(worker_of_task(state, 1), "one");
    assert_string_equal(worker_of_task(state, 2), "");
    assert_string_equal(worker_of_task(state, 3), "");
    state_close(state);
    assert_int_equal(folder_journal_bytes(), middle);
}

static void ignore_found(void *context, uint32_t index, const uint8_t *record, size_t bytes)
{
    (void)context, (void)index, (void)record, (void)bytes;
}

static void a_look_up_notices_a_damaged_record(void **context)
{
    (void)context;
    folder_make_three(true);
    folder_flip_byte("journal",
                     folder_journal_bytes() - 32 - 5); /* the last record's end; a mark follows */
    struct state *state = folder_open(STATE_WRITE);
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
    assert_int_equal(fs_write(folder_at("journal"), text, sizeof text, NULL), OK);
    assert_int_equal(folder_open_status(STATE_WRITE, &err), E_CORRUPT);
    assert_int_equal(folder_open_status(STATE_READ, &err), E_CORRUPT);
    memcpy(text, "penstock journal\x09\0\0\0", 20);
    assert_int_equal(fs_write(folder_at("journal"), text, sizeof text, NULL), OK);
    assert_int_equal(folder_open_status(STATE_WRITE, &err), E_VERSION);
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
    struct state *state = folder_open(STATE_WRITE);
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
    folder_lose_index();
    for (int again = 0; again < 2; again++) {
        struct state *state = folder_open(STATE_WRITE);
        check_600(state);
        state_close(state);
    }
}

static void a_damaged_index_is_made_anew(void **context)
{
    (void)context;
    make_600();
    struct stat info;
    assert_int_equal(stat(folder_at("index"), &info), 0);
    const off_t lengths[] = {0, 100, 4096, info.st_size / 2};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        assert_int_equal(truncate(folder_at("index"), lengths[i]), 0);
        struct state *reader = folder_open(STATE_READ);
        check_600(reader);
        state_close(reader);
        struct state *state = folder_open(STATE_WRITE);
        check_600(state);
        state_close(state);
    }
    char text[8192];
    memset(text, 'x', sizeof text);
    assert_int_equal(fs_write(folder_at("index"), text, sizeof text, NULL), OK);
    struct state *state = folder_open(STATE_WRITE);
    check_600(state);
    state_close(state);
}

static void an_index_of_another_boot_is_not_trusted(void **context)
{
    (void)context;
    make_600();
    char text[8192];
    memset(text, 'x', sizeof text); /* would not even open */
    assert_int_equal(fs_write(folder_at("index"), text, sizeof text, NULL), OK);
    assert_int_equal(fs_write(folder_at("boot"), "another\n", 8, NULL), OK);
    struct state *state = folder_open(STATE_READ);
    check_600(state);
    state_close(state);
    state = folder_open(STATE_WRITE);
    check_600(state);
    state_close(state);
}

static void an_index_ahead_of_the_journal_is_made_anew(void **context)
{
    (void)context;
    struct state *state = folder_open(STATE_WRITE);
    commit_one(state, 1, "one");
    state_close(state);
    folder_copy("journal", "older");
    state = folder_open(STATE_WRITE);
    commit_one(state, 2, "two");
    state_close(state);
    folder_copy("older", "journal"); /* somebody put a copy back */
    state = folder_open(STATE_WRITE);
    assert_string_equal(worker_of_task(state, 1), "one");
    assert_string_equal(worker_of_task(state, 2), "");
    commit_one(state, 3, "three");
    state_close(state);
    state = folder_open(STATE_WRITE);
    assert_string_equal(worker_of_task(state, 3), "three");
    state_close(state);
}

static void the_index_grows(void **context)
{
    (void)context;
    enum { ROUNDS = 60 };
    struct state *state = folder_open(STATE_WRITE);
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
    assert_int_equal(stat(folder_at("index"), &info), 0);
    assert_true(info.st_size > 2 << 20); /* past LMDB's first map */
    state = folder_open(STATE_WRITE);
    assert_string_equal(worker_of_task(state, ROUNDS * COMMIT_ITEMS_MAX - 1), "w");
    state_close(state);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, folder_make, folder_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(everything_is_there_after_a_restart),
        IN_FOLDER(each_writer_has_a_higher_epoch),
        IN_FOLDER(a_records_frame_is_found),
        IN_FOLDER(heads_of_the_journal_are_read_once),
        IN_FOLDER(a_reader_sees_that_a_run_is_gone),
        IN_FOLDER(a_kill_loses_nothing_committed),
        IN_FOLDER(a_kill_at_every_byte_loses_only_the_last_commit),
        IN_FOLDER(a_kill_while_the_file_is_made_is_mended),
        IN_FOLDER(damage_of_what_was_flushed_is_reported),
        IN_FOLDER(a_disk_that_failed_once_is_not_waited_for),
        IN_FOLDER(a_hole_in_what_was_not_flushed_is_cut_off),
        IN_FOLDER(a_look_up_notices_a_damaged_record),
        IN_FOLDER(another_file_is_no_journal),
        IN_FOLDER(a_lost_index_is_made_anew),
        IN_FOLDER(a_damaged_index_is_made_anew),
        IN_FOLDER(an_index_of_another_boot_is_not_trusted),
        IN_FOLDER(an_index_ahead_of_the_journal_is_made_anew),
        IN_FOLDER(the_index_grows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
