/* retry, timeout, resources, priority: what is refused, and what a step gets from `defaults:`. */
// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>

#include "proto/limits.h"
#include "tests/unit/broker/pipeline/fixture.h"

/* The text has exactly this error. */
static void expect_error(const char *text, const char *line)
{
    expect_parse_error(text, line);
    assert_int_equal(d.error_count, 1);
}

static void test_wrong_policies(void **state)
{
    (void)state;
    expect_error(HEAD "  s: {kind: sleep, retry: 1001}",
                 "p.yaml:3:27: retry: 1001: expected a whole number from 0 to 1000");
    expect_error(HEAD "  s: {kind: sleep, retry: {limit: -1}}", "retry.limit: -1");
    expect_error(HEAD "  s: {kind: sleep, retry: {backoff: 2 s}}",
                 "retry.backoff: 2 s: expected a duration");
    expect_error(HEAD "  s: {kind: sleep, timeout: 31d}", "timeout: 31d: expected at most 30d");
    expect_error(HEAD "  s: {kind: sleep, timeout: 10}", "timeout: 10: expected a duration");
    expect_error(HEAD "  s: {kind: sleep, resources: {memory: lots}}",
                 "resources.memory: lots: expected a size");
    expect_error(HEAD "  s: {kind: sleep, resources: {cpu: 0}}", "resources.cpu: 0");
    expect_error(HEAD "  s: {kind: sleep, priority: high}", "priority: high");
    expect_error(HEAD "  s: {kind: sleep}\ndefaults: {slep: {retry: 1}}",
                 "unknown key \"slep\" of defaults; did you mean \"sleep\"?");
    expect_error(HEAD "  s: {kind: sleep, retry: {limit: 1, max_backoff: 500ms}}",
                 "retry.max_backoff: 500ms: expected at least the backoff of 1000 ms");
    expect_error(HEAD "  s: {kind: sleep, retry: {poison: 0}}",
                 "retry.poison: 0: expected a whole number from 1 to 1000");
    expect_error(HEAD "  s: {kind: sleep, resources: {memory: 1025Ti}}",
                 "resources.memory: 1025Ti: expected a size such as 512Mi, 2Gi or 1G, at most "
                 "1024Ti");
    expect_error(HEAD "  s: {kind: sleep, resources: {cpu: 4097}}",
                 "resources.cpu: 4097: expected cores such as 2, 0.5 or 500m, from 0.01 to 4096");
    expect_error(HEAD "  s: {kind: sleep, priority: 1000001}",
                 "priority: 1000001: expected a whole number from -1000000 to 1000000");
    expect_error(HEAD "  s: {kind: sleep}\ndefaults: {sleep: {retry: {limit: 1001}}}",
                 "p.yaml:4:35: retry.limit: 1001: expected a whole number from 0 to 1000");
}

static void test_wrong_resources(void **state)
{
    (void)state;
    static const struct {
        const char *resources, *said;
    } rows[] = {
        {"gpu: 1000001", "p.yaml:3:37: resources.gpu: 1000001: expected a whole number from 0 to "
                         "1000000"},
        {"gpu: -1", "resources.gpu: -1: expected a whole number"},
        {"gpu: 0.5", "resources.gpu: 0.5: expected a whole number"},
        {"gpu: all", "resources.gpu: all: expected a whole number"},
        {"gpu: null", "resources.gpu: null: expected a whole number"},
        {"my gpu: 1", "\"my gpu\" can't be the name of a resource: expected a letter"},
        {"CPU: 2", "unknown key \"CPU\" of resources; did you mean \"cpu\"?"},
        {"cpus: 2", "unknown key \"cpus\" of resources; did you mean \"cpu\"?"},
        {"cup: 2", "unknown key \"cup\" of resources; did you mean \"cpu\"?"},
        {"mem: 2", "unknown key \"mem\" of resources; did you mean \"memory\"?"},
        {"memroy: 2", "unknown key \"memroy\" of resources; did you mean \"memory\"?"},
        {"label: 2", "unknown key \"label\" of resources; did you mean \"labels\"?"},
        {"labels: {zone: [a]}", "resources.labels: [\"a\"]: expected a text of at most 256 bytes"},
        {"a: 1, b: 1, c: 1, d: 1, e: 1, f: 1, g: 1, h: 1, i: 1, j: 1, k: 1, l: 1, m: 1, n: 1, "
         "o: 1, p: 1, q: 1",
         "resources.q: at most 16 named counts are possible"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[512];
        snprintf(text, sizeof text, HEAD "  s: {kind: sleep, resources: {%s}}", rows[i].resources);
        expect_error(text, rows[i].said);
    }
    expand(HEAD "  s: {kind: sleep, resources: {gpu: 1, tpu: 2, cap: 3, models: 4, "
                "license-a: 1000000}}");
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
    const struct task_policy *a = policy_of("a"), *b = policy_of("b"), *c = policy_of("c");
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

static void expect_counts(const char *step, const char *expected)
{
    const struct task_policy *policy = policy_of(step);
    AUTO(buf_fini) struct buf text = buf_init(0);
    for (uint32_t i = 0; i < policy->resource_count; i++)
        buf_format(&text, "%s: %u ", policy->resources[i].name, policy->resources[i].count);
    assert_string_equal(buf_text(&text), expected);
}

static void test_named_counts_are_merged_by_name(void **state)
{
    (void)state;
    expand("version: 1\ndefaults:\n  resources: {license: 2, gpu: 1, cpu: 4}\n"
           "  exec: {resources: {gpu: 2, disk: 1}}\nsteps:\n"
           "  a: {kind: sleep}\n"
           "  b: {kind: exec, params: {command: x}, resources: {license: 0, disk: 3, zed: 1}}\n"
           "  c: {kind: sleep, resources: {gpu: 0, license: 0, cpu: 1}}\n");
    expect_counts("a", "gpu: 1 license: 2 ");
    expect_counts("b", "disk: 3 gpu: 2 zed: 1 ");
    expect_counts("c", "");
    assert_int_equal(policy_of("b")->cpu_hundredths, 400);
    assert_int_equal(policy_of("c")->cpu_hundredths, CPU_HUNDREDTHS_DEFAULT);
}

static void test_what_nobody_sets_is_as_limits_say(void **state)
{
    (void)state;
    expand(HEAD "  a: {kind: sleep}\n");
    const struct task_policy *a = policy_of("a");
    assert_int_equal(a->retry_limit, RETRY_LIMIT_DEFAULT);
    assert_int_equal(a->backoff_ms, BACKOFF_MS_DEFAULT);
    assert_int_equal(a->backoff_max_ms, BACKOFF_MAX_MS_DEFAULT);
    assert_int_equal(a->poison_kills, POISON_KILLS_DEFAULT);
    assert_int_equal(a->cpu_hundredths, CPU_HUNDREDTHS_DEFAULT);
    assert_int_equal(a->timeout_ms, 0);
    assert_int_equal(a->memory_bytes, 0);
    assert_int_equal(a->priority, 0);
    expect_counts("a", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_wrong_policies, teardown),
        cmocka_unit_test_teardown(test_wrong_resources, teardown),
        cmocka_unit_test_teardown(test_policies_come_from_step_kind_and_general_defaults, teardown),
        cmocka_unit_test_teardown(test_named_counts_are_merged_by_name, teardown),
        cmocka_unit_test_teardown(test_what_nobody_sets_is_as_limits_say, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
