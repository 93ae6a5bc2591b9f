/* Walking over all records of a folder: beside a writer, and past damage. */
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "broker/state/state.h"
#include "tests/unit/broker/state/commit.h"
#include "tests/unit/broker/state/folder.h"

enum { TASKS = 4 };

struct walk {
    uint32_t seen[TASKS], damaged[TASKS];
    bool writes;
};

static enum status see(void *context, const struct id *task, const uint8_t *record, size_t bytes,
                       struct err *err)
{
    (void)err, (void)bytes;
    struct walk *walk = context;
    for (uint32_t n = 0; n < TASKS; n++) {
        struct id id = test_id(n);
        if (!id_equal(&id, task))
            continue;
        walk->seen[n] += record != NULL;
        walk->damaged[n] += record == NULL;
    }
    if (walk->writes) /* a writer that opens takes the journal's tail into the index */
        state_close(folder_open(STATE_WRITE));
    walk->writes = false;
    return OK;
}

static void commit_and_close(uint32_t task)
{
    struct state *state = folder_open(STATE_WRITE);
    commit_one(state, task, "w");
    state_close(state);
}

/* A reader whose index ends before `task`, which is in the journal's tail. */
static struct state *reader_with_tail(uint32_t task)
{
    folder_copy("index", "before");
    commit_and_close(task);
    folder_copy("before", "index");
    return folder_open(STATE_READ);
}

/* The index gets it when the walk has listed what is there. */
static void what_moves_into_the_index_meanwhile_is_told_once(void **context)
{
    (void)context;
    commit_and_close(2);
    struct state *reader = reader_with_tail(1);
    struct walk walk = {.writes = true};
    assert_int_equal(state_each_record(reader, see, &walk, NULL), OK);
    state_close(reader);
    assert_int_equal(walk.seen[1], 1);
    assert_int_equal(walk.seen[2], 1);
}

/* The same, with the keys in the other order. */
static void so_is_what_comes_behind_it_by_its_key(void **context)
{
    (void)context;
    commit_and_close(1);
    struct state *reader = reader_with_tail(2);
    struct walk walk = {.writes = true};
    assert_int_equal(state_each_record(reader, see, &walk, NULL), OK);
    state_close(reader);
    assert_int_equal(walk.seen[1], 1);
    assert_int_equal(walk.seen[2], 1);
}

static void a_damaged_record_ends_no_audit(void **context)
{
    (void)context;
    off_t second = folder_make_three(true);
    struct walk walk = {0};
    struct err err = {0};
    struct state *state = folder_open(STATE_READ);
    folder_flip_byte("journal", second - 8); /* the end of the first one's record */
    assert_int_equal(state_each_record(state, see, &walk, &err), E_CORRUPT);
    assert_non_null(strstr(err.text, "is damaged"));
    walk = (struct walk){0};
    assert_int_equal(state_audit_records(state, see, &walk, &err), OK);
    state_close(state);
    assert_int_equal(walk.damaged[1], 1);
    assert_int_equal(walk.seen[1], 0);
    assert_int_equal(walk.seen[2], 1);
    assert_int_equal(walk.seen[3], 1);
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, folder_make, folder_remove)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(what_moves_into_the_index_meanwhile_is_told_once),
        IN_FOLDER(so_is_what_comes_behind_it_by_its_key),
        IN_FOLDER(a_damaged_record_ends_no_audit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
