/* Which runs go, what they take with them, and what stays. */
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/crypto/hash.h"
#include "common/fs.h"
#include "proto/record.h"
#include "tests/unit/broker/care/house.h"

static struct collect_options keep(uint32_t count)
{
    return (struct collect_options){.has_keep = true, .keep = count, .now_us = clock_epoch_us()};
}

/* Files of a run of width 2: a source, 2 × make, pack's own file and manifest, sum, end; all share
 * a log and a file. */
enum { OWN_FILES = 7, SHARED_FILES = 2, OWN_RECORDS = 5 };

static void nothing_is_dropped_unless_it_is_asked(void **state)
{
    struct house *house = *state;
    house_add(house, &(struct house_run){.seed = 1, .width = 2, .ended_days = 1000});
    const char *run = house_add(house, &(struct house_run){.seed = 2, .width = 2});
    house_make_old(house);
    struct collect_swept swept =
        house_collect(house, &(struct collect_options){.now_us = clock_epoch_us()});
    assert_int_equal(swept.removed.count, 0);
    assert_int_equal(swept.kept.count, 2 * OWN_FILES + SHARED_FILES);
    assert_int_equal(house_record_count(house), 2 * OWN_RECORDS);
    assert_true(house_is_whole(house, run, false));
}

/* A Redis that was emptied names nothing, and has another epoch, or none. */
static void a_state_of_another_epoch_decides_nothing(void **state)
{
    struct house *house = *state;
    house_add(house, &(struct house_run){.seed = 1, .width = 2});
    struct artifact unnamed;
    assert_int_equal(store_put(house->store, "unnamed", 7, &unnamed.id, NULL), OK);
    house_make_old(house);
    uint32_t before = house_blob_count(house);
    struct collect_swept swept;
    struct err err = {0};
    struct collect_sweep sweep = {.now_s = (int64_t)time(NULL), .removes = true};
    sweep.epoch = state_epoch(house->state) + 1;
    assert_int_equal(collect_sweep(house->state, house->store, &sweep, &swept, &err),
                     E_UNREACHABLE);
    assert_int_equal(house_blob_count(house), before);
    sweep.epoch = state_epoch(house->state);
    assert_int_equal(collect_sweep(house->state, house->store, &sweep, &swept, &err), OK);
    assert_int_equal(house_blob_count(house), before - 1);
}

static void the_newest_of_each_pipeline_are_kept(void **state)
{
    struct house *house = *state;
    const char *runs[6];
    for (uint32_t i = 0; i < 6; i++)
        runs[i] = house_add(
            house, &(struct house_run){.pipeline = i % 3 ? "p" : "q", .seed = i, .width = 2});
    house_make_old(house);
    const struct collect_options options = keep(1);
    struct collect_swept swept = house_collect(house, &options);
    for (uint32_t i = 0; i < 6; i++)
        assert_int_equal(house_has_run(house, runs[i]), i == 3 || i == 5);
    assert_true(house_is_whole(house, runs[3], false));
    assert_true(house_is_whole(house, runs[5], false));
    assert_int_equal(swept.removed.count, 4 * OWN_FILES);
    assert_int_equal(house_blob_count(house), 2 * OWN_FILES + SHARED_FILES);
    assert_int_equal(house_record_count(house), 2 * OWN_RECORDS);
}

static void the_last_one_takes_everything_along(void **state)
{
    struct house *house = *state;
    house_add(house, &(struct house_run){.seed = 1, .width = 3});
    house_make_old(house);
    const struct collect_options options = keep(0);
    house_collect(house, &options);
    assert_int_equal(house_blob_count(house), 0);
    assert_int_equal(house_record_count(house), 0);
}

static void all_that_is_given_has_to_hold(void **state)
{
    struct house *house = *state;
    const char *blue_old = house_add(
        house, &(struct house_run){.seed = 1, .width = 1, .label = "team=blue", .ended_days = 40});
    const char *blue = house_add(
        house, &(struct house_run){.seed = 2, .width = 1, .label = "team=blue", .ended_days = 20});
    const char *red_old = house_add(
        house, &(struct house_run){.seed = 3, .width = 1, .label = "team=red", .ended_days = 40});
    static const char *const labels[] = {"team=blue"};
    struct collect_options options = {.has_age = true,
                                      .age_us = (int64_t)30 * 86400 * 1000000,
                                      .labels = labels,
                                      .label_count = 1,
                                      .now_us = clock_epoch_us()};
    house_collect(house, &options);
    assert_false(house_has_run(house, blue_old));
    assert_true(house_has_run(house, blue));
    assert_true(house_has_run(house, red_old));
    options.label_count = 0;
    house_collect(house, &options);
    assert_true(house_has_run(house, blue));
    assert_false(house_has_run(house, red_old));
    /* The newest ones stay, however old. */
    options.age_us = 0;
    options.has_keep = true;
    options.keep = 1;
    house_collect(house, &options);
    assert_true(house_has_run(house, blue));
}

static void open_runs_stay_and_count(void **state)
{
    struct house *house = *state;
    const char *over = house_add(house, &(struct house_run){.seed = 1, .width = 2});
    const char *open = house_add(
        house, &(struct house_run){.seed = 2, .width = 2, .is_open = true, .is_begun_only = true});
    house_make_old(house);
    struct collect_options options = keep(1);
    house_collect(house, &options);
    assert_false(house_has_run(house, over));
    options = keep(0);
    house_collect(house, &options);
    assert_true(house_has_run(house, open));
    assert_true(house_is_whole(house, open, true));
}

static void what_a_kept_run_shares_stays(void **state)
{
    struct house *house = *state;
    house_add(house, &(struct house_run){.seed = 1, .width = 4});
    const char *kept = house_add(house, &(struct house_run){.seed = 1, .width = 2});
    house_make_old(house);
    const struct collect_options options = keep(1);
    house_collect(house, &options);
    assert_true(house_is_whole(house, kept, false));
    assert_int_equal(house_record_count(house), OWN_RECORDS);
    assert_int_equal(house_blob_count(house), OWN_FILES + SHARED_FILES);
}

static void what_was_put_today_stays(void **state)
{
    struct house *house = *state;
    house_add(house, &(struct house_run){.seed = 1, .width = 2});
    const struct collect_options options = keep(0);
    struct collect_swept swept = house_collect(house, &options);
    assert_int_equal(swept.removed.count, 0);
    /* The files of a new tree are named by it. */
    assert_int_equal(swept.young.count + swept.kept.count, OWN_FILES + SHARED_FILES);
    assert_int_equal(house_record_count(house), 0);
    house_make_old(house);
    swept = house_collect(house, &options);
    assert_int_equal(swept.removed.count, OWN_FILES + SHARED_FILES);
    assert_int_equal(house_blob_count(house), 0);
}

/* Its file is old, its manifest was put just now: a result that is on its way. */
static void files_of_a_new_tree_stay(void **state)
{
    struct house *house = *state;
    const char *run = house_add(house, &(struct house_run){.seed = 1, .width = 1});
    struct artifact tree = house_output(house, run, "pack");
    AUTO(buf_fini) struct buf manifest = buf_init(0);
    house_make_old(house);
    assert_int_equal(store_get_manifest(house->store, &tree.id, &manifest, &house_err), OK);
    assert_int_equal(
        store_put_manifest(house->store, manifest.bytes, manifest.count, &tree.id, &house_err), OK);
    const struct collect_options options = keep(0);
    house_collect(house, &options);
    assert_int_equal(house_blob_count(house), 3);
}

/* ---- what is found by its action ---- */

struct found {
    bool is_found;
};

static void note(void *context, uint32_t index, const uint8_t *record, size_t bytes)
{
    (void)index, (void)record, (void)bytes;
    ((struct found *)context)->is_found = true;
}

static void copy(void *context, uint32_t index, const uint8_t *record, size_t bytes)
{
    (void)index;
    buf_put(context, record, bytes);
}

static struct id task_of(struct house *house, const char *run, uint32_t from_end)
{
    AUTO(id_set_fini) struct id_set tasks = {0};
    id_set_init(&tasks);
    house_add_tasks(house, run, &tasks);
    return tasks.ids[tasks.count - 1 - from_end];
}

static struct id action_of(struct house *house, const struct id *task)
{
    AUTO(buf_fini) struct buf bytes = buf_init(0);
    struct record record;
    struct id action;
    assert_int_equal(state_find_tasks(house->state, task, 1, copy, &bytes, &house_err), OK);
    assert_int_equal(record_parse(bytes.bytes, bytes.count, &record, &house_err), OK);
    hash_bytes(PERSON_ACTION, record.action, record.action_bytes, &action);
    return action;
}

static bool has_action(struct house *house, const struct id *action)
{
    struct found found = {0};
    assert_int_equal(state_find_actions(house->state, action, 1, note, &found, &house_err), OK);
    return found.is_found;
}

/* An early cutoff made the kept run's task point at the other's record. */
static void a_record_whose_action_a_kept_one_has_stays(void **state)
{
    struct house *house = *state;
    const char *dropped = house_add(house, &(struct house_run){.seed = 1, .width = 1});
    const char *kept = house_add(house, &(struct house_run){.seed = 2, .width = 1});
    struct id theirs = task_of(house, dropped, 0), ours = task_of(house, kept, 0);
    struct id action = action_of(house, &theirs);
    const struct state_alias alias = {ours, action};
    bool is_done;
    assert_int_equal(state_begin(house->state,
                                 &(struct state_batch){.aliases = &alias, .alias_count = 1},
                                 &house_err),
                     OK);
    assert_int_equal(state_poll(house->state, &is_done, &house_err), OK);
    assert_true(is_done);
    house_make_old(house);
    struct collect_options options = keep(1);
    house_collect(house, &options);
    assert_false(house_has_run(house, dropped));
    assert_true(house_is_whole(house, kept, false));
    assert_true(has_action(house, &action));
    options = keep(0);
    house_collect(house, &options);
    assert_false(has_action(house, &action));
    assert_int_equal(house_record_count(house), 0);
}

/* ---- runs whose tasks have other ids by now ---- */

static void a_kind_that_was_raised_since_costs_no_record(void **state)
{
    struct house *house = *state;
    house_add(house, &(struct house_run){.seed = 1, .width = 2, .ended_days = 9});
    house_add(house, &(struct house_run){.seed = 2, .width = 2, .is_changed = true});
    house_add(house, &(struct house_run){
                         .seed = 3, .width = 2, .is_changed = true, .lists_in_store = true});
    house_make_old(house);
    const struct collect_options options = keep(2);
    house_collect(house, &options);
    assert_int_equal(house_record_count(house), 2 * OWN_RECORDS);
    house_collect(house, &options); /* the list is there still */
    assert_int_equal(house_record_count(house), 2 * OWN_RECORDS);
}

static struct collect_plan plan_of(struct house *house)
{
    struct collect_plan plan;
    const struct collect_options options = keep(1);
    collect_plan_init(&plan);
    assert_int_equal(collect_make_plan(house->state, house->store, &options, &plan, &house_err),
                     OK);
    return plan;
}

static void a_run_that_does_not_say_what_it_needs_keeps_all(void **state)
{
    struct house *house = *state;
    house_add(house, &(struct house_run){.seed = 1, .width = 2, .ended_days = 9});
    const char *run =
        house_add(house, &(struct house_run){.seed = 2, .width = 2, .is_untold = true});
    struct collect_plan plan = plan_of(house);
    assert_int_equal(plan.runs_untold, 1);
    assert_string_equal(plan.untold, run);
    assert_int_equal(plan.run_count, 1);
    assert_int_equal(plan.records.count, 0);
    assert_int_equal(plan.records_kept, house_record_count(house));
    collect_plan_fini(&plan);
    /* It is dropped by the next one. */
    house_add(house, &(struct house_run){.seed = 3, .width = 2});
    plan = plan_of(house);
    assert_int_equal(plan.runs_untold, 0);
    assert_int_equal(plan.records_kept, OWN_RECORDS);
    collect_plan_fini(&plan);
}

static void a_lost_list_keeps_all(void **state)
{
    struct house *house = *state;
    house_add(house, &(struct house_run){.seed = 1, .width = 2, .ended_days = 9});
    house_add(house, &(struct house_run){.seed = 2, .width = 2, .lists_in_store = true});
    struct collect_plan plan = plan_of(house);
    assert_int_equal(plan.records.count, OWN_RECORDS);
    collect_plan_fini(&plan);
    struct store *whole = house->store;
    assert_int_equal(store_open("mem:", &house->store, &house_err), OK);
    plan = plan_of(house);
    store_close(house->store);
    house->store = whole;
    assert_int_equal(plan.runs_untold, 1);
    assert_int_equal(plan.records.count, 0);
    collect_plan_fini(&plan);
}

/* ---- the rest ---- */

static void a_dry_run_tells_and_changes_nothing(void **state)
{
    struct house *house = *state;
    const char *run = house_add(house, &(struct house_run){.seed = 1, .width = 2});
    house_add(house, &(struct house_run){.seed = 2, .width = 2});
    house_make_old(house);
    AUTO(collect_plan_fini) struct collect_plan plan = {0};
    collect_plan_init(&plan);
    const struct collect_options options = keep(1);
    struct collect_swept swept;
    assert_int_equal(collect_make_plan(house->state, house->store, &options, &plan, &house_err),
                     OK);
    const struct collect_sweep sweep = {.plan = &plan, .now_s = (int64_t)time(NULL)};
    assert_int_equal(collect_sweep(house->state, house->store, &sweep, &swept, &house_err), OK);
    assert_int_equal(plan.run_count, 1);
    assert_string_equal(plan.runs[0], run);
    assert_int_equal(plan.records.count, OWN_RECORDS);
    assert_int_equal(swept.removed.count, OWN_FILES);
    assert_true(house_is_whole(house, run, false));
    assert_int_equal(house_blob_count(house), 2 * OWN_FILES + SHARED_FILES);
    /* And it told the truth. */
    struct collect_swept done = house_collect(house, &options);
    assert_int_equal(done.removed.count, swept.removed.count);
    assert_int_equal(done.removed.bytes, swept.removed.bytes);
    assert_int_equal(done.kept.count, swept.kept.count);
}

static void a_run_that_cannot_be_read_stops_it(void **state)
{
    struct house *house = *state;
    house_add(house, &(struct house_run){.seed = 1, .width = 2});
    static const uint8_t document[] = {0x81, 0xa4, 't', 'e', 'x', 't', 0xa1, '!'};
    const struct state_run run = {"20270101t000000-1", document, sizeof document};
    bool is_done;
    assert_int_equal(
        state_begin(house->state, &(struct state_batch){.runs = &run, .run_count = 1}, &house_err),
        OK);
    assert_int_equal(state_poll(house->state, &is_done, &house_err), OK);
    AUTO(collect_plan_fini) struct collect_plan plan = {0};
    collect_plan_init(&plan);
    const struct collect_options options = keep(5);
    assert_int_equal(collect_make_plan(house->state, house->store, &options, &plan, &house_err),
                     E_CORRUPT);
    assert_non_null(strstr(house_err.text, "run 20270101t000000-1 is kept, but what it needs"));
}

static void records_of_run_task_keep_their_bytes_for_a_month(void **state)
{
    struct house *house = *state;
    const char *run = house_add(house, &(struct house_run){.seed = 1, .width = 1});
    struct id task = task_of(house, run, 0);
    AUTO(buf_fini) struct buf record = buf_init(0);
    assert_int_equal(state_find_tasks(house->state, &task, 1, copy, &record, &house_err), OK);
    assert_int_equal(
        store_put_object(house->store, "records/x", record.bytes, record.count, &house_err), OK);
    house_make_old(house);
    const struct collect_options options = keep(0);
    struct collect_swept swept = house_collect(house, &options);
    assert_int_equal(swept.objects.count, 0);
    assert_int_equal(house_blob_count(house), 3); /* its output, its log, what it read */
    const struct collect_sweep later = {.now_s = (int64_t)time(NULL) + GC_ASIDE_SECONDS,
                                        .removes = true};
    assert_int_equal(collect_sweep(house->state, house->store, &later, &swept, &house_err), OK);
    assert_int_equal(swept.objects.count, 1);
    assert_int_equal(house_blob_count(house), 0);
    assert_false(fs_exists(house_at(house, "store/records/x")));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, house_setup, house_teardown)
    const struct CMUnitTest tests[] = {
        TEST(nothing_is_dropped_unless_it_is_asked),
        TEST(a_state_of_another_epoch_decides_nothing),
        TEST(the_newest_of_each_pipeline_are_kept),
        TEST(the_last_one_takes_everything_along),
        TEST(all_that_is_given_has_to_hold),
        TEST(open_runs_stay_and_count),
        TEST(what_a_kept_run_shares_stays),
        TEST(what_was_put_today_stays),
        TEST(files_of_a_new_tree_stay),
        TEST(a_record_whose_action_a_kept_one_has_stays),
        TEST(a_kind_that_was_raised_since_costs_no_record),
        TEST(a_run_that_does_not_say_what_it_needs_keeps_all),
        TEST(a_lost_list_keeps_all),
        TEST(a_dry_run_tells_and_changes_nothing),
        TEST(a_run_that_cannot_be_read_stops_it),
        TEST(records_of_run_task_keep_their_bytes_for_a_month),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
