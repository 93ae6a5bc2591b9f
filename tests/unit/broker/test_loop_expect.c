/* What the loop expects of a record before it keeps it: the task's action, and its outputs. */
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "broker/loop_expect.h"

enum { SPEC_BYTES_MAX = 256, RECORD_BYTES = 512 };

struct bytes {
    uint8_t at[RECORD_BYTES];
    size_t count;
};

/* A task that makes "model" and "scores" from the output "o" of another, or from nothing. */
static struct mp_view write_spec(struct bytes *out, bool has_input)
{
    struct mp_writer w = mp_writer(out->at, SPEC_BYTES_MAX);
    struct id producer = {{7}};
    mp_write_map(&w, has_input ? 4 : 3);
    if (has_input) {
        mp_write_text(&w, "inputs");
        mp_write_map(&w, 1);
        mp_write_text(&w, "x");
        mp_write_array(&w, 2);
        mp_write_id(&w, &producer);
        mp_write_text(&w, "o");
    }
    mp_write_text(&w, "kind");
    mp_write_text(&w, "train");
    mp_write_text(&w, "outputs");
    mp_write_array(&w, 2);
    mp_write_text(&w, "model");
    mp_write_text(&w, "scores");
    mp_write_text(&w, "version");
    mp_write_text(&w, "1");
    assert_false(mp_writer_is_full(&w));
    out->count = w.need;
    return (struct mp_view){out->at, out->count};
}

static struct record make_record(struct bytes *out, struct mp_view action, uint32_t count,
                                 const char *const *names)
{
    struct record_output outputs[4] = {0};
    struct record record = {.action = action.bytes,
                            .action_bytes = action.count,
                            .attempt = 1,
                            .output_count = count,
                            .worker = "w",
                            .worker_bytes = 1},
                  parsed;
    for (uint32_t i = 0; i < count; i++)
        outputs[i] =
            (struct record_output){names[i], (uint32_t)strlen(names[i]), {{{1}}, 1, false}};
    out->count = record_encode(&record, outputs, out->at, sizeof out->at);
    assert_in_range(out->count, 1, sizeof out->at);
    assert_int_equal(record_parse(out->at, out->count, &parsed, NULL), OK);
    return parsed;
}

static const char *const both[] = {"model", "scores"};

static void exactly_the_outputs_of_the_task_are_taken(void **context)
{
    (void)context;
    static const struct {
        uint32_t count;
        const char *names[3];
    } wrong[] = {{0, {0}},
                 {1, {"model"}},
                 {2, {"model", "score"}},
                 {2, {"metrics", "model"}},
                 {3, {"model", "scores", "spare"}}};
    struct loop_expect expect;
    struct bytes spec, encoded;
    struct id action;
    bool has_action;
    loop_expect_init(&expect);
    struct mp_view view = write_spec(&spec, false);
    struct record record = make_record(&encoded, view, 2, both);
    assert_null(loop_expect_check(&expect, 0, view, &record, &has_action, &action));
    assert_false(has_action);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        record = make_record(&encoded, view, wrong[i].count, wrong[i].names);
        const char *fault = loop_expect_check(&expect, 0, view, &record, &has_action, &action);
        assert_non_null(fault);
        assert_non_null(strstr(fault, "outputs"));
    }
    loop_expect_fini(&expect);
}

static void only_the_action_that_was_sent_is_taken(void **context)
{
    (void)context;
    struct loop_expect expect;
    struct bytes spec, encoded, actions[2];
    struct id key, action;
    bool has_action;
    struct task_spec parsed;
    loop_expect_init(&expect);
    struct mp_view view = write_spec(&spec, true);
    assert_int_equal(task_spec_parse(view.bytes, view.count, &parsed, NULL), OK);
    for (uint8_t i = 0; i < 2; i++) {
        struct artifact input = {.id = {{i}}};
        actions[i].count =
            task_spec_action(&parsed, &input, 1, actions[i].at, sizeof actions[i].at);
    }
    struct mp_view sent = {actions[0].at, actions[0].count};
    struct mp_view other = {actions[1].at, actions[1].count};
    struct record record = make_record(&encoded, sent, 2, both);
    /* Of an attempt from before a restart nothing is known. */
    assert_null(loop_expect_check(&expect, 3, view, &record, &has_action, &key));
    assert_true(has_action);
    loop_expect_put(&expect, 3, &key);
    assert_null(loop_expect_check(&expect, 3, view, &record, &has_action, &action));
    assert_memory_equal(&action, &key, sizeof key);
    record = make_record(&encoded, other, 2, both);
    const char *fault = loop_expect_check(&expect, 3, view, &record, &has_action, &action);
    assert_non_null(fault);
    assert_non_null(strstr(fault, "action"));
    /* The number is free, and then another task's: nothing is known of that one. */
    loop_expect_put(&expect, 9, &key);
    loop_expect_clear(&expect, 2, 2);
    assert_null(loop_expect_check(&expect, 3, view, &record, &has_action, &action));
    assert_non_null(loop_expect_check(&expect, 9, view, &record, &has_action, &action));
    loop_expect_clear(&expect, 4, 100);
    assert_null(loop_expect_check(&expect, 9, view, &record, &has_action, &action));
    loop_expect_put(&expect, 1, &key);
    loop_expect_clear(&expect, 0, 10);
    assert_null(loop_expect_check(&expect, 1, view, &record, &has_action, &action));
    loop_expect_fini(&expect);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exactly_the_outputs_of_the_task_are_taken),
        cmocka_unit_test(only_the_action_that_was_sent_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
