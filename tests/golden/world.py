"""All that the golden tests take from the package under test: if a module moves, only this changes.

`tests.support` has imports of its own.
"""

from __future__ import annotations

import os
import random
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec, TypeVar
from unittest import mock

from msgspec.structs import replace

from shipper import __version__, stages
from shipper import daemon as daemon_module
from shipper.clock import Clock
from shipper.config.load import read_config
from shipper.daemon import Daemon
from shipper.documents.processors.machine import Machine
from shipper.files import tracker
from shipper.files.commits import RegistryThread
from shipper.files.discovery import Scan
from shipper.files.facts import FileFacts, Inode, inode_in
from shipper.files.filesystem import FileSystem
from shipper.files.found import Found
from shipper.files.schedule import WalkSchedule
from shipper.files.tracker import FileTracker
from shipper.files.watch import Watch
from shipper.logs import Log
from shipper.pipeline import inputs

_P = ParamSpec("_P")
_T = TypeVar("_T")

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
        self.scans: Counter[int] = Counter()
        """How often each input's directories were scanned, or begun to be, in this life."""
        self._numbers: dict[Inode, int] = {}
        self._held: list[int] = []

    def release(self) -> None:
        """Close what is held."""
        for descriptor in self._held:
            os.close(descriptor)
        self._held.clear()

    def list_directory(self, path: str) -> Iterator[os.DirEntry[str]]:
        yield from sorted(super().list_directory(path), key=lambda entry: entry.name)

    def status(self, path: str) -> os.stat_result:
        found = super().status(path)
        if not stat.S_ISREG(found.st_mode):
            return found
        inode = self._fixed(inode_in(found), lambda: os.open(path, os.O_PATH | os.O_CLOEXEC))
        numbers = (found.st_mode, inode.number, inode.device, *found[3:])
        return os.stat_result(numbers, {"st_mtime_ns": found.st_mtime_ns})

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

    def facts_in(self, directory: int, name: str) -> FileFacts:
        found = super().facts_in(directory, name)
        return replace(found, inode=self._fixed_in(directory, name, found.inode))

    def inode_in(self, directory: int, name: str) -> Inode:
        return self._fixed_in(directory, name, super().inode_in(directory, name))

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


class _ToldSchedule(WalkSchedule):
    """A scan is due whenever somebody asks: time does not move for it."""

    def __init__(self, scans: Counter[int], clock: Clock, interval: float) -> None:
        super().__init__(clock, interval)
        self._scans = scans
        self._number = len(scans)
        scans[self._number] = 0

    @property
    def is_due(self) -> bool:
        return True

    @property
    def pause(self) -> float:
        return 0.0

    def begin(self) -> None:
        self._scans[self._number] += 1
        super().begin()


class _Ticks(Watch):
    """Nothing is told of changes: when inotify tells of one depends on the machine."""

    async def run(self) -> None:
        await self._tick()


class _Inline(RegistryThread):
    """What a commit has is not to depend on how fast the disk is."""

    async def __call__(self, call: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        return call(*args, **kwargs)


async def _at_once(walks: Sequence[Callable[[], Scan]]) -> list[Scan]:
    """Not in a thread: which of several inputs is the first is always the same. The files that were
    written to last come first; when that was is the machine's affair, so they have their order by
    name here."""
    scans = [walk() for walk in walks]
    return [replace(scan, found=dict(sorted(scan.found.items(), key=_path))) for scan in scans]


def _path(item: tuple[Inode, Found]) -> str:
    return item[1].path


async def daemon(config: Path, *, clock: Clock, files: FixedFiles, log: Log) -> None:
    """Run the real daemon with that configuration."""
    reading = read_config([config], ENVIRONMENT)
    with (
        mock.patch.object(daemon_module, "RegistryThread", _Inline),
        mock.patch.object(inputs, "WalkSchedule", partial(_ToldSchedule, files.scans)),
        mock.patch.object(inputs, "Watch", _Ticks),
        # Time does not pass.
        mock.patch.object(tracker, "_QUOTA_GRACE", 0.0),
        # After each step, however fast the machine is.
        mock.patch.object(tracker, "_TURN_SECONDS", 0.0),
        mock.patch.object(stages, "FileTracker", partial(FileTracker, offload=_at_once)),
    ):
        running = Daemon(
            reading.config,
            clock=clock,
            filesystem=files,
            machine=Machine(ENVIRONMENT, _host),
            rng=random.Random(0),
            log=log,
        )
        await running.run()
