/* workers: who is connected, with what it offers. */
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "broker/app/local.h"
#include "common/base/doc.h"

static const char *state_of(const struct sched_worker_info *info)
{
    return info->is_silent      ? "silent"
           : info->rest_left_ms ? "resting"
           : info->running      ? "busy"
                                : "idle";
}

/* Of one on trial after its rest, nothing is left. */
static void put_rest(struct arena *arena, struct value *rest, const struct sched_worker_info *info)
{
    doc_put(arena, rest, "code", value_string(status_name(info->rest_code)));
    doc_put(arena, rest, "left_ms", value_int(info->rest_left_ms));
}

static void put_worker(struct arena *arena, struct value *list,
                       const struct sched_worker_info *info)
{
    struct value *entry = doc_add(arena, list, doc_map());
    doc_put(arena, entry, "name", doc_text(arena, info->name, strlen(info->name)));
    doc_put(arena, entry, "state", value_string(state_of(info)));
    if (info->rest_code != OK)
        put_rest(arena, doc_put(arena, entry, "rest", doc_map()), info);
    doc_put(arena, entry, "slots", value_int(info->slots));
    doc_put(arena, entry, "running", value_int(info->running));
    doc_put(arena, entry, "cpu", value_real((double)info->cpu_hundredths / 100));
    doc_put(arena, entry, "memory", value_int((int64_t)info->memory_bytes));
    struct value *kinds = doc_put(arena, entry, "kinds", doc_list());
    for (uint32_t i = 0; i < info->kind_count; i++)
        doc_add(arena, kinds, doc_text(arena, info->kinds[i], strlen(info->kinds[i])));
    struct value *labels = doc_put(arena, entry, "labels", doc_map());
    for (uint32_t i = 0; i < info->label_count; i++) {
        const char *key = info->labels[2 * i], *value = info->labels[2 * i + 1];
        doc_put(arena, labels, arena_text(arena, key, strlen(key)),
                doc_text(arena, value, strlen(value)));
    }
    struct value *resources = doc_put(arena, entry, "resources", doc_map());
    for (uint32_t i = 0; i < info->resource_count; i++) {
        const char *name = info->resources[i].name;
        doc_put(arena, resources, arena_text(arena, name, strlen(name)),
                value_int(info->resources[i].count));
    }
}

enum status local_workers(struct app *base, struct arena *arena, struct value *out, struct err *err)
{
    struct local *app = local_of(base);
    struct sched_worker_info info;
    uint32_t cursor = 0;
    if (!app->loop)
        return err_set(err, E_UNSUPPORTED,
                       "no broker serves here: name one with --server, or start broker serve");
    *out = doc_list();
    while (sched_next_worker(loop_sched(app->loop), &cursor, &info))
        put_worker(arena, out, &info);
    return OK;
}
