// SPDX-License-Identifier: Apache-2.0
#include "broker/state/redis_journal.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "broker/state/redis_keeper.h"
#include "common/base/assert.h"
#include "common/base/mem.h"
#include "common/clock.h"
#include "common/log.h"
#include "proto/limits.h"

enum { RETRY_MS = 500, CLOSE_TRIES = 2 };

struct redis_journal {
    pthread_t thread;
    char *store_url;
    struct keeper keeper; /* the thread's */
    /* Below: with the lock. */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    int told_fd; /* an eventfd: something has come of it */
    bool has_thread;
    bool is_stopping, is_urgent, wants_put_back, is_back;
    bool is_opening; /* what can't be put back the first time is told at once */
    uint64_t epoch;
    enum status back_status;
    struct err back_err;
    struct mark back_at;
    uint64_t epoch_seen;
    struct state_recovered recovered;
    struct mark added, stored; /* ours: the last committed, the last that the store has */
    size_t added_bytes;        /* that are in the outbox, as far as we know */
    bool may_have_more;        /* the outbox may hold what nobody told us of */
    struct recent *recent_first, **recent_end;
    size_t recent_bytes;
    bool is_in_trouble; /* told once */
    struct err trouble;
};

static struct timespec after_ms(uint32_t ms)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_nsec += (long)(ms % 1000) * 1000000;
    at.tv_sec += ms / 1000 + at.tv_nsec / 1000000000;
    at.tv_nsec %= 1000000000;
    return at;
}

/* ---- what was committed lately ---- */

static void drop_first_recent(struct redis_journal *journal)
{
    struct recent *first = journal->recent_first;
    journal->recent_first = first->next;
    journal->recent_bytes -= first->bytes;
    if (!journal->recent_first)
        journal->recent_end = &journal->recent_first;
    mem_free(first);
}

static void forget_stored(struct redis_journal *journal)
{
    while (journal->recent_first && journal->recent_first->last.number <= journal->stored.number)
        drop_first_recent(journal);
}

/* ---- the thread; with the lock, but while it works ---- */

static void note_trouble(struct redis_journal *journal, enum status status, const struct err *why)
{
    char quoted[2 * ERR_TEXT_BYTES];
    if (status == OK && journal->is_in_trouble)
        log_event(LOG_WARN, "journal.back", "store=%s", journal->store_url);
    if (status != OK && (!journal->is_in_trouble || strcmp(why->text, journal->trouble.text) != 0))
        log_event(LOG_WARN, "journal.waiting", "reason=%s",
                  log_quote(why->text, quoted, sizeof quoted));
    journal->is_in_trouble = status != OK;
    journal->trouble = *why;
}

static void tell(struct redis_journal *journal)
{
    uint64_t one = 1;
    (void)!write(journal->told_fd, &one, sizeof one);
}

/* A store that refuses us may have its keys mended. */
static bool is_lasting(enum status status)
{
    return status == E_FENCED || status == E_VERSION || status == E_UNSUPPORTED ||
           status == E_INVALID || status == E_PROTOCOL;
}

static void put_back(struct redis_journal *journal)
{
    struct err why = {0};
    struct mark at;
    journal->keeper.epoch = journal->epoch;
    const struct recent *recent = journal->recent_first;
    pthread_mutex_unlock(&journal->lock);
    enum status status = keeper_put_back(&journal->keeper, recent, &at, &why);
    if (status != OK)
        redis_session_drop(&journal->keeper.session, &why);
    pthread_mutex_lock(&journal->lock);
    note_trouble(journal, status, &why);
    journal->recovered = journal->keeper.recovered;
    if (status != OK && !is_lasting(status) && !journal->is_opening)
        return; /* again, later */
    journal->is_opening = false;
    journal->keeper.ignores_marks = false;
    journal->wants_put_back = false;
    journal->is_back = true;
    journal->back_status = status;
    journal->back_err = why;
    journal->back_at = at;
    journal->epoch_seen = journal->keeper.epoch_seen;
    journal->may_have_more = true;
    tell(journal);
}

static enum status drain(struct redis_journal *journal)
{
    struct err why = {0};
    struct mark last, added = journal->added;
    size_t count = 0;
    journal->keeper.epoch = journal->epoch;
    pthread_mutex_unlock(&journal->lock);
    enum status status = keeper_drain(&journal->keeper, &count, &last, &why);
    if (status != OK)
        redis_session_drop(&journal->keeper.session, &why);
    pthread_mutex_lock(&journal->lock);
    note_trouble(journal, status, &why);
    if (status != OK)
        return status;
    size_t drained = journal->keeper.segment.count;
    journal->added_bytes -= drained < journal->added_bytes ? drained : journal->added_bytes;
    if (!count) { /* all that the server has committed is in the store */
        if (last.number > added.number)
            last = added;
        journal->may_have_more = false;
        if (journal->added.number == last.number)
            journal->added_bytes = 0;
    }
    if (last.number > journal->stored.number)
        journal->stored = last;
    forget_stored(journal);
    tell(journal);
    return OK;
}

/* Under an epoch that is not above the journal's it would be read before what it follows. */
static bool has_to_drain(const struct redis_journal *journal)
{
    return !journal->wants_put_back && journal->epoch > journal->epoch_seen &&
           (journal->may_have_more || journal->stored.number < journal->added.number);
}

static bool has_work(const struct redis_journal *journal)
{
    return journal->wants_put_back || has_to_drain(journal);
}

/* Waits for something to do, and then for more of it. */
static void gather(struct redis_journal *journal)
{
    while (!has_work(journal) && !journal->is_stopping)
        pthread_cond_wait(&journal->wake, &journal->lock);
    struct timespec until = after_ms(journal->is_in_trouble ? RETRY_MS : GATHER_MS);
    while (!journal->is_stopping && (journal->is_in_trouble || !journal->is_urgent) &&
           (journal->is_in_trouble || !journal->wants_put_back) &&
           (journal->is_in_trouble || journal->added_bytes < SEGMENT_BYTES))
        if (pthread_cond_timedwait(&journal->wake, &journal->lock, &until) == ETIMEDOUT)
            break;
}

static void *work(void *argument)
{
    struct redis_journal *journal = argument;
    int tries_left = CLOSE_TRIES;
    pthread_mutex_lock(&journal->lock);
    while (!journal->is_stopping || (has_work(journal) && tries_left > 0)) {
        gather(journal);
        if (journal->wants_put_back && !journal->is_stopping)
            put_back(journal);
        else if (has_to_drain(journal) && drain(journal) != OK && journal->is_stopping)
            tries_left--;
        if (journal->stored.number >= journal->added.number)
            journal->is_urgent = false;
        if (journal->wants_put_back && journal->is_stopping)
            break;
    }
    pthread_mutex_unlock(&journal->lock);
    return NULL;
}

/* ---- the committing thread ---- */

/* The thread, and what it tells by. */
static enum status begin(struct redis_journal *journal, struct err *err)
{
    journal->told_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (journal->told_fd < 0)
        return err_set(err, E_IO, "state: no eventfd: %s (ulimit -n)", strerror(errno));
    int error = pthread_create(&journal->thread, NULL, work, journal);
    journal->has_thread = error == 0;
    return error ? err_set(err, E_IO, "state: no thread: %s (ulimit -u, memory)", strerror(error))
                 : OK;
}

enum status redis_journal_open(const struct redis_journal_options *options,
                               struct redis_journal **out, struct err *err)
{
    struct store *store;
    pthread_condattr_t monotonic;
    *out = NULL;
    TRY(store_open(options->store, &store, err));
    /* What it can't do is tried again here: whoever wants to end waits for no server. */
    store_set_patience(store, LOOP_STORE_PATIENCE_MS);
    struct redis_journal *journal = mem_alloc(sizeof *journal);
    journal->store_url = mem_copy_text(options->store, strlen(options->store));
    keeper_init(&journal->keeper, options->url, store);
    journal->keeper.writer = options->writer;
    journal->keeper.ignores_marks = options->ignores_marks;
    journal->epoch = options->epoch;
    journal->recent_end = &journal->recent_first;
    journal->may_have_more = journal->is_opening = true;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&journal->lock, NULL);
    pthread_cond_init(&journal->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    enum status status = begin(journal, err);
    if (status == OK)
        *out = journal;
    else
        redis_journal_close(journal);
    return status;
}

void redis_journal_close(struct redis_journal *journal)
{
    pthread_mutex_lock(&journal->lock);
    journal->is_stopping = true;
    pthread_cond_signal(&journal->wake);
    pthread_mutex_unlock(&journal->lock);
    if (journal->has_thread)
        pthread_join(journal->thread, NULL);
    while (journal->recent_first)
        drop_first_recent(journal);
    keeper_fini(&journal->keeper);
    pthread_cond_destroy(&journal->wake);
    if (journal->told_fd >= 0)
        close(journal->told_fd);
    pthread_mutex_destroy(&journal->lock);
    mem_free(journal->store_url);
    mem_free(journal);
}

void redis_journal_added(struct redis_journal *journal, struct mark mark, struct mp_view entries)
{
    struct recent *recent = mem_alloc(sizeof *recent + entries.count);
    recent->last = mark;
    recent->bytes = entries.count;
    memcpy(recent->data, entries.bytes, entries.count);
    pthread_mutex_lock(&journal->lock);
    bool is_idle = !has_work(journal);
    *journal->recent_end = recent;
    journal->recent_end = &recent->next;
    journal->recent_bytes += recent->bytes;
    while (journal->recent_bytes > RECENT_BYTES_MAX)
        drop_first_recent(journal);
    journal->added = mark;
    journal->added_bytes += entries.count;
    if (is_idle || journal->added_bytes >= SEGMENT_BYTES)
        pthread_cond_signal(&journal->wake);
    pthread_mutex_unlock(&journal->lock);
}

void redis_journal_put_back(struct redis_journal *journal, uint64_t epoch)
{
    pthread_mutex_lock(&journal->lock);
    journal->epoch = epoch;
    journal->wants_put_back = true;
    journal->is_back = false;
    pthread_cond_signal(&journal->wake);
    pthread_mutex_unlock(&journal->lock);
}

void redis_journal_lead(struct redis_journal *journal, uint64_t epoch)
{
    pthread_mutex_lock(&journal->lock);
    journal->epoch = epoch;
    pthread_cond_signal(&journal->wake);
    pthread_mutex_unlock(&journal->lock);
}

bool redis_journal_is_back(struct redis_journal *journal, struct redis_back *out,
                           enum status *status, struct err *err)
{
    uint64_t rung;
    pthread_mutex_lock(&journal->lock);
    (void)!read(journal->told_fd, &rung, sizeof rung);
    bool is_back = journal->is_back;
    *out = (struct redis_back){journal->back_at, journal->epoch_seen};
    *status = journal->back_status;
    if (is_back && *status != OK)
        err_set(err, *status, "%s", journal->back_err.text);
    pthread_mutex_unlock(&journal->lock);
    return is_back;
}

void redis_journal_recovered(struct redis_journal *journal, struct state_recovered *out)
{
    pthread_mutex_lock(&journal->lock);
    *out = journal->recovered;
    pthread_mutex_unlock(&journal->lock);
}

void redis_journal_hurry(struct redis_journal *journal)
{
    pthread_mutex_lock(&journal->lock);
    journal->is_urgent = has_work(journal);
    pthread_cond_signal(&journal->wake);
    pthread_mutex_unlock(&journal->lock);
}

uint64_t redis_journal_stored(struct redis_journal *journal)
{
    uint64_t rung;
    pthread_mutex_lock(&journal->lock);
    (void)!read(journal->told_fd, &rung, sizeof rung);
    uint64_t number = journal->stored.number;
    pthread_mutex_unlock(&journal->lock);
    return number;
}

int redis_journal_fd(const struct redis_journal *journal)
{
    return journal->told_fd;
}

const char *redis_journal_store(const struct redis_journal *journal)
{
    return journal->store_url;
}
