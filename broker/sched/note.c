// SPDX-License-Identifier: Apache-2.0
#include "broker/sched/note.h"

#include "broker/sched/grow.h"
#include "common/base/mem.h"

enum { KILLS_SHOWN = 8 };

struct note *note_find(const struct sched *sched, const struct task *task, uint32_t index)
{
    if (!(task->flags & FLAG_NOTED))
        return NULL;
    return &sched->notes.items[side_get(&sched->note_of, index)];
}

struct note *note_make(struct sched *sched, uint32_t index)
{
    struct task *task = task_at(sched, index);
    struct note *found = note_find(sched, task, index);
    if (found)
        return found;
    uint32_t at;
    if (sched->free_notes.count > 0) {
        at = sched->free_notes.items[--sched->free_notes.count];
    } else {
        at = sched->notes.count;
        VECTOR_PUSH(sched->notes, ((struct note){0}));
    }
    sched->notes.items[at] = (struct note){.task = index, .past = NONE};
    side_put(&sched->note_of, index, at);
    task->flags |= FLAG_NOTED;
    return &sched->notes.items[at];
}

void note_set_text(struct note *note, enum status code, const char *text, size_t bytes)
{
    mem_free(note->text);
    note->code = code;
    note->text = mem_copy_text(text, bytes < TEXT_BYTES_MAX ? bytes : TEXT_BYTES_MAX);
}

struct past *note_add_past(struct sched *sched, uint32_t index, uint32_t attempt, uint32_t instance)
{
    struct note *note = note_make(sched, index);
    uint32_t at;
    if (sched->free_pasts.count > 0) {
        at = sched->free_pasts.items[--sched->free_pasts.count];
    } else {
        at = sched->pasts.count;
        VECTOR_PUSH(sched->pasts, ((struct past){0}));
    }
    sched->pasts.items[at] =
        (struct past){.attempt = attempt, .instance = instance, .next = note->past};
    note->past = at;
    sched->instances.items[instance].pasts++;
    return &sched->pasts.items[at];
}

void note_release_instance(struct sched *sched, uint32_t index)
{
    struct instance *instance = &sched->instances.items[index];
    if (instance->worker != NONE || instance->pasts > 0)
        return;
    id_map_remove(&sched->instance_ids, &instance->id);
    VECTOR_PUSH(sched->free_instances, index);
}

struct past *note_find_past(const struct sched *sched, const struct task *task, uint32_t index,
                            uint32_t attempt, uint32_t instance)
{
    const struct note *note = note_find(sched, task, index);
    for (uint32_t at = note ? note->past : NONE; at != NONE; at = sched->pasts.items[at].next) {
        struct past *past = &sched->pasts.items[at];
        if (past->attempt == attempt && past->instance == instance && !past->is_failure)
            return past;
    }
    return NULL;
}

/* A worker that it ended twice, as it seems, is one worker; slots are many. */
static bool is_counted(const struct sched *sched, const struct past *past)
{
    if (!past->is_kill || past->is_failure)
        return past->is_kill;
    for (uint32_t at = past->next; at != NONE; at = sched->pasts.items[at].next) {
        const struct past *older = &sched->pasts.items[at];
        if (older->is_kill && !older->is_failure && older->instance == past->instance)
            return false;
    }
    return true;
}

/* Quadratic in the attempts of one task that were lost, which poison_kills keeps few. */
uint32_t note_kills(const struct sched *sched, const struct note *note)
{
    uint32_t kills = 0;
    for (uint32_t at = note->past; at != NONE; at = sched->pasts.items[at].next)
        kills += is_counted(sched, &sched->pasts.items[at]);
    return kills;
}

void note_put_kills(const struct sched *sched, const struct note *note, struct buf *out)
{
    uint32_t shown[KILLS_SHOWN], count = 0;
    for (uint32_t at = note->past; at != NONE; at = sched->pasts.items[at].next) {
        if (is_counted(sched, &sched->pasts.items[at]) && count++ < KILLS_SHOWN)
            shown[count - 1] = at; /* the youngest first */
    }
    if (count > KILLS_SHOWN)
        buf_format(out, "%u before; ", count - KILLS_SHOWN);
    for (uint32_t i = count < KILLS_SHOWN ? count : KILLS_SHOWN; i-- > 0;) {
        const struct past *past = &sched->pasts.items[shown[i]];
        buf_format(out, "attempt %u: %s%s", past->attempt, past->text, i ? "; " : "");
    }
}

void note_drop(struct sched *sched, uint32_t index)
{
    struct task *task = task_at(sched, index);
    struct note *note = note_find(sched, task, index);
    if (!note)
        return;
    for (uint32_t at = note->past, next; at != NONE; at = next) {
        struct past *past = &sched->pasts.items[at];
        uint32_t instance = past->instance;
        next = past->next;
        mem_free(past->text);
        *past = (struct past){.instance = NONE};
        VECTOR_PUSH(sched->free_pasts, at);
        sched->instances.items[instance].pasts--;
        note_release_instance(sched, instance);
    }
    mem_free(note->text);
    *note = (struct note){.task = NONE, .past = NONE};
    VECTOR_PUSH(sched->free_notes, (uint32_t)(note - sched->notes.items));
    side_remove(&sched->note_of, index);
    task->flags &= (uint16_t)~FLAG_NOTED;
}
