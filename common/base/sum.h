/* Sums in the order given, with the rounding errors carried along: the same bits on every machine,
 * and within a few units in the last place of the true sum. Must not be compiled with -ffast-math.
 * Source: Neumaier, "Rundungsfehleranalyse einiger Verfahren zur Summation endlicher Summen", ZAMM
 * 54 (1974). */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <math.h>

struct sum {
    double total, error;
};

static inline void sum_add(struct sum *sum, double x)
{
    double total = sum->total + x;
    sum->error += fabs(sum->total) >= fabs(x) ? (sum->total - total) + x : (x - total) + sum->total;
    sum->total = total;
}
static inline double sum_value(const struct sum *sum)
{
    return sum->total + sum->error;
}
