/* The agent: the worker's pure state machine, twin of the broker's scheduler. No clock, socket,
 * file, thread, random source or environment: events in, actions out, time in the event. The same
 * events give the same actions, so a story replays.
 *
 * THE LIFE OF A JOB (one attempt at one task, known here by the caller's dense number)
 *
 *   heavy:  TASK ── FETCH ─▶ fetching ── FETCHED ─▶ ready ── START ─▶ running ── PUBLISH ─▶
 *           publishing ── PUBLISHED ─▶ RESULT
 *   light:  TASK ─▶ ready ── START ─▶ running ─▶ RESULT      (no files, no limits)
 *
 *   A fetch that fails ends in RESULT at once; a run that fails publishes its log alone; a light
 *   job whose slot died among others goes back to ready, to be run alone.
 *
 * THE LIFE OF A SLOT
 *
 *   absent ── SPAWN ─▶ starting ── SLOT_READY ─▶ idle ◀─▶ light (many jobs) | heavy (one)
 *     ▲                                           │ KILL_SLOT (timeout, memory, cancel, drain)
 *     └──────────────── SLOT_DIED ◀── dying ◀─────┘
 *
 * RULES
 *   - Nothing starts, no frame closes and no heartbeat goes out but on TICK, which the loop
 *     sends once per beat, after it has handed in all that was waiting. So decisions see whole
 *     batches.
 *   - A heavy job takes cpu, memory (its limit is reserved) and named counts from START until its
 *     slot is done with it; it starts only when a slot is free and all that runs, with it, stays
 *     within what the worker offers. The head of the queue (highest priority, longest here) is
 *     never kept waiting by what is behind it: while it waits for resources, another job of its
 *     priority or a lower one starts only if the head would still fit beside it, but for what it
 *     lacks, of which the other may take nothing, and if a slot is left. So a large job can't
 *     starve, and a worker with one gpu is not idle while two jobs want it. What comes next is
 *     fetched meanwhile, also past those that wait.
 *   - Light jobs take the core of their slot and nothing else.
 *   - A job that asks more than the worker offers fails at once: E_UNSUPPORTED.
 *   - Slots are started only when there is work for them; a slot runs one heavy job at a time,
 *     or a window of light ones. The window doubles while jobs are quick and falls back to one
 *     when one was slow: in a window of slow jobs, work would wait behind work while another
 *     slot is idle.
 *   - A heavy job is announced (STARTED) once it has run for a while; a further attempt at
 *     anything at once, since the one before may have killed its worker unseen. Results wait a
 *     little for company, but not while a slot waits for work: the broker may hold what they
 *     release.
 *   - A slot that dies with one job in flight failed that job. With several, nobody knows whose
 *     fault it was: they are run again one by one, alone.
 *   - A timeout counts from START, is enforced here, and its text says so. So is the memory
 *     limit, by samples of the resident size (SAMPLE, answered by RESIDENT).
 *   - Every job ends in exactly one RESULT or REVOKED, followed by RELEASE when nothing holds
 *     its number any more.
 *   - A WELCOME of a lower epoch than one seen before is from a broker that was replaced:
 *     RECONNECT, and nothing else. So after a refusal, but for those that a new HELLO can't mend
 *     (version, denied) or did not, again and again: EXIT.
 *   - A drain hands back what has not begun, lets the rest finish within the grace, and exits
 *     when results are acknowledged. What comes in meanwhile is left lying: handed back at once,
 *     it would only be sent again. GOODBYE hands back all that is still held (agent_next_held).
 *
 * Thread: the loop's. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/ms.h"
#include "proto/err.h"
#include "proto/limits.h"
#include "proto/msg.h"

struct agent;

enum {
    /* What a broker may make us hold: its credit, and as much again for what it sends before our
       word reaches it. */
    AGENT_JOBS_MAX = 2 * WORKER_CREDIT_MAX,
    /* Light jobs in flight at one slot; measured: gains end at about 256. */
    AGENT_WINDOW_MAX = 256
};

#define AGENT_NONE UINT32_MAX /* no job, no slot */

struct agent_options {
    uint32_t slots;     /* ≥ 1 */
    uint32_t grace_ms;  /* of a drain */
    uint32_t sample_ms; /* between two looks at resident sizes; 0: 25 */
    uint32_t prefetch;  /* heavy jobs fetched ahead of the slots; 0: as many as slots */
    /* What running jobs may take together. */
    uint32_t cpu_hundredths;          /* 0: a core for each slot */
    uint64_t memory_bytes;            /* 0: not bounded */
    uint32_t resource_count;          /* ≤ RESOURCES_MAX */
    const struct resource *resources; /* copied */
};

enum agent_event_type {
    AGENT_CONNECTED,    /* the link is up: say HELLO */
    AGENT_DISCONNECTED, /* results are kept, running jobs go on */
    AGENT_WELCOME,
    AGENT_REFUSED, /* by the broker; the text says why */
    AGENT_TASK,
    AGENT_REVOKE,
    AGENT_KILL,
    AGENT_ACK,       /* `left`: frames still unacknowledged */
    AGENT_DISMISS,   /* the broker's GOODBYE: nothing more will come */
    AGENT_FETCHED,   /* inputs are there, or code and text say why not */
    AGENT_PUBLISHED, /* outputs are stored, or code and text say why not */
    AGENT_SLOT_READY,
    AGENT_SLOT_RESULT, /* of the oldest job in flight at `slot` */
    AGENT_SLOT_DIED,
    AGENT_RESIDENT, /* answer to SAMPLE */
    AGENT_DRAIN,    /* SIGTERM; the second one ends at once */
    AGENT_TICK
};

struct agent_event {
    enum agent_event_type type;
    ms_t now;
    union {
        struct {
            uint64_t epoch;
            uint32_t lease_ms;
        } welcome;
        struct {
            uint32_t job; /* the caller's number, < AGENT_JOBS_MAX, not in use */
            struct attempt attempt;
            /* Its kind touches no files; it has no timeout and no memory limit, and takes no more
             * than a core. */
            bool is_light;
            int32_t priority;
            uint32_t timeout_ms;
            uint64_t memory_bytes;
            uint32_t cpu_hundredths, resource_count;
            const struct resource *resources; /* names differ */
        } task;
        struct attempt attempt; /* REVOKE KILL */
        struct {
            size_t left;
        } ack;
        struct { /* FETCHED PUBLISHED REFUSED: the last has no job */
            uint32_t job;
            enum status code;
            const char *text;
        } done;
        struct {
            uint32_t slot;
            enum status code;
            const char *text;
            int64_t took_us;
        } result;
        struct { /* how it died: by `signal` if not 0, else with `exit_status` */
            uint32_t slot;
            int signal, exit_status;
        } died;
        struct {
            uint32_t slot;
            uint64_t bytes;
        } resident;
    };
};

enum agent_action_type {
    AGENT_SEND_HELLO,
    AGENT_SEND_HEARTBEAT,
    AGENT_SEND_STARTED, /* `job` */
    AGENT_SEND_REVOKED, /* `attempt` */
    AGENT_SEND_GOODBYE,
    AGENT_RECONNECT, /* drop this connection and try again */
    AGENT_RESEND,    /* every kept RESULTS frame, in order */
    AGENT_FETCH,     /* inputs of `job` */
    AGENT_SPAWN,     /* start `slot` */
    AGENT_START,     /* give `job` to `slot`; several in a row are one write */
    AGENT_KILL_SLOT, /* with everything it started; SLOT_DIED follows */
    AGENT_SAMPLE,    /* how large is `slot`? */
    AGENT_PUBLISH,   /* outputs of `job` */
    AGENT_RESULT,  /* add to the open frame: success of `job`, or its failure with code and text */
    AGENT_FLUSH,   /* close, sign and send the open frame */
    AGENT_RELEASE, /* `job`'s number is free again */
    AGENT_WAKE_AT, /* send a TICK at `at` at the latest; MS_NEVER: when something happens */
    AGENT_EXIT     /* `code` OK: drained */
};

struct agent_action {
    enum agent_action_type type;
    uint32_t job, slot;
    ms_t at;
    enum status code;
    struct attempt attempt;
    const char *text; /* the event's; of a death: lives until that slot dies again */
};

struct agent_actions {
    struct agent_action *items;
    size_t count, capacity;
};

struct agent *agent_new(const struct agent_options *options);
void agent_free(struct agent *agent);
/* Appends to `out`, which the caller empties. The event is borrowed. */
void agent_step(struct agent *agent, const struct agent_event *event, struct agent_actions *out);
void agent_actions_fini(struct agent_actions *actions);

/* The attempts it holds (not yet answered by a RESULT), for HELLO and HEARTBEAT: start with a
 * cursor of 0. */
bool agent_next_held(const struct agent *agent, uint32_t *cursor, struct attempt *out);
/* Has `slot` a job in flight, so that it may answer? */
bool agent_is_awaiting(const struct agent *agent, uint32_t slot);
/* The highest epoch seen. */
uint64_t agent_epoch(const struct agent *agent);
/* Recounts every invariant; false and says in `err` which is broken. For tests. */
MUST_USE bool agent_check(const struct agent *agent, struct err *err);

/* "64 MiB", "1.5 GiB", "900 bytes"; "10 s", "250 ms", "1.5 s". */
const char *agent_describe_bytes(uint64_t bytes, char *out, size_t out_bytes);
const char *agent_describe_ms(uint64_t ms, char *out, size_t out_bytes);

static inline void agent_free_auto(struct agent **agent)
{
    if (*agent)
        agent_free(*agent);
}
