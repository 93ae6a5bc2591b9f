// SPDX-License-Identifier: Apache-2.0
#include "broker/app/lead.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "broker/app/run.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/log.h"

enum {
    LOOK_MS = 250,
    /* A leader that missed a renewal may be gone: whoever says HELLO waits until that is known,
       and is welcomed here then. */
    SUSPECT_MS = LEAD_MS - LEAD_RENEW_MS - 500,
    /* A lease that is over by our clock is over for others: but the server may answer at once when
       it was we who stood still. */
    CUT_OFF_MS = 500
};

/* ---- who we are ---- */

static bool has_scheme(const char *endpoint, size_t bytes, const char *scheme)
{
    return bytes > strlen(scheme) && strncmp(endpoint, scheme, strlen(scheme)) == 0;
}

static bool is_http(const char *endpoint, size_t bytes)
{
    return has_scheme(endpoint, bytes, "http://") || has_scheme(endpoint, bytes, "https://");
}

static bool is_work(const char *endpoint, size_t bytes)
{
    return has_scheme(endpoint, bytes, "tcp://") || has_scheme(endpoint, bytes, "ipc://");
}

/* The next of the words in a text; false: there is none. */
static bool next_word(const char **at, const char **word, size_t *bytes)
{
    *word = *at + strspn(*at, " ,");
    *bytes = strcspn(*word, " ,");
    *at = *word + *bytes;
    return *bytes > 0;
}

static enum status take_advertised(struct local *app, const char *word, struct err *err)
{
    struct leadership *lead = &app->lead;
    struct endpoint parsed;
    size_t bytes = strlen(word), used = strlen(lead->advertised);
    if (is_work(word, bytes))
        TRY(endpoint_parse("--advertise", word, ENDPOINT_CONNECT, &parsed, err));
    else if (!is_http(word, bytes))
        return err_set(err, E_INVALID,
                       "--advertise %s: expected tcp://HOST:PORT, for workers, or http://HOST:PORT",
                       word);
    if (used + bytes + 2 > sizeof lead->advertised)
        return err_set(err, E_LIMIT, "--advertise: more than %zu bytes in all",
                       sizeof lead->advertised - 1);
    snprintf(lead->advertised + used, sizeof lead->advertised - used, "%s%s", used ? " " : "",
             word);
    return OK;
}

enum status lead_prepare(struct local *app, const char *const *advertised, size_t count,
                         struct err *err)
{
    app->lead.cut_off_at = MS_NEVER;
    for (size_t i = 0; i < count; i++) {
        const char *at = advertised[i], *word;
        for (size_t bytes; next_word(&at, &word, &bytes);)
            TRY(take_advertised(app, arena_text(&app->arena, word, bytes), err));
    }
    return OK;
}

/* Nobody can connect to "all of my addresses". */
static bool has_host(const char *endpoint)
{
    static const char *const any[] = {"0.0.0.0", "[::]", "*"};
    const char *host = strstr(endpoint, "://");
    for (size_t i = 0; host && i < sizeof any / sizeof *any; i++)
        if (strncmp(host + 3, any[i], strlen(any[i])) == 0)
            return false;
    return host != NULL;
}

/* The first of the text's words that is one. */
static void find_endpoint(const char *text, bool (*is_it)(const char *, size_t),
                          char out[STATE_HOLDER_BYTES])
{
    const char *word;
    out[0] = 0;
    for (size_t bytes; !out[0] && next_word(&text, &word, &bytes);)
        if (is_it(word, bytes))
            snprintf(out, STATE_HOLDER_BYTES, "%.*s", (int)bytes, word);
}

static void add_endpoint(struct leadership *lead, const char *endpoint)
{
    size_t used = strlen(lead->holder);
    if (used + strlen(endpoint) + 2 <= sizeof lead->holder)
        snprintf(lead->holder + used, sizeof lead->holder - used, "%s%s", used ? " " : "",
                 endpoint);
}

/* What was advertised, and for the rest what is bound, if that can be reached. */
static void name_holder(struct local *app, const char *http)
{
    struct leadership *lead = &app->lead;
    const char *work = router_endpoint(app->router);
    char found[STATE_HOLDER_BYTES];
    snprintf(lead->holder, sizeof lead->holder, "%s", lead->advertised);
    find_endpoint(lead->advertised, is_work, found);
    if (!found[0] && has_scheme(work, strlen(work), "tcp://") && has_host(work))
        add_endpoint(lead, work);
    find_endpoint(lead->advertised, is_http, found);
    if (!found[0] && http && has_host(http))
        add_endpoint(lead, http);
}

/* ---- who leads ---- */

static void follow(struct local *app, const struct state_lead *leader)
{
    struct leadership *lead = &app->lead;
    char quoted[2 * STATE_HOLDER_BYTES];
    bool is_known = leader->epoch == lead->leader.epoch && lead->leader.is_held;
    if (is_known || leader->epoch == lead->epoch_led) /* ours, which goes on for a moment */
        return;
    lead->leader = *leader;
    if (app->worker) { /* what it does the new leader gives to others */
        worker_process_stop(app->worker, 0);
        app->worker = NULL;
    }
    find_endpoint(leader->holder, is_work, lead->work);
    find_endpoint(leader->holder, is_http, lead->http);
    router_lead(app->router, leader->epoch);
    router_stand_by(app->router, lead->work);
    log_event(LOG_INFO, "lead.followed", "epoch=%" PRIu64 " leader=%s", leader->epoch,
              log_quote(leader->holder, quoted, sizeof quoted));
}

/* ---- from one to the other ---- */

/* Workers hear it first; to close what does not answer may take a second. */
static void stand_by(struct local *app)
{
    struct leadership *lead = &app->lead;
    if (app->state && app->is_writer) {
        lead->epoch_led = state_epoch(app->state);
        if (lead->epoch_led > lead->epoch_seen)
            lead->epoch_seen = lead->epoch_led;
    }
    router_stand_by(app->router, "");
    local_forget(app);
    app->publication.due_at = 0;
    app->is_writer = false;
    lead->stands_by = true;
    lead->leader = (struct state_lead){.epoch = lead->epoch_seen};
    lead->work[0] = lead->http[0] = 0;
    lead->look_at = 0;
    lead->suspected_at = MS_NEVER;
    lead->cut_off_at = MS_NEVER;
}

/* Of one that was asked to serve for the first time these end it. */
static bool can_wait(enum status status)
{
    return status == E_CONFLICT || status == E_FENCED || status == E_UNREACHABLE ||
           status == E_IO || status == E_FULL;
}

static enum status take_lead(struct local *app, struct err *err)
{
    struct leadership *lead = &app->lead;
    uint64_t seen = router_epoch_seen(app->router);
    if (seen > lead->epoch_seen)
        lead->epoch_seen = seen;
    if (app->state)
        state_close(TAKE(app->state));
    TRY(local_begin(app, err));
    TRY(reopen_open_runs(app, err));
    lead->stands_by = lead->is_away = false;
    log_event(LOG_INFO, "lead.taken", "epoch=%" PRIu64, state_epoch(app->state));
    return OK;
}

/* What keeps one that stands by from knowing, or from leading, is told once. */
static enum status wait_on(struct local *app, enum status status, struct err *err)
{
    char quoted[2 * ERR_TEXT_BYTES];
    if (!can_wait(status))
        return status;
    if (!app->lead.is_away && status != E_CONFLICT)
        log_event(LOG_WARN, "lead.waiting", "reason=%s",
                  log_quote(err->text, quoted, sizeof quoted));
    app->lead.is_away |= status != E_CONFLICT;
    app->lead.suspected_at = MS_NEVER; /* nothing is known: the last leader is the best guess */
    return OK;
}

static enum status look(struct local *app, struct err *err)
{
    struct leadership *lead = &app->lead;
    struct state_lead leader;
    struct err why = {0};
    enum status status = local_open_reader(app, &why);
    if (status == OK)
        status = state_leader(app->state, &leader, &why);
    lead->look_at = clock_ms() + LOOK_MS;
    if (status != OK) {
        err_set(err, status, "%s", why.text);
        return wait_on(app, status, err);
    }
    lead->is_away = false;
    if (leader.is_held) {
        ms_t end = clock_ms() + leader.left_ms + 1;
        lead->suspected_at = end - SUSPECT_MS;
        if (end < lead->look_at)
            lead->look_at = end;
        follow(app, &leader);
        return OK;
    }
    status = take_lead(app, &why);
    if (status == OK)
        return OK;
    stand_by(app);
    lead->look_at = clock_ms() + LOOK_MS;
    err_set(err, status, "%s", why.text);
    return wait_on(app, status, err);
}

/* ---- for the application ---- */

static bool is_shared(const struct local *app)
{
    return strncmp(app->state_url, "redis", strlen("redis")) == 0;
}

enum status local_listen(struct app *base, struct err *err)
{
    struct local *app = local_of(base);
    app->is_served = app->listens_early = true;
    if (!is_shared(app))
        return local_begin(app, err);
    if (app->router)
        return OK;
    TRY(fs_make_dirs(app->home, err));
    TRY(listen_open(app, err));
    stand_by(app);
    return OK;
}

enum status local_serve(struct app *base, const char *http, struct err *err)
{
    struct local *app = local_of(base);
    struct state_lead leader;
    TRY(local_listen(base, err));
    name_holder(app, http);
    if (!is_shared(app))
        return reopen_open_runs(app, err);
    enum status status = local_open_reader(app, err);
    if (status == OK)
        status = state_leader(app->state, &leader, err);
    if (status != OK) /* of what never answered nobody knows whether it is there */
        return state_is_loading(err) ? wait_on(app, status, err) : status;
    if (leader.is_held) {
        follow(app, &leader);
        return OK;
    }
    status = take_lead(app, err);
    if (status == OK)
        return OK;
    stand_by(app); /* another one was quicker, or the state went away */
    return wait_on(app, status, err);
}

static void hear_nothing(void *context, struct sched_event *event,
                         const struct router_record *record)
{
    (void)context;
    (void)event;
    (void)record;
}

enum status lead_wait(struct local *app, ms_t max_ms, struct err *err)
{
    struct leadership *lead = &app->lead;
    struct router_sink sink = {.on_event = hear_nothing};
    if (clock_ms() >= lead->look_at)
        TRY(look(app, err));
    ms_t now = clock_ms();
    if (!lead->stands_by)
        return OK;
    bool is_deaf = now >= lead->suspected_at;
    if (!is_deaf)
        TRY(router_receive(app->router, now, &sink, err));
    if (!is_deaf && router_is_ready(app->router))
        return OK;
    ms_t ms = lead->look_at - now < max_ms ? lead->look_at - now : max_ms;
    struct pollfd fds[] = {{.fd = is_deaf ? -1 : router_fd(app->router), .events = POLLIN},
                           {.fd = app->wake_fd, .events = POLLIN}};
    poll(fds, 2, ms > 0 ? (int)ms : 0);
    return OK;
}

enum status lead_judge(struct local *app, enum status status, struct err *err)
{
    struct leadership *lead = &app->lead;
    char quoted[2 * ERR_TEXT_BYTES];
    if (!app->is_served || !is_shared(app) || app->is_left)
        return status;
    bool is_cut_off = state_is_cut_off(app->state);
    if (!is_cut_off)
        lead->cut_off_at = MS_NEVER;
    else if (lead->cut_off_at == MS_NEVER)
        lead->cut_off_at = clock_ms();
    bool is_over = is_cut_off && clock_ms() >= lead->cut_off_at + CUT_OFF_MS;
    if (status == OK && !is_over)
        return OK;
    if (status != OK && status != E_FENCED && status != E_UNREACHABLE)
        return status;
    log_event(LOG_WARN, "lead.lost", "epoch=%" PRIu64 " reason=%s", state_epoch(app->state),
              log_quote(status == OK ? "the lease could not be renewed in time" : err->text, quoted,
                        sizeof quoted));
    stand_by(app);
    return OK;
}

void local_lead(const struct app *base, struct app_lead *out)
{
    const struct local *app = (const struct local *)base;
    const struct leadership *lead = &app->lead;
    *out = (struct app_lead){.is_ours = !lead->stands_by,
                             .epoch = lead->stands_by ? lead->leader.epoch
                                      : app->state    ? state_epoch(app->state)
                                                      : 0,
                             .who = lead->stands_by ? lead->leader.holder : lead->holder,
                             .http = lead->http};
}
