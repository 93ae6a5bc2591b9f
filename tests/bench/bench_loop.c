/* The broker's loop with a scheduler, the embedded state, a socket and one simulated worker that
 * does nothing but answer: what one million tasks cost the broker. `bench_loop [FOLDER [TASKS]]`;
 * prints one line per figure: name, value, unit. */
// SPDX-License-Identifier: Apache-2.0
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <zmq.h>

#include "broker/loop.h"
#include "common/base/mem.h"
#include "common/clock.h"
#include "common/crypto/hash.h"
#include "common/crypto/sign.h"
#include "common/fs.h"
#include "worker/runtime/results.h"

enum { RESULTS = 500, SPEC_BYTES = 64, RECORD_BYTES = 192 };

static void check(enum status status, const struct err *err)
{
    if (status == OK)
        return;
    fprintf(stderr, "bench_loop: %s\n", err->text);
    exit(1);
}

static void say(const char *name, double value, const char *unit)
{
    printf("%-32s %14.2f %s\n", name, value, unit);
}

/* ---- the worker ---- */

struct worker {
    char endpoint[256];
    pthread_t thread;
    void *context, *socket;
    struct signer *signer;
    struct id output;
    struct results *results;
    uint32_t count; /* in the frame that is being filled */
};

static void say_hello(struct worker *worker)
{
    static const uint8_t kinds[] = {0x91, 0xa7, 's', 'l', 'e', 'e', 'p', '@', '1'};
    uint8_t frame[256];
    struct hello hello = {.protocol = PROTOCOL_VERSION,
                          .name = "bench",
                          .name_bytes = 5,
                          .slots = 2,
                          .cpu_hundredths = 200,
                          .memory_bytes = 1 << 30,
                          .kinds = {kinds, sizeof kinds},
                          .labels = {(const uint8_t *)"\x80", 1},
                          .running = {(const uint8_t *)"\x90", 1}};
    memcpy(hello.public_key, signer_public(worker->signer), PUBLIC_KEY_BYTES);
    struct mp_writer w = mp_writer(frame, sizeof frame);
    msg_write_hello(&w, &hello);
    zmq_send(worker->socket, frame, w.need, 0);
}

static void send_results(struct worker *worker)
{
    struct mp_view frame;
    results_close(worker->results);
    while (results_next_unsent(worker->results, &frame))
        zmq_send(worker->socket, frame.bytes, frame.count, 0);
    worker->count = 0;
}

static void do_tasks(struct worker *worker, const uint8_t *bytes, size_t count)
{
    struct mp_reader reader = mp_reader(bytes, count);
    struct record_output output = {"out", 3, {worker->output, 0, false}};
    for (uint32_t left = msg_batch_begin(&reader, MSG_TASKS); left && !reader.is_bad; left--) {
        uint8_t bytes_of[RECORD_BYTES];
        struct task_msg task;
        msg_next_task(&reader, &task);
        struct record record = {.action = task.spec,
                                .action_bytes = task.spec_bytes,
                                .attempt = task.attempt.number,
                                .output_count = 1,
                                .worker = "bench",
                                .worker_bytes = 5};
        size_t need = record_encode(&record, &output, bytes_of, sizeof bytes_of);
        struct result_msg result = {
            .attempt = task.attempt, .record = bytes_of, .record_bytes = need};
        results_add(worker->results, &result);
        if (++worker->count == RESULTS)
            send_results(worker);
    }
}

static void take_ack(struct worker *worker, const uint8_t *bytes, size_t count)
{
    struct mp_reader reader = mp_reader(bytes, count);
    for (uint32_t left = msg_batch_begin(&reader, MSG_ACK); left && !reader.is_bad; left--)
        results_acknowledge(worker->results, msg_next_sequence(&reader));
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    say_hello(worker);
    for (bool is_over = false; !is_over;) {
        zmq_msg_t message;
        zmq_msg_init(&message);
        if (zmq_msg_recv(&message, worker->socket, ZMQ_DONTWAIT) < 0) {
            send_results(worker);
            if (zmq_msg_recv(&message, worker->socket, 0) < 0)
                break;
        }
        const uint8_t *bytes = zmq_msg_data(&message);
        enum msg_type type = msg_type(bytes, zmq_msg_size(&message));
        if (type == MSG_TASKS)
            do_tasks(worker, bytes, zmq_msg_size(&message));
        if (type == MSG_ACK)
            take_ack(worker, bytes, zmq_msg_size(&message));
        is_over = type == MSG_GOODBYE || type == MSG_REFUSED;
        zmq_msg_close(&message);
    }
    return NULL;
}

static void worker_start(struct worker *worker, const char *endpoint, const struct id *output)
{
    int none = 0;
    worker->output = *output;
    worker->signer = signer_new();
    worker->results = results_new(worker->signer);
    worker->context = zmq_ctx_new();
    worker->socket = zmq_socket(worker->context, ZMQ_DEALER);
    zmq_setsockopt(worker->socket, ZMQ_LINGER, &none, sizeof none);
    if (zmq_connect(worker->socket, endpoint) != 0 ||
        pthread_create(&worker->thread, NULL, work, worker) != 0)
        exit(1);
}

static void worker_stop(struct worker *worker)
{
    pthread_join(worker->thread, NULL);
    zmq_close(worker->socket);
    zmq_ctx_term(worker->context);
    results_free(worker->results);
    signer_free(worker->signer);
}

/* ---- the broker ---- */

static void run_over(void *context, uint32_t run, const struct id *kept)
{
    (void)run;
    (void)kept;
    *(bool *)context = true;
}

static size_t write_spec(uint32_t n, uint8_t out[SPEC_BYTES])
{
    struct mp_writer w = mp_writer(out, SPEC_BYTES);
    mp_write_map(&w, 4);
    mp_write_text(&w, "kind");
    mp_write_text(&w, "sleep");
    mp_write_text(&w, "outputs");
    mp_write_array(&w, 1);
    mp_write_text(&w, "out");
    mp_write_text(&w, "params");
    mp_write_map(&w, 1);
    mp_write_text(&w, "n");
    mp_write_uint(&w, n);
    mp_write_text(&w, "version");
    mp_write_text(&w, "1");
    return w.need;
}

static void submit(struct loop *loop, uint32_t count)
{
    static const struct task_policy policy = {
        .cpu_hundredths = 100, .poison_kills = 3, .kind_version = "sleep@1"};
    struct task_node *nodes = mem_alloc(count * sizeof *nodes);
    uint8_t *specs = mem_alloc((size_t)count * SPEC_BYTES);
    for (uint32_t n = 0; n < count; n++) {
        uint8_t *spec = specs + (size_t)n * SPEC_BYTES;
        nodes[n] = (struct task_node){.spec = spec, .spec_bytes = (uint32_t)write_spec(n, spec)};
        hash_bytes(PERSON_TASK, spec, nodes[n].spec_bytes, &nodes[n].id);
    }
    struct sched_event event = {
        .type = SCHED_SUBMIT,
        .submit = {.nodes = nodes, .node_count = count, .policies = &policy, .policy_count = 1}};
    int64_t begun = clock_us();
    loop_submit(loop, &event);
    say("submit", 1e-3 * (double)(clock_us() - begun), "ms");
}

int main(int argc, char **argv)
{
    const char *folder = argc > 1 ? argv[1] : "bench-loop.tmp";
    uint32_t count = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 1000000;
    struct err err = {0};
    struct state *state;
    struct store *store;
    struct router *router;
    struct worker worker = {0};
    struct id output;
    char endpoint[512];
    bool is_over = false;
    check(state_open(&(struct state_options){.url = folder, .mode = STATE_WRITE}, &state, &err),
          &err);
    check(store_open("mem:", &store, &err), &err);
    check(store_put(store, "", 0, &output, &err), &err);
    snprintf(endpoint, sizeof endpoint, "ipc://%s/work.sock", folder);
    struct router_options socket = {.endpoint = endpoint, .epoch = 1};
    check(router_open(&socket, &router, &err), &err);
    struct loop_options options = {.state = state,
                                   .store = store,
                                   .router = router,
                                   .hooks = {NULL, NULL, run_over, NULL, &is_over},
                                   .wake_fd = -1};
    struct loop *loop = loop_new(&options);
    submit(loop, count);
    worker_start(&worker, endpoint, &output);
    int64_t begun = clock_us();
    while (!is_over)
        check(loop_turn(loop, 1000, &err), &err);
    int64_t took = clock_us() - begun;
    struct loop_stats stats;
    struct rusage usage;
    loop_stats(loop, &stats);
    getrusage(RUSAGE_THREAD, &usage);
    double cpu_us = 1e6 * (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                    (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
    say("run", (double)count / (1e-6 * (double)took), "tasks/s");
    say("loop's cpu, with submit", cpu_us / count, "us/task");
    say("receive and step", (double)stats.step_us / count, "us/task");
    say("commit", (double)stats.commit_us / count, "us/task");
    say("results a commit", (double)stats.results / (double)stats.commits, "");
    say("worst beat", 1e-3 * (double)stats.worst_beat_us, "ms");
    router_dismiss(router);
    worker_stop(&worker);
    loop_free(loop);
    router_close(router);
    int64_t closing = clock_us();
    state_close(state);
    say("index caught up after", 1e-3 * (double)(clock_us() - closing), "ms");
    store_close(store);
    check(fs_remove_tree(folder, &err), &err);
    return 0;
}
