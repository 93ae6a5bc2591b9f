// SPDX-License-Identifier: Apache-2.0
#include "broker/state/behind.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "common/base/assert.h"
#include "common/base/mem.h"
#include "common/clock.h"
#include "common/log.h"

enum {
    FLUSH_MS = 100,
    /* A little waits for more before it is indexed, the longer the dearer the last transaction was:
     * that one copies most pages of the tree, whether few keys are new or many. So indexing takes a
     * fifth of a core at most, until the queue is long. */
    GATHER_MS = 10,
    GATHER_MS_MAX = 1000,
    GATHER_SHARE = 4,
    GATHER_KEYS_MAX = 1 << 17,
    FRONT_KEYS_MAX = 1 << 17, /* then commits last until the index has taken them */
    RETRY_MS = 1000
};

struct behind {
    struct journal *journal;
    struct lmdb_index *index;
    struct layer *front, *back;
    pthread_mutex_t lock;
    pthread_cond_t added, moved, flush_due;
    bool has_index, has_flush, is_stopping, is_urgent; /* the first two: threads */
    bool is_idle;     /* the index's thread waits for anything at all */
    int64_t apply_us; /* what the last transaction took */
    int room_fd;      /* an eventfd: readable when there is room for whom there was none */
    bool wants_room;
    bool is_dirty;                    /* the journal has what fdatasync has not seen */
    uint64_t flush_asked, flush_done; /* how often it was asked for; what was asked for is done */
    enum status flush_status;
    struct err flush_err;
    enum status index_status;
    struct err index_err;
    pthread_t index_thread, flush_thread;
};

static struct timespec after_ms(long ms)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_nsec += ms * 1000000;
    at.tv_sec += at.tv_nsec / 1000000000;
    at.tv_nsec %= 1000000000;
    return at;
}

static void cond_init(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &attributes);
    pthread_condattr_destroy(&attributes);
}

enum status behind_open(struct journal *journal, struct lmdb_index *index, struct behind **out,
                        struct err *err)
{
    *out = NULL;
    int room_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (room_fd < 0)
        return err_set(err, E_IO, "state: no eventfd: %s (ulimit -n)", strerror(errno));
    struct behind *behind = *out = mem_alloc(sizeof *behind);
    behind->journal = journal;
    behind->index = index;
    behind->front = layer_new();
    behind->back = layer_new();
    behind->room_fd = room_fd;
    pthread_mutex_init(&behind->lock, NULL);
    cond_init(&behind->added);
    cond_init(&behind->moved);
    cond_init(&behind->flush_due);
    return OK;
}

/* ---- the index's thread; all with the lock held ---- */

static void ring(const struct behind *behind)
{
    uint64_t one = 1;
    (void)!write(behind->room_fd, &one, sizeof one);
}

static void tell_room(struct behind *behind)
{
    if (behind->wants_room)
        ring(behind);
    behind->wants_room = false;
}

static void swap(struct behind *behind)
{
    struct layer *front = behind->front;
    behind->front = behind->back;
    behind->back = front;
    behind->front->journal_end = front->journal_end;
    pthread_cond_broadcast(&behind->moved);
    tell_room(behind);
}

/* Waits for something to do; false: stop. */
static bool gather(struct behind *behind)
{
    behind->is_idle = true;
    while (layer_is_empty(behind->front) && !behind->is_stopping)
        pthread_cond_wait(&behind->added, &behind->lock);
    behind->is_idle = false;
    if (layer_is_empty(behind->front))
        return false;
    int64_t wait_ms = GATHER_SHARE * behind->apply_us / 1000;
    wait_ms = wait_ms < GATHER_MS ? GATHER_MS : wait_ms;
    struct timespec at = after_ms(wait_ms < GATHER_MS_MAX ? wait_ms : GATHER_MS_MAX);
    while (!behind->is_stopping && !behind->is_urgent &&
           behind->front->keys[SPACE_TASK].count < GATHER_KEYS_MAX)
        if (pthread_cond_timedwait(&behind->added, &behind->lock, &at) == ETIMEDOUT)
            break;
    return true;
}

static void wait_to_retry(struct behind *behind)
{
    log_event(LOG_WARN, "state.index_waiting", "reason=\"%s\"", behind->index_err.text);
    struct timespec at = after_ms(RETRY_MS);
    while (!behind->is_stopping)
        if (pthread_cond_timedwait(&behind->added, &behind->lock, &at) == ETIMEDOUT)
            return;
}

static void index_back(struct behind *behind)
{
    while (!layer_is_empty(behind->back)) {
        struct err err = {0};
        pthread_mutex_unlock(&behind->lock);
        int64_t begun = clock_us();
        enum status status =
            lmdb_index_apply(behind->index, behind->back, journal_id(behind->journal), &err);
        int64_t took = clock_us() - begun;
        pthread_mutex_lock(&behind->lock);
        behind->apply_us = took;
        behind->index_status = status;
        behind->index_err = err;
        if (status != OK)
            tell_room(behind);
        if (status == OK)
            layer_clear(behind->back);
        pthread_cond_broadcast(&behind->moved);
        if (status == OK)
            return;
        if (behind->is_stopping)
            return; /* the journal has it */
        wait_to_retry(behind);
    }
}

static void *index_loop(void *argument)
{
    struct behind *behind = argument;
    pthread_mutex_lock(&behind->lock);
    while (gather(behind)) {
        behind->is_urgent = false;
        swap(behind);
        index_back(behind);
        if (behind->is_stopping && behind->index_status != OK)
            break;
    }
    pthread_mutex_unlock(&behind->lock);
    return NULL;
}

/* ---- the disk's thread ---- */

/* Waits until it is due: at once if somebody asks, else what was written gathers for a while. */
static void wait_for_flush(struct behind *behind)
{
    while (!behind->is_dirty && behind->flush_asked == behind->flush_done && !behind->is_stopping)
        pthread_cond_wait(&behind->flush_due, &behind->lock);
    struct timespec at = after_ms(FLUSH_MS);
    while (behind->flush_asked == behind->flush_done && !behind->is_stopping)
        if (pthread_cond_timedwait(&behind->flush_due, &behind->lock, &at) == ETIMEDOUT)
            return;
}

/* Called locked; unlocks while the disk works. */
static void flush(struct behind *behind)
{
    uint64_t asked = behind->flush_asked;
    struct err err = {0};
    behind->is_dirty = false;
    pthread_mutex_unlock(&behind->lock);
    enum status status =
        journal_is_flushed(behind->journal) ? OK : journal_flush(behind->journal, &err);
    pthread_mutex_lock(&behind->lock);
    behind->flush_status = status;
    behind->flush_err = err;
    if (asked != behind->flush_done)
        ring(behind);
    behind->flush_done = asked;
}

static void *flush_loop(void *argument)
{
    struct behind *behind = argument;
    pthread_mutex_lock(&behind->lock);
    for (wait_for_flush(behind); !behind->is_stopping; wait_for_flush(behind))
        flush(behind);
    pthread_mutex_unlock(&behind->lock);
    return NULL;
}

/* ---- the committing thread ---- */

void behind_lock(struct behind *behind, struct layer *layers[BEHIND_LAYERS])
{
    pthread_mutex_lock(&behind->lock);
    layers[0] = behind->front;
    layers[1] = behind->back;
}

void behind_unlock(struct behind *behind)
{
    pthread_mutex_unlock(&behind->lock);
}

static enum status start(struct behind *behind, bool *has, pthread_t *thread,
                         void *(*run)(void *argument), struct err *err)
{
    int error = *has ? 0 : pthread_create(thread, NULL, run, behind);
    *has = error == 0;
    return error ? err_set(err, E_IO, "state: no thread to be had: %s (ulimit -u, or memory)",
                           strerror(error))
                 : OK;
}

enum status behind_start(struct behind *behind, struct err *err)
{
    TRY(start(behind, &behind->has_index, &behind->index_thread, index_loop, err));
    return start(behind, &behind->has_flush, &behind->flush_thread, flush_loop, err);
}

void behind_added(struct behind *behind)
{
    ASSERT(behind->has_index && behind->has_flush);
    behind->front->journal_end = journal_end(behind->journal);
    if (!behind->is_dirty)
        pthread_cond_signal(&behind->flush_due);
    behind->is_dirty = true;
    /* A thread that gathers looks at the clock itself; waking it at each commit costs a switch. */
    if (behind->is_idle || behind->front->keys[SPACE_TASK].count >= GATHER_KEYS_MAX)
        pthread_cond_signal(&behind->added);
}

/* What is committed faster than it can be indexed must not fill the memory. An index that can't be
 * written at all holds nothing up. */
bool behind_has_room(struct behind *behind)
{
    uint64_t rung;
    pthread_mutex_lock(&behind->lock);
    /* It is looked at now; with the lock, so that it can't ring for what is found below. */
    (void)!read(behind->room_fd, &rung, sizeof rung);
    bool has_room =
        behind->front->keys[SPACE_TASK].count < FRONT_KEYS_MAX || behind->index_status != OK;
    behind->wants_room = !has_room;
    pthread_mutex_unlock(&behind->lock);
    return has_room;
}

int behind_fd(const struct behind *behind)
{
    return behind->room_fd;
}

void behind_flush_begin(struct behind *behind)
{
    pthread_mutex_lock(&behind->lock);
    behind->flush_asked++;
    if (start(behind, &behind->has_flush, &behind->flush_thread, flush_loop, NULL) == OK)
        pthread_cond_signal(&behind->flush_due);
    else
        flush(behind); /* nothing was committed, so there is little to do */
    pthread_mutex_unlock(&behind->lock);
}

enum status behind_flush_poll(struct behind *behind, bool *is_done, struct err *err)
{
    uint64_t rung;
    pthread_mutex_lock(&behind->lock);
    bool wants_room = behind->wants_room; /* then the bell may be for that: behind_has_room looks */
    if (!wants_room)
        (void)!read(behind->room_fd, &rung, sizeof rung);
    *is_done = behind->flush_asked == behind->flush_done;
    enum status status = behind->flush_status;
    if (status != OK)
        err_set(err, status, "%s", behind->flush_err.text);
    pthread_mutex_unlock(&behind->lock);
    return status;
}

enum status behind_drain(struct behind *behind, struct err *err)
{
    pthread_mutex_lock(&behind->lock);
    behind->index_status = OK;
    while (behind->index_status == OK &&
           !(layer_is_empty(behind->front) && layer_is_empty(behind->back))) {
        behind->is_urgent = true;
        pthread_cond_signal(&behind->added);
        pthread_cond_wait(&behind->moved, &behind->lock);
    }
    enum status status = behind->index_status;
    if (status != OK)
        err_set(err, status, "%s", behind->index_err.text);
    pthread_mutex_unlock(&behind->lock);
    return status;
}

void behind_free(struct behind *behind)
{
    pthread_mutex_lock(&behind->lock);
    behind->is_stopping = true;
    pthread_cond_broadcast(&behind->added);
    pthread_cond_broadcast(&behind->flush_due);
    pthread_mutex_unlock(&behind->lock);
    if (behind->has_index)
        pthread_join(behind->index_thread, NULL);
    if (behind->has_flush)
        pthread_join(behind->flush_thread, NULL);
    pthread_cond_destroy(&behind->added);
    pthread_cond_destroy(&behind->moved);
    pthread_cond_destroy(&behind->flush_due);
    pthread_mutex_destroy(&behind->lock);
    close(behind->room_fd);
    layer_free(behind->front);
    layer_free(behind->back);
    mem_free(behind);
}
