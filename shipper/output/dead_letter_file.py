"""The dead letter file. Dead letters are synced to the disk before their events count as processed.
The size is limited: one file and its predecessor.

A daemon and a replay may both write: each holds a lock while it writes.

The predecessor goes to make room. That is a loss, and is recorded before: after a kill at any
moment each deleted dead letter is recorded once.

    dead-letter.ndjson.1 -> dead-letter.ndjson.deleted-* -> recorded under that name -> deleted
"""

import asyncio
import contextlib
import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

from shipper.clock import Clock
from shipper.offload import ThreadPool, TimedCalls
from shipper.output.appending import append_synced, cut_incomplete_line, locked, sync_directory
from shipper.output.dead_letter import DeadLetter, encode_dead_letter

#: Below `data_dir`.
FILE_NAME = "dead-letter.ndjson"

#: What is known of the size is so old at the most, in seconds: a replay and an operator take files
#: away, too. How long a look at it may take.
SIZE_SECONDS, _SIZE_LIMIT = 10.0, 5.0


class DeadLettersFullError(Exception):
    """Dead letters exceed the size limit, and older ones may not be deleted."""


class NotRecordedError(Exception):
    """The loss of dead letters could not be recorded: none of them is deleted."""


class DeletionRecord(Protocol):
    """Where it is recorded which dead letters are deleted."""

    async def __call__(self, deleted: Path, others: Sequence[Path]) -> None:
        """Returns once it is on the disk that the dead letters in the file `deleted` are lost, as
        far as they are not in `others`, too. For a file of the same name it does so once, whatever
        happens in between.

        Raises NotRecordedError, or OSError if the file cannot be read; nothing is recorded then.
        """


class DeadLetterFile:
    """Appends dead letters to the file and limits its size."""

    def __init__(self, path: Path, max_bytes: int, record: DeletionRecord | None = None) -> None:
        """`max_bytes` for the file and its predecessor (`.1`) together. Without a `record` no dead
        letter is deleted."""
        self.path = path
        self._lock = lock_of(path)
        self._limit = max_bytes // 2
        self._record = record
        self._turn = asyncio.Lock()
        #: What writes: a disk that hangs holds nothing else.
        self.thread = ThreadPool("dead-letters", each=1)
        #: Device and inode of the file whose name in the directory is on the disk.
        self._named: tuple[int, int] | None = None
        # Whether something may be about to be deleted: by an earlier process, too. It goes before
        # anything is written, so that there is one such file at the most.
        self._is_deleting = record is not None
        self._size = 0
        self._look = TimedCalls("dead-letter-size", _SIZE_LIMIT)

    @property
    def size(self) -> int:
        """Bytes of the file and its predecessor, as they are known: no system call is made."""
        return self._size

    @property
    def limit(self) -> int:
        """The most bytes of both."""
        return 2 * self._limit

    async def keep_size_known(self, clock: Clock) -> None:
        """Looks at the size now and then, until it is cancelled. On a disk that hangs, what is
        known stays."""
        while True:
            # HangsError is one, too: the next look waits for the same call.
            with contextlib.suppress(OSError):
                await self._look(self.path, self._measure)
            await clock.sleep(SIZE_SECONDS)

    async def write(
        self, dead_letters: Sequence[DeadLetter], *, keep_since: float | None = None
    ) -> None:
        """Returns once the dead letters are on the disk. `keep_since`: dead letters since that Unix
        time are not deleted to make room.

        Raises OSError if they could not be written, DeadLettersFullError if there is no room, and
        NotRecordedError if older ones could not be recorded as lost. Some may have been written
        then; the caller writes all of them again: a duplicate is better than a loss.
        """
        async with self._turn:
            if self._is_deleting:
                await self._finish_deletions()
            for data in _pieces(dead_letters, self._limit):
                while not await self.thread(partial(self._append, data, keep_since)):
                    await self._finish_deletions()

    async def put_back(self, lines: Sequence[bytes]) -> None:
        """Appends lines that were in the file before, unchanged; deletes nothing for them.

        Raises OSError or DeadLettersFullError; some lines may have been written then, as in
        `write`.
        """
        async with self._turn:
            await self.thread(partial(self._append_without_loss, lines))

    async def finish_deletions(self) -> None:
        """Records and deletes what an earlier process was about to. Raises as `write` does."""
        async with self._turn:
            await self._finish_deletions()

    async def _finish_deletions(self) -> None:
        record = self._record
        if record is None:
            raise DeadLettersFullError("they exceed dead_letter.max_bytes")
        for deleted in await self.thread(self._set_aside):
            await record(deleted, await self.thread(partial(_with_letters, self.path)))
            await self.thread(partial(_delete, deleted))
        self._is_deleting = False

    def _append(self, data: bytes, keep_since: float | None) -> bool:
        """Whether the data are appended; False: others have to be deleted first."""
        with locked(self._lock):
            size = cut_incomplete_line(self.path)
            if size and size + len(data) > self._limit:
                older = predecessor(self.path)
                if older.exists():
                    # Its time is that of its last dead letter.
                    if keep_since is not None and older.stat().st_mtime >= keep_since:
                        raise DeadLettersFullError("they exceed dead_letter.max_bytes")
                    if self._record is not None:
                        self._is_deleting = True
                        older.rename(_deleted(self.path, os.urandom(8).hex()))
                        # Else a power cut could bring it back under its old name when it is
                        # recorded already.
                        sync_directory(self.path.parent)
                    return False
                self.path.replace(older)
            self._append_synced(data)
            self._measure()
        return True

    def _append_synced(self, data: bytes) -> None:
        """Appends data; it is on the disk then, and the file's name as well."""
        found = _file_at(self.path)
        if found is not None and found != self._named:
            # Who created the file may have been killed before its name was synced.
            sync_directory(self.path.parent)
        append_synced(self.path, data)
        self._named = _file_at(self.path)

    def _append_without_loss(self, lines: Sequence[bytes]) -> None:
        """Fills the file line by line: the lines of two files fit into two files."""
        older = predecessor(self.path)
        begin = 0
        with locked(self._lock):
            size = cut_incomplete_line(self.path)
            while begin < len(lines):
                end = begin
                while end < len(lines) and (not size or size + len(lines[end]) <= self._limit):
                    size += len(lines[end])
                    end += 1
                if end > begin:
                    self._append_synced(b"".join(lines[begin:end]))
                    begin = end
                elif older.exists():
                    raise DeadLettersFullError(
                        "they do not fit into dead_letter.max_bytes beside newer ones"
                    )
                else:
                    self.path.replace(older)
                    size = 0

    def _set_aside(self) -> list[Path]:
        """The files that are about to be deleted: none of their names is used again."""
        return sorted(self.path.parent.glob(_deleted(self.path, "*").name))

    def _measure(self) -> None:
        self._size = _size_of(self.path) + _size_of(predecessor(self.path))


def _file_at(path: Path) -> tuple[int, int] | None:
    """Device and inode; None if there is no file."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def predecessor(path: Path) -> Path:
    """The file with older dead letters, renamed when it was full."""
    return path.with_name(f"{path.name}.1")


def lock_of(path: Path) -> Path:
    """The lock file that protects writing and renaming the file at `path`."""
    return path.with_suffix(".lock")


def _deleted(path: Path, name: str) -> Path:
    return path.with_name(f"{path.name}.deleted-{name}")


def _with_letters(path: Path) -> list[Path]:
    """The files whose dead letters stay: what a replay has moved aside, and the current ones."""
    aside = sorted(path.parent.glob("dead-letter.replay-*.ndjson"))
    return [*aside, *(each for each in (predecessor(path), path) if each.exists())]


def _delete(path: Path) -> None:
    path.unlink(missing_ok=True)
    sync_directory(path.parent)


def _pieces(dead_letters: Sequence[DeadLetter], limit: int) -> Iterator[bytes]:
    """The encoded dead letters in pieces of at most `limit` bytes; a larger one is alone."""
    lines: list[bytes] = []
    size = 0
    for dead_letter in dead_letters:
        line = encode_dead_letter(dead_letter)
        if lines and size + len(line) > limit:
            yield b"".join(lines)
            lines, size = [], 0
        lines.append(line)
        size += len(line)
    yield b"".join(lines)
