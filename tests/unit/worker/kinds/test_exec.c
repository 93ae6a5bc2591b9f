/* The kind exec with real programs. */
// SPDX-License-Identifier: Apache-2.0
#include "worker/kinds/exec.h"

#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "common/clock.h"
#include "tests/unit/worker/runtime/support.h"
#include "worker/runtime/slot.h"

struct world {
    struct arena arena;
    const char *folder;
    struct slot_job job;
    struct sandbox_options sandbox;
    struct err err;
};

static int setup(void **state)
{
    struct world *world = mem_alloc(sizeof *world);
    world->folder = temp_folder(&world->arena);
    world->job.work_dir = arena_format(&world->arena, "%s/work", world->folder);
    world->job.output_dir = arena_format(&world->arena, "%s/outputs", world->folder);
    world->job.log_path = arena_format(&world->arena, "%s/log", world->folder);
    assert_int_equal(mkdir(world->job.work_dir, 0700), 0);
    assert_int_equal(mkdir(world->job.output_dir, 0700), 0);
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    assert_int_equal(chdir("/"), 0);
    assert_int_equal(fs_remove_tree(world->folder, NULL), OK);
    arena_fini(&world->arena);
    mem_free(world);
    return 0;
}

/* Runs exec with these outputs ("[]") and params ("{…}"). */
static enum status run(struct world *world, const char *outputs, const char *params)
{
    struct mp_view spec =
        spec_of(&world->arena,
                arena_format(&world->arena,
                             "{\"kind\":\"exec\",\"outputs\":%s,\"params\":%s,\"version\":\"1\"}",
                             outputs, params));
    assert_non_null(spec.bytes);
    world->job.spec = spec.bytes;
    world->job.spec_bytes = spec.count;
    world->err = (struct err){0};
    return slot_run_here(&world->job, &world->sandbox, &world->err);
}

static const char *content(struct world *world, const char *path)
{
    AUTO(buf_fini) struct buf text = buf_init(1 << 20);
    assert_int_equal(fs_read(path, &text, NULL), OK);
    return arena_text(&world->arena, (const char *)text.bytes, text.count);
}

static const char *output(struct world *world, const char *name)
{
    return content(world, arena_format(&world->arena, "%s/%s", world->job.output_dir, name));
}

/* An input file or, with a gather, two of them. */
static void give(struct world *world, const char *name, const char *path, bool is_gather)
{
    struct kind_input *input = arena_alloc(&world->arena, sizeof *input);
    const char **files = arena_alloc(&world->arena, 2 * sizeof *files);
    struct artifact *artifacts = arena_alloc(&world->arena, 2 * sizeof *artifacts);
    for (int i = 0; i < 2; i++) {
        files[i] = arena_format(&world->arena, "%s/input-%d", world->folder, i);
        (void)!unlink(files[i]);
        assert_int_equal(fs_write(files[i], i ? "second" : "first", i ? 6 : 5, NULL), OK);
    }
    *input = (struct kind_input){.name = name,
                                 .path = path,
                                 .is_gather = is_gather,
                                 .count = is_gather ? 2 : 1,
                                 .files = files,
                                 .artifacts = artifacts};
    world->job.inputs = input;
    world->job.input_count = 1;
}

static void outputs_and_log_are_captured(void **state)
{
    struct world *world = *state;
    assert_int_equal(run(world, "[\"page\"]",
                         "{\"command\":\"echo said; echo warned >&2; echo html > ${outputs.page}\","
                         "\"outputs\":{\"page\":\"out/report.html\"}}"),
                     OK);
    assert_string_equal(output(world, "page"), "html\n");
    assert_string_equal(content(world, world->job.log_path), "said\nwarned\n");
}

static void stdout_can_be_an_output(void **state)
{
    struct world *world = *state;
    assert_int_equal(run(world, "[\"o\"]",
                         "{\"command\":[\"printf\",\"%s|\",\"a b\",\"$HOME\"],\"stdout\":\"o\"}"),
                     OK);
    assert_string_equal(output(world, "o"), "a b|$HOME|"); /* a list has no shell */
    assert_false(fs_exists(world->job.log_path));          /* nothing was said */
}

static void inputs_are_copies_with_names_and_paths(void **state)
{
    struct world *world = *state;
    give(world, "x", NULL, false);
    assert_int_equal(run(world, "[\"o\"]",
                         "{\"command\":\"cat ${inputs.x} $x; echo; echo $x; (echo no > $x) "
                         "2>/dev/null && exit 9; chmod u+w $x; echo no > $x\",\"stdout\":\"o\"}"),
                     OK);
    assert_string_equal(output(world, "o"), "firstfirst\ninputs/x\n");
    assert_string_equal(content(world, world->job.inputs[0].files[0]), "first");
}

static void an_input_lies_where_its_path_says(void **state)
{
    struct world *world = *state;
    give(world, "x", "data/it's here.csv", false);
    assert_int_equal(
        run(world, "[\"o\"]", "{\"command\":\"cat ${inputs.x}; cat 'data/'*\",\"stdout\":\"o\"}"),
        OK);
    assert_string_equal(output(world, "o"), "firstfirst");
}

static void a_gather_is_a_folder_with_an_index(void **state)
{
    struct world *world = *state;
    give(world, "all", NULL, true);
    assert_int_equal(run(world, "[\"o\"]",
                         "{\"command\":\"cd ${inputs.all}; cat 0 1; grep -c path index.json\","
                         "\"stdout\":\"o\"}"),
                     OK);
    assert_string_equal(output(world, "o"), "firstsecond2\n");
}

static void the_environment_is_what_was_declared(void **state)
{
    struct world *world = *state;
    setenv("PENSTOCK_SECRET", "secret", 1);
    assert_int_equal(
        run(world, "[\"o\"]",
            "{\"command\":\"env | cut -d= -f1 | sort | tr '\\\\n' ' '; echo $MODE $LANG\","
            "\"env\":{\"MODE\":\"fast\",\"LANG\":\"C\"},\"stdout\":\"o\"}"),
        OK);
    assert_string_equal(output(world, "o"), "HOME LANG MODE PATH PWD TMPDIR fast C\n");
}

static void failures_say_how_and_end_with_the_last_words(void **state)
{
    struct world *world = *state;
    assert_int_equal(
        run(world, "[]", "{\"command\":\"echo one >&2; echo two >&2; echo three >&2; exit 3\"}"),
        E_EXIT);
    assert_string_equal(world->err.text, "exited with status 3: two three");
}

static void a_signal_is_a_crash(void **state)
{
    struct world *world = *state;
    assert_int_equal(run(world, "[]", "{\"command\":\"kill -SEGV $$\"}"), E_CRASHED);
    assert_string_equal(world->err.text, "killed by SIGSEGV (segmentation fault)");
}

static void what_is_left_running_is_ended(void **state)
{
    struct world *world = *state;
    ms_t begun = clock_ms();
    assert_int_equal(run(world, "[]", "{\"command\":\"sleep 300 & echo done\"}"), OK);
    assert_true(clock_ms() - begun < 100000);
    assert_string_equal(content(world, world->job.log_path), "done\n");
}

/* A process that left the group and writes without end: it neither keeps the job, nor its log. */
static void what_writes_on_afterwards_is_not_waited_for(void **state)
{
    struct world *world = *state;
    ms_t begun = clock_ms();
    assert_int_equal(run(world, "[]",
                         "{\"command\":\"setsid yes & while ! test -s log; do "
                         "echo on > log; done\"}"),
                     OK);
    assert_true(clock_ms() - begun < 100000);
}

/* In which system call is whoever started this? */
static bool is_parent_reading(void)
{
    char path[64], text[8] = "";
    snprintf(path, sizeof path, "/proc/%d/syscall", (int)getppid());
    AUTO(fs_close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd >= 0 && read(fd, text, sizeof text) > 2 && !memcmp(text, "0 ", 2);
}

/* Reads what it wrote between the kernel's word that there is something, and the reading; ends once
 * that has come about. */
static int take_back(void)
{
    enum { ROUNDS = 50000, DELAYS = 50, TURNS = 20 };
    char letter = 'x';
    int again = open("/proc/self/fd/1", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    for (int i = 0; again >= 0 && i < ROUNDS && !is_parent_reading(); i++) {
        if (write(1, &letter, 1) != 1)
            return 1;
        for (volatile int turn = 0; turn < i % DELAYS * TURNS;)
            turn++;
        (void)!read(again, &letter, 1);
    }
    return again < 0;
}

static void what_a_program_takes_back_is_not_waited_for(void **state)
{
    struct world *world = *state;
    char program[PATH_MAX] = "";
    world->sandbox.mode = SANDBOX_OFF; /* so that it may run this test */
    assert_true(readlink("/proc/self/exe", program, sizeof program - 1) > 0);
    const char *params =
        arena_format(&world->arena, "{\"command\":[\"%s\",\"take-back\"]}", program);
    assert_int_equal(run(world, "[]", params), OK);
}

static void paths_that_leave_the_work_folder_are_refused(void **state)
{
    struct world *world = *state;
    static const char *const bad[] = {"../x", "/tmp/x", "a/../../x", "./x", "a//x", "", "a/"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err err = {0};
        assert_int_equal(exec_check_path("output o", bad[i], &err), E_INVALID);
        assert_non_null(strstr(err.text, "output o"));
    }
    assert_int_equal(exec_check_path("o", "a/b..c/.d", NULL), OK);
    assert_int_equal(run(world, "[\"o\"]", "{\"command\":\"ln -s /etc/hostname o\"}"), E_INVALID);
    assert_non_null(strstr(world->err.text, "symbolic link"));
}

static void an_output_behind_a_linked_folder_is_refused(void **state)
{
    struct world *world = *state;
    assert_int_equal(
        run(world, "[\"o\"]",
            "{\"command\":\"rmdir d; ln -s /etc d\",\"outputs\":{\"o\":\"d/hostname\"}}"),
        E_INVALID);
    assert_non_null(strstr(world->err.text, "symbolic link"));
}

static void what_is_no_file_is_refused(void **state)
{
    struct world *world = *state;
    assert_int_equal(run(world, "[\"o\"]", "{\"command\":\"mkfifo o\"}"), E_INVALID);
    assert_string_equal(world->err.text, "output o: \"o\" is a pipe, expected a file or a folder");
    assert_int_equal(run(world, "[\"o\"]", "{\"command\":\"rm o; ln -s /dev/null o\"}"), E_INVALID);
    assert_non_null(strstr(world->err.text, "output o: "));
}

static void a_hard_link_to_elsewhere_is_refused_and_one_inside_is_not(void **state)
{
    struct world *world = *state;
    world->sandbox.mode = SANDBOX_OFF; /* confined, the link itself is refused */
    const char *path = arena_format(&world->arena, "%s/elsewhere", world->folder);
    assert_int_equal(fs_write(path, "x", 1, NULL), OK);
    const char *command = arena_format(
        &world->arena, "{\"command\":\"mkdir o; echo x > a; ln a o/b; ln %s o/c\"}", path);
    assert_int_equal(run(world, "[\"o\"]", command), E_INVALID);
    assert_string_equal(world->err.text,
                        "output o: \"o/c\" is a hard link to a file outside of the work folder");
    assert_int_equal(run(world, "[\"o\"]", "{\"command\":\"rm o/c\"}"), OK);
    assert_string_equal(output(world, "o/b"), "x\n");
}

static void a_secret_in_a_files_name_is_not_told(void **state)
{
    struct world *world = *state;
    static char value[] = "correct-horse";
    struct kind_secret secret = {"TOKEN", value, sizeof value - 1};
    world->job.secrets = &secret;
    world->job.secret_count = 1;
    assert_int_equal(run(world, "[\"o\"]",
                         "{\"command\":\"mkdir o; ln -s / o/$TOKEN\",\"secrets\":[\"TOKEN\"]}"),
                     E_INVALID);
    assert_null(strstr(world->err.text, value));
    assert_non_null(strstr(world->err.text, "o/[TOKEN]: a symbolic link"));
}

static void a_locked_folder_is_an_output_like_any(void **state)
{
    struct world *world = *state;
    assert_int_equal(run(world, "[\"o\"]", "{\"command\":\"mkdir o; echo x > o/f; chmod 0500 o\"}"),
                     OK);
    assert_string_equal(output(world, "o/f"), "x\n");
}

static void an_output_that_was_not_left_is_named(void **state)
{
    struct world *world = *state;
    assert_int_equal(run(world, "[\"page\"]", "{\"command\":\"true\"}"), E_INVALID);
    assert_string_equal(world->err.text,
                        "output page: the command left nothing at \"page\" in its work folder");
}

static void wrong_names_are_told(void **state)
{
    struct world *world = *state;
    assert_int_equal(run(world, "[]", "{\"command\":\"cat ${inputs.nope}\"}"), E_INVALID);
    assert_non_null(strstr(world->err.text, "${inputs.nope}"));
    assert_int_equal(fs_remove_tree(KIND_TEMP_FOLDER, NULL), OK);
    assert_int_equal(run(world, "[]", "{\"command\":[\"no-such-program-here\"]}"), E_NOTFOUND);
    assert_non_null(strstr(world->err.text, "no-such-program-here"));
    assert_int_equal(fs_remove_tree(KIND_TEMP_FOLDER, NULL), OK);
    give(world, "LD_PRELOAD", NULL, false);
    assert_int_equal(run(world, "[]", "{\"command\":\"true\"}"), E_INVALID);
    assert_non_null(strstr(world->err.text, "LD_PRELOAD"));
}

static void a_flood_of_output_is_bounded(void **state)
{
    struct world *world = *state;
    struct stat found;
    assert_int_equal(run(world, "[]", "{\"command\":\"head -c 40000000 /dev/zero\"}"), OK);
    assert_int_equal(stat(world->job.log_path, &found), 0);
    assert_true(found.st_size > 0 && found.st_size <= 16 << 20);
}

#define EXEC_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
    if (argc == 2 && !strcmp(argv[1], "take-back"))
        return take_back();
    const struct CMUnitTest tests[] = {
        EXEC_TEST(outputs_and_log_are_captured),
        EXEC_TEST(stdout_can_be_an_output),
        EXEC_TEST(inputs_are_copies_with_names_and_paths),
        EXEC_TEST(an_input_lies_where_its_path_says),
        EXEC_TEST(a_gather_is_a_folder_with_an_index),
        EXEC_TEST(the_environment_is_what_was_declared),
        EXEC_TEST(failures_say_how_and_end_with_the_last_words),
        EXEC_TEST(a_signal_is_a_crash),
        EXEC_TEST(what_is_left_running_is_ended),
        EXEC_TEST(what_writes_on_afterwards_is_not_waited_for),
        EXEC_TEST(what_a_program_takes_back_is_not_waited_for),
        EXEC_TEST(paths_that_leave_the_work_folder_are_refused),
        EXEC_TEST(an_output_behind_a_linked_folder_is_refused),
        EXEC_TEST(what_is_no_file_is_refused),
        EXEC_TEST(a_hard_link_to_elsewhere_is_refused_and_one_inside_is_not),
        EXEC_TEST(a_secret_in_a_files_name_is_not_told),
        EXEC_TEST(a_locked_folder_is_an_output_like_any),
        EXEC_TEST(an_output_that_was_not_left_is_named),
        EXEC_TEST(wrong_names_are_told),
        EXEC_TEST(a_flood_of_output_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
