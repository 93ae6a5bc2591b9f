/* The kinds of work as both programs see them: versions, parameter schemas, inputs and outputs.
 * From kinds.def and kind_ports.def. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "proto/schema.h"

struct kind_info {
    const char *kind, *variant; /* variant: a train's model, else "" */
    const char *version;        /* "1+lbfgs-1.10+sleef-3.5.1": what stands in task ids */
    const char *offer; /* "train.logistic_regression@1+…", "sleep@1": what a worker offers */
    const char *help;
    const struct schema *const *schemas; /* NULL-terminated: what schema_canonical takes */
};

enum port_direction { PORT_INPUT, PORT_OUTPUT };
enum port_presence {
    PORT_REQUIRED,
    PORT_OPTIONAL,
    PORT_SPLIT,
    PORT_VALIDATION,
    PORT_WHOLE,
    PORT_SELECT
};

struct kind_port {
    const char *kind, *name;
    enum port_direction direction;
    enum port_presence presence;
};

/* `variant` is "" or NULL for kinds without. NULL when there is none. */
const struct kind_info *kind_info_find(const char *kind, const char *variant);
/* The parameter that chooses the variant ("model" for train), or NULL. */
const char *kind_variant_param(const char *kind);
/* Every line of kinds.def, in order. */
extern const struct kind_info kind_infos[];
extern const size_t kind_info_count;
/* Names of the kinds (or of one kind's variants), NULL-terminated, for suggestions. */
const char *const *kind_names(void);
const char *const *kind_variants(const char *kind);

extern const struct kind_port kind_ports[];
extern const size_t kind_port_count;
/* Does the kind have fixed inputs and outputs? */
bool kind_has_ports(const char *kind);
/* Is the output made with these canonical parameters (and, for preprocess, without a given
 * preprocessor)? */
bool kind_port_is_made(const struct kind_port *port, const struct value *params);
