/* The lines of a story: each verb is one function, found in one table. */
// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/stories/play.h"

/* ---- small parsing ---- */

const char *play_after(const char *text, const char *words)
{
    size_t bytes = strlen(words);
    return strncmp(text, words, bytes) == 0 ? text + bytes : NULL;
}

bool play_number(const char *text, uint32_t *out)
{
    char *end;
    *out = (uint32_t)strtoul(text, &end, 10);
    return end != text;
}

uint32_t play_split(struct play *play, const char *text, const char *separator, const char **pieces)
{
    uint32_t count = 0;
    while (text && count < PLAY_LIST) {
        const char *next = strstr(text, separator);
        size_t bytes = next ? (size_t)(next - text) : strlen(text);
        while (bytes && *text == ' ') {
            text++;
            bytes--;
        }
        while (bytes && text[bytes - 1] == ' ')
            bytes--;
        if (bytes)
            pieces[count++] = arena_text(&play->arena, text, bytes);
        text = next ? next + strlen(separator) : NULL;
    }
    return count;
}

/* "train#2" */
static struct attempt attempt_of(struct play *play, const char *text)
{
    size_t bytes = strcspn(text, "#");
    struct attempt attempt = {0};
    attempt.task = play->tasks[play_task(play, arena_text(&play->arena, text, bytes))].id;
    if (text[bytes])
        play_number(text + bytes + 1, &attempt.number);
    return attempt;
}

static uint32_t task_named(struct play *play, const char *text, size_t bytes)
{
    return play_task(play, arena_text(&play->arena, text, bytes));
}

/* ---- given … ---- */

/* The pair of "key=value", or false. */
static bool take_pair(struct play *play, const char *text, const char **key, const char **value)
{
    size_t bytes = strcspn(text, "=");
    *key = arena_text(&play->arena, text, bytes);
    *value = text[bytes] ? text + bytes + 1 : "";
    return text[bytes] != 0;
}

static void add_label(struct play *play, struct play_task *task, const char *text)
{
    size_t bytes = strcspn(text, ":");
    task->labels[2 * task->policy.label_count] = arena_text(&play->arena, text, bytes);
    task->labels[2 * task->policy.label_count + 1] = text + bytes + 1;
    task->policy.label_count++;
    task->policy.labels = task->labels;
}

/* "gpu:2" */
static struct resource resource_of(struct play *play, const char *text)
{
    size_t bytes = strcspn(text, ":");
    struct resource resource = {.name = arena_text(&play->arena, text, bytes)};
    play_number(text + bytes + 1, &resource.count);
    return resource;
}

static void add_resource(struct play *play, struct play_task *task, const char *text)
{
    task->resources[task->policy.resource_count++] = resource_of(play, text);
    task->policy.resources = task->resources;
}

static bool set_policy(struct play *play, struct play_task *task, const char *text)
{
    const char *pieces[PLAY_LIST], *key, *value;
    uint32_t count = play_split(play, text, " ", pieces), number = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (!take_pair(play, pieces[i], &key, &value))
            return false;
        bool is_number = play_number(value, &number);
        if (strcmp(key, "kind") == 0)
            task->policy.kind_version = value;
        else if (strcmp(key, "label") == 0)
            add_label(play, task, value);
        else if (strcmp(key, "takes") == 0)
            add_resource(play, task, value);
        else if (!is_number)
            return false;
        else if (strcmp(key, "retry") == 0)
            task->policy.retry_limit = number;
        else if (strcmp(key, "backoff") == 0)
            task->policy.backoff_ms = number;
        else if (strcmp(key, "priority") == 0)
            task->policy.priority = (int32_t)number;
        else if (strcmp(key, "cpu") == 0)
            task->policy.cpu_hundredths = number;
        else if (strcmp(key, "memory") == 0)
            task->policy.memory_bytes = strtoull(value, NULL, 10);
        else if (strcmp(key, "poison") == 0)
            task->policy.poison_kills = number;
        else
            return false;
    }
    return true;
}

static bool play_given(struct play *play, const char *text)
{
    const char *rest = play_after(text, "targets are ");
    if (strcmp(text, "the state answers at once") == 0) {
        play->is_instant = true;
    } else if (strcmp(text, "changes are shown") == 0) {
        play->shows_changes = true;
    } else if (strcmp(text, "wakes are shown") == 0) {
        play->shows_wakes = true;
    } else if (play_after(text, "leases of ")) {
        return true; /* read before the first line is played */
    } else if (play_after(text, "no work before ")) {
        return true; /* likewise */
    } else if (rest) {
        const char *names[PLAY_LIST];
        uint32_t count = play_split(play, rest, ",", names);
        for (uint32_t i = 0; i < count; i++)
            play->tasks[play_task(play, names[i])].is_target = true;
        play->has_targets = true;
    } else {
        size_t bytes = strcspn(text, " ");
        struct play_task *task = &play->tasks[task_named(play, text, bytes)];
        rest = text + bytes;
        if (strcmp(rest, " is known") == 0)
            task->is_known = true;
        else if (strcmp(rest, " is forced") == 0)
            task->is_forced = true;
        else if (play_after(rest, " makes "))
            task->output_bytes = strtoull(play_after(rest, " makes "), NULL, 10);
        else
            return play_after(rest, " has ") && set_policy(play, task, play_after(rest, " has "));
    }
    return true;
}

/* ---- runs, state, time ---- */

static bool play_submit_line(struct play *play, const char *text)
{
    uint32_t run;
    const char *graph = strstr(text, ": ");
    return play_number(text, &run) && graph && play_submit(play, run, graph + 2);
}

static bool play_cancel(struct play *play, const char *text, bool kill)
{
    struct sched_event event = {.type = SCHED_CANCEL, .cancel = {.kill = kill}};
    if (!play_number(text, &event.cancel.run))
        return false;
    play_send(play, &event);
    return true;
}

static bool play_soft_cancel(struct play *play, const char *text)
{
    return play_cancel(play, text, false);
}

static bool play_kill(struct play *play, const char *text)
{
    return play_cancel(play, text, true);
}

static bool play_forget(struct play *play, const char *text)
{
    uint32_t run;
    if (!play_number(text, &run))
        return false;
    struct sched_run_info info = {.is_known = true};
    sched_forget(play->sched, run);
    while (info.is_known) {
        play_send(play, &(struct sched_event){.type = SCHED_GO_ON});
        sched_run_info(play->sched, run, &info);
    }
    return true;
}

static bool play_commit(struct play *play, const char *text)
{
    struct sched_event event = {.type = SCHED_COMMITTED};
    play_send(play, &event);
    return *text == 0;
}

static bool play_look_up(struct play *play, const char *text)
{
    size_t bytes = strcspn(text, ":");
    uint32_t task = task_named(play, text, bytes);
    struct artifact output = play_output(play, task, false);
    struct sched_event event = {
        .type = SCHED_RESOLVED,
        .resolved = {.task = sched_task_find(play->sched, &play->tasks[task].id),
                     .is_found = strcmp(text + bytes, ": found") == 0,
                     .record = {1, &output}}};
    play_send(play, &event);
    return true;
}

static bool play_check(struct play *play, const char *text)
{
    struct sched_event event = {.type = SCHED_CHECKED};
    if (!play_number(text, &event.checked.run))
        return false;
    const char *name = strstr(text, ": ") + 2;
    struct id missing;
    if (strcmp(name, "all there") != 0) {
        missing = play_output(play, task_named(play, name, strcspn(name, " ")), false).id;
        event.checked.missing = &missing;
        event.checked.missing_count = 1;
    }
    play_send(play, &event);
    return true;
}

static bool play_time(struct play *play, const char *text)
{
    uint32_t now;
    struct sched_event event = {.type = SCHED_TICK};
    if (!play_number(text, &now))
        return false;
    play->now = now;
    play_send(play, &event);
    return true;
}

/* ---- workers ---- */

static uint32_t split_texts(struct play *play, const char *text, const char ***out, bool is_pairs)
{
    const char *pieces[PLAY_LIST];
    uint32_t count = play_split(play, text, ",", pieces);
    *out = arena_alloc(&play->arena, 2 * PLAY_LIST * sizeof **out);
    for (uint32_t i = 0; i < count; i++) {
        size_t bytes = strcspn(pieces[i], is_pairs ? ":" : "");
        (*out)[is_pairs ? 2 * i : i] = arena_text(&play->arena, pieces[i], bytes);
        if (is_pairs)
            (*out)[2 * i + 1] = pieces[i] + bytes + 1;
    }
    return count;
}

static void set_hello(struct play *play, struct sched_event *event, const char *key,
                      const char *value)
{
    const char **texts, *pieces[PLAY_LIST];
    uint32_t number = 0;
    play_number(value, &number);
    if (strcmp(key, "slots") == 0) {
        event->hello.slots = number;
    } else if (strcmp(key, "credit") == 0) {
        event->hello.credit = number;
    } else if (strcmp(key, "cpu") == 0) {
        event->hello.cpu_hundredths = number;
    } else if (strcmp(key, "memory") == 0) {
        event->hello.memory_bytes = strtoull(value, NULL, 10);
    } else if (strcmp(key, "kinds") == 0) {
        event->hello.kind_count = split_texts(play, value, &texts, false);
        event->hello.kinds = texts;
    } else if (strcmp(key, "labels") == 0) {
        event->hello.label_count = split_texts(play, value, &texts, true);
        event->hello.labels = texts;
    } else if (strcmp(key, "name") == 0) {
        event->hello.name = value;
    } else if (strcmp(key, "has") == 0) {
        uint32_t count = play_split(play, value, ",", pieces);
        struct resource *resources = arena_alloc(&play->arena, PLAY_LIST * sizeof *resources);
        for (uint32_t i = 0; i < count; i++)
            resources[i] = resource_of(play, pieces[i]);
        event->hello.resources = resources;
        event->hello.resource_count = count;
    } else if (strcmp(key, "running") == 0) {
        uint32_t count = play_split(play, value, ",", pieces);
        struct attempt *running = arena_alloc(&play->arena, PLAY_LIST * sizeof *running);
        for (uint32_t i = 0; i < count; i++)
            running[i] = attempt_of(play, pieces[i]);
        event->hello.running = running;
        event->hello.running_count = count;
    }
}

static bool worker_joins(struct play *play, uint32_t worker, const char *text)
{
    bool is_again = play_after(text, " again") != NULL;
    const char *pieces[PLAY_LIST], *key, *value, *options = strstr(text, ": ");
    struct sched_event event = {.type = SCHED_HELLO,
                                .hello = {.worker = worker, .slots = 1, .credit = 100}};
    char name[16];
    snprintf(name, sizeof name, "w%u", worker);
    event.hello.name = name;
    uint32_t count = play_split(play, options ? options + 2 : "", " ", pieces);
    for (uint32_t i = 0; i < count; i++)
        if (take_pair(play, pieces[i], &key, &value))
            set_hello(play, &event, key, value);
    uint32_t former;
    if (play_after(text, " as w") && play_number(text + strlen(" as w"), &former))
        play->instances[worker] = play->instances[former % PLAY_WORKERS];
    else if (!is_again)
        play->instances[worker] = ++play->instance_count;
    memcpy(event.hello.instance, &play->instances[worker], sizeof play->instances[worker]);
    play_send(play, &event);
    return true;
}

static bool worker_says(struct play *play, uint32_t worker, enum sched_event_type type,
                        const char *attempt)
{
    struct sched_event event = {.type = type, .worker = {.worker = worker}};
    if (attempt)
        event.worker.attempt = attempt_of(play, attempt);
    play_send(play, &event);
    return true;
}

static bool worker_goes(struct play *play, uint32_t worker, bool is_drain)
{
    struct sched_event event = {.type = SCHED_GONE,
                                .gone = {.worker = worker, .is_drain = is_drain, .code = E_GONE}};
    play_send(play, &event);
    return true;
}

static bool worker_finishes(struct play *play, uint32_t worker, const char *text)
{
    const char *words[PLAY_LIST];
    uint32_t count = play_split(play, text, " ", words);
    struct attempt attempt = attempt_of(play, words[0]);
    uint32_t task = task_named(play, words[0], strcspn(words[0], "#"));
    bool is_timed = count == 4 && strcmp(words[1], "in") == 0;
    struct artifact output = play_output(play, task, count > 1 && !is_timed);
    struct sched_event event = {
        .type = SCHED_DONE,
        .done = {.worker = worker,
                 .attempt = attempt,
                 .frame = play->frame++,
                 .took_us = is_timed ? 1000 * strtoll(words[2], NULL, 10) : 1000000,
                 .outputs = &output,
                 .output_count = 1}};
    play_send(play, &event);
    return true;
}

static bool worker_fails(struct play *play, uint32_t worker, const char *text)
{
    static const char *const words = "it said why";
    const char *pieces[PLAY_LIST];
    if (play_split(play, text, ":", pieces) != 2)
        return false;
    struct sched_event event = {.type = SCHED_FAILED,
                                .failed = {.worker = worker,
                                           .attempt = attempt_of(play, pieces[0]),
                                           .code = status_parse(pieces[1]),
                                           .text = words,
                                           .text_bytes = (uint32_t)strlen(words),
                                           .frame = play->frame++}};
    play_send(play, &event);
    return event.failed.code != STATUS_COUNT;
}

/* "prepare for train#1" */
static bool worker_misses(struct play *play, uint32_t worker, const char *text)
{
    const char *pieces[PLAY_LIST];
    if (play_split(play, text, " for ", pieces) != 2)
        return false;
    struct id lost = play_output(play, play_task(play, pieces[0]), false).id;
    struct sched_event event = {.type = SCHED_FAILED,
                                .failed = {.worker = worker,
                                           .attempt = attempt_of(play, pieces[1]),
                                           .code = E_LOST,
                                           .text = "",
                                           .frame = play->frame++,
                                           .lost = &lost,
                                           .lost_count = 1}};
    play_send(play, &event);
    return true;
}

/* "3 of 10 in train#1" */
static bool worker_is_at(struct play *play, uint32_t worker, const char *text)
{
    const char *pieces[PLAY_LIST];
    uint32_t step, total;
    if (play_split(play, text, " ", pieces) != 5 || !play_number(pieces[0], &step) ||
        !play_number(pieces[2], &total))
        return false;
    struct sched_event event = {.type = SCHED_PROGRESS,
                                .progress = {worker, attempt_of(play, pieces[4]), step, total}};
    play_send(play, &event);
    return true;
}

static bool play_worker(struct play *play, const char *text)
{
    uint32_t worker;
    const char *rest, *verb = strchr(text, ' ');
    if (!verb || !play_number(text, &worker) || worker >= PLAY_WORKERS)
        return false;
    if ((rest = play_after(verb, " joins")))
        return worker_joins(play, worker, rest);
    if ((rest = play_after(verb, " starts ")))
        return worker_says(play, worker, SCHED_STARTED, rest);
    if ((rest = play_after(verb, " hands back ")))
        return worker_says(play, worker, SCHED_REVOKED, rest);
    if ((rest = play_after(verb, " holds ")))
        return worker_says(play, worker, SCHED_HEARTBEAT, rest);
    if (play_after(verb, " is heard"))
        return worker_says(play, worker, SCHED_HEARTBEAT, NULL);
    if ((rest = play_after(verb, " is at ")))
        return worker_is_at(play, worker, rest);
    if ((rest = play_after(verb, " finishes ")))
        return worker_finishes(play, worker, rest);
    if ((rest = play_after(verb, " fails ")))
        return worker_fails(play, worker, rest);
    if ((rest = play_after(verb, " misses ")))
        return worker_misses(play, worker, rest);
    if (play_after(verb, " goes away"))
        return worker_goes(play, worker, false);
    return play_after(verb, " says goodbye") && worker_goes(play, worker, true);
}

bool play_line(struct play *play, const char *line)
{
    static const struct {
        const char *words;
        bool (*play)(struct play *play, const char *rest);
    } verbs[] = {
        {"given ", play_given},
        {"submit run ", play_submit_line},
        {"cancel run ", play_soft_cancel},
        {"kill run ", play_kill},
        {"forget run ", play_forget},
        {"the commit is durable", play_commit},
        {"look-up of ", play_look_up},
        {"check of run ", play_check},
        {"time is ", play_time},
        {"w", play_worker},
    };
    if (play_question(play, line))
        return true;
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        const char *rest = play_after(line, verbs[i].words);
        if (rest)
            return verbs[i].play(play, rest);
    }
    return false;
}
