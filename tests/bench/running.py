"""Running programs and keeping what they took."""
import collections
import contextlib
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FIGURE = re.compile(r"^(\S.*?)\s+(-?\d[\d.]*)(?:\s+(\S+))?$")
LOG_LINE = re.compile(r"^\S+Z (?:debug|info|warn|error) (\w+\.\w+) (.*)$")
WATCH_S = 0.02
LIMIT_S = 600  # nothing here takes so long
ENDING_S = 20  # what a program in the background may take to end
MAKES_OWN = {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}  # of the make that started us; the peer is a make of its own


class Failure(Exception):
    """A program did not do what was asked of it."""


def find_figures(text):
    """Lines of "name value unit", as the C programs print them; of several with one name, the first."""
    matches = [match for match in map(FIGURE.match, map(str.rstrip, text.splitlines())) if match]
    return {match[1]: float(match[2]) for match in reversed(matches)}


class Ran:
    def __init__(self, wall_s, peak_bytes, own_bytes, out, err):
        self.wall_s, self.peak_bytes, self.own_bytes, self.out, self.err = wall_s, peak_bytes, own_bytes, out, err

    @property
    def json(self):
        return json.loads(self.out)

    @property
    def figures(self):
        return find_figures(self.out)

    @property
    def events(self):
        """The log's lines by their event: its numbers. Of several the last."""
        lines = [match for match in map(LOG_LINE.match, self.err.splitlines()) if match]
        return {match[1]: {key: int(value) for key, value in re.findall(r"(\w+)=(-?\d+)(?=\s|$)", match[2])}
                for match in lines}


def anonymous_bytes(pid):
    """Memory that is the process's own: no page of a file, such as the state's index."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"^RssAnon:\s+(\d+) kB", status, re.MULTILINE)
    return int(found[1]) << 10 if found else 0


def wait_for_end(pid, limit_s):
    """Its status and what it used. It does not outlive the limit, nor us if we are told to end."""
    limit = threading.Timer(limit_s, os.kill, (pid, signal.SIGKILL))
    limit.start()
    try:
        return os.wait4(pid, 0)[1:]
    except BaseException:
        os.kill(pid, signal.SIGTERM)
        os.wait4(pid, 0)
        raise
    finally:
        limit.cancel()


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

    def leave_out(self, peer):
        """Says so, once."""
        self.once(f"without {peer}", lambda _: print(f"left out: {peer}: not installed", flush=True) or True)

    def run(self, command, folder, watch=False, limit_s=LIMIT_S, **environment):
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
        pid = os.posix_spawn(words[0], words, {**self.environment, **environment}, file_actions=actions)
        watching = Watch(pid) if watch else None
        if watching:
            watching.start()
        status, usage = wait_for_end(pid, limit_s)
        wall_s = time.perf_counter() - begun
        own_bytes = watching.stop() if watching else 0
        os.chdir(self.folder)
        if status:
            ending = os.waitstatus_to_exitcode(status)
            raise Failure(f"{' '.join(words)}: ended with {ending}: {err.read_text()[-500:].strip()}")
        return Ran(wall_s, usage.ru_maxrss << 10, own_bytes, out.read_text(), err.read_text())

    @contextlib.contextmanager
    def background(self, command, folder, **environment):
        """Runs beside what is in the `with`, and is stopped after it, however that ends. Gives the process, whose
        `said()` is what it printed so far."""
        name = self.folder / f"background-{next(self.numbers)}"
        with open(name, "w+b") as out:
            process = subprocess.Popen([str(word) for word in command], cwd=folder,
                                       env={**self.environment, **environment}, stdin=subprocess.DEVNULL, stdout=out,
                                       stderr=out)
            process.said = name.read_text
            try:
                yield process
            finally:
                process.terminate()
                try:
                    process.wait(ENDING_S)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    def run_pipeline(self, pipeline, folder, watch=False, log="warn", options=("-j2",), limit_s=LIMIT_S, **expected):
        """`broker run --json` on two slots; `expected` are counts of its `tasks`."""
        ran = self.run([self.broker, "run", pipeline, "--json", "-q", *options], folder, watch, limit_s,
                       PENSTOCK_LOG=log)
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
