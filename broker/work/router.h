/* The broker's end of the work plane: a ROUTER socket. Frames in become scheduler events; ASSIGN,
 * ACK, REVOKE, KILL go out as batched frames. It knows connections (routing id ⇄ dense worker
 * number), checks protocol, instance, signature and limits, and refuses what PROTOCOL.md does not
 * allow. It knows nothing of tasks. Socket options: design §8. Thread: the loop's. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/sched/sched.h"
#include "common/base/buf.h"
#include "proto/err.h"
#include "proto/record.h"

struct router;
struct signer;

/* Who may connect to endpoints of which others can reach one. */
struct router_keys {
    const struct signer *identity; /* borrowed: the broker's, which workers pin; its own has it */
    const char *workers_path;      /* borrowed: whose keys are admitted; see allow_list.h */
};

struct router_options {
    const char *endpoint;       /* "ipc:///…/work.sock", "tcp://127.0.0.1:*" */
    const char *local_endpoint; /* another one, for this machine; NULL: none */
    /* NULL: whoever can reach an endpoint may join. Else connections are encrypted (CURVE), each
     * peer proves a key of the list, or the broker's own, and one that is taken off the list is
     * refused. */
    const struct router_keys *keys;
    uint64_t epoch;
    uint32_t lease_ms, credit;
};

MUST_USE enum status router_open(const struct router_options *options, struct router **out,
                                 struct err *err);
void router_close(struct router *router);
/* The endpoints it is really bound to (a port that was `*` filled in). The local one is `endpoint`
 * where there is no other. */
const char *router_endpoint(const struct router *router);
const char *router_local_endpoint(const struct router *router);
/* Edge-triggered: ask router_is_ready before sleeping. */
int router_fd(const struct router *router);
bool router_is_ready(const struct router *router);

/* A RESULTS frame that is held until its results are committed. `handle` is what DONE events and
 * PERSIST/ACK actions carry. */
struct router_frame {
    const uint8_t *bytes; /* the whole frame, verbatim */
    size_t count;
    uint32_t worker;
    const uint8_t *public_key; /* that it is signed with */
    uint64_t sequence;
};

/* The record of a DONE: where it lies in the held frame, and what it says. */
struct router_record {
    const uint8_t *bytes;
    size_t count;
    const struct record *view;
};

/* Receives what is waiting, until that is RECEIVE_WORK_MAX of work, and calls `on_event` for each
 * event in it, in order. A frame with any malformed entry is refused whole. `record` is NULL
 * but for DONE. Peers that a send did not reach are GONE; those that were silent get a HEARTBEAT
 * now and then, to find out. */
enum {
    RECEIVE_WORK_MAX = 2048, /* results: a commit's worth. The other beats want their turn */
    RECEIVE_FRAME_WORK = 32  /* a signature, or a HELLO: as long as so many results */
};
struct router_sink {
    void (*on_event)(void *context, struct sched_event *event, const struct router_record *record);
    /* What a running attempt has written (router_watch). May be NULL. */
    void (*on_log)(void *context, uint32_t worker, const struct log_msg *log);
    /* Before the events of a RESULTS frame: the tasks they are about, in order. May be NULL. */
    void (*on_results)(void *context, const struct id *tasks, uint32_t count);
    void *context;
};
MUST_USE enum status router_receive(struct router *router, ms_t now, const struct router_sink *sink,
                                    struct err *err);
const struct router_frame *router_frame(const struct router *router, uint64_t handle);
/* One result of the frame is dealt with; true when it was the last: now router_ack it. */
bool router_settle(struct router *router, uint64_t handle);

/* Queues; router_flush sends whole frames of up to FRAME_TASKS_MAX entries per worker. */
void router_assign(struct router *router, uint32_t worker, const struct task_msg *task);
void router_ack(struct router *router, uint64_t handle); /* and forgets the frame */
void router_revoke(struct router *router, uint32_t worker, const struct attempt *attempt);
void router_kill(struct router *router, uint32_t worker, const struct attempt *attempt);
/* Asks for what an attempt has written; sent at once, the answer comes to on_log. */
void router_watch(struct router *router, uint32_t worker, const struct watch_msg *watch);
/* Is everything sent that was queued? */
bool router_is_idle(const struct router *router);
MUST_USE enum status router_flush(struct router *router, struct err *err);
/* Another broker leads, at `endpoint` (as workers reach it; "": not known): whoever says HELLO is
 * told so, and all that are connected are told and forgotten, with the frames that were held. No
 * event tells of it. Called again when the leader changes. */
void router_stand_by(struct router *router, const char *endpoint);
/* This broker leads, under `epoch`: from now on workers are welcomed. */
void router_lead(struct router *router, uint64_t epoch);
/* The highest epoch that a worker has brought (what is further ahead of ours than EPOCH_AHEAD_MAX
 * does not count): above ours, a broker leads or led that the state has forgotten. */
uint64_t router_epoch_seen(const struct router *router);
/* Tells every worker to finish and go (GOODBYE), for an embedded broker that is done. */
void router_dismiss(struct router *router);
/* Forgets a worker that is known to be gone. No event tells of it. */
void router_forget(struct router *router, uint32_t worker);
/* The worker's name as it gave it in HELLO. */
const char *router_worker_name(const struct router *router, uint32_t worker);
/* The number of the connected worker of that name, or UINT32_MAX. */
uint32_t router_worker_find(const struct router *router, const char *name);

static inline void router_close_auto(struct router **r)
{
    if (*r)
        router_close(*r);
}
