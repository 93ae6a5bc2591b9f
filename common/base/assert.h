/* ASSERT states what only a bug can break. It stays on in release builds: a broker that has lost an
 * invariant must stop, since restart is the recovery path. Never for input: that is checked and
 * returned. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdio.h>
#include <stdlib.h>

#define ASSERT(condition)                                                                          \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s: broken: %s\n", __FILE__, __LINE__, __func__, #condition);  \
            abort();                                                                               \
        }                                                                                          \
    } while (0)
