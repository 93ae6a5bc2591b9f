// SPDX-License-Identifier: Apache-2.0
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/doc.h"
#include "common/base/mem.h"
#include "common/fs.h"
#include "common/text/json.h"
#include "tests/unit/worker/models/example.h"
#include "worker/data/dataset.h"
#include "worker/kinds/kind.h"
#include "worker/kinds/model_file.h"

#define PREPROCESSOR "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

/* A folder with a dataset in it, and a call of train that reads it and writes beside it. */
struct place {
    struct arena arena;
    char dir[64], dataset[96], validation[96], model[96], history[96];
    struct value params;
    struct err err;
    uint64_t progress_count;
};

static void set_up(struct place *place)
{
    *place = (struct place){0};
    assert_int_equal(fs_make_temp_dir("/tmp/test-train-", place->dir, sizeof place->dir, NULL), OK);
    snprintf(place->dataset, sizeof place->dataset, "%s/train", place->dir);
    snprintf(place->validation, sizeof place->validation, "%s/validation", place->dir);
    snprintf(place->model, sizeof place->model, "%s/model", place->dir);
    snprintf(place->history, sizeof place->history, "%s/history", place->dir);
    place->params = doc_map();
}

static void tear_down(struct place *place)
{
    assert_int_equal(fs_remove_tree(place->dir, NULL), OK);
    arena_fini(&place->arena);
}

static struct dataset *flowers(size_t first, size_t count)
{
    static const char *const columns[] = {"sepal_length", "sepal_width", "petal_length",
                                          "petal_width"};
    static const char *const classes[] = {"setosa", "versicolor", "virginica"};
    struct fit_input input = example_iris(first, count);
    struct dataset *dataset;
    assert_int_equal(dataset_new(count, 4, DATASET_CLASSIFICATION, &dataset, NULL), OK);
    memcpy(dataset->features.values, input.features.values, count * 4 * sizeof(double));
    memcpy(dataset->target, input.target, count * sizeof(double));
    dataset->columns = columns;
    dataset->target_name = "species";
    dataset->preprocessor = PREPROCESSOR;
    for (int i = 0; i < 3; i++)
        doc_add(&dataset->arena, &dataset->classes, value_string(classes[i]));
    return dataset;
}

static void write_dataset(struct dataset *dataset, const char *path)
{
    AUTO(buf_fini) struct buf bytes = buf_init(0);
    assert_int_equal(dataset_write(dataset, &bytes, NULL), OK);
    assert_int_equal(fs_write(path, bytes.bytes, bytes.count, NULL), OK);
    dataset_free(dataset);
}

static void count_progress(const struct kind_call *call, uint64_t step, uint64_t total,
                           const char *metric, double value)
{
    struct place *place = call->context;
    assert_true(step <= total);
    assert_true(!metric || value > 0);
    place->progress_count++;
}

static enum status train(struct place *place, const char *model)
{
    const char *files[] = {place->dataset}, *others[] = {place->validation};
    struct kind_input inputs[] = {{.name = "dataset", .count = 1, .files = files},
                                  {.name = "validation", .count = 1, .files = others}};
    const char *outputs[] = {"history", "model"};
    doc_put(&place->arena, &place->params, "model", value_string(model));
    struct kind_call call = {.params = &place->params,
                             .inputs = inputs,
                             .input_count = fs_exists(place->validation) ? 2 : 1,
                             .outputs = outputs,
                             .output_count = 2,
                             .work_dir = place->dir,
                             .output_dir = place->dir,
                             .progress = count_progress,
                             .context = place};
    place->err.text[0] = 0;
    return kind_train.run(&call, &place->err);
}

static void assert_refused(struct place *place, const char *model, const char *text)
{
    assert_int_equal(train(place, model), E_INVALID);
    if (!strstr(place->err.text, text))
        fail_msg("`%s` does not say `%s`", place->err.text, text);
    assert_false(fs_exists(place->model));
}

static void read_json(struct place *place, const char *path, struct value *out)
{
    AUTO(buf_fini) struct buf text = buf_init(0);
    assert_int_equal(fs_read(path, &text, NULL), OK);
    assert_int_equal(json_parse(path, (char *)text.bytes, text.count, &place->arena, out, NULL),
                     OK);
}

/* ---- what it makes ---- */

static void the_model_is_described_in_full(void **state)
{
    (void)state;
    struct place place;
    set_up(&place);
    write_dataset(flowers(0, EXAMPLE_ROWS), place.dataset);
    doc_put(&place.arena, &place.params, "n_estimators", value_int(7));
    assert_int_equal(train(&place, "random_forest"), OK);
    assert_int_equal(place.progress_count, 7);
    char path[128];
    snprintf(path, sizeof path, "%s/config.json", place.model);
    struct value config;
    read_json(&place, path, &config);
    assert_string_equal(value_get_text(&config, "model"), "random_forest");
    assert_string_equal(value_get_text(&config, "preprocessor"), PREPROCESSOR);
    assert_string_equal(value_get_text(&config, "target"), "species");
    assert_string_equal(value_get_text(&config, "task"), "classification");
    assert_int_equal(strncmp(value_get_text(&config, "kind_version"), "train.random_forest@", 20),
                     0);
    assert_int_equal(value_get(&config, "columns")->count, 4);
    assert_string_equal(value_get(&config, "classes")->items[2].text, "virginica");
    const struct value *params = value_get(&config, "parameters");
    assert_int_equal(value_get(params, "n_estimators")->integer, 7);
    assert_true(value_get(params, "bootstrap")->boolean);
    assert_int_equal(value_get(params, "max_depth")->type, VALUE_NIL);
    for (uint32_t i = 1; i < config.count; i++)
        assert_true(strcmp(config.items[2 * i - 2].text, config.items[2 * i].text) < 0);
    tear_down(&place);
}

static void the_model_loads_and_predicts(void **state)
{
    (void)state;
    for (const struct model *const *model = model_all(); *model; model++) {
        struct place place;
        set_up(&place);
        write_dataset(flowers(0, EXAMPLE_ROWS), place.dataset);
        assert_int_equal(train(&place, (*model)->name), OK);
        struct fitted *fitted;
        struct model_info *info;
        assert_int_equal(model_file_load(place.model, &fitted, &info, &place.err), OK);
        assert_ptr_equal(info->model, *model);
        struct dataset *dataset = flowers(0, EXAMPLE_ROWS);
        assert_int_equal(model_info_check(info, dataset, &place.err), OK);
        struct fit_input input = example_iris(0, EXAMPLE_ROWS);
        assert_true(example_accuracy(fitted, &input) > 0.96);
        dataset_free(dataset);
        fitted_free(fitted);
        model_info_free(info);
        tear_down(&place);
    }
}

static void the_history_has_a_point_per_round(void **state)
{
    (void)state;
    struct place place;
    set_up(&place);
    write_dataset(flowers(0, EXAMPLE_ROWS), place.dataset);
    write_dataset(flowers(0, EXAMPLE_ROWS), place.validation);
    doc_put(&place.arena, &place.params, "n_estimators", value_int(3));
    assert_int_equal(train(&place, "gradient_boosting"), OK);
    struct value history;
    read_json(&place, place.history, &history);
    const struct value *rounds = value_get(&history, "rounds");
    assert_int_equal(rounds->count, 3);
    assert_int_equal(value_get(&rounds->items[2], "step")->integer, 3);
    assert_true(value_get(&rounds->items[0], "loss")->real ==
                value_get(&rounds->items[0], "validation_loss")->real);
    tear_down(&place);
}

/* ---- what it refuses ---- */

static void one_class_is_named(void **state)
{
    (void)state;
    struct place place;
    set_up(&place);
    write_dataset(flowers(50, 50), place.dataset);
    assert_refused(&place, "decision_tree", "one class only, `versicolor` (50 rows)");
    tear_down(&place);
}

static void no_rows_or_no_target_are_refused(void **state)
{
    (void)state;
    struct place place;
    set_up(&place);
    write_dataset(flowers(0, 0), place.dataset);
    assert_refused(&place, "decision_tree", "no rows");
    struct dataset *dataset = flowers(0, 10);
    dataset->task = DATASET_NO_TARGET;
    mem_free(dataset->target);
    dataset->target = NULL;
    dataset->target_name = NULL;
    dataset->classes.count = 0;
    write_dataset(dataset, place.dataset);
    assert_refused(&place, "decision_tree", "no target");
    tear_down(&place);
}

static void numbers_are_no_classes(void **state)
{
    (void)state;
    struct place place;
    set_up(&place);
    struct dataset *dataset = flowers(0, EXAMPLE_ROWS);
    dataset->task = DATASET_REGRESSION;
    dataset->classes.count = 0;
    write_dataset(dataset, place.dataset);
    assert_refused(&place, "logistic_regression", "does classification only");
    tear_down(&place);
}

static void a_model_that_does_not_exist_is_refused(void **state)
{
    (void)state;
    struct place place;
    set_up(&place);
    write_dataset(flowers(0, EXAMPLE_ROWS), place.dataset);
    assert_refused(&place, "perceptron", "`perceptron`");
    tear_down(&place);
}

static void validation_must_match_the_training_data(void **state)
{
    (void)state;
    struct place place;
    set_up(&place);
    write_dataset(flowers(0, EXAMPLE_ROWS), place.dataset);
    struct dataset *other = flowers(0, EXAMPLE_ROWS);
    struct dataset *renamed = flowers(0, EXAMPLE_ROWS);
    static const char *const names[] = {"a", "b", "c", "d"};
    renamed->columns = names;
    write_dataset(renamed, place.validation);
    assert_refused(&place, "decision_tree", "input validation: column 1 of the dataset is `a`");
    static char another[] = PREPROCESSOR;
    another[0] = 'f';
    other->preprocessor = another;
    write_dataset(other, place.validation);
    assert_refused(&place, "decision_tree", "preprocessor");
    tear_down(&place);
}

/* ---- hostile model folders ---- */

static enum status load(struct place *place)
{
    struct fitted *fitted;
    struct model_info *info;
    enum status status = model_file_load(place->model, &fitted, &info, &place->err);
    if (status == OK) {
        fitted_free(fitted);
        model_info_free(info);
    } else {
        assert_null(fitted);
        assert_null(info);
    }
    return status;
}

/* Replaces the first `from` in config.json, loads, and puts the file back. */
static enum status load_with(struct place *place, const char *from, const char *to)
{
    char path[128];
    snprintf(path, sizeof path, "%s/config.json", place->model);
    AUTO(buf_fini) struct buf text = buf_init(0);
    AUTO(buf_fini) struct buf changed = buf_init(0);
    assert_int_equal(fs_read(path, &text, NULL), OK);
    const char *whole = buf_text(&text), *at = strstr(whole, from);
    assert_non_null(at);
    buf_put(&changed, whole, (size_t)(at - whole));
    buf_put_text(&changed, to);
    buf_put_text(&changed, at + strlen(from));
    assert_int_equal(fs_write(path, changed.bytes, changed.count, NULL), OK);
    enum status status = load(place);
    assert_int_equal(fs_write(path, text.bytes, text.count, NULL), OK);
    return status;
}

static void damaged_folders_are_refused(void **state)
{
    (void)state;
    struct place place;
    set_up(&place);
    assert_int_equal(load(&place), E_NOTFOUND);
    write_dataset(flowers(0, EXAMPLE_ROWS), place.dataset);
    assert_int_equal(train(&place, "decision_tree"), OK);
    assert_int_equal(load(&place), OK);
    assert_int_equal(load_with(&place, "penstock.model.1", "penstock.model.2"), E_INVALID);
    assert_int_equal(load_with(&place, "\"decision_tree\"", "\"oracle\""), E_INVALID);
    assert_int_equal(load_with(&place, "\"decision_tree\"", "\"random_forest\""), E_CORRUPT);
    assert_int_equal(load_with(&place, "\"decision_tree\"", "\"logistic_regression\""), E_CORRUPT);
    assert_int_equal(load_with(&place, "\"setosa\",", ""), E_CORRUPT);
    assert_int_equal(load_with(&place, "\"sepal_length\",", ""), E_CORRUPT);
    assert_int_equal(load_with(&place, "\"classification\"", "\"regression\""), E_CORRUPT);
    assert_int_equal(load_with(&place, "{", "["), E_INVALID);
    char path[128];
    snprintf(path, sizeof path, "%s/weights.safetensors", place.model);
    AUTO(buf_fini) struct buf weights = buf_init(0);
    assert_int_equal(fs_read(path, &weights, NULL), OK);
    for (size_t count = 0; count < weights.count; count += 1 + weights.count / 50) {
        assert_int_equal(fs_write(path, weights.bytes, count, NULL), OK);
        assert_int_equal(load(&place), E_CORRUPT);
    }
    tear_down(&place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_model_is_described_in_full),
        cmocka_unit_test(the_model_loads_and_predicts),
        cmocka_unit_test(the_history_has_a_point_per_round),
        cmocka_unit_test(one_class_is_named),
        cmocka_unit_test(no_rows_or_no_target_are_refused),
        cmocka_unit_test(numbers_are_no_classes),
        cmocka_unit_test(a_model_that_does_not_exist_is_refused),
        cmocka_unit_test(validation_must_match_the_training_data),
        cmocka_unit_test(damaged_folders_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
