/* What the embedded state costs alone: 1,000,000 records committed in frames of 500, then looked
 * up, on a warm file system. `bench_state [FOLDER [RECORDS]]`; prints one line per figure: name,
 * value, unit. */
// SPDX-License-Identifier: Apache-2.0
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "broker/state/state.h"
#include "common/base/mem.h"
#include "common/clock.h"
#include "common/crypto/hash.h"
#include "common/fs.h"

enum { FRAME_RECORDS = 500, COMMIT_FRAMES = 4, RECORD_BYTES = 140, ENTRY_BYTES = 180 };

static void check(enum status status, const struct err *err)
{
    if (status == OK)
        return;
    fprintf(stderr, "bench_state: %s\n", err->text);
    exit(1);
}

static double file_bytes(const char *folder, const char *name)
{
    char path[512];
    struct stat info;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return stat(path, &info) == 0 ? (double)info.st_blocks * 512 : 0;
}

static void say(const char *name, double value, const char *unit)
{
    printf("%-32s %14.2f %s\n", name, value, unit);
}

/* Frames of random bytes would do; the ids are what is indexed. */
static void commit_all(struct state *state, const struct id *ids, uint32_t count, bool with_action)
{
    static uint8_t frame[FRAME_RECORDS * ENTRY_BYTES];
    struct mp_view frames[COMMIT_FRAMES];
    struct state_record *records = mem_alloc(FRAME_RECORDS * COMMIT_FRAMES * sizeof *records);
    struct err err;
    memset(frame, 0x5a, sizeof frame);
    for (uint32_t i = 0; i < COMMIT_FRAMES; i++)
        frames[i] = (struct mp_view){frame, sizeof frame};
    for (uint32_t at = 0; at < count;) {
        uint32_t n = 0;
        for (; n < FRAME_RECORDS * COMMIT_FRAMES && at < count; n++, at++) {
            records[n] = (struct state_record){.task = ids[at],
                                               .has_action = with_action,
                                               .frame = n / FRAME_RECORDS,
                                               .offset = n % FRAME_RECORDS * ENTRY_BYTES,
                                               .bytes = RECORD_BYTES};
            if (with_action) {
                records[n].action = ids[at];
                records[n].action.bytes[0] ^= 0x80;
            }
        }
        struct state_batch batch = {.frames = frames,
                                    .frame_count = (n - 1) / FRAME_RECORDS + 1,
                                    .records = records,
                                    .record_count = n};
        bool is_done = false;
        check(state_begin(state, &batch, &err), &err);
        for (;;) {
            check(state_poll(state, &is_done, &err), &err);
            if (is_done)
                break;
            poll(&(struct pollfd){state_fd(state), POLLIN, 0}, 1, -1);
        }
    }
    mem_free(records);
}

static void count_found(void *context, uint32_t index, const uint8_t *record, size_t bytes)
{
    (void)index, (void)record, (void)bytes;
    ++*(uint32_t *)context;
}

static double look_up(struct state *state, const struct id *ids, uint32_t count, uint32_t want)
{
    struct err err;
    uint32_t found = 0;
    int64_t begun = clock_us();
    check(state_find_tasks(state, ids, count, count_found, &found, &err), &err);
    if (found != want) {
        fprintf(stderr, "bench_state: %u found instead of %u\n", found, want);
        exit(1);
    }
    return 1e-6 * (double)(clock_us() - begun);
}

static double open_ms(const char *folder, enum state_mode mode, struct state **state)
{
    struct err err;
    int64_t begun = clock_us();
    check(state_open(&(struct state_options){.url = folder, .mode = mode}, state, &err), &err);
    return 1e-3 * (double)(clock_us() - begun);
}

static void small(const char *folder)
{
    struct err err;
    struct state *state;
    struct id ids[100];
    for (uint32_t i = 0; i < 100; i++)
        hash_bytes(NULL, &i, sizeof i, &ids[i]);
    say("open, new", open_ms(folder, STATE_WRITE, &state), "ms");
    commit_all(state, ids, 100, true);
    int64_t begun = clock_us();
    check(state_flush(state, &err), &err);
    say("flush", 1e-3 * (double)(clock_us() - begun), "ms");
    begun = clock_us();
    state_close(state);
    say("close", 1e-3 * (double)(clock_us() - begun), "ms");
    say("open, 100 records", open_ms(folder, STATE_WRITE, &state), "ms");
    say("look up 100", 1e3 * look_up(state, ids, 100, 100), "ms");
    begun = clock_us();
    state_close(state);
    say("close, unchanged", 1e-3 * (double)(clock_us() - begun), "ms");
    check(fs_remove_tree(folder, &err), &err);
}

static void large(const char *folder, uint32_t count, bool with_action)
{
    struct err err;
    struct state *state;
    struct id *ids = mem_alloc(count * sizeof *ids);
    for (uint32_t i = 0; i < count; i++)
        hash_bytes(NULL, &i, sizeof i, &ids[i]);
    printf("%u records, %s action keys\n", count, with_action ? "with" : "without");
    open_ms(folder, STATE_WRITE, &state);
    say("look up, none there", look_up(state, ids, count, 0), "s");
    int64_t begun = clock_us();
    commit_all(state, ids, count, with_action);
    int64_t committed = clock_us();
    say("commit", count / (1e-6 * (double)(committed - begun)), "tasks/s");
    check(state_flush(state, &err), &err);
    say("flush after", 1e-3 * (double)(clock_us() - committed), "ms");
    state_close(state);
    say("index caught up after", 1e-3 * (double)(clock_us() - committed), "ms");
    say("journal", file_bytes(folder, "journal") / count, "bytes/task");
    say("index", file_bytes(folder, "index") / count, "bytes/task");
    say("open", open_ms(folder, STATE_WRITE, &state), "ms");
    say("look up, all there", look_up(state, ids, count, count), "s");
    state_close(state);
    char index[512];
    snprintf(index, sizeof index, "%s/index", folder);
    check(fs_remove_tree(index, &err), &err);
    say("open, index lost", open_ms(folder, STATE_WRITE, &state), "ms");
    state_close(state);
    check(fs_remove_tree(folder, &err), &err);
    mem_free(ids);
}

int main(int argc, char **argv)
{
    const char *folder = argc > 1 ? argv[1] : "bench-state.tmp";
    uint32_t count = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 1000000;
    if (!count)
        return 2;
    small(folder);
    large(folder, count, false);
    large(folder, count, true);
    return 0;
}
