/* Questions to the scheduler, and its answers. */
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "tests/stories/play.h"

/* Explanations name tasks by the first digits of their ids; a story has names. */
static void put_with_names(struct play *play, const char *text)
{
    while (*text) {
        uint32_t found = PLAY_TASKS;
        char hex[ID_HEX_BYTES];
        for (uint32_t i = 0; i < play->task_count && found == PLAY_TASKS; i++)
            if (strncmp(text, id_hex(&play->tasks[i].id, hex), 12) == 0)
                found = i;
        if (found == PLAY_TASKS) {
            buf_put_char(&play->script, *text++);
        } else {
            buf_put_text(&play->script, play->tasks[found].name);
            text += 12;
        }
    }
}

static bool play_why(struct play *play, const char *text)
{
    uint32_t task = play_task(play, arena_text(&play->arena, text, strcspn(text, "?")));
    AUTO(buf_fini) struct buf words = buf_init(0);
    sched_explain(play->sched, sched_task_find(play->sched, &play->tasks[task].id), &words);
    buf_put_text(&play->script, "> ");
    put_with_names(play, buf_text(&words));
    buf_put_char(&play->script, '\n');
    return true;
}

static bool play_count(struct play *play, const char *text)
{
    uint32_t run;
    struct sched_run_info info;
    if (!play_number(text, &run))
        return false;
    sched_run_info(play->sched, run, &info);
    buf_format(&play->script, "> %u executed, %u hit", info.executed, info.hit);
    for (uint32_t i = 0; i < TASK_STATE_COUNT; i++)
        if (info.counts[i] && i != TASK_SUCCEEDED)
            buf_format(&play->script, ", %u %s", info.counts[i],
                       task_state_name((enum task_state)i));
    buf_put_char(&play->script, '\n');
    return true;
}

static bool play_load(struct play *play, const char *text)
{
    struct sched_load load;
    sched_load(play->sched, &load);
    buf_format(&play->script, "> %u ready, %u running, %u waiting; %u workers, %u slots, %u wanted",
               load.ready, load.running, load.waiting, load.workers, load.slots, load.slots_wanted);
    if (load.workers_awaited)
        buf_format(&play->script, "; %u workers awaited", load.workers_awaited);
    buf_put_char(&play->script, '\n');
    return *text == 0;
}

bool play_question(struct play *play, const char *line)
{
    const char *rest;
    if ((rest = play_after(line, "why ")))
        return play_why(play, rest);
    if ((rest = play_after(line, "count run ")))
        return play_count(play, rest);
    rest = play_after(line, "load");
    return rest && play_load(play, rest);
}
