"""Where an artifact comes from, and whether that is so: verify, lineage --attest."""
import base64
import hashlib
import http.client
import http.server
import json
import pathlib
import re
import struct
import sys
import threading
import urllib.parse

import pytest

from conftest import ROOT, Place, by_name
from served import serving

sys.path.insert(0, str(ROOT / "tests/golden"))
import ed25519  # noqa: E402

PIPELINE = """
version: 1
name: made
sources: {words: words.txt}
steps:
  sort: {kind: exec, inputs: {w: sources.words}, outputs: {out: o}, params: {command: "sort ${inputs.w} > o; echo sorted"}}
  count: {kind: exec, inputs: {s: sort.out}, outputs: {lines: n}, params: {command: "wc -l < ${inputs.s} > n"}}
  tree: {kind: exec, inputs: {s: sort.out}, outputs: {dir: d},
         params: {command: "mkdir -p d/sub; cp ${inputs.s} d/a; cp ${inputs.s} d/sub/b"}}
  luck: {kind: exec, outputs: {dice: o}, params: {command: "date +%N > o"}}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    place = Place(tmp_path_factory.mktemp("made"))
    place.write("words.txt", "c\nb\na\n")
    place.write("p.yaml", PIPELINE)
    place.document = by_name(place.run())
    result = place.broker("keys", "init", "--json")
    place.key = result.json["public_key"]
    return place


def checks(result):
    return {(c["check"], c["ok"]) for c in result.json["checks"]}


# ---- verify ----

def test_an_artifact_is_verified_with_its_signature_and_bytes(made):
    result = made.broker("verify", "count.lines", "--json")
    assert result.code == 0 and result.json["ok"], result
    assert checks(result) == {("signature", True), ("bytes", True)}
    assert result.json["task"] == made.document["count"]["task"]
    deep = made.broker("verify", "tree.dir", "--deep")
    assert deep.code == 0 and "3 artifacts" in deep.out, deep  # the tree, what it was made of, the source


def test_a_source_is_verified_by_its_bytes_alone(made):
    digest = hashlib.blake2b(b"c\nb\na\n", digest_size=32).hexdigest()
    result = made.broker("verify", digest)
    assert result.code == 0 and "it came from outside" in result.out, result
    assert made.broker("verify", digest, "--signer", made.key).code == 4


def test_running_it_again_makes_the_same_bytes_or_says_which_differ(made):
    same = made.broker("verify", "tree.dir", "--reexecute")
    assert same.code == 0 and "every output is the same again" in same.out, same
    other = made.broker("verify", "luck.dice", "--reexecute")
    assert other.code == 4 and "output dice was" in other.out, other
    assert not list(made.path.glob(".penstock/verify-*")), "what it needed is gone"


def test_a_pinned_signer_is_the_only_one_that_counts(made):
    signed = made.broker("verify", "count.lines").out
    signer = signed.split("with key ")[1].split()[0]
    assert made.broker("verify", "count.lines", "--signer", signer).code == 0
    other = made.broker("verify", "count.lines", "--signer", made.key)
    assert other.code == 4 and "not by the key given" in other.out, other
    assert made.broker("verify", "count.lines", "--signer", "12").code == 2


def blob(place, identity):
    return place.path / f".penstock/store/blobs/{identity[:2]}/{identity[2:]}"


@pytest.mark.parametrize("deep", [[], ["--deep"]])
def test_changed_or_missing_bytes_are_found(place, deep):
    place.write("words.txt", "c\nb\na\n")
    place.write("p.yaml", PIPELINE)
    document = by_name(place.run())
    target = blob(place, document["sort"]["outputs"]["out"]["id"])
    ref = "count.lines" if deep else "sort.out"
    target.chmod(0o644)
    target.write_bytes(b"other")
    changed = place.broker("verify", ref, *deep)
    assert changed.code == 4 and "NOT OK bytes" in changed.out and "does not match its id" in changed.out, changed
    target.unlink(missing_ok=True)
    missing = place.broker("verify", ref, *deep)
    assert missing.code == 4 and "is not in the store" in missing.out, missing


def crc32c(data, crc=0):
    crc = ~crc & 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return ~crc & 0xffffffff


def forge(journal, old, new):
    """The first `old` becomes `new`, and the check sums fit again (broker/state/journal.h)."""
    data = bytearray(journal.read_bytes())
    at, entry = 40, None
    changed = data.index(old)
    while at < len(data):
        head = struct.unpack_from("<IIQQII", data, at)
        if at + 32 <= changed < at + 32 + head[2]:
            entry = at
        at += 32 + head[2]
    data[changed:changed + len(old)] = new
    size = struct.unpack_from("<Q", data, entry + 8)[0]
    struct.pack_into("<I", data, entry + 24, crc32c(data[entry + 32:entry + 32 + size]))
    struct.pack_into("<I", data, entry + 28, crc32c(data[entry:entry + 28], crc32c(data[24:40])))
    journal.write_bytes(data)
    for index in journal.parent.glob("index*"):
        index.unlink()


def test_a_forged_record_is_not_believed(place):
    """Whoever can write the journal can change a record and mend every check sum, but can't sign it."""
    place.write("p.yaml", "version: 1\nname: x\nsteps: {a: {kind: exec, outputs: {o: o}, params: {command: 'echo 1 > o'}}}")
    place.run()
    forge(place.path / ".penstock/state/journal", b"local", b"l0cal")
    got = place.broker("get", "a", "--json")
    assert got.code == 0 and got.json["worker"] == "l0cal", got  # the check sums are good
    result = place.broker("verify", "a.o")
    assert result.code == 4 and "the signature of its record is not good" in result.out, result
    place.broker("keys", "init")
    attested = place.broker("lineage", "a.o", "--attest")
    assert attested.code == 4 and attested.out == "", attested


PLACES = """
version: 1
name: x
steps:
  one: {kind: exec, outputs: {o: o}, params: {command: "echo good > o"}}
  two: {kind: exec, outputs: {o: o}, params: {command: "echo EVIL > o"}}
  of_one: {kind: exec, inputs: {i: one.o}, outputs: {o: o}, params: {command: "cat ${inputs.i} > o"}}
  of_two: {kind: exec, inputs: {i: two.o}, outputs: {o: o}, params: {command: "cat ${inputs.i} > o"}}
  last: {kind: exec, inputs: {i: of_one.o}, outputs: {o: o}, params: {command: "cat ${inputs.i} ${inputs.i} > o"}}
"""


def swap(place, a, b):
    """Each of two tasks has the other's record: signed, and in no byte changed."""
    key = b"\x95\xc4\x20"  # an entry of the journal's list of records begins so
    document = by_name(place.run())
    journal = place.path / ".penstock/state/journal"
    for old, new in ((a, None), (b, a), (None, b)):
        old, new = (key + (bytes.fromhex(document[x]["task"]) if x else b"w" * 32) for x in (old, new))
        forge(journal, old, new)


ONES, READERS = ("one", "two"), ("of_one", "of_two")


@pytest.mark.parametrize("pairs, ref, deep, words", [
    ([ONES], "one.o", [], "its record is of another task"),  # what they are differs
    ([READERS], "of_one.o", [], "it made no such o"),  # but for what they read they are alike
    ([READERS], "last.o", [], "it made no such o"),
    ([ONES, READERS], "of_one.o", [], "its record is of another task"),  # what they read fits, too
    ([ONES], "last.o", [], "its record is of another task"),
    ([ONES], "last.o", ["--deep"], "its record is of another task")])
def test_a_record_in_another_ones_place_is_found(place, pairs, ref, deep, words):
    place.write("p.yaml", PLACES)
    for pair in pairs:
        swap(place, *pair)
    result = place.broker("verify", ref, *deep)
    assert result.code == 4 and words in result.out, result
    place.broker("keys", "init")
    attested = place.broker("lineage", ref, "--attest=all" if deep else "--attest")
    assert attested.code == 4 and attested.out == "" and ref in attested.err, attested


def test_a_record_that_two_tasks_share_is_in_its_place(place):
    """Early cutoff: the second task's action is the first one's, so it has that record, which was signed for the first one."""
    text = PIPELINE.replace("sort ${inputs.w} > o; echo sorted", "sort ${inputs.w} > o; echo ${params.word}").replace(
        "sources:", "params: {word: first}\nsources:")
    place.write("words.txt", "c\nb\na\n")
    place.write("p.yaml", text)
    first = by_name(place.run())
    second = by_name(place.run("p.yaml", "-p", "word=second"))
    assert first["count"]["task"] != second["count"]["task"]
    for deep in [], ["--deep"]:
        result = place.broker("verify", "count.lines", *deep)
        assert result.code == 0 and "as of the same action of task " + first["count"]["task"][:12] in result.out, result
    place.broker("keys", "init")
    assert place.broker("lineage", "count.lines", "--attest=all").code == 0


# ---- verify, of a served broker: on the client's side ----

class Liar:
    """Stands between a client and a broker, and changes what that answers for paths that begin so."""

    def __init__(self, url, path, change):
        target = urllib.parse.urlsplit(url).netloc

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                link = http.client.HTTPConnection(target)
                link.request("GET", self.path, headers={k: v for k, v in self.headers.items() if k.lower() != "host"})
                answer = link.getresponse()
                body = answer.read()
                if self.path.startswith(path):
                    body = change(body)
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in ("content-length", "connection", "transfer-encoding"):
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


LIES = {
    "nothing": ("/nowhere", bytes, 0, "match their ids"),
    "a frame": ("/v1/proofs/", lambda body: body[:-1] + bytes([body[-1] ^ 1]), 4, "the signature of its record is not good"),
    "a blob": ("/v1/blobs/", lambda body: body.replace(b"a\nb", b"A\nb"), 4, "has another id"),
    "a tree": ("/v1/blobs/", lambda body: body.replace(b'"path": "a"', b'"path": "A"'), 4, "has another id"),
    "a name": ("/v1/refs/", lambda body: re.sub(rb'("id": ")[0-9a-f]{64}', rb"\g<1>" + b"11" * 32, body), 4, "it made no such"),
    "who made it": ("/v1/lineage/", lambda body: re.sub(rb'("task": ")[0-9a-f]{64}', rb"\g<1>" + b"11" * 32, body), 4, "signature"),
}


@pytest.mark.parametrize("what", LIES)
def test_of_a_served_broker_nothing_is_believed(made, what):
    path, change, code, words = LIES[what]
    with serving(made) as broker:
        liar = Liar(broker.url, path, change)
        elsewhere = Place(made.path / "elsewhere")
        elsewhere.path.mkdir(exist_ok=True)
        result = elsewhere.broker("verify", "tree.dir", "--deep", PENSTOCK_SERVER=liar.url, PENSTOCK_TOKEN=broker.token("read"))
        assert result.code == code and words in result.out, result
        liar.close()


@pytest.mark.parametrize("ref, lie, words", [
    ("DIGITS", "count", "another artifact"),  # in the place of what was asked for
    ("tree.dir", "count", "it made no such dir"),
    ("tree.dir", None, "no task made it")])
def test_a_served_broker_answers_for_the_name(made, ref, lie, words):
    ref = made.document["sort"]["outputs"]["out"]["id"] if ref == "DIGITS" else ref
    entry = made.document[lie] if lie else {}
    told = {"task": entry["task"], "id": entry["outputs"]["lines"]["id"], "tree": False} if lie else {"task": None}
    with serving(made) as broker:
        liar = Liar(broker.url, "/v1/refs/", lambda body: json.dumps(json.loads(body) | told).encode())
        result = made.broker("verify", ref, PENSTOCK_SERVER=liar.url, PENSTOCK_TOKEN=broker.token("read"))
        assert result.code == 4 and words in result.out, result
        liar.close()


def test_a_served_broker_gives_the_same_answer(made):
    signer = made.broker("verify", "count.lines").out.split("key ")[1].split()[0]
    with serving(made) as broker:
        for words in (["count.lines"], ["tree.dir", "--deep"], ["count.lines", "--signer", signer],
                      ["count.lines", "--signer", made.key], [made.document["sort"]["outputs"]["out"]["id"]]):
            here, there = made.broker("verify", *words, "--json"), broker.broker("verify", *words, "--json")
            assert here.code == there.code, (here, there)
            # which records are to be looked at, beside its own, is known here alone
            assert here.json == there.json or not here.json["ok"] and here.json["checks"][0] == there.json["checks"][0], (here, there)
        again = broker.broker("verify", "count.lines", "--reexecute")
        assert again.code == 3 and "say it where the broker's store and state are" in again.err
        (made.path / "lines").write_bytes(made.broker("export", "count.lines").out.encode())
        assert made.broker("lineage", "count.lines", "--attest", "-o", "count.jsonl").code == 0
        assert broker.broker("verify", "lines", "--attestation", "count.jsonl", "--broker-key", made.key).code == 0


def test_a_served_broker_looks_through_no_million_records(place):
    """It has others waiting, and a lease to keep: it says where to ask."""
    place.write("p.yaml", """version: 1
name: x
steps:
  many: {kind: sleep, matrix: {i: {range: [0, 10000, 1]}}, outputs: [done], params: {index: "${matrix.i}"}}
  all: {kind: sleep, inputs: {i: many.done}, outputs: [done]}
""")
    place.run()
    place.broker("keys", "init")
    with serving(place) as broker:
        few, many = (broker.broker("lineage", ref, "--attest") for ref in ("many[i=7].done", "all.done"))
        assert few.code == 0, few
        assert many.code != 0 and "records that made it were looked at" in many.err and "without --server" in many.err, many
        here = place.broker("lineage", "all.done", "--attest")
        assert here.code == 0 and here.out, here


# ---- attestations ----

def envelopes(text):
    return [json.loads(line) for line in text.splitlines()]


def opened(envelope, key):
    """The statement, its signature checked by an Ed25519 that is not ours."""
    payload = base64.b64decode(envelope["payload"])
    kind = envelope["payloadType"].encode()
    covered = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
    [signature] = envelope["signatures"]
    assert ed25519.verify(bytes.fromhex(key), covered, base64.b64decode(signature["sig"]))
    return json.loads(payload)


def test_an_attestation_is_an_in_toto_statement_with_slsa_provenance(made):
    result = made.broker("lineage", "count.lines", "--attest")
    assert result.code == 0, result
    [envelope] = envelopes(result.out)
    statement = opened(envelope, made.key)
    assert envelope["payloadType"] == "application/vnd.in-toto+json"
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    [subject] = statement["subject"]
    assert subject == {"name": "count.lines", "digest": {"blake2b256": hashlib.blake2b(b"3\n", digest_size=32).hexdigest()}}
    definition = statement["predicate"]["buildDefinition"]
    assert definition["externalParameters"]["kind"] == "exec"
    assert "wc -l" in definition["externalParameters"]["params"]["command"]
    [dependency] = definition["resolvedDependencies"]
    assert dependency["digest"]["blake2b256"] == made.document["sort"]["outputs"]["out"]["id"]
    assert statement["predicate"]["runDetails"]["builder"]["id"].startswith("urn:penstock:worker:")


def test_all_that_made_it_is_attested_down_to_the_file(made):
    lines = envelopes(made.broker("lineage", "count.lines", "--attest=all").out)
    statements = [opened(line, made.key) for line in lines]
    assert len(statements) == 2
    [source] = statements[1]["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert source["annotations"]["source"] == "words.txt"
    assert statements[1]["predicate"]["runDetails"]["byproducts"][0]["name"] == "log"


def test_it_is_verified_with_the_files_and_a_pinned_key_alone(made, tmp_path):
    (tmp_path / "home").mkdir()
    assert made.broker("lineage", "tree.dir", "--attest", "-o", tmp_path / "a.jsonl").code == 0
    assert made.broker("export", "tree.dir", "-o", tmp_path / "d").code == 0
    assert made.broker("export", "count.lines", "-o", tmp_path / "n").code == 0
    elsewhere = Place(tmp_path / "home")

    def verify(path, key=made.key, file="a.jsonl"):
        return elsewhere.broker("verify", tmp_path / path, "--attestation", tmp_path / file, "--broker-key", key)

    good = verify("d")
    assert good.code == 0 and "made by exec@" in good.out, good
    assert not (elsewhere.path / ".penstock").exists()
    assert verify("n").code == 4  # another artifact
    assert verify("d", key="11" * 32).code in (2, 4)
    assert elsewhere.broker("verify", tmp_path / "d", "--attestation", tmp_path / "a.jsonl").code == 2
    (tmp_path / "d/sub/b").write_text("other")
    changed = verify("d")
    assert changed.code == 4 and "sub/b has the digest" in changed.err, changed
    (tmp_path / "d/sub/b").unlink()
    assert verify("d").code == 4
    (tmp_path / "empty").write_text("")
    assert verify("d", file="empty").code == 4


@pytest.mark.parametrize("at", [0.2, 0.5, 0.9])
def test_a_changed_attestation_is_refused(made, tmp_path, at):
    text = made.broker("lineage", "count.lines", "--attest").out
    made.broker("export", "count.lines", "-o", tmp_path / "n")
    [envelope] = envelopes(text)
    payload = bytearray(base64.b64decode(envelope["payload"]))
    payload[int(len(payload) * at)] ^= 1
    envelope["payload"] = base64.b64encode(payload).decode()
    (tmp_path / "a.jsonl").write_text(json.dumps(envelope))
    result = made.broker("verify", tmp_path / "n", "--attestation", tmp_path / "a.jsonl", "--broker-key", made.key)
    assert result.code == 4 and "none of its 1 signatures is the given key's" in result.err, result


def test_a_broker_without_a_key_attests_nothing(place):
    place.write("p.yaml", "version: 1\nname: x\nsteps: {a: {kind: exec, outputs: {o: o}, params: {command: 'echo 1 > o'}}}")
    place.run()
    result = place.broker("lineage", "a.o", "--attest")
    assert result.code == 3 and "broker keys init" in result.err and result.out == "", result
    assert not pathlib.Path(place.path / "a").exists()
