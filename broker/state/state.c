// SPDX-License-Identifier: Apache-2.0
#include "broker/state/state.h"

#include <poll.h>
#include <string.h>

#include "broker/state/backend.h"
#include "common/base/assert.h"
#include "common/clock.h"
#include "proto/limits.h"

enum { CANDIDATES_SHOWN = 5 };

static const struct {
    const char *scheme;
    const struct state_backend *backend;
} schemes[] = {{"lmdb", &state_lmdb},        {"mem", &state_mem},
               {"redis", &state_redis},      {"rediss", &state_redis},
               {"redis+unix", &state_redis}, {"redis+sentinel", &state_redis}};

enum status state_open(const struct state_options *options, struct state **out, struct err *err)
{
    *out = NULL;
    const char *url = options->url;
    size_t scheme_bytes = strcspn(url, ":/");
    if (url[scheme_bytes] != ':')
        return state_lmdb.open(url, options, out, err);
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++)
        if (strlen(schemes[i].scheme) == scheme_bytes &&
            memcmp(schemes[i].scheme, url, scheme_bytes) == 0)
            return schemes[i].backend->open(url + scheme_bytes + 1, options, out, err);
    return err_set(err, E_INVALID,
                   "state \"%s\": unknown scheme \"%.*s\"; use a folder, lmdb:FOLDER, mem: or "
                   "redis://HOST",
                   url, (int)scheme_bytes, url);
}

void state_close(struct state *state)
{
    state->backend->close(state);
}

static void check_batch(const struct state_batch *batch)
{
    for (uint32_t i = 0; i < batch->record_count; i++) {
        const struct state_record *record = &batch->records[i];
        ASSERT(record->frame < batch->frame_count);
        ASSERT((uint64_t)record->offset + record->bytes <= batch->frames[record->frame].count);
    }
    ASSERT(batch->ahead_count <= STATE_AHEAD_MAX);
    for (uint32_t i = 0; i < batch->run_count; i++)
        ASSERT(strlen(batch->runs[i].id) < STATE_RUN_ID_BYTES && batch->runs[i].id[0]);
}

enum status state_begin(struct state *state, const struct state_batch *batch, struct err *err)
{
    check_batch(batch);
    return state->backend->begin(state, batch, err);
}

enum status state_poll(struct state *state, bool *is_done, struct err *err)
{
    return state->backend->poll(state, is_done, err);
}

bool state_looks_ahead(const struct state *state)
{
    return state->backend->looks_ahead;
}

int state_fd(const struct state *state)
{
    return state->backend->fd(state);
}

void state_flush_begin(struct state *state)
{
    state->backend->flush_begin(state);
}

enum status state_flush_poll(struct state *state, bool *is_done, struct err *err)
{
    return state->backend->flush_poll(state, is_done, err);
}

enum status state_flush(struct state *state, struct err *err)
{
    enum { LOOK_MS = 20 };
    bool is_done = false;
    ms_t until = clock_ms() + STATE_FLUSH_MS;
    for (state_flush_begin(state); !is_done;) {
        struct pollfd fd = {.fd = state_fd(state), .events = POLLIN};
        TRY(state_flush_poll(state, &is_done, err));
        if (!is_done && clock_ms() > until)
            return err_set(err, E_UNREACHABLE, "the state is not flushed after %d ms",
                           STATE_FLUSH_MS);
        if (!is_done)
            poll(&fd, 1, LOOK_MS);
    }
    return OK;
}

enum status state_find_tasks(struct state *state, const struct id *tasks, uint32_t count,
                             state_found_fn *found, void *context, struct err *err)
{
    return state->backend->find(state, SPACE_TASK, tasks, count, found, context, err);
}

enum status state_find_actions(struct state *state, const struct id *actions, uint32_t count,
                               state_found_fn *found, void *context, struct err *err)
{
    return state->backend->find(state, SPACE_ACTION, actions, count, found, context, err);
}

bool state_may_forget(const struct state *state)
{
    return state->backend->has_all != NULL;
}

enum status state_has_all(struct state *state, const struct id *tasks, uint32_t count,
                          bool *has_all, struct err *err)
{
    *has_all = true;
    return state->backend->has_all ? state->backend->has_all(state, tasks, count, has_all, err)
                                   : OK;
}

struct strict_visit {
    state_visit_fn *visit;
    void *context;
};

static enum status visit_sound(void *context, const struct id *task, const uint8_t *record,
                               size_t bytes, struct err *err)
{
    const struct strict_visit *strict = context;
    return record ? strict->visit(strict->context, task, record, bytes, err) : E_CORRUPT;
}

enum status state_each_record(struct state *state, state_visit_fn *visit, void *context,
                              struct err *err)
{
    struct strict_visit strict = {visit, context};
    return state->backend->each_record(state, visit_sound, &strict, err);
}

enum status state_audit_records(struct state *state, state_visit_fn *visit, void *context,
                                struct err *err)
{
    return state->backend->each_record(state, visit, context, err);
}

enum status state_each_run(struct state *state, size_t limit, state_run_fn *visit, void *context,
                           struct err *err)
{
    return state->backend->each_run(state, "", limit, visit, context, err);
}

uint64_t state_epoch(const struct state *state)
{
    return state->backend->epoch(state);
}

enum status state_leader(struct state *state, struct state_lead *out, struct err *err)
{
    return state->backend->leader(state, out, err);
}

enum status state_renew(struct state *state, struct err *err)
{
    return state->backend->renew(state, err);
}

bool state_is_cut_off(const struct state *state)
{
    return state->backend->is_cut_off && state->backend->is_cut_off(state);
}

enum status state_raise_epoch(struct state *state, uint64_t seen, struct err *err)
{
    uint64_t epoch = state_epoch(state);
    if (seen < epoch)
        return OK;
    if (seen - epoch > EPOCH_AHEAD_MAX)
        return err_set(err, E_LIMIT,
                       "epoch %llu is more than %d ahead of ours, %llu: no broker was started so "
                       "often",
                       (unsigned long long)seen, EPOCH_AHEAD_MAX, (unsigned long long)epoch);
    return state->backend->raise_epoch(state, seen, err);
}

enum status state_find_proof(struct state *state, const struct id *task, struct state_proof *out,
                             struct err *err)
{
    return state->backend->find_proof(state, task, out, err);
}

enum status state_merge_journal(struct state *state, bool merges, struct state_merged *out,
                                struct err *err)
{
    *out = (struct state_merged){0};
    return state->backend->merge ? state->backend->merge(state, merges, out, err) : OK;
}

void state_recovered(struct state *state, struct state_recovered *out)
{
    *out = (struct state_recovered){0};
    if (state->backend->recovered)
        state->backend->recovered(state, out);
}

enum status state_examine(struct state *state, state_finding_fn *finding, void *context,
                          struct err *err)
{
    return state->backend->examine(state, finding, context, err);
}

/* ---- one run, by reference ---- */

struct search {
    const char *ref;
    uint32_t count;
    bool is_exact;
    char id[STATE_RUN_ID_BYTES];
    struct buf *document;
    struct buf candidates;
};

static enum status take_run(void *context, const char *id, const uint8_t *document, size_t bytes,
                            struct err *err)
{
    (void)err;
    struct search *search = context;
    if (search->is_exact)
        return OK;
    search->is_exact = strcmp(id, search->ref) == 0;
    if (search->count++ < CANDIDATES_SHOWN)
        buf_format(&search->candidates, "%s%s", search->count > 1 ? ", " : "", id);
    if (search->count > 1 && !search->is_exact)
        return OK;
    memcpy(search->id, id, strlen(id) + 1);
    buf_clear(search->document);
    buf_put(search->document, document, bytes);
    return OK;
}

enum status state_get_run(struct state *state, const char *ref, char *id_out, size_t id_bytes,
                          struct buf *out, struct err *err)
{
    bool is_latest = strcmp(ref, "latest") == 0;
    AUTO(buf_fini) struct buf document = buf_init(0);
    struct search search = {.ref = ref, .document = &document, .candidates = buf_init(0)};
    enum status status = state->backend->each_run(state, is_latest ? "" : ref, is_latest ? 1 : 0,
                                                  take_run, &search, err);
    if (status == OK && !search.count)
        status = is_latest ? err_set(err, E_NOTFOUND, "there is no run yet")
                           : err_set(err, E_NOTFOUND, "there is no run \"%s\"", ref);
    else if (status == OK && search.count > 1 && !search.is_exact)
        status =
            err_set(err, E_INVALID, "\"%s\" is the beginning of %u runs: %s%s", ref, search.count,
                    buf_text(&search.candidates), search.count > CANDIDATES_SHOWN ? ", …" : "");
    buf_fini(&search.candidates);
    TRY(status);
    if (strlen(search.id) >= id_bytes)
        return err_set(err, E_LIMIT, "run id \"%s\" is longer than %zu bytes", search.id,
                       id_bytes - 1);
    memcpy(id_out, search.id, strlen(search.id) + 1);
    buf_put(out, document.bytes, document.count);
    return buf_check(out, "the run's document", err);
}
