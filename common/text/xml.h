/* Reading what XML services answer (S3, STS): elements and their text, in one pass, nothing kept.
 *
 *   <A><B>x</B><C><D>y</D></C></A>  →  visit("A/B", "x")  visit("A/C/D", "y")  visit("A/C", NULL)
 *                                      visit("A", NULL)
 *
 * Input is hostile: depth and path are bounded, entities are the five of XML and numbers, a
 * document type (and with it every way to define entities) is refused. Attributes, comments and
 * processing instructions are skipped. Not a validating parser: names are not checked for letters.
 * Source: W3C, Extensible Markup Language (XML) 1.0. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stddef.h>

#include "proto/err.h"

/* `text` is what a leaf holds, NUL-terminated and valid during the call; NULL for an element with
 * elements in it. A failure ends the reading with it. */
typedef enum status xml_visit(void *context, const char *path, const char *text, struct err *err);

/* `name` is for messages. Errors: E_CORRUPT with the offset. */
MUST_USE enum status xml_walk(const char *name, const char *text, size_t bytes, xml_visit *visit,
                              void *context, struct err *err);
