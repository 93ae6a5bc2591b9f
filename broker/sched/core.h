/* The scheduler's inside: dense arrays, indices instead of pointers. Every file of this folder
 * works on struct sched; outside, only sched.h is seen.
 *
 * MEMORY, per task: 88 bytes here, 4 to 8 in the id map, 8 per edge.
 *
 *   tasks[] ─┬─ rule ────────▶ rules[]      policy of a step of a run: needs, retries, ready queue
 *            ├─ first_input ─▶ inputs[]     a count, then per edge: producer (26 bits), output (6)
 *            ├─ dependants ──▶ fans[]       consumers, one per edge (FAN_SKIP: one is gone); a last
 *            │                              word ends the list or goes on elsewhere (a later run
 *            │                              added consumers)
 *            ├─ outputs ─────▶ artifacts[]  when it succeeded
 *            └─ place ───────▶ flights[] (in flight) | buckets[] (ready) | its node (new)
 *   notes[], shares[]  what few tasks have (failures; several runs), found through a side map
 *   runs[] ─ node ─▶ task: first_task + node, unless some node's task was there before
 *   workers[] ─ offer ─▶ offers[]: workers that offer the same are alike
 *   lanes[]: the rules of one run with one priority; busy_lanes[]: those with ready tasks
 *
 * Task indices stay; those of forgotten tasks are used again only when no list mentions them any
 * more, and their blocks of inputs[], fans[] and artifacts[] at once (block.h, forget.c). */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/sched/block.h"
#include "broker/sched/heap.h"
#include "broker/sched/ready.h"
#include "broker/sched/sched.h"
#include "common/base/arena.h"
#include "common/base/assert.h"
#include "common/base/id_map.h"
#include "common/base/rng.h"
#include "common/base/side.h"

enum {
    OUTPUT_BITS = 6, /* OUTPUTS_MAX is 64 */
    TASK_INDEX_MAX = (1 << (32 - OUTPUT_BITS)) - 1,
    ATTEMPT_MAX = 60000, /* 16 bits; retries, losses and kills are bounded far below */
    TEXT_BYTES_MAX = 4096,
    PLACE_WORKERS = 4, /* that are remembered of one artifact: see place.h */
    LOSSES_MAX = 3, /* times that a task's outputs, or inputs, may vanish at no cost in retries */
};
#define NONE     UINT32_MAX
#define FAN_LINK UINT32_C(0x80000000)
#define FAN_END  UINT32_C(0xffffffff)
#define FAN_SKIP UINT32_C(0xfffffffe)

enum stage {
    STAGE_FREE, /* the index of a forgotten task */
    STAGE_NEW,  /* its submission goes on: whoever comes by leaves it alone */
    STAGE_WAITING,
    STAGE_RESOLVING,
    STAGE_READY,
    STAGE_BACKOFF,
    STAGE_ASSIGNED,
    STAGE_RUNNING,
    STAGE_COMMITTING,
    STAGE_SUCCEEDED,
    STAGE_FAILED,
    STAGE_UPSTREAM_FAILED,
    STAGE_CANCELLED,
    STAGE_UNNEEDED,
    STAGE_COUNT
};

enum task_flag {
    FLAG_FORCED = 1, /* not to be looked up; its new record replaces the old one */
    FLAG_HIT = 2,
    FLAG_CUTOFF = 4,
    FLAG_SHARED = 8,      /* of several runs or nodes: see shares */
    FLAG_NOTED = 16,      /* see notes */
    FLAG_LEAF = 32,       /* a target: its outputs are checked before a run is over */
    FLAG_WANTED = 64,     /* while a run is submitted: needed by it */
    FLAG_LISTED = 128,    /* while dependants are listed */
    FLAG_STALE = 256,     /* a forced task is above it: its own record may be of other inputs */
    FLAG_RELEASING = 512, /* it succeeded, and not all that wait for it know yet: see todo.h */
    FLAG_REMADE = 1024,   /* an input was made again since its inputs were complete, perhaps of
                           other bytes */
    FLAG_SCRUB = 2048,    /* forgotten tasks are to be taken off its lists */
    FLAG_STRAY = 4096,    /* it is in `strays` */
};

struct task {
    struct id id;
    const uint8_t *spec;
    uint32_t spec_bytes;
    uint32_t rule;
    uint32_t first_input; /* NONE: no inputs from tasks */
    uint32_t dependants;  /* FAN_END: none */
    union {
        uint32_t pending; /* waiting: edges whose producer has not succeeded */
        uint32_t worker;  /* else: of the last attempt */
    };
    union {
        uint32_t rank;    /* until it succeeds: tasks on the longest path that waits for it */
        uint32_t outputs; /* then */
    };
    uint32_t place;
    uint32_t ready_at; /* times: see task_time() */
    union {
        uint32_t started_at;
        uint32_t next; /* ready: neighbours in its bucket */
    };
    union {
        uint32_t finished_at;
        uint32_t previous;
    };
    uint16_t attempt;
    uint8_t stage, output_count;
    uint16_t flags;
};
_Static_assert(sizeof(struct task) == 88, "the budget of design §12 counts on it");

/* An attempt that was lost sight of: its success still counts. Or one that cost a slot its life. */
struct past {
    uint32_t attempt, instance, next; /* instance NONE: not in use */
    bool is_kill;                     /* it may have been what ended its worker or slot */
    bool is_failure;                  /* it was told, so no success can come any more */
    char *text;                       /* is_kill: what happened to whom */
};

/* One start of a worker program. Kept while it is connected, or attempts of it are remembered. */
struct instance {
    struct id id;
    uint32_t worker; /* NONE: not connected */
    uint32_t pasts;
    char name[NAME_BYTES_MAX + 1];
};

struct note {
    uint32_t task;
    uint32_t retries, losses;
    enum status code;
    char *text; /* NULL: none */
    bool has_log;
    struct artifact log;
    uint32_t past;
};

struct share {
    uint32_t run, nodes, rule, spec_bytes, next;
    bool is_executor; /* this run counts it as executed, the others as a hit */
    bool is_left;     /* the run was cancelled and counts it so, whatever becomes of it */
    const uint8_t *spec;
};

struct rule {
    struct task_policy policy; /* strings live in the run's arena */
    bool is_plain;             /* a free slot is all that it needs: see room.h */
    uint32_t slots;            /* that one of its tasks is worth: its cores, rounded up */
    uint32_t run, lane;
    uint32_t active; /* place in the lane's active rules, NONE: its queue is empty */
    struct ready_queue queue;
};

struct lane {
    uint32_t run;
    int32_t priority;
    uint32_t *active; /* rules with ready tasks; their order means nothing */
    uint32_t active_count, active_capacity;
    uint32_t busy; /* place in busy_lanes, NONE: no rule is active */
    uint64_t turn; /* when it was served last, by the count of servings */
};

struct run {
    bool is_used, is_over, is_cancelled, is_checking, is_asking, is_submitting, is_forgetting;
    uint32_t node_count, first_task;
    uint32_t check_from, check_at; /* nodes whose outputs are asked for now; the next one */
    uint32_t *node_tasks;          /* NULL: first_task + node */
    uint32_t *rules;               /* per policy of the submission */
    uint32_t rule_count;
    uint32_t counts[TASK_STATE_COUNT], hit, executed;
    uint32_t flights; /* of tasks that it owns */
    struct arena arena;
};

struct flight {
    uint32_t task, worker, attempt;
    uint32_t previous, next; /* in the worker's list, oldest first */
    uint32_t assigned_at;
    uint32_t named; /* the worker's list that named it last, or was its last before it got it */
    uint64_t step, total;
    bool is_revoking, is_killed, is_suspect; /* suspect: may have cost its worker its life */
    uint32_t thief, thief_joined;            /* is_revoking: for whom; NONE: for nobody */
};

enum room { ROOM_NONE, ROOM_FREE, ROOM_DEEP, ROOM_COUNT };

struct worker {
    bool is_used, is_silent;          /* silent: its lease ran out; heard again, it counts again */
    uint32_t offer, instance, joined; /* joined: the how-manieth HELLO it came with */
    uint32_t slots, credit;
    uint32_t flights, started, unacked; /* unacked: flights and results that are being committed */
    uint32_t first, last;               /* flights */
    uint32_t depth, turn;               /* turn: results since the depth grew */
    uint32_t length_us;                 /* of its tasks, as learned; 0: not yet */
    uint32_t expected, leaving;         /* flights of others asked back for it; of its own */
    uint32_t crowd;                     /* place in `crowd`, NONE: what it holds, it can run */
    uint32_t watch;                     /* its entry in `leases` carries this */
    ms_t lease_at, list_at;             /* list_at: when its last list of what it holds began */
    uint32_t lists;                     /* so far */
    enum room room;
    bool is_over, has_gained; /* over: see room.h; gained: is in `gained` */
    bool is_resting;
    uint32_t rest_ms; /* its last rest; 0: it is well. See rest.h */
    ms_t rest_until;
    enum status rest_code;
    uint32_t trial; /* the flight that it is tried with, NONE: none */
    uint32_t room_previous, room_next;
    uint32_t heavy, wide; /* flights that aren't plain; of more than one core */
    uint64_t cpu_used, memory_used;
    uint64_t used[RESOURCES_MAX]; /* of the offer's resources */
};

struct offer {
    bool is_used, is_dirty, has_new_heavy; /* new_heavy: no worker of it was asked yet */
    uint32_t worker_count;
    uint32_t cpu_hundredths, kind_count, label_count, resource_count;
    uint64_t memory_bytes;
    const char **kinds, **labels;
    struct resource *resources;
    struct arena arena;
    uint8_t *fits; /* per rule */
    uint32_t fits_capacity;
    struct {
        uint32_t first, last;
    } room[ROOM_COUNT];
};

/* ANSWER: a success that came twice, to be acknowledged with the first. */
enum commit_type { COMMIT_RESULT, COMMIT_ALIAS, COMMIT_ANSWER };
struct commit {
    enum commit_type type;
    uint32_t task, worker, joined, attempt, index;
    uint64_t frame;
};

/* Who has been given a large artifact lately: see place.h. */
struct place {
    uint64_t key;
    uint32_t workers[PLACE_WORKERS], joined[PLACE_WORKERS];
    uint32_t count, turn;
};

/* Where a walk along a task's dependants stands that may give blocks back: see fan_scrub. */
struct fan_place {
    bool is_begun;
    uint32_t block;  /* the next one; FAN_END: none */
    uint32_t before; /* the word that leads to it; FAN_END: the task itself does */
};

enum todo_type { TODO_SUBMIT, TODO_RELEASE, TODO_END, TODO_CANCEL, TODO_CHECK, TODO_FORGET };
/* See forget.c. */
enum forget_pass { FORGET_DROP, FORGET_SCRUB, FORGET_FREE };
struct todo {
    enum todo_type type;
    bool kill;
    enum forget_pass pass;
    uint32_t index; /* of a task or a run */
    uint32_t cursor;
    struct submission *submission;
};

struct ending {
    uint32_t task, cursor;
};

struct known {
    struct id id;
    uint32_t first_output, output_count;
};

#define VECTOR(type)                                                                               \
    struct {                                                                                       \
        type *items;                                                                               \
        uint32_t count, capacity;                                                                  \
    }

struct sched {
    struct sched_options options;
    struct rng rng;
    ms_t now, woken_at; /* woken_at: the earliest WAKE_AT that is asked for */
    struct sched_actions *out;
    struct arena scratch; /* what actions point at */

    VECTOR(struct task) tasks;
    struct id_map ids;
    VECTOR(uint32_t) inputs;
    VECTOR(uint32_t) fans;
    VECTOR(struct artifact) artifacts;
    struct block_pool free_inputs, free_fans, free_artifacts;
    VECTOR(uint32_t) free_tasks;
    uint32_t live_tasks;
    VECTOR(uint32_t) scrubs;      /* tasks whose lists a TODO_FORGET goes through */
    struct fan_place scrub_place; /* in the list of the one that is next */
    VECTOR(uint32_t) strays;      /* tasks whose dependants may name others instead */
    uint32_t nobody;              /* a forgotten task, for lists that name one; NONE: none does */
    VECTOR(struct note) notes;
    VECTOR(uint32_t) free_notes;
    struct side note_of;
    VECTOR(struct past) pasts;
    VECTOR(uint32_t) free_pasts;
    VECTOR(struct share) shares;
    VECTOR(uint32_t) free_shares;
    struct side share_of;

    VECTOR(struct known) known; /* restored, until the next SUBMIT */
    VECTOR(struct artifact) known_outputs;

    VECTOR(struct run) runs;
    VECTOR(struct rule) rules;
    VECTOR(struct lane) lanes;
    VECTOR(uint32_t) free_rules;
    VECTOR(uint32_t) free_lanes;
    VECTOR(uint32_t) busy_lanes; /* with ready tasks; their order means nothing */
    uint64_t turns;
    uint32_t heavy_ready; /* rules with ready tasks that aren't plain */
    struct ready_pool ready;

    VECTOR(struct worker) workers;
    VECTOR(struct offer) offers;
    VECTOR(uint32_t) dirty;  /* offers that may have both work and room */
    VECTOR(uint32_t) gained; /* workers that may have more room, while heavy tasks wait */
    VECTOR(uint32_t) crowd;  /* workers of which some flights must wait */
    VECTOR(uint32_t) hungry; /* workers that need not wait any more for what was asked back */
    uint32_t crowd_turn, worker_count, slots; /* slots: of all workers */
    bool has_quorum;      /* as many as options.workers_min were connected, at least once */
    struct place *places; /* NULL: nothing large was seen */
    VECTOR(struct instance) instances;
    VECTOR(uint32_t) free_instances;
    struct id_map instance_ids;
    VECTOR(struct flight) flights;
    VECTOR(uint32_t) free_flights;
    uint32_t flight_count;
    uint64_t slots_taken; /* by flights: of their rules */

    VECTOR(struct commit) commits;
    uint32_t watches, hellos;
    struct heap leases;   /* item: worker; major: time; minor: watch */
    struct heap backoffs; /* item: task; major: time; minor: attempt */
    struct heap rests;    /* item: worker; major: time; minor: joined */
    VECTOR(uint32_t) stack;
    VECTOR(struct todo) todo;
    uint32_t todo_at;  /* the first that is not done */
    int64_t work_left; /* nodes and edges that this step may still walk through */
    VECTOR(struct ending) endings;
    bool is_ending;         /* a TODO_END is listed */
    VECTOR(uint32_t) ended; /* runs of which a task became final in this step */
};

#define VECTOR_PUSH(vector, value)                                                                 \
    do {                                                                                           \
        GROW((vector).items, (vector).capacity, (vector).count + 1);                               \
        (vector).items[(vector).count++] = (value);                                                \
    } while (0)

static inline struct task *task_at(const struct sched *sched, uint32_t task)
{
    return &sched->tasks.items[task];
}
static inline struct rule *rule_of(const struct sched *sched, const struct task *task)
{
    return &sched->rules.items[task->rule];
}
static inline struct run *run_of(const struct sched *sched, const struct task *task)
{
    return &sched->runs.items[rule_of(sched, task)->run];
}
/* For people; of a worker that is connected. */
static inline const char *worker_name(const struct sched *sched, uint32_t worker)
{
    return sched->instances.items[sched->workers.items[worker].instance].name;
}
/* Appends an action, zeroed but for its type; fill it in at once. */
struct sched_action *sched_act(struct sched *sched, enum sched_action_type type);
