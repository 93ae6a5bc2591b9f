/* Times as servers write them, in seconds since 1970. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdbool.h>
#include <stdint.h>

/* "2013-05-24T00:00:00Z", maybe with a fraction (RFC 3339, in UTC). False: no such time. */
bool times_parse_iso(const char *text, int64_t *out);
/* "Fri, 24 May 2013 00:00:00 GMT" (RFC 9110 §5.6.7). */
bool times_parse_http(const char *text, int64_t *out);
