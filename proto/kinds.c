// SPDX-License-Identifier: Apache-2.0
#include "proto/kinds.h"

#include <string.h>

#include "lib_versions.h"
#include "proto/schemas.h"

/* Which schemas a line of kinds.def takes, found by its kind and variant. */
static const struct schema *const preprocess_schemas[] = {&schema_preprocess, NULL};
static const struct schema *const logistic_schemas[] = {&schema_train, &schema_logistic_regression,
                                                        NULL};
static const struct schema *const tree_schemas[] = {&schema_train, &schema_decision_tree, NULL};
static const struct schema *const forest_schemas[] = {&schema_train, &schema_random_forest, NULL};
static const struct schema *const boosting_schemas[] = {&schema_train, &schema_gradient_boosting,
                                                        NULL};
static const struct schema *const no_schemas[] = {NULL};
static const struct schema *const metrics_schemas[] = {&schema_metrics, NULL};
static const struct schema *const exec_schemas[] = {&schema_exec, NULL};
static const struct schema *const sleep_schemas[] = {&schema_sleep, NULL};

#define JOIN(version, libraries) (sizeof(libraries) > 1 ? version "+" libraries : version)
#define OFFER(kind, variant, version, libraries)                                                   \
    (sizeof(variant) > 1                                                                           \
         ? (sizeof(libraries) > 1 ? kind "." variant "@" version "+" libraries                     \
                                  : kind "." variant "@" version)                                  \
         : (sizeof(libraries) > 1 ? kind "@" version "+" libraries : kind "@" version))
#define KIND(kind, variant, version, libraries, schemas, help)                                     \
    {#kind, variant, JOIN(version, libraries), OFFER(#kind, variant, version, libraries),          \
     help,  schemas},
const struct kind_info kind_infos[] = {
#include "proto/kinds.def"
};
#undef KIND
const size_t kind_info_count = sizeof kind_infos / sizeof *kind_infos;

#define PORT(kind, direction, name, presence) {#kind, #name, PORT_##direction, PORT_##presence},
const struct kind_port kind_ports[] = {
#include "proto/kind_ports.def"
};
#undef PORT
const size_t kind_port_count = sizeof kind_ports / sizeof *kind_ports;

const struct kind_info *kind_info_find(const char *kind, const char *variant)
{
    for (size_t i = 0; i < kind_info_count; i++)
        if (strcmp(kind_infos[i].kind, kind) == 0 &&
            strcmp(kind_infos[i].variant, variant ? variant : "") == 0)
            return &kind_infos[i];
    return NULL;
}

const char *kind_variant_param(const char *kind)
{
    return strcmp(kind, "train") == 0 ? "model" : NULL;
}

const char *const *kind_names(void)
{
    static const char *names[sizeof kind_infos / sizeof *kind_infos + 1];
    size_t count = 0;
    for (size_t i = 0; i < kind_info_count; i++)
        if (i == 0 || strcmp(kind_infos[i].kind, kind_infos[i - 1].kind) != 0)
            names[count++] = kind_infos[i].kind;
    return names;
}

const char *const *kind_variants(const char *kind)
{
    static const char *names[sizeof kind_infos / sizeof *kind_infos + 1];
    size_t count = 0;
    for (size_t i = 0; i < kind_info_count; i++)
        if (strcmp(kind_infos[i].kind, kind) == 0 && kind_infos[i].variant[0])
            names[count++] = kind_infos[i].variant;
    names[count] = NULL;
    return names;
}

bool kind_has_ports(const char *kind)
{
    for (size_t i = 0; i < kind_port_count; i++)
        if (strcmp(kind_ports[i].kind, kind) == 0)
            return true;
    return false;
}

bool kind_port_is_made(const struct kind_port *port, const struct value *params)
{
    const struct value *split = value_get(params, "split");
    const struct value *validation = split ? value_get(split, "validation_size") : NULL;
    switch (port->presence) {
    case PORT_REQUIRED:
    case PORT_OPTIONAL: return true;
    case PORT_SPLIT: return split != NULL;
    case PORT_VALIDATION: return validation != NULL; /* its default, 0, is left out */
    case PORT_WHOLE: return split == NULL;
    case PORT_SELECT: return value_get(params, "select") != NULL;
    }
    return false;
}
