// SPDX-License-Identifier: Apache-2.0
#include "broker/sched/note.h"

#include "broker/sched/grow.h"
#include "common/base/mem.h"

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

void note_add_past(struct sched *sched, uint32_t index, struct past past)
{
    struct note *note = note_make(sched, index);
    uint32_t at;
    if (sched->free_pasts.count > 0) {
        at = sched->free_pasts.items[--sched->free_pasts.count];
    } else {
        at = sched->pasts.count;
        VECTOR_PUSH(sched->pasts, past);
    }
    past.next = note->past;
    sched->pasts.items[at] = past;
    note->past = at;
}

struct past *note_find_past(const struct sched *sched, const struct task *task, uint32_t index,
                            uint32_t attempt, uint32_t instance)
{
    const struct note *note = note_find(sched, task, index);
    for (uint32_t at = note ? note->past : NONE; at != NONE; at = sched->pasts.items[at].next) {
        struct past *past = &sched->pasts.items[at];
        if (past->attempt == attempt && past->instance == instance)
            return past;
    }
    return NULL;
}

static bool is_counted_later(const struct sched *sched, const struct past *past)
{
    for (uint32_t at = past->next; at != NONE; at = sched->pasts.items[at].next)
        if (sched->pasts.items[at].is_kill && sched->pasts.items[at].instance == past->instance)
            return true;
    return false;
}

/* Quadratic in the attempts of one task that were lost, which poison_kills keeps few. */
uint32_t note_kills(const struct sched *sched, const struct note *note)
{
    uint32_t kills = note->crashes;
    for (uint32_t at = note->past; at != NONE; at = sched->pasts.items[at].next) {
        const struct past *past = &sched->pasts.items[at];
        kills += past->is_kill && !is_counted_later(sched, past);
    }
    return kills;
}

void note_drop(struct sched *sched, uint32_t index)
{
    struct task *task = task_at(sched, index);
    struct note *note = note_find(sched, task, index);
    if (!note)
        return;
    for (uint32_t at = note->past; at != NONE; at = sched->pasts.items[at].next)
        VECTOR_PUSH(sched->free_pasts, at);
    mem_free(note->text);
    *note = (struct note){.task = NONE, .past = NONE};
    VECTOR_PUSH(sched->free_notes, (uint32_t)(note - sched->notes.items));
    side_remove(&sched->note_of, index);
    task->flags &= (uint16_t)~FLAG_NOTED;
}
