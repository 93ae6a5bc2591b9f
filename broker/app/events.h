/* What happened, for whoever watches: a bounded list of events, each written down once as JSON
 * (app.h says what they hold). The oldest make room for new ones. Numbers begin at the time of day
 * in microseconds, so they rise over restarts too. Thread: the application's. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/app.h"

struct events;

struct events *events_new(void);
void events_free(struct events *events);
/* Returns the event's number. `fields` is a map of what stands beside "id", "event" and "run". */
uint64_t events_put(struct events *events, const char *event, const char *run,
                    const struct value *fields);
/* Forgets one that a newer one replaces; 0, or one that is gone already: nothing. */
void events_drop(struct events *events, uint64_t id);
bool events_next(struct events *events, const char *run, uint64_t after, struct app_event *out);
uint64_t events_last(const struct events *events);
