"""The broker on a pseudo-terminal, as a person sees it."""
import fcntl
import os
import pty
import struct
import termios

import pytest

from conftest import BROKER


def on_terminal(place, *args, rows=24, columns=80, keys=(), **environment):
    """Runs the broker on a pseudo-terminal; returns all that it painted, and its exit code."""
    try:
        pid, terminal = pty.fork()
    except OSError as error:
        pytest.skip(f"no pseudo-terminal to be had here: {error}")
    if pid == 0:
        os.chdir(place.path)
        os.execve(BROKER, [BROKER, *args], place.environment(**{"TERM": "xterm", "NO_COLOR": "", **environment}))
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    painted, keys = b"", list(keys)
    while True:
        try:
            got = os.read(terminal, 65536)
        except OSError:
            break
        if not got:
            break
        painted += got
        if keys and keys[0][0] in painted:
            os.write(terminal, keys.pop(0)[1])
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    return painted.decode(), os.waitstatus_to_exitcode(status)
