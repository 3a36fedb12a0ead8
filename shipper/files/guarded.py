"""The file system, of which single mounts may hang: NFS and the like whose server is gone, FUSE.

stat(2), open(2) and even close(2) do not return there, for ever if need be, and they are called on
the event loop: they are short everywhere else. On such a mount each is made by a thread, and waited
for half a second at the most (`Guard`). While one hangs, all others on the mount fail at once with
ETIMEDOUT, as a device that does not answer would have them fail, so that files there are neither
read nor taken for deleted. Other mounts do not notice. Reads have threads anyway.

A mount is known by its type in the mount table, a path by the mount points in it. That a symbolic
link on another mount leads there is learned when it is first used.
"""

import errno
import os
import select
from collections.abc import Callable, Generator, Iterator
from functools import partial
from itertools import islice
from threading import Lock
from typing import TypeVar

from msgspec import Struct

from shipper.files.facts import Appended, DirectoryFacts, FileFacts, Inode
from shipper.files.filesystem import NETWORK_FILE_SYSTEMS, FileSystem
from shipper.files.mount_table import mounted
from shipper.files.mounts import open_mount_table
from shipper.offload import Guard, HangsError

_T = TypeVar("_T")

#: How long a call is waited for, in seconds. A server of NFS answers in milliseconds; the event
#: loop stands meanwhile.
SECONDS = 0.5

#: So many entries of a directory are listed in one call.
_ENTRIES = 1000

#: So many directories with symbolic links to other mounts are remembered.
_MOST_LEARNED = 1024


class _Mount(Struct, frozen=True):
    """One that may hang."""

    path: str
    device: int

    def has(self, path: str) -> bool:
        return path.startswith(self.path) and path[len(self.path) :][:1] in ("", "/")


class MountTable:
    """Which mounts may hang; read again when the kernel says that it changed."""

    def __init__(self, open_table: Callable[[], int] = open_mount_table) -> None:
        self._lock = Lock()
        self._changes = select.poll()
        self._mounts: tuple[_Mount, ...] = ()
        try:
            self._table = open_table()
        except OSError:
            self._table = -1  # No /proc: nothing is known.
            return
        self._changes.register(self._table, select.POLLPRI)
        self._read()

    def now(self) -> tuple[_Mount, ...]:
        """The mounts that may hang, the deepest first."""
        # One thread at a time: what another one is about to read is known a moment later.
        if self._table >= 0 and self._lock.acquire(blocking=False):
            try:
                if self._changes.poll(0):
                    self._read()
            finally:
                self._lock.release()
        return self._mounts

    def close(self) -> None:
        """Gives the descriptor back; what was known stays known."""
        if self._table >= 0:
            os.close(self._table)
        self._table = -1

    def _read(self) -> None:
        try:
            os.lseek(self._table, 0, os.SEEK_SET)
            text = b""
            while piece := os.read(self._table, 1 << 16):
                text += piece
        except OSError:
            return
        found = [mount for line in text.split(b"\n") if (mount := _mount_in(os.fsdecode(line)))]
        self._mounts = tuple(sorted(found, key=lambda mount: -len(mount.path)))


def _mount_in(line: str) -> _Mount | None:
    """The mount in a line of the table, if it may hang. If the root does, nothing is left to be
    kept apart from it."""
    found = mounted(line)
    if found is None or found.path == "/" or (device := found.number) is None:
        return None
    may_hang = found.kind in NETWORK_FILE_SYSTEMS or found.kind.split(".")[0] == "fuse"
    return _Mount(found.path, device) if may_hang else None


class GuardedFileSystem(FileSystem):
    """As `FileSystem`; every method raises TimeoutError (ETIMEDOUT), too."""

    def __init__(self, mounts: MountTable | None = None, seconds: float = SECONDS) -> None:
        super().__init__()
        self._mounts = mounts or MountTable()
        self.guard = Guard("mount", seconds)
        # The devices of open descriptors that may hang, and of directories that lead there.
        self._devices: dict[int, int] = {}
        self._learned: dict[str, int] = {}

    @property
    def hanging(self) -> int:
        return self.guard.hanging

    # Which mount it is

    def _at(self, path: str) -> int | None:
        """The device that a path leads to, if it may hang."""
        mounts = self._mounts.now()
        if not mounts:
            return None
        device = self._learned.get(os.path.dirname(path))
        if device is None:
            device = next((mount.device for mount in mounts if mount.has(path)), None)
        return device

    def _opened(self, descriptor: int, path: str, device: int | None) -> int:
        """Notes where a new descriptor is, if that may hang."""
        if device is None and (mounts := self._mounts.now()):
            found = os.fstat(descriptor).st_dev
            if any(mount.device == found for mount in mounts):
                device = found
                if len(self._learned) >= _MOST_LEARNED:
                    del self._learned[next(iter(self._learned))]
                self._learned[os.path.dirname(path)] = device
        if device is None:
            self._devices.pop(descriptor, None)
        else:
            self._devices[descriptor] = device
        return descriptor

    def _of(self, device: int, call: Callable[[], _T], path: str = "") -> _T:
        try:
            return self.guard(device, call)
        except HangsError:
            raise self._hangs(path) from None

    def _hangs(self, path: str = "") -> OSError:
        words = f"no answer within {self.guard.seconds:g} s: its mount hangs"
        return OSError(errno.ETIMEDOUT, words, path or None)

    def _path(self, path: str, call: Callable[[], _T]) -> _T:
        device = self._at(path)
        return call() if device is None else self._of(device, call, path)

    def _descriptor(self, descriptor: int, call: Callable[[], _T]) -> _T:
        device = self._devices.get(descriptor) if self._devices else None
        return call() if device is None else self._of(device, call)

    def _open(self, path: str, device: int | None, call: Callable[[], int]) -> int:
        if device is None:
            return self._opened(call(), path, None)
        try:
            descriptor = self.guard(device, call, os.close)
        except HangsError:
            raise self._hangs(path) from None
        return self._opened(descriptor, path, device)

    # By path

    def list_directory(self, path: str) -> Iterator[os.DirEntry[str]]:
        device = self._at(path)
        if device is None:
            yield from super().list_directory(path)
            return
        entries = super().list_directory(path)
        while found := self._of(device, lambda: list(islice(entries, _ENTRIES)), path):
            yield from found

    def names(self, directory: str | int) -> Generator[str, None, None]:
        device = self._at(directory) if isinstance(directory, str) else self._devices.get(directory)
        names = super().names(directory)
        if device is None:
            yield from names
            return
        while found := self._of(device, lambda: list(islice(names, _ENTRIES))):
            yield from found

    def status(self, path: str) -> os.stat_result:
        return self._path(path, partial(super().status, path))

    def is_link(self, path: str) -> bool:
        return self._path(path, partial(super().is_link, path))

    def directory_facts(self, path: str) -> DirectoryFacts:
        return self._path(path, partial(super().directory_facts, path))

    def remove_directory(self, path: str) -> None:
        self._path(path, partial(super().remove_directory, path))

    def open(self, path: str, *, symlinks: bool = True) -> int:
        return self._open(path, self._at(path), partial(super().open, path, symlinks=symlinks))

    def open_private(self, path: str, *, create: bool) -> int:
        return self._open(path, self._at(path), partial(super().open_private, path, create=create))

    # By descriptor

    def facts(self, descriptor: int) -> FileFacts:
        return self._descriptor(descriptor, partial(super().facts, descriptor))

    def has_writer(self, descriptor: int, device: int) -> bool | None:
        return self._descriptor(descriptor, partial(super().has_writer, descriptor, device))

    def born(self, descriptor: int) -> int | None:
        return self._descriptor(descriptor, partial(super().born, descriptor))

    def facts_of_directory(self, directory: int) -> DirectoryFacts:
        return self._descriptor(directory, partial(super().facts_of_directory, directory))

    def make_private(self, directory: int, *, marked: bool) -> None:
        self._descriptor(directory, partial(super().make_private, directory, marked=marked))

    def lock_shared(self, directory: int) -> None:
        self._descriptor(directory, partial(super().lock_shared, directory))

    def is_locked_by_us_alone(self, directory: int) -> bool:
        return self._descriptor(directory, partial(super().is_locked_by_us_alone, directory))

    def lock_number(self, directory: int, number: int) -> None:
        self._descriptor(directory, partial(super().lock_number, directory, number))

    def is_number_locked(self, directory: int, number: int) -> bool:
        return self._descriptor(directory, partial(super().is_number_locked, directory, number))

    def facts_in(self, directory: int, name: str) -> FileFacts:
        return self._descriptor(directory, partial(super().facts_in, directory, name))

    def open_in(self, directory: int, name: str) -> int:
        device = self._devices.get(directory)
        return self._open(name, device, partial(super().open_in, directory, name))

    def link(self, descriptor: int, directory: int, name: str) -> None:
        self._descriptor(directory, partial(super().link, descriptor, directory, name))

    def rename_in(self, directory: int, name: str, new_name: str) -> None:
        self._descriptor(directory, partial(super().rename_in, directory, name, new_name))

    def inode_in(self, directory: int, name: str) -> Inode:
        return self._descriptor(directory, partial(super().inode_in, directory, name))

    def size_in(self, directory: int, name: str) -> int:
        return self._descriptor(directory, partial(super().size_in, directory, name))

    def unlink(self, directory: int, name: str) -> None:
        self._descriptor(directory, partial(super().unlink, directory, name))

    def peek(self, descriptor: int, count: int, offset: int) -> bytes:
        return self._descriptor(descriptor, partial(super().peek, descriptor, count, offset))

    def next_data(self, descriptor: int, offset: int) -> int:
        return self._descriptor(descriptor, partial(super().next_data, descriptor, offset))

    def close(self, descriptor: int) -> None:
        device = self._devices.pop(descriptor, None) if self._devices else None
        close = partial(super().close, descriptor)
        if device is None:
            close()
        elif not self.guard.when_answered(device, close):
            try:
                self.guard(device, close)
            except HangsError:
                pass  # It is closed when the mount answers.

    async def read(
        self, descriptor: int, device: int, buffer: bytearray | memoryview, offset: int
    ) -> int:
        if self._devices and descriptor in self._devices:
            return await self._read_in_thread(descriptor, device, buffer, offset)
        return await super().read(descriptor, device, buffer, offset)

    def appended(
        self,
        descriptor: int,
        device: int,
        buffer: bytearray,
        offset: int,
        head_start: int,
        head_bytes: int,
    ) -> Appended | None:
        if self._devices and descriptor in self._devices:
            return None  # Nothing of it is had without waiting.
        return super().appended(descriptor, device, buffer, offset, head_start, head_bytes)
