/* What in the store nothing names. */
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "broker/care/collect.h"
#include "broker/care/reach.h"
#include "common/base/mem.h"
#include "proto/limits.h"

/* Named objects that nobody may come for any more. Records that run-task left name bytes. */
static const char records_prefix[] = "records/", checkpoints_prefix[] = "checkpoints/";

/* Not named so far; a tree may name it. */
struct candidate {
    struct id id;
    bool is_manifest, is_new;
    uint64_t bytes;
};

struct sweeping {
    struct state *state;
    struct store *store;
    const struct collect_sweep *options;
    struct collect_swept *out;
    struct reach reach;
    uint32_t next_run;     /* of those that are going */
    struct buf candidates; /* struct candidate each */
    struct buf manifests;  /* struct id each: named, or new */
    struct buf objects;    /* keys of those that go, each with its NUL */
};

static void count(struct collect_sum *sum, uint64_t bytes)
{
    sum->count++;
    sum->bytes += bytes;
}

/* Asked newest first, as the plan has them. */
static bool is_going(struct sweeping *s, const char *run)
{
    const struct collect_plan *plan = s->options->plan;
    while (plan && s->next_run < plan->run_count && strcmp(plan->runs[s->next_run], run) > 0)
        s->next_run++;
    return plan && s->next_run < plan->run_count && strcmp(plan->runs[s->next_run], run) == 0;
}

/* ---- what is named ---- */

static enum status look_at_run(void *context, const char *id, const uint8_t *bytes, size_t n,
                               struct err *err)
{
    struct sweeping *s = context;
    if (is_going(s, id))
        return OK;
    AUTO(arena_fini) struct arena arena = {0};
    struct value document;
    TRY(reach_decode(id, bytes, n, &arena, &document, err));
    return reach_run_bytes(&s->reach, &document, err);
}

static enum status look_at_record(void *context, const struct id *task, const uint8_t *bytes,
                                  size_t n, struct err *err)
{
    struct sweeping *s = context;
    if (s->options->plan && id_set_has(&s->options->plan->records, task))
        return OK;
    return reach_record(&s->reach, bytes, n, err);
}

static bool is_expired(const struct sweeping *s, int64_t modified_s)
{
    return modified_s < s->options->now_s - GC_ASIDE_SECONDS;
}

static enum status look_at_object(void *context, const struct store_object *object, struct err *err)
{
    struct sweeping *s = context;
    if (is_expired(s, object->modified_s)) {
        buf_put(&s->objects, object->key, strlen(object->key) + 1);
        count(&s->out->objects, object->bytes);
        return OK;
    }
    if (strncmp(object->key, records_prefix, sizeof records_prefix - 1) != 0)
        return OK;
    AUTO(buf_fini) struct buf record = buf_init(RECORD_BYTES_MAX);
    TRY(store_get_object(s->store, object->key, &record, err));
    enum status status = reach_record(&s->reach, record.bytes, record.count, err);
    return status == E_PROTOCOL ? OK : status; /* not a record: it names nothing */
}

/* ---- what is there ---- */

static enum status look_at_item(void *context, const struct store_item *item, struct err *err)
{
    struct sweeping *s = context;
    bool is_named = id_set_has(&s->reach.bytes, &item->id);
    bool is_new = item->modified_s >= s->options->now_s - GC_GRACE_SECONDS;
    const struct candidate candidate = {item->id, item->is_manifest, is_new, item->bytes};
    if (item->is_manifest && (is_named || is_new))
        buf_put(&s->manifests, &item->id, sizeof item->id);
    if (is_named)
        count(&s->out->kept, item->bytes);
    else
        buf_put(&s->candidates, &candidate, sizeof candidate);
    return buf_check(&s->candidates, "what may go", err);
}

static enum status add_files(struct sweeping *s, struct err *err)
{
    const struct id *trees = (const struct id *)(const void *)s->manifests.bytes;
    for (size_t i = 0; i < s->manifests.count / sizeof *trees; i++)
        TRY(reach_files(&s->reach, s->store, &trees[i], err));
    return OK;
}

/* ---- what goes ---- */

static enum status remove_one(struct sweeping *s, const struct candidate *candidate,
                              struct err *err)
{
    bool is_removed = true;
    bool is_named = id_set_has(&s->reach.bytes, &candidate->id);
    if (is_named || candidate->is_new) {
        count(is_named ? &s->out->kept : &s->out->young, candidate->bytes);
        return OK;
    }
    if (s->options->removes)
        TRY(store_remove_old(s->store, &candidate->id, candidate->is_manifest,
                             s->options->now_s - GC_GRACE_SECONDS, &is_removed, err));
    if (is_removed)
        count(&s->out->removed, candidate->bytes);
    return OK;
}

/* Manifests first: none is left whose files are gone. */
static enum status remove_candidates(struct sweeping *s, struct err *err)
{
    const struct candidate *all = (const struct candidate *)(const void *)s->candidates.bytes;
    size_t n = s->candidates.count / sizeof *all;
    for (int manifests = 1; manifests >= 0; manifests--)
        for (size_t i = 0; i < n; i++)
            if (all[i].is_manifest == (manifests == 1))
                TRY(remove_one(s, &all[i], err));
    return OK;
}

static enum status remove_objects(struct sweeping *s, struct err *err)
{
    const char *keys = (const char *)s->objects.bytes;
    for (size_t at = 0; s->options->removes && at < s->objects.count; at += strlen(keys + at) + 1)
        TRY(store_remove_object(s->store, keys + at, err));
    return OK;
}

/* A Redis that was emptied, and has not got back yet what it had, must not decide what goes. */
static enum status check_epoch(struct sweeping *s, struct err *err)
{
    struct state_lead lead;
    if (!s->options->epoch)
        return OK;
    TRY(state_leader(s->state, &lead, err));
    if (lead.epoch == s->options->epoch)
        return OK;
    return err_set(
        err, E_UNREACHABLE,
        "the state has another epoch (%llu) than the broker that collects (%llu): it may "
        "have lost what it had, so no bytes were removed; try again",
        (unsigned long long)lead.epoch, (unsigned long long)s->options->epoch);
}

static enum status sweep_all(struct sweeping *s, struct err *err)
{
    struct store_leavings aside;
    TRY(store_list_objects(s->store, records_prefix, look_at_object, s, err));
    TRY(store_list_objects(s->store, checkpoints_prefix, look_at_object, s, err));
    TRY(state_each_run(s->state, 0, look_at_run, s, err));
    TRY(state_each_record(s->state, look_at_record, s, err));
    TRY(check_epoch(s, err));
    TRY(store_list(s->store, look_at_item, s, err));
    TRY(add_files(s, err));
    TRY(remove_candidates(s, err));
    TRY(remove_objects(s, err));
    TRY(store_sweep(s->store, s->options->now_s - GC_ASIDE_SECONDS, s->options->removes, &aside,
                    err));
    s->out->aside = (struct collect_sum){aside.count, aside.bytes};
    return OK;
}

enum status collect_sweep(struct state *state, struct store *store,
                          const struct collect_sweep *options, struct collect_swept *out,
                          struct err *err)
{
    *out = (struct collect_swept){0};
    struct sweeping s = {.state = state,
                         .store = store,
                         .options = options,
                         .out = out,
                         .candidates = buf_init(0),
                         .manifests = buf_init(0),
                         .objects = buf_init(0)};
    reach_init(&s.reach);
    enum status status = sweep_all(&s, err);
    reach_fini(&s.reach);
    buf_fini(&s.candidates);
    buf_fini(&s.manifests);
    buf_fini(&s.objects);
    return status;
}
