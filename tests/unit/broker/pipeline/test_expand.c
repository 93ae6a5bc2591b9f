// SPDX-License-Identifier: Apache-2.0
#include "broker/pipeline/graph.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "common/crypto/hash.h"

/* A pipeline and its graph, made from text; sources are blobs named by their index. */
static struct diagnostics d;
static struct pipeline *pipeline;
static struct graph *graph;

static int teardown(void **state)
{
    (void)state;
    if (graph)
        graph_free(graph);
    if (pipeline)
        pipeline_free(pipeline);
    graph = NULL;
    pipeline = NULL;
    diagnostics_fini(&d);
    d = (struct diagnostics){0};
    return 0;
}

static void expand_with(const char *text, const struct override *overrides, size_t count)
{
    teardown(NULL);
    if (pipeline_parse("p.yaml", text, strlen(text), overrides, count, &d, &pipeline) != OK)
        fail_msg("%s", buf_text(&d.text));
    const struct source_need *needs;
    size_t source_count = pipeline_sources(pipeline, &needs);
    for (size_t i = 0; i < source_count; i++) {
        struct artifact artifact = {.bytes = 1};
        memset(artifact.id.bytes, (int)i + 1, ID_BYTES);
        pipeline_resolve_source(pipeline, i, &artifact);
    }
    if (graph_expand(pipeline, &d, &graph) != OK)
        fail_msg("%s", buf_text(&d.text));
}

static void expand(const char *text)
{
    expand_with(text, NULL, 0);
}

static uint32_t find(const char *name)
{
    AUTO(buf_fini) struct buf shown = buf_init(0);
    for (uint32_t i = 0; i < graph->task_count; i++) {
        buf_clear(&shown);
        graph_task_name(graph, i, &shown);
        if (strcmp(buf_text(&shown), name) == 0)
            return i;
    }
    fail_msg("no task %s", name);
    return 0;
}

static struct id id_of(const char *name)
{
    return graph->tasks[find(name)].id;
}

/* The tasks that `name` takes from, in order: "a[i=1] a[i=2]". */
static void expect_edges(const char *name, const char *expected)
{
    const struct graph_task *task = &graph->tasks[find(name)];
    AUTO(buf_fini) struct buf shown = buf_init(0);
    for (uint32_t i = 0; i < task->edge_count; i++) {
        if (i)
            buf_put_char(&shown, ' ');
        graph_task_name(graph, graph->edges[task->first_edge + i].task, &shown);
    }
    buf_put_text(&shown, "");
    assert_string_equal(buf_text(&shown), expected);
}

/* The canonical params of a task's spec, as a value. */
static struct value params_of(const char *name, struct arena *arena)
{
    const struct graph_task *task = &graph->tasks[find(name)];
    struct value spec;
    struct err err;
    if (value_decode(task->spec, task->spec_bytes, arena_memory(arena), &spec, &err) != OK)
        fail_msg("%s", err.text);
    const struct value *params = value_get(&spec, "params");
    return params ? *params : value_nil();
}

#define HEAD "version: 1\nsteps:\n"
#define A_STEP                                                                                     \
    "  a: {kind: exec, matrix: {i: [1, 2], k: [x, y]}, outputs: {o: o}, params: {command: "        \
    "\"${matrix.i} ${matrix.k}\"}}\n"

static void test_no_axes_on_the_consumer_gathers_all(void **state)
{
    (void)state;
    expand(HEAD A_STEP "  b: {kind: exec, inputs: {all: a.o}, params: {command: x}}\n");
    expect_edges("b", "a[i=1,k=x] a[i=1,k=y] a[i=2,k=x] a[i=2,k=y]");
    struct task_spec spec;
    struct task_input input;
    struct err err;
    const struct graph_task *task = &graph->tasks[find("b")];
    assert_int_equal(task_spec_parse(task->spec, task->spec_bytes, &spec, &err), OK);
    size_t cursor = 0;
    assert_true(task_spec_next_input(&spec, &cursor, &input));
    assert_true(input.is_gather);
    assert_int_equal(input.ref_count, 4);
}

static void test_shared_axes_align_and_the_others_are_gathered(void **state)
{
    (void)state;
    expand(HEAD A_STEP "  b: {kind: exec, matrix: {k: [y, x]}, inputs: {all: a.o}, params: "
                       "{command: \"run ${matrix.k}\"}}\n");
    expect_edges("b[k=x]", "a[i=1,k=x] a[i=2,k=x]");
    expect_edges("b[k=y]", "a[i=1,k=y] a[i=2,k=y]");
}

static void test_axes_of_the_consumer_alone_broadcast(void **state)
{
    (void)state;
    expand(HEAD "  a: {kind: exec, matrix: {i: [1, 2]}, outputs: {o: o}, params: {command: "
                "\"run ${matrix.i}\"}}\n"
                "  b: {kind: exec, matrix: {j: [p, q], i: [2]}, inputs: {one: a.o}, params: "
                "{command: \"run ${matrix.j}\"}}\n");
    expect_edges("b[j=p,i=2]", "a[i=2]");
    expect_edges("b[j=q,i=2]", "a[i=2]");
    assert_int_equal(graph->edge_count, 2);
}

static void test_matrix_of_another_step(void **state)
{
    (void)state;
    expand(HEAD "  c: {kind: exec, matrix: b, inputs: {x: b.o}, params: {command: x}}\n"
                "  b: {kind: exec, matrix: a, inputs: {x: a.o}, outputs: {o: o}, params: {command: "
                "x}}\n" A_STEP);
    expect_edges("c[i=2,k=y]", "b[i=2,k=y]");
    expect_edges("b[i=2,k=y]", "a[i=2,k=y]");
    assert_string_equal(graph->steps[0].name, "a"); /* producers come first */
    assert_string_equal(graph->steps[2].name, "c");
}

static void test_two_gathers_go_together(void **state)
{
    (void)state;
    expand(HEAD A_STEP
           "  b: {kind: exec, matrix: a, inputs: {x: a.o}, outputs: {o: o}, params: {command: x}}\n"
           "  c: {kind: exec, matrix: {i: [1, 2]}, inputs: {p: a.o, q: b.o}, params: {command: "
           "\"run ${matrix.i}\"}}\n");
    expect_edges("c[i=2]", "a[i=2,k=x] a[i=2,k=y] b[i=2,k=x] b[i=2,k=y]");
}

static void expect_parse_error(const char *text, const char *line)
{
    teardown(NULL);
    assert_int_equal(pipeline_parse("p.yaml", text, strlen(text), NULL, 0, &d, &pipeline),
                     E_INVALID);
    if (!strstr(buf_text(&d.text), line))
        fail_msg("expected \"%s\" in:\n%s", line, buf_text(&d.text));
}

static void test_alignment_that_fails(void **state)
{
    (void)state;
    expect_parse_error(
        HEAD A_STEP
        "  b: {kind: exec, matrix: {k: [x, z], i: [1]}, inputs: {v: a.o}, params: {command: x}}\n",
        "p.yaml:4:35: axis \"k\": step \"a\", an input of \"b\", has no value \"z\" on it");
    expect_parse_error(
        HEAD A_STEP
        "  b: {kind: exec, matrix: {k: [x], i: [\"1\"]}, inputs: {v: a.o}, params: {command: x}}\n",
        "has no value \"1\" on it"); /* a string is not a number */
    expect_parse_error(
        HEAD A_STEP "  b: {kind: exec, matrix: {j: [1]}, outputs: {o: o}, params: {command: x}}\n"
                    "  c: {kind: exec, inputs: {p: a.o, q: b.o}, params: {command: x}}\n",
        "gather over different axes");
    expect_parse_error(HEAD "  a: {kind: exec, matrix: {i: {range: [0, 300000]}}, outputs: {o: o}, "
                            "params: {command: \"run ${matrix.i}\"}}\n"
                            "  b: {kind: exec, inputs: {v: a.o}, params: {command: x}}\n",
                       "gathers 300000 outputs");
    expect_parse_error(HEAD "  a: {kind: exec, matrix: {i: {range: [0, 100000]}}, outputs: {o: o}, "
                            "params: {command: \"run ${matrix.i}\"}}\n"
                            "  b: {kind: exec, matrix: {j: {range: [0, 100000]}}, inputs: {v: "
                            "a.o}, params: {command: x}}\n",
                       "the tasks have 10000000000 inputs from each other");
}

#define TRAIN_HEAD                                                                                 \
    "version: 1\nparams: {seed: 42}\nsources: {iris: data/iris.csv}\nsteps:\n"                     \
    "  prepare: {kind: preprocess, inputs: {table: sources.iris}, params: {target: y, split: "     \
    "{seed: \"${params.seed}\"}}}\n"

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
                   "retry: 5, timeout: 1h, priority: 3, resources: {cpu: 2, memory: 1Gi, labels: "
                   "{zone: a}}}\n",
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
    const struct graph_task *task = &graph->tasks[find("s")];
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

static const struct policy *policy_of(const char *name)
{
    return &graph->policies[graph->tasks[find(name)].policy];
}

static void test_policies_come_from_step_kind_and_general_defaults(void **state)
{
    (void)state;
    expand("version: 1\ndefaults:\n  retry: {limit: 5, backoff: 500ms}\n  resources: {cpu: 500m, "
           "memory: 1G}\n"
           "  sleep: {timeout: 1h, resources: {memory: 2Gi}}\nsteps:\n"
           "  a: {kind: sleep, retry: {limit: 1}, priority: -3}\n"
           "  b: {kind: exec, params: {command: x}, timeout: 90s, retry: {backoff: 2m}}\n"
           "  c: {kind: sleep, retry: 0, timeout: 0, resources: {cpu: 2.5, labels: {zone: a}}}\n");
    const struct policy *a = policy_of("a"), *b = policy_of("b"), *c = policy_of("c");
    assert_int_equal(a->retry_limit, 1);
    assert_int_equal(a->backoff_ms, 500);
    assert_int_equal(a->backoff_max_ms, 60000);
    assert_int_equal(a->timeout_ms, 3600000);
    assert_int_equal(a->cpu_hundredths, 50);
    assert_int_equal(a->memory_bytes, 2147483648u);
    assert_int_equal(a->priority, -3);
    assert_int_equal(a->poison_kills, 3);
    assert_string_equal(a->kind_version, "sleep@1");
    assert_int_equal(b->timeout_ms, 90000);
    assert_int_equal(b->memory_bytes, 1000000000);
    assert_int_equal(b->backoff_max_ms, 120000);
    assert_int_equal(c->retry_limit, 0);
    assert_int_equal(c->timeout_ms, 0);
    assert_int_equal(c->cpu_hundredths, 250);
    assert_int_equal(c->label_count, 1);
    assert_string_equal(c->labels[1], "a");
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

static void test_params_of_trailing_axes(void **state)
{
    (void)state;
    AUTO(arena_fini) struct arena arena = {0};
    expand(HEAD "  s: {kind: sleep, matrix: {a: [1, 2], b: [3, 4], c: [5, 6]}, params: {index: "
                "\"${matrix.b}\", seconds: \"${matrix.c}\"}}\n");
    for (int a = 1; a <= 2; a++)
        for (int b = 3; b <= 4; b++)
            for (int c = 5; c <= 6; c++) {
                char name[40];
                snprintf(name, sizeof name, "s[a=%d,b=%d,c=%d]", a, b, c);
                struct value params = params_of(name, &arena);
                assert_int_equal(value_get(&params, "index")->integer, b);
                assert_true(value_get(&params, "seconds")->real == c);
            }
}

static void test_ranges(void **state)
{
    (void)state;
    expand(
        HEAD
        "  up: {kind: sleep, matrix: {i: {range: [0, 7, 3]}}, params: {index: \"${matrix.i}\"}}\n"
        "  down: {kind: sleep, matrix: {i: {range: [2, -1, -1]}}, params: {index: "
        "\"${matrix.i}\"}}\n");
    assert_int_equal(graph->steps[0].task_count, 3);
    assert_int_equal(graph->steps[1].task_count, 3);
    (void)find("up[i=6]");
    (void)find("down[i=0]");
    assert_int_equal(graph_task_axis(graph, find("up[i=3]"), 0)->integer, 3);
}

static void test_many_tasks(void **state)
{
    (void)state;
    expand(HEAD "  s: {kind: exec, matrix: {i: {range: [0, 100000]}}, outputs: {o: o}, params: "
                "{command: \"run ${matrix.i}\"}}\n"
                "  join: {kind: exec, inputs: {all: s.o}, params: {command: x}}\n");
    assert_int_equal(graph->task_count, 100001);
    assert_int_equal(graph->edge_count, 100000);
    assert_int_equal(graph->edges[99999].task, 99999);
    const struct graph_task *join = &graph->tasks[100000];
    struct task_spec spec;
    struct err err;
    assert_int_equal(task_spec_parse(join->spec, join->spec_bytes, &spec, &err), OK);
}

static void test_errors_that_only_expansion_sees(void **state)
{
    (void)state;
    const char *text = HEAD "  s: {kind: sleep, matrix: {i: {range: [20000, -2, -1]}}, params: "
                            "{seconds: \"${matrix.i}\"}}\n";
    assert_int_equal(pipeline_parse("p.yaml", text, strlen(text), NULL, 0, &d, &pipeline), OK);
    assert_int_equal(graph_expand(pipeline, &d, &graph), E_INVALID);
    assert_non_null(strstr(buf_text(&d.text), "seconds: -1 is not"));
    assert_null(graph);
}

static void test_an_unread_source_is_an_error(void **state)
{
    (void)state;
    const char *text = "version: 1\nsources: {a: x}\nsteps: {s: {kind: exec, inputs: {a: "
                       "sources.a}, params: {command: x}}}\n";
    assert_int_equal(pipeline_parse("p.yaml", text, strlen(text), NULL, 0, &d, &pipeline), OK);
    assert_int_equal(graph_expand(pipeline, &d, &graph), E_INVALID);
    assert_non_null(strstr(buf_text(&d.text), "the source \"a\" was not read"));
}

static void test_drawings(void **state)
{
    (void)state;
    expand(HEAD "  a: {kind: exec, matrix: {i: [\"q\\\"\", r]}, outputs: {o: o}, params: {command: "
                "\"run ${matrix.i}\"}}\n"
                "  b: {kind: exec, inputs: {all: a.o}, params: {command: x}}\n");
    AUTO(buf_fini) struct buf out = buf_init(0);
    graph_dot(graph, false, &out);
    assert_string_equal(
        buf_text(&out),
        "digraph pipeline {\n  rankdir=LR;\n  node [shape=box];\n  n0 [label=\"a × 2\"];\n"
        "  n1 [label=\"b\"];\n  n0 -> n1 [label=\"o\"];\n}\n");
    buf_clear(&out);
    graph_mermaid(graph, true, &out);
    assert_string_equal(buf_text(&out),
                        "flowchart LR\n  n0[\"a[i=q#quot;]\"]\n  n1[\"a[i=r]\"]\n  n2[\"b\"]\n"
                        "  n0 -->|o| n2\n  n1 -->|o| n2\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_no_axes_on_the_consumer_gathers_all, teardown),
        cmocka_unit_test_teardown(test_shared_axes_align_and_the_others_are_gathered, teardown),
        cmocka_unit_test_teardown(test_axes_of_the_consumer_alone_broadcast, teardown),
        cmocka_unit_test_teardown(test_matrix_of_another_step, teardown),
        cmocka_unit_test_teardown(test_two_gathers_go_together, teardown),
        cmocka_unit_test_teardown(test_alignment_that_fails, teardown),
        cmocka_unit_test_teardown(test_what_does_not_change_an_id, teardown),
        cmocka_unit_test_teardown(test_a_whole_number_where_a_real_is_meant, teardown),
        cmocka_unit_test_teardown(test_what_changes_an_id, teardown),
        cmocka_unit_test_teardown(test_the_spec_hashes_to_the_id_and_parses, teardown),
        cmocka_unit_test_teardown(test_values_in_a_command_are_quoted_for_the_shell, teardown),
        cmocka_unit_test_teardown(test_substitution_keeps_types, teardown),
        cmocka_unit_test_teardown(test_exec_outputs_code_and_placed_inputs, teardown),
        cmocka_unit_test_teardown(test_policies_come_from_step_kind_and_general_defaults, teardown),
        cmocka_unit_test_teardown(test_each_model_has_its_kind_version, teardown),
        cmocka_unit_test_teardown(test_params_of_trailing_axes, teardown),
        cmocka_unit_test_teardown(test_ranges, teardown),
        cmocka_unit_test_teardown(test_many_tasks, teardown),
        cmocka_unit_test_teardown(test_errors_that_only_expansion_sees, teardown),
        cmocka_unit_test_teardown(test_an_unread_source_is_an_error, teardown),
        cmocka_unit_test_teardown(test_drawings, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
