// SPDX-License-Identifier: Apache-2.0
#include "common/net/curl_ready.h"

#include <pthread.h>
#include <signal.h>

#include <curl/curl.h>

static void make_ready(void)
{
    struct sigaction now;
    curl_global_init(CURL_GLOBAL_DEFAULT);
    if (sigaction(SIGPIPE, NULL, &now) == 0 && now.sa_handler == SIG_DFL)
        signal(SIGPIPE, SIG_IGN);
}

void curl_ready(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_ready);
}
