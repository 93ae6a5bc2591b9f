// SPDX-License-Identifier: Apache-2.0
#include "broker/cli/signals.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

static int wake_pipe[2] = {-1, -1};
static atomic_int count; /* a handler runs on whatever thread the kernel picks */

static void on_signal(int number)
{
    (void)number;
    count++;
    ssize_t ignored = write(wake_pipe[1], "", 1);
    (void)ignored;
}

bool signals_watch(void)
{
    if (pipe2(wake_pipe, O_CLOEXEC | O_NONBLOCK) != 0)
        return false;
    struct sigaction action = {.sa_handler = on_signal};
    sigemptyset(&action.sa_mask);
    return sigaction(SIGINT, &action, NULL) == 0 && sigaction(SIGTERM, &action, NULL) == 0 &&
           signal(SIGPIPE, SIG_IGN) != SIG_ERR;
}

int signals_fd(void)
{
    return wake_pipe[0];
}

int signals_taken(void)
{
    char bytes[16];
    while (read(wake_pipe[0], bytes, sizeof bytes) > 0)
        ;
    return count;
}
