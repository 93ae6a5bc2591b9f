// SPDX-License-Identifier: Apache-2.0
#include "broker/work/auth.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <zmq.h>

#include "broker/work/allow_list.h"
#include "broker/work/router.h"
#include "common/base/mem.h"
#include "common/clock.h"
#include "common/log.h"

enum {
    PARTS_MAX = 8,   /* of a request; CURVE's has 7 */
    PART_BYTES = 256 /* kept of each */
};

/* Refusals are logged once in a while: whoever can reach the port could fill a disk else. */
enum { REFUSALS_MS = 1000 };

struct auth {
    void *socket, *pipe[2]; /* pipe: ours, the thread's */
    pthread_t thread;
    bool is_running;
    char *path;
    struct allow_watch watch;
    ms_t told_at;
    uint32_t untold;
};

static const char asking[] = "inproc://zeromq.zap.01", ending[] = "inproc://penstock-auth";

/* Parts of a request by RFC 27. */
enum { VERSION, REQUEST, DOMAIN, ADDRESS, ROUTING, MECHANISM, CREDENTIALS };

struct request {
    char parts[PARTS_MAX][PART_BYTES + 1]; /* NUL-terminated */
    size_t bytes[PARTS_MAX];
    uint32_t count;
};

static bool receive(struct auth *auth, struct request *out)
{
    int more = 1;
    for (out->count = 0; more; out->count++) {
        char waste[PART_BYTES + 1];
        char *part = out->count < PARTS_MAX ? out->parts[out->count] : waste;
        size_t option_bytes = sizeof more;
        int got = zmq_recv(auth->socket, part, PART_BYTES, 0);
        if (got < 0)
            return false;
        size_t bytes = got > PART_BYTES ? PART_BYTES : (size_t)got;
        part[bytes] = 0;
        if (out->count < PARTS_MAX)
            out->bytes[out->count] = bytes;
        zmq_getsockopt(auth->socket, ZMQ_RCVMORE, &more, &option_bytes);
    }
    return true;
}

static bool is_part(const struct request *request, uint32_t index, const char *text)
{
    return request->bytes[index] == strlen(text) && strcmp(request->parts[index], text) == 0;
}

/* The entry of the key that was proved, or NULL. */
static const struct allow_entry *find(struct auth *auth, const struct request *request)
{
    struct id wire;
    bool is_new;
    struct err err = {0};
    if (request->count != CREDENTIALS + 1 || !is_part(request, VERSION, "1.0") ||
        !is_part(request, DOMAIN, AUTH_DOMAIN) || !is_part(request, MECHANISM, "CURVE") ||
        request->bytes[CREDENTIALS] != sizeof wire.bytes)
        return NULL;
    if (allow_watch_look(&auth->watch, &is_new, &err) != OK)
        log_event(LOG_ERROR, "keys.unread", "error=\"%s\"", err.text);
    memcpy(wire.bytes, request->parts[CREDENTIALS], sizeof wire.bytes);
    return allow_watch_find_wire(&auth->watch, &wire);
}

static void tell_refused(struct auth *auth, const struct request *request)
{
    ms_t now = clock_ms();
    auth->untold++;
    if (now < auth->told_at + REFUSALS_MS)
        return;
    log_event(LOG_WARN, "connection.refused",
              "address=%s reason=\"its key is not on the list %s\""
              " count=%u",
              request->count > ADDRESS ? request->parts[ADDRESS] : "", auth->path, auth->untold);
    auth->told_at = now;
    auth->untold = 0;
}

static void answer(struct auth *auth)
{
    struct request request = {0};
    char user[ID_HEX_BYTES] = "";
    if (!receive(auth, &request))
        return;
    const struct allow_entry *entry = find(auth, &request);
    if (entry)
        id_hex(&entry->key, user);
    else
        tell_refused(auth, &request);
    const char *code = entry ? "200" : "400", *text = entry ? "OK" : "not on the list";
    zmq_send(auth->socket, "1.0", 3, ZMQ_SNDMORE);
    zmq_send(auth->socket, request.parts[REQUEST], request.bytes[REQUEST], ZMQ_SNDMORE);
    zmq_send(auth->socket, code, 3, ZMQ_SNDMORE);
    zmq_send(auth->socket, text, strlen(text), ZMQ_SNDMORE);
    zmq_send(auth->socket, user, strlen(user), ZMQ_SNDMORE);
    zmq_send(auth->socket, "", 0, 0);
}

/* Until its pipe says anything: it is told nothing but to end. */
static void *serve(void *context)
{
    struct auth *auth = context;
    zmq_pollitem_t items[] = {{auth->pipe[1], 0, ZMQ_POLLIN, 0}, {auth->socket, 0, ZMQ_POLLIN, 0}};
    while (!(items[0].revents & ZMQ_POLLIN)) {
        if (items[1].revents & ZMQ_POLLIN)
            answer(auth);
        if (zmq_poll(items, 2, -1) < 0 && zmq_errno() != EINTR)
            break;
    }
    return NULL;
}

static bool open_pipe(struct auth *auth, void *context)
{
    for (int i = 0; i < 2; i++)
        auth->pipe[i] = zmq_socket(context, ZMQ_PAIR);
    return auth->pipe[0] && auth->pipe[1] && zmq_bind(auth->pipe[0], ending) == 0 &&
           zmq_connect(auth->pipe[1], ending) == 0;
}

/* Signals are the program's other thread's. */
static bool start_thread(struct auth *auth)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    auth->is_running = pthread_create(&auth->thread, NULL, serve, auth) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return auth->is_running;
}

enum status auth_start(void *context, const struct router_keys *keys, struct auth **out,
                       struct err *err)
{
    *out = NULL;
    AUTO(auth_stop) struct auth *auth = mem_alloc(sizeof *auth);
    auth->path = mem_copy_text(keys->workers_path, strlen(keys->workers_path));
    auth->watch = allow_watch_of(auth->path, signer_public(keys->identity));
    auth->watch.needs_wire = true;
    auth->socket = zmq_socket(context, ZMQ_REP);
    if (!auth->socket || zmq_bind(auth->socket, asking) != 0)
        return err_set(err, E_CONFLICT, "cannot answer for keys in this process: %s",
                       zmq_strerror(zmq_errno()));
    if (!open_pipe(auth, context) || !start_thread(auth))
        return err_set(err, E_IO, "cannot start the thread that answers for keys");
    *out = TAKE(auth);
    return OK;
}

/* The library gets round to a closed socket some time; a name that is given up is free at once. */
static void close_socket(void *socket, const char *bound)
{
    int none = 0;
    if (!socket)
        return;
    if (bound)
        zmq_unbind(socket, bound);
    zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof none);
    zmq_close(socket);
}

void auth_stop(struct auth *auth)
{
    if (auth->is_running) {
        zmq_send(auth->pipe[0], "", 0, 0);
        pthread_join(auth->thread, NULL);
    }
    close_socket(auth->pipe[0], ending);
    close_socket(auth->pipe[1], NULL);
    close_socket(auth->socket, asking);
    allow_list_fini(&auth->watch.list);
    mem_free(auth->path);
    mem_free(auth);
}
