"""A second host: a network namespace of its own, joined to this one by a pair of virtual cables (Linux, root)."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

# Several may be there at once, as tests that run side by side make them.
NETWORK = f"10.213.{os.getpid() % 254 + 1}"


@dataclass(frozen=True)
class Hosts:
    """`address`: under which all hosts reach the servers. `elsewhere`: a command in front runs on the second host."""

    address: str
    elsewhere: tuple[str, ...] = ()
    left_out: str = ""


@contextmanager
def two_hosts() -> Iterator[Hosts]:
    """Just this host, saying why, where a second one is not allowed."""
    name, program = f"soak-{os.getpid()}", shutil.which("ip")
    reason = _make(name) if program else "the command ip (Debian's iproute2) is missing"
    if reason or program is None:
        yield Hosts("127.0.0.1", left_out=reason)
        return
    try:
        yield Hosts(f"{NETWORK}.1", (program, "netns", "exec", name))
    finally:
        _ip("netns", "delete", name)  # its end of the cable goes with it, and so does ours


def _make(name: str) -> str:
    """Why it could not be made; blank when it was."""
    here, there = f"sk{os.getpid()}a", f"sk{os.getpid()}b"
    if refused := _ip("netns", "add", name):
        return refused
    steps = (
        ("link", "add", here, "type", "veth", "peer", "name", there, "netns", name),
        ("address", "add", f"{NETWORK}.1/30", "dev", here),
        ("link", "set", here, "up"),
        ("-n", name, "address", "add", f"{NETWORK}.2/30", "dev", there),
        ("-n", name, "link", "set", there, "up"),
        ("-n", name, "link", "set", "lo", "up"),
    )
    for step in steps:
        if refused := _ip(*step):
            _ip("netns", "delete", name)
            return refused
    return ""


def _ip(*words: str) -> str:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else (done.stderr.strip() or f"ip {' '.join(words)} failed")
