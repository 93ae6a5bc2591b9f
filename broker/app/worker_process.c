// SPDX-License-Identifier: Apache-2.0
#include "broker/app/worker_process.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/death.h"
#include "common/base/mem.h"
#include "common/child.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/program.h"

/* A worker that dies at once, again and again, is not a fault to sit out: something is wrong with
 * this machine. */
enum {
    QUICK_DEATH_MS = 1000,
    QUICK_DEATHS_MAX = 5,
    PAUSE_MS = 500, /* of one that is tireless, then; doubles */
    PAUSE_MS_MAX = 32000,
    NAME_BYTES = 32,
    NUMBER_BYTES = 16
};

struct worker_process {
    struct worker_process_options options;
    struct child child;
    char program[PATH_MAX];
    char name[NAME_BYTES], died_name[NAME_BYTES];
    uint32_t start_count, quick_deaths;
    ms_t started_at, again_at; /* again: while there is none */
    uint32_t pause_ms;
};

/* It gets our environment: store credentials and PENSTOCK_… settings are for it too. Its slots get
 * none. */
static enum status start(struct worker_process *process, struct err *err)
{
    char slots[NUMBER_BYTES];
    const struct worker_process_options *o = &process->options;
    if (process->start_count++ == 0)
        snprintf(process->name, sizeof process->name, "local");
    else
        snprintf(process->name, sizeof process->name, "local-%u", process->start_count);
    snprintf(slots, sizeof slots, "%u", o->slots);
    /* Keys are said even where there are none: the environment's are for other workers. */
    const char *argv[] = {"worker",
                          "--broker",
                          o->endpoint,
                          "--store",
                          o->store,
                          "--cache",
                          o->cache,
                          "--slots",
                          slots,
                          "--name",
                          process->name,
                          "--key",
                          o->key ? o->key : "",
                          "--broker-key",
                          o->broker_key,
                          "--die-with-parent",
                          NULL};
    const struct child_fd fds[] = {{STDERR_FILENO, STDERR_FILENO}};
    struct child_options options = {.path = process->program,
                                    .argv = argv,
                                    .environment = (const char *const *)environ,
                                    .fds = fds,
                                    .fd_count = 1,
                                    .dies_with_parent = true,
                                    .own_group = true};
    process->started_at = clock_ms();
    return child_start(&options, &process->child, err);
}

enum status worker_process_start(const struct worker_process_options *options,
                                 struct worker_process **out, struct err *err)
{
    *out = NULL;
    struct worker_process *process = mem_alloc(sizeof *process);
    process->options = *options;
    enum status status = program_sibling("worker", process->program, err);
    if (status == OK)
        status = start(process, err);
    if (status != OK) {
        mem_free(process);
        return status;
    }
    *out = process;
    return OK;
}

/* What keeps it from staying up is what it said itself: a store that refuses our keys, say. */
static enum status give_up(struct worker_process *process, ms_t now, const char *words,
                           struct err *err)
{
    if (!process->options.is_tireless)
        return err_set(
            err, E_CRASHED,
            "the local worker does not stay up: %s %u times within a second of its start", words,
            process->quick_deaths);
    uint32_t pause_ms = process->pause_ms ? 2 * process->pause_ms : PAUSE_MS;
    if (!process->pause_ms)
        log_event(
            LOG_ERROR, "worker.failing",
            "name=%s how=\"%s\" reason=\"it does not stay up; what it says is above, and it is "
            "started again until it does\"",
            process->name, words);
    process->pause_ms = pause_ms < PAUSE_MS_MAX ? pause_ms : PAUSE_MS_MAX;
    process->again_at = now + process->pause_ms;
    return OK;
}

enum status worker_process_check(struct worker_process *process, ms_t now, bool *has_died,
                                 const char **died_name, struct err *err)
{
    struct child_end end;
    char words[DEATH_WORDS_BYTES];
    *has_died = false;
    if (now < process->again_at)
        return OK;
    if (process->again_at) {
        process->again_at = 0;
        return start(process, err);
    }
    *has_died = child_wait(&process->child, 0, &end);
    if (!*has_died)
        return OK;
    memcpy(process->died_name, process->name, sizeof process->name);
    *died_name = process->died_name;
    death_describe(end.was_signalled, end.code, words);
    process->quick_deaths =
        now - process->started_at < QUICK_DEATH_MS ? process->quick_deaths + 1 : 0;
    log_event(LOG_WARN, "worker.died", "name=%s how=\"%s\"", process->name, words);
    if (process->quick_deaths >= QUICK_DEATHS_MAX ||
        (!end.was_signalled && end.code != 0 && process->quick_deaths > 1))
        return give_up(process, now, words, err);
    if (!process->quick_deaths)
        process->pause_ms = 0;
    return start(process, err);
}

void worker_process_stop(struct worker_process *process, ms_t grace_ms)
{
    struct child_end end;
    if (!child_wait(&process->child, (int)grace_ms, &end))
        child_stop(&process->child, true);
    mem_free(process);
}
