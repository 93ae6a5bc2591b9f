/* The inside of a joined worker, shared by join.c (loop, slots, actions), join_send.c (frames out)
 * and join_receive.c (frames in); nobody else includes it. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "common/base/buf.h"
#include "common/base/ms.h"
#include "common/crypto/sign.h"
#include "proto/msg.h"
#include "worker/join.h"
#include "worker/link.h"
#include "worker/runtime/agent.h"
#include "worker/runtime/results.h"
#include "worker/runtime/slot.h"
#include "worker/runtime/work.h"

struct pollfd;

enum { JOIN_NAME_ROOM = 128 };

/* What the parent knows of a slot beside what the agent does. */
struct seat {
    struct slot *slot; /* NULL: absent */
    uint32_t job;      /* the last one given to it */
    ms_t progress_at;
    bool is_limited; /* the kernel bounds its memory: it needs no watching */
    bool is_touched; /* something was put that is not written yet */
};

struct join {
    const struct join_options *options;
    char name[JOIN_NAME_ROOM];
    uint8_t instance[INSTANCE_BYTES];
    bool has_keys;
    uint32_t broker_count;
    struct signer *signer;
    struct mover *mover;
    struct cache *cache;
    struct secrets *secrets;
    struct works *works;
    struct agent *agent;
    struct agent_actions actions;
    struct link *link;
    struct results *results;
    struct cgroups *cgroups; /* NULL: none may be made */
    struct seat *seats;
    uint32_t slots, cpu_hundredths;
    uint64_t memory_bytes;
    struct pollfd *polls;
    int signal_fd;
    ms_t now, wake_at;
    struct buf kinds, labels, out, jobs, started, revoked;
    const struct slot_message *answer; /* that the step under way is about */
    bool is_connected, is_welcome, is_over;
    ms_t alone_since; /* not welcome: since when */
    bool is_alone_told;
    enum status code; /* why it is over */
    struct err err;
};

/* Who we are, whom we talk to, and the link between. Errors: E_INVALID an endpoint or key is
 * malformed; E_DENIED keys are missing. */
MUST_USE enum status join_connect(struct join *join, struct err *err);
/* Frames out; link_send queues them. */
void join_send_hello(struct join *join);
/* The attempts held, as a HEARTBEAT or GOODBYE. */
void join_send_held(struct join *join, enum msg_type type);
void join_send_progress(struct join *join, struct seat *seat, const struct slot_message *message);
/* What has piled up in this beat: attempts given back, attempts begun, closed RESULTS frames. */
void join_send_queued(struct join *join);
/* join_log.c: answers a WATCH. */
void join_send_log(struct join *join, const struct watch_msg *watch);
/* Hands what the link has to the agent. */
void join_receive(struct join *join);
/* Steps the agent and does what it says. */
void join_tell(struct join *join, struct agent_event *event);
