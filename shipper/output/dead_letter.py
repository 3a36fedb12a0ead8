"""The dead letter file: events that Elasticsearch will never take, with the reason. NDJSON, synced
to the disk before the event counts as done, bounded: one file and its predecessor.

    {"time":…,"status":400,"reason":…,"id":…,"path":…,"offset":…,"line":…}
"""

import asyncio
import mmap
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiofiles
import msgspec
from aiofiles.os import wrap

from shipper.batch import Body
from shipper.encode import RefusedLine

_encode = msgspec.json.Encoder().encode
_fsync = wrap(os.fsync)


class DeadLetter(msgspec.Struct, frozen=True, omit_defaults=True):
    """One event in the file."""

    #: Unix seconds when it was refused.
    time: float
    #: What Elasticsearch answered; 0 if it was never sent (`on_invalid: dead_letter`).
    status: int
    reason: str
    id: str
    path: str
    offset: int
    #: The line as it was read; bytes that are not UTF-8 are replaced, and `line_base64` has them.
    line: str
    line_base64: bytes = b""


class _File(msgspec.Struct):
    path: str = ""


class _Log(msgspec.Struct):
    offset: int = 0
    file: _File = msgspec.field(default_factory=_File)


class _Document(msgspec.Struct):
    message: str = ""
    log: _Log = msgspec.field(default_factory=_Log)


class _Target(msgspec.Struct):
    id: str = msgspec.field(default="", name="_id")


class _Action(msgspec.Struct):
    create: _Target


_decode_document = msgspec.json.Decoder(_Document).decode
_decode_action = msgspec.json.Decoder(_Action).decode


def letter_of_line(refused: RefusedLine, now: float) -> DeadLetter:
    """The letter of a line that was not sent."""
    try:
        line, raw = refused.line.decode(), b""
    except UnicodeDecodeError:
        line, raw = refused.line.decode("utf-8", "replace"), refused.line
    return DeadLetter(now, 0, refused.reason, refused.id, refused.path, refused.offset, line, raw)


def letters_of_items(
    body: Body, refusals: Sequence[tuple[int, int, str]], now: float
) -> list[DeadLetter]:
    """The letters of the events with these (index, status, reason) in a body that was answered."""
    lines = body.lines()
    letters = []
    for index, status, reason in refusals:
        action = _decode_action(lines[2 * index])
        document = _decode_document(lines[2 * index + 1])
        letters.append(
            DeadLetter(
                now,
                status,
                reason,
                action.create.id,
                document.log.file.path,
                document.log.offset,
                document.message,
            )
        )
    return letters


@dataclass(frozen=True, slots=True)
class Written:
    """What writing did to what was there."""

    #: Bytes of older letters that had to make room.
    lost: int


class DeadLetterFile:
    """Appends letters; the only writer of its file."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        """`max_bytes` for the file and its predecessor (`.1`) together."""
        self.path = path
        self._limit = max_bytes // 2
        self._turn = asyncio.Lock()
        #: Lost by a `write` that then failed: the next one tells of it.
        self._lost = 0

    async def write(self, letters: Sequence[DeadLetter]) -> Written:
        """Returns once the letters are on the disk.

        Raises OSError if they could not be written; part of them may have been, and writing all of
        them again is right: a letter twice is better than none.
        """
        async with self._turn:
            for data in _pieces(letters, self._limit):
                self._lost += await asyncio.to_thread(self._make_room, len(data))
                async with aiofiles.open(self.path, "ab", opener=_private) as file:
                    await file.write(data)
                    await file.flush()
                    await _fsync(file.fileno())
            lost, self._lost = self._lost, 0
        return Written(lost)

    def _make_room(self, needed: int) -> int:
        try:
            size = _cut_half_letter(self.path)
        except FileNotFoundError:
            return 0
        if not size or size + needed <= self._limit:
            return 0
        older = self.path.with_name(f"{self.path.name}.1")
        lost = older.stat().st_size if older.exists() else 0
        self.path.replace(older)
        return lost


def _pieces(letters: Sequence[DeadLetter], limit: int) -> Iterator[bytes]:
    """The lines of the letters, in pieces of at most `limit` bytes; a larger one is alone."""
    lines: list[bytes] = []
    size = 0
    for letter in letters:
        line = _encode(letter) + b"\n"
        if lines and size + len(line) > limit:
            yield b"".join(lines)
            lines, size = [], 0
        lines.append(line)
        size += len(line)
    yield b"".join(lines)


def _cut_half_letter(path: Path) -> int:
    """Cuts off what a full disk, or a kill, left of a last letter; returns the size in bytes.

    The event of that letter is not done, so its letter is written again.
    """
    with path.open("r+b") as file:
        size = os.fstat(file.fileno()).st_size
        if not size:
            return 0
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            whole = content.rfind(b"\n") + 1
        if whole < size:
            file.truncate(whole)
        return whole


def _private(path: str, flags: int) -> int:
    """Dead letters are log lines: nobody else may read them."""
    return os.open(path, flags, 0o600)
