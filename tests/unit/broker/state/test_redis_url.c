// SPDX-License-Identifier: Apache-2.0
#include "broker/state/redis_url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/state/redis_link.h"

static struct err err;

static struct redis_url parse(const char *text)
{
    struct redis_url url;
    if (redis_url_parse(text, &url, &err) != OK)
        fail_msg("%s", err.text);
    return url;
}

static void the_parts_of_a_url_are_found(void **context)
{
    (void)context;
    struct redis_url url = parse("redis://localhost");
    assert_string_equal(url.hosts[0].name, "localhost");
    assert_int_equal(url.hosts[0].port, 6379);
    assert_string_equal(url.ns, "penstock");
    assert_false(url.is_tls || url.path || url.master || url.user || url.password || url.db);
    redis_url_fini(&url);
    url = parse("rediss://ann:s%40c/r:t@[::1]:7000/12?ns=team-a&ca=%2Fetc%2Fca.pem");
    assert_true(url.is_tls);
    assert_string_equal(url.user, "ann");
    assert_string_equal(url.password, "s@c/r:t");
    assert_string_equal(url.hosts[0].name, "::1");
    assert_int_equal(url.hosts[0].port, 7000);
    assert_int_equal(url.db, 12);
    assert_string_equal(url.ns, "team-a");
    assert_string_equal(url.ca, "/etc/ca.pem");
    redis_url_fini(&url);
    url = parse("redis+unix://:pass@/run/redis.sock?db=3");
    assert_string_equal(url.path, "/run/redis.sock");
    assert_string_equal(url.password, "pass");
    assert_null(url.user);
    assert_int_equal(url.db, 3);
    redis_url_fini(&url);
    url = parse("redis+sentinel://:p@one:1,two,three:3/mymaster/5?tls=1");
    assert_int_equal(url.host_count, 3);
    assert_int_equal(url.hosts[0].port, 1);
    assert_int_equal(url.hosts[1].port, 26379);
    assert_string_equal(url.hosts[2].name, "three");
    assert_string_equal(url.master, "mymaster");
    assert_int_equal(url.db, 5);
    assert_true(url.is_tls);
    redis_url_fini(&url);
}

static void what_is_shown_has_no_password(void **context)
{
    (void)context;
    struct redis_url url = parse("redis://ann:secret@host/1?ns=x");
    assert_string_equal(url.shown, "redis://ann:***@host/1?ns=x");
    redis_url_fini(&url);
    url = parse("redis+unix://:sec@ret@/sock");
    assert_null(strstr(url.shown, "sec"));
    assert_null(strstr(url.shown, "ret"));
    redis_url_fini(&url);
}

static void the_environment_names_the_authorities(void **context)
{
    (void)context;
    setenv("REDIS_CA", "/env/ca.pem", 1);
    struct redis_url url = parse("rediss://host");
    assert_string_equal(url.ca, "/env/ca.pem");
    redis_url_fini(&url);
    url = parse("rediss://host?ca=/other.pem");
    assert_string_equal(url.ca, "/other.pem");
    redis_url_fini(&url);
    unsetenv("REDIS_CA");
}

static void a_wrong_url_is_told(void **context)
{
    (void)context;
    static const char *const cases[][2] = {
        {"redis:localhost", "//"},
        {"redis://", "no host"},
        {"redis://:secret@", "no host"},
        {"redis://host:0", "port"},
        {"redis://host:65536", "port"},
        {"redis://host:x", "port"},
        {"redis://[::1", "no ]"},
        {"redis://host/name", "database"},
        {"redis://host?ns=a*b", "ns has"},
        {"redis://host?ns=", "ns has"},
        {"redis://host?x=1", "ns, db, ca and tls"},
        {"redis+unix://run/redis.sock", "absolute"},
        {"redis+sentinel://host:1", "no master"},
        {"redis+sentinel://1,2,3,4,5,6,7,8,9/m", "more than 8"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct redis_url url;
        assert_int_equal(redis_url_parse(cases[i][0], &url, &err), E_INVALID);
        if (!strstr(err.text, cases[i][1]))
            fail_msg("%s: %s", cases[i][0], err.text);
        assert_null(strstr(err.text, "secret"));
    }
}

/* As the servers say it, Redis 7 and 6. */
static void refusals_are_told_apart(void **context)
{
    (void)context;
    static const struct {
        const char *said;
        enum status status;
        const char *word;
    } cases[] = {
        {"OOM command not allowed when used memory > 'maxmemory'.", E_FULL, "maxmemory"},
        {"ERR Error running script (call to f_1): @user_script:1: -OOM command not allowed", E_FULL,
         "maxmemory"},
        {"LOADING Redis is loading the dataset in memory", E_UNREACHABLE, "loading"},
        {"READONLY You can't write against a read only replica.", E_UNREACHABLE, "master"},
        {"ERR Error running script (call to f_1): @user_script: 7: -READONLY You can't",
         E_UNREACHABLE, "master"},
        {"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
         E_UNREACHABLE, "replica"},
        {"NOREPLICAS Not enough good replicas to write.", E_UNREACHABLE, "min-replicas-to-write"},
        {"BUSY Redis is busy running a script.", E_UNREACHABLE, "SCRIPT KILL"},
        {"MISCONF Errors writing to the AOF file: No space left on device", E_IO, "disk"},
        {"NOAUTH Authentication required.", E_DENIED, "password"},
        {"WRONGPASS invalid username-password pair or user is disabled.", E_DENIED, "REDIS_URL"},
        {"NOPERM this user has no permissions to run the 'set' command", E_DENIED, "ACL SETUSER"},
        {"MOVED 3999 127.0.0.1:6381", E_UNSUPPORTED, "cluster"},
        {"ERR max number of clients reached", E_UNREACHABLE, "maxclients"},
        {"ERR DB index is out of range", E_INVALID, "databases"},
        {"ERR something - OOM is what we never heard of", E_PROTOCOL, "something"},
    };
    struct redis_url url = parse("redis://:secret@host");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (redis_failure(&url, cases[i].said, &err) != cases[i].status ||
            !strstr(err.text, cases[i].word) || !strstr(err.text, "redis://:***@host"))
            fail_msg("%s: %s", cases[i].said, err.text);
    }
    redis_url_fini(&url);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_parts_of_a_url_are_found),
        cmocka_unit_test(what_is_shown_has_no_password),
        cmocka_unit_test(the_environment_names_the_authorities),
        cmocka_unit_test(a_wrong_url_is_told),
        cmocka_unit_test(refusals_are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
