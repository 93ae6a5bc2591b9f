/* The events of one run, as the broker streams them. A lost connection is made again, to any of the
 * servers, from the last event that was heard; the person is told once. A broker that has taken
 * over, or was started again, tells of all tasks anew: what was told of one stays told once. */
// SPDX-License-Identifier: Apache-2.0
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/remote/remote.h"
#include "common/base/doc.h"
#include "common/base/id_set.h"
#include "common/base/mem.h"
#include "common/clock.h"
#include "common/crypto/hash.h"
#include "common/text/json.h"

enum {
    EVENT_BYTES_MAX = 16 << 20,
    AGAIN_MS_MIN = 100,
    AGAIN_MS_MAX = 2000,
    SILENT_SECONDS = 15, /* the broker says something every 5 s */
    STEPS_MAX = 100000
};

struct heard {
    struct heard *next;
    uint64_t number; /* ours: 1, 2, … */
    char *event, *json;
};

struct remote_watch {
    char run[APP_RUN_ID_BYTES];
    struct http_call *call;   /* NULL: not connected */
    struct buf text;          /* what came and is no whole event yet */
    uint64_t last;            /* the broker's number of the last event */
    bool has_begun, is_again; /* again: connected a second time or more */
    struct id_set told;       /* ends of tasks, hashed */
    struct heard *first, **end;
    uint64_t count;
    bool is_over, is_away;
    ms_t again_at, again_ms;
    struct arena arena; /* of the steps */
    struct app_step_progress *steps;
    uint32_t step_count;
    struct err err; /* what ended it */
};

static void heard_free(struct heard *heard)
{
    mem_free(heard->event);
    mem_free(heard->json);
    mem_free(heard);
}

void remote_watch_free(struct remote *remote)
{
    struct remote_watch *w = remote->watch;
    if (!w)
        return;
    if (w->call)
        http_end(w->call);
    for (struct heard *h = w->first, *next; h; h = next) {
        next = h->next;
        heard_free(h);
    }
    buf_fini(&w->text);
    id_set_fini(&w->told);
    arena_fini(&w->arena);
    mem_free(w);
    remote->watch = NULL;
}

/* ---- what an event says ---- */

static uint32_t count_of(const struct value *step, const char *key)
{
    const struct value *count = value_get(step, key);
    return count && count->type == VALUE_INT && count->integer >= 0 ? (uint32_t)count->integer : 0;
}

static uint32_t done_count(const struct app_step_progress *step)
{
    return step->succeeded + step->failed + step->upstream_failed + step->unneeded +
           step->cancelled;
}

static void take_step(struct app_step_progress *step, const struct value *said, ms_t now)
{
    struct app_step_progress before = *step;
    step->total = count_of(said, "total");
    step->hit = count_of(said, "hit");
    step->succeeded = count_of(said, "succeeded");
    step->running = count_of(said, "running");
    step->failed = count_of(said, "failed");
    step->upstream_failed = count_of(said, "upstream_failed");
    step->unneeded = count_of(said, "unneeded");
    step->cancelled = count_of(said, "cancelled");
    bool has_moved = done_count(step) != done_count(&before);
    if (step->first_started_at == MS_NEVER && (step->running || has_moved))
        step->first_started_at = now;
    if (has_moved)
        step->last_finished_at = now;
}

static void take_progress(struct remote_watch *w, const struct value *event)
{
    const struct value *steps = value_get(event, "steps");
    uint32_t count = steps && steps->type == VALUE_ARRAY ? steps->count : 0;
    if (!count || count > STEPS_MAX)
        return;
    if (count != w->step_count) {
        arena_fini(&w->arena);
        w->steps = arena_alloc(&w->arena, count * sizeof *w->steps);
        for (uint32_t i = 0; i < count; i++) {
            const char *name = value_get_text(&steps->items[i], "step");
            w->steps[i] = (struct app_step_progress){
                .name = name ? arena_text(&w->arena, name, strlen(name)) : "?",
                .first_started_at = MS_NEVER,
                .last_finished_at = MS_NEVER};
        }
        w->step_count = count;
    }
    for (uint32_t i = 0; i < count; i++)
        take_step(&w->steps[i], &steps->items[i], clock_ms());
}

static void take_run(struct remote_watch *w, const struct value *event)
{
    static const char *const ends[] = {"succeeded", "failed", "cancelled"};
    w->is_over = false;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        w->is_over |= value_is_text(value_get(event, "state"), ends[i]);
}

static void push(struct remote_watch *w, const char *event, const char *json)
{
    struct heard *heard = mem_alloc(sizeof *heard);
    heard->number = ++w->count;
    heard->event = mem_copy_text(event, strlen(event));
    heard->json = mem_copy_text(json, strlen(json));
    *w->end = heard;
    w->end = &heard->next;
}

static void notify(struct remote_watch *w, const char *text)
{
    AUTO(arena_fini) struct arena arena = {0};
    AUTO(buf_fini) struct buf json = buf_init(0);
    struct value notice = doc_map();
    doc_put(&arena, &notice, "event", value_string("notice"));
    doc_put(&arena, &notice, "text", value_string(text));
    json_write(&notice, 0, &json);
    push(w, "notice", buf_text(&json));
}

/* Of a task's end. */
static bool was_told(struct remote_watch *w, const struct value *event)
{
    AUTO(buf_fini) struct buf key = buf_init(0);
    struct id id;
    const char *step = value_get_text(event, "step"), *state = value_get_text(event, "state");
    const struct value *axes = value_get(event, "axes");
    if (!step || !state || !axes || strcmp(state, "running") == 0)
        return false;
    buf_format(&key, "%s %s ", state, step);
    json_write(axes, 0, &key);
    hash_bytes(NULL, key.bytes, key.count, &id);
    if (id_set_has(&w->told, &id))
        return w->is_again;
    (void)!id_set_add(&w->told, &id, NULL);
    return false;
}

static void take_event(struct remote_watch *w, const char *event, const char *data)
{
    AUTO(arena_fini) struct arena arena = {0};
    struct value document;
    if (json_parse("event", data, strlen(data), &arena, &document, NULL) != OK ||
        document.type != VALUE_MAP)
        return;
    if (strcmp(event, "progress") == 0)
        take_progress(w, &document);
    else if (strcmp(event, "run") == 0)
        take_run(w, &document);
    bool is_known = strcmp(event, "task") == 0 && was_told(w, &document);
    if (strcmp(event, "progress") != 0 && !is_known)
        push(w, event, data);
}

/* ---- the stream ---- */

/* One event, without the empty line behind it; `text` is changed. */
static void take_block(struct remote_watch *w, char *text)
{
    const char *event = "", *data = "", *id = NULL;
    for (char *line = text, *next; line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = 0;
        if (strncmp(line, "event: ", 7) == 0)
            event = line + 7;
        else if (strncmp(line, "data: ", 6) == 0)
            data = line + 6;
        else if (strncmp(line, "id: ", 4) == 0)
            id = line + 4;
    }
    if (*event)
        take_event(w, event, data);
    if (id)
        w->last = strtoull(id, NULL, 10);
}

static enum status write_text(void *context, const void *piece, size_t bytes, struct err *err)
{
    struct remote_watch *w = context;
    w->again_ms = AGAIN_MS_MIN; /* it speaks */
    if (w->is_away)
        notify(w, "the broker is back");
    w->is_away = false;
    buf_put(&w->text, piece, bytes);
    TRY(buf_check(&w->text, "an event of the broker", err));
    char *begin = (char *)(uintptr_t)buf_text(&w->text), *at = begin;
    for (char *end; (end = strstr(at, "\n\n")); at = end + 2) {
        *end = 0;
        take_block(w, at);
    }
    size_t left = w->text.count - (size_t)(at - begin);
    memmove(begin, at, left);
    w->text.count = left;
    return OK;
}

static void connect(struct remote *remote, struct remote_watch *w)
{
    struct http_header headers[REMOTE_HEADERS_MAX];
    AUTO(buf_fini) struct buf url = buf_init(0);
    char last[24];
    size_t count = remote_headers(remote, true, headers);
    headers[count++] = (struct http_header){"Accept", "text/event-stream"};
    snprintf(last, sizeof last, "%llu", (unsigned long long)w->last);
    if (w->last)
        headers[count++] = (struct http_header){"Last-Event-ID", last};
    buf_format(&url, "%s/v1/runs/%s/events", remote->servers[remote->server], w->run);
    struct http_request request = {.method = "GET",
                                   .url = buf_text(&url),
                                   .headers = headers,
                                   .header_count = count,
                                   .write = write_text,
                                   .context = w,
                                   .slow_bytes = 1,
                                   .slow_seconds = SILENT_SECONDS};
    buf_clear(&w->text);
    w->is_again = w->has_begun;
    w->has_begun = true;
    http_start(remote->http, &request, w, &w->call);
}

static void try_later(struct remote *remote, struct remote_watch *w)
{
    w->again_at = clock_ms() + w->again_ms;
    w->again_ms = w->again_ms * 2 < AGAIN_MS_MAX ? w->again_ms * 2 : AGAIN_MS_MAX;
    remote->server = (remote->server + 1) % remote->server_count;
}

/* The stream has ended: because the run is over, or else it is begun again. */
static enum status ended(struct remote *remote, struct remote_watch *w, struct err *err)
{
    AUTO(http_end) struct http_call *call = TAKE(w->call);
    struct err why;
    int http = http_status(call);
    enum status status = http_result(call, &why);
    if (w->is_over)
        return OK;
    if (status != OK && status != E_UNREACHABLE)
        return err_set(err, status, "%s", why.text);
    const char *location = status == OK && http == 307 ? http_header(call, "location") : NULL;
    if (location && remote_is_server(remote, location, &remote->server)) {
        w->again_at = clock_ms() + AGAIN_MS_MIN;
        return OK;
    }
    if (location && remote->server_count == 1)
        return remote_refuse(remote, call, err);
    if (status == OK && http / 100 == 4)
        return remote_error(remote, call, err);
    if (!w->is_away && (status != OK || http / 100 != 2)) {
        AUTO(buf_fini) struct buf text = buf_init(0);
        buf_format(&text, "%s does not answer; trying again (the run goes on there)",
                   remote->servers[remote->server]);
        notify(w, buf_text(&text));
        w->is_away = true;
    }
    try_later(remote, w);
    return OK;
}

enum status remote_turn(struct app *app, ms_t max_ms, struct err *err)
{
    struct remote *remote = remote_of(app);
    struct remote_watch *w = remote->watch;
    if (!w || (w->is_over && !w->call)) { /* who turns waits for something else */
        poll(NULL, 0, (int)max_ms);
        return OK;
    }
    ms_t now = clock_ms();
    if (!w->call && now >= w->again_at)
        connect(remote, w);
    if (!w->call && w->again_at - now < max_ms)
        max_ms = w->again_at - now;
    uint64_t before = w->count;
    for (ms_t until = now + max_ms; now <= until && w->count == before; now = clock_ms()) {
        struct http_call *call = http_next(remote->http, (int)(until - now));
        if (call && call == w->call)
            return ended(remote, w, err);
        if (now == until)
            break;
    }
    return OK;
}

enum status remote_watch(struct app *app, const char *run, struct err *err)
{
    struct remote *remote = remote_of(app);
    if (strlen(run) >= APP_RUN_ID_BYTES)
        return err_set(err, E_NOTFOUND, "there is no run \"%.64s\"", run);
    remote_watch_free(remote);
    struct remote_watch *w = mem_alloc(sizeof *w);
    snprintf(w->run, sizeof w->run, "%s", run);
    w->text = buf_init(EVENT_BYTES_MAX);
    id_set_init(&w->told);
    w->end = &w->first;
    w->again_ms = AGAIN_MS_MIN;
    remote->watch = w;
    return OK;
}

/* ---- what the front end asks ---- */

static struct remote_watch *watch_of(const struct app *app, const char *run)
{
    struct remote_watch *w = ((const struct remote *)(const void *)app)->watch;
    return w && strcmp(w->run, run) == 0 ? w : NULL;
}

bool remote_run_is_over(struct app *app, const char *run)
{
    const struct remote_watch *w = watch_of(app, run);
    /* It may be told of an end behind which it was tried again: the stream ends with the last. */
    return !w || (w->is_over && !w->call);
}

uint32_t remote_step_count(const struct app *app, const char *run)
{
    const struct remote_watch *w = watch_of(app, run);
    return w ? w->step_count : 0;
}

void remote_step_progress(const struct app *app, const char *run, uint32_t step,
                          struct app_step_progress *out)
{
    *out = watch_of(app, run)->steps[step];
}

bool remote_next_event(struct app *app, const char *run, uint64_t after, struct app_event *out)
{
    struct remote_watch *w = watch_of(app, run);
    while (w && w->first && w->first->number <= after) {
        struct heard *told = w->first;
        w->first = told->next;
        if (!w->first)
            w->end = &w->first;
        heard_free(told);
    }
    if (!w || !w->first)
        return false;
    *out = (struct app_event){.id = w->first->number,
                              .event = w->first->event,
                              .run = w->run,
                              .json = w->first->json,
                              .json_bytes = strlen(w->first->json)};
    return true;
}
