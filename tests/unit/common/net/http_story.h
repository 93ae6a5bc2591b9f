/* A server and its client in one thread: the test says something over a real socket, answers what
 * comes out of the lane, and reads what the client hears. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "common/base/buf.h"
#include "common/net/http_server.h"

enum { STORY_WAIT_MS = 10000, STORY_PATIENCE_MS = 60000 };

struct http_story {
    struct http_server *server;
    int fds_before;
    char folder[64];
};

/* `head`: NULL takes every request with a body of up to 1,000 bytes in memory. */
void story_open(struct http_story *story, struct http_server_options options);
/* Closes the server and asserts that no descriptor is left. */
void story_close(struct http_story *story);

int story_connect(const struct http_story *story);
void story_say(int fd, const char *text);
/* What came until `until` was in it, or (NULL) until the server closed. */
const char *story_hear(int fd, const char *until);
/* The next request; fails if none comes. */
struct httpd_request *story_take(struct http_story *story);
/* True if the lane stays silent although the server has read all that was said before: a request
 * that is refused on another connection proves it. */
bool story_is_silent(struct http_story *story);
void story_answer(struct http_story *story, uint64_t id, unsigned status, const char *body);
