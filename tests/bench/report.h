/* What the benchmark programs share: they measure once, print one line per figure (name, value,
 * unit), and end with an error's text if anything fails. bench.py runs them again and again and
 * takes medians. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"
#include "proto/err.h"

static inline void report(const char *name, double value, const char *unit)
{
    printf("%-32s %14.3f %s\n", name, value, unit);
}

static inline void report_check(enum status status, const struct err *err)
{
    if (status == OK)
        return;
    fprintf(stderr, "%s\n", err->text);
    exit(1);
}

static inline void report_fail(const char *text)
{
    fprintf(stderr, "%s\n", text);
    exit(1);
}

static inline double seconds_since(int64_t begun_us)
{
    return 1e-6 * (double)(clock_us() - begun_us);
}

/* A count from the command line, or the default. */
static inline uint32_t report_count(int argc, char **argv, int index, uint32_t otherwise)
{
    unsigned long value = argc > index ? strtoul(argv[index], NULL, 10) : otherwise;
    if (!value || value > 100000000)
        report_fail("expected a count in 1 … 100000000");
    return (uint32_t)value;
}
