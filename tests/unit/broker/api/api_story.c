// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/broker/api/api_story.h"

#include <arpa/inet.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/app/backend.h"
#include "common/base/buf.h"
#include "common/base/doc.h"
#include "common/base/mem.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/text/json.h"

enum { WAIT_MS = 10000, TURN_MS = 5 };

/* ---- the application ---- */

struct fake {
    struct app base;
    struct api_story *story;
    char json[256];
};

static struct api_story *story_of(const struct app *app)
{
    return ((const struct fake *)(const void *)app)->story;
}

static void note(struct api_story *story, const char *format, ...) PRINTF(2, 3);
static void note(struct api_story *story, const char *format, ...)
{
    size_t at = strlen(story->asked);
    va_list args;
    va_start(args, format);
    vsnprintf(story->asked + at, sizeof story->asked - at, format, args);
    va_end(args);
}

static enum status outcome(struct api_story *story, struct err *err)
{
    enum status status = story->fails;
    story->fails = OK;
    return status == OK ? OK : err_set(err, status, "made up");
}

static const char *or_dash(const char *text)
{
    return text ? text : "-";
}

static void note_request(struct api_story *story, const struct app_request *r)
{
    note(story, " file=%s text=%.*s remote=%d", or_dash(r->file), (int)r->text_bytes,
         r->text ? r->text : "", r->is_remote);
    for (size_t i = 0; i < r->param_count; i++)
        note(story, " p:%s", r->params[i]);
    for (size_t i = 0; i < r->set_count; i++)
        note(story, " set:%s", r->sets[i]);
    for (size_t i = 0; i < r->label_count; i++)
        note(story, " label:%s", r->labels[i]);
    note(story, " name=%s who=%s only=%s force=%s key=%s sources=%u\n", or_dash(r->name),
         or_dash(r->who), or_dash(r->only_step), r->force_all ? "all" : or_dash(r->force_step),
         or_dash(r->idempotency_key), r->sources ? r->sources->count : 0);
}

static void fake_close(struct app *app)
{
    mem_free(app);
}

static const char *fake_diagnostics(struct app *app)
{
    (void)app;
    return "p.yaml:1:2: one\np.yaml:3:4: two\n";
}

static enum status fake_submit(struct app *app, const struct app_request *request,
                               char run[APP_RUN_ID_BYTES], struct err *err)
{
    note(story_of(app), "submit");
    note_request(story_of(app), request);
    snprintf(run, APP_RUN_ID_BYTES, "run-1");
    return outcome(story_of(app), err);
}

static enum status fake_resubmit(struct app *app, const char *of, const struct app_request *request,
                                 char run[APP_RUN_ID_BYTES], struct err *err)
{
    note(story_of(app), "resubmit %s", of);
    note_request(story_of(app), request);
    snprintf(run, APP_RUN_ID_BYTES, "run-2");
    return outcome(story_of(app), err);
}

static enum status fake_uploads(struct app *app, const struct value *wanted, struct arena *arena,
                                struct value *out, struct err *err)
{
    note(story_of(app), "uploads %u\n", wanted->count);
    *out = doc_list();
    for (uint32_t i = 0; i < wanted->count; i++) {
        const struct value *id = value_get(&wanted->items[i], "id"),
                           *tree = value_get(&wanted->items[i], "is_tree");
        struct value *entry = doc_add(arena, out, doc_map());
        doc_put(arena, entry, "id", *id);
        doc_put(arena, entry, "is_tree", tree ? *tree : value_bool(false));
        doc_put(arena, entry, "url",
                doc_format(arena, "/v1/blobs/%s%s", id->text,
                           tree && tree->boolean ? "?tree=true" : ""));
    }
    return outcome(story_of(app), err);
}

static bool fake_run_is_over(struct app *app, const char *run)
{
    (void)run;
    return story_of(app)->is_over;
}

static enum status fake_stop(struct app *app, const char *run, bool kill,
                             char out[APP_RUN_ID_BYTES], struct err *err)
{
    snprintf(out, APP_RUN_ID_BYTES, "run-1");
    note(story_of(app), "stop %s kill=%d\n", run, kill);
    return outcome(story_of(app), err);
}

static enum status fake_retry(struct app *app, const char *run, char out[APP_RUN_ID_BYTES],
                              struct err *err)
{
    note(story_of(app), "retry %s\n", run);
    snprintf(out, APP_RUN_ID_BYTES, "run-1");
    return outcome(story_of(app), err);
}

static bool fake_next_event(struct app *app, const char *run, uint64_t after, struct app_event *out)
{
    struct fake *fake = (struct fake *)(void *)app;
    struct api_story *story = fake->story;
    uint64_t id = after + 1;
    bool is_lost = id < story->first_event;
    if (!is_lost && run && id >= 2 && id < story->others_end)
        id = story->others_end;
    if (is_lost)
        id = story->first_event - 1;
    if (id > story->event_count)
        return false;
    bool is_last = story->is_over && id == story->event_count;
    *out = (struct app_event){.id = id,
                              .run = run ? run : "run-1",
                              .event = is_lost   ? "lost"
                                       : is_last ? "run"
                                                 : "task"};
    snprintf(fake->json, sizeof fake->json, "{\"id\": %llu, \"event\": \"%s\"}",
             (unsigned long long)id, out->event);
    out->json = fake->json;
    out->json_bytes = strlen(fake->json);
    return true;
}

static uint64_t fake_last_event(const struct app *app)
{
    return story_of(app)->event_count;
}

static uint64_t fake_last_order(const struct app *app)
{
    return story_of(app)->asked[0] != '\0';
}

static bool fake_is_committed(const struct app *app, uint64_t order)
{
    return !order || !story_of(app)->is_away;
}

static enum status fake_result(struct app *app, const char *run, bool full, struct arena *arena,
                               struct value *out, struct err *err)
{
    struct api_story *story = story_of(app);
    note(story, "result %s full=%d\n", run, full);
    *out = doc_map();
    doc_put(arena, out, "run", value_string("run-1"));
    doc_put(arena, out, "pipeline", value_string("p"));
    doc_put(arena, out, "state", value_string(story->is_over ? "succeeded" : "running"));
    doc_put(arena, out, "tasks", doc_map());
    doc_put(arena, out, "steps", doc_list());
    return outcome(story, err);
}

static enum status fake_plan(struct app *app, const struct app_request *request,
                             struct arena *arena, struct value *out, struct err *err)
{
    (void)arena;
    note(story_of(app), "plan");
    note_request(story_of(app), request);
    *out = doc_map();
    return outcome(story_of(app), err);
}

static enum status fake_explain(struct app *app, const struct app_request *request,
                                const char *task, struct arena *arena, struct value *out,
                                struct err *err)
{
    (void)arena;
    note(story_of(app), "explain %s", task);
    note_request(story_of(app), request);
    *out = doc_map();
    return outcome(story_of(app), err);
}

static enum status fake_graph(struct app *app, const struct app_request *request,
                              enum app_graph_format format, bool all, struct buf *out,
                              struct err *err)
{
    note(story_of(app), "graph %d %d", format, all);
    note_request(story_of(app), request);
    buf_put_text(out, "digraph {}\n");
    return outcome(story_of(app), err);
}

static enum status fake_lint(struct app *app, const struct app_request *request, struct err *err)
{
    note(story_of(app), "lint");
    note_request(story_of(app), request);
    return outcome(story_of(app), err);
}

static enum status fake_list(struct app *app, const struct app_filter *filter, struct arena *arena,
                             struct value *out, struct err *err)
{
    note(story_of(app), "list limit=%zu before=%s state=%s labels=%zu\n", filter->limit,
         or_dash(filter->before), or_dash(filter->state), filter->label_count);
    *out = doc_list();
    for (size_t i = 0; i < 5 && (!filter->limit || i < filter->limit); i++) {
        struct value *run = doc_add(arena, out, doc_map());
        doc_put(arena, run, "run", doc_format(arena, "run-%zu", 9 - i));
    }
    return outcome(story_of(app), err);
}

static enum status fake_get(struct app *app, const char *ref, bool spec, struct arena *arena,
                            struct value *out, struct err *err)
{
    (void)arena;
    note(story_of(app), "get %s spec=%d\n", ref, spec);
    *out = doc_map();
    return outcome(story_of(app), err);
}

static enum status fake_lineage(struct app *app, const char *ref, struct arena *arena,
                                struct value *out, struct err *err)
{
    (void)arena;
    note(story_of(app), "lineage %s\n", ref);
    *out = doc_map();
    return outcome(story_of(app), err);
}

static enum status fake_artifact(struct app *app, const char *ref, struct arena *arena,
                                 struct value *out, struct err *err)
{
    note(story_of(app), "artifact %s\n", ref);
    *out = doc_copy(arena, &story_of(app)->artifact);
    return outcome(story_of(app), err);
}

static enum status fake_logs(struct app *app, const char *task, struct app_log *at, struct buf *out,
                             struct err *err)
{
    struct api_story *story = story_of(app);
    note(story, "logs %s %u %llu\n", task, at->attempt, (unsigned long long)at->offset);
    size_t total = story->log_text ? strlen(story->log_text) : 0;
    if (at->attempt != story->log.attempt)
        at->offset = 0;
    if (at->offset < total)
        buf_put_text(out, story->log_text + at->offset);
    at->attempt = story->log.attempt;
    at->offset = total;
    at->is_final = story->log.is_final;
    return outcome(story, err);
}

static enum status fake_workers(struct app *app, struct arena *arena, struct value *out,
                                struct err *err)
{
    (void)arena;
    *out = doc_list();
    return outcome(story_of(app), err);
}

static enum status fake_load(struct app *app, struct arena *arena, struct value *out,
                             struct err *err)
{
    (void)arena;
    *out = doc_map();
    return outcome(story_of(app), err);
}

static const struct app_backend fake = {.name = "a made-up broker",
                                        .close = fake_close,
                                        .diagnostics = fake_diagnostics,
                                        .submit = fake_submit,
                                        .resubmit = fake_resubmit,
                                        .uploads = fake_uploads,
                                        .run_is_over = fake_run_is_over,
                                        .stop = fake_stop,
                                        .retry = fake_retry,
                                        .next_event = fake_next_event,
                                        .last_event = fake_last_event,
                                        .last_order = fake_last_order,
                                        .is_committed = fake_is_committed,
                                        .result = fake_result,
                                        .plan = fake_plan,
                                        .explain = fake_explain,
                                        .graph = fake_graph,
                                        .lint = fake_lint,
                                        .list = fake_list,
                                        .get = fake_get,
                                        .lineage = fake_lineage,
                                        .artifact = fake_artifact,
                                        .logs = fake_logs,
                                        .workers = fake_workers,
                                        .load = fake_load,
                                        .doctor = fake_workers};

/* ---- the story ---- */

static void read_token(const struct api_story *story, const char *name, char out[80])
{
    AUTO(buf_fini) struct buf path = buf_init(0), text = buf_init(0);
    buf_format(&path, "%s/%s", story->home, name);
    assert_int_equal(fs_read(buf_text(&path), &text, NULL), OK);
    snprintf(out, 80, "%s", buf_text(&text));
    out[strcspn(out, "\n")] = 0;
}

void api_story_serve(struct api_story *story, const char *address)
{
    struct err err = {0};
    AUTO(buf_fini) struct buf store = buf_init(0);
    static const char *const hosts[] = {"broker.example"};
    buf_format(&store, "%s/store", story->home);
    struct api_options options = {.app = story->app,
                                  .address = address,
                                  .home = story->home,
                                  .store = buf_text(&store),
                                  .hosts = hosts,
                                  .host_count = 1};
    if (api_open(&options, &story->api, &err) != OK)
        fail_msg("%s", err.text);
}

void api_story_open(struct api_story *story)
{
    struct err err = {0};
    *story = (struct api_story){.first_event = 1, .artifact = doc_map()};
    assert_int_equal(fs_make_temp_dir("/tmp/api-story-", story->home, sizeof story->home, &err),
                     OK);
    struct fake *app = mem_alloc(sizeof *app);
    app->base.backend = &fake;
    app->story = story;
    story->app = &app->base;
    api_story_serve(story, "127.0.0.1:0");
    read_token(story, "read.token", story->read_token);
    read_token(story, "write.token", story->write_token);
}

void api_story_close(struct api_story *story)
{
    api_close(story->api);
    app_close(story->app);
    assert_int_equal(fs_remove_tree(story->home, NULL), OK);
}

/* ---- asking ---- */

int api_say(struct api_story *story, const char *method, const char *target, const char *head,
            const char *body)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    to.sin_port = htons((in_port_t)strtoul(strchr(api_address(story->api), ':') + 1, NULL, 10));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    AUTO(buf_fini) struct buf text = buf_init(0);
    buf_format(&text, "%s %s HTTP/1.1\r\n%s", method, target, head ? head : "");
    if (!head || !strstr(head, "Host:"))
        buf_put_text(&text, "Host: localhost\r\n");
    if (!head || !strstr(head, "Authorization:"))
        buf_format(&text, "Authorization: Bearer %s\r\n", story->write_token);
    if (body)
        buf_format(&text, "Content-Length: %zu\r\n", strlen(body));
    if (body && (!head || !strstr(head, "Content-Type:")))
        buf_put_text(&text, "Content-Type: application/json\r\n");
    buf_format(&text, "Connection: close\r\n\r\n%s", body ? body : "");
    assert_int_equal(send(fd, text.bytes, text.count, MSG_NOSIGNAL), (ssize_t)text.count);
    return fd;
}

const char *api_hear(struct api_story *story, int fd, const char *until)
{
    static struct buf heard;
    heard = heard.max ? heard : buf_init(0);
    buf_clear(&heard);
    for (ms_t end = clock_ms() + WAIT_MS; clock_ms() < end;) {
        struct pollfd readable = {.fd = fd, .events = POLLIN};
        api_turn(story->api);
        if (poll(&readable, 1, TURN_MS) <= 0)
            continue;
        uint8_t *room = buf_reserve(&heard, 65536);
        ssize_t bytes = recv(fd, room, 65536, 0);
        if (bytes <= 0 && until)
            fail_msg("closed before \"%s\" was heard; heard: %s", until, buf_text(&heard));
        if (bytes <= 0)
            return buf_text(&heard);
        heard.count += (size_t)bytes;
        if (until && strstr(buf_text(&heard), until))
            return buf_text(&heard);
    }
    fail_msg("not heard in time: %s; heard: %s", until ? until : "the end", buf_text(&heard));
    return NULL;
}

struct api_heard api_ask(struct api_story *story, const char *method, const char *target,
                         const char *head, const char *body)
{
    int fd = api_say(story, method, target, head, body);
    const char *heard = api_hear(story, fd, NULL), *end = strstr(heard, "\r\n\r\n");
    close(fd);
    assert_non_null(end);
    return (struct api_heard){(int)strtol(heard + strlen("HTTP/1.1 "), NULL, 10), heard, end + 4};
}

struct value api_json(const struct api_heard *heard, struct arena *arena)
{
    struct value value = {0};
    struct err err = {0};
    if (json_parse("answer", heard->body, strlen(heard->body), arena, &value, &err) != OK)
        fail_msg("%s: %s", err.text, heard->body);
    return value;
}
