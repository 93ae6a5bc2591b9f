/* One history in a process of its own, and the smallest one that still fails. */
// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/sim/world.h"

enum {
    /* A history takes milliseconds; one that takes this long hangs. */
    WATCHDOG_SECONDS = 20,
    ATTEMPTS_MAX = 400,
    FAULT_NUMBERS = 48
};

bool run_apart(const struct params *params, bool is_tracing, struct verdict *verdict)
{
    struct verdict *shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        exit(2);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        int null = open("/dev/null", O_WRONLY);
        if (!is_tracing && null >= 0)
            dup2(null, STDERR_FILENO);
        alarm(WATCHDOG_SECONDS);
        world_run(params, is_tracing, shared);
        fflush(stdout);
        _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    *verdict = *shared;
    munmap(shared, sizeof *shared);
    verdict->seed = params->seed;
    if (verdict->is_over)
        return !verdict->is_failed;
    verdict->is_failed = true;
    snprintf(verdict->text, TEXT_BYTES, "%s (signal %d)",
             WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM ? "it hangs" : "it aborts",
             WIFSIGNALED(status) ? WTERMSIG(status) : 0);
    return false;
}

/* The same words, whatever the numbers. */
static bool is_alike(const char *a, const char *b)
{
    while (*a || *b) {
        while (*a >= '0' && *a <= '9')
            a++;
        while (*b >= '0' && *b <= '9')
            b++;
        if (*a != *b)
            return false;
        a += *a != 0;
        b += *b != 0;
    }
    return true;
}

struct shrinking {
    struct params best;
    struct verdict verdict;
    uint32_t attempts;
};

/* Takes the smaller parameters over if the history still fails, in the same way. */
static bool try_smaller(struct shrinking *shrinking, const struct params *smaller)
{
    struct verdict verdict;
    if (shrinking->attempts++ >= ATTEMPTS_MAX || run_apart(smaller, false, &verdict) ||
        !is_alike(verdict.text, shrinking->verdict.text))
        return false;
    shrinking->best = *smaller;
    shrinking->verdict = verdict;
    return true;
}

/* Halves first, then one less. */
static void shrink_number(struct shrinking *shrinking, uint32_t *field, uint32_t least)
{
    for (uint32_t step = *field > least ? (*field - least + 1) / 2 : 0; step > 0; step /= 2) {
        while (*field >= least + step) {
            struct params smaller = shrinking->best;
            uint32_t *copy =
                (uint32_t *)(void *)((char *)&smaller + ((char *)field - (char *)&shrinking->best));
            *copy -= step;
            if (!try_smaller(shrinking, &smaller))
                break;
        }
    }
}

static void shrink_faults(struct shrinking *shrinking)
{
    for (uint32_t i = 0; i < FAULT_COUNT; i++) {
        struct params smaller = shrinking->best;
        smaller.faults &= ~(UINT32_C(1) << i);
        if (smaller.faults != shrinking->best.faults)
            try_smaller(shrinking, &smaller);
    }
    if (shrinking->best.fault_max > FAULT_NUMBERS)
        shrinking->best.fault_max = FAULT_NUMBERS;
    shrink_number(shrinking, &shrinking->best.fault_max, 0);
    for (uint32_t i = 0; i < shrinking->best.fault_max; i++) {
        struct params smaller = shrinking->best;
        if (smaller.skip_count == SKIPS_MAX)
            break;
        bool is_skipped = false;
        for (uint32_t j = 0; j < smaller.skip_count; j++)
            is_skipped |= smaller.skips[j] == i;
        if (is_skipped)
            continue;
        smaller.skips[smaller.skip_count++] = i;
        try_smaller(shrinking, &smaller);
    }
}

void shrink(struct params *params, struct verdict *verdict)
{
    struct shrinking shrinking = {.best = *params, .verdict = *verdict};
    for (uint32_t before = UINT32_MAX; shrinking.attempts < ATTEMPTS_MAX;) {
        uint32_t size = shrinking.best.units + shrinking.best.runs + shrinking.best.places +
                        shrinking.best.faulty_ms - shrinking.best.skip_count;
        if (size == before)
            break;
        before = size;
        shrink_faults(&shrinking);
        shrink_number(&shrinking, &shrinking.best.runs, 1);
        shrink_number(&shrinking, &shrinking.best.places, 1);
        shrink_number(&shrinking, &shrinking.best.units, 1);
        shrink_number(&shrinking, &shrinking.best.faulty_ms, 100);
    }
    *params = shrinking.best;
    *verdict = shrinking.verdict;
}
