/* Slots as real processes (this program again, as `slot`), and hostile bytes between them and their
 * parent. */
// SPDX-License-Identifier: Apache-2.0
#include "worker/runtime/slot.h"

#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/rng.h"
#include "common/clock.h"
#include "tests/unit/worker/runtime/running.h"
#include "tests/unit/worker/runtime/support.h"

static const struct sandbox_options sandbox;

static void put_light(struct slot *slot, struct arena *arena, const char *json)
{
    struct mp_view spec = spec_of(arena, json);
    const struct slot_job job = {
        .is_light = true, .attempt = 1, .spec = spec.bytes, .spec_bytes = spec.count};
    slot_put(slot, &job);
}

static void light_jobs_are_answered_in_order(void **state)
{
    (void)state;
    AUTO(arena_fini) struct arena arena = {0};
    struct slot_message message;
    struct slot *slot = slot_started(&sandbox);
    for (int i = 0; i < 200; i++)
        put_light(slot, &arena,
                  i == 100 ? "{\"kind\":\"nope\",\"outputs\":[],\"version\":\"1\"}"
                           : "{\"kind\":\"sleep\",\"outputs\":[],\"version\":\"1\"}");
    slot_flush(slot);
    for (int i = 0; i < 200; i++) {
        assert_true(slot_says(slot, &message));
        assert_int_equal(message.type, i == 100 ? SLOT_FAILED : SLOT_DONE);
        if (i == 100)
            assert_int_equal(message.code, E_UNSUPPORTED);
    }
    slot_stop(slot, NULL, NULL);
}

/* How a slot ends that runs `sleep` with this fault. */
static void fault(const char *json, int *how, int *exit_status)
{
    AUTO(arena_fini) struct arena arena = {0};
    struct slot_message message;
    struct slot *slot = slot_started(&sandbox);
    put_light(slot, &arena, json);
    slot_flush(slot);
    assert_false(slot_says(slot, &message));
    slot_stop(slot, how, exit_status);
}

static void a_crash_tells_its_signal(void **state)
{
    (void)state;
    int how, exit_status;
    fault(
        "{\"kind\":\"sleep\",\"outputs\":[],\"params\":{\"fault\":\"segfault\"},\"version\":\"1\"}",
        &how, &exit_status);
    assert_int_equal(how, SIGSEGV);
    assert_int_equal(exit_status, 0);
}

static void an_exit_tells_its_status(void **state)
{
    (void)state;
    int how, exit_status;
    fault("{\"kind\":\"sleep\",\"outputs\":[],\"params\":{\"fault\":\"exit\"},\"version\":\"1\"}",
          &how, &exit_status);
    assert_int_equal(how, 0);
    assert_int_equal(exit_status, 3);
}

static void memory_is_seen_growing_and_a_stop_ends_it(void **state)
{
    (void)state;
    AUTO(arena_fini) struct arena arena = {0};
    struct slot *slot = slot_started(&sandbox);
    uint64_t before = slot_resident(slot), now = before;
    put_light(
        slot, &arena,
        "{\"kind\":\"sleep\",\"outputs\":[],\"params\":{\"fault\":\"memory\"},\"version\":\"1\"}");
    slot_flush(slot);
    for (ms_t until = clock_ms() + PATIENCE_MS; clock_ms() < until && now < before + (8 << 20);)
        now = slot_resident(slot);
    assert_true(now >= before + (8 << 20));
    slot_stop(slot, NULL, NULL);
}

static void stopping_a_slot_ends_everything_it_started(void **state)
{
    (void)state;
    AUTO(arena_fini) struct arena arena = {0};
    const char *folder = temp_folder(&arena);
    struct slot *slot = slot_started(&sandbox);
    /* A daemon that left group and session, a background job, and the program itself. */
    struct slot_job job = exec_job(&arena, folder, "[]",
                                   "{\"command\":\"setsid sh -c 'echo $$ > d; sleep 600' & sleep "
                                   "600 & touch ready; wait\"}");
    slot_put(slot, &job);
    slot_flush(slot);
    pid_t daemon = written_pid(arena_format(&arena, "%s/d", job.work_dir));
    assert_int_equal(kill(daemon, 0), 0);
    slot_stop(slot, NULL, NULL);
    assert_ends(daemon);
    assert_int_equal(fs_remove_tree(folder, NULL), OK);
}

static void a_daemon_does_not_outlive_its_job(void **state)
{
    (void)state;
    AUTO(arena_fini) struct arena arena = {0};
    struct slot_message message;
    const char *folder = temp_folder(&arena);
    struct slot *slot = slot_started(&sandbox);
    struct slot_job job = exec_job(&arena, folder, "[]",
                                   "{\"command\":\"setsid sh -c 'echo $$ > d; sleep 600' & while ! "
                                   "test -s d; do :; done\"}");
    slot_put(slot, &job);
    slot_flush(slot);
    assert_true(slot_says(slot, &message));
    assert_int_equal(message.type, SLOT_DONE);
    pid_t daemon = written_pid(arena_format(&arena, "%s/d", job.work_dir));
    assert_int_equal(kill(daemon, 0), -1); /* not even a zombie */
    slot_stop(slot, NULL, NULL);
    assert_int_equal(fs_remove_tree(folder, NULL), OK);
}

static void a_slot_has_no_descriptors_and_no_environment_of_ours(void **state)
{
    (void)state;
    AUTO(arena_fini) struct arena arena = {0};
    const char *folder = temp_folder(&arena);
    struct slot *slot = slot_started(&sandbox);
    struct slot_message message;
    struct slot_job job =
        exec_job(&arena, folder, "[]",
                 "{\"command\":\"echo $PPID > pid; mv pid slot; until test -e go; "
                 "do sleep 0.01; done\"}");
    slot_put(slot, &job);
    slot_flush(slot);
    pid_t pid = written_pid(arena_format(&arena, "%s/slot", job.work_dir));
    AUTO(buf_fini) struct buf text = buf_init(4096);
    assert_int_equal(fs_read(arena_format(&arena, "/proc/%d/environ", (int)pid), &text, NULL), OK);
    assert_memory_equal(text.bytes, "PATH=", 5);
    assert_int_equal(strlen(buf_text(&text)) + 1, text.count);
    /* 0 1 2, the socket, what the sandbox keeps, and what this very job needs: the signals, two
     * pipes with both ends, a pidfd. */
    int count = 0;
    DIR *all = opendir(arena_format(&arena, "/proc/%d/fd", (int)pid));
    for (const struct dirent *entry; (entry = readdir(all));)
        count += entry->d_name[0] != '.';
    closedir(all);
    assert_in_range(count, 4, 30);
    assert_int_equal(fs_write(arena_format(&arena, "%s/go", job.work_dir), "", 0, NULL), OK);
    assert_true(slot_says(slot, &message));
    slot_stop(slot, NULL, NULL);
    assert_int_equal(fs_remove_tree(folder, NULL), OK);
}

static void jobs_survive_the_wire(void **state)
{
    (void)state;
    AUTO(arena_fini) struct arena arena = {0};
    const char *const files[] = {"/cache/a", "/cache/b"};
    const struct artifact artifacts[2] = {{.bytes = 5}, {.bytes = 6, .is_tree = true}};
    const struct kind_input input = {.name = "x",
                                     .path = "data/x",
                                     .is_gather = true,
                                     .count = 2,
                                     .files = files,
                                     .artifacts = artifacts};
    const struct slot_job job = {.attempt = 2,
                                 .timeout_ms = 3,
                                 .memory_bytes = 4,
                                 .work_dir = "/w",
                                 .output_dir = "/o",
                                 .log_path = "/l",
                                 .input_count = 1,
                                 .inputs = &input,
                                 .spec = (const uint8_t *)"spec",
                                 .spec_bytes = 4};
    uint8_t bytes[512];
    struct mp_writer writer = mp_writer(bytes, sizeof bytes);
    slot_job_write(&writer, &job);
    struct mp_reader reader = mp_reader(bytes, writer.need);
    struct slot_job read;
    assert_true(slot_job_read(&reader, &arena, &read));
    assert_int_equal(read.input_count, 1);
    assert_string_equal(read.inputs[0].path, "data/x");
    assert_string_equal(read.inputs[0].files[1], "/cache/b");
    assert_true(read.inputs[0].artifacts[1].is_tree);
    assert_int_equal(read.memory_bytes, 4);
    /* Every shorter frame is refused. */
    for (size_t cut = 0; cut < writer.need; cut++) {
        reader = mp_reader(bytes, cut);
        assert_false(slot_job_read(&reader, &arena, &read));
    }
}

static void hostile_answers_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t count;
    } hostile[] = {
        {"\x90", 1},                         /* nothing */
        {"\x91\x04", 2},                     /* no such type */
        {"\x93\x01\x00", 3},                 /* a failure of three fields */
        {"\x95\x01\x00\x00\x00\xa0", 6},     /* a failure with code OK */
        {"\x95\x01\x00\x00\xcc\xff\xa0", 7}, /* an unknown code */
        {"\x95\x02\x00\x00\xd9\xff", 6},     /* a name longer than the frame */
        {"\xdd\xff\xff\xff\xff", 5},         /* four billion items */
    };
    struct slot_message message;
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        struct mp_reader reader = mp_reader((const uint8_t *)hostile[i].bytes, hostile[i].count);
        assert_false(slot_message_read(&reader, &message));
    }
    AUTO(arena_fini) struct arena arena = {.max_bytes = 0};
    struct rng rng = rng_seed(1);
    for (int round = 0; round < 20000; round++) {
        uint8_t bytes[64];
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (uint8_t)rng_next(&rng);
        bytes[0] = round % 2 ? 0x99 : 0x95;
        struct mp_reader reader = mp_reader(bytes, sizeof bytes);
        struct slot_job job;
        (void)!slot_message_read(&reader, &message);
        reader = mp_reader(bytes, sizeof bytes);
        (void)!slot_job_read(&reader, &arena, &job);
    }
}

int main(int argc, char **argv)
{
    if (argc >= 2 && !strcmp(argv[1], "slot"))
        return slot_main(argc - 2, argv + 2);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(light_jobs_are_answered_in_order),
        cmocka_unit_test(a_crash_tells_its_signal),
        cmocka_unit_test(an_exit_tells_its_status),
        cmocka_unit_test(memory_is_seen_growing_and_a_stop_ends_it),
        cmocka_unit_test(stopping_a_slot_ends_everything_it_started),
        cmocka_unit_test(a_daemon_does_not_outlive_its_job),
        cmocka_unit_test(a_slot_has_no_descriptors_and_no_environment_of_ours),
        cmocka_unit_test(jobs_survive_the_wire),
        cmocka_unit_test(hostile_answers_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
