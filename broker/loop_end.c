// SPDX-License-Identifier: Apache-2.0
#include "broker/loop_end.h"

#include <string.h>

#include "common/base/mem.h"
#include "common/store/tree.h"
#include "proto/limits.h"

void loop_endings_init(struct loop_endings *endings)
{
    endings->items = buf_init(0);
}

void loop_endings_fini(struct loop_endings *endings)
{
    while (!loop_endings_is_empty(endings))
        loop_endings_drop_first(endings);
    buf_fini(&endings->items);
}

bool loop_endings_is_empty(const struct loop_endings *endings)
{
    return endings->items.count == 0;
}

void loop_endings_check(struct loop_endings *endings, uint32_t run,
                        const struct artifact *artifacts, uint32_t count)
{
    struct loop_ending ending = {.run = run, .artifact_count = count};
    ending.artifacts = mem_alloc(count * sizeof *artifacts);
    if (count)
        memcpy(ending.artifacts, artifacts, count * sizeof *artifacts);
    buf_put(&endings->items, &ending, sizeof ending);
}

void loop_endings_over(struct loop_endings *endings, uint32_t run)
{
    struct loop_ending ending = {.run = run, .is_over = true};
    buf_put(&endings->items, &ending, sizeof ending);
}

struct loop_ending loop_endings_first(const struct loop_endings *endings)
{
    struct loop_ending first;
    memcpy(&first, endings->items.bytes, sizeof first);
    return first;
}

void loop_endings_drop_first(struct loop_endings *endings)
{
    struct loop_ending first = loop_endings_first(endings);
    mem_free(first.artifacts);
    endings->items.count -= sizeof first;
    memmove(endings->items.bytes, endings->items.bytes + sizeof first, endings->items.count);
}

static enum status check_trees(const struct loop_ending *ending, struct store *store,
                               struct buf *missing, struct err *err)
{
    AUTO(buf_fini) struct buf inside = buf_init(0);
    for (uint32_t i = 0; i < ending->artifact_count; i++) {
        const struct artifact *tree = &ending->artifacts[i];
        if (!tree->is_tree)
            continue;
        buf_clear(&inside);
        enum status status = tree_check(store, &tree->id, &inside, err);
        if (status != OK && status != E_NOTFOUND && status != E_CORRUPT)
            return status;
        if (status != OK || inside.count)
            buf_put(missing, &tree->id, sizeof tree->id);
    }
    return OK;
}

static enum status find_missing(const struct loop_ending *ending, struct store *store,
                                struct buf *missing, struct err *err)
{
    AUTO(mem_free) struct id *ids = mem_alloc(ending->artifact_count * sizeof *ids);
    AUTO(mem_free) bool *has = mem_alloc(ending->artifact_count * sizeof *has);
    uint32_t count = 0;
    for (uint32_t i = 0; i < ending->artifact_count; i++)
        if (!ending->artifacts[i].is_tree)
            ids[count++] = ending->artifacts[i].id;
    TRY(store_has(store, ids, count, has, err));
    for (uint32_t i = 0; i < count; i++)
        if (!has[i])
            buf_put(missing, &ids[i], sizeof ids[i]);
    return check_trees(ending, store, missing, err);
}

enum status loop_ending_find_missing(const struct loop_ending *ending, struct store *store,
                                     struct buf *missing, struct err *err)
{
    store_set_patience(store, LOOP_STORE_PATIENCE_MS);
    enum status status = find_missing(ending, store, missing, err);
    store_set_patience(store, STORE_PATIENCE_MS);
    return status;
}
