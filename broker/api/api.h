/* The control plane: HTTP/JSON under /v1, with server-sent events, described by /openapi.json. What
 * the command line can do, a route can do; both stand on broker/app.h alone.
 *
 *   web server's thread   gate: Host, Origin, token, route, query; refuses before a body is read
 *   the broker's thread   api_turn: handlers between two turns of the scheduler; feeds watchers
 *   the blobs' thread     bytes of artifacts, in and out of the store
 *
 * Whoever asks needs a token (two files in HOME: read.token for what only looks, write.token for
 * everything), except for /healthz, /readyz and /openapi.json. No path of this machine is opened
 * for a request: sources come by their ids, bytes by their hashes. No CORS header is ever sent. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/app.h"

struct api;

struct api_options {
    struct app *app;     /* borrowed, open, and of this thread */
    const char *address; /* "127.0.0.1:7001" */
    const char *home;    /* where the tokens are, and bodies on their way into the store */
    const char *store;   /* its URL */
    /* Names by which browsers may call this broker, beside IP addresses, localhost and the
     * machine's name; "*" is any. A page of somebody else that made its own name point here is
     * refused. */
    const char *const *hosts;
    size_t host_count;
};

/* Errors: E_CONFLICT the port is in use; E_INVALID the address or a token file; E_DENIED, E_IO.
 * Each names the setting and the mend. */
MUST_USE enum status api_open(const struct api_options *options, struct api **out, struct err *err);
/* Whoever waits for an answer is told that the broker ends. */
void api_close(struct api *api);
/* Could it listen at `address`? `*is_served`: no, but a broker answers there. Errors: as api_open's
 * that are about the address. */
MUST_USE enum status api_check(const char *address, bool *is_served, struct err *err);
/* "127.0.0.1:7001": where it listens. */
const char *api_address(const struct api *api);
/* Readable when requests have come. */
int api_fd(const struct api *api);
/* Answers what has come, and passes on what happened to those who watch. Called after every turn of
 * the application. */
void api_turn(struct api *api);
/* From now on every request that needs a token is sent on (307) to the broker that leads, at the
 * URL `leader` ("": not known, 503), and streams are ended; NULL: this one answers itself. */
void api_follow(struct api *api, const char *leader);
/* False: /readyz says 503, for instance while the broker takes its leave. */
void api_set_ready(struct api *api, bool is_ready);

DEFINE_AUTO(struct api *, api_close)
