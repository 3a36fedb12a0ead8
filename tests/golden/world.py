"""All that the golden tests take from the package under test: if a module moves, only this changes.

`tests.support` has imports of its own.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

from shipper import __version__
from shipper.clock import Clock
from shipper.config.load import read_config
from shipper.daemon import Daemon
from shipper.documents.processors.machine import Machine
from shipper.files.filesystem import FileFacts, FileSystem, Inode
from shipper.logs import Log

VERSION = __version__
"""It is in documents, metrics and headers, and differs from release to release."""

ENVIRONMENT = {"NODE_NAME": "node-1", "TEAM": "platform"}

DEVICE = 64769
FIRST_INODE = 1001
BORN = 1_795_000_000_000_000_000
"""When all files came into being, in nanoseconds: before anything that a scenario says."""


class FixedFiles(FileSystem):
    """The real files, with numbers of our own: inodes count up in the order of their first look.

    A descriptor of each file is held, so that the kernel gives no inode to a second file.
    """

    def __init__(self) -> None:
        super().__init__()
        self.scans: Counter[str] = Counter()
        """How often the files that match each glob were looked for."""
        self._numbers: dict[Inode, int] = {}
        self._held: list[int] = []

    def release(self) -> None:
        """Close what is held."""
        for descriptor in self._held:
            os.close(descriptor)
        self._held.clear()

    def matches(self, pattern: str) -> list[str]:
        self.scans[pattern] += 1
        return super().matches(pattern)

    def inode_of(self, path: str) -> Inode | None:
        found = super().inode_of(path)
        if found is None:
            return None
        return self._fixed(found, lambda: os.open(path, os.O_PATH | os.O_CLOEXEC))

    def number_of(self, path: Path) -> int:
        """Return the inode that the daemon sees at a path."""
        found = self.inode_of(str(path))
        assert found is not None
        return found.number

    def facts(self, descriptor: int) -> FileFacts:
        found = super().facts(descriptor)
        return replace(found, inode=self._fixed(found.inode, lambda: os.dup(descriptor)))

    def born(self, descriptor: int) -> int | None:
        return BORN

    def list_private(self, directory: int) -> dict[str, Inode]:
        found = super().list_private(directory)
        return {name: self._fixed_in(directory, name, inode) for name, inode in found.items()}

    async def read(
        self, descriptor: int, device: int, buffer: bytearray | memoryview, offset: int
    ) -> int:
        # At once, also where a page is not in the cache: the order of reads is always the same.
        return os.preadv(descriptor, [buffer], offset)

    def _fixed_in(self, directory: int, name: str, found: Inode) -> Inode:
        flags = os.O_PATH | os.O_CLOEXEC
        return self._fixed(found, lambda: os.open(name, flags, dir_fd=directory))

    def _fixed(self, found: Inode, opened: Callable[[], int]) -> Inode:
        number = self._numbers.get(found)
        if number is None:
            self._held.append(opened())
            number = self._numbers[found] = FIRST_INODE + len(self._numbers)
        return Inode(DEVICE, number)


def _host(netinfo: bool) -> dict[str, Any]:
    addresses = {"ip": ["192.0.2.7"], "mac": ["02-00-00-00-00-07"]} if netinfo else {}
    system = {"type": "linux", "kernel": "6.1.0", "platform": "debian", "family": "debian"}
    return {
        "name": "machine-1",
        "hostname": "machine-1",
        "architecture": "x86_64",
        "containerized": False,
        "id": "0123456789abcdef0123456789abcdef",
        "os": system,
        **addresses,
    }


def daemon(config: Path, *, clock: Clock, files: FixedFiles, log: Log) -> Coroutine[Any, Any, None]:
    """Return a run of the real daemon with that configuration, not begun."""
    reading = read_config([config], ENVIRONMENT)
    return Daemon(
        reading.config,
        clock=clock,
        filesystem=files,
        machine=Machine(ENVIRONMENT, _host),
        rng=random.Random(0),
        log=log,
    ).run()
