"""Peers that are no workers: without a key, with a wrong one, admitted but talking nonsense."""
import hashlib
import os
import random
import socket
import struct
import subprocess

import msgpack
import zmq
from zmq.utils import z85

from world import BROKER


def wire_keys(seed):
    """The Curve25519 pair of an identity (PROTOCOL.md §6), as ZeroMQ wants it."""
    secret = bytearray(hashlib.sha512(seed).digest()[:32])
    secret[0] &= 248
    secret[31] = secret[31] & 127 | 64
    text = z85.encode(bytes(secret))
    return zmq.curve_public(text), text


def admitted(w, name):
    """A new identity that the broker admits: its seed."""
    text = subprocess.run([BROKER, "keys", "add", name], cwd=w.folder, env=w.more, check=True, capture_output=True, text=True).stdout
    return bytes.fromhex(text.split("secret-key ")[1].split()[0])


def server_key(w):
    """The broker's Curve25519 key as anybody can make it of its public one: u = (1 + y) / (1 - y)."""
    p = 2**255 - 19
    y = int.from_bytes(bytes.fromhex(w.broker_key), "little") & (1 << 255) - 1
    return z85.encode(((1 + y) * pow(1 - y, p - 2, p) % p).to_bytes(32, "little"))


def connect(w, context, pair=None):
    dealer = context.socket(zmq.DEALER)
    dealer.linger = 0
    dealer.rcvtimeo = 500
    if pair:
        dealer.curve_publickey, dealer.curve_secretkey = pair
        dealer.curve_serverkey = server_key(w)
    dealer.connect(f"tcp://{w.network.address}:{w.port}")
    return dealer


def noise(rng):
    """Something that is no frame of the protocol, or hardly one."""
    return rng.choice([
        lambda: rng.randbytes(rng.randrange(200)),
        lambda: msgpack.packb([rng.randrange(20), *[rng.randrange(1 << 40) for _ in range(rng.randrange(14))]]),
        lambda: b"\xdd\xff\xff\xff\xff",
        lambda: msgpack.packb([0, 1, "x" * 100, b"", b"", 0, 0, 0, 0, [], {}, {}, []]),
        lambda: msgpack.packb([6, 1 << 60, b"\0" * 64, b"\x90"]),
        lambda: msgpack.packb([3, [[b"\0" * 32, 1]]]),
    ])()


def disturb(w):
    rng = random.Random(5)
    seed = admitted(w, "noisy")
    context = zmq.Context()
    try:
        while w.broker.is_alive():
            raw = socket.socket()
            raw.settimeout(0.5)
            try:
                raw.connect((w.network.address, w.port))
                raw.sendall(rng.choice([rng.randbytes(500), b"GET / HTTP/1.1\r\n\r\n", struct.pack(">BQ", 0xff, 1 << 62)]))
            except OSError:
                pass
            for pair in [None, zmq.curve_keypair(), wire_keys(os.urandom(32)), wire_keys(seed)]:
                dealer = connect(w, context, pair)
                for _ in range(20):
                    dealer.send(noise(rng), zmq.DONTWAIT)
                if pair and rng.random() < 0.2:
                    dealer.send(bytes(33 << 20), zmq.DONTWAIT)
                dealer.close()
            raw.close()
    except zmq.ZMQError:
        pass
    finally:
        context.destroy(0)
