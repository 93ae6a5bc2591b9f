// SPDX-License-Identifier: Apache-2.0
#include "broker/sched/todo.h"

#include <string.h>

#include "broker/sched/forget.h"
#include "broker/sched/grow.h"
#include "broker/sched/run.h"
#include "broker/sched/submit.h"
#include "broker/sched/task.h"

/* What is done stands before todo_at until there is much of it. */
static void drop_done(struct sched *sched)
{
    enum { DONE_MIN = 64 };
    uint32_t left = sched->todo.count - sched->todo_at;
    if (left && (sched->todo_at < left || sched->todo_at < DONE_MIN))
        return;
    memmove(sched->todo.items, sched->todo.items + sched->todo_at,
            left * sizeof *sched->todo.items);
    sched->todo.count = left;
    sched->todo_at = 0;
}

void todo_push(struct sched *sched, struct todo todo)
{
    VECTOR_PUSH(sched->todo, todo);
}

/* True: it is done. */
static bool go_on(struct sched *sched, struct todo *todo)
{
    switch (todo->type) {
    case TODO_SUBMIT: return submit_go_on(sched, todo->submission);
    case TODO_RELEASE: return task_go_on_releasing(sched, todo);
    case TODO_END: return task_go_on_ending(sched);
    case TODO_CANCEL: return run_go_on_cancelling(sched, todo);
    case TODO_CHECK: return run_go_on_checking(sched, todo->index);
    case TODO_FORGET: return forget_go_on(sched, todo);
    }
    return true;
}

void todo_run(struct sched *sched)
{
    while (!todo_is_empty(sched) && sched->work_left > 0) {
        /* A copy: what it does may add to the list, which then moves. */
        struct todo todo = sched->todo.items[sched->todo_at];
        bool is_done = go_on(sched, &todo);
        if (!is_done)
            sched->todo.items[sched->todo_at] = todo;
        else
            sched->todo_at++;
    }
    drop_done(sched);
}
