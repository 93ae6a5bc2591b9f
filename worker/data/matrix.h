/* Numbers in rows: what models are given and give back. Row-major float64, no stride tricks; the
 * owner is whoever allocated `values`. A `struct tensor` is a named view for saving and loading
 * weights. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stddef.h>
#include <stdint.h>

struct matrix {
    size_t rows, columns;
    double *values; /* rows × columns, row-major */
};

static inline const double *matrix_row(const struct matrix *m, size_t row)
{
    return m->values + row * m->columns;
}

enum tensor_type { TENSOR_F64, TENSOR_F32, TENSOR_I64, TENSOR_I32, TENSOR_U8 };

struct tensor {
    const char *name;
    enum tensor_type type;
    size_t dims; /* ≤ 4 */
    size_t shape[4];
    const void *data; /* little endian, contiguous */
};
