// SPDX-License-Identifier: Apache-2.0
#include "common/net/endpoint.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void what_is_on_this_machine_alone(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_local;
    } cases[] = {{"ipc://work.sock", true},        {"ipc:///a b/c", true},
                 {"tcp://127.0.0.1:7000", true},   {"tcp://127.9.8.7:1", true},
                 {"tcp://[::1]:7000", true},       {"tcp://10.0.0.1:7000", false},
                 {"tcp://0.0.0.0:7000", false},    {"tcp://128.0.0.1:7000", false},
                 {"tcp://localhost:7000", false},  {"tcp://[fe80::1%eth0]:65535", false},
                 {"tcp://[::]:7000", false},       {"tcp://broker.default.svc:7000", false},
                 {"tcp://127.0.0.1.evil:7", false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct endpoint endpoint;
        struct err err = {0};
        if (endpoint_parse(NULL, cases[i].text, ENDPOINT_CONNECT, &endpoint, &err) != OK)
            fail_msg("%s", err.text);
        assert_int_equal(endpoint.is_local, cases[i].is_local);
    }
}

static void any_host_and_any_port_are_for_listeners(void **state)
{
    (void)state;
    static const char *const texts[] = {"tcp://*:7000", "tcp://10.0.0.1:*", "tcp://*:*"};
    struct endpoint endpoint;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_int_equal(endpoint_parse(NULL, texts[i], ENDPOINT_LISTEN, &endpoint, NULL), OK);
        assert_false(endpoint.is_local);
        assert_int_equal(endpoint_parse(NULL, texts[i], ENDPOINT_CONNECT, &endpoint, NULL),
                         E_INVALID);
    }
    assert_int_equal(endpoint_parse(NULL, "tcp://*:*", ENDPOINT_LISTEN, &endpoint, NULL), OK);
    assert_true(endpoint.is_any_host);
    assert_string_equal(endpoint.port, "*");
}

static void what_is_no_endpoint_is_named(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        "5555",
                                        "tcp://",
                                        "tcp://:7000",
                                        "tcp://h",
                                        "tcp://h:",
                                        "tcp://h:0",
                                        "tcp://h:65536",
                                        "tcp://h:7x",
                                        "tcp://h:-1",
                                        "tcp://a b:7",
                                        "tcp://h/x:7",
                                        "tcp://[::1:7000",
                                        "tcp://[zz]:7000",
                                        "tcp://::1:7000",
                                        "ipc://",
                                        "inproc://x",
                                        "udp://10.0.0.1:7",
                                        "tcp://a;b:7",
                                        "TCP://h:7"};
    struct endpoint endpoint;
    struct err err;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_int_equal(endpoint_parse("--broker", texts[i], ENDPOINT_CONNECT, &endpoint, &err),
                         E_INVALID);
        assert_non_null(strstr(err.text, texts[i]));
        assert_non_null(strstr(err.text, "--broker"));
    }
    char large[ENDPOINT_BYTES_MAX + 2];
    memset(large, 'x', sizeof large);
    memcpy(large, "ipc://", 6);
    large[ENDPOINT_BYTES_MAX + 1] = 0;
    assert_int_equal(endpoint_parse(NULL, large, ENDPOINT_CONNECT, &endpoint, NULL), E_INVALID);
    large[6 + IPC_PATH_BYTES_MAX + 1] = 0;
    assert_int_equal(endpoint_parse(NULL, large, ENDPOINT_CONNECT, &endpoint, NULL), E_INVALID);
    large[6 + IPC_PATH_BYTES_MAX] = 0;
    assert_int_equal(endpoint_parse(NULL, large, ENDPOINT_CONNECT, &endpoint, NULL), OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_on_this_machine_alone),
        cmocka_unit_test(any_host_and_any_port_are_for_listeners),
        cmocka_unit_test(what_is_no_endpoint_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
