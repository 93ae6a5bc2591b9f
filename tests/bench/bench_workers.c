/* Many workers in one process that do nothing but answer: each has its own connection, key pair and
 * instance, says HELLO, answers every TASKS frame with signed RESULTS, and sends HEARTBEAT. None
 * runs anything, so what is measured is the broker and the wire. `bench_workers ENDPOINT COUNT`
 * joins (by CURVE with `IDENTITY BROKER_KEY` behind, which all of them share), stays until the
 * broker says GOODBYE to all, and prints who got how much. What a worker needs only when something
 * is lost (resending, HELLO after a reconnect) is left out: that ends the program with an error.
 * One thread beside ZeroMQ's. */
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include <zmq.h>

#include "common/base/mem.h"
#include "common/crypto/identity.h"
#include "proto/msg.h"
#include "report.h"
#include "worker/runtime/results.h"

enum {
    CROWD_MAX = 4000,
    RESULTS = 500, /* a frame */
    RECORD_BYTES = 400,
    EVENTS = 256,
    /* Nobody says anything for so long only if something is wrong. */
    SILENCE_MS = 60000
};

struct member {
    void *socket;
    struct signer *signer;
    char name[NAME_BYTES_MAX + 1];
    struct results *results;
    uint32_t open_results; /* in the frame that is being filled */
    uint64_t tasks, unacknowledged;
    uint32_t lease_ms; /* 0: not welcome yet */
    ms_t beat_at;
    bool is_over;
};

struct crowd {
    struct member *members;
    uint32_t count, over;
    int epoll;
    const struct signer *identity; /* NULL: each makes its own, and no keys are used */
    struct id broker_key;
    uint32_t welcome;
    int64_t started_us, welcome_us, began_us, ended_us;
    uint64_t frames;
};

static void send_frame(struct member *member, const uint8_t *bytes, size_t count)
{
    if (zmq_send(member->socket, bytes, count, ZMQ_DONTWAIT) < 0)
        report_fail("bench_workers: a send failed; is the broker gone?");
}

static void say_hello(struct member *member, const struct signer *signer)
{
    static const uint8_t kinds[] = {0x91, 0xa7, 's', 'l', 'e', 'e', 'p', '@', '1'};
    uint8_t frame[512];
    struct hello hello = {.protocol = PROTOCOL_VERSION,
                          .name = member->name,
                          .name_bytes = (uint32_t)strlen(member->name),
                          .slots = 1,
                          .cpu_hundredths = 100,
                          .memory_bytes = 1 << 30,
                          .kinds = {kinds, sizeof kinds},
                          .labels = {(const uint8_t *)"\x80", 1},
                          .running = {(const uint8_t *)"\x90", 1}};
    random_bytes(hello.instance, sizeof hello.instance);
    memcpy(hello.public_key, signer_public(signer), PUBLIC_KEY_BYTES);
    struct mp_writer w = mp_writer(frame, sizeof frame);
    msg_write_hello(&w, &hello);
    send_frame(member, frame, w.need);
}

static void say_alive(struct member *member, ms_t now)
{
    uint8_t frame[16];
    struct mp_writer w = mp_writer(frame, sizeof frame);
    msg_write_batch_head(&w, MSG_HEARTBEAT, 0); /* what came is answered: it holds nothing */
    send_frame(member, frame, w.need);
    member->beat_at = now + member->lease_ms / 3;
}

static void send_results(struct crowd *crowd, struct member *member)
{
    struct mp_view frame;
    results_close(member->results);
    for (; results_next_unsent(member->results, &frame); member->unacknowledged++) {
        send_frame(member, frame.bytes, frame.count);
        crowd->frames++;
    }
    member->open_results = 0;
}

static void do_tasks(struct crowd *crowd, struct member *member, const uint8_t *bytes, size_t count)
{
    struct mp_reader reader = mp_reader(bytes, count);
    if (!crowd->began_us)
        crowd->began_us = clock_us();
    for (uint32_t left = msg_batch_begin(&reader, MSG_TASKS); left && !reader.is_bad; left--) {
        uint8_t record_bytes[RECORD_BYTES];
        struct task_msg task;
        msg_next_task(&reader, &task);
        struct record record = {.action = task.spec,
                                .action_bytes = task.spec_bytes,
                                .attempt = task.attempt.number,
                                .worker = member->name,
                                .worker_bytes = (uint32_t)strlen(member->name)};
        size_t need = record_encode(&record, NULL, record_bytes, sizeof record_bytes);
        if (need > sizeof record_bytes || task.input_count)
            report_fail("bench_workers: expected small tasks without inputs");
        struct result_msg result = {
            .attempt = task.attempt, .record = record_bytes, .record_bytes = need};
        results_add(member->results, &result);
        member->tasks++;
        if (++member->open_results == RESULTS)
            send_results(crowd, member);
    }
    if (reader.is_bad)
        report_fail("bench_workers: a TASKS frame can't be read");
}

static void take_ack(struct crowd *crowd, struct member *member, const uint8_t *bytes, size_t count)
{
    struct mp_reader reader = mp_reader(bytes, count);
    for (uint32_t left = msg_batch_begin(&reader, MSG_ACK); left && !reader.is_bad; left--)
        member->unacknowledged = results_acknowledge(member->results, msg_next_sequence(&reader));
    crowd->ended_us = clock_us();
}

static void take_welcome(struct crowd *crowd, struct member *member, const uint8_t *bytes,
                         size_t count, ms_t now)
{
    struct welcome welcome;
    struct err err = {0};
    report_check(msg_decode_welcome(bytes, count, &welcome, &err), &err);
    crowd->welcome += !member->lease_ms;
    crowd->welcome_us = clock_us();
    member->lease_ms = welcome.lease_ms;
    member->beat_at = now + welcome.lease_ms / 3;
}

static void take(struct crowd *crowd, struct member *member, const uint8_t *bytes, size_t count,
                 ms_t now)
{
    switch (msg_type(bytes, count)) {
    case MSG_WELCOME: take_welcome(crowd, member, bytes, count, now); break;
    case MSG_TASKS: do_tasks(crowd, member, bytes, count); break;
    case MSG_ACK: take_ack(crowd, member, bytes, count); break;
    case MSG_GOODBYE:
        crowd->over += !member->is_over;
        member->is_over = true;
        break;
    case MSG_REFUSED: report_fail("bench_workers: the broker refuses a worker"); break;
    default: break; /* HEARTBEAT; REVOKE and KILL are of what was answered already */
    }
}

/* Everything that is there. The descriptor tells of changes alone, so it is read until empty, once
 * more after the answers. */
static void serve(struct crowd *crowd, struct member *member, ms_t now)
{
    zmq_msg_t message;
    zmq_msg_init(&message);
    do {
        while (zmq_msg_recv(&message, member->socket, ZMQ_DONTWAIT) >= 0)
            take(crowd, member, zmq_msg_data(&message), zmq_msg_size(&message), now);
        send_results(crowd, member);
        int events = 0;
        size_t bytes = sizeof events;
        zmq_getsockopt(member->socket, ZMQ_EVENTS, &events, &bytes);
        if (!(events & ZMQ_POLLIN))
            break;
    } while (true);
    zmq_msg_close(&message);
}

static void set_keys(const struct crowd *crowd, const struct member *member)
{
    uint8_t public_key[WIRE_KEY_BYTES], secret_key[WIRE_KEY_BYTES], broker[WIRE_KEY_BYTES];
    signer_copy_wire(crowd->identity, public_key, secret_key);
    if (!wire_public(crowd->broker_key.bytes, broker))
        report_fail("bench_workers: that is no broker's key");
    zmq_setsockopt(member->socket, ZMQ_CURVE_PUBLICKEY, public_key, sizeof public_key);
    zmq_setsockopt(member->socket, ZMQ_CURVE_SECRETKEY, secret_key, sizeof secret_key);
    zmq_setsockopt(member->socket, ZMQ_CURVE_SERVERKEY, broker, sizeof broker);
}

static void join(struct crowd *crowd, void *context, const char *endpoint, uint32_t number)
{
    struct member *member = &crowd->members[number];
    int none = 0, fd;
    size_t bytes = sizeof fd;
    snprintf(member->name, sizeof member->name, "bench-%u", number);
    member->signer = crowd->identity ? NULL : signer_new();
    const struct signer *signer = crowd->identity ? crowd->identity : member->signer;
    member->results = results_new(signer);
    member->socket = zmq_socket(context, ZMQ_DEALER);
    if (!member->socket)
        report_fail("bench_workers: no socket; see ulimit -n");
    zmq_setsockopt(member->socket, ZMQ_LINGER, &none, sizeof none);
    zmq_setsockopt(member->socket, ZMQ_SNDHWM, &none, sizeof none);
    zmq_setsockopt(member->socket, ZMQ_RCVHWM, &none, sizeof none);
    if (crowd->identity)
        set_keys(crowd, member);
    if (zmq_connect(member->socket, endpoint))
        report_fail("bench_workers: cannot connect; expected ipc://PATH or tcp://HOST:PORT");
    say_hello(member, signer);
    zmq_getsockopt(member->socket, ZMQ_FD, &fd, &bytes);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u32 = number};
    if (epoll_ctl(crowd->epoll, EPOLL_CTL_ADD, fd, &event))
        report_fail("bench_workers: epoll_ctl failed");
    serve(crowd, member, clock_ms());
}

static void work(struct crowd *crowd)
{
    struct epoll_event events[EVENTS];
    ms_t beat_at = clock_ms() + 1000;
    while (crowd->over < crowd->count) {
        int ready = epoll_wait(crowd->epoll, events, EVENTS, SILENCE_MS);
        ms_t now = clock_ms();
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0)
            report_fail("bench_workers: nothing was heard for a minute");
        for (int i = 0; i < ready; i++)
            serve(crowd, &crowd->members[events[i].data.u32], now);
        for (uint32_t i = 0; i < crowd->count && now >= beat_at; i++) {
            struct member *member = &crowd->members[i];
            if (member->lease_ms && now >= member->beat_at)
                say_alive(member, now);
            serve(crowd, member, now); /* sending may have eaten a change */
        }
        if (now >= beat_at)
            beat_at = now + 1000;
    }
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void tell(const struct crowd *crowd)
{
    uint64_t *tasks = mem_alloc(crowd->count * sizeof *tasks), sum = 0, waiting = 0;
    uint32_t working = 0;
    for (uint32_t i = 0; i < crowd->count; i++) {
        tasks[i] = crowd->members[i].tasks;
        sum += tasks[i];
        working += tasks[i] > 0;
        waiting += crowd->members[i].unacknowledged;
    }
    qsort(tasks, crowd->count, sizeof *tasks, compare);
    report("workers", crowd->count, "");
    report("all welcome", (double)(crowd->welcome_us - crowd->started_us) / 1e6, "s");
    report("workers with tasks", working, "");
    report("tasks", (double)sum, "");
    report("tasks a worker, least", (double)tasks[0], "");
    report("tasks a worker, median", (double)tasks[crowd->count / 2], "");
    report("tasks a worker, most", (double)tasks[crowd->count - 1], "");
    report("results a frame", crowd->frames ? (double)sum / (double)crowd->frames : 0, "");
    report("frames never acknowledged", (double)waiting, "");
    report("first TASKS to last ACK",
           (double)sum * 1e6 / (double)(crowd->ended_us - crowd->began_us), "tasks/s");
    mem_free(tasks);
}

int main(int argc, char **argv)
{
    if (argc != 3 && argc != 5)
        report_fail("usage: bench_workers ENDPOINT COUNT [IDENTITY BROKER_KEY]");
    struct err err = {0};
    AUTO(signer_free) struct signer *identity = NULL;
    struct crowd crowd = {.count = report_count(argc, argv, 2, 1),
                          .epoll = epoll_create1(EPOLL_CLOEXEC)};
    if (crowd.count > CROWD_MAX)
        report_fail("bench_workers: at most 4000");
    if (argc == 5) {
        report_check(identity_read(argv[3], &identity, &err), &err);
        report_check(public_key_parse("BROKER_KEY", argv[4], &crowd.broker_key, &err), &err);
    }
    crowd.identity = identity;
    crowd.started_us = clock_us();
    void *context = zmq_ctx_new();
    zmq_ctx_set(context, ZMQ_MAX_SOCKETS, CROWD_MAX + 1);
    crowd.members = mem_alloc(crowd.count * sizeof *crowd.members);
    for (uint32_t i = 0; i < crowd.count; i++)
        join(&crowd, context, argv[1], i);
    work(&crowd);
    tell(&crowd);
    for (uint32_t i = 0; i < crowd.count; i++) {
        zmq_close(crowd.members[i].socket);
        results_free(crowd.members[i].results);
        if (crowd.members[i].signer)
            signer_free(crowd.members[i].signer);
    }
    zmq_ctx_term(context);
    close(crowd.epoll);
    mem_free(crowd.members);
    return 0;
}
