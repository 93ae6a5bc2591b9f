"""Identities and the list of workers: made, shown, taken away; files that nobody else may read."""
import os
import re
import socket
import stat
import subprocess

import pytest

from conftest import WORKER

HEX = r"[0-9a-f]{64}"


def worker_key(place, *args, **environment):
    return subprocess.run([WORKER, "key", *args], cwd=place.path, capture_output=True, text=True, timeout=60,
                          env=place.environment(**environment))


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def test_init_makes_what_is_missing_and_nothing_else(place):
    first = place.broker("keys", "init", "--json").json
    assert re.fullmatch(HEX, first["public_key"]) and first["is_new"]
    keys = place.path / ".penstock/keys"
    assert mode(keys) == 0o700 and mode(keys / "broker") == 0o600
    before = (keys / "broker").read_text(), (keys / "workers").read_text()
    assert place.broker("keys", "add", "w").code == 0
    again = place.broker("keys", "init", "--json").json
    assert again == {**first, "is_new": False}
    assert (keys / "broker").read_text() == before[0]
    assert place.broker("keys", "init").out == first["public_key"] + "\n"
    assert [w["name"] for w in place.broker("keys", "list", "--json").json["workers"]] == ["w"]


def test_a_worker_is_added_listed_and_revoked(place):
    broker = place.broker("keys", "init").out.strip()
    added = place.broker("keys", "add", "gpu 7", "-o", "gpu.key")
    assert added.code == 0 and added.out == "" and f"--broker-key {broker}" in added.err
    assert mode(place.path / "gpu.key") == 0o600
    text = place.broker("keys", "add", "cpu").out  # to stdout: into a Secret
    assert re.fullmatch(rf"penstock identity 1\npublic-key {HEX}\nsecret-key {HEX}\n", text)
    listed = place.broker("keys", "list", "--json").json
    assert listed["public_key"] == broker
    assert {w["name"]: w["public_key"] in text for w in listed["workers"]} == {"gpu 7": False, "cpu": True}
    table = place.broker("keys", "list").out.splitlines()
    assert table[0].split() == ["worker", "public", "key"] and table[1].startswith("gpu 7")
    assert place.broker("keys", "revoke", "gpu 7").code == 0
    assert place.broker("keys", "revoke", listed["workers"][1]["public_key"]).code == 0
    assert place.broker("keys", "list", "--json").json["workers"] == []


def test_an_identity_that_was_made_elsewhere(place):
    place.broker("keys", "init")
    made = worker_key(place, "w.key")
    key = made.stdout.strip()
    assert made.returncode == 0 and f"broker keys add NAME --public-key {key}" in made.stderr
    assert mode(place.path / "w.key") == 0o600
    assert worker_key(place, "--json", PENSTOCK_KEY="w.key").stdout == f'{{"public_key": "{key}", "is_new": false}}\n'
    added = place.broker("keys", "add", "w", "--public-key", key, "--json").json
    assert added["public_key"] == key and added["key"] is None
    assert f"{key} w\n" in (place.path / ".penstock/keys/workers").read_text()


def test_keys_live_where_they_are_said_to(place):
    where = {"PENSTOCK_KEY": "secret/broker", "PENSTOCK_WORKERS_FILE": "config/workers"}
    key = place.broker("keys", "init", **where).out.strip()
    place.broker("keys", "add", "w", "-o", "w.key", **where)
    assert not (place.path / ".penstock").exists()
    flags = ["--key", "secret/broker", "--workers-file", "config/workers"]
    listed = place.broker("keys", "list", "--json", *flags).json
    assert listed["public_key"] == key and len(listed["workers"]) == 1


@pytest.mark.parametrize("args, code, words", [
    (["list"], 3, "make one with: broker keys init"),
    (["add", "w"], 3, "make one with: broker keys init"),
    (["revoke", "w"], 3, "make one with: broker keys init"),
    ([], 2, "expected init, add, list or revoke"),
    (["make"], 2, "expected init, add, list or revoke"),
    (["add"], 2, "expected broker keys add NAME"),
    (["init", "x"], 2, "expected broker keys init"),
    (["add", "a", "b"], 2, "too many arguments"),
])
def test_before_there_are_keys(place, args, code, words):
    result = place.broker("keys", *args)
    assert result.code == code and words in result.err and len(result.err.splitlines()) == 1, result
    assert not (place.path / ".penstock").exists()


@pytest.mark.parametrize("args, code, words", [
    (["add", "w"], 3, "a worker w is on the list already"),
    (["add", "x\ny"], 2, "in one line"),
    (["add", 65 * "x"], 2, "1 to 64 bytes"),
    (["add", "v", "-o", "w.key"], 3, "w.key: cannot create: File exists"),
    (["add", "v", "-o", "none/v.key"], 2, "none/v.key"),
    (["add", "v", "--public-key", "abc"], 2, "--public-key \"abc\": expected a public key of 64"),
    (["add", "v", "--public-key", 64 * "0"], 2, "no Ed25519 public key"),
    (["add", "v", "--public-key", 64 * "0", "-o", "v.key"], 2, "no secret to write"),
    (["add", "v", "--json"], 2, "-o FILE"),
    (["revoke", "nobody"], 2, "no worker and no key nobody"),
])
def test_what_can_not_be_done_changes_nothing(place, args, code, words):
    place.broker("keys", "init")
    place.broker("keys", "add", "w", "-o", "w.key")
    before = place.broker("keys", "list", "--json").out
    identity = (place.path / "w.key").read_text()
    result = place.broker("keys", *args)
    assert result.code == code and words in result.err and len(result.err.splitlines()) == 1, result
    assert place.broker("keys", "list", "--json").out == before and result.out == ""
    assert (place.path / "w.key").read_text() == identity and not (place.path / "v.key").exists()


def test_secrets_that_others_can_read_are_refused(place):
    place.broker("keys", "init")
    key = place.path / ".penstock/keys/broker"
    key.chmod(0o644)
    result = place.broker("keys", "list")
    assert result.code == 3 and "others can read" in result.err and f"chmod 600 {key.relative_to(place.path)}" in result.err
    worker_key(place, "w.key")
    (place.path / "w.key").chmod(0o640)
    result = worker_key(place, "w.key")
    assert result.returncode == 3 and "chmod 600 w.key" in result.stderr
    key.chmod(0o600)
    key.write_text(key.read_text().replace("identity 1", "identity 9"))
    result = place.broker("keys", "init")
    assert result.code == 4 and "not an identity" in result.err


def test_a_list_that_was_spoiled_by_hand_is_named_by_its_line(place):
    place.broker("keys", "init")
    (place.path / ".penstock/keys/workers").write_text("# mine\nanna\n")
    for args in [["list"], ["add", "w"], ["revoke", "anna"]]:
        result = place.broker("keys", *args)
        assert result.code == 2 and ".penstock/keys/workers:2: " in result.err and '"anna"' in result.err
    assert (place.path / ".penstock/keys/workers").read_text() == "# mine\nanna\n"


# ---- doctor finds it beforehand ----


def doctor(place, *args):
    result = place.broker("doctor", "--json", *args)
    rows = {row["check"]: row for row in result.json}
    assert (result.code == 0) == all(row["ok"] for row in rows.values())
    return rows


def test_doctor_asks_for_keys_where_others_could_join(place):
    assert doctor(place)["identity"]["ok"] and "workers" not in doctor(place)
    remote = doctor(place, "--listen", "tcp://0.0.0.0:*")
    assert not remote["identity"]["ok"] and "broker keys init" in remote["identity"]["mend"]
    assert not remote["workers"]["ok"] and remote["listen"]["ok"]
    assert doctor(place, "--listen", "tcp://127.0.0.1:*")["identity"]["ok"]
    assert not (place.path / ".penstock").exists()


def test_doctor_looks_at_keys(place):
    place.broker("keys", "init")
    rows = doctor(place, "--listen", "tcp://0.0.0.0:*")
    assert rows["identity"]["ok"] and not rows["workers"]["ok"] and "broker keys add" in rows["workers"]["mend"]
    place.broker("keys", "add", "w")
    rows = doctor(place)
    assert rows["workers"]["ok"] and rows["workers"]["found"].startswith("1 may join")
    (place.path / ".penstock/keys/broker").chmod(0o644)
    rows = doctor(place)
    assert not rows["identity"]["ok"] and "others can read" in rows["identity"]["found"]
    (place.path / ".penstock/keys/workers").write_text(64 * "0" + " w\n")
    rows = doctor(place)
    assert not rows["workers"]["ok"] and "no public key" in rows["workers"]["found"]


def test_keys_that_were_made_to_sign_with_are_no_fault(place):
    """An attestation needs an identity; whom to let in is asked where somebody could come."""
    place.broker("keys", "init")
    rows = doctor(place)
    assert rows["workers"]["ok"] and rows["workers"]["found"].startswith("0 may join")
    assert not doctor(place, "--workers-file", ".penstock/keys/workers")["workers"]["ok"]
    (place.path / ".penstock/keys/workers").unlink()
    assert "workers" not in doctor(place)


def test_doctor_finds_a_port_in_use_and_an_address_of_somebody_else(place):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        row = doctor(place, "--listen", f"tcp://127.0.0.1:{taken.getsockname()[1]}")["listen"]
        assert not row["ok"] and "choose another port with --listen" in row["mend"]
        result = place.broker("run", place.write("p.yaml", "version: 1\nname: x\nsteps:\n  a: {kind: sleep}\n"),
                              "--listen", f"tcp://127.0.0.1:{taken.getsockname()[1]}")
        assert result.code == 3 and len(result.err.splitlines()) == 1 and "in use" in result.err
    row = doctor(place, "--listen", "tcp://192.0.2.1:7000")["listen"]
    assert not row["ok"] and "an address of this machine" in row["mend"]


def test_doctor_notices_a_clock_that_went_back(place):
    place.broker("keys", "init")
    assert doctor(place)["clock"]["ok"]
    later = os.stat(place.path).st_mtime + 1200
    os.utime(place.path / ".penstock/keys/broker", (later, later))
    row = doctor(place)["clock"]
    assert not row["ok"] and "of the future" in row["found"] and "set the clock" in row["mend"]
