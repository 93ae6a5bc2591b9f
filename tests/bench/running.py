"""Running programs and keeping what they took."""
import collections
import itertools
import json
import os
import re
import shutil
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FIGURE = re.compile(r"^(\S.*?)\s+(-?\d[\d.]*)(?:\s+(\S+))?$")
WATCH_S = 0.02
MAKES_OWN = {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}  # of the make that started us; the peer is a make of its own


class Failure(Exception):
    """A program did not do what was asked of it."""


class Ran:
    def __init__(self, wall_s, peak_bytes, own_bytes, out):
        self.wall_s, self.peak_bytes, self.own_bytes, self.out = wall_s, peak_bytes, own_bytes, out

    @property
    def json(self):
        return json.loads(self.out)

    @property
    def figures(self):
        """Lines of "name value unit", as the C programs print them; of several with one name, the first."""
        matches = [match for match in map(FIGURE.match, self.out.splitlines()) if match]
        return {match[1]: float(match[2]) for match in reversed(matches)}


def anonymous_bytes(pid):
    """Memory that is the process's own: no page of a file, such as the state's index."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"^RssAnon:\s+(\d+) kB", status, re.MULTILINE)
    return int(found[1]) << 10 if found else 0


class Watch(threading.Thread):
    """The most own memory a process ever had, as seen 50 times a second."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.most, self.is_over = pid, 0, threading.Event()

    def run(self):
        while not self.is_over.wait(WATCH_S):
            self.most = max(self.most, anonymous_bytes(self.pid))

    def stop(self):
        self.is_over.set()
        self.join()
        return self.most


class Bench:
    def __init__(self, bin_folder, bench_folder, folder):
        self.broker, self.worker = bin_folder / "broker", bin_folder / "worker"
        self.programs, self.folder = bench_folder, folder
        self.samples = collections.defaultdict(list)
        self.made = {}
        self.numbers = itertools.count()
        self.environment = {name: value for name, value in os.environ.items()
                            if not name.startswith("PENSTOCK_") and name not in MAKES_OWN}

    def keep(self, name, value):
        self.samples[name].append(value)

    def fresh(self):
        folder = self.folder / f"fresh-{next(self.numbers)}"
        folder.mkdir()
        return folder

    def once(self, name, make):
        """What `make(path)` returned when it was first asked for: inputs and peers' files are made once."""
        if name not in self.made:
            self.made[name] = make(self.folder / name)
        return self.made[name]

    def run(self, command, folder, watch=False):
        """Starts, waits, and takes the time of just that. What is still to be written to disk is written before."""
        os.sync()
        out, err = self.folder / "stdout", self.folder / "stderr"
        actions = [(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0)] + [
            (os.POSIX_SPAWN_OPEN, fd, str(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            for fd, path in ((1, out), (2, err))]
        words = [str(word) for word in command]
        words[0] = shutil.which(words[0]) or words[0]
        os.chdir(folder)
        begun = time.perf_counter()
        pid = os.posix_spawn(words[0], words, self.environment, file_actions=actions)
        watching = Watch(pid) if watch else None
        if watching:
            watching.start()
        _, status, usage = os.wait4(pid, 0)
        wall_s = time.perf_counter() - begun
        own_bytes = watching.stop() if watching else 0
        os.chdir(self.folder)
        if status:
            ending = os.waitstatus_to_exitcode(status)
            raise Failure(f"{' '.join(words)}: ended with {ending}: {err.read_text()[-500:].strip()}")
        return Ran(wall_s, usage.ru_maxrss << 10, own_bytes, out.read_text())

    def run_pipeline(self, pipeline, folder, watch=False, **expected):
        """`broker run --json` on two slots; `expected` are counts of its `tasks`."""
        ran = self.run([self.broker, "run", pipeline, "--json", "-q", "-j2"], folder, watch)
        tasks = ran.json["tasks"]
        wrong = {name: tasks[name] for name in expected if tasks[name] != expected[name]}
        if wrong:
            raise Failure(f"{pipeline}: expected {expected}, but {wrong}")
        return ran

    def run_figures(self, program, *arguments):
        """A C program of this folder: its figures become samples "program: name"."""
        ran = self.run([self.programs / program, *arguments], self.folder)
        for name, value in ran.figures.items():
            self.keep(f"{program}: {name}", value)
        return ran
