/* How the agent's tests tell a story: a worker of two slots, events by name, and the trace of what
 * was done since the last look ("start j7 s0": job 7 in slot 0). Every step recounts the agent's
 * invariants. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "worker/runtime/agent.h"

struct story {
    struct agent *agent;
    struct agent_actions actions;
    struct buf trace;
    ms_t now;
    ms_t wake_at;
    char result[256]; /* text of the last RESULT or PUBLISH */
};

static const char *const names[] = {
    [AGENT_SEND_HELLO] = "hello",     [AGENT_SEND_HEARTBEAT] = "heartbeat",
    [AGENT_SEND_STARTED] = "started", [AGENT_SEND_REVOKED] = "revoked",
    [AGENT_SEND_GOODBYE] = "goodbye", [AGENT_RECONNECT] = "reconnect",
    [AGENT_RESEND] = "resend",        [AGENT_FETCH] = "fetch",
    [AGENT_SPAWN] = "spawn",          [AGENT_START] = "start",
    [AGENT_KILL_SLOT] = "kill",       [AGENT_SAMPLE] = "sample",
    [AGENT_PUBLISH] = "publish",      [AGENT_RESULT] = "result",
    [AGENT_FLUSH] = "flush",          [AGENT_RELEASE] = "release",
    [AGENT_WAKE_AT] = "wake",         [AGENT_EXIT] = "exit",
};

static inline void note(struct story *story, const struct agent_action *action)
{
    if (action->type == AGENT_WAKE_AT) {
        story->wake_at = action->at;
        return;
    }
    buf_format(&story->trace, "%s%s", story->trace.count ? " " : "", names[action->type]);
    if (action->job != AGENT_NONE)
        buf_format(&story->trace, " j%u", action->job);
    if (action->slot != AGENT_NONE)
        buf_format(&story->trace, " s%u", action->slot);
    if (action->code != OK)
        buf_format(&story->trace, " %s", status_name(action->code));
    if (action->type == AGENT_RESULT || action->type == AGENT_PUBLISH)
        snprintf(story->result, sizeof story->result, "%s", action->text);
}

static inline void happen(struct story *story, struct agent_event event)
{
    struct err err = {0};
    event.now = story->now;
    story->actions.count = 0;
    agent_step(story->agent, &event, &story->actions);
    for (size_t i = 0; i < story->actions.count; i++)
        note(story, &story->actions.items[i]);
    if (!agent_check(story->agent, &err))
        fail_msg("%s", err.text);
}

/* What has been done since the last time. */
static inline void expect(struct story *story, const char *trace)
{
    assert_string_equal(buf_text(&story->trace), trace);
    buf_clear(&story->trace);
}

static inline void tick(struct story *story, const char *trace)
{
    happen(story, (struct agent_event){.type = AGENT_TICK});
    expect(story, trace);
}

static inline struct attempt attempt_of(uint32_t job)
{
    struct attempt attempt = {.number = 1};
    memcpy(attempt.task.bytes, &job, sizeof job);
    return attempt;
}

struct given {
    bool is_light;
    uint32_t timeout_ms;
    uint64_t memory_bytes;
    int32_t priority;
    uint32_t cpu_hundredths, gpu;
};

static inline void give(struct story *story, uint32_t job, struct given given)
{
    struct agent_event event = {.type = AGENT_TASK};
    event.task.job = job;
    event.task.attempt = attempt_of(job);
    event.task.is_light = given.is_light;
    event.task.timeout_ms = given.timeout_ms;
    event.task.memory_bytes = given.memory_bytes;
    event.task.priority = given.priority;
    event.task.cpu_hundredths = given.cpu_hundredths;
    event.task.resources = &(const struct resource){"gpu", given.gpu};
    event.task.resource_count = given.gpu > 0;
    happen(story, event);
}

static inline void slot_ready(struct story *story, uint32_t slot)
{
    struct agent_event event = {.type = AGENT_SLOT_READY};
    event.died.slot = slot;
    happen(story, event);
}

static inline void slot_result(struct story *story, uint32_t slot, int64_t took_us)
{
    struct agent_event event = {.type = AGENT_SLOT_RESULT};
    event.result.slot = slot;
    event.result.text = "";
    event.result.took_us = took_us;
    happen(story, event);
}

static inline void slot_died(struct story *story, uint32_t slot, int how, int exit_status)
{
    struct agent_event event = {.type = AGENT_SLOT_DIED};
    event.died.slot = slot;
    event.died.signal = how;
    event.died.exit_status = exit_status;
    happen(story, event);
}

static inline void done(struct story *story, enum agent_event_type type, uint32_t job,
                        enum status code, const char *text)
{
    struct agent_event event = {.type = type};
    event.done.job = job;
    event.done.code = code;
    event.done.text = text;
    happen(story, event);
}

static inline void welcome(struct story *story, uint64_t epoch)
{
    struct agent_event event = {.type = AGENT_WELCOME};
    event.welcome.epoch = epoch;
    event.welcome.lease_ms = 3000;
    happen(story, event);
}

static inline void acknowledge(struct story *story, size_t left)
{
    struct agent_event event = {.type = AGENT_ACK};
    event.ack.left = left;
    happen(story, event);
}

static inline void about(struct story *story, enum agent_event_type type, uint32_t job)
{
    happen(story, (struct agent_event){.type = type, .attempt = attempt_of(job)});
}

/* A worker that a broker has welcomed, its first slot started. */
static inline struct story begin_with(const struct agent_options *options)
{
    struct story story = {.agent = agent_new(options), .now = 1000};
    story.trace = buf_init(0);
    happen(&story, (struct agent_event){.type = AGENT_CONNECTED});
    expect(&story, "hello");
    welcome(&story, 1);
    expect(&story, "resend");
    tick(&story, "spawn s0");
    slot_ready(&story, 0);
    return story;
}

/* One of two slots. */
static inline struct story begin(void)
{
    return begin_with(&(const struct agent_options){.slots = 2, .grace_ms = 1000});
}

static inline void end(struct story *story)
{
    agent_free(story->agent);
    agent_actions_fini(&story->actions);
    buf_fini(&story->trace);
}

/* Job `job` of the kind that touches files is fetched and started in the slot. */
static inline void run_heavy(struct story *story, uint32_t job, struct given given)
{
    give(story, job, given);
    happen(story, (struct agent_event){.type = AGENT_TICK});
    done(story, AGENT_FETCHED, job, OK, "");
    happen(story, (struct agent_event){.type = AGENT_TICK});
    buf_clear(&story->trace);
}
