/* What starting and awaiting a program costs in a plain C loop, which is the limit for `exec`
 * tasks: posix_spawn of `true`, some at a time. `bench_spawn [COUNT [AT_ONCE]]`. */
// SPDX-License-Identifier: Apache-2.0
#include <spawn.h>
#include <sys/wait.h>

#include "tests/bench/report.h"

enum { COUNT_DEFAULT = 2000, AT_ONCE_DEFAULT = 2 };

static void start(void)
{
    char name[] = "true";
    char *const arguments[] = {name, NULL};
    pid_t pid;
    if (posix_spawnp(&pid, name, NULL, NULL, arguments, environ) != 0)
        report_fail("bench_spawn: cannot start `true`");
}

static void await(void)
{
    int status;
    if (wait(&status) < 0 || status != 0)
        report_fail("bench_spawn: `true` did not end well");
}

int main(int argc, char **argv)
{
    uint32_t count = report_count(argc, argv, 1, COUNT_DEFAULT);
    uint32_t at_once = report_count(argc, argv, 2, AT_ONCE_DEFAULT);
    int64_t begun = clock_us();
    for (uint32_t started = 0, ended = 0; ended < count;)
        if (started < count && started - ended < at_once) {
            start();
            started++;
        } else {
            await();
            ended++;
        }
    report("processes", count / seconds_since(begun), "/s");
    return 0;
}
