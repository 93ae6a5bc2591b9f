/* What is missing or corrupt is found, and who names it. */
// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/care/audit_inside.h"
#include "common/fs.h"
#include "common/store/tree.h"
#include "tests/unit/broker/care/house.h"

static void look(struct house *house, bool reads_bytes, struct audit *audit)
{
    audit_init(audit);
    if (audit_run(audit, house->state, house->store, reads_bytes, &house_err) != OK)
        fail_msg("%s", house_err.text);
}

/* One byte of it is another; its size is as before. */
static void flip(const char *path)
{
    uint8_t byte;
    assert_int_equal(chmod(path, 0600), 0);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(pread(fd, &byte, 1, 0), 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, 0), 1);
    close(fd);
}

static void expect_task(const struct audit *audit, const char *name, const char *run,
                        const char *output)
{
    for (uint32_t i = 0; i < audit->tasks.count; i++) {
        const struct audit_task *task = &audit->task_infos[i];
        if (!task->name || strcmp(task->name, name) != 0)
            continue;
        assert_string_equal(task->run, run);
        if (output)
            assert_string_equal(task->output, output);
        else
            assert_null(task->output);
        return;
    }
    fail_msg("%s is not among the %u damaged tasks", name, audit->tasks.count);
}

static void all_is_well(void **state)
{
    struct house *house = *state;
    AUTO(audit_fini) struct audit audit = {0};
    house_add(house, &(struct house_run){.seed = 1, .width = 3});
    assert_int_equal(store_put(house->store, "stray", 5, &(struct id){{0}}, &house_err), OK);
    look(house, true, &audit);
    assert_true(audit_is_clean(&audit));
    assert_int_equal(audit.run_count, 1);
    assert_int_equal(audit.record_count, 6);
    assert_int_equal(audit.sound_count, 10);
    assert_int_equal(audit.unnamed_count, 1);
    assert_int_equal(audit.unnamed_bytes, 5);
}

static void an_output_that_is_gone(void **state)
{
    struct house *house = *state;
    AUTO(audit_fini) struct audit audit = {0};
    house_add(house, &(struct house_run){.seed = 1, .width = 3});
    const char *run = house_add(house, &(struct house_run){.seed = 1, .width = 3});
    struct artifact output = house_output(house, run, "make[i=1]");
    assert_int_equal(store_remove(house->store, &output.id, &house_err), OK);
    look(house, false, &audit);
    assert_false(audit_is_clean(&audit));
    assert_int_equal(audit.damaged_count, 1);
    assert_int_equal(audit.tasks.count, 1);
    expect_task(&audit, "make[i=1]", run, "o");
}

static void a_flipped_byte_is_seen_by_who_reads(void **state)
{
    struct house *house = *state;
    AUTO(audit_fini) struct audit listed = {0};
    AUTO(audit_fini) struct audit read = {0};
    const char *run = house_add(house, &(struct house_run){.seed = 1, .width = 1});
    struct artifact output = house_output(house, run, "sum");
    flip(house_path(house, &output.id, false));
    look(house, false, &listed);
    assert_true(audit_is_clean(&listed));
    look(house, true, &read);
    assert_int_equal(read.damaged_count, 1);
    expect_task(&read, "sum", run, "o");
    uint64_t count;
    assert_true(fs_exists(house_path(house, &output.id, false)));
    assert_int_equal(audit_put_aside(&read, house->store, &count, &house_err), OK);
    assert_int_equal(count, 1);
    assert_false(fs_exists(house_path(house, &output.id, false)));
}

static void a_wrong_size_is_seen_without_reading(void **state)
{
    struct house *house = *state;
    AUTO(audit_fini) struct audit audit = {0};
    const char *run = house_add(house, &(struct house_run){.seed = 1, .width = 1});
    struct artifact output = house_output(house, run, "sum");
    assert_int_equal(truncate(house_path(house, &output.id, false), 3), 0);
    look(house, false, &audit);
    assert_int_equal(audit.damaged_count, 1);
    expect_task(&audit, "sum", run, "o");
}

static void a_file_of_a_tree(void **state)
{
    struct house *house = *state;
    AUTO(audit_fini) struct audit audit = {0};
    AUTO(tree_free) struct tree *tree = NULL;
    const char *run = house_add(house, &(struct house_run){.seed = 1, .width = 1});
    house_add(house, &(struct house_run){.seed = 2, .width = 1});
    struct artifact output = house_output(house, run, "pack");
    assert_int_equal(tree_open(house->store, &output.id, &tree, &house_err), OK);
    struct id own = tree_entry(tree, 0).blob;
    assert_int_equal(store_remove(house->store, &own, &house_err), OK);
    look(house, false, &audit);
    assert_int_equal(audit.damaged_count, 2); /* the file, and so the tree */
    assert_int_equal(audit.tasks.count, 1);
    expect_task(&audit, "pack", run, "o");
}

static void a_file_that_trees_share(void **state)
{
    struct house *house = *state;
    AUTO(audit_fini) struct audit audit = {0};
    AUTO(tree_free) struct tree *tree = NULL;
    const char *one = house_add(house, &(struct house_run){.seed = 1, .width = 1});
    const char *two = house_add(house, &(struct house_run){.seed = 2, .width = 1});
    struct artifact output = house_output(house, one, "pack");
    assert_int_equal(tree_open(house->store, &output.id, &tree, &house_err), OK);
    struct id shared = tree_entry(tree, 1).blob;
    flip(house_path(house, &shared, false));
    look(house, true, &audit);
    assert_int_equal(audit.tasks.count, 2);
    assert_true(strcmp(audit.task_infos[0].run, one) == 0 ||
                strcmp(audit.task_infos[1].run, one) == 0);
    assert_true(strcmp(audit.task_infos[0].run, two) == 0 ||
                strcmp(audit.task_infos[1].run, two) == 0);
    uint64_t count;
    assert_int_equal(audit_put_aside(&audit, house->store, &count, &house_err), OK);
    assert_int_equal(count, 1); /* the manifests are as they should be */
}

static void a_manifest(void **state)
{
    struct house *house = *state;
    AUTO(audit_fini) struct audit audit = {0};
    const char *run = house_add(house, &(struct house_run){.seed = 1, .width = 1});
    struct artifact output = house_output(house, run, "pack");
    flip(house_path(house, &output.id, true));
    look(house, false, &audit);
    assert_int_equal(audit.damaged_count, 1);
    expect_task(&audit, "pack", run, "o");
    assert_true(fs_exists(house_path(house, &output.id, true)));
    uint64_t count;
    assert_int_equal(audit_put_aside(&audit, house->store, &count, &house_err), OK);
    assert_int_equal(count, 1);
    assert_false(fs_exists(house_path(house, &output.id, true)));
}

static void a_log_and_a_source(void **state)
{
    struct house *house = *state;
    AUTO(audit_fini) struct audit audit = {0};
    const char *run = house_add(house, &(struct house_run){.seed = 1, .width = 1});
    struct id log, source;
    assert_int_equal(store_put(house->store, "what it wrote", 13, &log, &house_err), OK);
    assert_int_equal(store_put(house->store, "s1.txt", 6, &source, &house_err), OK);
    assert_int_equal(store_remove(house->store, &log, &house_err), OK);
    assert_int_equal(store_remove(house->store, &source, &house_err), OK);
    look(house, false, &audit);
    assert_int_equal(audit.damaged_count, 2);
    assert_int_equal(audit.tasks.count, 1);
    expect_task(&audit, "end", run, NULL);
    assert_int_equal(audit.lost_sources.count, 1);
    const struct value *lost = &audit.lost_sources.items[0];
    assert_string_equal(value_get_text(lost, "name"), "s");
    assert_string_equal(value_get_text(lost, "location"), "s1.txt");
    assert_string_equal(value_get_text(lost, "run"), run);
    assert_string_equal(value_get_text(lost, "fault"), "missing");
}

/* Between the reading of records and the listing of the store a collection took both: the walk
 * that looks for who names it finds nobody. */
static void what_nobody_names_any_more_is_no_damage(void **state)
{
    struct house *house = *state;
    AUTO(audit_fini) struct audit audit = {0};
    house_add(house, &(struct house_run){.seed = 1, .width = 1});
    house_make_old(house);
    AUTO(store_close) struct store *empty = NULL;
    assert_int_equal(store_open("mem:", &empty, &house_err), OK);
    audit_init(&audit);
    assert_int_equal(audit_run(&audit, house->state, empty, false, &house_err), OK);
    assert_int_equal(audit.damaged_count, 6); /* the tree's files are not known */
    house_collect(house, &(struct collect_options){.has_keep = true});
    assert_int_equal(audit_blame(&audit, house->state, empty, &house_err), OK);
    for (uint32_t i = 0; i < audit.ids.count; i++)
        assert_int_equal(audit.items[i].fault, AUDIT_SOUND);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, house_setup, house_teardown)
    const struct CMUnitTest tests[] = {
        TEST(all_is_well),
        TEST(an_output_that_is_gone),
        TEST(a_flipped_byte_is_seen_by_who_reads),
        TEST(a_wrong_size_is_seen_without_reading),
        TEST(a_file_of_a_tree),
        TEST(a_file_that_trees_share),
        TEST(a_manifest),
        TEST(a_log_and_a_source),
        TEST(what_nobody_names_any_more_is_no_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
