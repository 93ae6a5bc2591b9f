/* Ending what somebody else's child left behind. */
// SPDX-License-Identifier: Apache-2.0
#include "common/procs.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void wait_for_ever(void)
{
    for (;;)
        pause();
}

/* A child that starts a daemon with a child of its own, and is then killed: all that is left is
 * ours, since we are a subreaper. What is kept stays. */
static void orphans_of_a_killed_child_are_ended_and_others_stay(void **state)
{
    (void)state;
    int ends[2], ready[2];
    char letter;
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(pipe(ready), 0);
    pid_t kept = fork();
    if (kept == 0) {
        close(ends[1]);
        wait_for_ever();
    }
    pid_t child = fork();
    if (child == 0) {
        if (fork() == 0) {
            setsid();
            if (fork() == 0) {
                setsid();
                (void)!write(ready[1], "x", 1);
            }
            wait_for_ever();
        }
        wait_for_ever();
    }
    close(ends[1]);
    assert_int_equal(read(ready[0], &letter, 1), 1);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    procs_end_orphans(&kept, 1);
    assert_int_equal(read(ends[0], &letter, 1), 0); /* nobody has the other end any more */
    assert_int_equal(waitpid(kept, NULL, WNOHANG), 0);
    procs_end_orphans(NULL, 0);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(orphans_of_a_killed_child_are_ended_and_others_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
