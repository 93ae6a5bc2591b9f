# SPDX-License-Identifier: Apache-2.0
"""The golden vectors of proto/vectors/, recomputed from proto/PROTOCOL.md alone.

A second implementation that shares nothing with the C code: if the two disagree, the text, the code or
the vectors are wrong. Vectors never change within a protocol version.
"""

import hashlib
import json
import pathlib

import msgpack
import pytest

import ed25519

VECTORS = pathlib.Path(__file__).resolve().parents[2] / "proto" / "vectors"
TYPES = [
    "HELLO", "WELCOME", "REFUSED", "TASKS", "STARTED", "PROGRESS", "RESULTS", "ACK", "REVOKE", "KILL",
    "HEARTBEAT", "GOODBYE", "REVOKED", "NOT_LEADER",
]  # fmt: skip


def load(name):
    """The vectors of a file as pytest parameters, {"$bin": hex} made bytes."""
    document = json.loads((VECTORS / f"{name}.json").read_text())
    return [pytest.param(binaries(v), id=v["name"]) for v in document["vectors"]]


def binaries(value):
    if isinstance(value, dict):
        if set(value) == {"$bin"}:
            return bytes.fromhex(value["$bin"])
        return {key: binaries(item) for key, item in value.items()}
    return [binaries(item) for item in value] if isinstance(value, list) else value


def hashed(data, person=b""):
    return hashlib.blake2b(data, digest_size=32, person=person).hexdigest()


def pack(value):
    return msgpack.packb(value, use_bin_type=True)


def canonical(value):
    """PROTOCOL.md §2: sorted keys, −0 as 0; msgpack itself writes the shortest forms and float 64."""
    return pack(ordered(value))


def ordered(value):
    if isinstance(value, dict):
        return {key: ordered(value[key]) for key in sorted(value, key=str.encode)}
    if isinstance(value, list):
        return [ordered(item) for item in value]
    return 0.0 if isinstance(value, float) and value == 0 else value


@pytest.mark.parametrize("v", load("blobs"))
def test_blob(v):
    assert hashed(v["content"]) == v["id"]


@pytest.mark.parametrize("v", load("values"))
def test_value(v):
    assert canonical(v["value"]).hex() == v["bytes"]


@pytest.mark.parametrize("v", load("trees"))
def test_tree(v):
    manifest = canonical(sorted(v["entries"], key=lambda entry: entry[0].encode()))
    assert manifest.hex() == v["bytes"]
    assert hashed(manifest, b"penstock tree") == v["id"]


def resolve(source, artifacts):
    """A source with its task-refs replaced (PROTOCOL.md §4)."""
    if len(source) == 1:
        return [[resolve(ref, artifacts) for ref in source[0]]]
    if isinstance(source[0], bytes):
        identity, _, is_tree = next(artifacts)
        return ["tree" if is_tree else "blob", identity]
    return source


def action_of(spec, artifacts):
    artifacts = iter(artifacts)
    inputs = {}
    for name in sorted(spec.get("inputs", {}), key=str.encode):
        source = spec["inputs"][name]
        if isinstance(source, dict):
            inputs[name] = {**source, "from": resolve(source["from"], artifacts)}
        else:
            inputs[name] = resolve(source, artifacts)
    assert next(artifacts, None) is None, "more artifacts than task-refs"
    return {**spec, "inputs": inputs} if inputs else spec


@pytest.mark.parametrize("v", load("tasks"))
def test_task(v):
    spec, action = canonical(v["spec"]), canonical(action_of(v["spec"], v["resolved"]))
    assert spec.hex() == v["bytes"]
    assert hashed(spec, b"penstock task") == v["task_id"]
    assert action.hex() == v["action"]
    assert hashed(action, b"penstock action") == v["action_key"]


@pytest.mark.parametrize("v", load("records"))
def test_record(v):
    assert canonical(v["record"]).hex() == v["bytes"]


def result_of(r):
    if r["code"] == 0:
        return [r["task"], r["attempt"], 0, canonical(r["record"])]
    return [r["task"], r["attempt"], r["code"], r["text"], r["log"], r["lost"]]


def task_of(t):
    spec = canonical(t["spec"])
    return [t["task"], t["attempt"], spec, t["inputs"], t["priority"], t["timeout_ms"], t["memory_bytes"],
            t["cpu_hundredths"], ordered(t["resources"])]


def fields_of(m):
    """What follows the type in a frame (PROTOCOL.md §7)."""
    match m["type"]:
        case "HELLO":
            names = "protocol name instance public_key slots cpu_hundredths memory_bytes epoch kinds"
            return [m[name] for name in names.split()] + [ordered(m["labels"]), ordered(m["resources"]), m["running"]]
        case "WELCOME":
            return [m["epoch"], m["lease_ms"], m["credit"]]
        case "REFUSED":
            return [m["code"], m["reason"]]
        case "NOT_LEADER":
            return [m["epoch"], m["endpoint"]]
        case "TASKS":
            return [[task_of(t) for t in m["tasks"]]]
        case "PROGRESS":
            return [[m["task"], m["attempt"]], m["step"], m["total"], m["metrics"]]
        case "RESULTS":
            body = pack([result_of(r) for r in m["results"]])
            return [m["sequence"], m["signature"], body]
        case "ACK":
            return [m["sequences"]]
        case _:
            return [m["attempts"]]


@pytest.mark.parametrize("v", load("messages"))
def test_message(v):
    m = v["message"]
    assert pack([TYPES.index(m["type"]), *fields_of(m)]).hex() == v["frame"]


@pytest.mark.parametrize("v", [p for p in load("messages") if p.values[0]["message"]["type"] == "RESULTS"])
def test_signature(v):
    m = v["message"]
    body = pack([result_of(r) for r in m["results"]])
    digest = hashlib.blake2b(body, digest_size=32, person=b"penstock results").digest()
    assert body.hex() == v["body"]
    assert digest.hex() == v["digest"]
    assert ed25519.public_key(m["seed"]) == m["public_key"]
    assert ed25519.sign(m["seed"], digest) == m["signature"]
    assert ed25519.verify(m["public_key"], digest, m["signature"])
    assert not ed25519.verify(m["public_key"], digest[::-1], m["signature"])


def test_every_message_has_a_vector():
    assert {p.values[0]["message"]["type"] for p in load("messages")} == set(TYPES)


@pytest.mark.parametrize("v", load("keys"))
def test_wire_keys(v):
    """PROTOCOL.md §6: the pair of a connection is derived from the identity's."""
    public = ed25519.public_key(v["seed"])
    secret = ed25519.expand(v["seed"])[0]
    y = int.from_bytes(public, "little") % 2**255
    u = (1 + y) * pow(1 - y, -1, ed25519.P) % ed25519.P
    assert public.hex() == v["public_key"]
    assert secret.to_bytes(32, "little").hex() == v["wire_secret"]
    assert u.to_bytes(32, "little").hex() == v["wire_public"]


# RFC 8032, section 7.1, tests 1 and 2: that our Ed25519 is Ed25519.
@pytest.mark.parametrize(
    "seed, public, message, signature",
    [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
            "d25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c"
            "387b2eaeb4302aeeb00d291612bb0c00",
        ),
    ],
)
def test_ed25519(seed, public, message, signature):
    seed, public, message, signature = map(bytes.fromhex, (seed, public, message, signature))
    assert ed25519.public_key(seed) == public
    assert ed25519.sign(seed, message) == signature
    assert ed25519.verify(public, message, signature)
