/* A real redis-server of a test's own: on a unix socket and a free port, its files in a folder
 * below /tmp that goes with it. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct redis_server {
    char folder[64];
    char url[128]; /* redis+unix://… */
    uint16_t port;
    pid_t pid;
};

/* false: this machine has no redis-server (said in one line). */
bool redis_server_is_there(void);
/* Starts it with more arguments, NULL-terminated ("--appendonly", "yes", …), and waits until it
 * answers. */
void redis_server_start(struct redis_server *server, const char *const *more);
/* The same again after redis_server_kill: what it kept on disk is there. */
void redis_server_restart(struct redis_server *server, const char *const *more);
void redis_server_kill(struct redis_server *server);
/* Ends it and removes its folder. */
void redis_server_stop(struct redis_server *server);
/* One command of words, NULL-terminated; its answer as a text (a number in digits, nil ""), valid
 * until the next call. */
const char *redis_server_ask(const struct redis_server *server, const char *const *words);
