"""The real daemon in this process, one life after the other; it can be killed at any commit, and at
any change that it makes in the directory of links.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import random
import signal
import sys
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, Self, TypeVar
from unittest import mock

import orjson
import yaml
from msgspec.structs import replace

from shipper import stages
from shipper.config.load import read_config
from shipper.config.model import Config
from shipper.daemon import Daemon
from shipper.documents.processors.machine import Machine
from shipper.files import tracker
from shipper.files.discovery import Scan
from shipper.files.facts import Inode
from shipper.files.filesystem import FileSystem
from shipper.files.found import Found
from shipper.files.notifications import Change
from shipper.files.registry import Registry
from shipper.files.tracker import FileTracker
from shipper.files.watch import Watch
from shipper.output.elasticsearch import transport
from shipper.output.elasticsearch.exchange import Answer, TransportError
from shipper.pipeline import inputs
from shipper.pipeline.batch import Body
from tests.kept.loop import IdleClock, InlineExecutor, InlinePool
from tests.support.logs import RecordedLog

_T = TypeVar("_T")

SCAN = 2.0
COMMIT = 5.0
"""The intervals of the configuration, in seconds."""


class KilledError(BaseException):
    """Ends the daemon where it stands; nothing that it does on its way out has an effect."""


@dataclass(slots=True)
class Executioner:
    """Counts what the daemon changes on the disk, and kills it at one of the changes."""

    #: So many changes are left; None: it lives.
    left: int | None = None
    #: Whether the last change is made, or is not.
    after: bool = False
    dead: bool = False

    def change(self, call: Callable[[], _T]) -> _T:
        """Make the change, unless the daemon is dead by then."""
        if self.dead:
            raise KilledError
        if self.left is None:
            return call()
        self.left -= 1
        if self.left > 0:
            return call()
        self.dead = True
        if self.after:
            call()
        raise KilledError


@dataclass(slots=True)
class Obstacles:
    """What the file system refuses."""

    #: Directories, by their inodes, that are on another device than all logs.
    other_device: set[int] = field(default_factory=set)
    #: Directories, by their inodes, where something is mounted.
    mount_points: set[int] = field(default_factory=set)
    #: Whether too many files are open for another log.
    full: bool = False


class MortalFileSystem(FileSystem):
    """The real one. Nothing is read in a thread."""

    def __init__(self, executioner: Executioner, obstacles: Obstacles) -> None:
        super().__init__()
        self.inflating = InlinePool("inflate", each=1)
        self._executioner = executioner
        self._obstacles = obstacles

    def open(self, path: str, *, symlinks: bool = True) -> int:
        if self._obstacles.full:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), path)
        return super().open(path, symlinks=symlinks)

    async def read(
        self, descriptor: int, device: int, buffer: bytearray | memoryview, offset: int
    ) -> int:
        return os.preadv(descriptor, [buffer], offset)

    def names(self, directory: str | int) -> Generator[str, None, None]:
        # A listing that is under way has a descriptor of its own, which `bury` would close and the
        # collector of garbage again.
        yield from os.listdir(directory)

    def open_private(self, path: str, *, create: bool) -> int:
        if not create:
            return super().open_private(path, create=False)
        # No change, as a rule; whether one is made is not counted.
        if self._executioner.dead:
            raise KilledError
        return super().open_private(path, create=True)

    def link(self, descriptor: int, directory: int, name: str) -> None:
        real = super().link
        if os.fstat(directory).st_ino in self._obstacles.other_device:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), name)
        self._executioner.change(lambda: real(descriptor, directory, name))

    def unlink(self, directory: int, name: str) -> None:
        real = super().unlink
        self._executioner.change(lambda: real(directory, name))

    def rename_in(self, directory: int, name: str, new_name: str) -> None:
        real = super().rename_in
        self._executioner.change(lambda: real(directory, name, new_name))

    def remove_directory(self, path: str) -> None:
        real = super().remove_directory
        if os.path.isdir(path) and os.stat(path).st_ino in self._obstacles.mount_points:
            return  # EBUSY, which is no error there.
        self._executioner.change(lambda: real(path))


class Cluster:
    """Takes everything, or nothing; stands for the HTTP transport of the bulk sender."""

    def __init__(self) -> None:
        #: By `_id`.
        self.documents: dict[str, dict[str, Any]] = {}
        self.down = False

    def transport(self, *args: object, **kwargs: object) -> Self:
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *args: object) -> None:
        return None

    async def probe(self, host: str) -> Answer:
        self._refuse()
        return Answer(200, b"{}", product="Elasticsearch")

    async def post(self, host: str, body: Body) -> Answer:
        self._refuse()
        items = []
        lines = body.lines()
        for action, document in zip(lines[::2], lines[1::2], strict=True):
            name = orjson.loads(action)["create"]["_id"]
            status = 409 if name in self.documents else 201
            error = {"error": {"type": "version_conflict_engine_exception", "reason": "exists"}}
            items.append({"create": {"status": status, **(error if status == 409 else {})}})
            self.documents.setdefault(name, orjson.loads(document))
        answer = {"errors": any("error" in item["create"] for item in items), "items": items}
        return Answer(200, orjson.dumps(answer), product="Elasticsearch")

    def answered_wrongly(self) -> None:
        """There are no connections."""

    def credentials_refused(self) -> None:
        """There are none."""

    def _refuse(self) -> None:
        if self.down:
            raise TransportError("connect", "connection refused")


class ToldWatch(Watch):
    """Is told of changes by the test: when inotify tells of one depends on the machine."""

    async def run(self) -> None:
        await self._tick()

    def tell(self, changes: Sequence[tuple[Change, str]]) -> None:
        """As inotify does."""
        self._tell(changes, self._clock.monotonic())


async def _at_once(walks: Sequence[Callable[[], Scan]]) -> list[Scan]:
    scans = [walk() for walk in walks]
    # In an order that is no affair of the machine's.
    return [replace(scan, found=dict(sorted(scan.found.items(), key=_path))) for scan in scans]


def _path(item: tuple[Inode, Found]) -> str:
    return item[1].path


@dataclass
class Lives:
    """At most one daemon at a time."""

    root: Path
    clock: IdleClock
    cluster: Cluster
    config: Mapping[str, Any]
    executioner: Executioner = field(default_factory=Executioner)
    obstacles: Obstacles = field(default_factory=Obstacles)
    #: Those of the life that runs.
    watches: list[ToldWatch] = field(default_factory=list)
    #: What the last life logged.
    log: RecordedLog = field(init=False)
    _task: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        """Whether it runs; it may have been killed by its executioner.

        Raises what ended it, if it was something else.
        """
        if self._task is None:
            return False
        if not self._task.done():
            return not self.executioner.dead
        if not self.executioner.dead:
            error = self._task.exception()
            raise AssertionError(f"the daemon ended by itself: {error!r}\n{self.log.text}")
        return False

    @property
    def has_task(self) -> bool:
        """Whether one was started, and is not stopped or buried."""
        return self._task is not None

    async def start(self) -> None:
        """Start the daemon, and let it run until it waits."""
        self.executioner = Executioner()
        self.watches.clear()
        self.log = RecordedLog(self.clock)
        self._task = asyncio.create_task(self._run(self.read_config()))
        await self.clock.selector.idle()

    def read_config(self) -> Config:
        """The configuration as it is now."""
        path = self.root / "config.yml"
        path.write_text(yaml.safe_dump(dict(self.config)), "utf-8")
        return read_config([path], {"NODE_NAME": "node-1"}).config

    async def stop(self) -> None:
        """End it in order, as on SIGTERM."""
        if not await self._is_there():
            return
        kinds = (signal.SIGTERM, signal.SIGINT)
        handlers = {kind: signal.getsignal(kind) for kind in kinds}
        signal.raise_signal(signal.SIGTERM)
        assert self._task is not None
        while not self._task.done():
            await self.clock.selector.idle()
            await asyncio.sleep(0.002)
        for kind, handler in handlers.items():
            signal.signal(kind, handler)
        error = self._task.exception()
        self._task = None
        if error is not None and not self.executioner.dead:
            raise error

    async def kill(self) -> None:
        """End it as SIGKILL does: what it holds open is closed, and nothing more is done."""
        if self._task is None:
            return
        self.executioner.dead = True
        self._task.cancel()
        await asyncio.wait([self._task])
        if not self._task.cancelled():
            self._task.exception()
        self._task = None
        self.bury()

    def bury(self) -> None:
        """Close what a dead daemon held open; the kernel does it for a process."""
        for descriptor in self.descriptors():
            os.close(descriptor)

    def descriptors(self) -> dict[int, str]:
        """What is open below the root for reading only; writers have theirs for writing."""
        found = {}
        for name in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):
                target = os.readlink(f"/proc/self/fd/{name}")
                if not target.startswith(f"{self.root}/"):
                    continue
                info = Path(f"/proc/self/fdinfo/{name}").read_text()
                flags = int(info.partition("flags:")[2].split()[0], 8)
                if flags & os.O_ACCMODE == os.O_RDONLY:
                    found[int(name)] = target
        return found

    def open_inodes(self) -> set[int]:
        """The files that it has open."""
        return {os.fstat(descriptor).st_ino for descriptor in self.descriptors()}

    async def tell(self, changes: Sequence[tuple[Change, str]]) -> None:
        """Tell the daemon of changes, if it runs, and let it run until it waits."""
        if self.running and changes:
            for watch in self.watches:
                watch.tell(changes)
            await self.clock.selector.idle()

    async def _is_there(self) -> bool:
        if self.running:
            return True
        await self.kill()
        return False

    async def _run(self, config: Config) -> None:
        with self._patched():
            await Daemon(
                config,
                clock=self.clock,
                filesystem=MortalFileSystem(self.executioner, self.obstacles),
                machine=Machine({}, lambda netinfo: {"name": "machine-1"}),
                rng=random.Random(0),
                log=self.log.log,
            ).run()

    def _watch(self, *args: Any) -> ToldWatch:
        watch = ToldWatch(*args)
        self.watches.append(watch)
        return watch

    @contextlib.contextmanager
    def _patched(self) -> Iterator[None]:
        executioner, save = self.executioner, Registry.save

        def save_unless_dead(*args: Any, **kwargs: Any) -> None:
            executioner.change(lambda: save(*args, **kwargs))

        with contextlib.ExitStack() as patches:
            for name, inline in (
                ("ThreadPoolExecutor", InlineExecutor),
                ("ThreadPool", InlinePool),
            ):
                for module in modules_of("shipper", name):
                    patches.enter_context(mock.patch.object(module, name, inline))
            for target, name, new in (
                (Registry, "save", save_unless_dead),
                # Others have their turn after each step of a scan, however fast the machine is.
                (tracker, "_TURN_SECONDS", 0.0),
                (inputs, "Watch", self._watch),
                (stages, "FileTracker", partial(FileTracker, offload=_at_once)),
                (transport, "HttpTransport", self.cluster.transport),
            ):
                patches.enter_context(mock.patch.object(target, name, new))
            yield


def modules_of(package: str, name: str) -> list[ModuleType]:
    """The modules of a package that have imported that name."""
    return [
        module
        for path, module in list(sys.modules.items())
        if path.startswith(f"{package}.") and hasattr(module, name)
    ]
