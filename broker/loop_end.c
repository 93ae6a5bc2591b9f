// SPDX-License-Identifier: Apache-2.0
#include "broker/loop_end.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "broker/loop_pause.h"
#include "common/base/assert.h"
#include "common/base/mem.h"
#include "common/log.h"
#include "common/store/tree.h"
#include "proto/limits.h"

enum { RETRY_MS = 200, RETRY_MS_MAX = 3200 };

/* One thing to do, or done. */
struct errand {
    struct errand *next;
    struct artifact *artifacts;
    uint32_t artifact_count;
    struct buf keep;
    struct loop_ended end;
};

struct errands {
    struct errand *first, **last;
};

struct loop_ender {
    struct store *store;
    int fd; /* an eventfd */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t thread;
    bool has_thread, is_stopping, gives_up, is_busy;
    struct errands asked, done;
    struct errands doing; /* the thread's alone: a check, or flushes */
};

static void push(struct errands *list, struct errand *errand)
{
    errand->next = NULL;
    *list->last = errand;
    list->last = &errand->next;
}

static struct errand *pop(struct errands *list)
{
    struct errand *first = list->first;
    if (first && !(list->first = first->next))
        list->last = &list->first;
    return first;
}

static void free_errand(struct errand *errand)
{
    mem_free(errand->artifacts);
    buf_fini(&errand->keep);
    mem_free(errand);
}

static void free_all(struct errands *list)
{
    for (struct errand *errand; (errand = pop(list));) {
        mem_free(errand->end.missing);
        free_errand(errand);
    }
}

struct loop_ender *loop_ender_new(struct store *store)
{
    struct loop_ender *ender = mem_alloc(sizeof *ender);
    struct errands *lists[] = {&ender->asked, &ender->done, &ender->doing};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        lists[i]->last = &lists[i]->first;
    ender->store = store;
    ender->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    ASSERT(ender->fd >= 0);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&ender->lock, NULL);
    pthread_cond_init(&ender->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    return ender;
}

void loop_ender_free(struct loop_ender *ender)
{
    if (ender->has_thread) {
        pthread_mutex_lock(&ender->lock);
        ender->is_stopping = true;
        pthread_cond_broadcast(&ender->changed);
        pthread_mutex_unlock(&ender->lock);
        pthread_join(ender->thread, NULL);
    }
    free_all(&ender->asked);
    free_all(&ender->done);
    free_all(&ender->doing);
    pthread_cond_destroy(&ender->changed);
    pthread_mutex_destroy(&ender->lock);
    close(ender->fd);
    mem_free(ender);
}

/* ---- the thread ---- */

static enum status check_trees(const struct errand *errand, struct store *store,
                               struct buf *missing, struct err *err)
{
    AUTO(buf_fini) struct buf inside = buf_init(0);
    for (uint32_t i = 0; i < errand->artifact_count; i++) {
        const struct artifact *tree = &errand->artifacts[i];
        if (!tree->is_tree)
            continue;
        buf_clear(&inside);
        enum status status = tree_check(store, &tree->id, &inside, err);
        if (status != OK && status != E_NOTFOUND && status != E_CORRUPT)
            return status;
        if (status != OK || inside.count)
            buf_put(missing, &tree->id, sizeof tree->id);
    }
    return OK;
}

static enum status find_missing(const struct errand *errand, struct store *store,
                                struct buf *missing, struct err *err)
{
    AUTO(mem_free) struct id *ids = mem_alloc((errand->artifact_count + 1) * sizeof *ids);
    AUTO(mem_free) bool *has = mem_alloc((errand->artifact_count + 1) * sizeof *has);
    uint32_t count = 0;
    for (uint32_t i = 0; i < errand->artifact_count; i++)
        if (!errand->artifacts[i].is_tree)
            ids[count++] = errand->artifacts[i].id;
    TRY(store_has(store, ids, count, has, err));
    for (uint32_t i = 0; i < count; i++)
        if (!has[i])
            buf_put(missing, &ids[i], sizeof ids[i]);
    return check_trees(errand, store, missing, err);
}

static enum status check(struct errand *errand, struct store *store, struct err *err)
{
    AUTO(buf_fini) struct buf missing = buf_init(0);
    /* A store that does not answer is asked again soon: somebody may want to leave. */
    store_set_patience(store, LOOP_STORE_PATIENCE_MS);
    enum status status = find_missing(errand, store, &missing, err);
    store_set_patience(store, STORE_PATIENCE_MS);
    if (status != OK)
        return status;
    errand->end.missing_count = (uint32_t)(missing.count / sizeof(struct id));
    errand->end.missing = (struct id *)(void *)TAKE(missing.bytes);
    return OK;
}

static enum status flush(const struct errands *all, struct store *store, struct err *err)
{
    for (struct errand *errand = all->first; errand; errand = errand->next) {
        if (!errand->keep.count)
            continue;
        TRY(store_put(store, errand->keep.bytes, errand->keep.count, &errand->end.kept, err));
        errand->end.has_kept = true;
    }
    return store_flush(store, err);
}

static void wait_to_retry(struct loop_ender *ender, uint32_t ms)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_nsec += ms % 1000 * 1000000;
    at.tv_sec += ms / 1000 + at.tv_nsec / 1000000000;
    at.tv_nsec %= 1000000000;
    while (!ender->is_stopping && !ender->gives_up)
        if (pthread_cond_timedwait(&ender->changed, &ender->lock, &at) == ETIMEDOUT)
            return;
}

/* A store that worked until now and refuses us does so until somebody mends keys or rights. */
static bool may_wait(const struct loop_ender *ender, enum status status)
{
    return (loop_may_pass(status) || status == E_DENIED) && !ender->gives_up && !ender->is_stopping;
}

/* With the lock held, but for the work itself. */
static enum status do_it(struct loop_ender *ender, struct err *err)
{
    struct errand *errand = ender->doing.first;
    char quoted[2 * ERR_TEXT_BYTES];
    uint32_t pause_ms = RETRY_MS;
    for (bool is_told = false;; is_told = true) {
        pthread_mutex_unlock(&ender->lock);
        enum status status = errand->end.is_flush ? flush(&ender->doing, ender->store, err)
                                                  : check(errand, ender->store, err);
        pthread_mutex_lock(&ender->lock);
        if (!may_wait(ender, status)) {
            if (is_told)
                log_event(LOG_WARN, "store.back", "doing=%s",
                          errand->end.is_flush ? "flush" : "check");
            return status;
        }
        if (!is_told)
            log_event(LOG_WARN, "store.waiting", "doing=%s reason=%s",
                      errand->end.is_flush ? "flush" : "check",
                      log_quote(err->text, quoted, sizeof quoted));
        wait_to_retry(ender, pause_ms);
        pause_ms = pause_ms < RETRY_MS_MAX ? 2 * pause_ms : RETRY_MS_MAX;
    }
}

/* The next check, or all flushes that are asked for. */
static bool take_asked(struct loop_ender *ender)
{
    struct errands left = {.last = &left.first};
    while (!ender->asked.first && !ender->is_stopping)
        pthread_cond_wait(&ender->changed, &ender->lock);
    if (ender->is_stopping)
        return false;
    bool is_flush = ender->asked.first->end.is_flush;
    for (struct errand *errand; (errand = pop(&ender->asked));) {
        bool is_taken = is_flush ? errand->end.is_flush : !ender->doing.first;
        push(is_taken ? &ender->doing : &left, errand);
    }
    for (struct errand *errand; (errand = pop(&left));)
        push(&ender->asked, errand);
    return true;
}

static void *work(void *argument)
{
    struct loop_ender *ender = argument;
    uint64_t one = 1;
    pthread_mutex_lock(&ender->lock);
    while (take_asked(ender)) {
        struct err err = {0};
        ender->is_busy = true;
        enum status status = do_it(ender, &err);
        for (struct errand *errand; (errand = pop(&ender->doing));) {
            errand->end.status = status;
            errand->end.err = err;
            push(&ender->done, errand);
        }
        ender->is_busy = false;
        (void)!write(ender->fd, &one, sizeof one);
    }
    pthread_mutex_unlock(&ender->lock);
    return NULL;
}

/* ---- the loop ---- */

static void ask(struct loop_ender *ender, struct errand *errand)
{
    pthread_mutex_lock(&ender->lock);
    push(&ender->asked, errand);
    pthread_cond_signal(&ender->changed);
    pthread_mutex_unlock(&ender->lock);
    if (!ender->has_thread)
        ASSERT(pthread_create(&ender->thread, NULL, work, ender) == 0);
    ender->has_thread = true;
}

void loop_ender_check(struct loop_ender *ender, uint32_t run, const struct artifact *artifacts,
                      uint32_t count)
{
    struct errand *errand = mem_alloc(sizeof *errand);
    errand->end.run = run;
    errand->artifact_count = count;
    errand->artifacts = mem_alloc((count + 1) * sizeof *artifacts);
    memcpy(errand->artifacts, artifacts, count * sizeof *artifacts);
    ask(ender, errand);
}

void loop_ender_flush(struct loop_ender *ender, uint32_t run, struct buf *keep)
{
    struct errand *errand = mem_alloc(sizeof *errand);
    errand->end.run = run;
    errand->end.is_flush = true;
    errand->keep = *keep;
    *keep = buf_init(0);
    ask(ender, errand);
}

bool loop_ender_take(struct loop_ender *ender, struct loop_ended *out)
{
    uint64_t rung;
    if (!ender->has_thread)
        return false;
    pthread_mutex_lock(&ender->lock);
    struct errand *errand = pop(&ender->done);
    if (!ender->done.first)
        (void)!read(ender->fd, &rung, sizeof rung);
    pthread_mutex_unlock(&ender->lock);
    if (!errand)
        return false;
    *out = errand->end;
    free_errand(errand);
    return true;
}

int loop_ender_fd(const struct loop_ender *ender)
{
    return ender->fd;
}

bool loop_ender_is_idle(struct loop_ender *ender)
{
    if (!ender->has_thread)
        return true;
    pthread_mutex_lock(&ender->lock);
    bool is_idle = !ender->is_busy && !ender->asked.first && !ender->done.first;
    pthread_mutex_unlock(&ender->lock);
    return is_idle;
}

void loop_ender_give_up(struct loop_ender *ender)
{
    pthread_mutex_lock(&ender->lock);
    ender->gives_up = true;
    pthread_cond_broadcast(&ender->changed);
    pthread_mutex_unlock(&ender->lock);
}
