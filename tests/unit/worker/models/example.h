/* What the tests of models share: the iris flowers, parameters by the schema, a hash of weights. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "proto/value.h"
#include "worker/models/model.h"

enum { EXAMPLE_ROWS = 150, EXAMPLE_COLUMNS = 4 };

struct example_params {
    _Alignas(16) unsigned char bytes[1024];
};

/* `count` flowers from `first` on, three classes; `params` is to be filled in. */
struct fit_input example_iris(size_t first, size_t count);
/* Regression: the width of the petal by the other three. */
struct fit_input example_petal_width(void);
/* The model's params struct from `given` (NULL: all defaults). */
void example_params(const struct model *model, struct example_params *out,
                    const struct value *given);
/* FNV-1a over all weights. */
uint64_t example_hash(const struct fitted *fitted);
double example_accuracy(const struct fitted *fitted, const struct fit_input *input);
/* Through save and load. */
void example_reload(const struct fitted *fitted, struct fitted **out);
