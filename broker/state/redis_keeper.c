// SPDX-License-Identifier: Apache-2.0
#include "broker/state/redis_keeper.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/state/segments.h"
#include "common/log.h"

enum {
    RANGE_ENTRIES = 16, /* of the outbox, in one command */
    AHEAD_MAX = 4       /* commits sent before the first is answered */
};

void keeper_init(struct keeper *keeper, const struct redis_url *url, struct store *store)
{
    *keeper = (struct keeper){.url = url, .store = store, .segment = buf_init(0)};
    redis_scripts_init(&keeper->scripts, url->ns);
}

void keeper_fini(struct keeper *keeper)
{
    redis_session_drop(&keeper->session, NULL);
    buf_fini(&keeper->segment);
    if (keeper->store)
        store_close(keeper->store);
}

enum status keeper_ready(struct keeper *keeper, struct err *err)
{
    bool is_new;
    TRY(redis_session_ready(&keeper->session, keeper->url, &is_new, err));
    if (is_new)
        TRY(redis_scripts_load(&keeper->scripts, keeper->session.link, err));
    keeper->session.backoff_ms = 0;
    return OK;
}

static const char *word_of(const struct redis_reply *reply, size_t i)
{
    return reply->type == REDIS_LIST && i < reply->count && reply->items[i]->type == REDIS_TEXT
               ? reply->items[i]->text
               : "";
}

enum status keeper_answer(struct keeper *keeper, struct err *err)
{
    struct redis_reply *reply;
    TRY(redis_link_wait(keeper->session.link, &reply, err));
    if (reply->type == REDIS_FAILURE)
        return redis_failure(keeper->url, reply->text, err);
    if (strcmp(word_of(reply, 0), "OK") == 0)
        return OK;
    if (strcmp(word_of(reply, 0), "FENCED") == 0 &&
        strtoull(word_of(reply, 1), NULL, 10) >= keeper->epoch)
        return err_set(err, E_FENCED, "%s: another broker leads (%s)", keeper->url->shown,
                       word_of(reply, 3));
    return err_set(err, E_UNREACHABLE, "%s: it has forgotten that this broker leads",
                   keeper->url->shown);
}

/* ---- outbox → store ---- */

/* Appends entries from `first` on; *count of them. */
static enum status read_range(struct keeper *keeper, size_t first, size_t *count, struct mark *last,
                              struct err *err)
{
    char from[24], to[24];
    struct redis_reply *reply;
    struct mark mark;
    snprintf(from, sizeof from, "%zu", first);
    snprintf(to, sizeof to, "%zu", first + RANGE_ENTRIES - 1);
    *count = 0;
    TRY(redis_link_ask(keeper->session.link,
                       (const char *const[]){"LRANGE", keeper->scripts.outbox, from, to, NULL},
                       &reply, err));
    for (; reply->type == REDIS_LIST && *count < reply->count; ++*count) {
        const struct redis_reply *entry = reply->items[*count];
        if (entry->type != REDIS_TEXT || !entry_mark(entry->text, entry->bytes, &mark)) {
            log_event(LOG_ERROR, "outbox.entry_unknown", "redis=%s bytes=%zu", keeper->url->shown,
                      entry->bytes);
            continue;
        }
        if (mark.writer == keeper->writer)
            *last = mark;
        buf_put(&keeper->segment, entry->text, entry->bytes);
    }
    return OK;
}

static enum status trim(struct keeper *keeper, size_t count, struct mark segment, struct err *err)
{
    char text[MARK_TEXT_BYTES];
    redis_scripts_call(&keeper->scripts, SCRIPT_TRIM, keeper->session.link, keeper->epoch,
                       keeper->writer, 2);
    redis_link_number(keeper->session.link, count);
    mark_write(segment, text);
    redis_link_text(keeper->session.link, text);
    return keeper_answer(keeper, err);
}

/* The marks of the last commit, and of the last segment, as the server knows them. */
static enum status ask_marks(struct keeper *keeper, struct mark *at, struct mark *stored,
                             struct err *err)
{
    struct redis_reply *reply;
    TRY(redis_link_ask(keeper->session.link,
                       (const char *const[]){"HMGET", keeper->scripts.lead, "at", "stored", NULL},
                       &reply, err));
    if (mark_read(word_of(reply, 0), at) && mark_read(word_of(reply, 1), stored))
        return OK;
    return err_set(err, E_PROTOCOL, "%s: the key %s is not ours", keeper->url->shown,
                   keeper->scripts.lead);
}

/* One that took over may lack what is in the store already. Told of a later segment, it would seem
 * to know that: first it is put back. */
static enum status check_memory(struct keeper *keeper, struct mark *at, struct err *err)
{
    struct mark stored;
    TRY(ask_marks(keeper, at, &stored, err));
    if (at->epoch > keeper->epoch)
        return err_set(err, E_FENCED, "%s: another broker leads", keeper->url->shown);
    if (at->writer != keeper->writer)
        *at = (struct mark){0};
    return at->number >= keeper->put
               ? OK
               : err_set(err, E_UNREACHABLE, "%s: it has forgotten commits of this broker",
                         keeper->url->shown);
}

enum status keeper_drain(struct keeper *keeper, size_t *count, struct mark *last, struct err *err)
{
    char name[SEGMENT_NAME_BYTES];
    struct mark at;
    *count = 0;
    *last = (struct mark){0};
    buf_clear(&keeper->segment);
    TRY(keeper_ready(keeper, err));
    TRY(check_memory(keeper, &at, err));
    for (size_t got = RANGE_ENTRIES; got == RANGE_ENTRIES && keeper->segment.count < SEGMENT_BYTES;
         *count += got)
        TRY(read_range(keeper, *count, &got, last, err));
    if (!*count) { /* it is in the store; or the server has forgotten it, which its mark tells */
        *last = at;
        return OK;
    }
    struct mark segment = {keeper->epoch, keeper->writer, ++keeper->sequence};
    segment_name(keeper->url->ns, segment, name);
    keeper->put = last->number > keeper->put ? last->number : keeper->put;
    TRY(store_put_object(keeper->store, name, keeper->segment.bytes, keeper->segment.count, err));
    /* Only what survives a power loss may leave the server. */
    TRY(store_flush(keeper->store, err));
    return trim(keeper, *count, segment, err);
}

/* ---- store and memory → server ---- */

struct putting {
    struct keeper *keeper;
    struct mark at, stored; /* what the server says it has */
    struct marks_seen seen;
    struct arena arena;
    size_t owed;
    struct err *err;
};

static enum status settle(struct putting *putting, size_t most, struct err *err)
{
    for (; putting->owed > most; putting->owed--)
        TRY(keeper_answer(putting->keeper, err));
    return OK;
}

/* `to_outbox`: the store has it not. */
static enum status put_entry(struct putting *putting, const struct entry *entry, bool to_outbox,
                             struct err *err)
{
    struct keeper *keeper = putting->keeper;
    struct err why = {0};
    char quoted[2 * ERR_TEXT_BYTES];
    if (!marks_see(&putting->seen, entry->mark) || !mark_is_after(entry->mark, putting->at))
        return OK;
    if (!to_outbox && entry_verify(entry, &why) != OK) {
        log_event(LOG_ERROR, "journal.refused", "reason=%s",
                  log_quote(why.text, quoted, sizeof quoted));
        keeper->recovered.refused += entry->batch.record_count;
        return OK;
    }
    struct mp_view bytes = {entry->bytes, to_outbox ? entry->byte_count : 0};
    redis_commit_queue(&keeper->scripts, keeper->session.link, keeper->epoch, keeper->writer, NULL,
                       entry->mark, &entry->batch, bytes);
    TRY(redis_link_push(keeper->session.link, err));
    putting->owed++;
    keeper->recovered.records += entry->batch.record_count;
    return settle(putting, AHEAD_MAX, err);
}

/* Damage costs the entry that it is in: the next one has a head that is whole. */
static void skip_damage(struct putting *putting, struct mp_view *bytes, const char *what,
                        const struct err *why)
{
    char quoted[2 * ERR_TEXT_BYTES];
    struct mark mark;
    log_event(LOG_ERROR, "journal.damaged", "segment=%s reason=%s", what,
              log_quote(why->text, quoted, sizeof quoted));
    putting->keeper->recovered.damaged++;
    do {
        bytes->bytes++;
        bytes->count--;
    } while (bytes->count && !entry_mark(bytes->bytes, bytes->count, &mark));
}

static enum status put_entries(struct putting *putting, struct mp_view bytes, bool to_outbox,
                               const char *what, struct err *err)
{
    struct entry entry;
    struct err why = {0};
    while (bytes.count) {
        arena_clear(&putting->arena);
        if (entry_decode(bytes.bytes, bytes.count, &putting->arena, &entry, &why) != OK) {
            skip_damage(putting, &bytes, what, &why);
            continue;
        }
        TRY(put_entry(putting, &entry, to_outbox, err));
        bytes.bytes += entry.byte_count;
        bytes.count -= entry.byte_count;
    }
    return OK;
}

static enum status put_segment(void *context, const char *name, struct mark mark,
                               struct mp_view bytes, bool *is_enough, struct err *err)
{
    struct putting *putting = context;
    struct keeper *keeper = putting->keeper;
    (void)is_enough;
    keeper->recovered.segments++;
    keeper->epoch_seen = mark.epoch; /* they come in its order */
    return put_entries(putting, bytes, false, name, err);
}

static enum status put_all(struct putting *putting, const struct recent *recent, struct err *err)
{
    const struct segments segments = {putting->keeper->store, putting->keeper->url->ns};
    TRY(segments_each(&segments, putting->stored, put_segment, putting, err));
    for (; recent; recent = recent->next)
        TRY(put_entries(putting, (struct mp_view){recent->data, recent->bytes}, true,
                        "what was committed lately", err));
    return settle(putting, 0, err);
}

static enum status put_back(struct putting *putting, const struct recent *recent, struct mark *at,
                            struct err *err)
{
    struct keeper *keeper = putting->keeper;
    struct mark stored;
    keeper->epoch_seen = 0;
    TRY(keeper_ready(keeper, err));
    TRY(ask_marks(keeper, &putting->at, &putting->stored, err));
    if (keeper->ignores_marks)
        putting->at = putting->stored = (struct mark){0};
    TRY(put_all(putting, recent, err));
    TRY(ask_marks(keeper, at, &stored, err));
    if (at->epoch > keeper->epoch_seen)
        keeper->epoch_seen = at->epoch;
    return OK;
}

enum status keeper_put_back(struct keeper *keeper, const struct recent *recent, struct mark *at,
                            struct err *err)
{
    struct putting putting = {.keeper = keeper, .seen = {buf_init(0)}};
    uint64_t before = keeper->recovered.records;
    enum status status = put_back(&putting, recent, at, err);
    if (status == OK)
        keeper->put = 0; /* what of it could be put back is there */
    if (status == OK && keeper->recovered.records > before)
        log_event(LOG_WARN, "state.restored", "redis=%s segments=%llu records=%llu refused=%llu",
                  keeper->url->shown, (unsigned long long)keeper->recovered.segments,
                  (unsigned long long)(keeper->recovered.records - before),
                  (unsigned long long)keeper->recovered.refused);
    buf_fini(&putting.seen.runs);
    arena_fini(&putting.arena);
    return status;
}
