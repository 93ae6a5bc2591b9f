/* Look-ups and walks, on a connection of their own. */
// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <string.h>

#include "broker/state/redis_value.h"
#include "broker/state/state_redis.h"
#include "common/base/id_map.h"

enum {
    MGET_KEYS = 500, /* of one command: the server does nothing else meanwhile */
    MGET_AHEAD = 8,  /* commands sent before the first is answered */
    RUNS_AHEAD = 100
};

/* A connection that is broken, or where other answers may be on their way, is of no more use; one
 * that has refused a command is. */
static enum status failed(struct state_redis *state, enum status status, struct err *err)
{
    struct err why = {.code = status};
    if (status == OK)
        return OK;
    if (err)
        why = *err;
    if (status == E_UNREACHABLE || redis_link_owed(state->look.link))
        redis_session_drop(&state->look, &why);
    return status;
}

static enum status look_ready(struct state_redis *state, bool *is_new, struct err *err)
{
    TRY(redis_session_ready(&state->look, &state->url, is_new, err));
    state->look.backoff_ms = 0;
    return OK;
}

/* A connection that was made long ago may have ended since; that is seen when it is used. */
static bool may_be_stale(struct state_redis *state, bool is_new, enum status status)
{
    if (is_new || status != E_UNREACHABLE)
        return false;
    redis_session_drop(&state->look, NULL);
    return true;
}

enum status redis_look_ask(struct state_redis *state, const char *const *words,
                           struct redis_reply **out, struct err *err)
{
    bool is_new;
    TRY(look_ready(state, &is_new, err));
    enum status status = redis_link_ask(state->look.link, words, out, err);
    if (may_be_stale(state, is_new, status)) {
        TRY(look_ready(state, &is_new, err));
        status = redis_link_ask(state->look.link, words, out, err);
    }
    return failed(state, status, err);
}

/* ---- by key ---- */

static enum status not_ours(const struct state_redis *state, struct err *err)
{
    return err_set(err, E_CORRUPT,
                   "%s: a key of the namespace \"%s\" holds what is no record of ours; use another "
                   "namespace (?ns=NAME)",
                   state->url.shown, state->url.ns);
}

static enum status take_values(struct state_redis *state, uint32_t first, uint32_t count,
                               state_found_fn *found, void *context, struct err *err)
{
    struct redis_reply *reply;
    TRY(redis_link_wait(state->look.link, &reply, err));
    if (reply->type == REDIS_FAILURE)
        return redis_failure(&state->url, reply->text, err);
    if (reply->type != REDIS_LIST || reply->count != count)
        return err_set(err, E_PROTOCOL, "%s: MGET of %u keys had another answer", state->url.shown,
                       count);
    for (uint32_t i = 0; i < count; i++) {
        struct redis_value value;
        if (reply->items[i]->type != REDIS_TEXT)
            continue;
        if (!redis_value_read(reply->items[i]->text, reply->items[i]->bytes, &value))
            return not_ours(state, err);
        found(context, first + i, value.record, value.record_bytes);
    }
    return OK;
}

static enum status find(struct state_redis *state, char space, const struct id *keys,
                        uint32_t count, state_found_fn *found, void *context, bool *has_answered,
                        struct err *err)
{
    uint32_t asked = 0, ahead = 0;
    *has_answered = false;
    for (uint32_t answered = 0; answered < count; *has_answered = true) {
        for (; asked < count && ahead < MGET_AHEAD; ahead++) {
            uint32_t n = count - asked < MGET_KEYS ? count - asked : MGET_KEYS;
            redis_keys_queue(&state->scripts, state->look.link, "MGET", space, keys + asked, n);
            asked += n;
        }
        uint32_t n = count - answered < MGET_KEYS ? count - answered : MGET_KEYS;
        TRY(take_values(state, answered, n, found, context, err));
        answered += n;
        ahead--;
    }
    return OK;
}

/* Else what is put back would seem never to have been. */
static enum status all_is_back(const struct state_redis *state, struct err *err)
{
    return state->is_lost || state->is_putting
               ? err_set(err, E_UNREACHABLE, "%s: what it lost is being put back", state->url.shown)
               : OK;
}

enum status redis_find(struct state *base, enum space space, const struct id *keys, uint32_t count,
                       state_found_fn *found, void *context, struct err *err)
{
    struct state_redis *state = state_redis_of(base);
    struct err why = {0};
    char mark = space == SPACE_TASK ? 't' : 'a';
    bool is_new, has_answered;
    TRY(all_is_back(state, err));
    if (space == SPACE_ACTION && redis_ahead_answer(state, keys, count, found, context))
        return OK;
    TRY(look_ready(state, &is_new, err));
    enum status status = find(state, mark, keys, count, found, context, &has_answered, &why);
    if (may_be_stale(state, is_new || has_answered, status)) {
        TRY(look_ready(state, &is_new, err));
        status = find(state, mark, keys, count, found, context, &has_answered, &why);
    }
    failed(state, status, &why);
    return status == OK ? OK : err_set(err, status, "%s", why.text);
}

static enum status count_there(struct state_redis *state, const struct id *tasks, uint32_t count,
                               bool *has_all, struct err *err)
{
    struct redis_reply *reply;
    redis_keys_queue(&state->scripts, state->look.link, "EXISTS", 't', tasks, count);
    TRY(redis_link_wait(state->look.link, &reply, err));
    if (reply->type == REDIS_FAILURE)
        return redis_failure(&state->url, reply->text, err);
    *has_all = reply->type == REDIS_NUMBER && reply->number == count;
    return OK;
}

enum status redis_has_all(struct state *base, const struct id *tasks, uint32_t count, bool *has_all,
                          struct err *err)
{
    struct state_redis *state = state_redis_of(base);
    struct err why = {0};
    bool is_new;
    *has_all = true;
    TRY(all_is_back(state, err));
    if (!count)
        return OK;
    TRY(look_ready(state, &is_new, err));
    enum status status = count_there(state, tasks, count, has_all, &why);
    if (may_be_stale(state, is_new, status)) {
        TRY(look_ready(state, &is_new, err));
        status = count_there(state, tasks, count, has_all, &why);
    }
    failed(state, status, &why);
    return status == OK ? OK : err_set(err, status, "%s", why.text);
}

/* ---- all records ---- */

/* SCAN may name a key twice. */
struct seen {
    struct buf ids; /* struct id each */
    struct id_map map;
    uint32_t done; /* of them: visited */
};

static const struct id *seen_at(const void *context, uint32_t index)
{
    const struct seen *seen = context;
    return (const struct id *)(const void *)seen->ids.bytes + index;
}

static void see(struct seen *seen, const char *key, size_t prefix_bytes)
{
    struct id id;
    memcpy(id.bytes, key + prefix_bytes, ID_BYTES);
    if (id_map_get(&seen->map, &id) != ID_MAP_NONE)
        return;
    buf_put(&seen->ids, &id, sizeof id);
    id_map_put(&seen->map, &id, seen->map.count);
}

static enum status scan_once(struct state_redis *state, char cursor[32], struct seen *seen,
                             struct err *err)
{
    char pattern[REDIS_KEY_BYTES + 4];
    struct redis_reply *reply;
    size_t prefix_bytes = strlen(state->scripts.prefix) + 2;
    snprintf(pattern, sizeof pattern, "%st:*", state->scripts.prefix);
    TRY(redis_look_ask(
        state, (const char *const[]){"SCAN", cursor, "MATCH", pattern, "COUNT", "1000", NULL},
        &reply, err));
    if (reply->type != REDIS_LIST || reply->count != 2 || reply->items[1]->type != REDIS_LIST)
        return err_set(err, E_PROTOCOL, "%s: SCAN had another answer", state->url.shown);
    snprintf(cursor, 32, "%s", reply->items[0]->text);
    const struct redis_reply *keys = reply->items[1];
    for (size_t i = 0; i < keys->count; i++)
        if (keys->items[i]->type == REDIS_TEXT && keys->items[i]->bytes == prefix_bytes + ID_BYTES)
            see(seen, keys->items[i]->text, prefix_bytes);
    return OK;
}

struct visiting {
    const struct id *ids;
    state_visit_fn *visit;
    void *context;
    enum status status;
    struct err *err;
};

static void visit_one(void *context, uint32_t index, const uint8_t *record, size_t bytes)
{
    struct visiting *v = context;
    if (v->status == OK)
        v->status = v->visit(v->context, &v->ids[index], record, bytes, v->err);
}

enum status redis_each_record(struct state *base, state_visit_fn *visit, void *context,
                              struct err *err)
{
    struct state_redis *state = state_redis_of(base);
    struct seen seen = {.ids = buf_init(0)};
    char cursor[32] = "0";
    enum status status = OK;
    seen.map = id_map_init(seen_at, &seen);
    do {
        status = scan_once(state, cursor, &seen, err);
        if (status != OK || seen.map.count == seen.done)
            continue;
        struct visiting visiting = {.ids =
                                        (const struct id *)(const void *)seen.ids.bytes + seen.done,
                                    .visit = visit,
                                    .context = context,
                                    .err = err};
        status = redis_find(base, SPACE_TASK, visiting.ids, seen.map.count - seen.done, visit_one,
                            &visiting, err);
        if (status == OK)
            status = visiting.status;
        seen.done = seen.map.count;
    } while (status == OK && strcmp(cursor, "0") != 0);
    id_map_fini(&seen.map);
    buf_fini(&seen.ids);
    return status;
}

/* ---- runs ---- */

/* Their ids, newest first, NUL-terminated one after the other. */
static enum status list_ids(struct state_redis *state, const char *prefix, size_t limit,
                            struct buf *ids, struct err *err)
{
    char high[STATE_RUN_ID_BYTES + 4], low[STATE_RUN_ID_BYTES + 4], count[24];
    struct redis_reply *reply;
    if (strlen(prefix) >= STATE_RUN_ID_BYTES)
        return OK;
    snprintf(high, sizeof high, "[%s\xff", prefix);
    snprintf(low, sizeof low, "[%s", prefix);
    snprintf(count, sizeof count, "%lld", limit ? (long long)limit : -1);
    TRY(redis_look_ask(state,
                       (const char *const[]){"ZREVRANGEBYLEX", state->scripts.runs, high, low,
                                             "LIMIT", "0", count, NULL},
                       &reply, err));
    for (size_t i = 0; reply->type == REDIS_LIST && i < reply->count; i++)
        if (reply->items[i]->type == REDIS_TEXT && reply->items[i]->bytes < STATE_RUN_ID_BYTES)
            buf_put(ids, reply->items[i]->text, reply->items[i]->bytes + 1);
    return OK;
}

static enum status take_run(struct state_redis *state, const char *id, state_run_fn *visit,
                            void *context, struct err *err)
{
    struct redis_reply *reply;
    TRY(failed(state, redis_link_wait(state->look.link, &reply, err), err));
    if (reply->type != REDIS_TEXT) /* it was removed meanwhile */
        return OK;
    return visit(context, id, (const uint8_t *)reply->text, reply->bytes, err);
}

enum status redis_each_run(struct state *base, const char *prefix, size_t limit,
                           state_run_fn *visit, void *context, struct err *err)
{
    struct state_redis *state = state_redis_of(base);
    AUTO(buf_fini) struct buf ids = buf_init(0);
    TRY(list_ids(state, prefix, limit, &ids, err));
    if (!ids.count)
        return OK;
    const char *asked = (const char *)ids.bytes, *end = asked + ids.count;
    size_t ahead = 0;
    enum status status = OK;
    for (const char *id = asked; id < end; id += strlen(id) + 1, ahead--) {
        for (; asked < end && ahead < RUNS_AHEAD; asked += strlen(asked) + 1, ahead++) {
            char key[REDIS_KEY_BYTES + STATE_RUN_ID_BYTES];
            snprintf(key, sizeof key, "%srun:%s", state->scripts.prefix, asked);
            redis_link_command(state->look.link, 2);
            redis_link_text(state->look.link, "GET");
            redis_link_text(state->look.link, key);
        }
        status = take_run(state, id, visit, context, err);
        if (status != OK)
            break;
    }
    if (status != OK && state->look.link) /* answers are still on their way */
        redis_session_drop(&state->look, NULL);
    return status;
}
