/* Look-ups that go with a commit: one MGET right behind its last script, in the same write, on the
 * connection `work`. So whoever commits and then looks up waits for one round trip, not two. The
 * answers are of use only if the commit is there, and only to the look-up that comes next: what is
 * asked later may have another answer. */
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "broker/state/redis_value.h"
#include "broker/state/state_redis.h"

#define NO_RECORD UINT64_MAX

void redis_ahead_ask(struct state_redis *state, const struct state_batch *batch)
{
    struct redis_ahead *ahead = &state->ahead;
    ahead->count = batch->ahead_count;
    ahead->is_owed = ahead->count > 0;
    ahead->is_answered = false;
    if (!ahead->is_owed)
        return;
    memcpy(ahead->actions, batch->ahead, ahead->count * sizeof *ahead->actions);
    redis_keys_queue(&state->scripts, state->work.link, "MGET", 'a', ahead->actions, ahead->count);
    redis_work_owe(state, OWED_AHEAD);
}

/* What is not as it should be is left to the look-up itself, which says so. */
void redis_ahead_take(struct state_redis *state, const struct redis_reply *reply)
{
    struct redis_ahead *ahead = &state->ahead;
    ahead->is_owed = false;
    if (state->failed != OK || reply->type != REDIS_LIST || reply->count != ahead->count)
        return;
    buf_clear(&ahead->answers);
    for (uint32_t i = 0; i < ahead->count; i++) {
        const struct redis_reply *item = reply->items[i];
        struct redis_value value = {0};
        bool has_record = item->type == REDIS_TEXT;
        if (has_record && !redis_value_read(item->text, item->bytes, &value))
            return;
        uint64_t bytes = has_record ? value.record_bytes : NO_RECORD;
        buf_put(&ahead->answers, &bytes, sizeof bytes);
        buf_put(&ahead->answers, value.record, value.record_bytes);
    }
    ahead->is_answered = true;
}

/* The record that was found, NULL: none. False: it was not asked for. */
static bool find_answer(const struct redis_ahead *ahead, const struct id *action,
                        struct mp_view *record)
{
    const uint8_t *at = ahead->answers.bytes;
    for (uint32_t i = 0; i < ahead->count; i++) {
        uint64_t bytes;
        memcpy(&bytes, at, sizeof bytes);
        at += sizeof bytes;
        *record = (struct mp_view){0};
        if (bytes != NO_RECORD)
            *record = (struct mp_view){at, bytes};
        if (id_equal(&ahead->actions[i], action))
            return true;
        at += record->count;
    }
    return false;
}

bool redis_ahead_answer(struct state_redis *state, const struct id *actions, uint32_t count,
                        state_found_fn *found, void *context)
{
    struct redis_ahead *ahead = &state->ahead;
    struct mp_view records[STATE_AHEAD_MAX];
    bool is_answered = ahead->is_answered && count <= STATE_AHEAD_MAX;
    ahead->is_answered = false;
    for (uint32_t i = 0; is_answered && i < count; i++)
        is_answered = find_answer(ahead, &actions[i], &records[i]);
    for (uint32_t i = 0; is_answered && i < count; i++)
        if (records[i].bytes)
            found(context, i, records[i].bytes, records[i].count);
    return is_answered;
}
