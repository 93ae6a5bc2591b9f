/* broker serve: many runs, for many people, until it is told to go. */
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#include "broker/api/api.h"
#include "broker/cli/broker_options.h"
#include "broker/cli/signals.h"
#include "common/clock.h"
#include "common/fs.h"

enum { TURN_MS = 100, LEAVE_MS = 10000 };

struct serve_options {
    struct common_options common;
    struct broker_options broker;
    struct command_line line;
    const char *http;
    struct config_list hosts, advertised;
};

/* What was said last of who leads. */
struct told {
    bool was_told, was_ours, had_name;
    uint64_t epoch;
};

/* The loop waits for one descriptor: a signal or a request makes it readable. */
static enum status add_wake(int epoll_fd, int fd, struct err *err)
{
    struct epoll_event event = {.events = EPOLLIN};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
        return err_set(err, E_IO, "epoll: %s", strerror(errno));
    return OK;
}

static enum status open_http(const struct serve_options *o, struct app *app, struct api **out,
                             struct err *err)
{
    AUTO(buf_fini) struct buf store = buf_init(0);
    const char *home = o->common.app.home ? o->common.app.home : ".penstock";
    buf_format(&store, "%s/store", home);
    struct api_options options = {.app = app,
                                  .address = o->http,
                                  .home = home,
                                  .store =
                                      o->common.app.store ? o->common.app.store : buf_text(&store),
                                  .hosts = o->hosts.items,
                                  .host_count = o->hosts.count};
    TRY(api_open(&options, out, err));
    fprintf(stderr, "serving at http://%s; tokens: %s/read.token, %s/write.token\n",
            api_address(*out), home, home);
    return add_wake(o->common.app.wake_fd, api_fd(*out), err);
}

/* One line for each change of who leads; requests go where that is. */
static void tell_lead(const struct app *app, struct api *api, struct told *told)
{
    struct app_lead lead;
    app_lead(app, &lead);
    if (told->was_told && lead.is_ours == told->was_ours &&
        (lead.is_ours || lead.epoch == told->epoch) && !*lead.who == !told->had_name)
        return;
    if (lead.is_ours && told->was_told)
        fprintf(stderr, "leading, as epoch %llu\n", (unsigned long long)lead.epoch);
    else if (!lead.is_ours && *lead.who)
        fprintf(stderr, "standing by: %s leads, as epoch %llu\n", lead.who,
                (unsigned long long)lead.epoch);
    else if (!lead.is_ours)
        fputs("standing by: who leads is not known\n", stderr);
    *told = (struct told){true, lead.is_ours, *lead.who != 0, lead.epoch};
    api_follow(api, lead.is_ours ? NULL : lead.http);
}

static enum status work(struct app *app, struct api *api, struct err *err)
{
    struct told told = {0};
    for (tell_lead(app, api, &told); !signals_taken(); tell_lead(app, api, &told)) {
        api_turn(api);
        TRY(app_turn(app, TURN_MS, err));
    }
    return OK;
}

/* What was received is still committed; a second signal doesn't wait for it. */
static enum status leave(struct app *app, struct api *api, struct err *err)
{
    int taken = signals_taken();
    fputs("leaving: open runs go on with the next broker; again ends at once\n", stderr);
    api_set_ready(api, false);
    app_leave(app);
    for (ms_t until = clock_ms() + LEAVE_MS;
         !app_is_idle(app) && clock_ms() < until && signals_taken() == taken;) {
        TRY(app_turn(app, TURN_MS, err));
        api_turn(api);
    }
    return OK;
}

static void tell_joining(const struct app *app)
{
    AUTO(buf_fini) struct buf text = buf_init(0);
    if (app_joining(app, &text))
        fprintf(stderr, "%s\n", buf_text(&text));
}

static enum status serve(struct serve_options *o, struct app **app, struct err *err)
{
    AUTO(api_close) struct api *api = NULL;
    AUTO(buf_fini) struct buf url = buf_init(0);
    TRY(app_open(&o->common.app, app, err));
    TRY(app_listen(*app, err));
    tell_joining(*app);
    TRY(open_http(o, *app, &api, err));
    buf_format(&url, "http://%s", api_address(api));
    TRY(app_serve(*app, buf_text(&url), err));
    TRY(work(*app, api, err));
    return leave(*app, api, err);
}

static void add_options(struct serve_options *o)
{
    const struct config_option options[] = {
        {"http", 0, CONFIG_TEXT, "PENSTOCK_HTTP", "ADDRESS", &o->http,
         "where to listen for people and programs; 0.0.0.0:7001 is for other machines, too"},
        {"http-host", 0, CONFIG_LIST, "PENSTOCK_HTTP_HOST", "NAME", &o->hosts,
         "a name by which browsers reach it, behind a proxy for instance"},
        {"advertise", 0, CONFIG_LIST, "PENSTOCK_ADVERTISE", "ENDPOINT", &o->advertised,
         "how others reach it, where that is not where it listens: tcp://HOST:PORT for workers, "
         "http://HOST:PORT for clients (both: with a comma between)"},
    };
    o->http = HTTP_ADDRESS_DEFAULT;
    command_line_common(&o->line, &o->common);
    o->line.option_count--; /* no --json */
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        command_line_add(&o->line, options[i]);
    command_line_listen(&o->line, &o->common);
    broker_options_add(&o->line, &o->broker,
                       "tasks at once in a local worker (default: one per core, none with "
                       "--listen)");
}

static int run(const struct command *command, int argc, char **argv)
{
    struct serve_options o = {0};
    struct err err = {0};
    AUTO(app_close) struct app *app = NULL;
    AUTO(fs_close_fd) int epoll_fd = -1;
    int exit_code;
    add_options(&o);
    if (!command_line_parse(&o.line, command, argc, argv, 0, &exit_code)) {
        command_line_fini(&o.line);
        return exit_code;
    }
    enum status status = broker_options_take(&o.broker, &o.common.app, &err);
    /* Who lets workers in from elsewhere does so that they work. */
    o.common.app.has_slots |= o.common.app.listen != NULL;
    o.common.app.advertised = o.advertised.items;
    o.common.app.advertised_count = o.advertised.count;
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (status == OK && (epoll_fd < 0 || !signals_watch()))
        status = err_set(&err, E_IO, "cannot watch signals: %s", strerror(errno));
    o.common.app.wake_fd = epoll_fd;
    if (status == OK)
        status = add_wake(epoll_fd, signals_fd(), &err);
    if (status == OK)
        status = serve(&o, &app, &err);
    exit_code = status == OK ? EXIT_DONE : command_fail(app, status, &err);
    command_line_fini(&o.line);
    return exit_code;
}

const struct command command_serve = {
    .name = "serve",
    .arguments = "",
    .help = "Be a broker for many runs, over HTTP, until told to go.",
    .details =
        "Others use it with broker submit, list, watch, … (--server), or with any HTTP client:\n"
        "/openapi.json describes it. It is plain HTTP: beyond this machine put a proxy with TLS\n"
        "before it. A run that was open when the broker ended, however it ended, goes on when it\n"
        "is started again. One that is started on a Redis where another leads stands by: it sends\n"
        "workers and clients there, and takes over when that is gone. SIGTERM (or Ctrl-C): "
        "nothing\n"
        "new is given out, what was received is committed, and it leaves; workers stay and come\n"
        "back to the next broker. A second signal ends it at once; nothing is lost by that.",
    .run = run,
};
