// SPDX-License-Identifier: Apache-2.0
#include "common/net/http_client.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>

#include "common/base/assert.h"
#include "common/base/mem.h"
#include "common/clock.h"
#include "common/net/curl_ready.h"
#include "common/net/http_fault.h"
#include "proto/limits.h"

enum { SAME_HOST_MAX = 8, IDLE_MAX = 16, WAIT_MS = 1000, PIECE_BYTES = 512 << 10 };

struct http {
    CURLM *multi;
    char *ca_file;
    uint32_t connect_ms;
    CURL *idle[IDLE_MAX]; /* handles to use again: making one costs more than a small request */
    size_t idle_count, running;
    struct http_call *calls; /* all that have not been given back */
    struct http_call *ended; /* by http_do's waiting, still to be handed out; newest first */
};

struct http_call {
    struct http *http;
    struct http_call *before, *after; /* in http->calls */
    struct http_call *next_ended;
    CURL *easy;
    struct curl_slist *headers;
    struct http_request request; /* its texts are not used once the call has begun */
    void *owner;
    char *place;
    uint64_t sent; /* offset of what is read next */
    bool is_running, is_success, has_bad_header;
    struct buf answer_headers; /* "name: value\0" each, names in lower case */
    struct buf error_body;
    enum http_fault fault;
    struct err err;
    char curl_text[CURL_ERROR_SIZE];
};

enum status http_open(const struct http_options *options, struct http **out, struct err *err)
{
    *out = NULL;
    curl_ready();
    CURLM *multi = curl_multi_init();
    if (!multi)
        return err_set(err, E_NOMEM, "no memory for an HTTP client");
    uint32_t most = options->same_host_max ? options->same_host_max : SAME_HOST_MAX;
    curl_multi_setopt(multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)most);
    curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)most + 4);
    struct http *http = mem_alloc(sizeof *http);
    *http = (struct http){
        .multi = multi, .connect_ms = options->connect_ms ? options->connect_ms : HTTP_CONNECT_MS};
    if (options->ca_file && *options->ca_file)
        http->ca_file = mem_copy_text(options->ca_file, strlen(options->ca_file));
    *out = http;
    return OK;
}

void http_close(struct http *http)
{
    while (http->calls)
        http_end(http->calls);
    for (size_t i = 0; i < http->idle_count; i++)
        curl_easy_cleanup(http->idle[i]);
    curl_multi_cleanup(http->multi);
    mem_free(http->ca_file);
    mem_free(http);
}

/* ---- what libcurl calls ---- */

static bool is_good(CURL *easy)
{
    long status = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    return status >= 200 && status < 300;
}

static size_t on_body(char *piece, size_t one, size_t bytes, void *context)
{
    (void)one;
    struct http_call *call = context;
    const struct http_request *request = &call->request;
    if (!call->is_success && !(call->is_success = is_good(call->easy))) {
        size_t room = HTTP_ERROR_BYTES_MAX - call->error_body.count;
        buf_put(&call->error_body, piece, bytes < room ? bytes : room);
        return bytes;
    }
    enum status status = OK;
    if (request->write)
        status = request->write(request->context, piece, bytes, &call->err);
    else if (request->out &&
             (status = buf_try_reserve(request->out, bytes, call->place, &call->err)) == OK)
        buf_put(request->out, piece, bytes);
    if (status == OK)
        return bytes;
    call->err.code = status;
    call->fault = HTTP_STOPPED;
    return bytes + 1; /* not what came: libcurl gives the transfer up */
}

static size_t on_read(char *into, size_t one, size_t room, void *context)
{
    struct http_call *call = context;
    const struct http_request *request = &call->request;
    room *= one;
    uint64_t rest = request->body_bytes - call->sent;
    size_t bytes = rest < room ? (size_t)rest : room;
    if (!request->read) {
        memcpy(into, (const char *)request->body + call->sent, bytes);
    } else if (bytes) {
        enum status status = request->read(request->context, call->sent, into, bytes, &call->err);
        if (status != OK) {
            call->err.code = status;
            call->fault = HTTP_STOPPED;
            return CURL_READFUNC_ABORT;
        }
    }
    call->sent += bytes;
    return bytes;
}

static int on_seek(void *context, curl_off_t offset, int origin)
{
    struct http_call *call = context;
    if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > call->request.body_bytes)
        return CURL_SEEKFUNC_CANTSEEK;
    call->sent = (uint64_t)offset;
    return CURL_SEEKFUNC_OK;
}

static size_t on_header(char *line, size_t one, size_t bytes, void *context)
{
    (void)one;
    struct http_call *call = context;
    struct buf *headers = &call->answer_headers;
    if (bytes >= 5 && memcmp(line, "HTTP/", 5) == 0) { /* 100 Continue or a redirect came before */
        buf_clear(headers);
        return bytes;
    }
    const char *colon = memchr(line, ':', bytes);
    size_t count = bytes;
    while (count && (line[count - 1] == '\r' || line[count - 1] == '\n' || line[count - 1] == ' '))
        count--;
    if (!colon || headers->count + count + 2 > HTTP_HEADER_BYTES_MAX)
        return bytes; /* beyond what any server of use sends: looked at by nobody */
    for (const char *at = line; at < colon; at++)
        buf_put_char(headers, *at >= 'A' && *at <= 'Z' ? (char)(*at - 'A' + 'a') : *at);
    buf_put_char(headers, ':');
    const char *value = colon + 1;
    while (value < line + count && (*value == ' ' || *value == '\t'))
        value++;
    if (value < line + count)
        buf_put(headers, value, (size_t)(line + count - value));
    buf_put_char(headers, 0);
    return bytes;
}

/* ---- beginning ---- */

static CURL *take_handle(struct http *http)
{
    CURL *easy = http->idle_count ? http->idle[--http->idle_count] : curl_easy_init();
    ASSERT(easy);
    return easy;
}

/* A token from a file or the environment may hold what would begin another header. */
static bool has_line_end(const char *text)
{
    return text && strpbrk(text, "\r\n");
}

static void add_header(struct http_call *call, const char *name, const char *value)
{
    if (has_line_end(name) || has_line_end(value)) {
        call->has_bad_header = true;
        return;
    }
    AUTO(buf_fini) struct buf line = buf_init(0);
    if (value && !*value)
        buf_format(&line, "%s;", name); /* libcurl's way to send an empty one */
    else if (value)
        buf_format(&line, "%s: %s", name, value);
    else
        buf_format(&line, "%s:", name); /* and to send none of its own */
    struct curl_slist *list = curl_slist_append(call->headers, buf_text(&line));
    ASSERT(list);
    call->headers = list;
}

static void set_body(struct http_call *call)
{
    const struct http_request *request = &call->request;
    CURL *easy = call->easy;
    bool is_put = strcmp(request->method, "PUT") == 0 || strcmp(request->method, "POST") == 0;
    if (!is_put && !request->body_bytes) {
        curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
        if (strcmp(request->method, "HEAD") == 0)
            curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
        return;
    }
    curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)request->body_bytes);
    curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_read);
    curl_easy_setopt(easy, CURLOPT_READDATA, call);
    curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, on_seek);
    curl_easy_setopt(easy, CURLOPT_SEEKDATA, call);
    if (request->body_bytes > PIECE_BYTES / 8)
        curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, (long)PIECE_BYTES);
}

static void set_limits(const struct http *http, const struct http_call *call)
{
    const struct http_request *request = &call->request;
    CURL *easy = call->easy;
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
#else
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
    curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)http->connect_ms);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)request->whole_ms);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, (long)request->slow_bytes);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long)request->slow_seconds);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, request->follows_redirects ? 1L : 0L);
    curl_easy_setopt(easy, CURLOPT_MAXREDIRS, 5L);
    if (http->ca_file) {
        curl_easy_setopt(easy, CURLOPT_CAINFO, http->ca_file);
        curl_easy_setopt(easy, CURLOPT_CAPATH, NULL); /* instead of the system's, not beside them */
    }
    if (request->is_direct)
        curl_easy_setopt(easy, CURLOPT_PROXY, "");
}

static void set_up(struct http *http, struct http_call *call)
{
    CURL *easy = call->easy;
    const struct http_request *request = &call->request;
    set_limits(http, call);
    set_body(call);
    curl_easy_setopt(easy, CURLOPT_URL, request->url);
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L); /* it is signed as it is */
    curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->curl_text);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, call);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)PIECE_BYTES);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "penstock");
    for (size_t i = 0; i < request->header_count; i++)
        add_header(call, request->headers[i].name, request->headers[i].value);
    add_header(call, "Expect", NULL); /* a second round trip for each body */
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, call->headers);
    if (call->has_bad_header)
        curl_easy_setopt(easy, CURLOPT_URL, ""); /* which ends it before anything is sent */
}

void http_start(struct http *http, const struct http_request *request, void *owner,
                struct http_call **out)
{
    struct http_call *call = mem_alloc(sizeof *call);
    *call = (struct http_call){.http = http,
                               .after = http->calls,
                               .request = *request,
                               .owner = owner,
                               .answer_headers = buf_init(0),
                               .error_body = buf_init(0)};
    call->place = mem_copy_text(request->url, strcspn(request->url, "?"));
    call->easy = take_handle(http);
    if (http->calls)
        http->calls->before = call;
    http->calls = call;
    set_up(http, call);
    call->request.url = NULL;
    call->request.headers = NULL;
    call->is_running = true;
    http->running++;
    CURLMcode code = curl_multi_add_handle(http->multi, call->easy);
    ASSERT(code == CURLM_OK);
    *out = call;
}

/* ---- ending ---- */

static void conclude(struct http_call *call, CURLcode code)
{
    call->is_running = false;
    call->http->running--;
    curl_multi_remove_handle(call->http->multi, call->easy);
    if (code == CURLE_OK || call->fault == HTTP_STOPPED)
        return;
    if (call->has_bad_header)
        snprintf(call->curl_text, sizeof call->curl_text, "a line's end in a header");
    call->fault = http_fault_of((int)code, call->curl_text, call->place);
    double seconds = 0; /* a connection that was never made is not one that was too slow */
    if (code == CURLE_OPERATION_TIMEDOUT &&
        curl_easy_getinfo(call->easy, CURLINFO_PRETRANSFER_TIME, &seconds) == CURLE_OK &&
        seconds == 0)
        call->fault = HTTP_NO_CONNECTION;
    err_set(&call->err, http_fault_status(call->fault), "%s: %s", call->place,
            call->curl_text[0] ? call->curl_text : curl_easy_strerror(code));
}

static struct http_call *next_message(struct http *http)
{
    int left;
    for (CURLMsg *message; (message = curl_multi_info_read(http->multi, &left));) {
        if (message->msg != CURLMSG_DONE)
            continue;
        struct http_call *call = NULL;
        CURLcode code = message->data.result; /* the message dies with its handle's removal */
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&call);
        conclude(call, code);
        return call;
    }
    return NULL;
}

/* Moves all calls on, and waits if none has ended. */
static struct http_call *move_on(struct http *http, int timeout_ms)
{
    int running;
    curl_multi_perform(http->multi, &running);
    struct http_call *call = next_message(http);
    if (call || !running)
        return call;
    curl_multi_poll(http->multi, NULL, 0, timeout_ms, NULL);
    curl_multi_perform(http->multi, &running);
    return next_message(http);
}

struct http_call *http_next(struct http *http, int timeout_ms)
{
    struct http_call **last = &http->ended;
    while (*last && (*last)->next_ended)
        last = &(*last)->next_ended;
    if (*last) {
        struct http_call *call = *last;
        *last = NULL;
        return call;
    }
    ms_t end = clock_ms() + (ms_t)timeout_ms;
    for (;;) {
        ms_t now = clock_ms();
        struct http_call *call = move_on(http, now < end ? (int)(end - now) : 0);
        if (call || !http->running || clock_ms() >= end)
            return call;
    }
}

struct http_call *http_do(struct http *http, const struct http_request *request)
{
    struct http_call *call;
    http_start(http, request, NULL, &call);
    while (call->is_running) {
        struct http_call *ended = move_on(http, WAIT_MS);
        if (ended && ended != call) {
            ended->next_ended = http->ended;
            http->ended = ended;
        }
    }
    return call;
}

size_t http_running(const struct http *http)
{
    return http->running;
}

static void forget_ended(struct http *http, const struct http_call *call)
{
    for (struct http_call **at = &http->ended; *at; at = &(*at)->next_ended)
        if (*at == call) {
            *at = call->next_ended;
            return;
        }
}

void http_end(struct http_call *call)
{
    struct http *http = call->http;
    if (call->is_running) {
        http->running--;
        curl_multi_remove_handle(http->multi, call->easy);
    }
    forget_ended(http, call);
    if (call->before)
        call->before->after = call->after;
    else
        http->calls = call->after;
    if (call->after)
        call->after->before = call->before;
    curl_easy_reset(call->easy);
    if (http->idle_count < IDLE_MAX)
        http->idle[http->idle_count++] = call->easy;
    else
        curl_easy_cleanup(call->easy);
    curl_slist_free_all(call->headers);
    buf_fini(&call->answer_headers);
    buf_fini(&call->error_body);
    mem_free(call->place);
    mem_free(call);
}

/* ---- the answer ---- */

void *http_owner(const struct http_call *call)
{
    return call->owner;
}

enum http_fault http_fault(const struct http_call *call)
{
    return call->fault;
}

enum status http_result(const struct http_call *call, struct err *err)
{
    if (call->fault == HTTP_FINE)
        return OK;
    return err_set(err, call->err.code, "%s", call->err.text);
}

int http_status(const struct http_call *call)
{
    long status = 0;
    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    return (int)status;
}

const char *http_header(const struct http_call *call, const char *name)
{
    const char *found = NULL, *at = (const char *)call->answer_headers.bytes;
    size_t name_bytes = strlen(name);
    if (!at)
        return NULL;
    for (const char *end = at + call->answer_headers.count; at < end; at += strlen(at) + 1)
        if (strncmp(at, name, name_bytes) == 0 && at[name_bytes] == ':')
            found = at + name_bytes + 1;
    return found;
}

struct buf *http_error_body(struct http_call *call)
{
    return &call->error_body;
}

const char *http_place(const struct http_call *call)
{
    return call->place;
}
