"""A worker as a process of its own: `python -m tests.limits.worker INSTANCE CONNECTIONS BYTES_PER_SECOND ...`.

`hold ADDRESS`: keeps open to the address as many connections as it may, until its input ends.
`spend SIZE`: spends so many bytes as fast as it may.
"""

import os
import socket
import sys
import threading

os.environ["DJANGO_SETTINGS_MODULE"] = "tcrconsole.settings"

from sync.limits import Granted, Limit, connections, held
from sync.oci.guest import PACED_BLOCK

connections.LEASE_SECONDS = 2
ADDRESS = tuple[str, int]


def hold(granted: Granted, address: ADDRESS) -> None:
    room, over, ended = granted.room, threading.Event(), threading.Event()
    assert room is not None
    room.on_change(over.set)

    def listen() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=listen, daemon=True).start()
    opened: list[socket.socket] = []
    while not ended.is_set():
        while room.may_open():
            opened.append(socket.create_connection(address))
        while room.is_over():
            opened.pop().close()
            room.closed()
        over.wait(0.05)
        over.clear()
    while opened:
        opened.pop().close()
        room.closed()


def spend(granted: Granted, size: int) -> None:
    for _ in range(size // PACED_BLOCK):
        threading.Event().wait(granted.spend(PACED_BLOCK))


def main() -> None:
    instance, at_most, rate, action, value = sys.argv[1:]
    with held([Limit(int(instance), int(at_most), int(rate))], lambda: False, 60) as (granted,):
        print("begun", flush=True)
        if action == "hold":
            hold(granted, ("127.0.0.1", int(value)))
        else:
            sys.stdin.readline()
            spend(granted, int(value))


if __name__ == "__main__":
    main()
