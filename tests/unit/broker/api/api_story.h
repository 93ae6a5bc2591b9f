/* The control plane in front of an application that is made up: what it was asked is written down,
 * what it answers is what the test wants. Requests go over real sockets. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/api/api.h"
#include "common/base/arena.h"

enum { STORY_EVENTS_MAX = 64 };

struct api_story {
    struct api *api;
    struct app *app;
    char home[64];
    char read_token[80], write_token[80];

    /* What the application was asked, one line each: "submit file=… params=seed=7". */
    char asked[4096];
    enum status fails; /* what its next call answers */
    bool is_over;      /* every run */
    uint64_t event_count;
    uint64_t first_event; /* kept; older ones are lost */
    uint64_t others_end;  /* events from 2 to before this one are of another run */
    bool is_away;         /* nothing is committed */
    struct app_log log;   /* where the log ends */
    const char *log_text;
    struct value artifact; /* what every reference means */
};

void api_story_open(struct api_story *story);
void api_story_close(struct api_story *story);
/* The same application behind another server; the one before is closed (api_close) by then. */
void api_story_serve(struct api_story *story, const char *address);

/* An answer, whole: status, headers with the empty line, body. */
struct api_heard {
    int status;
    const char *headers, *body; /* valid until the next one */
};
/* `head`: further header lines, each with its line break, or NULL. The token is the write token
 * unless `head` has an Authorization. */
struct api_heard api_ask(struct api_story *story, const char *method, const char *target,
                         const char *head, const char *body);
/* The body as JSON. */
struct value api_json(const struct api_heard *heard, struct arena *arena);
/* For streams: sends the request; then hears until `until`. */
int api_say(struct api_story *story, const char *method, const char *target, const char *head,
            const char *body);
const char *api_hear(struct api_story *story, int fd, const char *until);
