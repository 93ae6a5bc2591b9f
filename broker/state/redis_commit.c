// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "broker/state/redis_journal.h"
#include "broker/state/redis_part.h"
#include "broker/state/state_redis.h"
#include "common/base/assert.h"
#include "common/log.h"

/* ---- the connection ---- */

/* Whoever sleeps on the state's descriptor hears of answers, and of room for what is not sent. */
static enum status watch(struct state_redis *state, int operation, struct err *err)
{
    bool wants_room = redis_link_wants_room(state->work.link);
    struct epoll_event event = {.events = EPOLLIN | (wants_room ? (uint32_t)EPOLLOUT : 0)};
    if (operation == EPOLL_CTL_MOD && wants_room == state->wants_room)
        return OK;
    state->wants_room = wants_room;
    if (epoll_ctl(state->epoll_fd, operation, redis_link_fd(state->work.link), &event) == 0)
        return OK;
    return err_set(err, E_IO, "state: epoll: %s (fs.epoll.max_user_watches)", strerror(errno));
}

void redis_work_owe(struct state_redis *state, enum redis_owed what)
{
    buf_put_char(&state->owed, (char)what);
}

static void remember_failure(struct state_redis *state, enum status status, const char *why)
{
    if (state->failed != OK)
        return;
    state->failed = status;
    err_set(&state->failure, status, "%s", why);
}

void redis_work_drop(struct state_redis *state, const struct err *why)
{
    if (state->parts_owed) /* whether they are there will be seen when we are connected again */
        remember_failure(state, E_UNREACHABLE, why ? why->text : state->url.shown);
    redis_session_drop(&state->work, why);
    buf_clear(&state->owed);
    state->owed_first = 0;
    state->parts_owed = 0;
    state->ahead.is_owed = false;
    state->is_renewing = false;
}

/* As who leads, and with the scripts known. */
static enum status introduce(struct state_redis *state, struct err *err)
{
    TRY(redis_scripts_load(&state->scripts, state->work.link, err));
    if (!state->is_leader)
        return redis_lead_take(state, false, err);
    return state->is_lost ? OK : redis_lead_confirm(state, err);
}

static enum status lead_again(struct state_redis *state, struct err *err)
{
    TRY(redis_lead_take(state, true, err));
    state->is_lost = false;
    if (!state->journal) {
        log_event(LOG_ERROR, "state.not_restored",
                  "redis=%s reason=\"no journal is kept in a store\"", state->url.shown);
        return OK;
    }
    redis_journal_put_back(state->journal, state->epoch);
    state->is_putting = true;
    return OK;
}

static enum status wait_for_put_back(struct state_redis *state, struct err *err)
{
    enum status status = OK;
    struct redis_back back;
    if (!redis_journal_is_back(state->journal, &back, &status, err))
        return err_set(err, E_UNREACHABLE,
                       "%s: what it lost is being put back from the journal in %s",
                       state->url.shown, redis_journal_store(state->journal));
    /* A server that was emptied counts from 1 again; the journal is read in the order of epochs. */
    if (status == OK && back.epoch_seen >= state->epoch) {
        TRY(redis_lead_outrank(state, back.epoch_seen, err));
        redis_journal_lead(state->journal, state->epoch);
    }
    state->is_putting = false;
    state->is_lost = status != OK;
    if (status == OK)
        state->at = back.at;
    return status;
}

static enum status make_ready(struct state_redis *state, struct err *err)
{
    bool is_new;
    TRY(redis_session_ready(&state->work, &state->url, &is_new, err));
    if (is_new) {
        enum status status = watch(state, EPOLL_CTL_ADD, err);
        if (status == OK)
            status = introduce(state, err);
        if (status != OK && !state->is_lost)
            return status;
    }
    return state->is_lost ? lead_again(state, err) : OK;
}

enum status redis_work_ready(struct state_redis *state, struct err *err)
{
    struct err why = {0};
    if (state->is_fenced)
        return err_set(err, E_FENCED, "%s: another broker leads", state->url.shown);
    enum status status = make_ready(state, &why);
    if (status != OK) {
        /* A pause that runs already goes on. */
        if (state->work.link)
            redis_work_drop(state, &why);
        return err_set(err, status, "%s", why.text);
    }
    state->work.backoff_ms = 0;
    return state->is_putting ? wait_for_put_back(state, err) : OK;
}

/* ---- answers ---- */

static const char *word_of(const struct redis_reply *reply, size_t i)
{
    return reply->type == REDIS_LIST && i < reply->count && reply->items[i]->type == REDIS_TEXT
               ? reply->items[i]->text
               : "";
}

/* OK or what went wrong. After a part that failed the next ones find that it is not there. */
static enum status judge(struct state_redis *state, const struct redis_reply *reply,
                         struct err *err)
{
    const char *word = word_of(reply, 0);
    if (reply->type == REDIS_FAILURE)
        return redis_failure(&state->url, reply->text, err);
    if (strcmp(word, "OK") == 0)
        return OK;
    if (strcmp(word, "FENCED") == 0)
        return redis_lead_fenced(state, reply, err);
    if (strcmp(word, "LOST") == 0 && state->failed == OK)
        return redis_lead_lost(state, word_of(reply, 1), err);
    return err_set(err, E_PROTOCOL, "%s: it answered \"%s\" to a commit", state->url.shown, word);
}

static void take_part(struct state_redis *state, const struct redis_reply *reply)
{
    struct err why = {0};
    enum status status = judge(state, reply, &why);
    if (status == OK && state->failed == OK)
        state->at =
            (struct mark){state->epoch, state->writer, state->sent.number - state->parts_owed + 1};
    else if (status != OK)
        remember_failure(state, status, why.text);
    state->parts_owed--;
}

static enum status take_renewal(struct state_redis *state, const struct redis_reply *reply,
                                struct err *err)
{
    state->is_renewing = false;
    TRY(judge(state, reply, err));
    state->renewed_at = state->renewal_sent_at;
    return OK;
}

static enum status pump(struct state_redis *state, struct err *err)
{
    struct redis_reply *reply;
    TRY(redis_link_push(state->work.link, err));
    if (state->owed_first == state->owed.count) /* a connection that ended rings until it is read */
        TRY(redis_link_poll(state->work.link, &reply, err));
    while (state->owed_first < state->owed.count) {
        TRY(redis_link_poll(state->work.link, &reply, err));
        if (!reply)
            break;
        enum redis_owed what = (enum redis_owed)state->owed.bytes[state->owed_first++];
        if (what == OWED_PART)
            take_part(state, reply);
        else if (what == OWED_AHEAD)
            redis_ahead_take(state, reply);
        else
            TRY(take_renewal(state, reply, err));
    }
    if (state->owed_first == state->owed.count) {
        buf_clear(&state->owed);
        state->owed_first = 0;
    }
    return watch(state, EPOLL_CTL_MOD, err);
}

enum status redis_work_pump(struct state_redis *state, struct err *err)
{
    struct err why = {0};
    enum status status = pump(state, &why);
    if (status == OK)
        return OK;
    redis_work_drop(state, state->is_lost ? NULL : &why);
    return err_set(err, status, "%s", why.text);
}

/* ---- committing ---- */

/* Encodes each part and sends what the socket takes. */
static void queue_parts(struct state_redis *state, const struct state_batch *batch)
{
    AUTO(part_cutter_fini) struct part_cutter cutter = part_cutter(batch);
    struct state_batch part;
    struct mark before = state->at, mark = {state->epoch, state->writer, state->sent.number};
    while (part_cutter_next(&cutter, &part)) {
        size_t begin = state->entries.count;
        mark.number++;
        if (state->journal)
            entry_encode(mark, &part, &state->entries);
        struct mp_view entry = {state->entries.bytes + begin, state->entries.count - begin};
        redis_commit_queue(&state->scripts, state->work.link, state->epoch, state->writer, &before,
                           mark, &part, entry);
        redis_work_owe(state, OWED_PART);
        state->parts_owed++;
        before = mark;
    }
    state->sent = mark;
}

enum status redis_begin(struct state *base, const struct state_batch *batch, struct err *err)
{
    struct state_redis *state = state_redis_of(base);
    if (state->mode == STATE_READ)
        return err_set(err, E_DENIED, "%s: opened for reading alone", state->url.shown);
    TRY(redis_work_ready(state, err));
    ASSERT(!state->parts_owed && !state->ahead.is_owed);
    buf_clear(&state->entries);
    state->failed = OK;
    queue_parts(state, batch);
    redis_ahead_ask(state, batch);
    return redis_work_pump(state, err);
}

/* All parts are there: the journal's thread hears of their entries. */
static void tell_journal(struct state_redis *state)
{
    struct mp_view rest = {state->entries.bytes, state->entries.count};
    if (state->journal && rest.count)
        redis_journal_added(state->journal, state->sent, rest);
    buf_clear(&state->entries);
}

enum status redis_poll(struct state *base, bool *is_done, struct err *err)
{
    struct state_redis *state = state_redis_of(base);
    *is_done = false;
    if (state->work.link) /* else it broke while the lease was renewed */
        TRY(redis_work_pump(state, err));
    if (state->parts_owed || state->ahead.is_owed)
        return OK;
    if (state->failed == OK) {
        *is_done = true;
        tell_journal(state);
        return OK;
    }
    /* A server that was demoted, or has forgotten the scripts, is asked anew who it is. */
    if (state->failed == E_UNREACHABLE && state->work.link)
        redis_work_drop(state, state->is_lost ? NULL : &state->failure);
    return err_set(err, state->failed, "%s", state->failure.text);
}
