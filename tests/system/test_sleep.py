"""The kind `sleep` as the no-op that waits for others: its inputs are there for the order alone, what it makes is empty."""
import hashlib

import pytest
from conftest import by_name, output_ids

EMPTY = hashlib.blake2b(b"", digest_size=32).hexdigest()
HEAD = "version: 1\nname: p\nsteps:\n"


def executed(document):
    return {name for name, entry in by_name(document).items() if entry["state"] == "succeeded" and not entry["hit"]}


def chain(links, index=True):
    """Each waits for the one before it."""
    return HEAD + "".join(
        f"  s{i}: {{kind: sleep, outputs: [done]{f', inputs: {{before: s{i - 1}.done}}' if i else ''}"
        f"{f', params: {{index: {i}}}' if index else ''}}}\n" for i in range(links))


def test_a_chain(place):
    place.write("p.yaml", chain(30))
    document = place.run()
    assert document["tasks"]["executed"] == 30
    assert all(made == {"done": EMPTY} for made in output_ids(document).values())
    assert (place.path / f".penstock/store/blobs/{EMPTY[:2]}/{EMPTY[2:]}").read_bytes() == b""
    assert place.run()["tasks"]["hit"] == 30


def test_a_fan_in(place):
    place.write("p.yaml", HEAD + """
  many: {kind: sleep, matrix: {i: {range: [0, 3000]}}, outputs: [done], params: {index: "${matrix.i}"}}
  join: {kind: sleep, inputs: {all: many.done}, outputs: [a, b]}
  count: {kind: exec, inputs: {last: join.b}, outputs: {o: o}, params: {command: "wc -c < ${inputs.last} > o"}}
""")
    document = place.run()
    assert document["tasks"]["executed"] == 3002
    assert by_name(document)["join"]["outputs"]["a"] == {"id": EMPTY, "bytes": 0}
    assert place.export("count.o", "count").read_text().strip() == "0"


def test_links_that_differ_in_nothing_are_cut_off(place):
    """The second waits for nothing, all others for the same empty bytes: one of those is enough."""
    place.write("p.yaml", chain(20, index=False))
    assert executed(place.run()) == {"s0", "s1"}


def test_twins_run_once(place):
    place.write("p.yaml", HEAD + """
  a: {kind: sleep, outputs: [done], params: {index: 1}}
  b: {kind: sleep, outputs: [done], params: {index: 1}}
  c: {kind: sleep, outputs: [done], inputs: {x: a.done, y: b.done}}
""")
    document = place.run()
    steps = by_name(document)
    assert steps["a"]["task"] == steps["b"]["task"]
    assert document["tasks"]["executed"] == 2


def test_the_log_tells_what_the_loop_did(place):
    place.write("p.yaml", chain(12))
    said = place.broker("run", "p.yaml", "-q", PENSTOCK_LOG="info").err.splitlines()
    lines = {words[2]: dict(field.split("=", 1) for field in words[3:]) for words in map(str.split, said)}
    stats = lines["loop.stats"]
    assert stats["results"] == "12" and 12 <= int(stats["commits"]) <= int(stats["beats"]) * 8
    assert int(stats["worst_step_us"]) >= 0 and int(stats["worst_beat_us"]) >= 0 and stats["worst_step"].isalpha()
    assert int(stats["cpu_us"]) <= int(lines["process.stats"]["main_cpu_us"])


def test_a_failure_stops_what_waits(place):
    place.write("p.yaml", HEAD + """
  a: {kind: sleep, outputs: [done], params: {fault: exit}, retry: {limit: 0}}
  b: {kind: sleep, inputs: {x: a.done}, outputs: [done]}
""")
    steps = by_name(place.run(code=1))
    assert steps["a"]["state"] == "failed" and steps["b"]["state"] == "upstream_failed"


def test_with_limits_its_outputs_are_the_same(place):
    place.write("p.yaml", HEAD + """
  a: {kind: sleep, outputs: [done], timeout: 30s, resources: {memory: 1Gi}}
  b: {kind: sleep, outputs: [done], inputs: {x: a.done}, timeout: 30s}
""")
    document = place.run()
    assert document["tasks"]["executed"] == 2
    assert output_ids(document) == {"a": {"done": EMPTY}, "b": {"done": EMPTY}}


def test_a_lost_empty_blob_is_made_again(place):
    place.write("p.yaml", HEAD + "  a: {kind: sleep, outputs: [done]}\n")
    place.run()
    blob = place.path / f".penstock/store/blobs/{EMPTY[:2]}/{EMPTY[2:]}"
    blob.unlink()
    document = place.run()
    assert document["state"] == "succeeded" and blob.exists()


@pytest.mark.parametrize("outputs, said", [
    ("{done: x}", "takes a list of names, as in [done]"), ("[done, done]", "is there twice"), ("[1x]", "1x"),
    ("done", "takes a list of names")])
def test_lint_says_what_is_wrong_with_outputs(place, outputs, said):
    place.write("p.yaml", HEAD + f"  a: {{kind: sleep, outputs: {outputs}}}\n")
    result = place.broker("lint", "p.yaml")
    assert result.code == 2 and "p.yaml:4:" in result.err and said in result.err, result
