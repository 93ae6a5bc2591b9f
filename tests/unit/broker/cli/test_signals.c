/* Signals are counted, whichever threads they reach. */
// SPDX-License-Identifier: Apache-2.0
#include "broker/cli/signals.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { SIGNALS = 100000 };

static void *raise_many(void *signal)
{
    for (int i = 0; i < SIGNALS; i++)
        raise(*(int *)signal);
    return NULL;
}

/* While one thread handles a signal, the kernel gives the next to another. */
static void none_is_lost_where_two_threads_are_reached(void **state)
{
    (void)state;
    int first = SIGINT, second = SIGTERM;
    pthread_t thread;
    assert_true(signals_watch());
    assert_int_equal(pthread_create(&thread, NULL, raise_many, &first), 0);
    raise_many(&second);
    pthread_join(thread, NULL);
    assert_int_equal(signals_taken(), 2 * SIGNALS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(none_is_lost_where_two_threads_are_reached),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
