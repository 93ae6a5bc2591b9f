/* The signed frame of a record: from the outbox, or from the journal's store. */
// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <string.h>

#include "broker/state/redis_value.h"
#include "broker/state/segments.h"
#include "broker/state/state_redis.h"
#include "common/base/mem.h"
#include "common/clock.h"

enum {
    RANGE_ENTRIES = 16,
    PROOF_MS = 500 /* for one proof, where a lease has to be renewed meanwhile */
};

/* What is looked for, and where it may be. */
struct search {
    struct redis_value value;
    struct buf record; /* the record's bytes: two writers may have had one epoch */
    struct arena arena;
    struct state_proof *out;
    bool is_found;
};

/* Takes the frame that has the record, if the entry is the one. */
static bool take_frame(struct search *search, const struct entry *entry)
{
    uint64_t at = 0, offset = search->value.offset;
    for (uint32_t i = 0; i < entry->batch.frame_count; at += entry->batch.frames[i++].count) {
        struct mp_view frame = entry->batch.frames[i];
        static const uint8_t none[PUBLIC_KEY_BYTES];
        if (offset < at || offset + search->record.count > at + frame.count)
            continue;
        if (memcmp(frame.bytes + (offset - at), search->record.bytes, search->record.count) != 0)
            return false;
        struct state_proof *out = search->out;
        buf_put(&out->frame, frame.bytes, frame.count);
        memcpy(out->public_key, entry->batch.frame_keys + (size_t)i * PUBLIC_KEY_BYTES,
               PUBLIC_KEY_BYTES);
        out->is_signed = memcmp(out->public_key, none, sizeof none) != 0;
        out->offset = (uint32_t)(offset - at);
        out->bytes = (uint32_t)search->record.count;
        return true;
    }
    return false;
}

/* What can't be read is not it. */
static void look_into(struct search *search, const void *data, size_t count)
{
    const uint8_t *bytes = data;
    struct entry entry;
    while (count && !search->is_found) {
        arena_clear(&search->arena);
        if (entry_decode(bytes, count, &search->arena, &entry, NULL) != OK)
            return;
        search->is_found = entry.mark.epoch == search->value.epoch &&
                           entry.mark.number == search->value.number && take_frame(search, &entry);
        bytes += entry.byte_count;
        count -= entry.byte_count;
    }
}

static enum status look_into_outbox(struct state_redis *state, struct search *search,
                                    struct err *err)
{
    struct redis_reply *reply;
    size_t count = RANGE_ENTRIES;
    for (size_t first = 0; count == RANGE_ENTRIES && !search->is_found; first += count) {
        char from[24], to[24];
        snprintf(from, sizeof from, "%zu", first);
        snprintf(to, sizeof to, "%zu", first + RANGE_ENTRIES - 1);
        TRY(redis_look_ask(state,
                           (const char *const[]){"LRANGE", state->scripts.outbox, from, to, NULL},
                           &reply, err));
        count = reply->type == REDIS_LIST ? reply->count : 0;
        for (size_t i = 0; i < count; i++)
            look_into(search, reply->items[i]->text, reply->items[i]->bytes);
    }
    return OK;
}

/* ---- in the store ---- */

/* Where each entry was seen, as far as the journal has been gone through: so that many proofs take
 * one walk, not one each. */
struct spot {
    uint64_t epoch, number;
    struct mark segment;
};
struct redis_spots {
    bool is_begun;
    uint64_t first_epoch; /* from its first object … */
    struct mark last;     /* … up to this one all are known */
    struct buf spots;     /* struct spot */
    struct buf bytes;     /* of the object `read` */
    struct mark read;
};

void redis_spots_free(struct redis_spots *spots)
{
    if (!spots)
        return;
    buf_fini(&spots->spots);
    buf_fini(&spots->bytes);
    mem_free(spots);
}

static void forget(struct redis_spots *spots)
{
    spots->is_begun = false;
    spots->last = spots->read = (struct mark){0};
    buf_clear(&spots->spots);
    buf_clear(&spots->bytes);
}

/* Two writers may have had one epoch: then not all that are of it hold what is looked for. */
static bool is_of(const struct spot *spot, const struct search *search)
{
    return spot->epoch == search->value.epoch && spot->number == search->value.number;
}

struct walk {
    struct redis_spots *spots;
    struct search *search;
    ms_t until; /* 0: as long as it takes */
};

static enum status look_into_segment(void *context, const char *name, struct mark mark,
                                     struct mp_view bytes, bool *is_enough, struct err *err)
{
    struct walk *walk = context;
    struct redis_spots *spots = walk->spots;
    AUTO(arena_fini) struct arena arena = {0};
    struct entry entry;
    bool may_be_here = false;
    buf_clear(&spots->bytes);
    buf_put(&spots->bytes, bytes.bytes, bytes.count);
    for (size_t at = 0; at < bytes.count; at += entry.byte_count) {
        arena_clear(&arena);
        if (entry_decode(bytes.bytes + at, bytes.count - at, &arena, &entry, NULL) != OK)
            break;
        struct spot spot = {entry.mark.epoch, entry.mark.number, mark};
        buf_put(&spots->spots, &spot, sizeof spot);
        may_be_here |= is_of(&spot, walk->search);
    }
    spots->read = spots->last = mark;
    if (may_be_here)
        look_into(walk->search, bytes.bytes, bytes.count);
    *is_enough = walk->search->is_found;
    if (!*is_enough && walk->until && clock_ms() > walk->until)
        return err_set(err, E_LIMIT,
                       "the journal is long, and a broker that serves has others waiting; it was "
                       "looked through up to %s: ask again, and it goes on there",
                       name);
    return OK;
}

/* What was read last is kept: one object holds many proofs. Errors as look_at_spots. */
static enum status look_at_spot(struct redis_spots *spots, const struct segments *segments,
                                struct mark mark, struct search *search, struct err *err)
{
    if (!mark_equal(spots->read, mark)) {
        char name[SEGMENT_NAME_BYTES];
        segment_name(segments->ns, mark, name);
        buf_clear(&spots->bytes);
        spots->read = (struct mark){0};
        TRY(store_get_object(segments->store, name, &spots->bytes, err));
        spots->read = mark;
    }
    look_into(search, spots->bytes.bytes, spots->bytes.count);
    return OK;
}

/* Errors: E_NOTFOUND: an object is gone, since it was merged with its neighbours. */
static enum status look_at_spots(struct redis_spots *spots, const struct segments *segments,
                                 struct search *search, struct err *err)
{
    const struct spot *all = (const struct spot *)(const void *)spots->spots.bytes;
    for (size_t i = 0; i < spots->spots.count / sizeof *all && !search->is_found; i++)
        if (is_of(&all[i], search))
            TRY(look_at_spot(spots, segments, all[i].segment, search, err));
    return OK;
}

/* An entry is in a segment of its epoch or of a later one. */
static enum status look_into_store(struct state_redis *state, struct search *search,
                                   struct err *err)
{
    AUTO(store_close) struct store *store = NULL;
    if (!state->journal_store || search->is_found)
        return OK;
    if (!state->spots) {
        state->spots = mem_alloc(sizeof *state->spots);
        state->spots->spots = buf_init(0);
        state->spots->bytes = buf_init(0);
    }
    struct redis_spots *spots = state->spots;
    TRY(store_open(state->journal_store, &store, err));
    const struct segments segments = {store, state->url.ns};
    enum status status = look_at_spots(spots, &segments, search, err);
    if (status != OK && status != E_NOTFOUND)
        return status;
    if (status == E_NOTFOUND || !spots->is_begun || search->value.epoch < spots->first_epoch) {
        forget(spots);
        spots->is_begun = true;
        spots->first_epoch = search->value.epoch;
        spots->last.epoch = search->value.epoch;
    }
    if (search->is_found)
        return OK;
    struct walk walk = {spots, search, state->mode == STATE_WRITE ? clock_ms() + PROOF_MS : 0};
    return segments_each(&segments, spots->last, look_into_segment, &walk, err);
}

static enum status get_value(struct state_redis *state, const struct id *task,
                             struct search *search, struct err *err)
{
    struct redis_reply *reply = NULL;
    char hex[ID_HEX_BYTES];
    uint8_t key[REDIS_KEY_BYTES + 2 + ID_BYTES];
    size_t prefix = strlen(state->scripts.prefix);
    TRY(redis_look_ask(state, (const char *const[]){"PING", NULL}, &reply, err)); /* connects */
    memcpy(key, state->scripts.prefix, prefix);
    memcpy(key + prefix, "t:", 2);
    memcpy(key + prefix + 2, task->bytes, ID_BYTES);
    redis_link_command(state->look.link, 2);
    redis_link_text(state->look.link, "GET");
    redis_link_word(state->look.link, key, prefix + 2 + ID_BYTES);
    enum status status = redis_link_wait(state->look.link, &reply, err);
    if (status != OK) {
        redis_session_drop(&state->look, err);
        return status;
    }
    if (reply->type != REDIS_TEXT || !redis_value_read(reply->text, reply->bytes, &search->value))
        return err_set(err, E_NOTFOUND, "task %s has no record", id_hex(task, hex));
    buf_put(&search->record, search->value.record, search->value.record_bytes);
    return OK;
}

enum status redis_find_proof(struct state *base, const struct id *task, struct state_proof *out,
                             struct err *err)
{
    struct state_redis *state = state_redis_of(base);
    struct search search = {.record = buf_init(0), .out = out};
    char hex[ID_HEX_BYTES];
    enum status status = get_value(state, task, &search, err);
    if (status == OK)
        status = look_into_outbox(state, &search, err);
    if (status == OK)
        status = look_into_store(state, &search, err);
    buf_fini(&search.record);
    arena_fini(&search.arena);
    if (status == OK && !search.is_found)
        return err_set(err, E_NOTFOUND, "the frame of task %s is not in the journal (%s)",
                       id_hex(task, hex),
                       state->journal_store ? state->journal_store : "no store has one");
    return status == OK ? buf_check(&out->frame, "the record's frame", err) : status;
}
