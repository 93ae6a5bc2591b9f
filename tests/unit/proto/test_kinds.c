/* The table of kinds: versions, ports, and that its parts agree with each other. */
// SPDX-License-Identifier: Apache-2.0
#include "proto/kinds.h"

#include "proto/limits.h"
#include "proto/schemas.h"
#include "tests/unit/proto/support.h"

static void test_versions_and_offers(void **state)
{
    (void)state;
    const struct kind_info *sleep = kind_info_find("sleep", NULL);
    assert_string_equal(sleep->version, "1");
    assert_string_equal(sleep->offer, "sleep@1");
    const struct kind_info *boosting = kind_info_find("train", "gradient_boosting");
    assert_non_null(strstr(boosting->version, "1+xgboost-"));
    assert_non_null(strstr(boosting->offer, "train.gradient_boosting@1+xgboost-"));
    assert_null(kind_info_find("train", ""));
    assert_null(kind_info_find("trian", NULL));
    assert_string_equal(kind_variant_param("train"), "model");
    assert_null(kind_variant_param("sleep"));
    for (size_t i = 0; i < kind_info_count; i++) {
        assert_true(strlen(kind_infos[i].offer) <= LABEL_BYTES_MAX);
        assert_true(*kind_infos[i].help);
        assert_ptr_equal(kind_info_find(kind_infos[i].kind, kind_infos[i].variant), &kind_infos[i]);
    }
}

static void test_names(void **state)
{
    (void)state;
    size_t count = 0;
    for (const char *const *name = kind_names(); *name; name++)
        count++;
    assert_int_equal(count, 6);
    assert_string_equal(kind_variants("train")[0], "logistic_regression");
    assert_null(kind_variants("sleep")[0]);
}

/* `model` of train names exactly the variants, in their order. */
static void test_models_are_the_variants(void **state)
{
    (void)state;
    assert_string_equal(schema_train.params[0].name, "model");
    const char *const *choice = schema_train.params[0].choices;
    for (const char *const *name = kind_variants("train"); *name; name++, choice++) {
        assert_string_equal(*name, *choice);
        assert_string_equal(kind_info_find("train", *name)->schemas[1]->name, *name);
    }
    assert_null(*choice);
}

static void made(const char *json, const char *want)
{
    AUTO(arena_fini) struct arena arena = {0};
    AUTO(buf_fini) struct buf names = buf_init(0);
    struct value params = from_json(&arena, json);
    for (size_t i = 0; i < kind_port_count; i++)
        if (!strcmp(kind_ports[i].kind, "preprocess") && kind_ports[i].direction == PORT_OUTPUT &&
            kind_port_is_made(&kind_ports[i], &params))
            buf_format(&names, "%s ", kind_ports[i].name);
    assert_string_equal(buf_text(&names), want);
}

static void test_outputs_depend_on_the_split(void **state)
{
    (void)state;
    made("{}", "dataset preprocessor ");
    made("{'split': {}}", "preprocessor test train ");
    made("{'split': {'validation_size': 0.1}}", "preprocessor test train validation ");
    assert_true(kind_has_ports("train"));
    assert_false(kind_has_ports("exec"));
    assert_false(kind_has_ports("sleep"));
}

/* Specifications list outputs sorted, and so does the table. */
static void test_ports_are_sorted(void **state)
{
    (void)state;
    for (size_t i = 1; i < kind_port_count; i++)
        if (!strcmp(kind_ports[i].kind, kind_ports[i - 1].kind) &&
            kind_ports[i].direction == PORT_OUTPUT && kind_ports[i - 1].direction == PORT_OUTPUT)
            assert_true(strcmp(kind_ports[i - 1].name, kind_ports[i].name) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_versions_and_offers),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_models_are_the_variants),
        cmocka_unit_test(test_outputs_depend_on_the_split),
        cmocka_unit_test(test_ports_are_sorted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
