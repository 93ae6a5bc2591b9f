/* A broker that serves, in a folder of its own, with a local worker; for tests of many runs. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/app.h"

struct serving {
    struct app *app;
    char home[64];
    bool is_alone; /* it does not serve: whoever opened it has it for himself */
};

/* setup and teardown for cmocka; the folder is gone afterwards. */
int serving_setup(void **state);
int serving_teardown(void **state);
/* Opens it; it must not be open. */
void serving_open(struct serving *serving, uint32_t slots);
/* As a kill would: nothing is said to anybody. Only the worker is ended with it. */
void serving_close(struct serving *serving);
/* A request from elsewhere. */
struct app_request serving_request(const char *text);
void serving_submit(struct serving *serving, const struct app_request *request,
                    char run[APP_RUN_ID_BYTES]);
/* Turns until the run is over, and tells its state ("succeeded") and a count of its tasks. */
void serving_finish(struct serving *serving, const char *run);
void serving_expect(struct serving *serving, const char *run, const char *state, int64_t executed,
                    int64_t hit);
/* Turns until the condition holds. */
void serving_until(struct serving *serving, bool (*holds)(struct serving *serving, const char *run),
                   const char *run);
