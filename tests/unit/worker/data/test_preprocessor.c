// SPDX-License-Identifier: Apache-2.0
#include "worker/data/preprocessor.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/text/yaml.h"

/* A preprocess step as a person writes it, run on a text. */
struct step {
    struct arena arena;
    struct preprocess_params params;
    struct table *table;
    struct parts parts;
    struct preprocessor *preprocessor;
};

static void problem(void *context, const struct value *at, const char *text)
{
    (void)context;
    (void)at;
    fail_msg("%s", text);
}

static enum status run(struct step *step, const char *yaml, const char *csv, struct err *err)
{
    static const struct schema *const schemas_of_kind[] = {&schema_preprocess, NULL};
    struct schema_report report = {.problem = problem};
    struct value written, canonical;
    *step = (struct step){0};
    assert_int_equal(yaml_parse("y", yaml, strlen(yaml), &step->arena, &written, NULL), OK);
    assert_int_equal(schema_canonical(schemas_of_kind, &written, arena_memory(&step->arena),
                                      &report, &canonical),
                     OK);
    TRY(schema_decode(&schema_preprocess, &canonical, &step->params, err));
    struct buf text = buf_init(0);
    buf_put_text(&text, csv);
    struct table_options options = preprocessor_options(&step->params, &step->arena);
    TRY(table_read("t.csv", &text, &options, &step->table, err));
    return preprocessor_fit(&step->params, step->table, &step->parts, &step->preprocessor, err);
}

static void step_fini(struct step *step)
{
    parts_fini(&step->parts);
    if (step->table)
        table_free(step->table);
    if (step->preprocessor)
        preprocessor_free(step->preprocessor);
    arena_fini(&step->arena);
}
DEFINE_AUTO_VALUE(struct step, step_fini)

static void run_well(struct step *step, const char *yaml, const char *csv)
{
    struct err err;
    if (run(step, yaml, csv, &err) != OK)
        fail_msg("%s", err.text);
}

static struct dataset *dataset_of(struct step *step, struct table *table)
{
    struct dataset *dataset;
    struct err err;
    if (preprocessor_dataset(step->preprocessor, table, &dataset, &err) != OK)
        fail_msg("%s", err.text);
    return dataset;
}

/* Fitting or making the dataset fails with this text. */
static void expect_error(const char *yaml, const char *csv, const char *wanted)
{
    AUTO(step_fini) struct step step;
    struct err err = {0};
    enum status status = run(&step, yaml, csv, &err);
    for (int i = 0; status == OK && i < PART_COUNT; i++) {
        struct table *table = step.params.has_split ? step.parts.tables[i] : step.table;
        AUTO(dataset_free) struct dataset *part = NULL;
        if (table)
            status = preprocessor_dataset(step.preprocessor, table, &part, &err);
    }
    assert_int_equal(status, E_INVALID);
    if (!strstr(err.text, wanted))
        fail_msg("`%s` lacks `%s`", err.text, wanted);
}

static const char pets[] = "id,kind,weight,legs,name\n"
                           "7,dog,10,4,rex\n"
                           "3,cat,4,4,tom\n"
                           "9,bird,1,2,\n"
                           "1,cat,5,4,\n";

static void text_targets_are_classes_sorted_by_bytes(void **state)
{
    (void)state;
    AUTO(step_fini) struct step step;
    run_well(&step, "{target: kind, id: id, operations: [{drop: {columns: name}}]}", pets);
    AUTO(dataset_free) struct dataset *dataset = dataset_of(&step, step.table);
    assert_int_equal(dataset->task, DATASET_CLASSIFICATION);
    assert_int_equal(dataset->classes.count, 3);
    assert_string_equal(dataset->classes.items[0].text, "bird");
    assert_true(dataset->target[0] == 2 && dataset->target[1] == 1 && dataset->target[2] == 0);
    assert_int_equal(dataset->row_id[2], 9);
    assert_int_equal(dataset->features.columns, 2);
    assert_string_equal(dataset->columns[1], "legs");
    assert_true(dataset->features.values[2 * 2 + 1] == 2);
    assert_string_equal(dataset->preprocessor, step.preprocessor->hex);
}

static void integer_targets_sort_by_size(void **state)
{
    (void)state;
    AUTO(step_fini) struct step step;
    run_well(&step, "{target: y}", "x,y\n1,10\n2,9\n3,-1\n");
    AUTO(dataset_free) struct dataset *dataset = dataset_of(&step, step.table);
    assert_int_equal(dataset->classes.items[0].integer, -1);
    assert_int_equal(dataset->classes.items[2].integer, 10);
    AUTO(step_fini) struct step regression;
    run_well(&regression, "{target: y, task: regression}", "x,y\n1,10\n2,9\n3,-1\n");
    AUTO(dataset_free) struct dataset *values = dataset_of(&regression, regression.table);
    assert_int_equal(values->task, DATASET_REGRESSION);
    assert_true(values->target[2] == -1);
}

static void one_hot_columns_stand_in_place_of_theirs(void **state)
{
    (void)state;
    AUTO(step_fini) struct step step;
    run_well(&step, "{operations: [{select: {columns: [kind, weight]}}], encode: one_hot}", pets);
    AUTO(dataset_free) struct dataset *dataset = dataset_of(&step, step.table);
    assert_int_equal(dataset->features.columns, 4);
    assert_string_equal(dataset->columns[0], "kind_bird");
    assert_string_equal(dataset->columns[2], "kind_dog");
    assert_string_equal(dataset->columns[3], "weight");
    const double first[] = {0, 0, 1, 10};
    assert_memory_equal(dataset->features.values, first, sizeof first);
}

/* The training part of this split is x = 0, 7, 2, 9, 4, 3, 6: its mean is 31/7. */
static void what_is_fitted_is_fitted_on_the_training_part(void **state)
{
    (void)state;
    AUTO(step_fini) struct step step;
    run_well(&step, "{split: {method: shuffle, test_size: 0.3, seed: 42}, scale: standard}",
             "x\n0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n");
    AUTO(dataset_free) struct dataset *train = dataset_of(&step, step.parts.tables[PART_TRAIN]);
    AUTO(dataset_free) struct dataset *test = dataset_of(&step, step.parts.tables[PART_TEST]);
    double mean = 31.0 / 7, spread = sqrt((0 + 49 + 4 + 81 + 16 + 9 + 36) / 7.0 - mean * mean);
    assert_true(fabs(train->features.values[0] - (0 - mean) / spread) < 1e-12);
    assert_true(fabs(test->features.values[0] - (8 - mean) / spread) < 1e-12);
    assert_int_equal(test->row_id[0], 8);
}

static void min_max_and_ddof(void **state)
{
    (void)state;
    AUTO(step_fini) struct step step;
    run_well(&step,
             "{operations: [{scale: {columns: [a], method: min_max}}, {scale: {columns: [b], ddof: "
             "1}}, {scale: {columns: [c]}}]}",
             "a,b,c\n2,1,5\n4,2,5\n6,3,5\n");
    AUTO(dataset_free) struct dataset *dataset = dataset_of(&step, step.table);
    const double expected[] = {0, -1, 0, 0.5, 0, 0, 1, 1, 0};
    for (size_t i = 0; i < 9; i++)
        assert_true(fabs(dataset->features.values[i] - expected[i]) < 1e-15);
}

static void missing_values_are_filled_or_dropped(void **state)
{
    (void)state;
    const char *csv = "a,b,c,y\n1,1,u,0\n,2,,1\n5,2,v,0\n3,,v,1\n";
    AUTO(step_fini) struct step step;
    run_well(&step,
             "{target: y, operations: [{fill_missing: {columns: a}}, {fill_missing: {columns: b, "
             "strategy: median}}, {fill_missing: {columns: c, strategy: most_frequent}}, "
             "{encode: {columns: c, method: label}}]}",
             csv);
    AUTO(dataset_free) struct dataset *filled = dataset_of(&step, step.table);
    const double expected[] = {1, 1, 0, 3, 2, 1, 5, 2, 1, 3, 2, 1};
    assert_memory_equal(filled->features.values, expected, sizeof expected);
    AUTO(step_fini) struct step dropping;
    run_well(&dropping, "{target: y, operations: [{drop_missing: {}}, {drop: {columns: c}}]}", csv);
    AUTO(dataset_free) struct dataset *dropped = dataset_of(&dropping, dropping.table);
    assert_int_equal(dropped->features.rows, 2);
    assert_int_equal(dropped->row_id[1], 2);
}

static void casts_and_renames(void **state)
{
    (void)state;
    AUTO(step_fini) struct step step;
    run_well(&step,
             "{operations: [{cast: {columns: {a: real, b: text}, invalid: missing}}, "
             "{fill_missing: {columns: a, strategy: constant, value: -1}}, "
             "{rename: {columns: {a: b, b: a}}}, {encode: {columns: a}}]}",
             "a,b\n1.5,1\nx,2\n");
    AUTO(dataset_free) struct dataset *dataset = dataset_of(&step, step.table);
    assert_int_equal(dataset->features.columns, 3);
    assert_string_equal(dataset->columns[0], "b");
    assert_string_equal(dataset->columns[1], "a_1");
    const double expected[] = {1.5, 1, 0, -1, 0, 1};
    assert_memory_equal(dataset->features.values, expected, sizeof expected);
}

static void bad_tables_get_clear_errors(void **state)
{
    (void)state;
    expect_error("{target: speceis}", "x,species\n1,a\n", "did you mean `species`?");
    expect_error("{target: y}", "x,y\n1,0\nNaN,1\n", "t.csv:3: features: column `x` holds `NaN`");
    expect_error("{target: y}", "x,y\n1,0\nabc,1\n", "encode, cast or drop it");
    expect_error("{target: y}", "x,y\n1,0\n,1\n", "t.csv:3: column `x` is missing");
    expect_error("{target: y}", "x,y\n1,a\n2,\n", "t.csv:3: target: column `y` is missing");
    expect_error("{target: y, task: regression}", "x,y\n1,1\n2,b\n", "t.csv:3: target");
    expect_error("{target: y, task: classification}", "x,y\n1,1\n2,1.5\n", "task: regression");
    expect_error("{target: y}", "y\n1\n2\n", "no feature columns");
    expect_error("{target: y, scale: standard}", "x,y\na,1\nb,2\n", "`a`");
    expect_error("{operations: [{drop_missing: {}}]}", "x,y\n1,\n,2\n", "no row");
    expect_error("{operations: [{cast: {columns: {x: integer}}}]}", "x\n1\n2.5\n",
                 "t.csv:3: cast: column `x` holds `2.5`");
    expect_error("{operations: [{drop: {columns: q}}]}", "x\n1\n", "drop: no column `q`");
    expect_error("{target: x, operations: [{drop: {columns: x}}]}", "x,y\n1,2\n", "target or id");
    expect_error("{operations: [{rename: {columns: {x: y}}}]}", "x,y\n1,2\n", "two columns");
    expect_error("{target: y, split: {test_size: 0.5, stratify: true}}", "x,y\n1,0.5\n2,1.5\n",
                 "classification");
    expect_error("{split: {method: shuffle, test_size: 0.3, seed: 42}, encode: one_hot}",
                 "x,z\na,1\nb,2\na,3\na,4\na,5\na,6\na,7\na,8\na,9\na,10\n",
                 "t.csv:3: encode: column `x` holds `b`");
    expect_error("{target: y, split: {method: shuffle, test_size: 0.3, seed: 42}}",
                 "x,y\n1,a\n1,b\n1,a\n1,a\n1,a\n1,a\n1,a\n1,a\n1,a\n1,a\n",
                 "t.csv:3: target: class `b`");
}

static void a_preprocessor_prepares_a_new_table_the_same_way(void **state)
{
    (void)state;
    AUTO(step_fini) struct step step;
    run_well(&step,
             "{target: y, operations: [{select: {columns: [word, x]}}], encode: one_hot, scale: "
             "standard}",
             "x,noise,word,y\n1,q,a,p\n3,r,b,q\n");
    AUTO(buf_fini) struct buf file = buf_init(0);
    assert_int_equal(preprocessor_write(step.preprocessor, &file, NULL), OK);
    AUTO(preprocessor_free) struct preprocessor *read = NULL;
    assert_int_equal(preprocessor_read("p", file.bytes, file.count, &read, NULL), OK);
    assert_string_equal(read->hex, step.preprocessor->hex);
    AUTO(buf_fini) struct buf again = buf_init(0);
    assert_int_equal(preprocessor_write(read, &again, NULL), OK);
    assert_int_equal(again.count, file.count);
    assert_memory_equal(again.bytes, file.bytes, file.count);

    struct buf text = buf_init(0);
    buf_put_text(&text, "word,x\nb,5\n"); /* other order, no target */
    AUTO(table_free) struct table *table = NULL;
    assert_int_equal(table_read("new", &text, &read->options, &table, NULL), OK);
    assert_int_equal(preprocessor_transform(read, table, NULL), OK);
    AUTO(dataset_free) struct dataset *dataset = NULL;
    assert_int_equal(preprocessor_dataset(read, table, &dataset, NULL), OK);
    assert_null(dataset->target);
    assert_string_equal(dataset->preprocessor, step.preprocessor->hex);
    const double expected[] = {0, 1, 3};
    assert_memory_equal(dataset->features.values, expected, sizeof expected);
}

static void columns_not_selected_leave_no_trace(void **state)
{
    (void)state;
    const char *yaml = "{target: y, operations: [{select: {columns: x}}], scale: standard}";
    AUTO(step_fini) struct step one;
    AUTO(step_fini) struct step other;
    run_well(&one, yaml, "x,noise,y\n1,q,p\n3,r,q\n");
    run_well(&other, yaml, "x,noise,y\n1,CHANGED,p\n3,,q\n");
    assert_string_equal(one.preprocessor->hex, other.preprocessor->hex);
}

static void hostile_preprocessors_never_crash(void **state)
{
    (void)state;
    AUTO(step_fini) struct step step;
    run_well(&step,
             "{target: y, operations: [{rename: {columns: {x: z}}}, {cast: {columns: {z: real}}}, "
             "{fill_missing: {}}, {drop_missing: {}}], encode: one_hot, scale: standard}",
             "x,word,y\n1,a,p\n3,b,q\n");
    AUTO(buf_fini) struct buf file = buf_init(0);
    assert_int_equal(preprocessor_write(step.preprocessor, &file, NULL), OK);
    struct rng rng = rng_seed(4);
    int accepted = 0;
    for (int round = 0; round < 5000; round++) {
        AUTO(mem_free) uint8_t *copy = mem_alloc(file.count);
        memcpy(copy, file.bytes, file.count);
        for (uint32_t i = rng_below(&rng, 3) + 1; i; i--)
            copy[rng_below(&rng, (uint32_t)file.count)] =
                file.bytes[rng_below(&rng, (uint32_t)file.count)];
        AUTO(preprocessor_free) struct preprocessor *read = NULL;
        if (preprocessor_read("mutant", copy, file.count, &read, NULL) != OK)
            continue;
        accepted++;
        struct buf text = buf_init(0);
        buf_put_text(&text, "x,word,y\n1,a,p\n3,b,q\n");
        AUTO(table_free) struct table *table = NULL;
        AUTO(dataset_free) struct dataset *dataset = NULL;
        if (table_read("t", &text, &read->options, &table, NULL) == OK &&
            preprocessor_transform(read, table, NULL) == OK)
            (void)!preprocessor_dataset(read, table, &dataset, NULL);
    }
    assert_true(accepted > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_targets_are_classes_sorted_by_bytes),
        cmocka_unit_test(integer_targets_sort_by_size),
        cmocka_unit_test(one_hot_columns_stand_in_place_of_theirs),
        cmocka_unit_test(what_is_fitted_is_fitted_on_the_training_part),
        cmocka_unit_test(min_max_and_ddof),
        cmocka_unit_test(missing_values_are_filled_or_dropped),
        cmocka_unit_test(casts_and_renames),
        cmocka_unit_test(bad_tables_get_clear_errors),
        cmocka_unit_test(a_preprocessor_prepares_a_new_table_the_same_way),
        cmocka_unit_test(columns_not_selected_leave_no_trace),
        cmocka_unit_test(hostile_preprocessors_never_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
