/* Parameters: canonical form, complaints, decoding; and the defaults, which are frozen. */
// SPDX-License-Identifier: Apache-2.0
#include "proto/schema.h"

#include <math.h>

#include "proto/kinds.h"
#include "proto/schemas.h"
#include "tests/unit/proto/support.h"

struct problems {
    struct buf text; /* one line each */
    unsigned count;
};

static void add_problem(void *context, const struct value *at, const char *text)
{
    struct problems *problems = context;
    assert_non_null(at);
    buf_format(&problems->text, "%s%s", problems->count++ ? "\n" : "", text);
}

static enum status canonical(struct arena *arena, const char *kind, const char *variant,
                             const char *json, struct value *out, struct problems *problems)
{
    const struct kind_info *info = kind_info_find(kind, variant);
    assert_non_null(info);
    struct value params = from_json(arena, json);
    struct schema_report report = {add_problem, problems};
    return schema_canonical(info->schemas, &params, arena_memory(arena), &report, out);
}

/* The canonical parameters of `json` are those of `want`, in its order. */
static void expect_canonical(const char *kind, const char *variant, const char *json,
                             const char *want)
{
    AUTO(arena_fini) struct arena arena = {0};
    struct problems problems = {.text = buf_init(0)};
    struct value out;
    if (canonical(&arena, kind, variant, json, &out, &problems) != OK)
        fail_msg("%s: %s", json, buf_text(&problems.text));
    AUTO(buf_fini) struct buf shown = buf_init(0), wanted = buf_init(0);
    struct value expected = from_json(&arena, want);
    json_write(&out, 0, &shown);
    json_write(&expected, 0, &wanted);
    assert_string_equal(buf_text(&shown), buf_text(&wanted));
    assert_true(value_encode(&out, NULL, 0) > 0);
    buf_fini(&problems.text);
}

static void expect_problems(const char *kind, const char *variant, const char *json,
                            const char *want)
{
    AUTO(arena_fini) struct arena arena = {0};
    struct problems problems = {.text = buf_init(0)};
    struct value out;
    enum status status = canonical(&arena, kind, variant, json, &out, &problems);
    assert_string_equal(buf_text(&problems.text), want);
    assert_int_equal(status, E_INVALID);
    buf_fini(&problems.text);
}

static void test_defaults_are_left_out_at_every_level(void **state)
{
    (void)state;
    expect_canonical("sleep", "", "null", "{}");
    expect_canonical("sleep", "", "{'seconds': 0, 'index': 5, 'fault': 'none'}", "{'index': 5}");
    expect_canonical("train", "decision_tree",
                     "{'seed': 0, 'model': 'decision_tree', 'max_depth': 3, 'criterion': 'auto'}",
                     "{'max_depth': 3, 'model': 'decision_tree'}");
    expect_canonical("preprocess", "",
                     "{'target': 'y', 'scale': 'none', 'split': {'test_size': 0.25, 'method': "
                     "'hash', 'seed': 1}}",
                     "{'split': {'seed': 1}, 'target': 'y'}");
    expect_canonical("preprocess", "",
                     "{'operations': [{'scale': {'ddof': 0, 'method': 'standard'}}]}",
                     "{'operations': [{'scale': {}}]}");
    expect_canonical("train", "decision_tree", "{'model': 'decision_tree', 'min_samples_split': 2}",
                     "{'model': 'decision_tree'}");
    /* A split of all defaults is still a split. */
    expect_canonical("preprocess", "", "{'split': {'seed': 0}}", "{'split': {}}");
    expect_canonical("preprocess", "", "{'operations': []}", "{}");
}

static void test_null_means_left_out(void **state)
{
    (void)state;
    expect_canonical("train", "decision_tree", "{'model': 'decision_tree', 'max_depth': null}",
                     "{'model': 'decision_tree'}");
    expect_problems("train", "decision_tree", "{'model': null}",
                    "model: expected a word, not null");
}

static void test_reals_and_integers(void **state)
{
    (void)state;
    expect_canonical("train", "logistic_regression", "{'model': 'logistic_regression', 'C': 2}",
                     "{'C': 2.0, 'model': 'logistic_regression'}");
    expect_canonical("train", "logistic_regression", "{'model': 'logistic_regression', 'C': 1}",
                     "{'model': 'logistic_regression'}");
    expect_problems("train", "logistic_regression",
                    "{'model': 'logistic_regression', 'C': '0.2', 'max_iter': 1.5, 'tol': true}",
                    "C: expected a number, not the text \"0.2\"\n"
                    "max_iter: expected an integer, not 1.5\n"
                    "tol: expected a number, not true");
}

static void test_ranges(void **state)
{
    (void)state;
    expect_problems("train", "decision_tree", "{'model': 'decision_tree', 'max_depth': 0}",
                    "max_depth: 0 is not in 1 … 1000");
    expect_problems("train", "logistic_regression", "{'model': 'logistic_regression', 'C': 0}",
                    "C: 0 is not above 0");
    expect_problems("preprocess", "", "{'split': {'test_size': 1, 'validation_size': 1.0}}",
                    "test_size: 1 is not above 0 and below 1\n"
                    "validation_size: 1 is not at least 0 and below 1");
    expect_problems("train", "gradient_boosting",
                    "{'model': 'gradient_boosting', 'learning_rate': 0, 'subsample': 1.5}",
                    "learning_rate: 0 is not above 0 and at most 1\n"
                    "subsample: 1.5 is not above 0 and at most 1");
    expect_problems("sleep", "", "{'seconds': -1}", "seconds: -1 is not in 0 … 2592000");
}

static void test_reals_that_are_not_finite(void **state)
{
    (void)state;
    AUTO(arena_fini) struct arena arena = {0};
    const double reals[] = {INFINITY, NAN};
    const char *const want[] = {"C: inf is not a finite number", "C: nan is not a finite number"};
    for (size_t i = 0; i < 2; i++) {
        struct value items[] = {value_string("C"), value_real(reals[i]), value_string("model"),
                                value_string("logistic_regression")};
        struct value params = {.type = VALUE_MAP, .count = 2, .items = items}, out;
        struct problems problems = {.text = buf_init(0)};
        struct schema_report report = {add_problem, &problems};
        const struct kind_info *info = kind_info_find("train", "logistic_regression");
        assert_int_equal(
            schema_canonical(info->schemas, &params, arena_memory(&arena), &report, &out),
            E_INVALID);
        assert_string_equal(buf_text(&problems.text), want[i]);
        buf_fini(&problems.text);
    }
    struct value command[] = {value_string("command"), value_real(NAN)};
    struct value params = {.type = VALUE_MAP, .count = 1, .items = command}, out;
    struct problems problems = {.text = buf_init(0)};
    struct schema_report report = {add_problem, &problems};
    assert_int_equal(schema_canonical(kind_info_find("exec", "")->schemas, &params,
                                      arena_memory(&arena), &report, &out),
                     E_INVALID);
    buf_fini(&problems.text);
}

static void test_mistyped_names(void **state)
{
    (void)state;
    expect_problems("train", "decision_tree", "{'model': 'decision_tree', 'max_dept': 3}",
                    "unknown parameter \"max_dept\" of decision_tree; did you mean \"max_depth\"?");
    expect_problems("train", "random_forest", "{'model': 'random_forest', 'C': 1.0}",
                    "unknown parameter \"C\" of random_forest");
    expect_problems("predict", "", "{'x': 1}", "unknown parameter \"x\" of a kind without any");
    expect_problems("preprocess", "", "{'scale': 'standart'}",
                    "scale: unknown \"standart\"; did you mean \"standard\"?");
    expect_problems("preprocess", "", "{'dtype': 'quadruple'}",
                    "dtype: \"quadruple\" is not one of f64, f32");
    expect_problems("preprocess", "", "{'operations': [{'scal': {}}]}",
                    "operations: unknown \"scal\"; did you mean \"scale\"?");
}

static void test_all_problems_are_reported(void **state)
{
    (void)state;
    expect_problems(
        "preprocess", "",
        "{'target': 1, 'split': {'seed': -1, 'metod': 'hash'}, 'operations': [3, 'drop']}",
        "target: expected a text, not 1\n"
        "seed: -1 is not in 0 … 4294967295\n"
        "unknown parameter \"metod\" of split; did you mean \"method\"?\n"
        "operations: expected items of the form `name: parameters`, not 3\n"
        "drop needs `columns`: the columns to leave out");
    expect_problems("train", "decision_tree", "[]", "params: expected a mapping, not a list");
}

static void test_forms_of_list_items(void **state)
{
    (void)state;
    expect_canonical("preprocess", "", "{'operations': ['drop_missing', {'drop_missing': null}]}",
                     "{'operations': [{'drop_missing': {}}, {'drop_missing': {}}]}");
    expect_canonical(
        "preprocess", "", "{'operations': [{'select': ['a', 'b']}, {'drop': 'a'}]}",
        "{'operations': [{'select': {'columns': ['a', 'b']}}, {'drop': {'columns': ['a']}}]}");
    expect_canonical("preprocess", "", "{'operations': [{'rename': {'a': 'b'}}]}",
                     "{'operations': [{'rename': {'columns': {'a': 'b'}}}]}");
    expect_canonical("preprocess", "", "{'operations': [{'rename': {'columns': {'a': 'b'}}}]}",
                     "{'operations': [{'rename': {'columns': {'a': 'b'}}}]}");
}

static void test_checks_across_parameters(void **state)
{
    (void)state;
    expect_problems("preprocess", "",
                    "{'operations': [{'fill_missing': {'strategy': 'constant'}}]}",
                    "value: strategy constant needs one");
    expect_canonical("train", "decision_tree",
                     "{'model': 'decision_tree', 'min_samples_split': 0.5}",
                     "{'min_samples_split': 0.5, 'model': 'decision_tree'}");
    expect_problems(
        "train", "decision_tree", "{'model': 'decision_tree', 'min_samples_split': 1}",
        "min_samples_split: expected an integer of at least 2, or a real above 0 and at "
        "most 1");
    expect_problems("train", "random_forest", "{'model': 'random_forest', 'max_features': 'sqr'}",
                    "max_features: \"sqr\" is not sqrt, log2 or a number");
    expect_canonical("exec", "",
                     "{'command': ['python3', 'report.py'], 'env': {'B': '1', 'A': '2'}}",
                     "{'command': ['python3', 'report.py'], 'env': {'B': '1', 'A': '2'}}");
    expect_canonical("exec", "", "{'command': 'true', 'network': false}", "{'command': 'true'}");
    expect_problems("exec", "", "{'command': 'true', 'env': {'A': 1}}",
                    "env.A: expected text, found integer");
    expect_problems("exec", "", "{}",
                    "exec needs `command`: a text for /bin/sh -c, or a list of words");
}

static void test_decoding_fills_in_the_defaults(void **state)
{
    (void)state;
    AUTO(arena_fini) struct arena arena = {0};
    struct split_params split;
    struct value params = from_json(&arena, "{'method': 'shuffle', 'seed': 7, 'other': 1}");
    assert_int_equal(schema_decode(&schema_split, &params, &split, NULL), OK);
    assert_int_equal(split.method, 1);
    assert_int_equal(split.seed, 7);
    assert_true(split.test_size == 0.25);
    assert_true(split.has_seed && split.has_test_size);
    assert_false(split.stratify);
    struct value nothing = value_nil();
    struct decision_tree_params tree;
    assert_int_equal(schema_decode(&schema_decision_tree, &nothing, &tree, NULL), OK);
    assert_false(tree.has_max_depth);
    assert_int_equal(tree.min_samples_leaf, 1);
    assert_true(tree.has_min_samples_split && tree.min_samples_split->integer == 2);
}

/* A specification that did not come from a broker of ours is checked as strictly. */
static void test_decoding_refuses_what_is_not_canonical(void **state)
{
    (void)state;
    AUTO(arena_fini) struct arena arena = {0};
    static const struct {
        const struct schema *schema;
        const char *json, *text;
    } rows[] = {
        {&schema_split, "{'seed': -1}", "split: parameter `seed` can't be -1"},
        {&schema_split, "{'test_size': 1}", "split: parameter `test_size` can't be 1"},
        {&schema_split, "{'test_size': 2.0}", "split: parameter `test_size` can't be 2"},
        {&schema_split, "{'method': 'x'}", "split: parameter `method` can't be the text \"x\""},
        {&schema_op_drop, "{}", "drop: parameter `columns` is missing"},
        {&schema_op_drop, "{'columns': 'a'}", "drop: parameter `columns` can't be the text \"a\""},
        {&schema_op_drop, "{'columns': [1]}", "drop: parameter `columns` can't be a list"},
        {&schema_preprocess, "{'operations': [{'a': {}, 'b': {}}]}",
         "preprocess: parameter `operations` can't be a list"},
        {&schema_op_rename, "{'columns': [1]}",
         "columns: expected a mapping from name to text, found list"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint64_t decoded[64];
        assert_true(rows[i].schema->struct_bytes <= sizeof decoded);
        struct value params = from_json(&arena, rows[i].json);
        struct err err = {0};
        assert_int_equal(schema_decode(rows[i].schema, &params, decoded, &err), E_INVALID);
        assert_string_equal(err.text, rows[i].text);
    }
}

static void test_suggestions(void **state)
{
    (void)state;
    static const char *const names[] = {"preprocess", "train", "predict", "metrics", "exec", NULL};
    assert_string_equal(schema_suggest("trian", names), "train");
    assert_string_equal(schema_suggest("metric", names), "metrics");
    assert_string_equal(schema_suggest("prepocess", names), "preprocess");
    assert_null(schema_suggest("banana", names));
    assert_null(schema_suggest("", names));
    char longest[200];
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    assert_null(schema_suggest(longest, names));
}

/* ---- the tables themselves ---- */

static void test_tables_are_sound(void **state)
{
    (void)state;
    for (const struct schema *const *s = schemas; *s; s++)
        for (size_t i = 0; i < (*s)->param_count; i++) {
            const struct param *p = &(*s)->params[i];
            assert_true(p->help && *p->help && p->source);
            assert_true((p->type == PARAM_ENUM) == (p->choices != NULL));
            assert_true((p->type == PARAM_OBJECT || p->type == PARAM_LIST) == (p->schemas != NULL));
            assert_true(p->offset < (*s)->struct_bytes && p->has_offset < (*s)->struct_bytes);
            for (size_t k = 0; k < i; k++)
                assert_string_not_equal(p->name, (*s)->params[k].name);
        }
}

/* A kind's schemas share no key, so that a key means one thing. */
static void test_kinds_schemas_are_disjoint(void **state)
{
    (void)state;
    for (size_t i = 0; i < kind_info_count; i++) {
        const struct schema *const *s = kind_infos[i].schemas;
        if (!s[0] || !s[1])
            continue;
        for (size_t a = 0; a < s[0]->param_count; a++)
            for (size_t b = 0; b < s[1]->param_count; b++)
                assert_string_not_equal(s[0]->params[a].name, s[1]->params[b].name);
    }
}

static void write_default(const struct param *p, struct buf *out)
{
    struct value usual = schema_default(p);
    if (p->has_default == PARAM_VALUE)
        json_write(&usual, 0, out);
    else
        buf_put_text(out, p->has_default == PARAM_REQUIRED ? "required" : "none");
}

/* A parameter equal to its default is left out of a task's identity, so a changed default would
 * make the same bytes mean another task. Only lines may be added here; a default that must change
 * needs another kind version, and a line of its own. */
static void test_defaults_are_frozen(void **state)
{
    (void)state;
    static const char *const types[] = {"bool",    "int",    "real", "string", "enum",
                                        "strings", "object", "list", "any"};
    AUTO(buf_fini) struct buf now = buf_init(0);
    for (const struct schema *const *s = schemas; *s; s++)
        for (size_t i = 0; i < (*s)->param_count; i++) {
            const struct param *p = &(*s)->params[i];
            buf_format(&now, "%s.%s %s ", (*s)->name, p->name, types[p->type]);
            write_default(p, &now);
            buf_put_char(&now, '\n');
        }
    FILE *file = fopen("tests/golden/defaults.txt", "rb");
    assert_non_null(file);
    char line[256];
    size_t count = 0;
    const char *at = buf_text(&now);
    for (; fgets(line, sizeof line, file); count++) {
        if (strncmp(at, line, strlen(line)) != 0) {
            fclose(file);
            fail_msg("tests/golden/defaults.txt:%zu has %snow is %.100s", count + 1, line, at);
        }
        at += strlen(line);
    }
    fclose(file);
    if (*at)
        fail_msg("tests/golden/defaults.txt lacks %.100s", at);
    assert_true(count > 50);
}

static void canonical_hostile(const uint8_t *bytes, size_t count)
{
    AUTO(arena_fini) struct arena arena = {0};
    struct value params, out;
    if (value_decode(bytes, count, arena_memory(&arena), &params, NULL) != OK)
        return;
    struct problems problems = {.text = buf_init(0)};
    struct schema_report report = {add_problem, &problems};
    const struct kind_info *info = kind_info_find("preprocess", "");
    if (schema_canonical(info->schemas, &params, arena_memory(&arena), &report, &out) == OK) {
        struct preprocess_params decoded;
        assert_int_equal(schema_decode(&schema_preprocess, &out, &decoded, NULL), OK);
        assert_true(value_encode(&out, NULL, 0) > 0);
        /* What is canonical stays as it is. */
        struct value again;
        assert_int_equal(
            schema_canonical(info->schemas, &out, arena_memory(&arena), &report, &again), OK);
        assert_true(value_equal(&out, &again));
    } else {
        assert_true(problems.count > 0);
    }
    struct preprocess_params decoded;
    (void)!schema_decode(&schema_preprocess, &params, &decoded, NULL);
    buf_fini(&problems.text);
}

static void test_hostile_parameters(void **state)
{
    (void)state;
    AUTO(arena_fini) struct arena arena = {0};
    struct value value = from_json(
        &arena, "{'target': 'y', 'split': {'seed': 1, 'test_size': 0.5}, 'scale': 'standard',"
                "'operations': [{'drop': ['a']}, 'drop_missing', {'rename': {'b': 'c'}},"
                "{'cast': {'columns': {'c': 'real'}}}]}");
    size_t count;
    uint8_t *bytes = encode_value(&arena, &value, &count);
    attack(bytes, count, 20000, canonical_hostile);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults_are_left_out_at_every_level),
        cmocka_unit_test(test_null_means_left_out),
        cmocka_unit_test(test_reals_and_integers),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_reals_that_are_not_finite),
        cmocka_unit_test(test_mistyped_names),
        cmocka_unit_test(test_all_problems_are_reported),
        cmocka_unit_test(test_forms_of_list_items),
        cmocka_unit_test(test_checks_across_parameters),
        cmocka_unit_test(test_decoding_fills_in_the_defaults),
        cmocka_unit_test(test_decoding_refuses_what_is_not_canonical),
        cmocka_unit_test(test_suggestions),
        cmocka_unit_test(test_tables_are_sound),
        cmocka_unit_test(test_kinds_schemas_are_disjoint),
        cmocka_unit_test(test_defaults_are_frozen),
        cmocka_unit_test(test_hostile_parameters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
