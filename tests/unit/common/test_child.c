// SPDX-License-Identifier: Apache-2.0
#include "common/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/buf.h"
#include "common/base/death.h"
#include "common/clock.h"
#include "common/fs.h"

static struct err err;

static struct child start(const struct child_options *options)
{
    struct child child;
    if (child_start(options, &child, &err) != OK)
        fail_msg("%s", err.text);
    assert_true(child.pid > 0 && child.pidfd >= 0);
    return child;
}

/* A shell running `script`, without environment. */
static struct child start_shell(const char *script, struct child_options options)
{
    const char *argv[] = {"sh", "-c", script, NULL};
    options.path = "/bin/sh";
    options.argv = argv;
    return start(&options);
}

static const char *run_to_end(const char *script)
{
    static char words[DEATH_WORDS_BYTES];
    struct child child = start_shell(script, (struct child_options){0});
    struct child_end end;
    assert_true(child_wait(&child, 10000, &end));
    assert_int_equal(child.pid, 0);
    assert_int_equal(child.pidfd, -1);
    return death_describe(end.was_signalled, end.code, words);
}

/* What the script writes to its standard output. */
static void capture(const char *script, struct child_options options, struct buf *out)
{
    int pipe_fds[2];
    assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
    const struct child_fd fds[] = {{pipe_fds[1], 1}};
    if (!options.fds) {
        options.fds = fds;
        options.fd_count = 1;
    }
    struct child child = start_shell(script, options);
    close(pipe_fds[1]);
    assert_int_equal(fs_read_fd(pipe_fds[0], "pipe", out, &err), OK);
    close(pipe_fds[0]);
    assert_true(child_wait(&child, 10000, NULL));
}

static void endings_are_told_in_words(void **state)
{
    (void)state;
    assert_string_equal(run_to_end("exit 0"), "exited with status 0");
    assert_string_equal(run_to_end("exit 3"), "exited with status 3");
    assert_string_equal(run_to_end("kill -SEGV $$"), "killed by SIGSEGV (segmentation fault)");
    assert_string_equal(run_to_end("kill -KILL $$"),
                        "killed by SIGKILL (killed from outside, perhaps for want of memory)");
    char words[DEATH_WORDS_BYTES];
    assert_string_equal(death_describe(true, 40, words), "killed by signal 40");
    assert_string_equal(death_describe(false, -1, words), "ended, and how is not known");
}

static void waiting_does_not_block(void **state)
{
    (void)state;
    struct child child = start_shell("exec sleep 100", (struct child_options){0});
    struct child_end end;
    assert_false(child_wait(&child, 0, &end));
    int64_t before = clock_us();
    assert_false(child_wait(&child, 30, &end));
    assert_true(clock_us() - before >= 29000);
    child_signal(&child, SIGTERM, false);
    struct pollfd ending = {.fd = child.pidfd, .events = POLLIN};
    assert_int_equal(poll(&ending, 1, 10000), 1);
    assert_true(child_wait(&child, 0, &end));
    assert_true(end.was_signalled);
    assert_int_equal(end.code, SIGTERM);
    assert_false(child_wait(&child, -1, &end)); /* an empty one is never waited for */
    child_signal(&child, SIGTERM, true);
    child_stop(&child, false);
}

static void failures_to_start_are_reported(void **state)
{
    (void)state;
    const char *const argv[] = {"x", NULL};
    struct child child;
    struct child_options options = {.path = "/no/such/program", .argv = argv};
    assert_int_equal(child_start(&options, &child, &err), E_NOTFOUND);
    assert_string_equal(err.text,
                        "/no/such/program: cannot start the program: No such file or directory");
    assert_int_equal(child.pid, 0);
    options.path = "/etc/passwd";
    assert_int_equal(child_start(&options, &child, &err), E_DENIED);
    options.path = "/bin/true";
    options.folder = "/no/folder";
    assert_int_equal(child_start(&options, &child, &err), E_NOTFOUND);
    assert_non_null(strstr(err.text, "/no/folder"));
    options.folder = NULL;
    options.fds = (const struct child_fd[]){{999, 3}};
    options.fd_count = 1;
    assert_int_equal(child_start(&options, &child, &err), E_IO);
    options.fds = (const struct child_fd[]){{0, 256}};
    assert_int_equal(child_start(&options, &child, &err), E_INVALID);
    options.fd_count = CHILD_FDS_MAX + 1;
    assert_int_equal(child_start(&options, &child, &err), E_INVALID);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* nobody is left unreaped */
    assert_int_equal(errno, ECHILD);
}

static void the_environment_is_what_is_given(void **state)
{
    (void)state;
    setenv("PENSTOCK_SECRET", "of the parent", 1);
    AUTO(buf_fini) struct buf out = buf_init(0), given = buf_init(0);
    capture("exec /usr/bin/env", (struct child_options){0}, &out);
    assert_null(strstr(buf_text(&out), "SECRET"));
    assert_null(strstr(buf_text(&out), "HOME"));
    const char *const environment[] = {"A=1", "B=two words", NULL};
    capture("echo $A,$B", (struct child_options){.environment = environment}, &given);
    assert_string_equal(buf_text(&given), "1,two words\n");
    unsetenv("PENSTOCK_SECRET");
}

static void only_the_given_descriptors_are_open(void **state)
{
    (void)state;
    int leaked = open("/dev/null", O_RDONLY), high = fcntl(leaked, F_DUPFD, 700);
    AUTO(buf_fini) struct buf out = buf_init(0);
    capture("for f in /proc/self/fd/*; do echo ${f##*/} $(readlink $f); done",
            (struct child_options){.environment = (const char *[]){"PATH=/usr/bin:/bin", NULL}},
            &out);
    close(leaked);
    close(high);
    /* 0, 1 and 2; whatever else the listing shell itself opens. */
    assert_non_null(strstr(buf_text(&out), "0 /dev/null\n"));
    assert_non_null(strstr(buf_text(&out), "2 /dev/null\n"));
    assert_null(strstr(buf_text(&out), "700"));
    AUTO(buf_fini) struct buf number = buf_init(0);
    buf_format(&number, "\n%d /dev/null", leaked);
    assert_null(strstr(buf_text(&out), buf_text(&number)));
}

/* Without a detour over other numbers, where none is in another's way. */
static void descriptors_land_where_they_should(void **state)
{
    (void)state;
    int in[2], result[2];
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(result, O_CLOEXEC), 0);
    assert_int_equal(write(in[1], "line\n", 5), 5);
    const struct child_fd fds[] = {{in[0], 9}, {result[1], 1}};
    char script[200];
    snprintf(script, sizeof script,
             "read a <&9; echo $a; for f in %d %d; do test -e /proc/$$/fd/$f && echo $f; done",
             in[0], result[1]);
    struct child child = start_shell(script, (struct child_options){.fds = fds, .fd_count = 2});
    close(result[1]);
    close(in[1]);
    AUTO(buf_fini) struct buf out = buf_init(0);
    assert_int_equal(fs_read_fd(result[0], "pipe", &out, &err), OK);
    assert_string_equal(buf_text(&out), "line\n");
    assert_true(child_wait(&child, 10000, NULL));
    close(in[0]);
    close(result[0]);
}

/* Each is the other's target: moved one after the other, one would be lost. */
static void descriptors_may_change_places(void **state)
{
    (void)state;
    int one[2], two[2], result[2];
    assert_int_equal(pipe2(one, O_CLOEXEC), 0);
    assert_int_equal(pipe2(two, O_CLOEXEC), 0);
    assert_int_equal(pipe2(result, O_CLOEXEC), 0);
    assert_int_equal(write(one[1], "one\n", 4), 4);
    assert_int_equal(write(two[1], "two\n", 4), 4);
    const struct child_fd fds[] = {{one[0], two[0]}, {two[0], one[0]}, {result[1], 1}};
    char script[200];
    snprintf(script, sizeof script, "read a <&%d; read b <&%d; echo $a $b", two[0], one[0]);
    struct child child = start_shell(script, (struct child_options){.fds = fds, .fd_count = 3});
    close(result[1]);
    close(one[1]);
    close(two[1]);
    AUTO(buf_fini) struct buf out = buf_init(0);
    assert_int_equal(fs_read_fd(result[0], "pipe", &out, &err), OK);
    assert_string_equal(buf_text(&out), "one two\n");
    assert_true(child_wait(&child, 10000, NULL));
    close(one[0]);
    close(two[0]);
    close(result[0]);
}

static void folder_and_signals(void **state)
{
    (void)state;
    AUTO(buf_fini) struct buf out = buf_init(0), mask = buf_init(0);
    capture("pwd", (struct child_options){.folder = "/usr"}, &out);
    assert_string_equal(buf_text(&out), "/usr\n");
    /* What the parent blocks and ignores is not passed on. */
    sigset_t all, before;
    sigfillset(&all);
    void (*old)(int) = signal(SIGPIPE, SIG_IGN);
    sigprocmask(SIG_SETMASK, &all, &before);
    capture("exec /bin/grep -E '^Sig(Blk|Ign)' /proc/self/status", (struct child_options){0},
            &mask);
    sigset_t now;
    sigprocmask(SIG_SETMASK, &before, &now);
    assert_true(sigismember(&now, SIGUSR1)); /* the parent's own mask is as it was */
    assert_true(signal(SIGPIPE, old) == SIG_IGN);
    /* 32 and 33 are the C library's own: what started this test may have left them ignored. */
    unsigned long long blocked, ignored;
    assert_int_equal(sscanf(buf_text(&mask), "SigBlk: %llx SigIgn: %llx", &blocked, &ignored), 2);
    assert_true(blocked == 0);
    assert_true((ignored & ~UINT64_C(0x180000000)) == 0);
    /* Unless it is asked to be. */
    buf_clear(&mask);
    old = signal(SIGPIPE, SIG_IGN);
    sigprocmask(SIG_SETMASK, &all, &before);
    capture("exec /bin/grep -E '^Sig(Blk|Ign)' /proc/self/status",
            (struct child_options){.keeps_signals = true}, &mask);
    sigprocmask(SIG_SETMASK, &before, NULL);
    signal(SIGPIPE, old);
    assert_int_equal(sscanf(buf_text(&mask), "SigBlk: %llx SigIgn: %llx", &blocked, &ignored), 2);
    assert_true(blocked == 0);
    assert_true(ignored & (1u << (SIGPIPE - 1)));
}

static void a_group_dies_together(void **state)
{
    (void)state;
    int alive[2];
    assert_int_equal(pipe2(alive, O_CLOEXEC), 0);
    const struct child_fd fds[] = {{alive[1], 1}};
    struct child child =
        start_shell("/bin/sleep 100 & echo; wait",
                    (struct child_options){.fds = fds, .fd_count = 1, .own_group = true});
    close(alive[1]);
    char byte;
    assert_int_equal(read(alive[0], &byte, 1), 1); /* the grandchild runs */
    assert_int_equal(getpgid(child.pid), child.pid);
    child_stop(&child, true);
    assert_int_equal(child.pid, 0);
    assert_int_equal(read(alive[0], &byte, 1), 0); /* nobody holds the pipe any more */
    close(alive[0]);
}

static void it_dies_with_its_parent(void **state)
{
    (void)state;
    int alive[2];
    assert_int_equal(pipe2(alive, O_CLOEXEC), 0);
    pid_t parent = fork();
    if (parent == 0) {
        const struct child_fd fds[] = {{alive[1], 1}};
        start_shell("echo; exec sleep 100",
                    (struct child_options){.fds = fds, .fd_count = 1, .dies_with_parent = true});
        pause();
        _exit(0);
    }
    close(alive[1]);
    char byte;
    assert_int_equal(read(alive[0], &byte, 1), 1);
    kill(parent, SIGKILL);
    assert_int_equal(waitpid(parent, NULL, 0), parent);
    assert_int_equal(read(alive[0], &byte, 1), 0);
    close(alive[0]);
}

/* Somebody who waits for every child is no reason to hang. */
static void a_child_reaped_elsewhere_has_ended(void **state)
{
    (void)state;
    struct child child = start_shell("exit 7", (struct child_options){0});
    assert_int_equal(waitpid(child.pid, NULL, 0), child.pid);
    struct child_end end;
    assert_true(child_wait(&child, 1000, &end));
    assert_int_equal(end.code, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(endings_are_told_in_words),
        cmocka_unit_test(waiting_does_not_block),
        cmocka_unit_test(failures_to_start_are_reported),
        cmocka_unit_test(the_environment_is_what_is_given),
        cmocka_unit_test(only_the_given_descriptors_are_open),
        cmocka_unit_test(descriptors_land_where_they_should),
        cmocka_unit_test(descriptors_may_change_places),
        cmocka_unit_test(folder_and_signals),
        cmocka_unit_test(a_group_dies_together),
        cmocka_unit_test(it_dies_with_its_parent),
        cmocka_unit_test(a_child_reaped_elsewhere_has_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
