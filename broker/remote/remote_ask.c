// SPDX-License-Identifier: Apache-2.0
#include <poll.h>
#include <string.h>

#include "broker/remote/remote.h"
#include "common/clock.h"
#include "common/text/json.h"

enum { WHOLE_MS = 60000, SHORT_SECONDS = 5, TRIES = 3, STEP_MS = 250, ANSWER_BYTES_MAX = 1 << 30 };

void remote_put_escaped(struct buf *out, const char *text)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "-._~/=,";
    for (; *text; text++) {
        if (strchr(plain, *text))
            buf_put_char(out, *text);
        else
            buf_format(out, "%%%02X", (unsigned)(unsigned char)*text);
    }
}

size_t remote_headers(const struct remote *remote, bool with_token,
                      struct http_header out[REMOTE_HEADERS_MAX])
{
    size_t count = 0;
    if (with_token && remote->authorization)
        out[count++] = (struct http_header){"Authorization", remote->authorization};
    return count;
}

bool remote_is_server(const struct remote *remote, const char *url, size_t *index)
{
    for (size_t i = 0; i < remote->server_count; i++) {
        size_t bytes = strlen(remote->servers[i]);
        if (strncmp(url, remote->servers[i], bytes) == 0 && (url[bytes] == '/' || !url[bytes])) {
            *index = i;
            return true;
        }
    }
    return false;
}

/* ---- what an answer means ---- */

static enum status plain_error(struct http_call *call, struct err *err)
{
    int status = http_status(call);
    if (status == 502 || status == 504)
        return err_set(err, E_UNREACHABLE, "%s: a proxy says %d: the broker behind it is away",
                       http_place(call), status);
    return err_set(err, E_PROTOCOL, "%s: answered %d, and not as a broker does", http_place(call),
                   status);
}

enum status remote_error(struct remote *remote, struct http_call *call, struct err *err)
{
    AUTO(arena_fini) struct arena arena = {0};
    struct buf *body = http_error_body(call);
    struct value answer = {0};
    if (json_parse("answer", buf_text(body), body->count, &arena, &answer, NULL) != OK ||
        answer.type != VALUE_MAP)
        return plain_error(call, err);
    const struct value *error = value_get(&answer, "error");
    const char *code = error && error->type == VALUE_MAP ? value_get_text(error, "code") : NULL;
    const char *message = code ? value_get_text(error, "message") : NULL;
    if (!message)
        return plain_error(call, err);
    const struct value *problems = value_get(error, "problems");
    for (uint32_t i = 0; problems && problems->type == VALUE_ARRAY && i < problems->count; i++)
        if (problems->items[i].type == VALUE_STRING)
            buf_format(&remote->diagnostics.text, "%s\n", problems->items[i].text);
    enum status status = status_parse(code);
    if (http_status(call) == 401)
        return err_set(err, E_DENIED,
                       "%s: %s; set PENSTOCK_TOKEN to what is in the broker's read.token or "
                       "write.token, or name the file with --token-file",
                       remote->servers[remote->server],
                       remote->authorization ? "the token is not this broker's"
                                             : "this broker wants a token");
    return err_set(err, status == STATUS_COUNT || status == OK ? E_PROTOCOL : status, "%s",
                   message);
}

enum status remote_refuse(const struct remote *remote, const struct http_call *call,
                          struct err *err)
{
    const char *location = http_header(call, "location"), *server = remote->servers[remote->server];
    size_t index;
    if (location && remote_is_server(remote, location, &index))
        return err_set(err, E_UNREACHABLE, "%s: sends on to %s, which does not answer yet", server,
                       remote->servers[index]);
    return err_set(err, E_DENIED,
                   "%s: sends on to %.200s, which was not named; the token goes only to servers "
                   "that are: --server %s,URL",
                   server, location ? location : "(nowhere)", server);
}

/* `why` begins with the URL, which says nothing new. */
static enum status unreachable(const struct remote *remote, const struct err *why, struct err *err)
{
    const char *server = remote->servers[remote->server], *reason = strstr(why->text, ": ");
    return err_set(err, E_UNREACHABLE,
                   "%s: no broker answers there (%s); start one with: broker serve, or name "
                   "another with --server or PENSTOCK_SERVER",
                   server, reason ? reason + 2 : why->text);
}

/* ---- one request ---- */

struct exchange {
    struct remote *remote;
    const struct http_request *request; /* url and headers are filled in here */
    const char *path;
    bool is_repeatable;           /* twice is as good as once */
    void (*again)(void *context); /* NULL: nothing to do */
    int tries;
    size_t steps; /* from one server to another */
    ms_t until;   /* 0: nobody has been waited for */
};

/* Once around at once; then it is waited for whoever takes the lead. */
static bool may_step(struct exchange *x)
{
    ms_t now = clock_ms();
    if (++x->steps <= x->remote->server_count)
        return true;
    if (!x->until)
        x->until = now + x->remote->patience_ms;
    poll(NULL, 0, STEP_MS);
    return now < x->until;
}

static bool goes_to_next(struct exchange *x)
{
    struct remote *remote = x->remote;
    if (remote->server_count == 1 || !may_step(x))
        return false;
    remote->server = (remote->server + 1) % remote->server_count;
    return true;
}

/* No answer came. True: again. */
static bool tries_again(struct exchange *x, struct http_call *call)
{
    enum http_fault fault = http_fault(call);
    if (fault == HTTP_NO_HOST || fault == HTTP_NO_CONNECTION)
        return goes_to_next(x);
    if ((fault != HTTP_BROKEN && fault != HTTP_TOO_SLOW) || !x->is_repeatable ||
        ++x->tries == TRIES)
        return false;
    x->remote->server = (x->remote->server + 1) % x->remote->server_count;
    return true;
}

/* Does it say that another broker answers this? A store's URL is something else. */
static bool is_sent_on(const struct exchange *x, const struct http_call *call)
{
    const char *location = http_status(call) == 307 ? http_header(call, "location") : NULL;
    size_t bytes = location ? strlen(location) : 0, path = strlen(x->path);
    return bytes > path && strncmp(location, "http", 4) == 0 &&
           strcmp(location + bytes - path, x->path) == 0;
}

/* True: another server is to be asked. One that was not named is not talked to: another of those
 * that were may know better, or lead by then. */
static bool is_elsewhere(struct exchange *x, const struct http_call *call)
{
    size_t index;
    if (is_sent_on(x, call) && remote_is_server(x->remote, http_header(call, "location"), &index)) {
        x->remote->server = index;
        return may_step(x);
    }
    return (is_sent_on(x, call) || http_status(call) == 503) && goes_to_next(x);
}

static enum status exchange(struct exchange *x, struct http_call **out, struct err *err)
{
    struct remote *remote = x->remote;
    for (;;) {
        AUTO(buf_fini) struct buf url = buf_init(0);
        struct err why;
        struct http_request request = *x->request;
        buf_format(&url, "%s%s", remote->servers[remote->server], x->path);
        request.url = buf_text(&url);
        AUTO(http_end) struct http_call *call = http_do(remote->http, &request);
        enum status status = http_result(call, &why);
        if (status == OK && !is_elsewhere(x, call)) {
            if (is_sent_on(x, call))
                return remote_refuse(remote, call, err);
            *out = TAKE(call);
            return OK;
        }
        if (status != OK && !tries_again(x, call))
            return status == E_UNREACHABLE ? unreachable(remote, &why, err)
                                           : err_set(err, status, "%s", why.text);
        if (x->request->out)
            buf_clear(x->request->out);
        if (x->again)
            x->again(x->request->context);
    }
}

enum status remote_ask(struct remote *remote, const struct remote_ask *ask, struct arena *arena,
                       struct value *out, struct err *err)
{
    struct http_header headers[REMOTE_HEADERS_MAX];
    AUTO(buf_fini) struct buf body = buf_init(0), answer = buf_init(ANSWER_BYTES_MAX);
    size_t count = remote_headers(remote, true, headers);
    headers[count++] = (struct http_header){"Accept", "application/json"};
    if (ask->body) {
        json_write(ask->body, 0, &body);
        headers[count++] = (struct http_header){"Content-Type", "application/json"};
    }
    if (ask->key)
        headers[count++] = (struct http_header){"Idempotency-Key", ask->key};
    struct http_request request = {.method = ask->method,
                                   .headers = headers,
                                   .header_count = count,
                                   .body = body.bytes,
                                   .body_bytes = body.count,
                                   .out = &answer,
                                   .whole_ms = ask->whole_ms ? ask->whole_ms : WHOLE_MS};
    struct exchange x = {.remote = remote,
                         .request = &request,
                         .path = ask->path,
                         .is_repeatable =
                             ask->key || ask->is_repeatable || strcmp(ask->method, "GET") == 0};
    AUTO(http_end) struct http_call *call = NULL;
    TRY(exchange(&x, &call, err));
    if (http_status(call) / 100 != 2)
        return remote_error(remote, call, err);
    return json_parse(http_place(call), buf_text(&answer), answer.count, arena, out, err);
}

/* ---- bytes ---- */

/* Where a store keeps them itself: nobody there needs our token. */
static enum status get_elsewhere(struct remote *remote, const char *url,
                                 const struct remote_sink *sink, struct err *err)
{
    struct http_request request = {.method = "GET",
                                   .url = url,
                                   .write = sink->write,
                                   .context = sink->context,
                                   .slow_bytes = 1,
                                   .slow_seconds = WHOLE_MS / 1000};
    AUTO(http_end) struct http_call *call = http_do(remote->http, &request);
    TRY(http_result(call, err));
    if (http_status(call) / 100 != 2)
        return err_set(err, http_status(call) == 404 ? E_NOTFOUND : E_UNREACHABLE,
                       "%s: the store answered %d", http_place(call), http_status(call));
    return OK;
}

enum status remote_get(struct remote *remote, const char *path, const struct remote_sink *sink,
                       struct err *err)
{
    struct http_header headers[REMOTE_HEADERS_MAX];
    struct http_request request = {.method = "GET",
                                   .headers = headers,
                                   .header_count = remote_headers(remote, true, headers),
                                   .write = sink->write,
                                   .context = sink->context,
                                   .slow_bytes = 1,
                                   .slow_seconds = sink->again ? SHORT_SECONDS : WHOLE_MS / 1000};
    struct exchange x = {.remote = remote,
                         .request = &request,
                         .path = path,
                         .is_repeatable = sink->again != NULL,
                         .again = sink->again};
    AUTO(http_end) struct http_call *call = NULL;
    TRY(exchange(&x, &call, err));
    const char *location = http_header(call, "location");
    if (http_status(call) == 307 && location)
        return get_elsewhere(remote, location, sink, err);
    if (http_status(call) / 100 != 2)
        return remote_error(remote, call, err);
    if (sink->headers)
        sink->headers(sink->context, call);
    return OK;
}
