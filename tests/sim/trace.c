/* A history in words, for --trace. */
// SPDX-License-Identifier: Apache-2.0
#include <stdarg.h>
#include <stdio.h>

#include "tests/sim/world.h"

static void begin(const struct world *world)
{
    printf("%7lld ", (long long)world->now);
}

void trace(struct world *world, const char *format, ...)
{
    va_list arguments;
    if (!world->is_tracing)
        return;
    begin(world);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
}

static const char *name_of(void *context, const struct id *id)
{
    static char name[16];
    struct world *world = context;
    snprintf(name, sizeof name, "t%u", unit_of(world, id));
    return name;
}

void trace_sched_event(struct world *world, const struct sched_event *event)
{
    if (!world->is_tracing)
        return;
    AUTO(buf_fini) struct buf text = buf_init(0);
    sched_trace_event(world->broker.sched, event, name_of, world, &text);
    begin(world);
    printf("  · %s (%lld)\n", buf_text(&text), (long long)event->now);
}

void trace_sched_action(struct world *world, const struct sched_action *action)
{
    if (!world->is_tracing)
        return;
    AUTO(buf_fini) struct buf text = buf_init(0);
    sched_trace_action(world->broker.sched, action, name_of, world, &text);
    begin(world);
    printf("    → %s\n", buf_text(&text));
}

static const char *const events[] = {
    [AGENT_CONNECTED] = "connected",
    [AGENT_DISCONNECTED] = "disconnected",
    [AGENT_WELCOME] = "welcome",
    [AGENT_REFUSED] = "refused",
    [AGENT_TASK] = "task",
    [AGENT_REVOKE] = "revoke",
    [AGENT_KILL] = "kill",
    [AGENT_ACK] = "ack",
    [AGENT_DISMISS] = "dismiss",
    [AGENT_FETCHED] = "fetched",
    [AGENT_PUBLISHED] = "published",
    [AGENT_SLOT_READY] = "slot ready",
    [AGENT_SLOT_RESULT] = "slot result",
    [AGENT_SLOT_DIED] = "slot died",
    [AGENT_RESIDENT] = "resident",
    [AGENT_DRAIN] = "drain",
    [AGENT_TICK] = "tick",
};

static void put_attempt(struct world *world, const struct attempt *attempt)
{
    printf(" t%u#%u", unit_of(world, &attempt->task), attempt->number);
}

void trace_agent_event(struct world *world, uint32_t number, const struct agent_event *event)
{
    if (!world->is_tracing || event->type == AGENT_TICK)
        return;
    begin(world);
    printf("W%u.%u · %s", number, world->places[number].life, events[event->type]);
    switch (event->type) {
    case AGENT_TASK:
        put_attempt(world, &event->task.attempt), printf(" j%u", event->task.job);
        break;
    case AGENT_REVOKE:
    case AGENT_KILL: put_attempt(world, &event->attempt); break;
    case AGENT_FETCHED:
    case AGENT_PUBLISHED: printf(" j%u %s", event->done.job, status_name(event->done.code)); break;
    case AGENT_SLOT_READY:
    case AGENT_SLOT_DIED: printf(" s%u", event->died.slot); break;
    case AGENT_SLOT_RESULT:
        printf(" s%u %s", event->result.slot, status_name(event->result.code));
        break;
    case AGENT_ACK: printf(", %zu left", event->ack.left); break;
    default: break;
    }
    putchar('\n');
}

static const char *const actions[] = {
    [AGENT_SEND_HELLO] = "hello",     [AGENT_SEND_HEARTBEAT] = "heartbeat",
    [AGENT_SEND_STARTED] = "started", [AGENT_SEND_REVOKED] = "revoked",
    [AGENT_SEND_GOODBYE] = "goodbye", [AGENT_RECONNECT] = "reconnect",
    [AGENT_RESEND] = "resend",        [AGENT_FETCH] = "fetch",
    [AGENT_SPAWN] = "spawn",          [AGENT_START] = "start",
    [AGENT_KILL_SLOT] = "kill slot",  [AGENT_SAMPLE] = "sample",
    [AGENT_PUBLISH] = "publish",      [AGENT_RESULT] = "result",
    [AGENT_FLUSH] = "flush",          [AGENT_RELEASE] = "release",
    [AGENT_WAKE_AT] = "wake",         [AGENT_EXIT] = "exit",
};

void trace_agent_action(struct world *world, uint32_t number, const struct agent_action *action)
{
    if (!world->is_tracing || action->type == AGENT_WAKE_AT)
        return;
    begin(world);
    printf("W%u.%u   → %s", number, world->places[number].life, actions[action->type]);
    if (action->job != AGENT_NONE)
        printf(" j%u", action->job);
    if (action->slot != AGENT_NONE)
        printf(" s%u", action->slot);
    if (action->code != OK)
        printf(" %s", status_name(action->code));
    putchar('\n');
}
