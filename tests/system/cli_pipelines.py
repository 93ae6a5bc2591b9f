"""Pipelines that the tests of the command line run, and what they ask of the answers."""
import shutil

from conftest import by_name

IRIS = "configs/iris.yaml"

DEMO = """
version: 1
name: demo
params: {word: hello}
sources: {raw: raw.txt}
steps:
  copy:
    kind: exec
    inputs: {raw: sources.raw}
    outputs: {out: out.txt}
    params: {command: "cp ${inputs.raw} out.txt"}
  say:
    kind: exec
    inputs: {text: copy.out}
    outputs: {said: said.txt}
    params: {command: "echo saying ${params.word}; (echo ${params.word}; cat ${inputs.text}) > said.txt"}
  count:
    kind: exec
    inputs: {text: copy.out}
    outputs: {lines: lines.txt}
    params: {command: "wc -l < ${inputs.text} > lines.txt"}
"""

FAILING = """
version: 1
name: failing
steps:
  bad: {kind: exec, outputs: {x: x}, params: {command: "echo first words; echo last words >&2; exit 3"}, retry: {limit: 0}}
  behind: {kind: exec, inputs: {x: bad.x}, outputs: {y: y}, params: {command: "cp ${inputs.x} y"}}
  beside: {kind: exec, outputs: {z: z}, params: {command: "echo fine > z"}}
"""

WIDE = """
version: 1
name: wide
steps:
  many: {kind: sleep, matrix: {i: {range: [0, COUNT, 1]}}, params: {seconds: 0, index: "${matrix.i}"}}
"""

SLOW = """
version: 1
name: slow
steps:
  work: {kind: exec, matrix: {i: [1, 2, 3, 4]}, outputs: {o: o}, params: {command: "sleep 0.4; echo ${matrix.i} > o"}}
"""

COMMANDS = ["run", "plan", "explain", "lint", "graph", "list", "get", "lineage", "verify", "export", "logs", "load", "doctor"]


def edit(place, name, old, new):
    text = (place.path / name).read_text()
    assert old in text
    (place.path / name).write_text(text.replace(old, new))


def states(document):
    return {name: entry["state"] for name, entry in by_name(document).items()}


def executed(document):
    return {n for n, e in by_name(document).items() if e["state"] == "succeeded" and not e["hit"]}


def plan_of(place, *args):
    answer = place.broker("plan", "p.yaml", "--json", *args)
    assert answer.code == 0, answer
    return {e["name"]: e for e in answer.json["steps"]}


def damage(place, blob):
    [file] = [p for p in (place.path / ".penstock/store").rglob("*") if p.is_file() and blob.endswith(p.name[-40:])]
    file.chmod(0o644)
    file.write_text("something else")
    shutil.rmtree(place.path / ".penstock/cache", ignore_errors=True)
