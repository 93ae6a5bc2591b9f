/* Light jobs: what they make is the empty blob, and nothing is fetched for them. */
// SPDX-License-Identifier: Apache-2.0
#include "worker/runtime/work.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "common/crypto/hash.h"
#include "proto/record.h"
#include "tests/unit/worker/runtime/support.h"

struct world {
    struct arena arena;
    const char *folder;
    struct mover *mover;
    struct cache *cache;
    struct works *works;
};

static int setup(void **state)
{
    struct world *world = mem_alloc(sizeof *world);
    world->folder = temp_folder(&world->arena);
    const char *cache = arena_format(&world->arena, "%s/cache", world->folder);
    const char *store = arena_format(&world->arena, "%s/store", world->folder);
    assert_int_equal(mover_open(store, &world->mover, NULL), OK);
    assert_int_equal(cache_open(cache, 1 << 20, &world->cache, NULL), OK);
    const struct works_options options = {world->mover, world->cache, "w", NULL};
    world->works = works_new(&options);
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    mover_close(world->mover);
    works_free(world->works);
    cache_close(world->cache);
    assert_int_equal(fs_remove_tree(world->folder, NULL), OK);
    arena_fini(&world->arena);
    mem_free(world);
    return 0;
}

#define UPSTREAM 7 /* every byte of the id of the task that the specifications below refer to */

/* A `sleep` that waits for `in_count` outputs, as a list if there are several. */
static struct mp_view sleep_spec(struct world *world, uint32_t in_count, bool has_outputs)
{
    enum { ROOM = 1024 };
    struct id id;
    memset(&id, UPSTREAM, sizeof id);
    struct mp_writer w = mp_writer(arena_alloc(&world->arena, ROOM), ROOM);
    mp_write_map(&w, 3u + (in_count > 0));
    if (in_count) {
        mp_write_text(&w, "inputs");
        mp_write_map(&w, 1);
        mp_write_text(&w, "before");
        if (in_count > 1) {
            mp_write_array(&w, 1);
            mp_write_array(&w, in_count);
        }
        for (uint32_t i = 0; i < in_count; i++) {
            mp_write_array(&w, 2);
            mp_write_id(&w, &id);
            mp_write_text(&w, "done");
        }
    }
    mp_write_text(&w, "kind");
    mp_write_text(&w, "sleep");
    mp_write_text(&w, "outputs");
    mp_write_array(&w, has_outputs ? 2 : 0);
    if (has_outputs) {
        mp_write_text(&w, "also");
        mp_write_text(&w, "done");
    }
    mp_write_text(&w, "version");
    mp_write_text(&w, "1");
    assert_false(mp_writer_is_full(&w));
    return (struct mp_view){w.out, w.need};
}

/* What the scheduler sends for it: `given` resolved inputs, each a blob of its own, and what it
 * takes. */
static uint32_t take_with(struct world *world, struct mp_view spec, uint32_t given,
                          struct task_msg task)
{
    enum { ROOM = 2048 };
    AUTO(buf_fini) struct buf jobs = buf_init(0);
    struct mp_writer in = mp_writer(arena_alloc(&world->arena, ROOM), ROOM);
    mp_write_array(&in, given);
    for (uint32_t i = 0; i < given; i++) {
        struct artifact artifact = {.bytes = 5};
        memset(&artifact.id, (int)i + 1, sizeof artifact.id);
        mp_write_artifact(&in, &artifact);
    }
    task.attempt.number = 1;
    task.spec = spec.bytes;
    task.spec_bytes = spec.count;
    task.inputs = in.out;
    task.inputs_bytes = in.need;
    task.input_count = given;
    struct mp_writer w = mp_writer(arena_alloc(&world->arena, ROOM), ROOM);
    msg_write_batch_head(&w, MSG_TASKS, 1);
    msg_write_task(&w, &task);
    assert_false(mp_writer_is_full(&w));
    assert_int_equal(works_take(world->works, w.out, w.need, &jobs, NULL), OK);
    uint32_t job;
    assert_int_equal(jobs.count, sizeof job);
    memcpy(&job, jobs.bytes, sizeof job);
    return job;
}

static uint32_t take(struct world *world, struct mp_view spec, uint32_t given, uint32_t timeout_ms)
{
    return take_with(world, spec, given, (struct task_msg){.timeout_ms = timeout_ms});
}

static bool has_empty(struct world *world)
{
    struct id empty;
    bool has = false;
    hash_bytes(NULL, "", 0, &empty);
    assert_int_equal(store_has(mover_store(world->mover), &empty, 1, &has, NULL), OK);
    return has;
}

static struct record record_of(struct world *world, uint32_t job)
{
    struct result_msg result;
    struct record record;
    struct err err = {0};
    if (works_result(world->works, job, OK, "", &result, &err) != OK)
        fail_msg("%s", err.text);
    assert_int_equal(record_parse(result.record, result.record_bytes, &record, &err), OK);
    return record;
}

static void expect_empty_outputs(const struct record *record)
{
    static const char *const names[] = {"also", "done"};
    struct id empty;
    struct record_output output;
    hash_bytes(NULL, "", 0, &empty);
    assert_int_equal(record->output_count, 2);
    size_t at = 0;
    for (int i = 0; i < 2; i++) {
        assert_true(record_next_output(record, &at, &output));
        assert_int_equal(output.name_bytes, 4);
        assert_memory_equal(output.name, names[i], 4);
        assert_memory_equal(&output.artifact.id, &empty, sizeof empty);
        assert_int_equal(output.artifact.bytes, 0);
        assert_false(output.artifact.is_tree);
    }
}

static void the_empty_blob_is_stored_before_a_record_names_it(void **state)
{
    struct world *world = *state;
    uint32_t plain = take(world, sleep_spec(world, 0, false), 0, 0);
    uint32_t makes = take(world, sleep_spec(world, 0, true), 0, 0);
    assert_true(works_get(world->works, plain)->is_light);
    assert_true(works_get(world->works, makes)->is_light);
    struct record record = record_of(world, plain);
    assert_int_equal(record.output_count, 0);
    assert_false(has_empty(world));
    record = record_of(world, makes);
    expect_empty_outputs(&record);
    assert_true(has_empty(world));
    works_release(world->works, plain);
    works_release(world->works, makes);
}

/* Its inputs are in the action, as bytes, though nobody has them here. */
static void inputs_are_for_the_order_alone(void **state)
{
    struct world *world = *state;
    struct mp_view spec = sleep_spec(world, 3, true);
    uint32_t job = take(world, spec, 3, 0);
    assert_true(works_get(world->works, job)->is_light);
    struct record record = record_of(world, job);
    expect_empty_outputs(&record);
    struct task_spec action;
    struct task_input input;
    struct task_ref ref;
    assert_int_equal(task_spec_parse(record.action, record.action_bytes, &action, NULL), OK);
    size_t at = 0, next = 0;
    assert_true(task_spec_next_input(&action, &at, &input));
    assert_int_equal(input.ref_count, 3);
    for (int i = 0; i < 3; i++) {
        struct id expected;
        memset(&expected, i + 1, sizeof expected);
        assert_true(task_input_next_ref(&input, &next, &ref));
        assert_false(ref.is_task);
        assert_memory_equal(&ref.artifact.id, &expected, sizeof expected);
    }
    works_release(world->works, job);
}

/* One with a limit is heavy, and even then nothing is fetched: no such artifact exists. */
static void with_a_limit_inputs_are_not_fetched_either(void **state)
{
    struct world *world = *state;
    struct work_ended ended;
    uint32_t job = take(world, sleep_spec(world, 1, true), 1, 1000);
    assert_false(works_get(world->works, job)->is_light);
    works_fetch(world->works, job);
    assert_true(works_next_ended(world->works, &ended));
    assert_int_equal(ended.code, OK);
    works_release(world->works, job);
}

static void a_light_job_takes_no_more_than_its_core(void **state)
{
    struct world *world = *state;
    static const uint8_t gpu[] = {0x81, 0xa3, 'g', 'p', 'u', 1}, none[] = {0x80};
    const struct {
        struct task_msg task;
        bool is_light;
    } rows[] = {
        {{.cpu_hundredths = 100}, true},
        {{.cpu_hundredths = 50, .resources = {none, sizeof none}}, true},
        {{.cpu_hundredths = 101}, false},
        {{.resources = {gpu, sizeof gpu}}, false},
        {{.memory_bytes = 1}, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint32_t job = take_with(world, sleep_spec(world, 1, true), 1, rows[i].task);
        const struct work *work = works_get(world->works, job);
        assert_int_equal(work->is_light, rows[i].is_light);
        assert_int_equal(work->task.cpu_hundredths, rows[i].task.cpu_hundredths);
        works_release(world->works, job);
    }
}

static void inputs_that_are_not_those_of_the_spec_are_refused(void **state)
{
    struct world *world = *state;
    struct work_ended ended;
    uint32_t job = take(world, sleep_spec(world, 3, false), 2, 0);
    assert_false(works_get(world->works, job)->is_light);
    works_fetch(world->works, job);
    assert_true(works_next_ended(world->works, &ended));
    assert_int_equal(ended.code, E_PROTOCOL);
    assert_non_null(strstr(ended.text, "2 resolved inputs for 3 references"));
    works_release(world->works, job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_empty_blob_is_stored_before_a_record_names_it, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(inputs_are_for_the_order_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(with_a_limit_inputs_are_not_fetched_either, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_light_job_takes_no_more_than_its_core, setup, teardown),
        cmocka_unit_test_setup_teardown(inputs_that_are_not_those_of_the_spec_are_refused, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
