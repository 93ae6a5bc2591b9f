"""What a task made is on its worker already: the next one there reads it without the store."""
import re

import pytest

STEPS = """
version: 1
name: local
steps:
  make:
    kind: exec
    outputs: {blob: blob, tree: tree}
    params:
      command: |
        head -c SIZE /dev/zero > blob
        mkdir -p tree/sub/deep
        head -c SIZE /dev/zero > tree/sub/deep/data
        printf '#!/bin/sh\\necho ran\\n' > tree/tool
        chmod 700 tree/tool
  wipe:
    kind: exec
    inputs: {after: make.blob}
    outputs: {sign: sign}
    params: {command: "find STORE/blobs STORE/trees -type f -delete; ls ${inputs.after} > sign"}
  use:
    kind: exec
    inputs: {blob: make.blob, tree: {from: make.tree, path: tree}, after: wipe.sign}
    outputs: {out: out}
    params: {command: "wc -c < ${inputs.blob} > out; wc -c < tree/sub/deep/data >> out; tree/tool >> out"}
"""


@pytest.mark.parametrize("size", [1000, 3_000_000], ids=["small", "large"])
def test_the_next_task_does_not_touch_the_store(place, size):
    place.write("p.yaml", STEPS.replace("SIZE", str(size)).replace("STORE", str(place.path / ".penstock/store")))
    document = place.run(PENSTOCK_WRITABLE=str(place.path))
    assert [entry["attempts"] for entry in document["steps"]] == [1, 1, 1]
    assert place.export("use.out", "out").read_text() == f"{size}\n{size}\nran\n"


def test_what_another_worker_made_is_fetched(place):
    """The same with no cache to speak of: the store is needed, its lack is noticed and mended."""
    place.write("p.yaml", STEPS.replace("SIZE", "1000").replace("STORE", str(place.path / ".penstock/store")))
    document = place.run("p.yaml", "--slots", 1, PENSTOCK_CACHE_SIZE="1", PENSTOCK_WRITABLE=str(place.path))
    attempts = {entry["step"]: entry["attempts"] for entry in document["steps"]}
    assert attempts["make"] == 2 and attempts["use"] >= 2
    assert place.export("use.out", "out").read_text() == "1000\n1000\nran\n"


def test_the_cache_keeps_its_bound(place):
    place.write("p.yaml", """
version: 1
name: many
steps:
  make:
    kind: exec
    matrix: {i: {range: [0, 20]}}
    outputs: {blob: blob}
    params: {command: "head -c 100000 /dev/zero > blob; echo ${matrix.i} >> blob"}
""")
    place.run("p.yaml", PENSTOCK_CACHE_SIZE="500000")
    kept = [path for path in (place.path / ".penstock/cache").rglob("*")
            if path.is_file() and re.fullmatch("[0-9a-f]{64}", path.name)]
    assert 0 < sum(path.stat().st_size for path in kept) <= 500_000
    assert all(path.stat().st_nlink == 1 for path in kept), "a file of the store's"
