// SPDX-License-Identifier: Apache-2.0
#include "common/base/death.h"

#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static const char *describe_signal(int number, char out[DEATH_WORDS_BYTES])
{
    const char *name = sigabbrev_np(number), *words = sigdescr_np(number);
    if (number == SIGKILL)
        words = "Killed from outside, perhaps for want of memory";
    if (name && words)
        snprintf(out, DEATH_WORDS_BYTES, "killed by SIG%s (%c%s)", name,
                 tolower((unsigned char)words[0]), words + 1);
    else
        snprintf(out, DEATH_WORDS_BYTES, "killed by signal %d", number);
    return out;
}

const char *death_describe(bool was_signalled, int code, char out[DEATH_WORDS_BYTES])
{
    if (was_signalled)
        return describe_signal(code, out);
    if (code < 0)
        snprintf(out, DEATH_WORDS_BYTES, "ended, and how is not known");
    else
        snprintf(out, DEATH_WORDS_BYTES, "exited with status %d", code);
    return out;
}
