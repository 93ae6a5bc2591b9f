/* The state in Redis: opened and closed here; state_redis.h says where the rest is. */
// SPDX-License-Identifier: Apache-2.0
#include "broker/state/state_redis.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "broker/state/redis_journal.h"
#include "broker/state/segments.h"
#include "common/base/assert.h"
#include "common/base/mem.h"
#include "common/clock.h"
#include "common/crypto/sign.h"
#include "common/log.h"

enum { HOST_BYTES = 256, PUT_BACK_LOOK_MS = 5 };

static int redis_fd(const struct state *base)
{
    return ((const struct state_redis *)base)->epoll_fd;
}

static void redis_flush_begin(struct state *base)
{
    struct state_redis *state = state_redis_of(base);
    if (!state->journal || state->at.writer != state->writer)
        return;
    state->flush_wanted = state->at.number;
    redis_journal_hurry(state->journal);
}

static enum status redis_flush_poll(struct state *base, bool *is_done, struct err *err)
{
    (void)err;
    struct state_redis *state = state_redis_of(base);
    *is_done = !state->journal || redis_journal_stored(state->journal) >= state->flush_wanted;
    return OK;
}

static void redis_recovered(struct state *base, struct state_recovered *out)
{
    struct state_redis *state = state_redis_of(base);
    if (state->journal)
        redis_journal_recovered(state->journal, out);
}

static enum status redis_merge(struct state *base, bool merges, struct state_merged *out,
                               struct err *err)
{
    struct state_redis *state = state_redis_of(base);
    AUTO(store_close) struct store *store = NULL;
    if (!state->journal_store)
        return OK;
    TRY(store_open(state->journal_store, &store, err));
    const struct segments segments = {store, state->url.ns};
    int64_t before_s = clock_epoch_us() / 1000000 - SEGMENTS_SETTLE_S;
    return segments_merge(&segments, before_s, merges, out, err);
}

/* ---- closing ---- */

static void redis_close(struct state *base)
{
    struct state_redis *state = state_redis_of(base);
    if (state->journal)
        redis_journal_close(state->journal);
    redis_spots_free(state->spots);
    redis_lead_release(state);
    redis_session_drop(&state->work, NULL);
    redis_session_drop(&state->look, NULL);
    if (state->epoll_fd >= 0)
        close(state->epoll_fd);
    if (state->timer_fd >= 0)
        close(state->timer_fd);
    buf_fini(&state->owed);
    buf_fini(&state->entries);
    buf_fini(&state->ahead.answers);
    redis_url_fini(&state->url);
    mem_free(state->holder);
    mem_free(state->journal_store);
    mem_free(state);
}

/* ---- opening ---- */

static char *name_holder(const struct state_options *options)
{
    char host[HOST_BYTES] = "?", text[STATE_HOLDER_BYTES];
    if (options->holder)
        snprintf(text, sizeof text, "%s", options->holder);
    else if (gethostname(host, sizeof host - 1) == 0 || host[0])
        snprintf(text, sizeof text, "%.200s, pid %ld", host, (long)getpid());
    return mem_copy_text(text, strlen(text));
}

static enum status lacks(const char *what, struct err *err)
{
    return err_set(err, E_IO, "state: no %s: %s (ulimit -n, fs.epoll.max_user_watches)", what,
                   strerror(errno));
}

static enum status watch_fd(struct state_redis *state, int fd, struct err *err)
{
    struct epoll_event event = {.events = EPOLLIN};
    return epoll_ctl(state->epoll_fd, EPOLL_CTL_ADD, fd, &event) ? lacks("epoll watch", err) : OK;
}

/* The lease is due while everybody sleeps, too. */
static enum status watch_clock(struct state_redis *state, struct err *err)
{
    struct timespec beat = {LEAD_RENEW_MS / 1000, LEAD_RENEW_MS % 1000 * 1000000};
    state->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    state->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (state->epoll_fd < 0 || state->timer_fd < 0)
        return lacks(state->epoll_fd < 0 ? "epoll" : "timerfd", err);
    ASSERT(timerfd_settime(state->timer_fd, 0, &(struct itimerspec){beat, beat}, NULL) == 0);
    return watch_fd(state, state->timer_fd, err);
}

static void log_finding(void *context, const char *check, bool ok, const char *found,
                        const char *mend)
{
    char what[2 * ERR_TEXT_BYTES], how[2 * ERR_TEXT_BYTES];
    (void)context;
    log_event(ok ? LOG_INFO : LOG_WARN, "redis.examined", "check=\"%s\" found=%s%s%s", check,
              log_quote(found, what, sizeof what),
              ok ? "" : " mend=", ok ? "" : log_quote(mend, how, sizeof how));
}

/* What the store's journal has and the server has not is put back before anybody looks. */
static enum status put_back(struct state_redis *state, bool ignores_marks, struct err *err)
{
    struct redis_journal_options options = {&state->url, state->journal_store, state->epoch,
                                            state->writer, ignores_marks};
    if (!state->journal_store)
        return OK;
    TRY(redis_journal_open(&options, &state->journal, err));
    TRY(watch_fd(state, redis_journal_fd(state->journal), err));
    redis_journal_put_back(state->journal, state->epoch);
    state->is_putting = true;
    while (state->is_putting) {
        enum status status = redis_work_ready(state, err);
        if (status != OK && (status != E_UNREACHABLE || !state->work.link || !state->is_putting))
            return status;
        TRY(redis_renew(&state->base, err));
        if (state->is_putting)
            usleep(PUT_BACK_LOOK_MS * 1000);
    }
    return OK;
}

static enum status open_writer(struct state_redis *state, bool recovers, struct err *err)
{
    TRY(watch_clock(state, err));
    random_bytes(&state->writer, sizeof state->writer);
    TRY(redis_work_ready(state, err));
    if (redis_examine(&state->base, log_finding, NULL, NULL) != OK)
        log_event(LOG_INFO, "redis.unexamined", "redis=%s", state->url.shown);
    return put_back(state, recovers, err);
}

static enum status open_reader(struct state_redis *state, struct err *err)
{
    struct redis_reply *reply;
    TRY(redis_look_ask(state,
                       (const char *const[]){"HMGET", state->scripts.lead, "format", "epoch", NULL},
                       &reply, err));
    if (reply->type != REDIS_LIST || reply->count != 2)
        return err_set(err, E_PROTOCOL, "%s: HMGET had another answer", state->url.shown);
    if (reply->items[0]->type == REDIS_TEXT && atol(reply->items[0]->text) > REDIS_FORMAT)
        return err_set(err, E_VERSION,
                       "%s: the namespace \"%s\" was written by a newer version (format %s; this "
                       "program knows %d); use that version, or another namespace (?ns=NAME)",
                       state->url.shown, state->url.ns, reply->items[0]->text, REDIS_FORMAT);
    if (reply->items[1]->type == REDIS_TEXT)
        state->epoch = strtoull(reply->items[1]->text, NULL, 10);
    return OK;
}

static enum status redis_open(const char *place, const struct state_options *options,
                              struct state **out, struct err *err)
{
    (void)place; /* the scheme says how it is to be reached */
    *out = NULL;
    struct state_redis *state = mem_alloc(sizeof *state);
    state->base.backend = &state_redis;
    state->mode = options->mode;
    state->epoch = options->epoch_min;
    state->waits_not = options->waits_not;
    state->epoll_fd = state->timer_fd = -1;
    state->owed = buf_init(0);
    state->entries = buf_init(0);
    state->ahead.answers = buf_init(0);
    state->holder = name_holder(options);
    if (options->journal_store)
        state->journal_store =
            mem_copy_text(options->journal_store, strlen(options->journal_store));
    enum status status = redis_url_parse(options->url, &state->url, err);
    if (status == OK) {
        redis_scripts_init(&state->scripts, state->url.ns);
        status = state->mode == STATE_WRITE ? open_writer(state, options->recovers, err)
                                            : open_reader(state, err);
    }
    if (status == OK)
        *out = &state->base;
    else
        redis_close(&state->base);
    return status;
}

const struct state_backend state_redis = {.open = redis_open,
                                          .close = redis_close,
                                          .begin = redis_begin,
                                          .poll = redis_poll,
                                          .fd = redis_fd,
                                          .looks_ahead = true,
                                          .flush_begin = redis_flush_begin,
                                          .flush_poll = redis_flush_poll,
                                          .find = redis_find,
                                          .has_all = redis_has_all,
                                          .each_record = redis_each_record,
                                          .each_run = redis_each_run,
                                          .epoch = redis_epoch,
                                          .leader = redis_leader,
                                          .renew = redis_renew,
                                          .is_cut_off = redis_is_cut_off,
                                          .raise_epoch = redis_raise_epoch,
                                          .find_proof = redis_find_proof,
                                          .recovered = redis_recovered,
                                          .merge = redis_merge,
                                          .examine = redis_examine};
