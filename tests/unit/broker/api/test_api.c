// SPDX-License-Identifier: Apache-2.0
#include "broker/api/api.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/api/route.h"
#include "common/base/doc.h"
#include "common/text/json.h"
#include "tests/unit/broker/api/api_story.h"

static struct api_story story;

static int set_up(void **state)
{
    (void)state;
    api_story_open(&story);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    api_story_close(&story);
    return 0;
}

static const char *error_text(const struct api_heard *heard, const char *field)
{
    static struct arena arena;
    arena_clear(&arena);
    struct value answer = api_json(heard, &arena);
    const struct value *error = value_get(&answer, "error");
    if (!error)
        fail_msg("no error: %s", heard->body);
    return value_get_text(error, field);
}

#define expect_error(heard, http, code, part)                                                      \
    do {                                                                                           \
        struct api_heard heard_ = heard;                                                           \
        assert_int_equal(heard_.status, http);                                                     \
        assert_string_equal(error_text(&heard_, "code"), code);                                    \
        if (!strstr(error_text(&heard_, "message"), part))                                         \
            fail_msg("\"%s\" is not in: %s", part, heard_.body);                                   \
    } while (0)

#define expect_asked(text)                                                                         \
    do {                                                                                           \
        assert_string_equal(story.asked, text);                                                    \
        story.asked[0] = 0;                                                                        \
    } while (0)

/* ---- who may ---- */

static const char *bearer(const char *token)
{
    static char head[200];
    snprintf(head, sizeof head, "Authorization: Bearer %s\r\n", token);
    return head;
}

static void test_tokens_decide(void **state)
{
    (void)state;
    static const char none[] = "Authorization: \r\n";
    assert_int_equal(strlen(story.read_token), 64);
    assert_string_not_equal(story.read_token, story.write_token);
    struct api_heard heard = api_ask(&story, "GET", "/v1/load", none, NULL);
    assert_non_null(strstr(heard.headers, "WWW-Authenticate: Bearer\r\n"));
    expect_error(heard, 401, "denied", "PENSTOCK_TOKEN");
    expect_error(api_ask(&story, "GET", "/v1/load", bearer("wrong-wrong-wrong"), NULL), 401,
                 "denied", "the token is not this broker's");
    expect_error(api_ask(&story, "GET", "/v1/load", "Authorization: Basic eDp5\r\n", NULL), 401,
                 "denied", "PENSTOCK_TOKEN");
    assert_int_equal(api_ask(&story, "GET", "/v1/load", bearer(story.read_token), NULL).status,
                     200);
    assert_int_equal(api_ask(&story, "GET", "/v1/load", bearer(story.write_token), NULL).status,
                     200);
    expect_error(api_ask(&story, "POST", "/v1/runs/x/stop", bearer(story.read_token), NULL), 403,
                 "denied", "needs the write token");
    for (int i = 0; i < 3; i++) {
        static const char *const open[] = {"/healthz", "/readyz", "/openapi.json"};
        assert_int_equal(api_ask(&story, "GET", open[i], none, NULL).status, 200);
    }
    expect_asked(""); /* the application heard of none of them */
}

/* Every route that can be asked without a token is one that says so. */
static void test_every_other_route_wants_a_token(void **state)
{
    (void)state;
    for (const struct api_route *const *list = api_routes; *list; list++)
        for (const struct api_route *route = *list; route->method; route++) {
            if (route->role == ROLE_NONE)
                continue;
            char target[200] = "";
            size_t count = 0;
            for (const char *c = route->pattern; *c; c++) {
                target[count++] = *c == '{' ? 'x' : *c;
                c = *c == '{' ? strchr(c, '}') : c;
            }
            struct api_heard heard =
                api_ask(&story, route->method, target, "Authorization: \r\n", NULL);
            if (heard.status != 401)
                fail_msg("%s %s: %d", route->method, target, heard.status);
        }
}

static void test_strange_hosts_and_pages_are_refused(void **state)
{
    (void)state;
    static const char *const good[] = {"127.0.0.1", "[::1]:80", "localhost:7001", "BROKER.example"};
    static const char *const bad[] = {"evil.example", "127.0.0.1.evil.example", "[::1",
                                      "localhost.evil.example", ":80"};
    char head[200];
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        snprintf(head, sizeof head, "Host: %s\r\nOrigin: http://%s\r\n", good[i], good[i]);
        assert_int_equal(api_ask(&story, "GET", "/v1/load", head, NULL).status, 200);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(head, sizeof head, "Host: %s\r\n", bad[i]);
        expect_error(api_ask(&story, "GET", "/healthz", head, NULL), 421, "denied", "--http-host");
    }
    expect_error(
        api_ask(&story, "GET", "/v1/load", "Host: localhost\r\nOrigin: http://evil\r\n", NULL), 403,
        "denied", "Origin: http://evil");
    expect_error(api_ask(&story, "GET", "/v1/load", "Host: localhost\r\nOrigin: null\r\n", NULL),
                 403, "denied", "Origin: null");
    struct api_heard heard = api_ask(&story, "OPTIONS", "/v1/load", NULL, NULL);
    assert_int_equal(heard.status, 405);
    assert_null(strstr(heard.headers, "Access-Control"));
}

/* ---- what is asked ---- */

static void test_paths_and_methods(void **state)
{
    (void)state;
    expect_error(api_ask(&story, "GET", "/v1/nothing", NULL, NULL), 404, "not_found",
                 "no such path");
    expect_error(api_ask(&story, "GET", "/", NULL, NULL), 404, "not_found", "no such path");
    expect_error(api_ask(&story, "GET", "/v1/runs//stop", NULL, NULL), 404, "not_found",
                 "no such path");
    struct api_heard heard = api_ask(&story, "DELETE", "/v1/runs", NULL, NULL);
    assert_non_null(strstr(heard.headers, "Allow: POST, GET\r\n"));
    expect_error(heard, 405, "unsupported", "knows POST, GET, not DELETE");
    expect_error(api_ask(&story, "GET", "/v1/../etc/passwd", NULL, NULL), 400, "invalid",
                 "\"..\" can't be a part");
    expect_error(api_ask(&story, "GET", "/v1/artifacts/%2e%2e", NULL, NULL), 400, "invalid",
                 "\"..\" can't be a part");
    heard = api_ask(&story, "HEAD", "/v1/load", NULL, NULL);
    assert_int_equal(heard.status, 200);
    assert_string_equal(heard.body, "");
    expect_asked("");
}

static void test_queries_are_checked(void **state)
{
    (void)state;
    expect_error(api_ask(&story, "GET", "/v1/runs?limt=2", NULL, NULL), 400, "invalid",
                 "unknown \"limt\"; this route takes limit, before");
    expect_error(api_ask(&story, "GET", "/v1/load?x=1", NULL, NULL), 400, "invalid", "takes none");
    expect_error(api_ask(&story, "GET", "/v1/runs?limit=-1", NULL, NULL), 400, "invalid",
                 "limit=-1: expected a number");
    expect_error(api_ask(&story, "GET", "/v1/runs?limit=1&limit=2", NULL, NULL), 400, "invalid",
                 "limit is given twice");
    expect_error(api_ask(&story, "GET", "/v1/runs/x?full=yes", NULL, NULL), 400, "invalid",
                 "full=yes: expected true or false");
    expect_asked("");
    assert_int_equal(api_ask(&story, "GET", "/v1/runs?label=a%3Db&label=c%3Dd", NULL, NULL).status,
                     200);
    expect_asked("list limit=21 before=- state=- labels=2\n");
}

static void test_lists_come_in_pages(void **state)
{
    (void)state;
    AUTO(arena_fini) struct arena arena = {0};
    struct api_heard heard = api_ask(&story, "GET", "/v1/runs?limit=2", NULL, NULL);
    struct value page = api_json(&heard, &arena);
    assert_int_equal(value_get(&page, "runs")->count, 2);
    assert_true(value_is_text(value_get(&page, "next"), "run-8"));
    heard = api_ask(&story, "GET", "/v1/runs?limit=5&before=run-8", NULL, NULL);
    page = api_json(&heard, &arena);
    assert_int_equal(value_get(&page, "runs")->count, 5);
    assert_int_equal(value_get(&page, "next")->type, VALUE_NIL);
    expect_asked("list limit=3 before=- state=- labels=0\n"
                 "list limit=6 before=run-8 state=- labels=0\n");
}

/* ---- runs ---- */

static void test_submit_as_json(void **state)
{
    (void)state;
    AUTO(arena_fini) struct arena arena = {0};
    static const char body[] =
        "{\"pipeline\": \"version: 1\", \"file\": \"p.yaml\", \"params\": {\"seed\": 7, \"t\": "
        "\"7\"}, \"set\": {\"a.b\": [1]}, \"labels\": {\"team\": \"a\"}, \"name\": \"n\", \"who\": "
        "\"me\", \"only\": \"s\", \"force\": \"f\", \"sources\": [{\"name\": \"x\", \"id\": "
        "\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\", \"bytes\": 3}]}";
    struct api_heard heard = api_ask(&story, "POST", "/v1/runs", "Idempotency-Key: k-1\r\n", body);
    assert_int_equal(heard.status, 201);
    struct value answer = api_json(&heard, &arena);
    assert_true(value_is_text(value_get(&answer, "run"), "run-1"));
    assert_true(value_is_text(value_get(value_get(&answer, "links"), "self"), "/v1/runs/run-1"));
    expect_asked("submit file=p.yaml text=version: 1 remote=1 p:seed=7 p:t=\"7\" set:a.b=[1] "
                 "label:team=a name=n who=me only=s force=f key=k-1 sources=1\n");
    assert_int_equal(api_ask(&story, "POST", "/v1/runs", NULL,
                             "{\"pipeline\": {\"version\": 1}, \"force\": true}")
                         .status,
                     201);
    expect_asked("submit file=pipeline text={\n  \"version\": 1\n} remote=1 name=- who=- only=- "
                 "force=all key=- sources=0\n");
}

static void test_submit_as_a_pipeline_file(void **state)
{
    (void)state;
    static const char yaml[] = "Content-Type: application/yaml\r\n";
    assert_int_equal(
        api_ask(&story, "POST", "/v1/runs?p=seed%3D7&p=x=y&name=n&label=a%3Db", yaml, "version: 1")
            .status,
        201);
    expect_asked("submit file=pipeline text=version: 1 remote=1 p:seed=7 p:x=y label:a=b name=n "
                 "who=- only=- force=- key=- sources=0\n");
    expect_error(api_ask(&story, "POST", "/v1/runs", yaml, ""), 400, "invalid",
                 "expected a pipeline");
    static const char loud[] = "Content-Type: Application/JSON; charset=utf-8\r\n";
    expect_error(api_ask(&story, "POST", "/v1/runs", loud, "[]"), 400, "invalid", "body");
    expect_asked(""); /* JSON, and read as such */
    expect_error(api_ask(&story, "POST", "/v1/runs", "Content-Type: text/plain\r\n", "x"), 415,
                 "invalid", "application/json or application/yaml");
    expect_asked("");
}

static bool is_answered(int fd)
{
    struct pollfd readable = {.fd = fd, .events = POLLIN};
    bool is_answered = false;
    for (int i = 0; i < 20 && !is_answered; i++) {
        api_turn(story.api);
        is_answered = poll(&readable, 1, 5) > 0;
    }
    return is_answered;
}

/* A broker that is killed before would never have heard of it. */
static void test_what_is_accepted_is_committed_first(void **state)
{
    (void)state;
    story.is_away = true;
    int fd = api_say(&story, "POST", "/v1/runs/run-1/stop", NULL, NULL);
    int other = api_say(&story, "POST", "/v1/runs/run-1/retry", NULL, NULL);
    assert_false(is_answered(fd) || is_answered(other));
    assert_non_null(strstr(story.asked, "stop run-1 kill=0\n"));
    story.fails = E_NOTFOUND; /* a refusal changes nothing */
    assert_int_equal(api_ask(&story, "POST", "/v1/runs/run-1/retry", NULL, NULL).status, 404);
    story.is_away = false;
    assert_non_null(strstr(api_hear(&story, fd, NULL), " 202 "));
    assert_non_null(strstr(api_hear(&story, other, NULL), " 202 "));
    /* Whoever leads now may know of it, or not. */
    story.is_away = true;
    int third = api_say(&story, "POST", "/v1/runs/run-1/retry", NULL, NULL);
    assert_false(is_answered(third));
    api_follow(story.api, "");
    assert_non_null(strstr(api_hear(&story, third, NULL), " 503 "));
    close(fd);
    close(other);
    close(third);
}

static void test_bad_bodies_say_where(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"{", "body"},
        {"[]", "body: expected object, not list"},
        {"{}", "body: \"pipeline\" is missing"},
        {"{\"pipeline\": 7}", "body.pipeline: integer is none of the types"},
        {"{\"pipeline\": \"\", \"parms\": {}}", "body: unknown \"parms\""},
        {"{\"pipeline\": \"x\", \"sources\": [{\"name\": \"x\", \"id\": \"y\", \"bytes\": 1}]}",
         "body.sources[0].id: it is too short"},
        {"{\"pipeline\": \"x\", \"labels\": {\"a\": 1}}", "body.labels.a: expected string"},
        {"{\"pipeline\": \"a\\u0000b\"}", ""},
        {"{\"pipeline\": \"\"}", "expected a pipeline"},
        {"{\"pipeline\": \"x\", \"pipeline\": \"y\"}", "body"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_error(api_ask(&story, "POST", "/v1/runs", NULL, cases[i][0]), 400, "invalid",
                     cases[i][1]);
    expect_error(api_ask(&story, "POST", "/v1/runs?name=x", NULL, "{\"pipeline\": \"x\"}"), 400,
                 "invalid", "with a JSON body everything stands in the body");
    expect_error(
        api_ask(&story, "POST", "/v1/runs", "Idempotency-Key: a b\r\n", "{\"pipeline\": \"x\"}"),
        400, "invalid", "Idempotency-Key");
    expect_error(api_ask(&story, "POST", "/v1/runs",
                         "Content-Type: application/json\r\nContent-Length: 99999999999\r\n", NULL),
                 413, "limit", "larger than this route takes");
    expect_asked("");
}

static void test_what_fails_says_so(void **state)
{
    (void)state;
    static const struct {
        enum status status;
        int http;
    } cases[] = {{E_INVALID, 400},     {E_CONFLICT, 409}, {E_LIMIT, 422},
                 {E_UNREACHABLE, 503}, {E_FULL, 507},     {E_NOTFOUND, 422}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        story.fails = cases[i].status;
        struct api_heard heard = api_ask(&story, "POST", "/v1/runs", NULL, "{\"pipeline\": \"x\"}");
        assert_non_null(strstr(heard.body, "\"problems\": [\"p.yaml:1:2: one\", \"p.yaml:3:4: "));
        expect_error(heard, cases[i].http, status_name(cases[i].status), "made up");
    }
    story.fails = E_NOTFOUND;
    expect_error(api_ask(&story, "GET", "/v1/runs/nope", NULL, NULL), 404, "not_found", "made up");
}

static void test_stop_retry_resubmit(void **state)
{
    (void)state;
    assert_int_equal(api_ask(&story, "POST", "/v1/runs/latest/stop", NULL, NULL).status, 202);
    assert_int_equal(api_ask(&story, "POST", "/v1/runs/r/stop?kill=true", NULL, NULL).status, 202);
    assert_int_equal(api_ask(&story, "POST", "/v1/runs/r/retry", NULL, NULL).status, 202);
    expect_asked("stop latest kill=0\nstop r kill=1\nretry r\n");
    assert_int_equal(
        api_ask(&story, "POST", "/v1/runs/r/resubmit", NULL, "{\"params\": {\"seed\": 8}}").status,
        201);
    assert_int_equal(api_ask(&story, "POST", "/v1/runs/r/resubmit?p=seed%3D9", NULL, NULL).status,
                     201);
    expect_asked("resubmit r file=- text= remote=1 p:seed=8 name=- who=- only=- force=- key=- "
                 "sources=0\nresubmit r file=- text= remote=1 p:seed=9 name=- who=- only=- force=- "
                 "key=- sources=0\n");
}

static void test_questions_about_pipelines(void **state)
{
    (void)state;
    static const char body[] = "{\"pipeline\": \"x\"}";
    assert_int_equal(api_ask(&story, "POST", "/v1/plan", NULL, body).status, 200);
    assert_int_equal(api_ask(&story, "POST", "/v1/explain/a%5Bb=c/d%5D", NULL, body).status, 200);
    assert_int_equal(api_ask(&story, "POST", "/v1/graphs/mermaid/tasks", NULL, body).status, 200);
    assert_int_equal(api_ask(&story, "POST", "/v1/graphs/svg", NULL, body).status, 404);
    struct api_heard heard = api_ask(&story, "POST", "/v1/graphs/dot", NULL, body);
    assert_string_equal(heard.body, "digraph {}\n");
    story.fails = E_INVALID;
    heard = api_ask(&story, "POST", "/v1/lint", NULL, body);
    assert_int_equal(heard.status, 200);
    assert_non_null(strstr(heard.body, "{\"ok\": false, \"problems\": [\"p.yaml:1:2: one\", "));
    assert_non_null(strstr(story.asked, "explain a[b=c/d] file=pipeline text=x remote=1"));
    assert_non_null(strstr(story.asked, "graph 1 1"));
}

static void test_the_leader_is_named(void **state)
{
    (void)state;
    api_follow(story.api, "http://10.0.0.2:7001");
    struct api_heard heard = api_ask(&story, "GET", "/v1/runs?limit=2", NULL, NULL);
    assert_int_equal(heard.status, 307);
    assert_non_null(strstr(heard.headers, "Location: http://10.0.0.2:7001/v1/runs?limit=2\r\n"));
    assert_int_equal(api_ask(&story, "GET", "/healthz", NULL, NULL).status, 200);
    assert_int_equal(api_ask(&story, "GET", "/readyz", NULL, NULL).status, 503);
    api_follow(story.api, NULL);
    assert_int_equal(api_ask(&story, "GET", "/readyz", NULL, NULL).status, 200);
    api_set_ready(story.api, false);
    assert_int_equal(api_ask(&story, "GET", "/readyz", NULL, NULL).status, 503);
    expect_asked("");
}

static void test_requests_have_ids(void **state)
{
    (void)state;
    struct api_heard heard = api_ask(&story, "GET", "/healthz", "X-Request-Id: mine.7\r\n", NULL);
    assert_non_null(strstr(heard.headers, "X-Request-Id: mine.7\r\n"));
    heard = api_ask(&story, "GET", "/healthz", "X-Request-Id: a b\r\n", NULL);
    assert_null(strstr(heard.headers, "X-Request-Id: a b"));
    assert_non_null(strstr(heard.headers, "X-Request-Id: "));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_tokens_decide),
        TEST(test_every_other_route_wants_a_token),
        TEST(test_strange_hosts_and_pages_are_refused),
        TEST(test_paths_and_methods),
        TEST(test_queries_are_checked),
        TEST(test_lists_come_in_pages),
        TEST(test_submit_as_json),
        TEST(test_submit_as_a_pipeline_file),
        TEST(test_what_is_accepted_is_committed_first),
        TEST(test_bad_bodies_say_where),
        TEST(test_what_fails_says_so),
        TEST(test_stop_retry_resubmit),
        TEST(test_questions_about_pipelines),
        TEST(test_the_leader_is_named),
        TEST(test_requests_have_ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
