/* The agent's inside, shared by agent.c (events) and agent_tick.c (decisions); nobody else includes
 * it.
 *
 * A job is in exactly one place: a queue (linked by `next`), a slot's ring, or the hands of the
 * caller (fetching, publishing). Thread: the loop's. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "worker/runtime/agent.h"

enum job_state { JOB_NONE, JOB_WAITING, JOB_FETCHING, JOB_READY, JOB_RUNNING, JOB_PUBLISHING };

struct job {
    struct attempt attempt;
    uint8_t state; /* enum job_state; a light job that waits is READY */
    bool is_light;
    bool is_alone;     /* a light job that may have killed a slot: runs like a heavy one */
    bool is_cancelled; /* its end is E_CANCELLED, whatever comes */
    bool is_given_up;  /* handed back while its inputs were fetched: only RELEASE is left */
    uint32_t slot, next;
    int32_t priority;
    uint32_t timeout_ms;
    uint32_t cpu_hundredths;
    uint64_t memory_bytes;
    ms_t deadline, announce_at;
};

/* What is shared out: cpu, memory, then the named counts in the options' order. */
enum { SHARE_CPU, SHARE_MEMORY, SHARE_COUNTS, SHARES_MAX = SHARE_COUNTS + RESOURCES_MAX };

struct queue {
    uint32_t head, tail, count;
};

enum slot_phase { SLOT_ABSENT, SLOT_STARTING, SLOT_IDLE, SLOT_LIGHT, SLOT_HEAVY, SLOT_DYING };
enum kill_reason { KILL_NONE, KILL_TIMEOUT, KILL_MEMORY, KILL_CANCEL, KILL_DRAIN };

struct slot_state {
    uint8_t phase, reason;
    uint32_t first, count; /* of the ring */
    uint32_t window, quick;
    uint32_t failed_starts;
    uint64_t resident_bytes; /* when it was killed for its size */
    uint32_t ring[AGENT_WINDOW_MAX];
};

struct agent {
    struct agent_options options;
    struct job *jobs;
    uint32_t job_end; /* behind the highest number ever used: nobody looks further */
    uint32_t *counts; /* named ones, options.resource_count for each job; NULL: none */
    uint32_t share_count;
    uint64_t offered[SHARES_MAX], used[SHARES_MAX]; /* used: by what start_heavy started */
    char (*resource_names)[NAME_BYTES_MAX + 1];     /* the options' copied */
    char refusal[ERR_TEXT_BYTES]; /* of the last job that asked too much; an action points to it */
    struct slot_state *slots;
    char (*last_words)[ERR_TEXT_BYTES]; /* how each slot died; actions point to them */
    struct queue light, waiting, ready; /* ready: heavy jobs, and light ones that run alone */
    uint32_t held;                      /* jobs whose RESULT or REVOKED is still owed */
    uint32_t fetching, running, publishing, heavy_running;
    bool is_linked; /* HELLO was said; online: and answered by WELCOME */
    bool is_online, is_draining, is_dismissed, has_exited, has_spawned;
    bool has_unacked;
    uint32_t open_results;
    ms_t results_at, heartbeat_at, sample_at, exit_at;
    uint32_t lease_ms;
    uint32_t refusals; /* since the last heartbeat */
    uint64_t epoch;
};

struct agent_action *agent_add(struct agent_actions *out, enum agent_action_type type);
void agent_queue_put(struct agent *agent, struct queue *queue, uint32_t job, bool is_front);
uint32_t agent_queue_take(struct agent *agent, struct queue *queue);
/* The job's one answer; failures carry `text`. */
void agent_finish(struct agent *agent, uint32_t job, enum status code, const char *text, ms_t now,
                  struct agent_actions *out);
void agent_hand_back(struct agent *agent, uint32_t job, struct agent_actions *out);
void agent_kill_slot(struct agent *agent, uint32_t slot, enum kill_reason reason,
                     struct agent_actions *out);
void agent_exit(struct agent *agent, enum status code, const char *text, struct agent_actions *out);
void agent_tick(struct agent *agent, ms_t now, struct agent_actions *out);
void agent_queue_remove(struct agent *agent, struct queue *queue, uint32_t job);

/* agent_share.c */
void agent_share_init(struct agent *agent);
void agent_share_fini(struct agent *agent);
/* Takes in what the job asks for; false: more than there is, said in agent->refusal. */
bool agent_share_ask(struct agent *agent, uint32_t job, const struct agent_event *task);
/* Is there room for the job, and for another one (or AGENT_NONE) beside it? */
bool agent_share_fits(const struct agent *agent, uint32_t job, uint32_t beside);
/* Is there a core for a slot of light jobs, `is_new` or counted already, with the other one? */
bool agent_share_fits_light(const struct agent *agent, bool is_new, uint32_t beside);
void agent_share_take(struct agent *agent, uint32_t job);
void agent_share_give_back(struct agent *agent, uint32_t job);
/* Recounts what is in use. */
MUST_USE bool agent_share_check(const struct agent *agent, struct err *err);
