// SPDX-License-Identifier: Apache-2.0
#include "common/net/stream.h"

#include <curl/curl.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/net/curl_ready.h"

enum { HOST_BYTES_MAX = 256, URL_BYTES = HOST_BYTES_MAX + 64 };

struct stream {
    CURL *curl; /* NULL: a unix socket */
    int fd;
    bool is_tls;
};

/* ---- opening ---- */

static enum status open_unix(struct stream *stream, const struct stream_options *options,
                             struct err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(options->path) >= sizeof address.sun_path)
        return err_set(err, E_INVALID, "%.60s…: a socket's path has at most %zu bytes",
                       options->path, sizeof address.sun_path - 1);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", options->path);
    stream->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (stream->fd < 0)
        return err_set(err, E_IO, "%s: cannot make a socket: %s", options->path, strerror(errno));
    /* A unix socket connects at once, but for a server whose queue of callers is full. */
    struct timeval most = {options->connect_ms / 1000, options->connect_ms % 1000 * 1000};
    setsockopt(stream->fd, SOL_SOCKET, SO_SNDTIMEO, &most, sizeof most);
    if (connect(stream->fd, (const struct sockaddr *)&address, sizeof address) == 0)
        return OK;
    return err_set(err, errno == EACCES || errno == EPERM ? E_DENIED : E_UNREACHABLE,
                   "%s: cannot connect: %s", options->path, strerror(errno));
}

static enum status connect_error(CURLcode code, const char *why,
                                 const struct stream_options *options, struct err *err)
{
    const char *text = why[0] ? why : curl_easy_strerror(code);
    if (code == CURLE_PEER_FAILED_VERIFICATION)
        return err_set(err, E_DENIED, "%s:%u: its certificate is not trusted (%s): %s",
                       options->host, options->port,
                       options->ca_file ? options->ca_file : "the system's authorities", text);
    if (code == CURLE_SSL_CACERT_BADFILE)
        return err_set(err, E_DENIED, "%s: cannot be read as certificates in PEM: %s",
                       options->ca_file ? options->ca_file : "the system's authorities", text);
    return err_set(err, E_UNREACHABLE, "%s:%u: cannot connect: %s", options->host, options->port,
                   text);
}

static enum status open_tcp(struct stream *stream, const struct stream_options *options,
                            struct err *err)
{
    char url[URL_BYTES], to[URL_BYTES], why[CURL_ERROR_SIZE] = "";
    const char *name = options->server_name ? options->server_name : options->host;
    if (strlen(name) > HOST_BYTES_MAX || strlen(options->host) > HOST_BYTES_MAX)
        return err_set(err, E_INVALID, "%.60s…: a host's name has at most %d bytes", name,
                       HOST_BYTES_MAX);
    bool is_v6 = strchr(name, ':'), goes_to_v6 = strchr(options->host, ':');
    snprintf(url, sizeof url, "%s://%s%s%s:%u", options->is_tls ? "https" : "http",
             is_v6 ? "[" : "", name, is_v6 ? "]" : "", options->port);
    snprintf(to, sizeof to, "::%s%s%s:%u", goes_to_v6 ? "[" : "", options->host,
             goes_to_v6 ? "]" : "", options->port);
    struct curl_slist *target = curl_slist_append(NULL, to);
    CURL *curl = stream->curl = curl_easy_init();
    if (!curl || !target) {
        curl_slist_free_all(target);
        return err_set(err, E_NOMEM, "%s: no memory for a connection", options->host);
    }
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_CONNECT_TO, target);
    curl_easy_setopt(curl, CURLOPT_CONNECT_ONLY, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)options->connect_ms);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)options->connect_ms);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(curl, CURLOPT_SSL_ENABLE_ALPN, 0L);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, why);
    if (options->ca_file) {
        curl_easy_setopt(curl, CURLOPT_CAINFO, options->ca_file);
        curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
    }
    CURLcode code = curl_easy_perform(curl);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, NULL);
    curl_easy_setopt(curl, CURLOPT_CONNECT_TO, NULL);
    curl_slist_free_all(target);
    curl_socket_t fd = CURL_SOCKET_BAD;
    if (code == CURLE_OK)
        code = curl_easy_getinfo(curl, CURLINFO_ACTIVESOCKET, &fd);
    if (code != CURLE_OK || fd == CURL_SOCKET_BAD)
        return connect_error(code, why, options, err);
    stream->fd = fd;
    return OK;
}

enum status stream_open(const struct stream_options *options, struct stream **out, struct err *err)
{
    *out = NULL;
    curl_ready();
    AUTO(stream_close) struct stream *stream = mem_alloc(sizeof *stream);
    stream->fd = -1;
    stream->is_tls = options->is_tls && !options->path;
    TRY(options->path ? open_unix(stream, options, err) : open_tcp(stream, options, err));
    *out = TAKE(stream);
    return OK;
}

void stream_close(struct stream *stream)
{
    if (stream->curl)
        curl_easy_cleanup(stream->curl); /* closes the socket */
    else if (stream->fd >= 0)
        close(stream->fd);
    mem_free(stream);
}

int stream_fd(const struct stream *stream)
{
    return stream->fd;
}

/* ---- moving bytes ---- */

static enum status is_gone(struct err *err, const char *why)
{
    return err_set(err, E_UNREACHABLE, "the connection is gone: %s", why);
}

enum status stream_send(struct stream *stream, const void *data, size_t bytes, size_t *sent,
                        struct err *err)
{
    *sent = 0;
    if (stream->is_tls) {
        CURLcode code = curl_easy_send(stream->curl, data, bytes, sent);
        return code == CURLE_OK || code == CURLE_AGAIN ? OK
                                                       : is_gone(err, curl_easy_strerror(code));
    }
    ssize_t n = send(stream->fd, data, bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
        return is_gone(err, strerror(errno));
    *sent = n < 0 ? 0 : (size_t)n;
    return OK;
}

enum status stream_receive(struct stream *stream, void *out, size_t bytes, size_t *got,
                           struct err *err)
{
    *got = 0;
    if (stream->is_tls) {
        CURLcode code = curl_easy_recv(stream->curl, out, bytes, got);
        if (code == CURLE_AGAIN)
            return OK;
        if (code != CURLE_OK)
            return is_gone(err, curl_easy_strerror(code));
        return *got ? OK : is_gone(err, "the server closed it");
    }
    ssize_t n = recv(stream->fd, out, bytes, MSG_DONTWAIT);
    if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
        return is_gone(err, strerror(errno));
    if (n == 0)
        return is_gone(err, "the server closed it");
    *got = n < 0 ? 0 : (size_t)n;
    return OK;
}

bool stream_wait(const struct stream *stream, bool for_room, uint32_t max_ms)
{
    short events = (short)(POLLIN | (for_room ? POLLOUT : 0));
    return poll(&(struct pollfd){stream->fd, events, 0}, 1, (int)max_ms) != 0;
}
