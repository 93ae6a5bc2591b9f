/* The numbers that a scaler needs, in a file that anybody may read: HOME/metrics.prom, in
 * Prometheus' text format, as a node exporter's textfile collector takes it; `broker load` reads it
 * too. Written only when a number changed, and at most once a second; gone when the run is over.
 * While it is published HOME is locked, so that what a killed broker left is not taken for news.
 * Source: Prometheus, "Exposition formats", text format 0.0.4. */
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "broker/app/local.h"
#include "common/base/doc.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/log.h"

/* Scalers look every few seconds; more often would only cost. */
enum { PUBLISH_EVERY_MS = 1000 };

static const struct {
    const char *name;        /* behind "penstock_" */
    const char *group, *key; /* where it stands in the answer; group NULL: at the top */
    size_t at;               /* in struct sched_load */
    const char *help;
} numbers[] = {
    {"tasks_ready", "tasks", "ready", offsetof(struct sched_load, ready),
     "Tasks that could run now."},
    {"tasks_running", "tasks", "running", offsetof(struct sched_load, running),
     "Tasks that workers have been given."},
    {"tasks_waiting", "tasks", "waiting", offsetof(struct sched_load, waiting),
     "Tasks that wait for others."},
    {"workers", NULL, "workers", offsetof(struct sched_load, workers), "Workers connected."},
    {"slots", NULL, "slots", offsetof(struct sched_load, slots), "Slots of these workers."},
    {"slots_wanted", NULL, "slots_wanted", offsetof(struct sched_load, slots_wanted),
     "Slots that would have work now."},
};
enum { NUMBERS = sizeof numbers / sizeof *numbers };

static const char *metrics_path(const struct local *app, struct arena *arena)
{
    return arena_format(arena, "%s/metrics.prom", app->home);
}

/* ---- publishing ---- */

/* False: another broker publishes here. */
static bool mark_live(struct local *app)
{
    struct publication *p = &app->publication;
    if (p->lock_fd < 0)
        p->lock_fd = open(app->home, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    p->is_live = p->is_live || (p->lock_fd >= 0 && flock(p->lock_fd, LOCK_EX | LOCK_NB) == 0);
    return p->is_live;
}

static void write_numbers(struct local *app, const struct sched_load *load)
{
    AUTO(buf_fini) struct buf text = buf_init(0);
    AUTO(arena_fini) struct arena arena = {0};
    struct err err = {0};
    for (size_t i = 0; i < NUMBERS; i++) {
        uint32_t number;
        memcpy(&number, (const char *)load + numbers[i].at, sizeof number);
        buf_format(&text, "# HELP penstock_%s %s\n# TYPE penstock_%s gauge\npenstock_%s %u\n",
                   numbers[i].name, numbers[i].help, numbers[i].name, numbers[i].name, number);
    }
    struct publication *p = &app->publication;
    enum status status = fs_write(metrics_path(app, &arena), text.bytes, text.count, &err);
    if (status != OK && !p->is_failing)
        log_event(LOG_WARN, "metrics.failed", "error=\"%s\"", err.text);
    p->is_failing = status != OK;
    p->has_told = status == OK;
    p->told = *load;
}

void load_publish(struct local *app)
{
    struct sched_load load;
    struct publication *p = &app->publication;
    ms_t now = clock_ms();
    if (!app->router || now < p->due_at) /* what needs no worker is over at once */
        return;
    p->due_at = now + PUBLISH_EVERY_MS;
    sched_load(loop_sched(app->loop), &load);
    if (mark_live(app) && (!p->has_told || memcmp(&load, &p->told, sizeof load) != 0))
        write_numbers(app, &load);
}

void load_retract(struct local *app)
{
    struct publication *p = &app->publication;
    AUTO(arena_fini) struct arena arena = {0};
    if (p->is_live)
        unlink(metrics_path(app, &arena));
    if (p->lock_fd >= 0)
        close(p->lock_fd);
    *p = (struct publication){.lock_fd = -1, .due_at = MS_NEVER};
}

/* ---- reading ---- */

static bool is_live(const struct local *app)
{
    AUTO(fs_close_fd) int fd = open(app->home, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

static enum status read_number(const char *text, const char *name, int64_t *out, struct err *err)
{
    AUTO(buf_fini) struct buf start = buf_init(0);
    buf_format(&start, "\npenstock_%s ", name);
    const char *found = strstr(text, buf_text(&start));
    if (!found)
        return err_set(err, E_CORRUPT, "metrics.prom: it says no penstock_%s", name);
    *out = strtol(found + start.count, NULL, 10);
    return OK;
}

/* What is published, which may be of another process. */
static enum status read_published(struct local *app, bool *is_running, int64_t out[NUMBERS],
                                  struct err *err)
{
    AUTO(buf_fini) struct buf text = buf_init(0);
    AUTO(arena_fini) struct arena arena = {0};
    enum status status = is_live(app) ? fs_read(metrics_path(app, &arena), &text, err) : E_NOTFOUND;
    *is_running = status == OK; /* it may have ended just now */
    if (!*is_running)
        return status == E_NOTFOUND ? OK : status;
    for (size_t i = 0; i < NUMBERS; i++)
        TRY(read_number(buf_text(&text), numbers[i].name, &out[i], err));
    return OK;
}

static void read_own(const struct local *app, int64_t out[NUMBERS])
{
    struct sched_load load;
    sched_load(loop_sched(app->loop), &load);
    for (size_t i = 0; i < NUMBERS; i++) {
        uint32_t number;
        memcpy(&number, (const char *)&load + numbers[i].at, sizeof number);
        out[i] = number;
    }
}

enum status local_load(struct app *base, struct arena *arena, struct value *out, struct err *err)
{
    struct local *app = local_of(base);
    int64_t found[NUMBERS] = {0};
    bool is_running = app->loop != NULL;
    if (is_running)
        read_own(app, found);
    else
        TRY(read_published(app, &is_running, found, err));
    struct value answer = doc_map(), tasks = doc_map();
    doc_put(arena, &answer, "is_running", value_bool(is_running));
    for (size_t i = 0; i < NUMBERS; i++)
        doc_put(arena, numbers[i].group ? &tasks : &answer, numbers[i].key, value_int(found[i]));
    doc_put(arena, &answer, "tasks", tasks);
    *out = answer;
    return OK;
}
