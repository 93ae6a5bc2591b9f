/* What running tasks write, as far as somebody follows it: the end of it, asked for piece by piece
 * while it is read, and forgotten soon after. */
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "broker/app/local.h"
#include "common/base/mem.h"
#include "common/clock.h"
#include "proto/limits.h"

enum {
    ASK_EVERY_MS = 250,    /* where nothing new came last time */
    ASK_AGAIN_MS = 3000,   /* where no answer came */
    UNREAD_MS_MAX = 30000, /* then it is forgotten */
};

struct tail {
    struct attempt attempt;
    uint64_t first; /* the offset of text[0] */
    struct buf text;
    bool is_asked; /* an answer is awaited */
    ms_t asked_at, read_at;
};

struct tails {
    struct tail items[LOG_TAILS_MAX];
    uint32_t count;
};

static struct tail *find(struct tails *tails, const struct attempt *attempt)
{
    for (uint32_t i = 0; tails && i < tails->count; i++)
        if (tails->items[i].attempt.number == attempt->number &&
            id_equal(&tails->items[i].attempt.task, &attempt->task))
            return &tails->items[i];
    return NULL;
}

static void drop(struct tails *tails, uint32_t index)
{
    buf_fini(&tails->items[index].text);
    tails->items[index] = tails->items[--tails->count];
}

/* A new one; the one that was read longest ago makes room. */
static struct tail *add(struct local *app, const struct attempt *attempt, uint64_t offset, ms_t now)
{
    if (!app->tails)
        app->tails = mem_alloc(sizeof *app->tails);
    struct tails *tails = app->tails;
    for (uint32_t i = tails->count; i-- > 0;)
        if (now - tails->items[i].read_at > UNREAD_MS_MAX)
            drop(tails, i);
    uint32_t oldest = 0;
    for (uint32_t i = 1; i < tails->count; i++)
        if (tails->items[i].read_at < tails->items[oldest].read_at)
            oldest = i;
    if (tails->count == LOG_TAILS_MAX)
        drop(tails, oldest);
    struct tail *tail = &tails->items[tails->count++];
    *tail = (struct tail){.attempt = *attempt, .first = offset, .text = buf_init(0)};
    return tail;
}

static uint64_t end_of(const struct tail *tail)
{
    return tail->first + tail->text.count;
}

/* Keeps the newest bytes. */
static void append(struct tail *tail, const struct log_msg *log)
{
    if (log->offset > end_of(tail)) { /* what is between is left out */
        tail->first = log->offset;
        buf_clear(&tail->text);
    }
    buf_put(&tail->text, log->text.bytes, log->text.count);
    if (tail->text.count <= LOG_TAIL_BYTES_MAX)
        return;
    size_t over = tail->text.count - LOG_TAIL_BYTES_MAX;
    memmove(tail->text.bytes, tail->text.bytes + over, LOG_TAIL_BYTES_MAX);
    tail->text.count = LOG_TAIL_BYTES_MAX;
    tail->first += over;
}

static void ask(struct local *app, uint32_t worker, struct tail *tail, ms_t now)
{
    struct watch_msg watch = {tail->attempt, end_of(tail)};
    tail->is_asked = true;
    tail->asked_at = now;
    loop_watch(app->loop, worker, &watch);
}

void tails_heard(void *context, uint32_t worker, const struct log_msg *log)
{
    struct local *app = context;
    struct tail *tail = find(app->tails, &log->attempt);
    if (!tail || !tail->is_asked || log->offset < end_of(tail)) /* not what was asked for */
        return;
    tail->is_asked = false;
    if (!log->text.count)
        return;
    append(tail, log);
    loop_hurry(app->loop);
    if (end_of(tail) < log->size)
        ask(app, worker, tail, clock_ms());
}

void tails_read(struct local *app, uint32_t worker, const struct attempt *attempt,
                struct app_log *at, struct buf *out)
{
    ms_t now = clock_ms();
    if (at->attempt != attempt->number) { /* another attempt's output begins anew */
        at->attempt = attempt->number;
        at->offset = 0;
    }
    struct tail *tail = find(app->tails, attempt);
    bool is_new = !tail;
    if (!tail)
        tail = add(app, attempt, at->offset, now);
    tail->read_at = now;
    if (at->offset < tail->first)
        at->offset = tail->first;
    if (at->offset < end_of(tail)) {
        size_t skip = (size_t)(at->offset - tail->first);
        buf_put(out, tail->text.bytes + skip, tail->text.count - skip);
        at->offset = end_of(tail);
    }
    if (is_new || now - tail->asked_at > (tail->is_asked ? ASK_AGAIN_MS : ASK_EVERY_MS))
        ask(app, worker, tail, now);
}

void tails_free(struct local *app)
{
    while (app->tails && app->tails->count)
        drop(app->tails, app->tails->count - 1);
    mem_free(TAKE(app->tails));
}
