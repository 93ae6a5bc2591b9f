"""gc: old runs go, and what no other run needs; everything else stays, and what went can be made again."""
import os
import re
import time

import pytest

from conftest import output_ids

DAY = 24 * 3600
PIPELINE = """
version: 1
name: %s
params: {word: a}
sources: {raw: raw.txt}
steps:
  copy:
    kind: exec
    inputs: {raw: sources.raw}
    outputs: {out: out.txt}
    params: {command: "cat ${inputs.raw} > out.txt"}
  say:
    kind: exec
    inputs: {from: copy.out}
    outputs: {said: said.txt, folder: folder}
    params: {command: "echo ${params.word} > said.txt; mkdir folder; cp said.txt ${inputs.from} folder"}
"""


@pytest.fixture
def shop(place):
    place.write("raw.txt", "one\n")
    place.write("p.yaml", PIPELINE % "p")
    place.write("q.yaml", PIPELINE % "q")
    return place


def files(place):
    return [p for p in (place.path / ".penstock/store").rglob("*") if p.is_file()]


def make_old(place, days=3):
    then = time.time() - days * DAY
    for path in files(place):
        os.utime(path, (then, then))


def run_ids(place):
    return [run["run"] for run in place.broker("list", "--json").json]


def everything(place):
    return {str(p.relative_to(place.path)): p.stat().st_mtime_ns
            for p in (place.path / ".penstock").rglob("*")
            if p.is_file() and p.name != "index-lock"}  # readers are counted there


def test_without_yes_it_is_only_told_what_would_go(shop):
    old = shop.run("p.yaml")["run"]
    shop.run("p.yaml", "-p", "word=b")
    make_old(shop)
    before = everything(shop)
    result = shop.broker("gc", "--keep", 1)
    assert result.code == 0 and result.out == old + "\n", result
    assert "would go: 1 run, 1 records, " in result.err and "nothing was removed: that takes --yes" in result.err
    assert everything(shop) == before
    told = shop.broker("gc", "--keep", 1, "--json").json
    done = shop.broker("gc", "--keep", 1, "--yes", "--json").json
    assert (told["removes"], done["removes"]) == (False, True)
    assert told["removed"] == done["removed"] and told["removed"]["count"] > 0
    for key in "runs", "runs_removed", "runs_kept", "records", "records_kept", "kept":
        assert told[key] == done[key], key


def test_what_went_is_made_again_and_is_the_same(shop):
    first = shop.run("p.yaml")
    make_old(shop)
    done = shop.broker("gc", "--keep", 0, "--yes", "--json").json
    assert done["runs"] == [first["run"]] and done["records"] == 2
    assert run_ids(shop) == [] and files(shop) == []
    assert shop.broker("gc", "--keep", 0, "--yes", "--json").json["removed"]["count"] == 0
    again = shop.run("p.yaml")
    assert again["tasks"]["executed"] == 2
    assert output_ids(again) == output_ids(first)


def test_the_newest_of_each_pipeline_are_kept(shop):
    p = [shop.run("p.yaml", "-p", f"word={word}")["run"] for word in "abc"]
    q = [shop.run("q.yaml", "-p", f"word={word}")["run"] for word in "xy"]
    make_old(shop)
    result = shop.broker("gc", "--yes", "--keep", 2)
    assert result.code == 0 and result.out.split() == [p[0]], result
    assert run_ids(shop) == q[::-1] + p[:0:-1]
    for ref, text in ((f"{p[1]}/say.said", "b\n"), (f"{q[0]}/say.said", "x\n")):
        assert shop.export(ref, ref.replace("/", "-")).read_text() == text
    # What was shared with the one that went is there still.
    assert shop.run("p.yaml", "-p", "word=c")["tasks"]["hit"] == 2
    assert shop.broker("fsck", "--bytes").code == 0


def test_age_counts_from_the_end_of_a_run(shop):
    shop.run("p.yaml")
    make_old(shop)
    assert shop.broker("gc", "--yes", "--older", "1h").out == ""
    time.sleep(1.1)
    assert len(shop.broker("gc", "--yes", "--older", "1s").out.split()) == 1


def test_a_label_alone_drops_no_run_without_it(shop):
    shop.run("p.yaml")
    make_old(shop)
    assert shop.broker("gc", "--yes", "--label", "team=blue").out == ""
    assert len(run_ids(shop)) == 1


def test_what_is_new_stays_for_a_day(shop):
    shop.run("p.yaml")
    done = shop.broker("gc", "--yes", "--keep", 0, "--json").json
    assert done["runs_removed"] == 1 and done["removed"]["count"] == 0
    assert done["young"]["count"] > 0 and files(shop)
    make_old(shop)
    assert shop.broker("gc", "--yes", "--json").json["removed"]["count"] > 0
    assert files(shop) == []


def test_a_source_that_is_used_again_is_new_again(shop):
    shop.run("p.yaml")
    make_old(shop)
    shop.broker("gc", "--yes", "--keep", 0)
    assert files(shop) == []
    shop.run("p.yaml")
    make_old(shop, days=2)
    shop.run("p.yaml", "-p", "word=b")  # puts its source once more, and takes copy's output as a hit
    shop.broker("gc", "--yes", "--keep", 1)
    assert shop.broker("fsck", "--bytes").code == 0
    assert shop.export("say.said", "said").read_text() == "b\n"


def test_it_waits_for_no_other_broker(shop):
    shop.write("slow.yaml", "version: 1\nname: slow\nsteps:\n  wait: {kind: sleep, params: {seconds: 60}}\n")
    shop.run("p.yaml")
    process = shop.start("run", "slow.yaml")
    try:
        until = time.time() + 30
        while len(run_ids(shop)) < 2 and time.time() < until:
            time.sleep(0.05)
        result = shop.broker("gc", "--yes", "--keep", 0)
        assert result.code == 3 and "another broker" in result.err, result
        # Looking needs no lock, and the run that goes on is not among what would go.
        assert shop.broker("gc", "--keep", 0, "--json").json["runs_removed"] == 1
    finally:
        process.kill()
        process.wait()
    # It was interrupted and may be taken up again: it stays.
    make_old(shop)
    assert shop.broker("gc", "--yes", "--keep", 0, "--json").json["runs_removed"] == 1
    assert len(run_ids(shop)) == 1


@pytest.mark.parametrize("arguments, says", [
    (["--keep", "x"], '--keep "x": expected a number of runs'),
    (["--keep", "-1"], '--keep "-1": expected a number of runs'),
    (["--older", "30"], '--older "30": expected an age such as 30d'),
    (["--older", "d"], '--older "d": expected an age'),
    (["--label", "blue"], '--label "blue": expected KEY=VALUE'),
])
def test_bad_values_are_named(shop, arguments, says):
    result = shop.broker("gc", *arguments)
    assert result.code == 2 and says in result.err, result


def test_where_nothing_has_run(place):
    result = place.broker("gc")
    assert result.code == 2 and "nothing has run here yet" in result.err, result
    result = place.broker("gc", "--yes")
    assert result.code == 0, result
    assert re.search(r"removed: 0 runs, 0 records, 0 files", result.err)


def test_a_large_run_wrote_down_what_it_needs(place):
    """Its result lists no tasks; expanded by another version they could have other ids."""
    count = 10001
    place.write("p.yaml", "version: 1\nname: %s\nsteps:\n  many: {kind: sleep, matrix: {i: {range: [0, %d]}}, "
                "params: {index: \"${matrix.i}\"}}\n" % ("many", count))
    place.write("q.yaml", "version: 1\nname: q\nsteps:\n  one: {kind: sleep, params: {index: -1}}\n")
    place.run("p.yaml")
    place.run("q.yaml")
    make_old(place)
    dropped = place.broker("gc", "--yes", "--json", "--keep", "0", "--older", "1000d")
    assert dropped.code == 0 and dropped.json["records_kept"] == count + 1, dropped
    assert place.run("p.yaml")["tasks"]["hit"] == count
    lists = [p for p in files(place) if p.stat().st_size == 32 * count]
    assert len(lists) == 1
    assert place.broker("fsck", "--bytes").code == 0
    lists[0].unlink()
    place.run("q.yaml", "--force")
    told = place.broker("gc", "--json")
    assert told.json["runs_untold"] == 2 and told.json["records"] == 0, told
    assert "no record goes while 2 kept runs" in place.broker("gc").err
    assert place.broker("fsck").code == 0  # nothing that somebody made is lost
    place.run("p.yaml")  # writes it down again
    assert place.broker("gc", "--json").json["runs_untold"] == 0
