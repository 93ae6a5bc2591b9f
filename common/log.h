/* One line per fact, logfmt to stderr: `ts level event key=value …`; the event is `noun.verb`.
 * Values with spaces, quotes or = are quoted. Level from PENSTOCK_LOG (error, warn, info, debug;
 * default warn). Never secrets, never payloads. Not for proto/, sched/, pipeline/, models/: they
 * return errors, actions, traces. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "proto/err.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

void log_set_level(enum log_level level);
bool log_is_on(enum log_level level);
/* `format` gives the fields: log_event(LOG_INFO, "task.requeued", "task=%s attempt=%u", …). For
 * text from outside use log_quote() into a buffer first. */
void log_event(enum log_level level, const char *event, const char *format, ...) PRINTF(3, 4);
/* `text` as one logfmt value in `out`; returns out. */
const char *log_quote(const char *text, char *out, size_t out_bytes);
