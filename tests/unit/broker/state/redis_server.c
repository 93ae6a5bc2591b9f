// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/broker/state/redis_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/state/redis_link.h"
#include "common/clock.h"
#include "common/fs.h"

enum { ARGUMENTS_MAX = 32, START_MS = 10000 };

bool redis_server_is_there(void)
{
    static const char *const places[] = {"/usr/bin/redis-server", "/usr/local/bin/redis-server"};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (access(places[i], X_OK) == 0)
            return true;
    fprintf(stderr, "skipped: there is no redis-server (make setup-test)\n");
    return false;
}

static uint16_t free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, bytes), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &bytes), 0);
    close(fd);
    return ntohs(address.sin_port);
}

static void wait_until_it_answers(const struct redis_server *server)
{
    struct redis_url url;
    assert_int_equal(redis_url_parse(server->url, &url, NULL), OK);
    for (ms_t end = clock_ms() + START_MS; clock_ms() < end; usleep(5000)) {
        struct redis_link *link = NULL;
        struct redis_reply *reply;
        struct err err = {0};
        enum status status = redis_link_open(&url, &link, &err);
        if (status == OK) {
            status = redis_link_ask(link, (const char *const[]){"PING", NULL}, &reply, &err);
            redis_link_close(link);
        }
        if (status == OK || status == E_DENIED) {
            redis_url_fini(&url);
            return;
        }
    }
    fail_msg("redis-server did not start");
}

void redis_server_restart(struct redis_server *server, const char *const *more)
{
    char socket[96], port[8];
    snprintf(socket, sizeof socket, "%s/sock", server->folder);
    snprintf(port, sizeof port, "%u", server->port);
    const char *arguments[ARGUMENTS_MAX] = {
        "redis-server", "--port", port, "--bind",     "127.0.0.1", "--unixsocket", socket, "--dir",
        server->folder, "--save", "",   "--loglevel", "warning",   "--logfile",    "log"};
    size_t count = 15;
    for (; more && *more; more++)
        arguments[count++] = *more;
    pid_t test = getpid();
    server->pid = fork();
    if (server->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() == test)
            execvp("redis-server", (char *const *)(uintptr_t)arguments);
        _exit(127);
    }
    wait_until_it_answers(server);
}

void redis_server_start(struct redis_server *server, const char *const *more)
{
    *server = (struct redis_server){.folder = "/tmp/penstock-redis-XXXXXX"};
    assert_non_null(mkdtemp(server->folder));
    snprintf(server->url, sizeof server->url, "redis+unix://%s/sock", server->folder);
    server->port = free_port();
    redis_server_restart(server, more);
}

void redis_server_kill(struct redis_server *server)
{
    kill(server->pid, SIGKILL);
    waitpid(server->pid, NULL, 0);
    server->pid = 0;
}

void redis_server_stop(struct redis_server *server)
{
    if (server->pid)
        redis_server_kill(server);
    assert_int_equal(fs_remove_tree(server->folder, NULL), OK);
}

const char *redis_server_ask(const struct redis_server *server, const char *const *words)
{
    static char text[4096];
    struct redis_url url;
    struct redis_link *link;
    struct redis_reply *reply = NULL;
    struct err err = {0};
    assert_int_equal(redis_url_parse(server->url, &url, NULL), OK);
    if (redis_link_open(&url, &link, &err) != OK || redis_link_ask(link, words, &reply, &err) != OK)
        fail_msg("%s: %s", words[0], err.text);
    text[0] = '\0';
    if (reply->type == REDIS_TEXT)
        snprintf(text, sizeof text, "%s", reply->text);
    else if (reply->type == REDIS_NUMBER)
        snprintf(text, sizeof text, "%lld", (long long)reply->number);
    redis_link_close(link);
    redis_url_fini(&url);
    return text;
}
