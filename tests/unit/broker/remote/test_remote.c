/* The client in front of the control plane, which runs in a thread of its own. */
// SPDX-License-Identifier: Apache-2.0
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/app.h"
#include "broker/remote/remote.h"
#include "common/base/doc.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/store/tree.h"
#include "tests/unit/broker/api/api_story.h"

enum { WAIT_MS = 10000, TURN_MS = 20 };

static struct api_story story;
static pthread_t thread;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of the story */
static atomic_bool is_stopping;
static char client_home[64], url[64];
static struct err err;

static void *serve(void *context)
{
    (void)context;
    for (; !is_stopping; usleep(2000)) {
        pthread_mutex_lock(&lock);
        if (story.api)
            api_turn(story.api);
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}

static int set_up(void **state)
{
    (void)state;
    api_story_open(&story);
    snprintf(url, sizeof url, "http://%s", api_address(story.api));
    is_stopping = false;
    assert_int_equal(fs_make_temp_dir("/tmp/remote-", client_home, sizeof client_home, NULL), OK);
    return pthread_create(&thread, NULL, serve, NULL);
}

static int tear_down(void **state)
{
    (void)state;
    is_stopping = true;
    pthread_join(thread, NULL);
    api_story_close(&story);
    return fs_remove_tree(client_home, NULL) != OK;
}

static struct app *open_client(const char *server, const char *token)
{
    struct app *app;
    struct app_options options = {
        .home = client_home, .server = server, .token = token, .wake_fd = -1};
    if (app_open(&options, &app, &err) != OK)
        fail_msg("%s", err.text);
    return app;
}

static void set(uint64_t events, bool is_over)
{
    pthread_mutex_lock(&lock);
    story.event_count = events;
    story.is_over = is_over;
    pthread_mutex_unlock(&lock);
}

static const char *write_file(const char *name, const char *text)
{
    static char path[200];
    snprintf(path, sizeof path, "%s/%s", client_home, name);
    assert_int_equal(fs_write(path, text, strlen(text), NULL), OK);
    return path;
}

/* ---- submitting ---- */

static const char pipeline[] = "version: 1\n"
                               "name: p\n"
                               "sources: {one: one.txt, all: '*.csv'}\n"
                               "steps:\n"
                               "  s:\n"
                               "    kind: exec\n"
                               "    inputs: {one: sources.one, all: sources.all}\n"
                               "    outputs: {o: o.txt}\n"
                               "    params: {command: \"cp ${inputs.one} o.txt\"}\n";

static void test_sources_go_up_by_their_ids(void **state)
{
    (void)state;
    char run[APP_RUN_ID_BYTES], file[200];
    static const char *const params[] = {"seed=7", "seed=8"}, *const labels[] = {"team=1"};
    write_file("one.txt", "one");
    write_file("a.csv", "a");
    write_file("b.csv", "b");
    snprintf(file, sizeof file, "%s", write_file("p.yaml", pipeline));
    AUTO(app_close) struct app *app = open_client(url, story.write_token);
    struct app_request request = {.file = file,
                                  .sets = (const char *const[]){"steps.s.priority=3"},
                                  .set_count = 1,
                                  .labels = labels,
                                  .label_count = 1,
                                  .name = "n",
                                  .who = "me",
                                  .idempotency_key = "k"};
    if (app_submit(app, &request, run, &err) != OK)
        fail_msg("%s%s", app_diagnostics(app), err.text);
    assert_string_equal(run, "run-1");
    /* one.txt; a.csv, b.csv and the manifest of both */
    assert_memory_equal(story.asked, "uploads 4\nsubmit file=", 22);
    assert_non_null(strstr(story.asked, " remote=1 set:steps.s.priority=3 label:team=1 name=n "
                                        "who=me only=- force=- key=k sources=2\n"));
    AUTO(buf_fini) struct buf store_url = buf_init(0), text = buf_init(0);
    AUTO(store_close) struct store *store = NULL;
    struct id one;
    uint64_t bytes;
    char copy[200];
    buf_format(&store_url, "%s/store", story.home);
    assert_int_equal(store_open(buf_text(&store_url), &store, NULL), OK);
    snprintf(copy, sizeof copy, "%s/one.txt", client_home);
    assert_int_equal(store_put_file(store, copy, &one, &bytes, NULL), OK);
    assert_int_equal(store_get(store, &one, &text, NULL), OK);
    assert_string_equal(buf_text(&text), "one");
    /* The file is refused here, before anything is sent. */
    story.asked[0] = 0;
    request.params = params;
    request.param_count = 2;
    assert_int_equal(app_submit(app, &request, run, &err), E_INVALID);
    assert_non_null(strstr(app_diagnostics(app), "seed"));
    assert_string_equal(story.asked, "");
}

static void test_what_the_broker_refuses_is_said_in_its_words(void **state)
{
    (void)state;
    char run[APP_RUN_ID_BYTES], file[200];
    snprintf(file, sizeof file, "%s",
             write_file("q.yaml", "version: 1\nsteps: {s: {kind: sleep, params: {seconds: 0}}}\n"));
    AUTO(app_close) struct app *app = open_client(url, story.write_token);
    struct app_request request = {.file = file};
    story.fails = E_CONFLICT;
    assert_int_equal(app_submit(app, &request, run, &err), E_CONFLICT);
    assert_string_equal(err.text, "made up");
    assert_string_equal(app_diagnostics(app), "p.yaml:1:2: one\np.yaml:3:4: two\n");
}

/* ---- who is asked ---- */

static void test_tokens_that_do_not_do(void **state)
{
    (void)state;
    struct arena arena = {0};
    struct value answer;
    char run[APP_RUN_ID_BYTES];
    AUTO(app_close) struct app *none = open_client(url, NULL);
    assert_int_equal(app_load(none, &arena, &answer, &err), E_DENIED);
    assert_non_null(strstr(err.text, "this broker wants a token; set PENSTOCK_TOKEN"));
    AUTO(app_close) struct app *wrong = open_client(url, "wrong-wrong-wrong");
    assert_int_equal(app_load(wrong, &arena, &answer, &err), E_DENIED);
    assert_non_null(strstr(err.text, "the token is not this broker's; set PENSTOCK_TOKEN"));
    AUTO(app_close) struct app *reads = open_client(url, story.read_token);
    assert_int_equal(app_load(reads, &arena, &answer, &err), OK);
    assert_int_equal(app_stop(reads, "r", false, run, &err), E_DENIED);
    assert_non_null(strstr(err.text, "needs the write token"));
    /* On the broker's own machine the files of its home do. */
    struct app_options options = {.home = story.home, .server = url, .wake_fd = -1};
    AUTO(app_close) struct app *same = NULL;
    assert_int_equal(app_open(&options, &same, &err), OK);
    assert_int_equal(app_stop(same, "r", true, run, &err), OK);
    assert_string_equal(run, "run-1"); /* which one that was */
    assert_string_equal(story.asked, "stop r kill=1\n");
    arena_fini(&arena);
}

static void test_servers_that_cannot_be(void **state)
{
    (void)state;
    static const char *const bad[] = {"",        ",",          "localhost:1", "http://",
                                      "ftp://x", "http://x/y", "http://a@b"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct app_options options = {.server = bad[i]};
        struct app *app;
        assert_int_equal(app_open(&options, &app, &err), E_INVALID);
        assert_non_null(strstr(err.text, "--server"));
    }
    struct arena arena = {0};
    struct value answer;
    AUTO(app_close) struct app *nobody = open_client("http://127.0.0.1:1", "t");
    assert_int_equal(app_load(nobody, &arena, &answer, &err), E_UNREACHABLE);
    assert_non_null(strstr(err.text, "broker serve"));
    /* The next one answers. */
    char two[160];
    snprintf(two, sizeof two, "http://127.0.0.1:1,%s/", url);
    AUTO(app_close) struct app *second = open_client(two, story.read_token);
    assert_int_equal(app_load(second, &arena, &answer, &err), OK);
    arena_fini(&arena);
}

/* A leader that was named gets the token, another one doesn't. */
static void test_the_token_goes_to_named_servers_alone(void **state)
{
    (void)state;
    struct arena arena = {0};
    struct value answer;
    char two[160];
    snprintf(two, sizeof two, "%s,http://127.0.0.1:1", url);
    pthread_mutex_lock(&lock);
    api_follow(story.api, "http://127.0.0.1:1");
    pthread_mutex_unlock(&lock);
    AUTO(app_close) struct app *one = open_client(url, story.write_token);
    assert_int_equal(app_load(one, &arena, &answer, &err), E_DENIED);
    assert_non_null(
        strstr(err.text, "sends on to http://127.0.0.1:1/v1/load, which was not named"));
    AUTO(app_close) struct app *both = open_client(two, story.write_token);
    remote_of(both)->patience_ms = 300; /* it might yet take the lead */
    assert_int_equal(app_load(both, &arena, &answer, &err), E_UNREACHABLE);
    assert_non_null(strstr(err.text, "http://127.0.0.1:1"));
    pthread_mutex_lock(&lock);
    api_follow(story.api, "");
    pthread_mutex_unlock(&lock);
    assert_int_equal(app_load(one, &arena, &answer, &err), E_UNREACHABLE);
    assert_non_null(strstr(err.text, "this broker stands by"));
    arena_fini(&arena);
}

/* ---- watching ---- */

/* Turns until an event of that kind came; its document. */
static const char *until(struct app *app, const char *kind, uint64_t *after)
{
    struct app_event event;
    for (ms_t end = clock_ms() + WAIT_MS; clock_ms() < end;) {
        while (app_next_event(app, "run-1", *after, &event)) {
            *after = event.id;
            if (strcmp(event.event, kind) == 0)
                return event.json;
        }
        if (app_turn(app, TURN_MS, &err) != OK)
            fail_msg("%s", err.text);
    }
    fail_msg("no %s came", kind);
    return NULL;
}

static void test_watching_goes_on_over_a_restart(void **state)
{
    (void)state;
    uint64_t after = 0;
    char address[64];
    set(2, false);
    snprintf(address, sizeof address, "%s", api_address(story.api));
    AUTO(app_close) struct app *app = open_client(url, story.read_token);
    assert_int_equal(app_watch(app, "run-1", &err), OK);
    assert_non_null(strstr(until(app, "task", &after), "\"id\": 1"));
    assert_non_null(strstr(until(app, "task", &after), "\"id\": 2"));
    assert_false(app_run_is_over(app, "run-1"));
    pthread_mutex_lock(&lock);
    api_close(story.api);
    story.api = NULL;
    pthread_mutex_unlock(&lock);
    assert_non_null(strstr(until(app, "notice", &after), "does not answer; trying again"));
    pthread_mutex_lock(&lock);
    api_story_serve(&story, address);
    story.event_count = 3;
    pthread_mutex_unlock(&lock);
    assert_non_null(strstr(until(app, "notice", &after), "the broker is back"));
    assert_non_null(strstr(until(app, "task", &after), "\"id\": 3")); /* and no other again */
    set(4, true);
    until(app, "run", &after);
}

static void test_watching_what_is_not_there(void **state)
{
    (void)state;
    AUTO(app_close) struct app *app = open_client(url, story.read_token);
    story.fails = E_NOTFOUND;
    assert_int_equal(app_watch(app, "nope", &err), OK);
    enum status status = OK;
    for (ms_t end = clock_ms() + WAIT_MS; clock_ms() < end && status == OK;)
        status = app_turn(app, TURN_MS, &err);
    assert_int_equal(status, E_NOTFOUND);
    assert_string_equal(err.text, "made up");
}

/* ---- bytes ---- */

static void test_artifacts_come_verified(void **state)
{
    (void)state;
    AUTO(arena_fini) struct arena arena = {0};
    AUTO(store_close) struct store *store = NULL;
    AUTO(buf_fini) struct buf store_url = buf_init(0), text = buf_init(0);
    char folder[100], path[200];
    struct id id;
    struct artifact tree;
    buf_format(&store_url, "%s/store", story.home);
    assert_int_equal(store_open(buf_text(&store_url), &store, NULL), OK);
    assert_int_equal(store_put(store, "hello", 5, &id, NULL), OK);
    story.artifact = doc_map();
    doc_put(&arena, &story.artifact, "id", doc_id(&arena, &id));
    AUTO(app_close) struct app *app = open_client(url, story.read_token);
    if (app_export(app, "latest/a[b=c].o", NULL, &text, &err) != OK)
        fail_msg("%s", err.text);
    assert_string_equal(buf_text(&text), "hello");
    assert_string_equal(story.asked, "artifact latest/a[b=c].o\n");

    snprintf(folder, sizeof folder, "%s/tree", story.home);
    snprintf(path, sizeof path, "%s/tree/x/y", story.home);
    assert_int_equal(fs_make_dirs(path, NULL), OK);
    snprintf(path, sizeof path, "%s/tree/x/y/z.txt", story.home);
    assert_int_equal(fs_write(path, "deep", 4, NULL), OK);
    assert_int_equal(tree_put(store, folder, &tree, NULL), OK);
    story.artifact = doc_map();
    doc_put(&arena, &story.artifact, "id", doc_id(&arena, &tree.id));
    doc_put(&arena, &story.artifact, "tree", value_bool(true));
    snprintf(path, sizeof path, "%s/out", client_home);
    if (app_export(app, "a.model", path, NULL, &err) != OK)
        fail_msg("%s", err.text);
    snprintf(path, sizeof path, "%s/out/x/y/z.txt", client_home);
    buf_clear(&text);
    assert_int_equal(fs_read(path, &text, NULL), OK);
    assert_string_equal(buf_text(&text), "deep");
}

static void test_logs_are_read_on(void **state)
{
    (void)state;
    AUTO(buf_fini) struct buf text = buf_init(0);
    struct app_log at = {0};
    AUTO(app_close) struct app *app = open_client(url, story.read_token);
    pthread_mutex_lock(&lock);
    story.log_text = "one\n";
    story.log.attempt = 1;
    pthread_mutex_unlock(&lock);
    assert_int_equal(app_logs(app, "r/a[b=c]", &at, &text, &err), OK);
    assert_string_equal(buf_text(&text), "one\n");
    assert_false(at.is_final);
    pthread_mutex_lock(&lock);
    story.log_text = "one\ntwo\n";
    story.log.is_final = true;
    pthread_mutex_unlock(&lock);
    assert_int_equal(app_logs(app, "r/a[b=c]", &at, &text, &err), OK);
    assert_string_equal(buf_text(&text), "one\ntwo\n");
    assert_true(at.is_final);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_sources_go_up_by_their_ids),
        TEST(test_what_the_broker_refuses_is_said_in_its_words),
        TEST(test_tokens_that_do_not_do),
        TEST(test_servers_that_cannot_be),
        TEST(test_the_token_goes_to_named_servers_alone),
        TEST(test_watching_goes_on_over_a_restart),
        TEST(test_watching_what_is_not_there),
        TEST(test_artifacts_come_verified),
        TEST(test_logs_are_read_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
