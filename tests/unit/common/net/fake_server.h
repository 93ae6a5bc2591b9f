/* An HTTP server for tests, in a thread: it gives one scripted answer per request, in order, and
 * keeps what was asked. One connection at a time. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "common/base/arena.h"
#include "common/base/buf.h"

struct fake_server;

/* An answer with its length; `status` is "200 OK", and may go on with "\r\nName: value". */
const char *fake_answer(struct arena *names, const char *status, const char *body);
/* What goes back for each request, NULL-terminated: whole answers ("HTTP/1.1 200 OK\r\n…"). An
 * empty one closes the connection instead; one that begins with '!' is sent without the '!', then
 * the connection is closed; "~" stays silent until the other side is gone. */
struct fake_server *fake_start(const char *const *answers);
/* Waits until the thread is done: all answers given, or nobody asks any more. */
void fake_stop(struct fake_server *server);
int fake_port(const struct fake_server *server);
/* "http://127.0.0.1:PORT" and `path`; lives as long as the server. */
const char *fake_url(struct fake_server *server, const char *path);
/* All requests so far, heads and bodies one after the other. Ask after the answers. */
const char *fake_requests(struct fake_server *server);
/* Connections that were taken. */
int fake_connections(struct fake_server *server);
