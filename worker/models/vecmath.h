/* exp, log and their kin with the same bits on every machine of one architecture: glibc's double
 * versions pick their code by the CPU, these don't. At most 1 ulp from the true value. The door to
 * SLEEF, of which only the `cinz` functions are used (plain C, no FMA). Deterministic, no errno, no
 * floating-point traps. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stddef.h>

#include "proto/err.h"

double vecmath_exp(double x);
double vecmath_expm1(double x);
double vecmath_log(double x);
double vecmath_log2(double x);
double vecmath_log1p(double x);
double vecmath_tanh(double x);
double vecmath_pow(double x, double y);
double vecmath_erf(double x);

/* out[i] = f(x[i]); `out` may be `x`. */
void vecmath_exp_array(const double *x, size_t count, double *out);
void vecmath_log_array(const double *x, size_t count, double *out);
/* 1 / (1 + exp(−x)), without overflow. */
double vecmath_sigmoid(double x);
/* log(1 + exp(x)), without overflow. */
double vecmath_softplus(double x);
/* Turns x into exp(x) / Σ exp(x) in place and returns log Σ exp(x). `count` ≥ 1. */
double vecmath_softmax(double *x, size_t count);
/* Σ a[i] b[i] in four interleaved sums, always in the same order. */
double vecmath_dot(const double *a, const double *b, size_t count);
/* y += a x. */
void vecmath_add_scaled(double a, const double *x, size_t count, double *y);

/* SLEEF does not tell its version when running, so the loaded one is known by its bits: a few
 * values where other versions could differ. Errors: E_VERSION naming both versions. */
MUST_USE enum status vecmath_check(struct err *err);
