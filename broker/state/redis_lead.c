/* Who writes in a namespace: the lease, and the epoch that goes up with each writer. The server's
 * clock tells when a lease is over; a lease that is over and that nobody took goes on. */
// SPDX-License-Identifier: Apache-2.0
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "broker/state/redis_journal.h"
#include "broker/state/state_redis.h"
#include "common/clock.h"
#include "common/log.h"

static void queue_verb(struct state_redis *state, struct redis_link *link, const char *verb,
                       uint64_t epoch, bool is_forced)
{
    redis_scripts_call(&state->scripts, SCRIPT_LEAD, link, epoch, state->writer, 5);
    redis_link_text(link, verb);
    redis_link_text(link, state->holder);
    redis_link_number(link, LEAD_MS);
    redis_link_number(link, REDIS_FORMAT);
    redis_link_number(link, is_forced);
}

static const char *item(const struct redis_reply *reply, size_t i)
{
    bool has_text =
        reply->type == REDIS_LIST && i < reply->count && reply->items[i]->type == REDIS_TEXT;
    return has_text ? reply->items[i]->text : "";
}

enum status redis_lead_lost(struct state_redis *state, const char *at, struct err *err)
{
    char ours[MARK_TEXT_BYTES];
    mark_write(state->at, ours);
    if (!state->is_lost)
        log_event(LOG_ERROR, "state.lost", "redis=%s at=%s committed=%s", state->url.shown,
                  *at ? at : "nothing", ours);
    state->is_lost = true;
    return err_set(err, E_UNREACHABLE,
                   "%s: it has lost what it had acknowledged (a failover to a replica that was "
                   "behind, or a restart without appendonly)",
                   state->url.shown);
}

enum status redis_lead_fenced(struct state_redis *state, const struct redis_reply *reply,
                              struct err *err)
{
    char ours[24];
    uint64_t epoch = strtoull(item(reply, 1), NULL, 10);
    snprintf(ours, sizeof ours, "%016" PRIx64, state->writer);
    if (strcmp(item(reply, 2), ours) == 0) /* an answer from before our epoch was raised */
        return err_set(err, E_UNREACHABLE, "%s: our epoch has changed meanwhile", state->url.shown);
    if (epoch < state->epoch)
        return redis_lead_lost(state, "", err);
    state->is_fenced = true;
    return err_set(err, E_FENCED,
                   "%s: another broker leads (%s, epoch %" PRIu64 "); this one, of epoch %" PRIu64
                   ", has lost its lease",
                   state->url.shown, item(reply, 3), epoch, state->epoch);
}

/* The lease is held: what to tell, and how long it would go on by itself. */
static enum status held(struct state_redis *state, const struct redis_reply *reply,
                        uint32_t *left_ms, struct err *err)
{
    *left_ms = (uint32_t)strtoul(item(reply, 2), NULL, 10);
    if (state->is_leader) {
        state->is_fenced = true;
        return err_set(err, E_FENCED, "%s: another broker leads (%s)", state->url.shown,
                       item(reply, 1));
    }
    return err_set(err, E_CONFLICT,
                   "%s: another broker (%s) is working with this state; wait until it has ended",
                   state->url.shown, item(reply, 1));
}

static enum status ask_verb(struct state_redis *state, struct redis_link *link, const char *verb,
                            uint64_t epoch, bool is_forced, struct redis_reply **reply,
                            struct err *err)
{
    queue_verb(state, link, verb, epoch, is_forced);
    TRY(redis_link_wait(link, reply, err));
    return (*reply)->type == REDIS_FAILURE ? redis_failure(&state->url, (*reply)->text, err) : OK;
}

static enum status took(struct state_redis *state, const struct redis_reply *reply, struct err *err)
{
    struct mark at;
    if (!redis_reply_is(reply->count ? reply->items[0] : NULL, "OK") ||
        !mark_read(item(reply, 2), &at))
        return err_set(err, E_PROTOCOL, "%s: the key %s is not ours (it says \"%s\")",
                       state->url.shown, state->scripts.lead, item(reply, 0));
    state->epoch = strtoull(item(reply, 1), NULL, 10);
    state->at = at;
    state->is_leader = true;
    return OK;
}

static enum status take_once(struct state_redis *state, bool is_forced, uint32_t *left_ms,
                             struct err *err)
{
    struct redis_reply *reply;
    ms_t asked_at = clock_ms();
    *left_ms = 0;
    TRY(ask_verb(state, state->work.link, "take", state->epoch, is_forced, &reply, err));
    if (strcmp(item(reply, 0), "HELD") == 0)
        return held(state, reply, left_ms, err);
    if (strcmp(item(reply, 0), "FENCED") == 0)
        return redis_lead_fenced(state, reply, err);
    if (strcmp(item(reply, 0), "FORMAT") == 0)
        return err_set(err, E_VERSION,
                       "%s: the namespace \"%s\" was written by a newer version (format %s; this "
                       "program knows %d); use that version, or another namespace (?ns=NAME)",
                       state->url.shown, state->url.ns, item(reply, 1), REDIS_FORMAT);
    TRY(took(state, reply, err));
    state->renewed_at = asked_at;
    return OK;
}

enum status redis_lead_take(struct state_redis *state, bool is_forced, struct err *err)
{
    uint32_t left_ms;
    enum status status = take_once(state, is_forced, &left_ms, err);
    if (status != E_CONFLICT || state->waits_not || left_ms > LEAD_MS)
        return status;
    /* Its holder may have died: then this is as long as its lease goes on. */
    usleep((left_ms + 10) * 1000);
    return take_once(state, is_forced, &left_ms, err);
}

enum status redis_lead_confirm(struct state_redis *state, struct err *err)
{
    struct redis_reply *reply;
    struct mark at;
    ms_t asked_at = clock_ms();
    TRY(ask_verb(state, state->work.link, "renew", state->epoch, false, &reply, err));
    if (strcmp(item(reply, 0), "FENCED") == 0)
        return redis_lead_fenced(state, reply, err);
    bool is_known = mark_read(item(reply, 2), &at);
    bool is_ours = is_known && at.writer == state->writer && at.number > state->at.number &&
                   at.number <= state->sent.number;
    if (!is_known || (!is_ours && !mark_equal(at, state->at)))
        return redis_lead_lost(state, item(reply, 2), err);
    state->at = at; /* what was under way when the connection broke may be there */
    state->renewed_at = asked_at;
    return OK;
}

void redis_lead_release(struct state_redis *state)
{
    struct redis_reply *reply;
    if (!state->work.link || !state->is_leader || state->is_fenced ||
        redis_link_owed(state->work.link))
        return;
    if (ask_verb(state, state->work.link, "release", state->epoch, false, &reply, NULL) != OK)
        log_event(LOG_INFO, "lease.kept", "redis=%s", state->url.shown);
}

bool redis_is_cut_off(const struct state *base)
{
    const struct state_redis *state = (const struct state_redis *)base;
    return state->mode == STATE_WRITE && clock_ms() >= state->renewed_at + LEAD_MS;
}

uint64_t redis_epoch(const struct state *base)
{
    return ((const struct state_redis *)base)->epoch;
}

/* ---- every turn ---- */

static enum status renew(struct state_redis *state, struct err *err)
{
    if (state->work.link)
        TRY(redis_work_pump(state, err));
    if (state->is_renewing || clock_ms() < state->renewed_at + LEAD_RENEW_MS)
        return OK;
    enum status status = redis_work_ready(state, err);
    /* What is being put back may take long. */
    if (status != OK && (status != E_UNREACHABLE || !state->is_putting || !state->work.link))
        return status;
    if (clock_ms() < state->renewed_at + LEAD_RENEW_MS) /* a new connection began with it */
        return OK;
    queue_verb(state, state->work.link, "renew", state->epoch, false);
    redis_work_owe(state, OWED_RENEWAL);
    state->is_renewing = true;
    state->renewal_sent_at = clock_ms();
    return redis_work_pump(state, err);
}

enum status redis_renew(struct state *base, struct err *err)
{
    struct state_redis *state = state_redis_of(base);
    struct err why = {0};
    uint64_t rings;
    if (state->mode == STATE_READ)
        return OK;
    (void)!read(state->timer_fd, &rings, sizeof rings);
    if (state->journal)
        redis_journal_stored(state->journal); /* or it would go on ringing */
    enum status status = renew(state, &why);
    if (status == E_FENCED || status == E_DENIED)
        return err_set(err, status, "%s", why.text);
    return OK; /* whoever commits will hear of it */
}

enum status redis_raise_epoch(struct state *base, uint64_t seen, struct err *err)
{
    struct state_redis *state = state_redis_of(base);
    if (state->mode == STATE_READ)
        return err_set(err, E_DENIED, "%s: opened for reading alone", state->url.shown);
    TRY(redis_work_ready(state, err));
    /* One that is answered, but not polled, would tell the journal while it puts back. */
    if (state->parts_owed || state->entries.count)
        return err_set(err, E_UNREACHABLE, "%s: a commit is under way", state->url.shown);
    TRY(redis_lead_outrank(state, seen, err));
    if (state->journal) {
        redis_journal_put_back(state->journal, state->epoch);
        state->is_putting = true;
    }
    return OK;
}

enum status redis_lead_outrank(struct state_redis *state, uint64_t seen, struct err *err)
{
    struct redis_reply *reply;
    bool is_new;
    ms_t asked_at = clock_ms();
    TRY(redis_session_ready(&state->look, &state->url, &is_new, err));
    enum status status = ask_verb(state, state->look.link, "take", seen, false, &reply, err);
    if (status != OK) {
        redis_session_drop(&state->look, err);
        return status;
    }
    if (strcmp(item(reply, 0), "HELD") == 0 || strcmp(item(reply, 0), "FENCED") == 0) {
        state->is_fenced = true;
        return err_set(err, E_FENCED, "%s: another broker leads", state->url.shown);
    }
    TRY(took(state, reply, err));
    state->renewed_at = asked_at;
    return OK;
}

enum status redis_leader(struct state *base, struct state_lead *out, struct err *err)
{
    struct state_redis *state = state_redis_of(base);
    struct redis_reply *lead, *now;
    *out = (struct state_lead){0};
    TRY(redis_look_ask(state, (const char *const[]){"TIME", NULL}, &now, err));
    int64_t now_ms =
        strtoll(item(now, 0), NULL, 10) * 1000 + strtoll(item(now, 1), NULL, 10) / 1000;
    TRY(redis_look_ask(
        state,
        (const char *const[]){"HMGET", state->scripts.lead, "epoch", "holder", "until", NULL},
        &lead, err));
    out->epoch = strtoull(item(lead, 0), NULL, 10);
    snprintf(out->holder, sizeof out->holder, "%s", item(lead, 1));
    int64_t left_ms = strtoll(item(lead, 2), NULL, 10) - now_ms;
    out->is_held = left_ms > 0;
    out->left_ms = left_ms > 0 ? (uint32_t)left_ms : 0;
    return OK;
}
