"""What other programs need to do the same as Penstock does: their files, made once. Each function fills a folder and
returns the command to run there."""
import pathlib
import shutil
import sys

TRUE = shutil.which("true")  # of one word it loads the locale to compare it with --help; of two it does nothing


NAMES = {"make": "GNU make", "ninja": "ninja", "parallel": "GNU parallel"}


def find(program):
    """On PATH, or beside this Python (as PyPI's ninja); None if it is nowhere."""
    return shutil.which(program) or shutil.which(program, path=pathlib.Path(sys.executable).parent)


def write_makefile(folder, lines):
    folder.mkdir()
    (folder / "Makefile").write_text("MAKEFLAGS += -rR\n" + "\n".join(lines) + "\n")


def make_up_to_date(folder, count):
    """GNU make with nothing to do: every target is a file that is there."""
    targets = " ".join(f"t{i}" for i in range(count))
    write_makefile(folder, [f"all: {targets}", f"{targets}:", "\t@touch $@", ".PHONY: all"])
    for i in range(count):
        (folder / f"t{i}").touch()
    return ["make", "-s"]


def make_nothing(folder, count):
    """GNU make with recipes that need no process: its own cost of keeping order."""
    targets = " ".join(f"t{i}" for i in range(count))
    write_makefile(folder, [f".PHONY: all {targets}", f"all: {targets}"] + [f"t{i}:\n\t@:" for i in range(count)])
    return ["make", "-s"]


def make_processes(folder, count):
    targets = " ".join(f"t{i}" for i in range(count))
    write_makefile(folder, [f".PHONY: all {targets}", f"all: {targets}", f"{targets}:", f"\t@{TRUE} n $@"])
    return ["make", "-s", "-j2"]


def make_chain(folder, count):
    links = [f"t{i}: {f't{i - 1}' if i else ''}\n\t@{TRUE} n $@" for i in range(count)]
    write_makefile(folder, [".PHONY: " + " ".join(f"t{i}" for i in range(count)), f"all: t{count - 1}", *links])
    return ["make", "-s", "-j2", "all"]


def write_ninja(folder, command, edges, **rule):
    folder.mkdir()
    settings = "".join(f"  {key} = {value}\n" for key, value in rule.items())
    (folder / "build.ninja").write_text(f"rule r\n  command = {command}\n{settings}" + "".join(edges))
    return [find("ninja"), "--quiet", "-j2"]


def ninja_up_to_date(folder, count):
    """ninja with nothing to do. `generator`: an output without an entry in ninja's log is not made again."""
    command = write_ninja(folder, "touch $out", [f"build t{i}: r\n" for i in range(count)], generator=1)
    for i in range(count):
        (folder / f"t{i}").touch()
    return command


def ninja_processes(folder, count):
    return write_ninja(folder, f"{TRUE} n $out", [f"build t{i}: r\n" for i in range(count)])


def ninja_chain(folder, count):
    edges = [f"build t{i}: r {f't{i - 1}' if i else ''}\n" for i in range(count)]
    return write_ninja(folder, f"{TRUE} n $out", edges)


def parallel_processes(folder, count):
    """It keeps a few files at home; here that is the folder."""
    folder.mkdir()
    (folder / "numbers").write_text("".join(f"{i}\n" for i in range(count)))
    return ["env", f"PARALLEL_HOME={folder}", "parallel", "--will-cite", "-j2", "-a", "numbers", TRUE, "n"]
