// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/worker/runtime/running.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "tests/unit/worker/runtime/support.h"

bool slot_says(struct slot *slot, struct slot_message *out)
{
    bool is_bad = false;
    for (ms_t until = clock_ms() + PATIENCE_MS; clock_ms() < until;) {
        if (slot_next(slot, out, &is_bad))
            return true;
        assert_false(is_bad);
        struct pollfd fd = {slot_fd(slot), POLLIN, 0};
        (void)!poll(&fd, 1, 100);
        if (slot_receive(slot, NULL) != OK)
            return slot_next(slot, out, &is_bad);
    }
    fail_msg("the slot says nothing");
    return false;
}

struct slot *slot_started(const struct sandbox_options *sandbox)
{
    struct slot *slot;
    struct slot_message message;
    const struct slot_options options = {.sandbox = sandbox};
    assert_int_equal(slot_start(&options, &slot, NULL), OK);
    assert_true(slot_says(slot, &message));
    assert_int_equal(message.type, SLOT_READY);
    return slot;
}

struct slot_job exec_job(struct arena *arena, const char *folder, const char *outputs,
                         const char *params)
{
    struct mp_view spec = spec_of(
        arena,
        arena_format(arena, "{\"kind\":\"exec\",\"outputs\":%s,\"params\":%s,\"version\":\"1\"}",
                     outputs, params));
    assert_non_null(spec.bytes);
    struct slot_job job = {.attempt = 1, .spec = spec.bytes, .spec_bytes = spec.count};
    job.work_dir = arena_format(arena, "%s/work", folder);
    job.output_dir = arena_format(arena, "%s/outputs", folder);
    job.log_path = arena_format(arena, "%s/log", folder);
    (void)mkdir(job.work_dir, 0700); /* there already where a folder is used again */
    (void)mkdir(job.output_dir, 0700);
    assert_true(fs_exists(job.work_dir) && fs_exists(job.output_dir));
    return job;
}

enum status slot_runs(struct slot *slot, const struct slot_job *job, char *text)
{
    struct slot_message message;
    slot_put(slot, job);
    slot_flush(slot);
    assert_true(slot_says(slot, &message));
    snprintf(text, ERR_TEXT_BYTES, "%.*s", (int)message.text_bytes,
             message.type == SLOT_FAILED ? message.text : "");
    return message.type == SLOT_DONE ? OK : message.code;
}

pid_t written_pid(const char *path)
{
    AUTO(buf_fini) struct buf text = buf_init(64);
    for (ms_t until = clock_ms() + PATIENCE_MS; clock_ms() < until && text.count < 2;) {
        buf_clear(&text);
        (void)!fs_read(path, &text, NULL);
    }
    int pid = 0;
    assert_int_equal(sscanf(buf_text(&text), "%d", &pid), 1);
    return pid;
}

void assert_ends(pid_t pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/exe", (int)pid); /* a zombie has none */
    for (ms_t until = clock_ms() + PATIENCE_MS; clock_ms() < until && !access(path, F_OK);)
        ;
    assert_int_not_equal(access(path, F_OK), 0);
}
