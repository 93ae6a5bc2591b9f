/* The folder of an embedded state, and what tests do to its files. One at a time. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <sys/types.h>

#include "broker/state/state.h"

extern char folder[64];

/* cmocka's setup and teardown; the latter unmounts what a failed test left mounted there. */
int folder_make(void **context);
int folder_remove(void **context);
/* The path of a file in it, until the next call. */
const char *folder_at(const char *name);
/* Must succeed. */
struct state *folder_open(enum state_mode mode);
/* Opens and closes. */
enum status folder_open_status(enum state_mode mode, struct err *err);
off_t folder_journal_bytes(void);
void folder_lose_index(void);
void folder_flip_byte(const char *name, off_t offset);
void folder_copy(const char *from, const char *to);
/* Three commits, of tasks 1 to 3 by workers one, two, three; returns where the second lies. */
off_t folder_make_three(bool is_flushed);
