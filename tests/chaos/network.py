"""Hosts on one machine: network namespaces on a bridge, each with an address of its own, to be cut off one from the other.

Needs root (or CAP_NET_ADMIN) and iproute2; `why_not()` says what is missing."""
import contextlib
import os
import shutil
import subprocess


def ip(*words):
    subprocess.run(["ip", *map(str, words)], check=True, capture_output=True, text=True)


def why_not():
    """None if namespaces can be made here, else what is missing."""
    if not shutil.which("ip"):
        return "no `ip` (iproute2)"
    name = f"pk{os.getpid()}probe"
    try:
        ip("netns", "add", name)
        ip("netns", "del", name)
    except subprocess.CalledProcessError as error:
        return f"no network namespaces: {error.stderr.strip()}"
    return None


class Network:
    """10.77.N.1 is this side, where broker and servers listen; hosts are .11, .12, …"""

    def __init__(self, hosts):
        self.tag = f"pk{os.getpid()}"
        self.subnet = self._free_subnet()
        self.address = f"{self.subnet}.1"
        self.hosts = {name: f"{self.subnet}.{11 + i}" for i, name in enumerate(hosts)}
        self._undo = contextlib.ExitStack()

    @staticmethod
    def _free_subnet():
        taken = subprocess.run(["ip", "-4", "addr"], capture_output=True, text=True).stdout
        return next(f"10.77.{n}" for n in range(os.getpid() % 200, 255) if f" 10.77.{n}." not in taken)

    def namespace(self, host):
        return f"{self.tag}{host}"

    def __enter__(self):
        with contextlib.ExitStack() as undo:
            bridge = self.tag + "b"
            ip("link", "add", bridge, "type", "bridge")
            undo.callback(ip, "link", "del", bridge)
            ip("addr", "add", f"{self.address}/24", "dev", bridge)
            ip("link", "set", bridge, "up")
            for host, address in self.hosts.items():
                space, here, there = self.namespace(host), f"{self.tag}{host}h", f"{self.tag}{host}e"
                ip("netns", "add", space)
                undo.callback(ip, "netns", "del", space)
                ip("link", "add", here, "type", "veth", "peer", "name", there)
                ip("link", "set", there, "netns", space)
                ip("link", "set", here, "master", bridge, "up")
                ip("-n", space, "addr", "add", f"{address}/24", "dev", there)
                ip("-n", space, "link", "set", there, "up")
                ip("-n", space, "link", "set", "lo", "up")
            self._undo = undo.pop_all()
        return self

    def __exit__(self, *error):
        self._undo.close()

    def inside(self, host):
        """The words before a command line that runs on the host."""
        return ["ip", "netns", "exec", self.namespace(host)]

    # ---- faults ----

    def cut(self, host):
        """Nothing passes, either way; connections stay open."""
        ip("link", "set", f"{self.tag}{host}h", "down")

    def mend(self, host):
        ip("link", "set", f"{self.tag}{host}h", "up")

    def mute(self, host):
        """One way: what the host sends is lost on its way here, what is sent to it arrives."""
        ip("-n", self.namespace(host), "route", "add", "blackhole", f"{self.address}/32")

    def unmute(self, host):
        ip("-n", self.namespace(host), "route", "del", "blackhole", f"{self.address}/32")

    def deafen(self, host):
        """The other way: nothing that is sent to the host arrives."""
        ip("route", "add", "blackhole", f"{self.hosts[host]}/32")
        self._undo.callback(lambda: subprocess.run(["ip", "route", "del", "blackhole", f"{self.hosts[host]}/32"],
                                                   capture_output=True))

    def undeafen(self, host):
        ip("route", "del", "blackhole", f"{self.hosts[host]}/32")
