"""fsck: what is missing or corrupt is found and named; --repair and a rerun heal it."""
import os
import stat

import pytest

from conftest import output_ids

PIPELINE = """
version: 1
name: p
sources: {raw: raw.txt}
steps:
  copy:
    kind: exec
    matrix: {i: [1, 2]}
    inputs: {raw: sources.raw}
    outputs: {out: out.txt}
    params: {command: "echo copied ${matrix.i}; cat ${inputs.raw} > out.txt; echo ${matrix.i} >> out.txt"}
  pack:
    kind: exec
    inputs: {from: copy.out}
    outputs: {folder: folder}
    params: {command: "mkdir folder; cat ${inputs.from}/* > folder/all; echo first > folder/first"}
"""


@pytest.fixture
def shop(place):
    place.write("raw.txt", "one\n")
    place.write("p.yaml", PIPELINE)
    place.first = place.run()
    assert place.broker("fsck", "--bytes").code == 0
    return place


def artifact(place, ref):
    return place.broker("get", ref, "--json").json


def blob_path(place, digits):
    return place.path / ".penstock/store/blobs" / digits[:2] / digits[2:]


def outputs(place):
    return output_ids(place.first)


def flip(path):
    os.chmod(path, stat.S_IRUSR | stat.S_IWUSR)
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes(content)


def heal(place, *options):
    """Repairs, does what it says, and expects all to be as it was."""
    result = place.broker("fsck", *options, "--repair", "--json")
    assert result.code == 4, result
    again = result.json["repair"]["again"]
    assert again and all(command.startswith("broker run p.yaml --only ") for command in again)
    for command in again:
        assert place.broker(*command.split()[1:]).code == 0
    assert place.broker("fsck", "--bytes").code == 0
    assert outputs(place) == output_ids(place.run())
    for name, made in outputs(place).items():
        for output in made:
            place.export(f"{name}.{output}", f"healed-{name}-{output}")
    return result.json


def test_a_deleted_blob(shop):
    lost = outputs(shop)["copy[i=1]"]["out"]
    blob_path(shop, lost).unlink()
    result = shop.broker("fsck")
    assert result.code == 4, result
    assert f"copy[i=1]  out {lost[:12]}  missing  {shop.first['run']}" in result.out
    assert "1 tasks have to run again" in result.err and "broker fsck --repair" in result.err
    told = heal(shop)
    assert told["repair"]["removed"] == 1 and told["repair"]["put_aside"] == 0
    assert told["repair"]["again"] == ["broker run p.yaml --only copy"]


def test_a_flipped_byte(shop):
    corrupt = outputs(shop)["copy[i=2]"]["out"]
    flip(blob_path(shop, corrupt))
    assert shop.broker("fsck").code == 0  # its size is right
    result = shop.broker("fsck", "--bytes")
    assert result.code == 4 and f"copy[i=2]  out {corrupt[:12]}  corrupt" in result.out, result
    assert blob_path(shop, corrupt).exists()  # it only looked
    told = heal(shop, "--bytes")
    assert told["repair"]["put_aside"] == 1
    assert (shop.path / ".penstock/store/quarantine" / corrupt).exists()


def test_a_missing_file_of_a_folder(shop):
    folder = shop.export("pack.folder", "folder")
    assert (folder / "first").read_text() == "first\n"
    first = next(p for p in (shop.path / ".penstock/store/blobs").rglob("*")
                 if p.is_file() and p.read_bytes() == b"first\n")
    first.unlink()
    result = shop.broker("fsck", "--json")
    assert result.code == 4
    damage, = result.json["tasks"]
    assert (damage["name"], damage["output"], damage["fault"]) == ("pack", "folder", "missing")
    heal(shop)


def test_a_damaged_list_of_files(shop):
    tree = outputs(shop)["pack"]["folder"]
    flip(shop.path / ".penstock/store/trees" / tree[:2] / tree[2:])
    assert shop.broker("fsck").code == 4
    heal(shop)


def test_a_source_is_put_there_again_by_a_run(shop):
    raw = next(p for p in (shop.path / ".penstock/store/blobs").rglob("*")
               if p.is_file() and p.read_bytes() == b"one\n")
    raw.unlink()
    result = shop.broker("fsck")
    assert result.code == 4 and "source raw (" in result.out and "raw.txt" in result.out, result
    shop.run()
    assert shop.broker("fsck").code == 0


def test_damage_of_several_kinds_at_once(shop):
    blob_path(shop, outputs(shop)["copy[i=1]"]["out"]).unlink()
    flip(blob_path(shop, outputs(shop)["copy[i=2]"]["out"]))
    tree = outputs(shop)["pack"]["folder"]
    (shop.path / ".penstock/store/trees" / tree[:2] / tree[2:]).unlink()
    result = shop.broker("fsck", "--bytes", "--json")
    assert result.json["tasks_damaged"] == 3
    heal(shop, "--bytes")


def test_it_may_look_beside_work(shop):
    shop.write("slow.yaml", "version: 1\nname: slow\nsteps:\n  wait: {kind: sleep, params: {seconds: 60}}\n")
    process = shop.start("run", "slow.yaml")
    try:
        assert shop.broker("fsck", "--bytes").code == 0
    finally:
        process.kill()
        process.wait()


def test_signatures_are_checked_where_asked(shop):
    result = shop.broker("fsck", "--signatures", "--json")
    document = result.json
    assert result.code == (0 if document["clean"] else 4)
    assert document["records_damaged_count"] == len(document["records_damaged"])
    # Every record is looked at: the journal's frames are signed by the local worker, or none is.
    assert document["records_damaged_count"] in (0, document["records"])


def test_where_nothing_has_run(place):
    result = place.broker("fsck")
    assert result.code == 2 and "nothing has run here yet" in result.err, result
