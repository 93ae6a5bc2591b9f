/* Secrets: where they come from, and that they do not get out. */
// SPDX-License-Identifier: Apache-2.0
#include "worker/runtime/secrets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "tests/unit/worker/runtime/running.h"
#include "tests/unit/worker/runtime/support.h"
#include "worker/kinds/exec_mask.h"

struct world {
    struct arena arena;
    const char *folder;
    struct secrets *secrets;
    struct err err;
};

static int setup(void **state)
{
    struct world *world = mem_alloc(sizeof *world);
    world->folder = temp_folder(&world->arena);
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    if (world->secrets)
        secrets_free(world->secrets);
    unsetenv("PENSTOCK_SECRET_ONE");
    assert_int_equal(fs_remove_tree(world->folder, NULL), OK);
    arena_fini(&world->arena);
    mem_free(world);
    return 0;
}

static void put(struct world *world, const char *name, const char *value)
{
    const char *path = arena_format(&world->arena, "%s/%s", world->folder, name);
    assert_int_equal(fs_write(path, value, strlen(value), NULL), OK);
}

/* What a task that asks for these names gets. */
static enum status ask(struct world *world, const char *params, struct kind_secret **out,
                       uint32_t *count)
{
    struct mp_view bytes = spec_of(
        &world->arena,
        arena_format(&world->arena,
                     "{\"kind\":\"exec\",\"outputs\":[],\"params\":%s,\"version\":\"1\"}", params));
    struct task_spec spec;
    assert_int_equal(task_spec_parse(bytes.bytes, bytes.count, &spec, NULL), OK);
    return secrets_of(world->secrets, &spec, &world->arena, out, count, &world->err);
}

static void they_come_from_the_environment_and_from_files(void **state)
{
    struct world *world = *state;
    struct kind_secret *items;
    uint32_t count;
    size_t label_count;
    put(world, "TWO", "of a file\n");
    put(world, ".hidden", "x");
    assert_int_equal(mkdir(arena_format(&world->arena, "%s/..data", world->folder), 0700), 0);
    setenv("PENSTOCK_SECRET_ONE", "of the environment", 1);
    const char *variable = getenv("PENSTOCK_SECRET_ONE");
    assert_int_equal(secrets_open(world->folder, &world->secrets, NULL), OK);
    assert_string_equal(variable, ""); /* /proc/PID/environ shows this memory */
    const char *const *labels = secrets_labels(world->secrets, &label_count);
    assert_int_equal(label_count, 2);
    assert_string_equal(labels[0], "secret:ONE=yes");
    assert_string_equal(labels[1], "secret:TWO=yes");
    assert_int_equal(
        ask(world, "{\"command\":\"x\",\"secrets\":[\"TWO\",\"ONE\"]}", &items, &count), OK);
    assert_int_equal(count, 2);
    assert_string_equal(items[0].value, "of a file");
    assert_string_equal(items[1].value, "of the environment");
    secrets_forget(items, count);
    put(world, "TWO", "rotated");
    assert_int_equal(ask(world, "{\"command\":\"x\",\"secrets\":[\"TWO\"]}", &items, &count), OK);
    assert_string_equal(items[0].value, "rotated");
    secrets_forget(items, count);
    assert_int_equal(ask(world, "{\"command\":\"secrets\"}", &items, &count), OK);
    assert_int_equal(count, 0);
}

static void a_lack_names_the_mend(void **state)
{
    struct world *world = *state;
    struct kind_secret *items;
    uint32_t count;
    assert_int_equal(secrets_open(NULL, &world->secrets, NULL), OK);
    assert_int_equal(ask(world, "{\"command\":\"x\",\"secrets\":[\"NOPE\"]}", &items, &count),
                     E_DENIED);
    assert_non_null(strstr(world->err.text, "PENSTOCK_SECRET_NOPE"));
    assert_non_null(strstr(world->err.text, "--secrets"));
}

static void what_can_not_be_one_is_refused(void **state)
{
    struct world *world = *state;
    static const struct {
        const char *name, *value, *words;
    } bad[] = {{"SHORT", "abc", "SHORT: a value of 3 bytes"},
               {"not-a-variable", "long enough", "\"not-a-variable\""}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        put(world, bad[i].name, bad[i].value);
        assert_int_equal(secrets_open(world->folder, &world->secrets, &world->err), E_INVALID);
        assert_null(world->secrets);
        assert_non_null(strstr(world->err.text, bad[i].words));
        assert_null(strstr(world->err.text, bad[i].value));
        assert_int_equal(unlink(arena_format(&world->arena, "%s/%s", world->folder, bad[i].name)),
                         0);
    }
    assert_int_equal(secrets_open("/not/there", &world->secrets, &world->err), E_NOTFOUND);
}

/* However the stream is cut into pieces. */
static void values_are_masked_wherever_a_stream_is_cut(void **state)
{
    (void)state;
    static const char said[] = "a hunter2 b hunter22 c hunterhunter2 hunte";
    static const char want[] = "a [P] b [LONGER] c hunter[P] hunte";
    char one[] = "hunter2", two[] = "hunter22";
    const struct kind_secret secrets[] = {{"P", one, 7}, {"LONGER", two, 8}};
    for (size_t piece = 1; piece < sizeof said; piece++) {
        struct kind_call call = {.secrets = secrets, .secret_count = 2};
        struct exec_mask mask;
        AUTO(buf_fini) struct buf out = buf_init(0);
        exec_mask_init(&mask, &call);
        for (size_t at = 0; at < sizeof said - 1; at += piece)
            exec_mask_pass(&mask, said + at,
                           at + piece < sizeof said ? piece : sizeof said - 1 - at, false, &out);
        exec_mask_pass(&mask, "", 0, true, &out);
        assert_string_equal(buf_text(&out), want);
        exec_mask_fini(&mask);
    }
}

static enum status run(struct world *world, const char *outputs, const char *params, char *text)
{
    const struct sandbox_options sandbox = {0};
    char value[] = "hunter2!";
    const struct kind_secret secret = {"PASSWORD", value, sizeof value - 1};
    struct slot *slot = slot_started(&sandbox);
    struct slot_job job = exec_job(&world->arena, world->folder, outputs, params);
    job.secrets = &secret;
    job.secret_count = 1;
    enum status status = slot_runs(slot, &job, text);
    slot_stop(slot, NULL, NULL);
    return status;
}

static void a_program_has_them_and_its_log_has_not(void **state)
{
    struct world *world = *state;
    char text[ERR_TEXT_BYTES];
    AUTO(buf_fini) struct buf log = buf_init(4096);
    assert_int_equal(run(world, "[]",
                         "{\"command\":\"echo said $PASSWORD; test $PASSWORD = hunter2! && echo "
                         "bad $PASSWORD >&2; exit 3\"}",
                         text),
                     E_EXIT);
    assert_string_equal(text, "exited with status 3: bad [PASSWORD]");
    assert_int_equal(fs_read(arena_format(&world->arena, "%s/log", world->folder), &log, NULL), OK);
    assert_string_equal(buf_text(&log), "said [PASSWORD]\nbad [PASSWORD]\n");
}

static void an_output_that_holds_one_is_refused(void **state)
{
    struct world *world = *state;
    static const char *const params[] = {
        "{\"command\":\"head -c 200000 /dev/zero > o; echo $PASSWORD >> o\"}",
        "{\"command\":\"mkdir -p o/deep; echo x$PASSWORD > o/deep/file\"}",
        "{\"command\":\"mkdir o; echo x > o/for-$PASSWORD\"}",
        "{\"command\":\"echo $PASSWORD\",\"stdout\":\"o\"}"};
    for (size_t i = 0; i < sizeof params / sizeof *params; i++) {
        char text[ERR_TEXT_BYTES];
        assert_int_equal(run(world, "[\"o\"]", params[i], text), E_INVALID);
        assert_non_null(strstr(text, "output o holds the secret PASSWORD"));
        assert_null(strstr(text, "hunter"));
        assert_int_equal(
            fs_remove_tree(arena_format(&world->arena, "%s/work", world->folder), NULL), OK);
        assert_int_equal(
            fs_remove_tree(arena_format(&world->arena, "%s/outputs", world->folder), NULL), OK);
    }
}

#define SECRETS_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
    if (argc >= 2 && !strcmp(argv[1], "slot"))
        return slot_main(argc - 2, argv + 2);
    const struct CMUnitTest tests[] = {
        SECRETS_TEST(they_come_from_the_environment_and_from_files),
        SECRETS_TEST(a_lack_names_the_mend),
        SECRETS_TEST(what_can_not_be_one_is_refused),
        cmocka_unit_test(values_are_masked_wherever_a_stream_is_cut),
        SECRETS_TEST(a_program_has_them_and_its_log_has_not),
        SECRETS_TEST(an_output_that_holds_one_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
