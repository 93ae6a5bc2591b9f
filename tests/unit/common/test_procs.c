/* Ending what somebody else's child left behind. */
// SPDX-License-Identifier: Apache-2.0
#include "common/procs.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { USER = 64517 /* nobody else's */, FEW = 200, MANY = 4000 };

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

/* A process of its own kind: with a user of its own, where it may choose one, so that the limit of
 * processes is its own and holds. */
static void in_a_process(void (*run)(void), rlim_t processes)
{
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        const struct rlimit few = {processes, processes};
        prctl(PR_SET_CHILD_SUBREAPER, 1);
        if (geteuid() == 0 && setuid(USER))
            _exit(2);
        setrlimit(RLIMIT_NPROC, &few);
        run();
        _exit(procs_end_own() ? 0 : 3);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* Forks and ends, each time in a session of its own: whoever is found is gone already. */
static void move_on(void)
{
    for (int i = 0; i < 3; i++)
        if (fork() == 0)
            for (;;) {
                setsid();
                if (fork() > 0)
                    _exit(0);
            }
    usleep(50000);
}

static void what_never_stays_one_process_is_ended(void **state)
{
    (void)state;
    in_a_process(move_on, FEW);
}

/* Looked at one by one, so many would take minutes of the processor's time. */
static void leave_dead(void)
{
    struct rusage used;
    for (int i = 0; i < MANY / 2; i++) {
        pid_t child = fork();
        if (child == 0)
            _exit(0);
        siginfo_t info;
        if (child < 0 || waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT))
            _exit(4);
    }
    getrusage(RUSAGE_SELF, &used);
    rlim_t most = (rlim_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) + 5;
    setrlimit(RLIMIT_CPU, &(struct rlimit){most, most});
    procs_end_orphans(NULL, 0);
}

static void dead_orphans_cost_little(void **state)
{
    (void)state;
    in_a_process(leave_dead, MANY);
}

static void *stay(void *unused)
{
    (void)unused;
    wait_for_ever();
    return NULL;
}

/* A process that lives on in its second thread, of which /proc shows a dead one without memory. */
static pid_t lose_leader(void)
{
    pthread_t thread;
    pid_t child = fork();
    if (child == 0) {
        if (pthread_create(&thread, NULL, stay, NULL))
            _exit(2);
        syscall(SYS_exit, 0); /* this thread alone */
    }
    char path[64], text[256] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", (int)child);
    while (!strstr(text, ") Z ")) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        (void)!read(fd, text, sizeof text - 1);
        close(fd);
    }
    return child;
}

static void leave_second_thread(void)
{
    pid_t child = lose_leader();
    if (!procs_resident(child))
        _exit(4);
}

static void what_lives_in_its_second_thread_is_counted_and_ended(void **state)
{
    (void)state;
    in_a_process(leave_second_thread, FEW);
}

static void what_one_started_is_below_it(void **state)
{
    (void)state;
    pid_t child = fork();
    if (child == 0)
        wait_for_ever();
    assert_true(procs_is_below(getpid(), child));
    assert_true(procs_is_below(getppid(), child));
    assert_false(procs_is_below(child, child));
    assert_false(procs_is_below(child, getpid()));
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_false(procs_is_below(getpid(), child));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(orphans_of_a_killed_child_are_ended_and_others_stay),
        cmocka_unit_test(what_never_stays_one_process_is_ended),
        cmocka_unit_test(dead_orphans_cost_little),
        cmocka_unit_test(what_lives_in_its_second_thread_is_counted_and_ended),
        cmocka_unit_test(what_one_started_is_below_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
