/* Control groups, where this machine lets the test make some; else it skips. */
// SPDX-License-Identifier: Apache-2.0
#include "worker/runtime/cgroup.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { HOG_BYTES = 64 << 20, LIMIT_BYTES = 16 << 20, PROCESSES = 20 };

/* A process that waits for a letter, then does this and ends with what it returns. */
static pid_t start(int (*run)(void), int *go)
{
    int pair[2];
    assert_int_equal(pipe(pair), 0);
    pid_t pid = fork();
    if (pid == 0) {
        char letter;
        close(pair[1]);
        (void)!read(pair[0], &letter, 1);
        _exit(run());
    }
    close(pair[0]);
    *go = pair[1];
    return pid;
}

static void tell(int go)
{
    assert_int_equal(write(go, "x", 1), 1);
    close(go);
}

static int hog(void)
{
    volatile char *bytes = malloc(HOG_BYTES);
    for (size_t i = 0; i < HOG_BYTES; i += 4096)
        bytes[i] = 1;
    return 0;
}

/* A daemon of its own session, then another, … each waits; says how many there could be. */
static int bomb(void)
{
    for (int i = 0; i < 10 * PROCESSES; i++) {
        pid_t pid = fork();
        if (pid < 0)
            return errno == EAGAIN ? i : 255;
        if (pid == 0) {
            setsid();
            for (;;)
                pause();
        }
    }
    return 254;
}

static struct cgroups *groups(void)
{
    struct cgroups *cgroups = cgroups_open(PROCESSES);
    if (!cgroups)
        skip();
    return cgroups;
}

static void memory_is_bounded_and_who_met_the_bound_is_known(void **state)
{
    (void)state;
    int go, status;
    struct cgroup_powers powers;
    struct cgroups *cgroups = groups();
    cgroups_powers(cgroups, &powers);
    pid_t pid = start(hog, &go);
    struct cgroup *cgroup = cgroup_new(cgroups, pid);
    assert_non_null(cgroup);
    assert_int_equal(cgroup_limit_memory(cgroup, LIMIT_BYTES), powers.has_memory);
    assert_false(cgroup_ran_out(cgroup));
    tell(go);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (powers.has_memory) {
        assert_true(WIFSIGNALED(status));
        assert_true(cgroup_ran_out(cgroup));
        assert_false(cgroup_ran_out(cgroup)); /* it is told once */
    }
    cgroup_free(cgroup);
    /* And no longer, once it is taken back. */
    pid = start(hog, &go);
    cgroup = cgroup_new(cgroups, pid);
    (void)cgroup_limit_memory(cgroup, LIMIT_BYTES);
    assert_false(cgroup_limit_memory(cgroup, 0));
    tell(go);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    cgroup_free(cgroup);
    cgroups_close(cgroups);
}

static void processes_are_bounded_and_all_are_ended(void **state)
{
    (void)state;
    int go, status;
    struct cgroup_powers powers;
    struct cgroups *cgroups = groups();
    cgroups_powers(cgroups, &powers);
    if (!powers.has_processes) {
        cgroups_close(cgroups);
        skip();
    }
    pid_t pid = start(bomb, &go);
    struct cgroup *cgroup = cgroup_new(cgroups, pid);
    assert_non_null(cgroup);
    tell(go);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_in_range(WEXITSTATUS(status), PROCESSES / 2, 2 * PROCESSES);
    cgroup_kill(cgroup);
    cgroup_free(cgroup); /* that succeeds only where it is empty: so a new one can be made */
    cgroups_close(cgroups);
    cgroups = cgroups_open(PROCESSES);
    assert_non_null(cgroups);
    cgroups_close(cgroups);
}

/* A worker that is killed leaves its groups; the next one ends what is in them. */
static void what_a_killed_worker_left_is_ended_by_the_next(void **state)
{
    (void)state;
    int ends[2];
    char letter;
    struct cgroups *cgroups = groups();
    cgroups_close(cgroups);
    assert_int_equal(pipe(ends), 0);
    pid_t worker = fork();
    if (worker == 0) {
        pid_t pid = fork();
        if (pid == 0) { /* before there is a lock that it would inherit */
            close(ends[0]);
            setsid();
            for (;;) /* holds the pipe's other end while it lives */
                pause();
        }
        cgroups = cgroups_open(PROCESSES);
        _exit(cgroup_new(cgroups, pid) ? 0 : 1);
    }
    int status;
    close(ends[1]);
    assert_int_equal(waitpid(worker, &status, 0), worker);
    assert_int_equal(status, 0);
    cgroups = cgroups_open(PROCESSES);
    assert_int_equal(read(ends[0], &letter, 1), 0);
    close(ends[0]);
    cgroups_close(cgroups);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_bounded_and_who_met_the_bound_is_known),
        cmocka_unit_test(processes_are_bounded_and_all_are_ended),
        cmocka_unit_test(what_a_killed_worker_left_is_ended_by_the_next),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
