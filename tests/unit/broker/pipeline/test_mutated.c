/* Pipelines with random edits, by a fixed seed: each ends in a graph or in diagnostics, never in a
 * crash. */
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "broker/pipeline/graph.h"
#include "common/base/mem.h"
#include "common/base/rng.h"

#define PREPARE                                                                                    \
    "version: 1\nsources: {iris: data/iris.csv}\nsteps:\n"                                         \
    "  prepare: {kind: preprocess, inputs: {table: sources.iris}, params: {target: y, split: "     \
    "{}}}\n"

static void mutate(struct rng *rng, char *text, size_t bytes)
{
    static const char alphabet[] = "{}[]&*<:!|>-'\"\\,#$ \n.~019abs=/";
    for (uint32_t k = rng_below(rng, 8) + 1; k; k--) {
        uint32_t at = rng_below(rng, (uint32_t)bytes);
        uint32_t from = rng_below(rng, (uint32_t)bytes);
        uint32_t count = rng_below(rng, 12);
        if (rng_below(rng, 3) == 0 && at + count < bytes && from + count < bytes)
            memmove(text + at, text + from, count); /* words land elsewhere */
        else
            text[at] = alphabet[rng_below(rng, sizeof alphabet - 1)];
    }
}

static void run_all(const char *text, size_t bytes)
{
    struct diagnostics own = {0};
    struct pipeline *p;
    struct graph *graph;
    if (pipeline_parse("f", text, bytes, NULL, 0, &own, &p) == OK) {
        const struct source_need *needs;
        size_t count = pipeline_sources(p, &needs);
        struct artifact artifact = {.bytes = 1};
        for (size_t i = 0; i < count; i++)
            pipeline_resolve_source(p, i, &artifact);
        if (graph_expand(p, &own, &graph) == OK)
            graph_free(graph);
        else
            assert_true(own.error_count && own.text.count);
        pipeline_free(p);
    } else {
        assert_true(own.error_count && own.text.count);
    }
    diagnostics_fini(&own);
}

static void test_mutated_pipelines_end(void **state)
{
    (void)state;
    static const char *const samples[] = {
        PREPARE
        "  train:\n    kind: train\n    matrix:\n      case:\n"
        "        - {name: a, model: logistic_regression, C: 1.0}\n"
        "        - {name: b, model: decision_tree, max_depth: 2}\n"
        "      s: {range: [0, 3]}\n"
        "    inputs: {dataset: prepare.train}\n    params: {<<: \"${matrix.case}\"}\n"
        "  predict: {kind: predict, matrix: train, inputs: {model: train.model, dataset: "
        "prepare.test}}\n"
        "  evaluate: {kind: metrics, matrix: train, inputs: {predictions: predict.predictions}}\n"
        "  compare: {kind: metrics, params: {select: {metric: f1}}, inputs: {reports: "
        "evaluate.metrics, models: train.model}}\n",
        "version: 1\nparams: {seed: &s 7, w: [a, b]}\ndefaults: {retry: 3, exec: {timeout: 1h, "
        "params: {env: {A: b}}}}\n"
        "sources: {d: \"x/${params.seed}.csv\"}\nsteps:\n"
        "  a:\n    kind: exec\n    matrix: {i: \"${params.w}\", k: [*s, {name: q, v: 1}]}\n    "
        "inputs: {x: {from: sources.d, path: in/x}}\n"
        "    outputs: {o: out.txt}\n    params: {command: \"run ${inputs.x} ${matrix.i} "
        "$${HOME}\", code: [a.py, lib], stdout: log}\n"
        "    resources: {cpu: 500m, memory: 2Gi, gpu: 1, labels: {z: a}}\n"
        "  b: {kind: exec, matrix: {i: [b]}, inputs: {x: a.o, l: a.log}, params: {command: [cat, "
        "\"${inputs.x}\"]}}\n",
    };
    struct rng rng = rng_seed(7);
    for (int i = 0; i < 6000; i++) {
        const char *sample = samples[rng_below(&rng, 2)];
        size_t bytes = strlen(sample);
        AUTO(mem_free) char *text = mem_copy_text(sample, bytes);
        if (i > 1)
            mutate(&rng, text, bytes);
        run_all(text, bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_mutated_pipelines_end)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
