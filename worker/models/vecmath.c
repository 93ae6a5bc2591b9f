// SPDX-License-Identifier: Apache-2.0
#include "worker/models/vecmath.h"

#include <math.h>
#include <sleef.h>
#include <stdint.h>
#include <string.h>

#include "lib_versions.h"

double vecmath_exp(double x)
{
    return Sleef_cinz_expd1_u10purec(x);
}

double vecmath_expm1(double x)
{
    return Sleef_cinz_expm1d1_u10purec(x);
}

double vecmath_log(double x)
{
    return Sleef_cinz_logd1_u10purec(x);
}

double vecmath_log2(double x)
{
    return Sleef_cinz_log2d1_u10purec(x);
}

double vecmath_log1p(double x)
{
    return Sleef_cinz_log1pd1_u10purec(x);
}

double vecmath_tanh(double x)
{
    return Sleef_cinz_tanhd1_u10purec(x);
}

double vecmath_pow(double x, double y)
{
    return Sleef_cinz_powd1_u10purec(x, y);
}

double vecmath_erf(double x)
{
    return Sleef_cinz_erfd1_u10purec(x);
}

void vecmath_exp_array(const double *x, size_t count, double *out)
{
    for (size_t i = 0; i < count; i++)
        out[i] = vecmath_exp(x[i]);
}

void vecmath_log_array(const double *x, size_t count, double *out)
{
    for (size_t i = 0; i < count; i++)
        out[i] = vecmath_log(x[i]);
}

double vecmath_sigmoid(double x)
{
    double e = vecmath_exp(-fabs(x));
    return x >= 0 ? 1 / (1 + e) : e / (1 + e);
}

double vecmath_softplus(double x)
{
    return (x > 0 ? x : 0) + vecmath_log1p(vecmath_exp(-fabs(x)));
}

double vecmath_softmax(double *x, size_t count)
{
    double max = x[0], sum = 0;
    for (size_t i = 1; i < count; i++)
        if (x[i] > max)
            max = x[i];
    for (size_t i = 0; i < count; i++) {
        x[i] = vecmath_exp(x[i] - max);
        sum += x[i];
    }
    for (size_t i = 0; i < count; i++)
        x[i] /= sum;
    return max + vecmath_log(sum);
}

double vecmath_dot(const double *a, const double *b, size_t count)
{
    double s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    size_t i = 0;
    for (; i + 4 <= count; i += 4) {
        s0 += a[i] * b[i];
        s1 += a[i + 1] * b[i + 1];
        s2 += a[i + 2] * b[i + 2];
        s3 += a[i + 3] * b[i + 3];
    }
    for (; i < count; i++)
        s0 += a[i] * b[i];
    return (s0 + s1) + (s2 + s3);
}

void vecmath_add_scaled(double a, const double *x, size_t count, double *y)
{
    for (size_t i = 0; i < count; i++)
        y[i] += a * x[i];
}

/* FNV-1a over the bits of all functions at a few hundred arguments. */
static uint64_t fingerprint(void)
{
    uint64_t hash = 14695981039346656037u;
    for (int i = 1; i <= 400; i++) {
        double x = i * 0.0371, results[] = {vecmath_exp(x),  vecmath_exp(-x),   vecmath_expm1(-x),
                                            vecmath_log(x),  vecmath_log2(x),   vecmath_log1p(x),
                                            vecmath_tanh(x), vecmath_pow(x, x), vecmath_erf(x)};
        for (size_t k = 0; k < sizeof results / sizeof *results; k++) {
            uint64_t bits;
            memcpy(&bits, &results[k], sizeof bits);
            hash = (hash ^ bits) * 1099511628211u;
        }
    }
    return hash;
}

/* Taken from SLEEF 3.5.1. */
#define FINGERPRINT 0x97a8a79ba8086bb3u

enum status vecmath_check(struct err *err)
{
    uint64_t found = fingerprint();
    if (found != FINGERPRINT)
        return err_set(
            err, E_VERSION,
            "the SLEEF library that was loaded computes other bits (%016llx) than " LIB_SLEEF
            ", which this program was built with (%016llx): install that version",
            (unsigned long long)found, (unsigned long long)FINGERPRINT);
    return OK;
}
