/* Where workers other than the local one join. At an endpoint of this machine alone whoever can
 * reach the socket can take part in the run; at any other, who has a key of the list (keys.c). With
 * keys the socket of the local worker asks for one, too: it is within reach of the programs of
 * steps, which can't read the broker's. */
// SPDX-License-Identifier: Apache-2.0
#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "broker/app/local.h"
#include "common/fs.h"
#include "common/log.h"
#include "common/program.h"

static const char ipc[] = "ipc://";

enum status listen_prepare(struct local *app, const struct app_options *options, struct err *err)
{
    bool has_keys = options->with_keys;
    if (options->with_keys && options->insecure)
        return err_set(err, E_INVALID, "--curve and --insecure: say one of them");
    if (options->listen) {
        TRY(endpoint_parse("--listen", options->listen, ENDPOINT_LISTEN, &app->listen, err));
        app->is_insecure = options->insecure && !app->listen.is_local;
        has_keys |= !app->listen.is_local && !options->insecure;
    } else if (has_keys) {
        return err_set(err, E_INVALID, "--curve: say where to listen, with --listen ENDPOINT");
    }
    app->wants_keys = has_keys;
    if (!has_keys || options->looks_only)
        return OK;
    enum status status = keys_read(app, &app->identity, err);
    if (status == OK)
        status = keys_check_list(app, err);
    return status == OK ? OK : err_prefix(err, "--listen %s", options->listen);
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

/* Each worker takes a descriptor, and this is what the limit can be raised to. */
static void raise_files(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur == files.rlim_max)
        return;
    files.rlim_cur = files.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &files) != 0)
        log_event(LOG_WARN, "files.limited", "reason=\"the limit could not be raised\"");
}

enum status listen_open(struct local *app, struct err *err)
{
    char here[PATH_MAX + sizeof ipc];
    const struct router_keys keys = {app->identity, app->workers_path};
    struct router_options options = {.endpoint = app->endpoint,
                                     .epoch = app->state ? state_epoch(app->state)
                                                         : 0, /* the loop says it again */
                                     .lease_ms = app->lease_ms};
    TRY(check_path(app->endpoint, err));
    if (app->identity) {
        options.keys = &keys;
        snprintf(here, sizeof here, "%s%s/work.sock", ipc, app->home);
        if (app->slots && strcmp(here, app->endpoint) != 0) {
            TRY(check_path(here, err));
            options.local_endpoint = here;
        }
    }
    raise_files();
    TRY(router_open(&options, &app->router, err));
    if (app->is_insecure)
        log_event(LOG_WARN, "listen.insecure",
                  "endpoint=%s reason=\"whoever can reach it can join and read all that is sent "
                  "(--insecure)\"",
                  router_endpoint(app->router));
    return OK;
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

static void put_flag(struct buf *out, const char *flag, const char *value)
{
    buf_put_text(out, flag);
    put_word(out, value);
}

/* As others reach it: 0.0.0.0 is no address to connect to. */
static void put_broker(const struct local *app, struct buf *out)
{
    char host[HOST_NAME_MAX + 1] = "", text[ENDPOINT_BYTES_MAX + HOST_NAME_MAX];
    struct endpoint bound;
    const char *endpoint = router_endpoint(app->router);
    snprintf(text, sizeof text, "%s", endpoint);
    if (endpoint_parse(NULL, endpoint, ENDPOINT_LISTEN, &bound, NULL) == OK && bound.is_any_host &&
        gethostname(host, sizeof host - 1) == 0)
        snprintf(text, sizeof text, "tcp://%s:%s", host, bound.port);
    put_flag(out, " --broker ", text);
}

static void put_keys(const struct local *app, struct buf *out)
{
    char hex[ID_HEX_BYTES];
    buf_format(out, " --key FILE --broker-key %s", keys_hex(app, hex));
}

/* Here, paths stay relative, as they were given: it goes to where they hold. */
void listen_put_command(const struct local *app, struct buf *out)
{
    char here[PATH_MAX], path[PATH_MAX];
    bool is_remote = app->listen.host[0] && !app->listen.is_local;
    if (!is_remote && getcwd(here, sizeof here)) {
        put_flag(out, "cd ", here);
        buf_put_text(out, " && ");
    }
    bool has_program = !is_remote && program_sibling("worker", path, NULL) == OK;
    put_word(out, has_program ? path : "worker");
    put_broker(app, out);
    if (app->identity)
        put_keys(app, out);
    else if (app->is_insecure)
        buf_put_text(out, " --insecure");
    bool is_folder = is_remote && !strstr(app->store_url, "://") && realpath(app->store_url, path);
    put_flag(out, " --store ", is_folder ? path : app->store_url);
    if (!is_remote)
        put_flag(out, " --cache ", app->worker_cache);
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
