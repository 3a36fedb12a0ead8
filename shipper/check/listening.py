"""Where a process listens, as the kernel says in /proc."""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from shipper.check.locks import PROC

_SOCKET = re.compile(r"socket:\[([0-9]+)\]")

#: TCP_LISTEN of the kernel's net/tcp_states.h.
_LISTENING = "0A"


def ports_of(process: int, proc: Path = PROC) -> list[int]:
    """The TCP ports at which a process listens, ascending; none if that cannot be seen (the process
    is another user's, say)."""
    directory = proc / str(process)
    try:
        sockets = set(_sockets(directory / "fd"))
        # Of the process, whose network need not be ours.
        tables = [(directory / "net" / name).read_text() for name in ("tcp", "tcp6")]
    except OSError:
        return []
    ports = set()
    for line in (line for table in tables for line in table.splitlines()[1:]):
        #  0: 0100007F:2507 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 INODE …
        fields = line.split()
        if len(fields) > 9 and fields[3] == _LISTENING and fields[9] in sockets:
            ports.add(int(fields[1].rpartition(":")[2], 16))
    return sorted(ports)


def _sockets(descriptors: Path) -> Iterator[str]:
    """The inodes of the sockets that are open."""
    for name in os.listdir(descriptors):
        with contextlib.suppress(FileNotFoundError):  # It was closed meanwhile.
            if found := _SOCKET.fullmatch(os.readlink(descriptors / name)):
                yield found[1]
