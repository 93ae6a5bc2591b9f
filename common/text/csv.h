/* CSV by RFC 4180, split at memory speed: quoted fields, doubled quotes, line breaks inside quotes,
 * CRLF or LF, a missing last line break, a UTF-8 byte-order mark. The text is changed in place
 * (unquoting); fields are views into it. A record with another number of fields than the first is
 * E_INVALID and names its line. A quote inside a field that does not begin with one is an ordinary
 * character; NUL bytes are refused. Numbers: csv_real is correctly rounded (fast path of 15 digits,
 * else strtod in the C locale), and rejects text, NaN, infinity and hexadecimal; spaces around a
 * number are allowed. Source of the fast path: Clinger, "How to read floating point numbers
 * accurately" (1990), §3. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/err.h"

struct csv_field {
    const char *text; /* not NUL-terminated */
    uint32_t bytes;
    bool is_quoted; /* an unquoted empty field is missing; "" is an empty text */
};

struct csv {
    const char *name; /* for messages */
    char *at, *end;
    char separator; /* ',' or '\t' */
    uint64_t line;  /* of the record last read, 1-based */
    uint64_t next_line;
    uint32_t field_count; /* of the first record; 0 before it */
    struct csv_field *fields;
    uint32_t field_capacity;
};

/* `text` must have one writable byte behind `bytes`. */
struct csv csv_init(const char *name, char *text, size_t bytes, char separator);
void csv_fini(struct csv *csv);
/* Reads a record into csv->fields. Sets *has_record false at the end. An empty line is skipped.
 * Errors: E_INVALID ragged record, quote left open, text behind a closing quote; E_LIMIT columns or
 * field bytes. */
MUST_USE enum status csv_next(struct csv *csv, bool *has_record, struct err *err);
bool csv_real(const char *text, size_t bytes, double *out);
bool csv_int(const char *text, size_t bytes, int64_t *out);
/* Appends one field, quoted where RFC 4180 needs it. NULL is a missing value (nothing between the
 * commas), an empty text is
 * "". */
struct buf;
void csv_put_field(struct buf *out, const char *text, size_t bytes, bool is_first);
