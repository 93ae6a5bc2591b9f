// SPDX-License-Identifier: Apache-2.0
#include "tests/stories/story.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "common/base/rng.h"
#include "tests/stories/play.h"

/* ---- names ---- */

static struct id id_of(const char *name, uint64_t salt)
{
    uint64_t hash = 14695981039346656037u ^ salt;
    for (; *name; name++)
        hash = (hash ^ (uint8_t)*name) * 1099511628211u;
    struct rng rng = rng_seed(hash);
    struct id id;
    for (size_t i = 0; i < ID_BYTES; i += 8) {
        uint64_t word = rng_next(&rng);
        memcpy(id.bytes + i, &word, 8);
    }
    return id;
}

uint32_t play_task(struct play *play, const char *name)
{
    for (uint32_t i = 0; i < play->task_count; i++)
        if (strcmp(play->tasks[i].name, name) == 0)
            return i;
    assert_true(play->task_count < PLAY_TASKS);
    struct play_task *task = &play->tasks[play->task_count];
    task->name = arena_text(&play->arena, name, strlen(name));
    task->id = id_of(name, 0);
    task->output_bytes = 100;
    task->policy = (struct task_policy){.cpu_hundredths = 100, .backoff_max_ms = 60000};
    return play->task_count++;
}

struct artifact play_output(const struct play *play, uint32_t task, bool is_different)
{
    return (struct artifact){.id = id_of(play->tasks[task].name, is_different ? 2 : 1),
                             .bytes = play->tasks[task].output_bytes};
}

static const char *name_of(void *context, const struct id *id)
{
    const struct play *play = context;
    for (uint32_t i = 0; i < play->task_count; i++)
        if (id_equal(&play->tasks[i].id, id))
            return play->tasks[i].name;
    return NULL;
}

/* ---- the scheduler's answers ---- */

static bool is_shown(const struct play *play, const struct sched_action *action)
{
    switch (action->type) {
    case SCHED_PERSIST:
    case SCHED_ALIAS:
    case SCHED_RESOLVE:
    case SCHED_CHECK:
    case SCHED_FREED:
    case SCHED_ACK: return !play->is_instant;
    case SCHED_PUBLISH: return play->shows_changes;
    case SCHED_WAKE_AT: return play->shows_wakes;
    default: return true;
    }
}

static void write_down(struct play *play, const struct sched_action *action)
{
    if (!is_shown(play, action))
        return;
    buf_put_text(&play->script, "> ");
    sched_trace_action(play->sched, action, name_of, play, &play->script);
    buf_put_char(&play->script, '\n');
}

/* What the state would say to an action, if it answers at once. Commits come when all else is
 * told. */
static bool answer(const struct sched_action *action, struct sched_event *event)
{
    *event = (struct sched_event){0};
    if (action->type == SCHED_RESOLVE) {
        event->type = SCHED_RESOLVED;
        event->resolved.task = action->task;
    } else if (action->type == SCHED_CHECK) {
        event->type = SCHED_CHECKED;
        event->checked.run = action->run;
    } else {
        return false;
    }
    return true;
}

static bool is_to_commit(enum sched_action_type type)
{
    return type == SCHED_PERSIST || type == SCHED_ALIAS || type == SCHED_FORGET;
}

void play_send(struct play *play, struct sched_event *event)
{
    struct sched_actions out = {0};
    struct err err = {0};
    bool must_commit = false;
    event->now = play->now;
    sched_step(play->sched, event, &out);
    for (size_t i = 0; i < out.count; i++) {
        write_down(play, &out.items[i]);
        must_commit |= is_to_commit(out.items[i].type);
    }
    if (!sched_check(play->sched, &err))
        fail_msg("%s\nafter:\n%s", err.text, buf_text(&play->script));
    for (size_t i = 0; play->is_instant && i < out.count; i++) {
        struct sched_event reply;
        if (answer(&out.items[i], &reply))
            play_send(play, &reply);
    }
    sched_actions_fini(&out);
    if (!play->is_instant || !must_commit)
        return;
    struct sched_event committed = {.type = SCHED_COMMITTED};
    play_send(play, &committed);
}

/* ---- the story ---- */

static void play_all(struct play *play, const char *text)
{
    while (*text) {
        size_t bytes = strcspn(text, "\n");
        char *line = arena_text(&play->arena, text, bytes);
        text += bytes + (text[bytes] == '\n');
        if (play_after(line, "> "))
            continue;
        buf_format(&play->script, "%s\n", line);
        if (line[0] && line[0] != '#' && !play_line(play, line))
            fail_msg("not understood: %s", line);
    }
}

void story_play(const char *text)
{
    struct play *play = mem_alloc(sizeof *play);
    struct sched_options options = {.seed = 1};
    const char *lease = strstr(text, "given leases of ");
    if (lease)
        play_number(lease + strlen("given leases of "), &options.lease_ms);
    const char *quorum = strstr(text, "given no work before ");
    if (quorum)
        play_number(quorum + strlen("given no work before "), &options.workers_min);
    play->script = buf_init(0);
    play->sched = sched_new(&options);
    play_all(play, text);
    bool is_equal = strcmp(buf_text(&play->script), text) == 0;
    if (!is_equal) /* cmocka cuts long messages */
        print_error("The story really goes:\n%s\n", buf_text(&play->script));
    sched_free(play->sched);
    buf_fini(&play->script);
    arena_fini(&play->arena);
    mem_free(play);
    assert_true(is_equal);
}
