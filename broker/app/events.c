// SPDX-License-Identifier: Apache-2.0
#include "broker/app/events.h"

#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/clock.h"
#include "common/text/json.h"
#include "proto/limits.h"

enum { KIND_BYTES = 16, LOST_BYTES = 96 };

struct event {
    char kind[KIND_BYTES], run[APP_RUN_ID_BYTES];
    char *json; /* NULL: dropped */
    size_t json_bytes;
};

struct events {
    struct event *items; /* a ring: the event `id` stands at id % EVENTS_KEPT_MAX */
    uint64_t first, end; /* kept: first ≤ id < end */
    size_t bytes;
    char lost[LOST_BYTES];
};

struct events *events_new(void)
{
    struct events *events = mem_alloc(sizeof *events);
    events->items = mem_alloc(EVENTS_KEPT_MAX * sizeof *events->items);
    events->first = events->end = (uint64_t)clock_epoch_us();
    return events;
}

static struct event *event_at(const struct events *events, uint64_t id)
{
    return &events->items[id % EVENTS_KEPT_MAX];
}

void events_drop(struct events *events, uint64_t id)
{
    if (id < events->first || id >= events->end)
        return;
    struct event *event = event_at(events, id);
    if (event->json)
        events->bytes -= event->json_bytes;
    mem_free(TAKE(event->json));
}

static void forget_first(struct events *events)
{
    events_drop(events, events->first);
    events->first++;
}

void events_free(struct events *events)
{
    while (events->first < events->end)
        forget_first(events);
    mem_free(events->items);
    mem_free(events);
}

uint64_t events_put(struct events *events, const char *kind, const char *run,
                    const struct value *fields)
{
    AUTO(buf_fini) struct buf rest = buf_init(0), json = buf_init(0);
    uint64_t id = events->end;
    json_write(fields, 0, &rest);
    buf_format(&json, "{\"id\": %llu, \"event\": \"%s\", \"run\": ", (unsigned long long)id, kind);
    json_write_string(run, strlen(run), &json);
    if (fields->count)
        buf_put_text(&json, ", ");
    buf_put(&json, rest.bytes + 1, rest.count - 1); /* behind its brace */
    while (events->first < id &&
           (id - events->first >= EVENTS_KEPT_MAX || events->bytes + json.count > EVENTS_BYTES_MAX))
        forget_first(events);
    struct event *event = event_at(events, id);
    snprintf(event->kind, sizeof event->kind, "%s", kind);
    snprintf(event->run, sizeof event->run, "%s", run);
    event->json = mem_copy_text((const char *)json.bytes, json.count);
    event->json_bytes = json.count;
    events->bytes += json.count;
    events->end++;
    return id;
}

static void tell_lost(struct events *events, uint64_t behind, struct app_event *out)
{
    int bytes =
        snprintf(events->lost, sizeof events->lost,
                 "{\"id\": %llu, \"event\": \"lost\", \"run\": \"\"}", (unsigned long long)behind);
    *out = (struct app_event){behind, "lost", "", events->lost, (size_t)bytes};
}

/* An event that is about no run is for all. */
static bool is_asked_for(const struct event *event, const char *run)
{
    return event->json && (!run || !event->run[0] || strcmp(event->run, run) == 0);
}

bool events_next(struct events *events, const char *run, uint64_t after, struct app_event *out)
{
    bool is_behind = after && after + 1 < events->first;
    if (is_behind || after >= events->end) {
        tell_lost(events, is_behind ? events->first - 1 : events->end - 1, out);
        return true;
    }
    for (uint64_t id = after < events->first ? events->first : after + 1; id < events->end; id++) {
        const struct event *event = event_at(events, id);
        if (!is_asked_for(event, run))
            continue;
        *out = (struct app_event){id, event->kind, event->run, event->json, event->json_bytes};
        return true;
    }
    return false;
}

uint64_t events_last(const struct events *events)
{
    return events->end - 1;
}
