/* The signed frame of a record: from the outbox, or from the journal's store. */
// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <string.h>

#include "broker/state/redis_value.h"
#include "broker/state/segments.h"
#include "broker/state/state_redis.h"

enum { RANGE_ENTRIES = 16 };

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

static enum status look_into_segment(void *context, const char *name, struct mark mark,
                                     struct mp_view bytes, bool *is_enough, struct err *err)
{
    (void)name, (void)mark, (void)err;
    struct search *search = context;
    look_into(search, bytes.bytes, bytes.count);
    *is_enough = search->is_found;
    return OK;
}

/* An entry is in a segment of its epoch or of a later one. */
static enum status look_into_store(struct state_redis *state, struct search *search,
                                   struct err *err)
{
    AUTO(store_close) struct store *store = NULL;
    if (!state->journal_store || search->is_found)
        return OK;
    TRY(store_open(state->journal_store, &store, err));
    const struct segments segments = {store, state->url.ns};
    return segments_each(&segments, (struct mark){.epoch = search->value.epoch}, look_into_segment,
                         search, err);
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
