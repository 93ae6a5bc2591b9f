/* The simulated world: one broker, some workers, what lies between them, and everything that can go
 * wrong there, under virtual time. The scheduler (broker/sched/) and the agent (worker/runtime/
 * agent.c) are the real ones; all else is a model of what surrounds them:
 *
 *   script ─ SUBMIT, CANCEL ─▶ broker.c ── frames ──▶ net.c ── frames ──▶ worker.c ─▶ seats.c
 *   (dag.c, script.c)          sched/ inside                          agent inside    slots, moves
 *                                 │ ▲                                        │ ▲
 *                                 ▼ │                                        ▼ │
 *                              state.c: records                          store: blobs
 *
 *   faults.c breaks things until `params.faulty_ms`; then all is mended and the world must come to
 *   an end. check.c watches: sched_check() and agent_check() after every step, and what must never
 *   happen (a completion seen before it is durable, work given twice without a cause, …).
 *
 * One seed is one history: every decision comes from it, none from a clock, an address or a hash's
 * order. Different concerns draw from different streams, so that a world with fewer faults or runs
 * is otherwise the same. Fault number i draws from a stream of its own: leaving one out (--skip)
 * leaves the others as they are. That is what the shrinker lives on.
 *
 * READING A FAILURE: it names the seed, the time and what broke, then the smallest parameters that
 * still show it and the command that replays them with a trace. In a trace, `t5#2` is the second
 * attempt at task 5, `w1` a worker by the broker's number, `W1.3` the third life of worker place 1,
 * "!" begins a fault, "·" an event, "→" an action.
 *
 * COUNTING (I4): every assignment is a try. A fault excuses the tries it may have cost; giving a
 * task out again while its last try is neither excused, given back nor failed is an error at once.
 */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "tests/sim/parts.h"

struct chances { /* in percent, drawn once per seed */
    uint32_t duplicate, reorder, drop, slot, slow, hang, flaky, commit_fails, commit_slow;
};

struct world {
    struct params params;
    struct rng dag, script, net, work, state;
    ms_t now;
    bool is_faulty, is_tracing;
    uint64_t hash, orders, event_count;
    struct happening *heap;
    uint32_t heap_count, heap_capacity;
    struct unit units[UNITS_MAX];
    uint32_t unit_count;
    enum shape shape;
    LIST(struct blob) blobs;
    struct task_policy policies[CLASSES];
    struct run runs[RUNS_MAX];
    uint32_t run_count;
    struct broker broker;
    struct kept_record records[UNITS_MAX];
    LIST(struct kept_record) actions;
    struct place places[PLACES_MAX];
    uint32_t place_count;
    LIST(struct conn) conns;
    LIST(struct attempt_made) tries;
    struct chances chances;
    uint32_t lease_ms, credit, step_work, delay_ms, slow_until_delay_ms;
    ms_t slow_until, store_down_until, ended_at;
    uint32_t faults_made, executions;
    uint32_t quick_retries, retries; /* of those whose backoff could be told from none */
    struct verdict *verdict;
};

/* How a history ended; lies in memory that the parent process sees. */
struct verdict {
    bool is_over, is_failed;
    uint64_t seed, events, hash;
    uint32_t faults, tries, executions, lasted_ms;
    char text[TEXT_BYTES];
};

/* ---- world.c: time ---- */
void world_run(const struct params *params, bool is_tracing, struct verdict *verdict);
void world_at(struct world *world, ms_t at, enum event_type type, uint32_t a, uint32_t b,
              uint32_t c);
/* Says what is wrong, and ends the process. */
_Noreturn void world_fail(struct world *world, const char *format, ...) PRINTF(2, 3);
void world_mix(struct world *world, uint64_t value); /* into the history's hash */
bool chance(struct rng *rng, uint32_t percent);
uint32_t between(struct rng *rng, uint32_t least, uint32_t most);
uint64_t mix(uint64_t a, uint64_t b);
bool may(const struct world *world, enum fault fault);

/* ---- params.c ---- */
struct params params_of_seed(uint64_t seed);
void params_print(const struct params *params, struct buf *out);

/* ---- dag.c: what there is to do ---- */
void dag_make(struct world *world);
uint16_t blob_of(struct world *world, uint64_t key);
struct artifact blob_artifact(const struct world *world, uint16_t blob);
uint16_t blob_find(const struct world *world, const struct id *id);
uint32_t unit_of(struct world *world, const struct id *id);
uint64_t action_of(const struct world *world, const struct unit *unit, const uint16_t *inputs,
                   uint32_t count);
void make_outputs(struct world *world, const struct unit *unit, uint64_t action,
                  uint16_t out[UNIT_OUTPUTS_MAX]);
uint32_t iris_load(struct unit *units); /* iris.c */

/* ---- script.c: what people ask for ---- */
void script_make(struct world *world);
void script_free(struct world *world);
void script_submit(struct world *world, uint32_t run);
void script_resubmit(struct world *world);
void script_cancel(struct world *world, struct rng *rng);

/* ---- net.c ---- */
struct frame *frame_new(enum msg_type type);
void frame_free(struct frame *frame);
void frame_add(struct frame *frame, const struct entry *entry);
struct frame *frame_copy(const struct frame *frame);
void frames_put(struct frames *frames, struct frame *frame);
struct frame *frames_take(struct frames *frames);
void frames_clear(struct frames *frames);
void net_send(struct world *world, uint32_t conn, int direction, struct frame *frame);
void net_deliver(struct world *world, uint32_t conn, int direction);
uint32_t net_connect(struct world *world, uint32_t place);
/* What is under way is lost; both ends notice in their own time. */
void net_tear(struct world *world, uint32_t conn);
/* The worker's socket is closed; what it has sent arrives. */
void net_close(struct world *world, uint32_t conn);
void net_noticed(struct world *world, uint32_t conn, bool by_worker);

/* ---- broker.c, broker_act.c ---- */
void broker_start(struct world *world);
void broker_crash(struct world *world);
void broker_wake(struct world *world, ms_t at);
void broker_turn(struct world *world);
void broker_step(struct world *world, struct sched_event *event);
void broker_tell(struct world *world, struct sched_event *event); /* from outside the loop */
void broker_submit(struct world *world, struct sched_event *submit);
void broker_send(struct world *world, uint32_t number, struct frame *frame);
void broker_fini(struct world *world);
ms_t broker_clock(const struct world *world);
void broker_receive(struct world *world);
void broker_gone(struct world *world, uint32_t number, bool is_drain, enum status code);
void broker_perform(struct world *world, const struct sched_action *action);
bool broker_settle(struct world *world, uint64_t handle);
void broker_acknowledge(struct world *world, uint64_t handle);
void broker_flush(struct world *world);
bool broker_is_idle(const struct world *world);
struct frame *session_out(struct world *world, uint32_t number, enum msg_type type);

/* ---- state.c: records; the broker's commit ---- */
void state_apply(struct world *world, uint32_t count);
const struct kept_record *state_action(const struct world *world, uint64_t action);
bool state_is_pending(const struct world *world, uint32_t unit, enum write_type type);
/* False: it is not durable yet, or waits to be tried again. */
bool commit(struct world *world);
void broker_go_on(struct world *world);

/* ---- worker.c, seats.c ---- */
void place_start(struct world *world, uint32_t place);
void place_kill(struct world *world, uint32_t place);
void place_wake(struct world *world, uint32_t place, ms_t at);
void place_turn(struct world *world, uint32_t place);
void place_input(struct world *world, uint32_t place, struct input input);
void place_fini(struct place *place);
ms_t place_clock(const struct world *world, const struct place *place);
bool place_is_idle(const struct place *place);
void place_tell(struct world *world, uint32_t place, struct agent_event *event);
void place_step(struct world *world, uint32_t place, struct agent_event *event);
void place_act(struct world *world, uint32_t place, const struct agent_action *action);
void place_send_hello(struct world *world, uint32_t place);
void place_send_held(struct world *world, uint32_t place, enum msg_type type);
void place_send_queued(struct world *world, uint32_t place);
void place_add_result(struct world *world, uint32_t place, const struct agent_action *action);
void place_flush(struct place *place);
uint32_t place_acknowledge(struct place *place, uint64_t sequence);
void seat_spawn(struct world *world, uint32_t place, uint32_t slot);
void seat_stop(struct world *world, uint32_t place, uint32_t slot, int signal);
void seat_give(struct world *world, uint32_t place, uint32_t slot, uint32_t job);
void seat_event(struct world *world, uint32_t place, uint32_t slot, uint32_t generation);
void seat_crash(struct world *world, uint32_t place, uint32_t slot);
void move_begin(struct world *world, uint32_t place, uint32_t job, bool is_publication,
                enum status code);
void move_end(struct world *world, uint32_t place, uint32_t job, uint32_t key);

/* ---- faults.c ---- */
void faults_make(struct world *world);
void fault_happen(struct world *world, uint32_t number);
void faults_mend(struct world *world);

/* ---- check.c ---- */
struct before {
    uint32_t task, unit;
    struct sched_task_info info; /* of `task`, unless that is NOBODY */
    bool is_stale;               /* the event is of another attempt than the last */
    bool was_killed;             /* at the scheduler's wish */
    bool must_count;             /* a success of what it gave out, and waits for */
    bool is_free;                /* the failure is laid to the worker: it costs no retry */
    uint32_t marked;             /* GONE of a drain: tasks that a lost worker is held against */
};
void check_before(struct world *world, const struct sched_event *event, struct before *before);
void check_after(struct world *world, const struct sched_event *event, const struct before *before);
void check_assign(struct world *world, const struct sched_action *action, uint32_t unit);
void check_publish(struct world *world, const struct sched_action *action, uint32_t unit);
void check_persist(struct world *world, uint32_t unit, const struct entry *entry);
void check_forget(struct world *world, uint32_t unit);
void check_run_over(struct world *world, uint32_t run);
void check_end(struct world *world);
bool is_all_over(const struct world *world);
bool is_fitting(const struct task_policy *policy, const struct place *place);
/* check_full.c */
void full_failed(struct world *world, struct before *before, const struct attempt_made *try,
                 uint32_t worker);
void full_is_over(struct world *world, uint32_t worker);
void full_check(struct world *world, const struct before *before);
void check_rest(struct world *world, const struct sched_action *action);
/* check_tries.c */
struct attempt_made *try_find(struct world *world, uint32_t unit, uint32_t number, uint32_t place,
                              uint32_t life);
void try_begin(struct world *world, const struct sched_action *action, uint32_t unit,
               const struct session *session);
void try_executes(struct world *world, uint32_t place, const struct job *job);
/* `may_kill`: the scheduler may take it for the worker's death. */
void excuse_place(struct world *world, uint32_t place, uint32_t for_ms, bool may_kill);
void excuse_all(struct world *world);
void excuse_unit(struct world *world, uint32_t unit);
void excuse_job(struct world *world, uint32_t place, const struct job *job);
/* An attempt of this unit ended, and why; it may be tried again. */
void try_failed(struct world *world, struct attempt_made *try, enum status code);
void tries_given_back(struct world *world, uint32_t place, uint32_t life);

/* ---- trace.c ---- */
void trace(struct world *world, const char *format, ...) PRINTF(2, 3);
void trace_sched_event(struct world *world, const struct sched_event *event);
void trace_sched_action(struct world *world, const struct sched_action *action);
void trace_agent_event(struct world *world, uint32_t place, const struct agent_event *event);
void trace_agent_action(struct world *world, uint32_t place, const struct agent_action *action);

/* ---- shrink.c, small.c, enumerate.c ---- */
/* Runs it in a child process; false: it failed, and the verdict says how. */
bool run_apart(const struct params *params, bool is_tracing, struct verdict *verdict);
void shrink(struct params *params, struct verdict *verdict);
enum { SMALL_NODES = 4 };
bool small_has_edge(uint32_t edges, uint32_t from, uint32_t to);
/* Of graphs that differ in the order of their tasks alone, one is. */
bool small_is_canonical(uint32_t count, uint32_t edges);
/* Every small graph's every short history; this process' part of them. Returns how many. */
uint64_t enumerate_all(uint32_t part, uint32_t parts);
