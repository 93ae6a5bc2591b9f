// SPDX-License-Identifier: Apache-2.0
#include "broker/pipeline/graph.h"

#include <stdio.h>

#include "tests/unit/broker/pipeline/fixture.h"

static void test_no_axes_on_the_consumer_gathers_all(void **state)
{
    (void)state;
    expand(HEAD A_STEP "  b: {kind: exec, inputs: {all: a.o}, params: {command: x}}\n");
    expect_edges("b", "a[i=1,k=x] a[i=1,k=y] a[i=2,k=x] a[i=2,k=y]");
    struct task_spec spec;
    struct task_input input;
    struct err err;
    const struct task_node *task = &graph->tasks[find("b")];
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

/* sleep lists the names of what it makes, sorted however they are written; gathered like any. */
static void test_outputs_of_sleep(void **state)
{
    (void)state;
    expand(HEAD "  a: {kind: sleep, matrix: {i: [1, 2]}, outputs: [done, also], params: {index: "
                "\"${matrix.i}\"}}\n"
                "  b: {kind: sleep, inputs: {any: a.done, other: a.also}}\n"
                "  c: {kind: sleep}\n  d: {kind: sleep, outputs: []}\n");
    const struct graph_step *a = &graph->steps[0];
    assert_int_equal(a->output_count, 2);
    assert_string_equal(a->outputs[0], "also");
    assert_string_equal(a->outputs[1], "done");
    expect_edges("b", "a[i=1] a[i=2] a[i=1] a[i=2]");
    struct id c = id_of("c"), d_id = id_of("d");
    assert_memory_equal(&c, &d_id, ID_BYTES);
    expect_parse_error(HEAD "  a: {kind: sleep, outputs: {done: a.txt}}\n",
                       "p.yaml:3:29: outputs: kind sleep takes a list of names, as in [done], not "
                       "a mapping");
    expect_parse_error(HEAD "  a: {kind: sleep, outputs: [done, done]}\n",
                       "p.yaml:3:36: outputs: \"done\" is there twice");
    expect_parse_error(HEAD "  a: {kind: sleep, outputs: [a b]}\n", "p.yaml:3:30: \"a b\"");
    expect_parse_error(HEAD "  a: {kind: sleep, outputs: [7]}\n",
                       "p.yaml:3:30: outputs: expected a name, not a");
    expect_parse_error(HEAD "  a: {kind: sleep, outputs: [done]}\n"
                            "  b: {kind: sleep, inputs: {x: a.dne}}\n",
                       "did you mean \"done\"?");
    expect_parse_error(HEAD "  a: {kind: predict, outputs: [done]}\n",
                       "only exec and sleep name their own");
    AUTO(buf_fini) struct buf text = buf_init(0);
    buf_put_text(&text, HEAD "  a: {kind: sleep, outputs: [");
    for (int i = 0; i <= OUTPUTS_MAX; i++)
        buf_format(&text, "o%d,", i);
    buf_put_text(&text, "]}\n");
    expect_parse_error(buf_text(&text), "65 outputs; at most 64 are possible");
}

/* A range's values are not kept: they align by computing. */
static void test_ranges_align(void **state)
{
    (void)state;
    expand(HEAD
           "  a: {kind: exec, matrix: {i: {range: [8, -2, -2]}}, outputs: {o: o}, params: "
           "{command: \"c ${matrix.i}\"}}\n"
           "  b: {kind: exec, matrix: {i: {range: [2, 8, 4]}}, inputs: {v: a.o}, outputs: {o: o}, "
           "params: {command: \"c ${matrix.i}\"}}\n");
    expect_edges("b[i=2]", "a[i=2]");
    expect_edges("b[i=6]", "a[i=6]");
    static const char *const lacking[] = {"[7, 8]", "[0, -3, -2]", "[8, 12, 2]"};
    static const char *const shown[] = {"\"7\"", "\"-2\"", "\"10\""};
    for (size_t i = 0; i < sizeof lacking / sizeof *lacking; i++) {
        AUTO(buf_fini) struct buf text = buf_init(0), line = buf_init(0);
        buf_format(&text,
                   HEAD "  a: {kind: exec, matrix: {i: {range: [8, -2, -2]}}, outputs: {o: o}, "
                        "params: {command: \"c ${matrix.i}\"}}\n"
                        "  b: {kind: exec, matrix: {i: {range: %s}}, inputs: {v: a.o}, "
                        "outputs: {o: o}, params: {command: \"c ${matrix.i}\"}}\n",
                   lacking[i]);
        buf_format(&line, "has no value %s on it", shown[i]);
        expect_parse_error(buf_text(&text), buf_text(&line));
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
    const struct task_node *join = &graph->tasks[100000];
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

/* How many tasks of the step `b` the text names; the first one is called `name`. */
static void expect_found(const char *axes, uint32_t count, const char *name)
{
    uint32_t first = UINT32_MAX;
    AUTO(buf_fini) struct buf shown = buf_init(0);
    assert_int_equal(graph_find_tasks(graph, 1, axes, strlen(axes), &first), count);
    if (!count)
        return;
    graph_task_name(graph, first, &shown);
    assert_string_equal(buf_text(&shown), name);
}

static void tasks_are_found_by_what_their_axes_show(void **state)
{
    (void)state;
    expand(HEAD "  a: {kind: exec, outputs: {o: o}, params: {command: x}}\n"
                "  b: {kind: exec, matrix: {i: {range: [3, 9, 2]}, k: [x, \"y,z\", "
                "{name: \"k=,i\", v: 1}, \"\"]}, "
                "outputs: {o: o}, params: {command: \"x ${matrix.i}\"}}\n");
    expect_found("i=3,k=x", 1, "b[i=3,k=x]");
    expect_found("k=y,z,i=7", 1, "b[i=7,k=y,z]");
    expect_found("i=5,k=k=,i", 1, "b[i=5,k=k=,i]");
    expect_found("i=5,k=", 1, "b[i=5,k=]");
    expect_found("i=5", 4, "b[i=5,k=x]");
    expect_found("k=y,z", 3, "b[i=3,k=y,z]");
    expect_found("", 12, "b[i=3,k=x]");
    static const char *const none[] = {"i=4",     "i=9",      "i=03,k=x",
                                       "i= 3",    "i=",       "k=w",
                                       "i=3,i=3", "i=3,k=x,", "j=3",
                                       "i",       "i,k=x",    "=3",
                                       ",i=3",    "i=3 ",     "i=99999999999999999999"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        expect_found(none[i], 0, NULL);
}

static void a_task_among_many_is_found_without_a_search(void **state)
{
    (void)state;
    uint32_t first;
    expand(HEAD "  a: {kind: exec, matrix: {i: {range: [0, 100000, 1]}}, outputs: {o: o}, "
                "params: {command: \"x ${matrix.i}\"}}\n");
    for (int i = 0; i < 100000; i++) {
        char axes[32];
        int bytes = snprintf(axes, sizeof axes, "i=%d", i);
        assert_int_equal(graph_find_tasks(graph, 0, axes, (size_t)bytes, &first), 1);
        assert_int_equal(first, i);
    }
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
        cmocka_unit_test_teardown(test_params_of_trailing_axes, teardown),
        cmocka_unit_test_teardown(test_ranges, teardown),
        cmocka_unit_test_teardown(test_outputs_of_sleep, teardown),
        cmocka_unit_test_teardown(test_ranges_align, teardown),
        cmocka_unit_test_teardown(test_many_tasks, teardown),
        cmocka_unit_test_teardown(test_errors_that_only_expansion_sees, teardown),
        cmocka_unit_test_teardown(test_an_unread_source_is_an_error, teardown),
        cmocka_unit_test_teardown(test_drawings, teardown),
        cmocka_unit_test_teardown(tasks_are_found_by_what_their_axes_show, teardown),
        cmocka_unit_test_teardown(a_task_among_many_is_found_without_a_search, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
