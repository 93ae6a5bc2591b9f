/* Waits, and goes wrong on request: what tests and benchmarks use. Its inputs are there for the
 * order alone; what it is asked to make is empty.
 * Thread: the slot's. */
// SPDX-License-Identifier: Apache-2.0
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/fs.h"
#include "proto/schemas.h"
#include "worker/kinds/kind.h"

enum {
    FAULT_EXIT_STATUS = 3,
    CHUNK_BYTES = 1 << 20,
    /* Slow enough that a limit is noticed before the machine is full. */
    CHUNK_MS = 5
};

static void wait_seconds(double seconds)
{
    double whole = floor(seconds);
    struct timespec left = {(time_t)whole, (long)((seconds - whole) * 1e9)};
    while (nanosleep(&left, &left))
        ;
}

static void segfault(void)
{
    signal(SIGSEGV, SIG_DFL);
    raise(SIGSEGV);
}

/* Takes memory and touches it, for ever. */
static void fill_memory(void)
{
    for (;;) {
        void *chunk = mem_resize(NULL, CHUNK_BYTES);
        memset(chunk, 1, CHUNK_BYTES);
        wait_seconds(CHUNK_MS / 1000.0);
    }
}

/* Only a job with limits has a place for them; else the parent knows what they are. */
static enum status make_outputs(const struct kind_call *call, struct err *err)
{
    char path[PATH_MAX];
    for (uint32_t i = 0; call->output_dir && i < call->output_count; i++) {
        TRY(kind_output_path(call, call->outputs[i], path, sizeof path, err));
        TRY(fs_write(path, "", 0, err));
    }
    return OK;
}

static enum status run(const struct kind_call *call, struct err *err)
{
    struct sleep_params params;
    TRY(schema_decode(&schema_sleep, call->params, &params, err));
    if (params.seconds > 0)
        wait_seconds(params.seconds);
    enum { FAULT_NONE, FAULT_SEGFAULT, FAULT_HANG, FAULT_MEMORY, FAULT_EXIT }; /* sleep.def */
    switch (params.fault) {
    case FAULT_SEGFAULT: segfault(); break;
    case FAULT_HANG:
        for (;;)
            pause();
    case FAULT_MEMORY: fill_memory(); break;
    case FAULT_EXIT: _exit(FAULT_EXIT_STATUS);
    default: break;
    }
    return make_outputs(call, err);
}

const struct kind kind_sleep = {.name = "sleep", .run = run, .is_light = true};
