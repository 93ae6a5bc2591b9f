// SPDX-License-Identifier: Apache-2.0
#include "broker/pipeline/graph.h"

#include "common/crypto/hash.h"
#include "tests/unit/broker/pipeline/fixture.h"

static void test_what_does_not_change_an_id(void **state)
{
    (void)state;
    expand(TRAIN_HEAD "  train: {kind: train, inputs: {dataset: prepare.train}, params: {model: "
                      "logistic_regression, C: 0.5}}\n");
    struct id prepare = id_of("prepare"), train = id_of("train");
    static const char *const same[] = {
        /* comments, key order */
        "# a note\nsteps:\n  fit: # renamed\n    params: {C: 0.5, model: logistic_regression}\n    "
        "inputs: {dataset: prep.train}\n    kind: train\n"
        "  prep: {params: {split: {seed: \"${params.seed}\"}, target: y}, inputs: {table: "
        "sources.t}, kind: preprocess}\n"
        "sources: {t: elsewhere.csv}\nparams: {seed: 42}\nname: other\nversion: 1\n",
        /* policy; a default written out */
        TRAIN_HEAD "  train: {kind: train, inputs: {dataset: prepare.train}, params: {model: "
                   "logistic_regression, C: 0.5, penalty: l2}, "
                   "retry: 5, timeout: 1h, priority: 3, resources: {cpu: 2, memory: 1Gi, gpu: 1, "
                   "license: 7, labels: {zone: a}}}\n",
        /* the same from an axis, and from defaults */
        TRAIN_HEAD "  train: {kind: train, matrix: {c: [{name: n, C: 0.5}]}, inputs: {dataset: "
                   "prepare.train}, "
                   "params: {<<: \"${matrix.c}\", model: logistic_regression}}\n",
        TRAIN_HEAD "  train: {kind: train, inputs: {dataset: prepare.train}, params: {C: 0.5}}\n"
                   "defaults: {train: {params: {model: logistic_regression, C: 9}}}\n",
    };
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        expand(same[i]);
        assert_memory_equal(&graph->tasks[0].id, &prepare, ID_BYTES);
        assert_memory_equal(&graph->tasks[1].id, &train, ID_BYTES);
    }
}

static void test_a_whole_number_where_a_real_is_meant(void **state)
{
    (void)state;
    expand(HEAD
           "  a: {kind: sleep, params: {seconds: 1}}\n  b: {kind: sleep, params: {seconds: 1.0}}\n"
           "  c: {kind: sleep, params: {seconds: 0}}\n  d: {kind: sleep}\n");
    assert_memory_equal(&graph->tasks[0].id, &graph->tasks[1].id, ID_BYTES);
    assert_memory_equal(&graph->tasks[2].id, &graph->tasks[3].id, ID_BYTES);
    assert_memory_not_equal(&graph->tasks[0].id, &graph->tasks[2].id, ID_BYTES);
}

static void test_what_changes_an_id(void **state)
{
    (void)state;
    const char *text = TRAIN_HEAD
        "  train: {kind: train, inputs: {dataset: prepare.train}, params: {model: decision_tree}}\n"
        "  other: {kind: sleep}\n";
    expand(text);
    struct id prepare = id_of("prepare"), train = id_of("train"), other = id_of("other");
    struct override seed = {"seed", "7", false};
    expand_with(text, &seed, 1);
    struct id now = id_of("prepare");
    assert_memory_not_equal(&now, &prepare, ID_BYTES);
    now = id_of("train"); /* below it */
    assert_memory_not_equal(&now, &train, ID_BYTES);
    now = id_of("other");
    assert_memory_equal(&now, &other, ID_BYTES);
    struct override model = {"train.params.max_depth", "3", true};
    expand_with(text, &model, 1);
    now = id_of("prepare");
    assert_memory_equal(&now, &prepare, ID_BYTES);
    now = id_of("train");
    assert_memory_not_equal(&now, &train, ID_BYTES);
}

static void test_the_spec_hashes_to_the_id_and_parses(void **state)
{
    (void)state;
    expand(TRAIN_HEAD "  train: {kind: train, inputs: {dataset: prepare.train}, params: {model: "
                      "decision_tree}}\n");
    for (uint32_t i = 0; i < graph->task_count; i++) {
        struct id id;
        struct task_spec spec;
        struct err err;
        hash_bytes(PERSON_TASK, graph->tasks[i].spec, graph->tasks[i].spec_bytes, &id);
        assert_memory_equal(&id, &graph->tasks[i].id, ID_BYTES);
        assert_int_equal(
            task_spec_parse(graph->tasks[i].spec, graph->tasks[i].spec_bytes, &spec, &err), OK);
    }
}

static void test_values_in_a_command_are_quoted_for_the_shell(void **state)
{
    (void)state;
    AUTO(arena_fini) struct arena arena = {0};
    expand("version: 1\nparams: {evil: \"a'; rm -rf /\", n: 1.5, list: [p, "
           "q]}\nsources: {x: x}\nsteps:\n"
           "  s: {kind: exec, inputs: {x: sources.x}, params: {command: \"run ${params.evil} "
           "${params.n} ${inputs.x} $${HOME}\"}}\n"
           "  l: {kind: exec, inputs: {x: sources.x}, params: {command: [run, \"${params.evil}\", "
           "\"-n=${params.n}\", \"${inputs.x}\"]}}\n"
           "  w: {kind: exec, params: {command: \"${params.list}\"}}\n");
    struct value params = params_of("s", &arena);
    assert_string_equal(value_get_text(&params, "command"),
                        "run 'a'\\''; rm -rf /' 1.5 ${inputs.x} ${HOME}");
    params = params_of("l", &arena);
    const struct value *command = value_get(&params, "command");
    assert_string_equal(command->items[1].text, "a'; rm -rf /");
    assert_string_equal(command->items[2].text, "-n=1.5");
    params = params_of("w", &arena);
    assert_int_equal(value_get(&params, "command")->count, 2);
}

static void test_substitution_keeps_types(void **state)
{
    (void)state;
    AUTO(arena_fini) struct arena arena = {0};
    expand("version: 1\nparams: {a: {b: 2.5}, i: 3}\nsteps:\n"
           "  s: {kind: sleep, matrix: {c: [{name: n, index: 7, fault: exit}]}, params: {seconds: "
           "\"${params.a.b}\", <<: \"${matrix.c}\"}}\n"
           "  t: {kind: sleep, matrix: {c: [{name: n, x: {y: 9}}]}, params: {index: \"${ "
           "matrix.c.x.y }\"}}\n");
    struct value params = params_of("s[c=n]", &arena);
    assert_true(value_get(&params, "seconds")->real == 2.5);
    assert_int_equal(value_get(&params, "index")->integer, 7);
    assert_true(value_is_text(value_get(&params, "fault"), "exit"));
    assert_null(value_get(&params, "name"));
    params = params_of("t[c=n]", &arena);
    assert_int_equal(value_get(&params, "index")->integer, 9);
}

static void test_exec_outputs_code_and_placed_inputs(void **state)
{
    (void)state;
    AUTO(arena_fini) struct arena arena = {0};
    expand("version: 1\nsources: {d: d.csv}\nsteps:\n"
           "  s: {kind: exec, inputs: {t: {from: sources.d, path: data/d.csv}}, outputs: {page: "
           "out/r.html}, "
           "params: {command: x, code: [lib, report.py], stdout: log}}\n"
           "  u: {kind: exec, inputs: {p: s.page, l: s.log}, params: {command: x, code: "
           "report.py}}\n");
    const struct source_need *needs;
    assert_int_equal(pipeline_sources(pipeline, &needs), 3); /* report.py once */
    assert_string_equal(needs[1].location, "lib");
    assert_string_equal(needs[2].location, "report.py");
    const struct task_node *task = &graph->tasks[find("s")];
    struct value spec;
    assert_int_equal(value_decode(task->spec, task->spec_bytes, arena_memory(&arena), &spec, NULL),
                     OK);
    const struct value *inputs = value_get(&spec, "inputs");
    assert_int_equal(inputs->count, 3);
    assert_string_equal(value_get_text(value_get(inputs, "report.py"), "path"), "report.py");
    assert_string_equal(value_get_text(value_get(inputs, "t"), "path"), "data/d.csv");
    const struct value *outputs = value_get(&spec, "outputs");
    assert_int_equal(outputs->count, 2);
    assert_string_equal(outputs->items[0].text, "log");
    assert_string_equal(outputs->items[1].text, "page");
    const struct value *params = value_get(&spec, "params");
    assert_string_equal(value_get_text(value_get(params, "outputs"), "page"), "out/r.html");
    assert_null(value_get(params, "code"));
}

static void test_each_model_has_its_kind_version(void **state)
{
    (void)state;
    expand(TRAIN_HEAD "  t: {kind: train, matrix: {m: [decision_tree, random_forest], s: [1, 2]}, "
                      "inputs: {dataset: prepare.train}, "
                      "params: {model: \"${matrix.m}\"}}\n");
    assert_non_null(
        strstr(policy_of("t[m=decision_tree,s=2]")->kind_version, "train.decision_tree@1"));
    assert_non_null(
        strstr(policy_of("t[m=random_forest,s=1]")->kind_version, "train.random_forest@1"));
    assert_int_equal(graph->policy_count, 3);
    /* The axis s is in no params: its tasks are the same. */
    struct id one = id_of("t[m=decision_tree,s=1]"), two = id_of("t[m=decision_tree,s=2]");
    assert_memory_equal(&one, &two, ID_BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_what_does_not_change_an_id, teardown),
        cmocka_unit_test_teardown(test_a_whole_number_where_a_real_is_meant, teardown),
        cmocka_unit_test_teardown(test_what_changes_an_id, teardown),
        cmocka_unit_test_teardown(test_the_spec_hashes_to_the_id_and_parses, teardown),
        cmocka_unit_test_teardown(test_values_in_a_command_are_quoted_for_the_shell, teardown),
        cmocka_unit_test_teardown(test_substitution_keeps_types, teardown),
        cmocka_unit_test_teardown(test_exec_outputs_code_and_placed_inputs, teardown),
        cmocka_unit_test_teardown(test_each_model_has_its_kind_version, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
