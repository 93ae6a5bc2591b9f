/* preprocess, predict, metrics and select, run as a slot runs them. */
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/fs.h"
#include "tests/unit/worker/kinds/call.h"

static char dir[256];

static int set_up(void **state)
{
    (void)state;
    return fs_make_temp_dir("/tmp/test_data_kinds_", dir, sizeof dir, NULL) != OK;
}

static int tear_down(void **state)
{
    (void)state;
    return fs_remove_tree(dir, NULL) != OK;
}

static const char flowers[] = "length,width,kind\n"
                              "1,9,a\n2,8,a\n3,9,a\n2,9,a\n1,8,a\n3,8,a\n"
                              "8,1,b\n9,2,b\n8,3,b\n9,1,b\n8,2,b\n9,3,b\n";

static const struct call prepare = {
    .kind = "preprocess",
    .params = "{target: kind, split: {method: shuffle, test_size: 0.5, stratify: true}, scale: "
              "standard}",
    .dir = dir,
    .outputs = {"preprocessor", "test", "train"},
    .inputs = {{.name = "table", .files = {"table.csv"}}}};

static struct call train_on(const char *dataset)
{
    return (struct call){.kind = "train",
                         .params = "{model: decision_tree}",
                         .dir = dir,
                         .outputs = {"history", "model"},
                         .inputs = {{.name = "dataset", .files = {dataset}}}};
}

static struct call predict_for(const char *dataset)
{
    return (struct call){.kind = "predict",
                         .dir = dir,
                         .outputs = {"predictions"},
                         .inputs = {{.name = "model", .is_tree = true, .files = {"trained/model"}},
                                    {.name = "dataset", .files = {dataset}}}};
}

static void assert_same_bytes(const char *one, const char *other)
{
    AUTO(buf_fini) struct buf a = call_read(dir, one);
    AUTO(buf_fini) struct buf b = call_read(dir, other);
    assert_int_equal(a.count, b.count);
    assert_memory_equal(a.bytes, b.bytes, a.count);
}

static bool contains(const char *name, const char *text)
{
    AUTO(buf_fini) struct buf file = call_read(dir, name);
    return strstr(buf_text(&file), text) != NULL;
}

static void a_table_becomes_a_score(void **state)
{
    (void)state;
    call_write(dir, "table.csv", flowers);
    call_run_well(&prepare, "prepared");
    struct call train = train_on("prepared/train"), predict = predict_for("prepared/test");
    call_run_well(&train, "trained");
    call_run_well(&predict, "predicted");
    struct call metrics = {.kind = "metrics",
                           .dir = dir,
                           .outputs = {"metrics"},
                           .inputs = {{.name = "predictions", .files = {"predicted/predictions"}}}};
    call_run_well(&metrics, "scored");
    assert_true(contains("scored/metrics", "\"accuracy\": 1.0"));
    assert_true(contains("scored/metrics", "\"f1_binary\": 1.0"));
    metrics.params = "{positive: c}";
    call_expect_error(&metrics, E_INVALID, "the classes are `a` and `b`");
}

static void the_same_work_makes_the_same_bytes(void **state)
{
    (void)state;
    call_write(dir, "table.csv", flowers);
    call_run_well(&prepare, "one");
    call_run_well(&prepare, "two");
    assert_same_bytes("one/train", "two/train");
    assert_same_bytes("one/preprocessor", "two/preprocessor");
}

static void another_preprocessors_dataset_is_refused(void **state)
{
    (void)state;
    call_write(dir, "table.csv", flowers);
    call_run_well(&prepare, "prepared");
    struct call unscaled = prepare;
    unscaled.params = "{target: kind, split: {method: shuffle, test_size: 0.5, stratify: true}}";
    call_run_well(&unscaled, "unscaled");
    struct call train = train_on("prepared/train"), predict = predict_for("unscaled/test");
    call_run_well(&train, "trained");
    call_expect_error(&predict, E_INVALID, "preprocessor");
}

static void an_old_preprocessor_prepares_a_new_table(void **state)
{
    (void)state;
    call_write(dir, "table.csv", flowers);
    call_write(dir, "new.csv", "width,length\n1,9\n9,1\n");
    call_run_well(&prepare, "prepared");
    struct call train = train_on("prepared/train"), predict = predict_for("again/dataset");
    call_run_well(&train, "trained");
    struct call again = {.kind = "preprocess",
                         .dir = dir,
                         .outputs = {"dataset", "preprocessor"},
                         .inputs = {{.name = "table", .files = {"new.csv"}},
                                    {.name = "preprocessor", .files = {"prepared/preprocessor"}}}};
    call_run_well(&again, "again");
    assert_same_bytes("prepared/preprocessor", "again/preprocessor");
    call_run_well(&predict, "predicted");
    struct call metrics = {.kind = "metrics",
                           .dir = dir,
                           .outputs = {"metrics"},
                           .inputs = {{.name = "predictions", .files = {"predicted/predictions"}}}};
    call_expect_error(&metrics, E_INVALID, "had no target");
    again.params = "{scale: standard}";
    call_expect_error(&again, E_INVALID, "parameter `scale`");
}

static void outputs_that_are_not_made_are_refused(void **state)
{
    (void)state;
    call_write(dir, "table.csv", flowers);
    struct call call = prepare;
    call.outputs[1] = "validation";
    call_expect_error(&call, E_INVALID, "there are: train, test, preprocessor");
}

static void bad_tables_are_invalid(void **state)
{
    (void)state;
    const char *cases[][2] = {
        {"", "empty"},
        {"length,kind\n", "no rows"},
        {"length,kind\n1,a\n2\n", "table:3"},
        {"length,kin\n1,a\n2,b\n", "did you mean `kin`?"},
        {"length,kind\n1,a\nNaN,b\n1,a\nNaN,b\n", "table:3"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        call_write(dir, "table.csv", cases[i][0]);
        struct call call = prepare;
        call.params = "{target: kind}";
        call.outputs[1] = NULL;
        call_expect_error(&call, E_INVALID, cases[i][1]);
    }
}

/* ---- select ---- */

static struct call compare(const char *params)
{
    return (struct call){.kind = "metrics",
                         .params = params,
                         .dir = dir,
                         .outputs = {"metrics", "model"},
                         .inputs = {{.name = "reports",
                                     .is_gather = true,
                                     .files = {"r0.json", "r1.json", "r2.json", "r3.json"}},
                                    {.name = "models",
                                     .is_gather = true,
                                     .is_tree = true,
                                     .files = {"m0", "m1", "m2", "m3"}}}};
}

static void write_contest(void)
{
    call_write(dir, "r0.json", "{\"f1\": null, \"loss\": 3}");
    call_write(dir, "r1.json", "{\"f1\": 0.5, \"loss\": 2, \"classes\": [1]}");
    call_write(dir, "r2.json", "{\"f1\": 0.5, \"loss\": 1.0}");
    call_write(dir, "r3.json", "{\"loss\": 1}");
    const char *models[] = {"m0", "m1", "m2", "m3"};
    for (size_t i = 0; i < 4; i++) {
        char folder[300];
        snprintf(folder, sizeof folder, "%s/%s", dir, models[i]);
        assert_int_equal(fs_make_dirs(folder, NULL), OK);
        call_write(folder, "config.json", models[i]);
    }
}

static void the_first_of_equals_wins_and_null_never(void **state)
{
    (void)state;
    write_contest();
    struct call call = compare("{select: {metric: f1}}");
    call_run_well(&call, "max");
    assert_true(contains("max/metrics", "\"winner\": 1"));
    assert_true(contains("max/metrics", "\"best\": 0.5"));
    assert_true(contains("max/model/config.json", "m1"));
    call = compare("{select: {metric: loss, mode: min}}");
    call_run_well(&call, "min");
    assert_true(contains("min/metrics", "\"winner\": 2"));
    assert_true(contains("min/model/config.json", "m2"));
}

static void contests_without_a_winner_say_what_there_is(void **state)
{
    (void)state;
    write_contest();
    struct call call = compare("{select: {metric: los}}");
    call_expect_error(&call, E_INVALID, "did you mean `loss`?");
    call = compare("{select: {metric: loss}}");
    call.inputs[1].files[3] = NULL;
    call_expect_error(&call, E_INVALID, "3 models for 4 reports");
    call.inputs[1].name = NULL;
    call_expect_error(&call, E_INVALID, "input `models` is missing");
    call_write(dir, "r1.json", "[1]");
    call = compare("{select: {metric: loss}}");
    call_expect_error(&call, E_CORRUPT, "reports[1]");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_table_becomes_a_score),
        TEST(the_same_work_makes_the_same_bytes),
        TEST(another_preprocessors_dataset_is_refused),
        TEST(an_old_preprocessor_prepares_a_new_table),
        TEST(outputs_that_are_not_made_are_refused),
        TEST(bad_tables_are_invalid),
        TEST(the_first_of_equals_wins_and_null_never),
        TEST(contests_without_a_winner_say_what_there_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
