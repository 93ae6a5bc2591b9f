/* A connection to Redis, against a server by hand. */
// SPDX-License-Identifier: Apache-2.0
#include "broker/state/redis_link.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64], address[128];
static struct redis_url url;
static struct err err;
static int listener;

static int begin(void **context)
{
    (void)context;
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    snprintf(folder, sizeof folder, "/tmp/penstock-link-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(to.sun_path, sizeof to.sun_path, "%s/sock", folder);
    snprintf(address, sizeof address, "redis+unix://%s", to.sun_path);
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(listener, (struct sockaddr *)&to, sizeof to) != 0 || listen(listener, 4) != 0)
        return -1;
    return redis_url_parse(address, &url, &err) == OK ? 0 : -1;
}

static int end(void **context)
{
    (void)context;
    redis_url_fini(&url);
    close(listener);
    char path[128];
    snprintf(path, sizeof path, "%s/sock", folder);
    unlink(path);
    return rmdir(folder);
}

static struct redis_link *connect_by_hand(int *peer)
{
    struct redis_link *link;
    if (redis_link_open(&url, &link, &err) != OK)
        fail_msg("%s", err.text);
    *peer = accept(listener, NULL, NULL);
    assert_true(*peer >= 0);
    return link;
}

/* However the bytes come, the reply is the same. */
static void a_reply_may_come_byte_by_byte(void **context)
{
    (void)context;
    static const char answer[] = "*3\r\n$5\r\nhello\r\n*2\r\n:42\r\n$-1\r\n$0\r\n\r\n";
    int peer;
    struct redis_link *link = connect_by_hand(&peer);
    for (int again = 0; again < 3; again++) {
        struct redis_reply *reply = NULL;
        redis_link_command(link, 1);
        redis_link_text(link, "GET");
        assert_int_equal(redis_link_push(link, &err), OK);
        for (size_t i = 0; i + 1 < sizeof answer; i++) {
            assert_int_equal(redis_link_poll(link, &reply, &err), OK);
            assert_null(reply);
            assert_int_equal(write(peer, answer + i, 1), 1);
        }
        assert_int_equal(redis_link_wait(link, &reply, &err), OK);
        assert_int_equal(reply->type, REDIS_LIST);
        assert_int_equal(reply->count, 3);
        assert_string_equal(reply->items[0]->text, "hello");
        assert_int_equal(reply->items[1]->items[0]->number, 42);
        assert_int_equal(reply->items[1]->items[1]->type, REDIS_NIL);
        assert_int_equal(reply->items[2]->bytes, 0);
        assert_int_equal(redis_link_owed(link), 0);
    }
    redis_link_close(link);
    close(peer);
}

static void commands_are_written_as_the_protocol_says(void **context)
{
    (void)context;
    static const char want[] = "*4\r\n$3\r\nSET\r\n$2\r\na\n\r\n$2\r\n17\r\n$0\r\n\r\n";
    char got[sizeof want] = "";
    int peer;
    struct redis_link *link = connect_by_hand(&peer);
    redis_link_command(link, 4);
    redis_link_text(link, "SET");
    redis_link_word(link, "a\n", 2);
    redis_link_number(link, 17);
    redis_link_word(link, NULL, 0);
    assert_int_equal(redis_link_push(link, &err), OK);
    assert_int_equal(read(peer, got, sizeof got), sizeof want - 1);
    assert_string_equal(got, want);
    redis_link_close(link);
    close(peer);
}

static void what_is_no_redis_is_told(void **context)
{
    (void)context;
    struct redis_reply *reply;
    int peer;
    struct redis_link *link = connect_by_hand(&peer);
    assert_int_equal(write(peer, "HTTP/1.1 400 Bad Request\r\n", 26), 26);
    redis_link_command(link, 1);
    redis_link_text(link, "PING");
    assert_int_equal(redis_link_wait(link, &reply, &err), E_UNREACHABLE);
    assert_non_null(strstr(err.text, "no answer of a Redis server"));
    redis_link_close(link);
    close(peer);
}

static void an_idle_connection_that_ends_is_noticed(void **context)
{
    (void)context;
    struct redis_reply *reply;
    int peer;
    struct redis_link *link = connect_by_hand(&peer);
    assert_int_equal(redis_link_poll(link, &reply, &err), OK);
    assert_null(reply);
    close(peer);
    assert_int_equal(redis_link_poll(link, &reply, &err), E_UNREACHABLE);
    redis_link_close(link);
}

static void silence_has_an_end(void **context)
{
    (void)context;
    struct redis_reply *reply;
    int peer;
    struct redis_link *link = connect_by_hand(&peer);
    redis_link_command(link, 1);
    redis_link_text(link, "PING");
    assert_int_equal(redis_link_wait(link, &reply, &err), E_UNREACHABLE);
    assert_non_null(strstr(err.text, "no answer for 3000 ms"));
    redis_link_close(link);
    close(peer);
}

#define BY_HAND(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BY_HAND(a_reply_may_come_byte_by_byte),
        BY_HAND(commands_are_written_as_the_protocol_says),
        BY_HAND(what_is_no_redis_is_told),
        BY_HAND(an_idle_connection_that_ends_is_noticed),
        BY_HAND(silence_has_an_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
