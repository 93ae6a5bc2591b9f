/* Where workers other than the local one join: endpoints of this machine alone, since links are
 * neither encrypted nor authenticated. Whoever can reach the socket can take part in the run. */
// SPDX-License-Identifier: Apache-2.0
#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "broker/app/local.h"
#include "common/fs.h"
#include "common/program.h"

static const char ipc[] = "ipc://", tcp[] = "tcp://127.0.0.1:";

static bool is_port(const char *text)
{
    char *end;
    if (strcmp(text, "*") == 0)
        return true;
    long port = isdigit((unsigned char)*text) ? strtol(text, &end, 10) : 0;
    return port >= 1 && port <= UINT16_MAX && !*end;
}

enum status listen_check(const char *endpoint, struct err *err)
{
    if (strncmp(endpoint, ipc, strlen(ipc)) == 0) {
        size_t bytes = strlen(endpoint + strlen(ipc));
        if (bytes > IPC_PATH_BYTES_MAX)
            return err_set(err, E_INVALID, "%.60s…: a socket's path has at most %d bytes, not %zu",
                           endpoint, IPC_PATH_BYTES_MAX, bytes);
        if (bytes)
            return OK;
    } else if (strncmp(endpoint, tcp, strlen(tcp)) == 0 && is_port(endpoint + strlen(tcp))) {
        return OK;
    }
    return err_set(err, E_INVALID,
                   "%s: expected ipc://PATH, tcp://127.0.0.1:PORT or tcp://127.0.0.1:* (links are "
                   "not encrypted, so workers join from this machine alone)",
                   endpoint);
}

/* ZeroMQ removes what lies at an ipc path before it binds there: that must be neither a file of
 * somebody nor the socket of a broker that lives. */
static enum status check_path(const char *endpoint, struct err *err)
{
    struct stat about;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = endpoint + strlen(ipc);
    if (strncmp(endpoint, ipc, strlen(ipc)) != 0 || lstat(path, &about) != 0)
        return OK;
    if (!S_ISSOCK(about.st_mode))
        return err_set(err, E_INVALID, "%s: a file is there that is no socket; choose another path",
                       endpoint);
    AUTO(fs_close_fd) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof address) == 0)
        return err_set(err, E_CONFLICT, "%s: another program listens there", endpoint);
    return OK;
}

enum status listen_open(struct local *app, struct err *err)
{
    TRY(check_path(app->endpoint, err));
    struct router_options options = {
        .endpoint = app->endpoint, .epoch = state_epoch(app->state), .lease_ms = app->lease_ms};
    return router_open(&options, &app->router, err);
}

/* A word that a shell reads as it stands. */
static void put_word(struct buf *out, const char *word)
{
    bool is_plain = *word != 0;
    for (const char *c = word; *c; c++)
        is_plain &= isalnum((unsigned char)*c) || strchr("/._-:=+,@%", *c) != NULL;
    if (is_plain) {
        buf_put_text(out, word);
        return;
    }
    buf_put_char(out, '\'');
    for (const char *c = word; *c; c++)
        if (*c == '\'')
            buf_put_text(out, "'\\''");
        else
            buf_put_char(out, *c);
    buf_put_char(out, '\'');
}

/* Paths stay relative, as they were given: it goes to where they hold. */
void listen_put_command(const struct local *app, struct buf *out)
{
    char here[PATH_MAX], worker[PATH_MAX];
    if (getcwd(here, sizeof here)) {
        buf_put_text(out, "cd ");
        put_word(out, here);
        buf_put_text(out, " && ");
    }
    put_word(out, program_sibling("worker", worker, NULL) == OK ? worker : "worker");
    const char *const flags[][2] = {{" --broker ", router_endpoint(app->router)},
                                    {" --store ", app->store_url},
                                    {" --cache ", app->worker_cache}};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        buf_put_text(out, flags[i][0]);
        put_word(out, flags[i][1]);
    }
}

bool local_joining(const struct app *base, struct buf *out)
{
    const struct local *app = (const struct local *)base;
    if (!app->router)
        return false;
    buf_format(out, "listening at %s; to join: ", router_endpoint(app->router));
    listen_put_command(app, out);
    return true;
}
