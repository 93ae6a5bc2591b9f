// SPDX-License-Identifier: Apache-2.0
#include "common/crypto/ready.h"

#include <pthread.h>
#include <sodium.h>

#include "common/base/assert.h"

static void start(void)
{
    int result = sodium_init(); /* 1: somebody else had called it */
    ASSERT(result >= 0);
}

void crypto_ready(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, start);
}
