// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/broker/app/serving.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/program.h"

enum { WAIT_MS = 60000 };

static void check(enum status status, const struct err *err)
{
    if (status != OK)
        fail_msg("%s", err->text);
}

void serving_open(struct serving *serving, uint32_t slots)
{
    struct err err = {0};
    struct app_options options = {
        .home = serving->home, .slots = slots, .has_slots = true, .wake_fd = -1};
    check(app_open(&options, &serving->app, &err), &err);
    if (!serving->is_alone)
        check(app_serve(serving->app, NULL, &err), &err);
}

void serving_close(struct serving *serving)
{
    app_close(TAKE(serving->app));
}

/* The worker lies beside the folder of tests. */
static bool find_worker(void)
{
    char path[PATH_MAX], worker[PATH_MAX];
    if (program_path(path, NULL) != OK)
        return false;
    char *tests = strstr(path, "/tests/");
    if (!tests)
        return false;
    *tests = '\0';
    snprintf(worker, sizeof worker, "%.*s/worker", PATH_MAX - 16, path);
    return access(worker, X_OK) == 0 && setenv("PENSTOCK_WORKER", worker, 0) == 0;
}

int serving_setup(void **state)
{
    if (!find_worker()) {
        print_message("the worker program is not built: run make first\n");
        return -1;
    }
    struct serving *serving = mem_alloc(sizeof *serving);
    struct err err = {0};
    check(fs_make_temp_dir("serving-", serving->home, sizeof serving->home, &err), &err);
    *state = serving;
    return 0;
}

int serving_teardown(void **state)
{
    struct serving *serving = *state;
    struct err err = {0};
    if (serving->app)
        serving_close(serving);
    check(fs_remove_tree(serving->home, &err), &err);
    mem_free(serving);
    return 0;
}

struct app_request serving_request(const char *text)
{
    return (struct app_request){
        .file = "test.yaml", .text = text, .text_bytes = strlen(text), .is_remote = true};
}

void serving_submit(struct serving *serving, const struct app_request *request,
                    char run[APP_RUN_ID_BYTES])
{
    struct err err = {0};
    if (app_submit(serving->app, request, run, &err) != OK)
        fail_msg("%s\n%s", err.text, app_diagnostics(serving->app));
}

void serving_until(struct serving *serving, bool (*holds)(struct serving *serving, const char *run),
                   const char *run)
{
    struct err err = {0};
    for (ms_t end = clock_ms() + WAIT_MS; !holds(serving, run);) {
        check(app_turn(serving->app, 100, &err), &err);
        if (clock_ms() > end)
            fail_msg("run %s: it takes longer than %d s", run, WAIT_MS / 1000);
    }
}

static bool is_over(struct serving *serving, const char *run)
{
    return app_run_is_over(serving->app, run);
}

void serving_finish(struct serving *serving, const char *run)
{
    serving_until(serving, is_over, run);
}

void serving_expect(struct serving *serving, const char *run, const char *state, int64_t executed,
                    int64_t hit)
{
    struct err err = {0};
    AUTO(arena_fini) struct arena arena = {0};
    struct value result;
    check(app_result(serving->app, run, false, &arena, &result, &err), &err);
    const struct value *tasks = value_get(&result, "tasks");
    assert_string_equal(value_get_text(&result, "state"), state);
    assert_int_equal(value_get(tasks, "executed")->integer, executed);
    assert_int_equal(value_get(tasks, "hit")->integer, hit);
}
