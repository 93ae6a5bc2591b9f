/* How two threads talk: one puts, the other takes all there is, in the order it was put. The
 * descriptor is readable while something waits, so it fits any poll loop. Nothing else is shared:
 * what is put belongs to the taker. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stddef.h>

#include "proto/err.h"

/* The first member of what is sent. */
struct mail {
    struct mail *next;
};

struct mailbox;

/* Errors: E_IO no descriptor to be had. */
MUST_USE enum status mailbox_new(struct mailbox **out, struct err *err);
/* What still waits is the caller's to take before. */
void mailbox_free(struct mailbox *mailbox);
/* Any thread. */
void mailbox_put(struct mailbox *mailbox, struct mail *mail);
/* The first of a list in order, or NULL. One thread. */
struct mail *mailbox_take(struct mailbox *mailbox);
int mailbox_fd(const struct mailbox *mailbox);

DEFINE_AUTO(struct mailbox *, mailbox_free)
