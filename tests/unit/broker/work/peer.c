// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/broker/work/peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <zmq.h>

#include "common/crypto/hash.h"

static void set_keys(struct peer *peer)
{
    uint8_t public_key[WIRE_KEY_BYTES], secret_key[WIRE_KEY_BYTES], server[WIRE_KEY_BYTES];
    signer_copy_wire(peer->signer, public_key, secret_key);
    assert_true(wire_public(peer->broker_key, server));
    zmq_setsockopt(peer->socket, ZMQ_CURVE_PUBLICKEY, public_key, sizeof public_key);
    zmq_setsockopt(peer->socket, ZMQ_CURVE_SECRETKEY, secret_key, sizeof secret_key);
    zmq_setsockopt(peer->socket, ZMQ_CURVE_SERVERKEY, server, sizeof server);
}

static void open_socket(struct peer *peer, const char *endpoint, const char *routing_id)
{
    int none = 0;
    peer->socket = zmq_socket(peer->context, ZMQ_DEALER);
    assert_non_null(peer->socket);
    zmq_setsockopt(peer->socket, ZMQ_ROUTING_ID, routing_id, strlen(routing_id));
    zmq_setsockopt(peer->socket, ZMQ_LINGER, &none, sizeof none);
    if (peer->broker_key)
        set_keys(peer);
    assert_int_equal(zmq_connect(peer->socket, endpoint), 0);
}

void peer_connect(struct peer *peer, const char *endpoint, const char *routing_id)
{
    peer->context = zmq_ctx_new();
    peer->signer = signer_new();
    random_bytes(peer->instance, sizeof peer->instance);
    open_socket(peer, endpoint, routing_id);
}

void peer_connect_keyed(struct peer *peer, const char *endpoint, const char *routing_id,
                        struct signer *signer, const uint8_t *broker_key)
{
    peer->context = zmq_ctx_new();
    peer->signer = signer ? signer : signer_new();
    peer->broker_key = broker_key;
    random_bytes(peer->instance, sizeof peer->instance);
    open_socket(peer, endpoint, routing_id);
}

void peer_reconnect(struct peer *peer, const char *endpoint, const char *routing_id)
{
    peer_hang_up(peer);
    open_socket(peer, endpoint, routing_id);
}

void peer_hang_up(struct peer *peer)
{
    if (peer->socket)
        zmq_close(peer->socket);
    peer->socket = NULL;
}

void peer_close(struct peer *peer)
{
    peer_hang_up(peer);
    zmq_ctx_term(peer->context);
    signer_free(peer->signer);
}

void peer_send(struct peer *peer, const void *bytes, size_t count)
{
    assert_int_equal(zmq_send(peer->socket, bytes, count, 0), (int)count);
}

void peer_hello(struct peer *peer, uint32_t protocol, uint64_t epoch, const char *name,
                const struct attempt *running, uint32_t running_count)
{
    static const uint8_t resources[] = {0x81, 0xa3, 'g', 'p', 'u', 2};
    uint8_t kinds[32], labels[32], attempts[512], frame[1024];
    struct mp_writer k = mp_writer(kinds, sizeof kinds), l = mp_writer(labels, sizeof labels);
    struct mp_writer a = mp_writer(attempts, sizeof attempts), w = mp_writer(frame, sizeof frame);
    mp_write_array(&k, 1);
    mp_write_text(&k, "sleep@1");
    mp_write_map(&l, 1);
    mp_write_text(&l, "zone");
    mp_write_text(&l, "a");
    mp_write_array(&a, running_count);
    for (uint32_t i = 0; i < running_count; i++)
        msg_write_attempt(&a, &running[i]);
    struct hello hello = {.protocol = protocol,
                          .name = name,
                          .name_bytes = (uint32_t)strlen(name),
                          .slots = 2,
                          .cpu_hundredths = 200,
                          .memory_bytes = 1 << 30,
                          .epoch = epoch,
                          .kinds = {kinds, k.need},
                          .labels = {labels, l.need},
                          .resources = {resources, sizeof resources},
                          .running = {attempts, a.need}};
    memcpy(hello.instance, peer->instance, INSTANCE_BYTES);
    memcpy(hello.public_key, signer_public(peer->signer), PUBLIC_KEY_BYTES);
    msg_write_hello(&w, &hello);
    assert_false(mp_writer_is_full(&w));
    peer_send(peer, frame, w.need);
}

size_t peer_results(struct peer *peer, uint64_t sequence, const struct result_msg *results,
                    uint32_t count, uint8_t *out, size_t out_bytes)
{
    static uint8_t body[1 << 16];
    uint8_t signature[SIGNATURE_BYTES];
    struct mp_writer b = mp_writer(body, sizeof body), w = mp_writer(out, out_bytes);
    mp_write_array(&b, count);
    for (uint32_t i = 0; i < count; i++)
        msg_write_result(&b, &results[i]);
    assert_false(mp_writer_is_full(&b));
    struct id digest;
    hash_bytes(PERSON_FRAME, body, b.need, &digest);
    signer_sign(peer->signer, &digest, signature);
    struct results_msg message = {sequence, signature, body, b.need};
    msg_write_results(&w, &message);
    assert_false(mp_writer_is_full(&w));
    return w.need;
}

void peer_attempts(struct peer *peer, enum msg_type type, const struct attempt *attempts,
                   uint32_t count)
{
    uint8_t frame[1024];
    struct mp_writer w = mp_writer(frame, sizeof frame);
    msg_write_batch_head(&w, type, count);
    for (uint32_t i = 0; i < count; i++)
        msg_write_attempt(&w, &attempts[i]);
    assert_false(mp_writer_is_full(&w));
    peer_send(peer, frame, w.need);
}

bool peer_receive(struct peer *peer, enum msg_type type)
{
    int wait_ms = 1000;
    zmq_setsockopt(peer->socket, ZMQ_RCVTIMEO, &wait_ms, sizeof wait_ms);
    for (;;) {
        int got = zmq_recv(peer->socket, peer->frame, sizeof peer->frame, 0);
        if (got < 0)
            return false;
        assert_true((size_t)got <= sizeof peer->frame);
        peer->frame_bytes = (size_t)got;
        enum msg_type came = msg_type(peer->frame, peer->frame_bytes);
        if (came == type || came != MSG_HEARTBEAT)
            return came == type;
    }
}

size_t peer_record(const uint8_t *action, size_t action_bytes, const struct artifact *output,
                   uint8_t *out, size_t out_bytes)
{
    struct record_output named = {"out", 3, *output};
    struct record record = {.action = action,
                            .action_bytes = action_bytes,
                            .attempt = 1,
                            .output_count = 1,
                            .worker = "w",
                            .worker_bytes = 1};
    size_t need = record_encode(&record, &named, out, out_bytes);
    assert_true(need <= out_bytes);
    return need;
}

struct attempt peer_attempt(uint8_t n)
{
    struct attempt attempt = {.number = n};
    memset(attempt.task.bytes, n, ID_BYTES);
    return attempt;
}

struct result_msg peer_success(uint8_t n, uint8_t record[256])
{
    static const uint8_t action[] = {0x81, 0xa1, 'n', 0x01};
    struct artifact output = {.bytes = n};
    size_t bytes = peer_record(action, sizeof action, &output, record, 256);
    return (struct result_msg){
        .attempt = peer_attempt(n), .code = OK, .record = record, .record_bytes = bytes};
}

void peer_expect_refused(struct peer *peer, enum status code, const char *word)
{
    struct refused refused;
    assert_true(peer_receive(peer, MSG_REFUSED));
    assert_int_equal(msg_decode_refused(peer->frame, peer->frame_bytes, &refused, NULL), OK);
    assert_int_equal(refused.code, code);
    char text[ERR_TEXT_BYTES + 1];
    snprintf(text, sizeof text, "%.*s", (int)refused.reason_bytes, refused.reason);
    assert_non_null(strstr(text, word));
}
