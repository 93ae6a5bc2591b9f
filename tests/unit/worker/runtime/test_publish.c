/* What a job leaves becomes artifacts, values and a log; RESULTS frames are kept until
 * acknowledged. */
// SPDX-License-Identifier: Apache-2.0
#include "worker/runtime/publish.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "common/crypto/hash.h"
#include "proto/limits.h"
#include "proto/msg.h"
#include "tests/unit/worker/runtime/support.h"
#include "worker/runtime/results.h"

struct world {
    struct arena arena;
    const char *folder;
    struct store *store;
    struct publication publication;
};

static int setup(void **state)
{
    struct world *world = mem_alloc(sizeof *world);
    world->folder = temp_folder(&world->arena);
    struct publication *publication = &world->publication;
    publication->output_dir = arena_format(&world->arena, "%s/outputs", world->folder);
    publication->log_path = arena_format(&world->arena, "%s/log", world->folder);
    assert_int_equal(fs_make_dirs(publication->output_dir, NULL), OK);
    const char *store = arena_format(&world->arena, "%s/store", world->folder);
    assert_int_equal(store_open(store, &world->store, NULL), OK);
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    store_close(world->store);
    assert_int_equal(fs_remove_tree(world->folder, NULL), OK);
    arena_fini(&world->publication.arena);
    arena_fini(&world->arena);
    mem_free(world);
    return 0;
}

static const char *output(struct world *world, const char *name)
{
    return arena_format(&world->arena, "%s/%s", world->publication.output_dir, name);
}

static void leave(struct world *world, const char *name, const char *text)
{
    assert_int_equal(fs_write(output(world, name), text, strlen(text), NULL), OK);
}

static enum status publish(struct world *world, const char *const *names, uint32_t count,
                           struct err *err)
{
    world->publication.names = names;
    world->publication.name_count = count;
    return publish_run(world->store, &world->publication, err);
}

static void files_become_blobs_and_folders_trees(void **state)
{
    struct world *world = *state;
    static const char *const names[] = {"a", "b"};
    struct id expected;
    leave(world, "a", "text");
    assert_int_equal(fs_make_dirs(output(world, "b"), NULL), OK);
    leave(world, "b/inner", "more");
    assert_int_equal(publish(world, names, 2, NULL), OK);
    const struct publication *done = &world->publication;
    hash_bytes(NULL, "text", 4, &expected);
    assert_int_equal(done->output_count, 2);
    assert_true(id_equal(&done->outputs[0].artifact.id, &expected));
    assert_false(done->outputs[0].artifact.is_tree);
    assert_true(done->outputs[1].artifact.is_tree);
    assert_int_equal(done->outputs[1].artifact.bytes, 4);
    assert_false(done->has_log);
    assert_null(done->values);
}

static void small_json_is_kept_as_a_value(void **state)
{
    struct world *world = *state;
    static const char *const names[] = {"large", "metrics", "page"};
    AUTO(buf_fini) struct buf large = buf_init(0);
    buf_put_text(&large, "[0");
    while (large.count <= INLINE_BYTES_MAX)
        buf_put_text(&large, ", 0");
    buf_put_text(&large, "]");
    leave(world, "large", buf_text(&large));
    leave(world, "metrics", " {\"f1\": 0.5}\n");
    leave(world, "page", "{not json}");
    assert_int_equal(publish(world, names, 3, NULL), OK);
    struct value values;
    assert_int_equal(value_decode(world->publication.values, world->publication.values_bytes,
                                  arena_memory(&world->arena), &values, NULL),
                     OK);
    assert_int_equal(values.count, 1);
    const struct value *metrics = value_get(&values, "metrics");
    assert_non_null(metrics);
    assert_true(value_get(metrics, "f1")->real == 0.5);
}

static void an_output_that_was_not_made_is_named(void **state)
{
    struct world *world = *state;
    static const char *const names[] = {"page"};
    struct err err = {0};
    assert_int_equal(fs_write(world->publication.log_path, "said", 4, NULL), OK);
    assert_int_equal(publish(world, names, 1, &err), E_INVALID);
    assert_string_equal(err.text, "output page was not made");
    assert_true(world->publication.has_log); /* stored all the same */
    assert_int_equal(world->publication.log.bytes, 4);
}

static void links_and_pipes_are_no_outputs(void **state)
{
    struct world *world = *state;
    static const char *const names[] = {"page"};
    struct err err = {0};
    assert_int_equal(symlink("/etc/hostname", output(world, "page")), 0);
    assert_int_equal(publish(world, names, 1, &err), E_INVALID);
    assert_non_null(strstr(err.text, "output page"));
}

static void the_size_says_who_moves_it(void **state)
{
    struct world *world = *state;
    static const char *const names[] = {"a"};
    leave(world, "a", "12345");
    world->publication.names = names;
    world->publication.name_count = 1;
    assert_int_equal(publish_size(&world->publication, 100), 5);
    assert_int_equal(publish_size(&world->publication, 3), 3);
}

static void a_folder_of_many_small_files_counts_as_large(void **state)
{
    struct world *world = *state;
    static const char *const names[] = {"a"};
    char name[32];
    world->publication.names = names;
    world->publication.name_count = 1;
    assert_int_equal(mkdir(output(world, "a"), 0700), 0);
    leave(world, "a/one", "1");
    leave(world, "a/two", "22");
    assert_int_equal(publish_size(&world->publication, 100), 3);
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "a/%d", i);
        leave(world, name, "");
    }
    assert_int_equal(publish_size(&world->publication, 100), 100);
}

static struct result_msg failure(uint32_t number)
{
    struct result_msg result = {.code = E_EXIT, .text = "exited with status 3", .text_bytes = 20};
    result.attempt.number = number;
    return result;
}

static void results_are_signed_and_kept_until_acknowledged(void **state)
{
    (void)state;
    AUTO(signer_free) struct signer *signer = signer_new();
    AUTO(results_free) struct results *results = results_new(signer);
    struct mp_view frame;
    results_close(results); /* nothing in it: no frame */
    assert_false(results_next_unsent(results, &frame));
    for (uint32_t i = 0; i < 3; i++) {
        const struct result_msg result = failure(i);
        results_add(results, &result);
        if (i == 1)
            results_close(results);
    }
    results_close(results);
    assert_true(results_next_unsent(results, &frame));
    struct results_msg message;
    assert_int_equal(msg_decode_results(frame.bytes, frame.count, &message, NULL), OK);
    assert_int_equal(message.sequence, 0);
    struct id digest;
    hash_bytes(PERSON_FRAME, message.body, message.body_bytes, &digest);
    assert_true(sign_verify(signer_public(signer), &digest, message.signature));
    struct mp_reader reader = mp_reader(message.body, message.body_bytes);
    assert_int_equal(msg_body_begin(&reader), 2);
    assert_true(results_next_unsent(results, &frame));
    assert_false(results_next_unsent(results, &frame));
    AUTO(buf_fini) struct buf attempts = buf_init(0);
    results_list(results, &attempts);
    assert_int_equal(attempts.count / sizeof(struct attempt), 3);
    assert_int_equal(results_acknowledge(results, 7), 2); /* never heard of */
    assert_int_equal(results_acknowledge(results, 0), 1);
    results_unsend(results);
    assert_true(results_next_unsent(results, &frame));
    assert_int_equal(msg_decode_results(frame.bytes, frame.count, &message, NULL), OK);
    assert_int_equal(message.sequence, 1);
    assert_int_equal(results_acknowledge(results, 1), 0);
}

static void a_frame_never_grows_past_its_limit(void **state)
{
    (void)state;
    AUTO(signer_free) struct signer *signer = signer_new();
    AUTO(results_free) struct results *results = results_new(signer);
    enum { BIG = 10 << 20 };
    AUTO(mem_free) uint8_t *record = mem_alloc(BIG);
    const struct result_msg result = {.code = OK, .record = record, .record_bytes = BIG};
    for (int i = 0; i < 5; i++)
        results_add(results, &result);
    results_close(results);
    struct mp_view frame;
    int frames = 0;
    for (; results_next_unsent(results, &frame); frames++)
        assert_true(frame.count <= FRAME_BYTES_MAX);
    assert_int_equal(frames, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(files_become_blobs_and_folders_trees, setup, teardown),
        cmocka_unit_test_setup_teardown(small_json_is_kept_as_a_value, setup, teardown),
        cmocka_unit_test_setup_teardown(an_output_that_was_not_made_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(links_and_pipes_are_no_outputs, setup, teardown),
        cmocka_unit_test_setup_teardown(the_size_says_who_moves_it, setup, teardown),
        cmocka_unit_test_setup_teardown(a_folder_of_many_small_files_counts_as_large, setup,
                                        teardown),
        cmocka_unit_test(results_are_signed_and_kept_until_acknowledged),
        cmocka_unit_test(a_frame_never_grows_past_its_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
