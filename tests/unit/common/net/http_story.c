// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/common/net/http_story.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/fs.h"

static int open_fds(void)
{
    int count = 0;
    DIR *folder = opendir("/proc/self/fd");
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

static bool take_all(void *context, struct httpd_request *request, struct httpd_response *refusal)
{
    (void)context, (void)refusal;
    request->body_max = 1000;
    return true;
}

void story_open(struct http_story *story, struct http_server_options options)
{
    struct err err = {0};
    *story = (struct http_story){.fds_before = open_fds()};
    assert_int_equal(
        fs_make_temp_dir("/tmp/http-story-", story->folder, sizeof story->folder, &err), OK);
    options.address = "127.0.0.1:0";
    options.lane_count = options.lane_count ? options.lane_count : 1;
    options.spool = story->folder;
    options.patience_ms = options.patience_ms ? options.patience_ms : STORY_PATIENCE_MS;
    if (!options.head)
        options.head = take_all;
    if (http_server_open(&options, &story->server, &err) != OK)
        fail_msg("%s", err.text);
}

void story_close(struct http_story *story)
{
    http_server_close(story->server);
    assert_int_equal(fs_remove_tree(story->folder, NULL), OK);
    assert_int_equal(open_fds(), story->fds_before);
}

int story_connect(const struct http_story *story)
{
    const char *address = http_server_address(story->server);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    to.sin_port = htons((in_port_t)strtoul(strchr(address, ':') + 1, NULL, 10));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

void story_say(int fd, const char *text)
{
    size_t bytes = strlen(text);
    assert_int_equal(send(fd, text, bytes, MSG_NOSIGNAL), (ssize_t)bytes);
}

const char *story_hear(int fd, const char *until)
{
    static struct buf heard;
    heard = heard.max ? heard : buf_init(0);
    buf_clear(&heard);
    for (ms_t end = clock_ms() + STORY_WAIT_MS; clock_ms() < end;) {
        struct pollfd readable = {.fd = fd, .events = POLLIN};
        if (poll(&readable, 1, (int)(end - clock_ms())) <= 0)
            break;
        uint8_t *room = buf_reserve(&heard, 65536);
        ssize_t bytes = recv(fd, room, 65536, 0);
        if (bytes <= 0) {
            if (until)
                fail_msg("closed before \"%s\" was heard; heard: %s", until, buf_text(&heard));
            return buf_text(&heard);
        }
        heard.count += (size_t)bytes;
        if (until && strstr(buf_text(&heard), until))
            return buf_text(&heard);
    }
    fail_msg("not heard in time: %s; heard: %s", until ? until : "the end", buf_text(&heard));
    return NULL;
}

struct httpd_request *story_take(struct http_story *story)
{
    struct pollfd readable = {.fd = http_server_fd(story->server, 0), .events = POLLIN};
    struct httpd_request *request = http_server_next(story->server, 0);
    if (!request && poll(&readable, 1, STORY_WAIT_MS) > 0)
        request = http_server_next(story->server, 0);
    if (!request)
        fail_msg("no request came");
    return request;
}

bool story_is_silent(struct http_story *story)
{
    int fd = story_connect(story);
    story_say(fd, "GET /%zz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    story_hear(fd, NULL);
    close(fd);
    struct httpd_request *request = http_server_next(story->server, 0);
    if (request)
        httpd_request_free(request);
    return !request;
}

void story_answer(struct http_story *story, uint64_t id, unsigned status, const char *body)
{
    struct httpd_response response = {.kind = HTTPD_BYTES, .status = status, .fd = -1};
    response.content_type = "text/plain";
    response.body = buf_init(0);
    buf_put_text(&response.body, body);
    http_server_answer(story->server, id, &response);
}
