/* What the simulated world is made of: tasks and runs, frames and connections, workers, the broker.
 * world.h explains it. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "broker/sched/sched.h"
#include "common/base/buf.h"
#include "common/base/rng.h"
#include "proto/msg.h"
#include "worker/runtime/agent.h"

enum {
    UNITS_MAX = 64,
    UNIT_INPUTS_MAX = 24,
    UNIT_OUTPUTS_MAX = 4,
    CLASSES = 6,
    RUNS_MAX = 8,
    PLACES_MAX = 6,
    SLOTS_MOST = 3,
    JOBS_MAX = 256,
    SKIPS_MAX = 64,
    EVENTS_MAX = 2000000, /* of one history: more is a world that turns in circles */
    TEXT_BYTES = 512
};
#define NOBODY UINT32_MAX

/* What may go wrong; a bit each, so that the shrinker can leave kinds out. */
enum fault {
    FAULT_CUT,       /* a connection is lost, with what is under way */
    FAULT_PARTITION, /* nothing gets through, one way or both, for a while */
    FAULT_DELAY,     /* a slow network, for a while */
    FAULT_DUPLICATE, /* frames come twice */
    FAULT_REORDER,   /* frames overtake each other */
    FAULT_DROP,      /* HEARTBEAT, STARTED get lost */
    FAULT_KILL,      /* kill -9 of a worker */
    FAULT_STOP,      /* SIGSTOP, SIGCONT later */
    FAULT_DRAIN,     /* SIGTERM */
    FAULT_CLOCK,     /* a worker's clock jumps or stands */
    FAULT_SLOT,      /* a slot crashes */
    FAULT_SLOW,      /* a slot is slow */
    FAULT_HANG,      /* a slot hangs */
    FAULT_FLAKY,     /* an attempt fails */
    FAULT_BROKER,    /* kill -9 of the broker, perhaps in the middle of a commit */
    FAULT_BROKER_CLOCK,
    FAULT_STALL,  /* the broker's loop stands still */
    FAULT_COMMIT, /* commits are slow, fail, or succeed without saying so */
    FAULT_LOSS,   /* the store loses a blob */
    FAULT_CORRUPT,
    FAULT_STORE,  /* the store answers 503 for a while */
    FAULT_CANCEL, /* a run is stopped */
    FAULT_POISON, /* tasks that kill their slot or worker, each time */
    FAULT_FULL,   /* a worker's disk is full for a while */
    FAULT_COUNT
};
#define FAULTS_ALL ((UINT32_C(1) << FAULT_COUNT) - 1)

struct params {
    uint64_t seed;
    uint32_t units, runs, places;
    uint32_t faults;    /* bits */
    uint32_t fault_max; /* at most so many from the script */
    uint32_t faulty_ms;
    uint32_t skips[SKIPS_MAX], skip_count; /* faults left out, by number */
};

enum shape {
    SHAPE_CHAIN,
    SHAPE_FAN,
    SHAPE_DIAMONDS,
    SHAPE_LAYERS,
    SHAPE_RANDOM,
    SHAPE_IRIS,
    SHAPE_COUNT
};

enum nature { NATURE_GOOD, NATURE_INVALID, NATURE_FLAKY, NATURE_SLOT_POISON, NATURE_WORKER_POISON };

struct unit_input {
    uint8_t unit, output;
};

/* A task of the world, whichever runs want it. What it makes is a function of `function` and its
 * inputs. */
struct unit {
    struct id id;
    uint64_t function;
    uint8_t input_count, output_count, policy, nature;
    bool is_light;
    struct unit_input inputs[UNIT_INPUTS_MAX];
    uint16_t outputs[UNIT_OUTPUTS_MAX]; /* the faultless run's blobs */
    uint64_t action;                    /* and its action key */
    enum task_state expected;
    uint32_t length_ms;
    /* what happened to it */
    uint32_t last_try, clean, failures, deaths, losses, crashes;
    uint32_t full_spells[PLACES_MAX]; /* the last that cost it a retry */
    uint32_t redo;  /* times it may run again though it was done: forced, or its outputs are gone */
    bool is_redone; /* it is being run again so, until it is done again */
    bool was_submitted;    /* since its last try */
    uint32_t submitted_at; /* tries made before its last submission */
};

struct blob {
    struct id id;
    bool is_there, is_corrupt;
    uint32_t losses;
    ms_t lost_at;
};

/* One assignment. */
struct attempt_made {
    uint32_t unit, number, place, life;
    uint64_t epoch; /* of the broker that gave it out */
    bool is_excused, is_killed, may_die, is_given_back, is_failed, is_final, is_done;
    uint32_t clean, crashes; /* clean: executions that nothing excuses */
    enum status code;
    ms_t given_at, failed_at;
};

struct kept_record {
    bool is_there;
    uint64_t action;
    uint8_t output_count;
    uint16_t outputs[UNIT_OUTPUTS_MAX];
};

/* An entry of a frame: an attempt, and what is said of it. */
struct entry {
    uint32_t unit, number;
    enum status code;
    uint64_t action; /* RESULTS: of the record */
    uint8_t blob_count, lost_count;
    uint16_t blobs[UNIT_INPUTS_MAX]; /* TASKS: inputs; RESULTS: outputs */
    uint16_t lost[UNIT_INPUTS_MAX];
    bool is_light;
    int32_t priority;
    uint32_t timeout_ms;
    uint64_t memory_bytes;
    uint32_t cpu_hundredths, gpus;
};

struct frame {
    enum msg_type type;
    uint32_t conn, place, life;
    uint64_t sequence, epoch; /* of RESULTS; of HELLO, WELCOME */
    enum status code;         /* of REFUSED */
    uint32_t count, capacity;
    struct entry *entries;
    struct frame *next;
};

struct frames {
    struct frame *first, *last;
};

/* One connection of a worker to the broker. */
struct conn {
    uint32_t place, life;
    bool is_open;   /* the worker's socket; frames to it are read */
    bool is_served; /* the broker's end: sends to it find somebody */
    bool is_torn;   /* what is under way is lost */
    struct frames queue[2];
    struct frames late[2]; /* copies, and frames that others overtake */
    ms_t last_at[2];
};
enum { TO_BROKER, TO_WORKER, LATE }; /* LATE + direction: of `late` */

struct job {
    bool is_used;
    uint32_t unit, number;
    struct entry entry;
    uint16_t outputs[UNIT_OUTPUTS_MAX];
    uint16_t lost[UNIT_INPUTS_MAX];
    uint8_t lost_count, output_count;
    enum status code; /* of the publication */
};

struct seat {
    bool is_there, is_ready, is_busy, is_dead;
    uint32_t generation; /* events of former slots are not for this one */
    uint32_t jobs[AGENT_WINDOW_MAX], job_count;
    enum status code; /* what the running job will end with */
};

enum input_type {
    INPUT_LINK_UP,
    INPUT_LINK_DOWN,
    INPUT_FRAME,
    INPUT_SLOT,
    INPUT_SIGNAL,
    INPUT_MOVE
};

/* What waits for the worker's loop. */
struct input {
    enum input_type type;
    uint32_t job, slot, generation;
    bool is_ready, is_publication, is_death;
    enum status code;
    int64_t took_us;
    struct frame *frame;
};

struct place {
    uint32_t slots, kind_count, label_count, cpu_hundredths;
    const char *kinds[2];
    const char *labels[4];
    uint64_t memory_bytes;
    struct resource gpus; /* count 0: it has none */
    /* the process */
    uint32_t life;
    bool is_up, is_stopped, is_leaving, is_wanted, is_draining;
    ms_t offset, frozen_at; /* clock: world time + offset, unless it stands */
    ms_t excused_until, mortal_until, full_until;
    uint32_t full_spell; /* from 1; counts on when the scheduler has cause to think it well */
    bool was_full;
    uint32_t rest_spell; /* of its last rest, which began */
    ms_t rest_at;
    uint32_t grace_ms;
    struct agent *agent;
    struct agent_actions actions;
    struct job jobs[JOBS_MAX];
    struct seat seats[SLOTS_MOST];
    struct input *inputs; /* what waits for its loop */
    uint32_t input_count, input_capacity;
    uint8_t cache[8192 / 8];
    /* its link */
    uint32_t conn; /* NOBODY: none */
    bool is_broken, is_welcome;
    uint32_t pause_ms;
    /* results, as worker/runtime/results.c keeps them */
    struct frame *open;
    struct frames kept;
    uint32_t kept_count, unsent_from;
    uint64_t sequence;
    struct frame *started, *revoked;
    ms_t turn_at, wake_at, running_now; /* running_now: the agent's time of this turn */
    ms_t blocked_until[2];              /* a partition */
};

struct session {
    bool is_used, is_known, is_lost, was_heard;
    uint32_t conn, place, life;
    struct frame *out[4]; /* TASKS ACK REVOKE KILL */
};

/* A RESULTS frame whose results are not all dealt with. */
struct held {
    bool is_used;
    uint32_t worker, place, life, open;
    struct frame *frame;
};

enum write_type { WRITE_REMOVE, WRITE_RECORD, WRITE_ALIAS };
struct write {
    enum write_type type;
    uint32_t unit, conn;       /* conn: that the result came by */
    struct kept_record record; /* ALIAS: its action alone */
    bool has_action;
};

struct ending {
    uint32_t run;
    bool is_over;
    uint16_t *blobs;
    uint32_t blob_count;
};

struct asked {
    uint32_t task, unit;
    uint64_t action;
};

#define LIST(type)                                                                                 \
    struct {                                                                                       \
        type *items;                                                                               \
        uint32_t count, capacity;                                                                  \
    }
#define LIST_ADD(list, ...)                                                                        \
    do {                                                                                           \
        if ((list).count == (list).capacity) {                                                     \
            (list).capacity = (list).capacity ? 2 * (list).capacity : 16;                          \
            (list).items = mem_resize((list).items, (list).capacity * sizeof *(list).items);       \
        }                                                                                          \
        (list).items[(list).count++] = (__VA_ARGS__);                                              \
    } while (0)

struct broker {
    bool is_up, is_committing, is_waiting;
    bool is_submitting; /* tasks of runs that are over may be taken by the new one */
    uint64_t epoch;
    struct sched *sched;
    struct sched_actions actions;
    LIST(struct session) sessions;
    LIST(struct held) held;
    LIST(struct write) batch;
    LIST(struct asked) asked, foreseen; /* foreseen: with the commit under way */
    LIST(struct ending) endings;
    struct frames inbox;
    ms_t now, offset, frozen_at, stalled_ms, waiting_since, retry_at, wake_at, turn_at, probe_at;
    ms_t commit_at;   /* when the commit under way is durable */
    ms_t stall_until; /* its loop stands still */
    bool commit_fails;
    uint64_t resolved_action;  /* of the RESOLVED being stepped */
    const struct entry *entry; /* of the DONE being stepped */
    ms_t excused_until;
};

struct run {
    struct task_node *nodes;
    struct task_edge *edges;
    uint8_t *units; /* per node */
    uint8_t *is_target, *is_forced;
    uint32_t node_count, edge_count;
    struct task_policy policies[CLASSES];
    bool has_targets, has_forced;
    ms_t submit_at, checked_at;
    bool is_submitted, is_over, is_cancelled, is_killed, is_forgotten;
};

enum event_type {
    EVENT_BROKER,
    EVENT_PLACE,
    EVENT_DELIVER,
    EVENT_CONNECT,
    EVENT_TEAR,
    EVENT_INPUT,
    EVENT_SEAT,
    EVENT_MOVE,
    EVENT_START,
    EVENT_CONTINUE,
    EVENT_THAW,
    EVENT_RESTART,
    EVENT_FAULT,
    EVENT_SUBMIT,
    EVENT_FORGET,
    EVENT_MEND
};

struct happening {
    ms_t at;
    uint64_t order;
    enum event_type type;
    uint32_t a, b, c;
    bool flag;
};
