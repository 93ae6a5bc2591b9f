/* Who may join and where: the broker's identity, the list of workers, the endpoint; and the clock,
 * by which other machines judge what we send them. */
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "broker/app/doctor.h"
#include "broker/work/allow_list.h"
#include "common/base/doc.h"
#include "common/crypto/identity.h"
#include "common/fs.h"

static void check_identity(struct doctor *d)
{
    struct err err = {0};
    AUTO(signer_free) struct signer *signer = NULL;
    const struct local *app = d->app;
    enum status status = identity_read(app->key_path, &signer, &err);
    if (status == E_NOTFOUND && !app->wants_keys)
        doctor_put(d, "identity", true,
                   doc_format(d->arena, "%s: none; only workers of other machines need one",
                              app->key_path),
                   "");
    else
        doctor_put(d, "identity", status == OK,
                   doc_format(d->arena, "%s", status == OK ? app->key_path : err.text),
                   status == E_NOTFOUND ? "broker keys init makes one; --key names another file"
                                        : "chmod 600 it, or make another one: broker keys init");
}

/* Whoever listens for others, or names a list, and lets nobody in has forgotten something; an
 * identity alone may be there to sign with. */
static void check_workers(struct doctor *d)
{
    struct err err = {0};
    AUTO(allow_list_fini) struct allow_list list = {0};
    const struct local *app = d->app;
    bool is_asked = app->wants_keys || app->names_workers;
    if (!fs_exists(app->workers_path) && !is_asked)
        return;
    enum status status = allow_list_read(app->workers_path, &list, &err);
    if (status == OK)
        status = allow_list_derive(&list, NULL, &err);
    doctor_put(d, "workers", status == OK && (list.count || !is_asked),
               status != OK
                   ? doc_format(d->arena, "%s", err.text)
                   : doc_format(d->arena, "%u may join (%s)", list.count, app->workers_path),
               status == OK           ? "broker keys add NAME lets one in"
               : status == E_NOTFOUND ? "broker keys init makes one; --workers-file names another"
                                      : "mend that line: a public key, a space, a name");
}

/* Could a broker listen there now? */
static int try_to_listen(const struct endpoint *endpoint)
{
    struct addrinfo hints = {.ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM}, *found = NULL;
    char host[sizeof endpoint->host];
    int yes = 1, error = 0;
    size_t bytes = strlen(endpoint->host);
    bool has_brackets = endpoint->is_ipv6 && bytes > 2;
    memcpy(host, endpoint->host + has_brackets, bytes + 1 - has_brackets);
    if (has_brackets)
        host[bytes - 2] = 0;
    const char *port = strcmp(endpoint->port, "*") == 0 ? "0" : endpoint->port;
    if (getaddrinfo(strcmp(host, "*") == 0 ? NULL : host, port, &hints, &found) != 0)
        return EADDRNOTAVAIL;
    AUTO(fs_close_fd) int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0 ||
        bind(fd, found->ai_addr, found->ai_addrlen) != 0 || listen(fd, 1) != 0)
        error = errno;
    freeaddrinfo(found);
    return error;
}

static void check_listen(struct doctor *d)
{
    const struct local *app = d->app;
    if (!app->listen.host[0])
        return;
    int error = try_to_listen(&app->listen);
    doctor_put(d, "listen", !error,
               doc_format(d->arena, "%s%s%s", app->endpoint, error ? ": " : "",
                          error ? strerror(error) : ""),
               error == EADDRINUSE
                   ? "another program listens there: end it, or choose another port with --listen"
                   : "give an address of this machine, or *, with --listen");
}

/* What was written here cannot have been written later than now. S3 refuses what is 15 minutes off;
 * other machines' lines do not sort beside ours. */
static void check_clock(struct doctor *d)
{
    enum { AHEAD_S = 60 };
    const char *const files[] = {d->app->state_url, d->app->key_path, d->app->workers_path,
                                 d->app->home};
    struct stat info;
    time_t now = time(NULL), newest = 0;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (stat(files[i], &info) == 0 && info.st_mtim.tv_sec > newest)
            newest = info.st_mtim.tv_sec;
    bool ok = newest <= now + AHEAD_S;
    doctor_put(
        d, "clock", ok,
        ok ? doc_format(d->arena, "nothing here is of later than now")
           : doc_format(d->arena, "files here are %lld s of the future", (long long)(newest - now)),
        "set the clock (timedatectl set-ntp true)");
}

void doctor_keys(struct doctor *doctor)
{
    check_identity(doctor);
    check_workers(doctor);
    check_listen(doctor);
    check_clock(doctor);
}
