/* Answers that go on: events of runs, and logs of tasks that run. Each watcher has a place up to
 * which it was told; every turn brings it what came since. The web server bounds what may queue up
 * for one that reads slowly, and says when one has gone. Source: WHATWG HTML, "Server-sent
 * events". */
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "broker/api/call.h"
#include "common/base/doc.h"
#include "common/base/mem.h"
#include "common/clock.h"
#include "common/text/json.h"

enum {
    HEARTBEAT_MS = 5000, /* who watches looks for another broker when this one says nothing */
    LOG_EVERY_MS = 100,
    EVENTS_PER_TURN = 1000 /* for one watcher; the others wait meanwhile */
};

struct watcher {
    struct watcher *next;
    uint64_t id;    /* of the exchange */
    char *run;      /* NULL: all */
    uint64_t after; /* the last event it was told */
    bool has_state; /* it was told how the run ended */
    char *task;     /* a log's; NULL: events */
    struct app_log log;
    bool as_events;
    ms_t said_at, due_at;
    bool is_over;
};

struct watchers {
    struct api *api;
    struct watcher *first;
};

struct watchers *watchers_new(struct api *api)
{
    struct watchers *watchers = mem_alloc(sizeof *watchers);
    watchers->api = api;
    return watchers;
}

static void watcher_free(struct watcher *w)
{
    mem_free(w->run);
    mem_free(w->task);
    mem_free(w);
}

void watchers_free(struct watchers *watchers)
{
    for (struct watcher *w = watchers->first, *next; w; w = next) {
        next = w->next;
        watcher_free(w);
    }
    mem_free(watchers);
}

void watchers_closed(struct watchers *watchers, uint64_t id)
{
    for (struct watcher **at = &watchers->first; *at; at = &(*at)->next)
        if ((*at)->id == id) {
            struct watcher *w = *at;
            *at = w->next;
            watcher_free(w);
            return;
        }
}

/* ---- events ---- */

/* A log's text may have several lines, JSON has one: `data` never spans two. */
static void put_event(struct buf *out, uint64_t id, const char *event, const char *data,
                      size_t bytes)
{
    if (id)
        buf_format(out, "id: %llu\n", (unsigned long long)id);
    buf_format(out, "event: %s\ndata: ", event);
    buf_put(out, data, bytes);
    buf_put_text(out, "\n\n");
}

/* How the run ended, for who comes when its events are forgotten. */
static void put_end(struct watcher *w, struct app *app, struct buf *out)
{
    static const char *const fields[] = {"run", "pipeline", "name", "state", "tasks", "seconds"};
    AUTO(arena_fini) struct arena arena = {0};
    AUTO(buf_fini) struct buf json = buf_init(0);
    struct value result, event = doc_map();
    if (app_result(app, w->run, false, &arena, &result, NULL) != OK)
        return;
    doc_put(&arena, &event, "event", value_string("run"));
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        const struct value *field = value_get(&result, fields[i]);
        if (field)
            doc_put(&arena, &event, fields[i], *field);
    }
    json_write(&event, 0, &json);
    put_event(out, 0, "run", (const char *)json.bytes, json.count);
}

static void tell_events(struct watcher *w, struct app *app, struct buf *out)
{
    struct app_event event;
    for (int i = 0; i < EVENTS_PER_TURN; i++) {
        if (!app_next_event(app, w->run, w->after, &event)) {
            w->is_over = w->run && app_run_is_over(app, w->run);
            w->after = app_last_event(app); /* what others did is not looked through again */
            break;
        }
        put_event(out, event.id, event.event, event.json, event.json_bytes);
        w->after = event.id;
        w->has_state = strcmp(event.event, "run") == 0;
    }
    if (w->is_over && !w->has_state)
        put_end(w, app, out);
}

/* ---- logs ---- */

static void put_log_event(struct watcher *w, const struct buf *text, struct buf *out)
{
    AUTO(buf_fini) struct buf data = buf_init(0);
    buf_format(&data,
               "{\"attempt\": %u, \"offset\": %llu, \"is_final\": %s, \"text\": ", w->log.attempt,
               (unsigned long long)w->log.offset, w->log.is_final ? "true" : "false");
    json_write_string((const char *)text->bytes, text->count, &data);
    buf_put_char(&data, '}');
    put_event(out, 0, "log", (const char *)data.bytes, data.count);
}

static void put_log(struct watcher *w, const struct buf *text, struct buf *out)
{
    if (!w->as_events)
        buf_put(out, text->bytes, text->count);
    else if (text->count || w->log.is_final)
        put_log_event(w, text, out);
}

static void tell_log(struct watcher *w, struct app *app, ms_t now, struct buf *out)
{
    AUTO(buf_fini) struct buf text = buf_init(0);
    struct err err = {0};
    if (now < w->due_at)
        return;
    w->due_at = now + LOG_EVERY_MS;
    /* One that can't be read now ends here: its reader asks again and hears why. */
    w->is_over = app_logs(app, w->task, &w->log, &text, &err) != OK || w->log.is_final;
    put_log(w, &text, out);
}

/* ---- all of them ---- */

void watchers_turn(struct watchers *watchers)
{
    ms_t now = clock_ms();
    for (struct watcher *w = watchers->first; w; w = w->next) {
        AUTO(buf_fini) struct buf out = buf_init(0);
        if (w->is_over) /* the server will say that it is closed */
            continue;
        if (w->task)
            tell_log(w, watchers->api->app, now, &out);
        else
            tell_events(w, watchers->api->app, &out);
        if (!out.count && now - w->said_at >= HEARTBEAT_MS && (!w->task || w->as_events))
            buf_put_text(&out, ":\n\n");
        if (out.count) {
            w->said_at = now;
            http_server_stream_put(watchers->api->server, w->id, out.bytes, out.count);
        }
        if (w->is_over)
            http_server_stream_end(watchers->api->server, w->id);
    }
}

void watchers_end(struct watchers *watchers)
{
    for (struct watcher *w = watchers->first; w; w = w->next) {
        if (!w->is_over)
            http_server_stream_end(watchers->api->server, w->id);
        w->is_over = true;
    }
}

static struct watcher *add(struct api_call *call, const char *type)
{
    struct watchers *watchers = call->api->watchers;
    struct watcher *w = mem_alloc(sizeof *w);
    w->id = call->request->id;
    w->said_at = clock_ms();
    w->next = watchers->first;
    watchers->first = w;
    call->response = (struct httpd_response){.kind = HTTPD_STREAM, .status = 200, .fd = -1};
    call->response.content_type = type;
    call->response.body = buf_init(0);
    call->has_response = true;
    return w;
}

void watch_events(struct api_call *call, const char *run, uint64_t after)
{
    struct watcher *w = add(call, "text/event-stream");
    w->run = run ? mem_copy_text(run, strlen(run)) : NULL;
    w->after = after;
    buf_put_text(&call->response.body, "retry: 1000\n\n");
}

void watch_log(struct api_call *call, const char *task, const struct app_log *from,
               const struct buf *first, bool as_events)
{
    struct watcher *w = add(call, as_events ? "text/event-stream" : "text/plain; charset=utf-8");
    w->task = mem_copy_text(task, strlen(task));
    w->log = *from;
    w->as_events = as_events;
    put_log(w, first, &call->response.body);
}
