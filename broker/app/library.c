// SPDX-License-Identifier: Apache-2.0
#include "broker/app/library.h"

#include <string.h>

#include "common/base/doc.h"
#include "common/base/mem.h"
#include "common/crypto/hash.h"

enum { RUNS_ASKED = 1000 };
#define PERSON_ITEM "penstock item"

static const struct id *output_at(const void *context, uint32_t index)
{
    const struct library *library = context;
    return &library->items[index].output;
}

static bool reads(const struct record *record, const struct id *id)
{
    struct task_spec action;
    struct task_ref_cursor cursor = {0};
    struct task_ref ref;
    if (task_spec_parse(record->action, record->action_bytes, &action, NULL) != OK)
        return false;
    while (task_spec_next_ref(&action, &cursor, &ref))
        if (id_equal(&ref.artifact.id, id))
            return true;
    return false;
}

static struct made *add_made(struct library *library, const struct id *output)
{
    if (library->count == library->capacity) {
        library->capacity = library->capacity ? 2 * library->capacity : 64;
        library->items = mem_resize(library->items, library->capacity * sizeof *library->items);
    }
    library->items[library->count] = (struct made){.output = *output};
    id_map_put(&library->by_output, output, library->count);
    return &library->items[library->count++];
}

static enum status add_record(void *context, const struct id *task, const uint8_t *bytes,
                              size_t count, struct err *err)
{
    struct library *library = context;
    struct record record;
    TRY(record_parse(bytes, count, &record, err));
    const uint8_t *copy =
        record.output_count
            ? (const uint8_t *)arena_text(library->arena, (const char *)bytes, count)
            : NULL;
    struct record_output output;
    for (size_t cursor = 0; record_next_output(&record, &cursor, &output);) {
        const struct id *id = &output.artifact.id;
        uint32_t index = id_map_get(&library->by_output, id);
        if (index != ID_MAP_NONE && !library->items[index].is_passed_on)
            continue;
        struct made *made = index == ID_MAP_NONE ? add_made(library, id) : &library->items[index];
        made->task = *task;
        made->record = copy;
        made->record_bytes = count;
        made->is_passed_on = reads(&record, id);
    }
    return OK;
}

static enum status add_sources(void *context, const char *id, const uint8_t *bytes, size_t count,
                               struct err *err)
{
    (void)id;
    struct library *library = context;
    AUTO(arena_fini) struct arena arena = {0};
    struct value document;
    TRY(value_decode(bytes, count, arena_memory(&arena), &document, err));
    const struct value *sources = value_get(&document, "sources");
    for (uint32_t i = 0; sources && sources->type == VALUE_ARRAY && i < sources->count; i++)
        doc_add(library->arena, &library->sources, doc_copy(library->arena, &sources->items[i]));
    return OK;
}

enum status library_open(struct local *app, struct arena *arena, struct library *out,
                         struct err *err)
{
    *out = (struct library){.arena = arena, .sources = doc_list()};
    out->by_output = id_map_init(output_at, out);
    TRY(state_each_run(app->state, RUNS_ASKED, add_sources, out, err));
    return state_each_record(app->state, add_record, out, err);
}

void library_close(struct library *library)
{
    id_map_fini(&library->by_output);
    mem_free(library->items);
}

struct made *library_find(struct library *library, const struct id *output)
{
    uint32_t index = id_map_get(&library->by_output, output);
    return index == ID_MAP_NONE ? NULL : &library->items[index];
}

/* ---- walking ---- */

void library_walk_init(struct library_walk *walk)
{
    walk->todo = buf_init(0);
    id_set_init(&walk->seen);
}

void library_walk_fini(struct library_walk *walk)
{
    buf_fini(&walk->todo);
    id_set_fini(&walk->seen);
}

/* One artifact may stand for the outputs of several tasks. */
static enum status add_once(struct library_walk *walk, const struct library_item *item,
                            struct err *err)
{
    AUTO(buf_fini) struct buf all = buf_init(0);
    struct id key;
    buf_put(&all, &item->artifact.id, ID_BYTES);
    buf_put_char(&all, item->artifact.is_tree);
    buf_put(&all, &item->task, ID_BYTES);
    buf_put(&all, item->output, item->output_bytes);
    hash_bytes(PERSON_ITEM, all.bytes, all.count, &key);
    if (id_set_has(&walk->seen, &key))
        return OK;
    TRY(id_set_add(&walk->seen, &key, err));
    buf_put(&walk->todo, item, sizeof *item);
    return buf_check(&walk->todo, "what made an artifact", err);
}

enum status library_walk_add(struct library_walk *walk, const struct record *record,
                             const struct task_spec *spec, struct err *err)
{
    struct task_spec action;
    struct task_ref_cursor cursor = {0}, named_cursor = {0};
    struct task_ref ref, named;
    TRY(task_spec_parse(record->action, record->action_bytes, &action, err));
    while (task_spec_next_ref(&action, &cursor, &ref)) {
        struct library_item item = {.artifact = ref.artifact};
        if (spec && task_spec_next_ref(spec, &named_cursor, &named) && named.is_task) {
            item.has_task = true;
            item.task = named.task;
            item.output = named.output;
            item.output_bytes = named.output_bytes;
        }
        TRY(add_once(walk, &item, err));
    }
    return OK;
}

bool library_walk_next(struct library_walk *walk, struct library_item *out)
{
    if (!walk->todo.count)
        return false;
    walk->todo.count -= sizeof *out;
    memcpy(out, walk->todo.bytes + walk->todo.count, sizeof *out);
    return true;
}
