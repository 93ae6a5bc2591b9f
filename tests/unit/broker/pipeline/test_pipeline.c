// SPDX-License-Identifier: Apache-2.0
#include "broker/pipeline/pipeline.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/pipeline/graph.h"
#include "common/base/mem.h"
#include "proto/limits.h"

static struct diagnostics d;

static int teardown(void **state)
{
    (void)state;
    diagnostics_fini(&d);
    d = (struct diagnostics){0};
    return 0;
}

#define HEAD "version: 1\nsteps:\n"
#define PREPARE                                                                                    \
    "version: 1\nsources: {iris: data/iris.csv}\nsteps:\n"                                         \
    "  prepare: {kind: preprocess, inputs: {table: sources.iris}, params: {target: y, split: "     \
    "{}}}\n"

static enum status parse_with(const char *text, const struct override *overrides, size_t count)
{
    diagnostics_fini(&d);
    d = (struct diagnostics){0};
    struct pipeline *p;
    enum status status = pipeline_parse("iris.yaml", text, strlen(text), overrides, count, &d, &p);
    assert_true((status == OK) == (p != NULL));
    if (p)
        pipeline_free(p);
    return status;
}

static const char *said(void)
{
    return d.text.count ? buf_text(&d.text) : "";
}

static void expect_ok(const char *text)
{
    if (parse_with(text, NULL, 0) != OK)
        fail_msg("%s", said());
}

static void expect_said(const char *line)
{
    if (!strstr(said(), line))
        fail_msg("expected \"%s\" in:\n%s", line, said());
}

/* The file has exactly this error. */
static void expect_error(const char *text, const char *line)
{
    assert_int_equal(parse_with(text, NULL, 0), E_INVALID);
    expect_said(line);
    if (d.error_count != 1)
        fail_msg("%u errors:\n%s", d.error_count, said());
}

static void test_bad_files(void **state)
{
    (void)state;
    expect_error("", "iris.yaml: the file is empty");
    expect_error("\x01\x02", "iris.yaml: not a text: byte 0x01 at offset 0");
    expect_error("a: [", "iris.yaml:");
    expect_error("[1]", "iris.yaml:1:1: expected a mapping with version, steps, …, not a list");
    expect_error("steps: {s: {kind: sleep}}", "iris.yaml:1:1: expected version: 1");
    expect_error("version: 2\nsteps: {s: {kind: sleep}}",
                 "iris.yaml:1:10: version: this program reads version 1");
    expect_error("version: 1", "iris.yaml: the pipeline has no steps");
    expect_error("version: 1\nsteps: {}", "iris.yaml:2:8: the pipeline has no steps");
    expect_error("version: 1\nname: a b\nsteps: {s: {kind: sleep}}",
                 "iris.yaml:2:7: \"a b\" can't be the name");
}

static void test_deep_nesting_and_alias_bombs_end_quickly(void **state)
{
    (void)state;
    AUTO(mem_free) char *deep = mem_alloc(80001);
    memset(deep, '[', 80000);
    expect_error(deep, "nested deeper than 64 levels");
    AUTO(buf_fini) struct buf bomb = buf_init(0);
    buf_put_text(&bomb, "params:\n  a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for (int i = 1; i < 12; i++)
        buf_format(&bomb, "  a%d: &a%d [*a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d]\n", i, i,
                   i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
    expect_error(buf_text(&bomb), "values once aliases are expanded");
}

static void test_a_large_value_put_in_often_is_refused(void **state)
{
    (void)state;
    AUTO(buf_fini) struct buf text = buf_init(0);
    buf_put_text(&text, "version: 1\nparams: {big: \"");
    for (int i = 0; i < 1000000; i++)
        buf_put_char(&text, 'x');
    buf_put_text(&text, "\"}\nsteps:\n  s: {kind: sleep, matrix: {a: [");
    for (int i = 0; i < 100000; i++)
        buf_put_text(&text, "\"${params.big}\",");
    buf_put_text(&text, "]}}\n");
    assert_int_equal(parse_with(buf_text(&text), NULL, 0), E_INVALID);
    expect_said("grows too large");
}

static void test_unknown_words_get_a_suggestion(void **state)
{
    (void)state;
    expect_error("version: 1\nstep: {}\nsteps: {s: {kind: sleep}}",
                 "iris.yaml:2:1: unknown key \"step\" at the top level; did you mean \"steps\"?");
    expect_error(HEAD "  s: {kind: sleep, retries: 3}",
                 "iris.yaml:3:20: unknown key \"retries\" of a step; did you mean \"retry\"?");
    expect_error(HEAD "  s:\n    kind: slep",
                 "iris.yaml:4:11: unknown kind \"slep\"; did you mean \"sleep\"?");
    expect_error(
        HEAD "  s: {kind: sleep, params: {second: 1}}",
        "iris.yaml:3:29: unknown parameter \"second\" of sleep; did you mean \"seconds\"?");
    expect_error(
        PREPARE
        "  t: {kind: train, inputs: {dataset: prepare.train}, params: {model: decison_tree}}",
        "iris.yaml:5:70: unknown model \"decison_tree\"; did you mean \"decision_tree\"?");
    expect_error(PREPARE "  t: {kind: train, inputs: {datset: prepare.train, dataset: "
                         "prepare.train}, params: {model: decision_tree}}",
                 "kind train has no input \"datset\"; did you mean \"dataset\"?");
    expect_error(HEAD "  s: {kind: sleep, resources: {cpus: 1}}",
                 "iris.yaml:3:32: unknown key \"cpus\" of resources; did you mean \"cpu\"?");
}

static void test_wrong_values(void **state)
{
    (void)state;
    expect_error(HEAD "  s: {kind: sleep, params: {seconds: -1}}",
                 "iris.yaml:3:38: seconds: -1 is not");
    expect_error(HEAD "  s: {kind: sleep, params: {seconds: soon}}",
                 "iris.yaml:3:38: seconds: expected");
    expect_error(HEAD "  s: {kind: sleep, params: [1]}",
                 "iris.yaml:3:28: params: expected a mapping, not a list");
    expect_error(HEAD "  s: 5", "iris.yaml:3:6: step \"s\": expected a mapping");
    expect_error(HEAD "  s: {}", "iris.yaml:3:3: step \"s\": expected kind");
    expect_error(HEAD "  a b: {kind: sleep}", "iris.yaml:3:3: \"a b\" can't be the name of a step");
    expect_error(HEAD "  sources: {kind: sleep}",
                 "iris.yaml:3:3: a step can't be named \"sources\"");
    expect_error(PREPARE "  t: {kind: train, inputs: {dataset: prepare.train}}",
                 "step \"t\": kind train needs params.model: one of logistic_regression");
    expect_error(HEAD "  t: {kind: exec, params: {}}", "command");
    expect_error("version: 1\nsources: {a: \"s3://b/c\"}\nsteps:\n  s: {kind: exec, inputs: {a: "
                 "sources.a}, params: {command: x}}",
                 "iris.yaml:2:14: source \"a\": s3://b/c: a source is a path");
}

static void test_wrong_references(void **state)
{
    (void)state;
    expect_error(
        PREPARE
        "  p: {kind: predict, inputs: {model: trian.model, dataset: prepare.test}}\n"
        "  train: {kind: train, inputs: {dataset: prepare.train}, params: {model: decision_tree}}",
        "iris.yaml:5:38: there is no step \"trian\"; did you mean \"train\"?");
    expect_error(
        PREPARE
        "  t: {kind: train, inputs: {dataset: prepare.trian}, params: {model: decision_tree}}",
        "iris.yaml:5:38: step \"prepare\" has no output \"trian\" (it has: prepare.preprocessor, "
        "prepare.test, prepare.train); did you mean \"train\"?");
    expect_error(
        PREPARE
        "  t: {kind: train, inputs: {dataset: prepare.validation}, params: {model: decision_tree}}",
        "step \"prepare\" has no output \"validation\"");
    expect_error(PREPARE
                 "  t: {kind: train, inputs: {dataset: prepare}, params: {model: decision_tree}}",
                 "\"prepare\" names a step; expected STEP.OUTPUT");
    expect_error(PREPARE "  t: {kind: train, params: {model: decision_tree}}",
                 "iris.yaml:5:3: step \"t\": kind train needs the input dataset");
    expect_error(PREPARE "  q: {kind: preprocess, inputs: {table: sources.irs}}",
                 "iris.yaml:5:41: there is no source \"irs\"; did you mean \"iris\"?");
    expect_error(
        PREPARE
        "  t: {kind: train, inputs: {dataset: [prepare.train]}, params: {model: decision_tree}}",
        "expected STEP.OUTPUT or sources.NAME, not a list");
    expect_error(HEAD "  m: {kind: metrics, params: {select: {metric: f1}}}",
                 "kind metrics needs the input reports");
}

static void test_cycles_are_shown_as_a_path(void **state)
{
    (void)state;
    expect_error(HEAD
                 "  a: {kind: exec, inputs: {x: c.o}, outputs: {o: o}, params: {command: x}}\n"
                 "  b: {kind: exec, inputs: {x: a.o}, outputs: {o: o}, params: {command: x}}\n"
                 "  c: {kind: exec, inputs: {x: b.o}, outputs: {o: o}, params: {command: x}}\n",
                 "the steps wait for each other: a → b → c → a");
    expect_error(HEAD
                 "  a: {kind: exec, inputs: {x: a.o}, outputs: {o: o}, params: {command: x}}\n",
                 "iris.yaml:3:31: the steps wait for each other: a → a");
    expect_error(HEAD "  a: {kind: sleep, matrix: b}\n  b: {kind: sleep, matrix: a}\n",
                 "iris.yaml:4:28: the matrix of a step is its own: b → a → b");
}

static void test_wrong_matrices(void **state)
{
    (void)state;
    expect_error(HEAD "  s: {kind: sleep, matrix: {i: [1]}, params: {index: \"${matrix.k}\"}}",
                 "iris.yaml:3:54: step \"s\" has no axis \"k\"; declare it under `matrix`");
    expect_error(HEAD "  s: {kind: sleep, params: {index: \"${matrix.i}\"}}",
                 "step \"s\" has no axis \"i\"");
    expect_error(
        HEAD "  s: {kind: sleep, matrix: {i: {range: [0, 1000000000]}}}",
        "iris.yaml:3:29: the axis \"i\" has 1000000000 values; at most 10000000 are possible");
    expect_error(HEAD "  s: {kind: sleep, matrix: {a: {range: [0, 1000]}, b: {range: [0, 1000]}, "
                      "c: {range: [0, 1000]}}}",
                 "iris.yaml:3:28: step \"s\": its matrix has more than 10000000 combinations");
    expect_error(HEAD "  s: {kind: sleep, matrix: {i: []}}", "the axis \"i\" has no values");
    expect_error(HEAD "  s: {kind: sleep, matrix: {i: {range: [3, 3]}}}",
                 "the axis \"i\" has no values");
    expect_error(HEAD "  s: {kind: sleep, matrix: {i: {range: [0, 3, 0]}}}",
                 "range: expected [start, stop");
    expect_error(HEAD "  s: {kind: sleep, matrix: {i: 5}}",
                 "axis \"i\": expected a list, or {range");
    expect_error(HEAD "  s: {kind: sleep, matrix: {i: [a, b, a]}}",
                 "iris.yaml:3:39: axis \"i\": the value \"a\" is there twice");
    expect_error(HEAD "  s: {kind: sleep, matrix: {i: [{model: x}]}}",
                 "a mapping as a value needs a `name`");
    expect_error(HEAD "  s: {kind: sleep, matrix: trian}", "matrix: there is no step \"trian\"");
    expect_error(PREPARE
                 "  t: {kind: train, matrix: {c: [{name: a, model: decision_tree}]}, "
                 "inputs: {dataset: prepare.train}, params: {model: \"${matrix.c.modell}\"}}",
                 "${matrix.c…} has no \"modell\"; did you mean \"model\"?");
    expect_error(PREPARE "  t: {kind: train, matrix: {m: [decision_tree]}, inputs: {dataset: "
                         "prepare.train}, params: {model: \"${matrix.m}\"}}\n"
                         "  p: {kind: predict, inputs: {model: t.model, dataset: prepare.test}}",
                 "input \"model\" of kind predict takes one artifact, not one of each task of "
                 "\"t\"; with matrix: t");
}

static void test_wrong_exec_steps(void **state)
{
    (void)state;
    static const char *const hidden[] = {"PATH", "HOME",     "LD_PRELOAD",
                                         "IFS",  "BASH_ENV", "PYTHONPATH"};
    for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++) {
        AUTO(buf_fini) struct buf text = buf_init(0);
        buf_format(
            &text,
            "version: 1\nsources: {a: a}\nsteps:\n  s: {kind: exec, inputs: {%s: sources.a}, "
            "params: {command: x}}",
            hidden[i]);
        expect_error(buf_text(&text), "would hide that variable");
    }
    expect_error(HEAD "  s: {kind: exec, params: {command: \"cat ${inputs.x}\"}}",
                 "iris.yaml:3:37: step \"s\" has no input \"x\"");
    expect_error(HEAD "  s: {kind: exec, params: {command: \"echo ${HOME}\"}}",
                 "write $${ for a literal ${");
    expect_error(HEAD "  s: {kind: exec, params: {command: \"echo ${inputs.x\"}}",
                 "the ${ has no }");
    expect_error(HEAD "  s: {kind: exec, outputs: {o: ../o}, params: {command: x}}",
                 "outputs: \"../o\"");
    expect_error(HEAD "  s: {kind: exec, outputs: {o: /o}, params: {command: x}}",
                 "expected a path relative");
    expect_error(HEAD "  s: {kind: exec, matrix: {i: [../x]}, outputs: {o: \"${matrix.i}\"}, "
                      "params: {command: x}}",
                 "outputs: \"../x\"");
    expect_error(HEAD "  s: {kind: exec, params: {command: x, code: [../a.py]}}",
                 "code: \"../a.py\"");
    expect_error(HEAD "  s: {kind: exec, params: {command: x, code: [\"*.py\"]}}", "not a pattern");
    expect_error(HEAD "  s: {kind: exec, params: {command: x, env: {A: \"${inputs.b}\"}}}",
                 "can only stand in exec's `command`");
    expect_error(PREPARE "  t: {kind: train, inputs: {dataset: {from: prepare.train, path: x}}, "
                         "params: {model: decision_tree}}",
                 "only exec places an input at a path");
    expect_error(PREPARE "  t: {kind: train, outputs: {o: o}, inputs: {dataset: prepare.train}, "
                         "params: {model: decision_tree}}",
                 "the outputs of kind train are fixed");
}

static void test_all_errors_are_reported_together_in_order(void **state)
{
    (void)state;
    parse_with(
        "version: 1\nparms: {}\nsteps:\n"
        "  a: {kind: exec, inputs: {x: b.o}, outputs: {o: o}, params: {command: \"${params.y}\"}}\n"
        "  b: {kind: exec, inputs: {x: a.o}, outputs: {o: o}, retry: many, params: {command: [], "
        "x: 1}}\n"
        "  c: {kind: sleep, matrix: {m: [1]}, params: {seconds: -1, index: x}}\n"
        "  d: {kind: trian}\n"
        "  e: {kind: exec, inputs: {x: c.out, y: nobody.o}, params: {command: x}}\n",
        NULL, 0);
    static const char *const lines[] = {
        "iris.yaml:2:1: unknown key \"parms\"",     "iris.yaml:4:72: unknown parameter \"y\"",
        "iris.yaml:5:31: the steps wait",           "iris.yaml:5:61: retry: many",
        "unknown parameter \"x\" of exec",          "iris.yaml:6:56: seconds: -1",
        "iris.yaml:6:67: index: expected",          "iris.yaml:7:13: unknown kind",
        "iris.yaml:8:31: step \"c\" has no output", "iris.yaml:8:41: there is no step \"nobody\""};
    const char *from = said();
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        const char *at = strstr(from, lines[i]);
        if (!at)
            fail_msg("expected \"%s\" in:\n%s", lines[i], said());
        from = at;
    }
}

static void test_many_errors_are_counted(void **state)
{
    (void)state;
    AUTO(buf_fini) struct buf text = buf_init(0);
    buf_put_text(&text, HEAD);
    for (int i = 0; i < 80; i++)
        buf_format(&text, "  s%d: {kind: nothing}\n", i);
    assert_int_equal(parse_with(buf_text(&text), NULL, 0), E_INVALID);
    assert_int_equal(d.error_count, 80);
    expect_said("iris.yaml:52:15: unknown kind");
    expect_said("… and 30 more\n");
}

static void test_one_mistake_of_many_tasks_is_one_line(void **state)
{
    (void)state;
    expect_error(HEAD "  s: {kind: sleep, matrix: {i: {range: [0, 100]}}, params: {index: "
                      "\"${matrix.i}\", second: 1}}",
                 "unknown parameter \"second\"");
}

static void expect_warning(const char *text, const char *line)
{
    expect_ok(text);
    assert_int_equal(d.warning_count, 1);
    expect_said(line);
}

static void test_warnings(void **state)
{
    (void)state;
    expect_warning(HEAD "  s: {kind: sleep, matrix: {i: [1, 2]}}",
                   "iris.yaml:3:28: warning: step \"s\": nothing uses the axis \"i\"");
    expect_warning("version: 1\nparams: {a: 1}\nsteps: {s: {kind: sleep}}",
                   "iris.yaml:2:10: warning: nothing uses the parameter \"a\"");
    expect_warning("version: 1\nsources: {a: x}\nsteps: {s: {kind: sleep}}",
                   "iris.yaml:2:14: warning: nothing uses the source \"a\"");
    expect_ok(PREPARE
              "  t: {kind: train, matrix: {s: [1, 2]}, inputs: {dataset: prepare.train}, params: "
              "{model: random_forest, seed: \"${matrix.s}\"}}\n"
              "  p: {kind: predict, matrix: t, inputs: {model: t.model, dataset: prepare.test}}");
    assert_int_equal(d.warning_count, 0);
}

static void test_overrides(void **state)
{
    (void)state;
    const char *text =
        "version: 1\nparams: {seed: 42, deep: {a: 1}}\nsteps:\n"
        "  s: {kind: sleep, params: {index: \"${params.seed}\", seconds: \"${params.deep.a}\"}}\n";
    struct override good[] = {{"seed", "7", false},
                              {"deep.a", "2.5", false},
                              {"s.params.fault", "exit", true},
                              {"s.retry.limit", "5", true},
                              {"params.seed", "8", true}};
    if (parse_with(text, good, 5) != OK)
        fail_msg("%s", said());
    struct override unknown = {"sed", "7", false};
    assert_int_equal(parse_with(text, &unknown, 1), E_INVALID);
    expect_said("-p sed: the pipeline has no parameter \"sed\"; did you mean \"seed\"?");
    struct override step = {"t.params.x", "7", true};
    assert_int_equal(parse_with(text, &step, 1), E_INVALID);
    expect_said("--set t.params.x: there is no step or key \"t\"");
    struct override inside = {"s.kind.x", "7", true};
    assert_int_equal(parse_with(text, &inside, 1), E_INVALID);
    expect_said("--set s.kind.x: there is no \"x\" inside a string");
    struct override bad = {"seed", "[1", false};
    assert_int_equal(parse_with(text, &bad, 1), E_INVALID);
    expect_said("-p seed:2:1: YAML");
    struct override type = {"seed", "soon", false};
    assert_int_equal(parse_with(text, &type, 1), E_INVALID);
    expect_said("iris.yaml:2:16: index: expected an integer, not the text \"soon\"");
    struct override both[] = {{"sed", "7", false}, {"u.x", "7", true}};
    assert_int_equal(parse_with(text, both, 2), E_INVALID);
    assert_int_equal(d.error_count, 2);
}

static void test_an_override_leaves_aliases_alone(void **state)
{
    (void)state;
    const char *text = "version: 1\nsteps:\n"
                       "  a: {kind: sleep, params: &p {seconds: 1}}\n"
                       "  b: {kind: sleep, params: *p}\n";
    struct override o = {"a.params.seconds", "2", true};
    struct pipeline *p;
    struct graph *graph;
    assert_int_equal(pipeline_parse("x", text, strlen(text), &o, 1, &d, &p), OK);
    assert_int_equal(graph_expand(p, &d, &graph), OK);
    assert_false(id_equal(&graph->tasks[0].id, &graph->tasks[1].id));
    graph_free(graph);
    pipeline_free(p);
}

static void test_params_are_plain(void **state)
{
    (void)state;
    assert_int_equal(
        parse_with("version: 1\nparams: {a: 1, b: \"${params.a}\"}\nsteps: {s: {kind: sleep}}",
                   NULL, 0),
        E_INVALID);
    expect_said("iris.yaml:2:19: ${params…}: a parameter is a plain value");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_bad_files, teardown),
        cmocka_unit_test_teardown(test_deep_nesting_and_alias_bombs_end_quickly, teardown),
        cmocka_unit_test_teardown(test_a_large_value_put_in_often_is_refused, teardown),
        cmocka_unit_test_teardown(test_unknown_words_get_a_suggestion, teardown),
        cmocka_unit_test_teardown(test_wrong_values, teardown),
        cmocka_unit_test_teardown(test_wrong_references, teardown),
        cmocka_unit_test_teardown(test_cycles_are_shown_as_a_path, teardown),
        cmocka_unit_test_teardown(test_wrong_matrices, teardown),
        cmocka_unit_test_teardown(test_wrong_exec_steps, teardown),
        cmocka_unit_test_teardown(test_all_errors_are_reported_together_in_order, teardown),
        cmocka_unit_test_teardown(test_many_errors_are_counted, teardown),
        cmocka_unit_test_teardown(test_one_mistake_of_many_tasks_is_one_line, teardown),
        cmocka_unit_test_teardown(test_warnings, teardown),
        cmocka_unit_test_teardown(test_overrides, teardown),
        cmocka_unit_test_teardown(test_an_override_leaves_aliases_alone, teardown),
        cmocka_unit_test_teardown(test_params_are_plain, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
