/* libsodium picks its fastest BLAKE2b for this processor in sodium_init; every function of this
 * folder calls crypto_ready() before it, so that nobody has to remember to. Cheap after the first
 * time; any thread. */
// SPDX-License-Identifier: Apache-2.0
#pragma once

void crypto_ready(void);
