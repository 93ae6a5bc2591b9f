"""The Makefile's promises that are not tests themselves."""
import subprocess

from conftest import BIN, ROOT


def make(*args):
    return subprocess.run(["make", "-s", "-C", ROOT, f"B={BIN}", *args], capture_output=True, text=True, timeout=300)


def test_help_lists_every_target():
    out = make("help").stdout
    for target in ["iris", "test", "unit", "system", "bench", "tidy", "install"]:
        assert f"  {target} " in out


def test_install_puts_both_programs_where_they_find_each_other(place):
    done = make("install", f"DESTDIR={place.path}/root", "PREFIX=/usr")
    assert done.returncode == 0, done.stderr
    broker = place.path / "root/usr/bin/broker"
    place.write("p.yaml", "version: 1\nname: p\nsteps: {a: {kind: sleep}}\n")
    ran = subprocess.run([broker, "run", "p.yaml"], cwd=place.path, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
