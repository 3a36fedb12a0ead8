"""Logs: their names, how they are cut into lines, and what is in a gzip."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Awaitable, Coroutine
from functools import cache
from typing import TypeVar

from shipper.files.agent_id import FILE_NAME, read
from shipper.files.archive import Ending, GzipStream, window
from shipper.files.content import PlainContent
from shipper.files.discovery import scan
from shipper.files.filesystem import FileSystem
from shipper.files.globs import Globs, Pattern
from shipper.files.inotify import events_in
from shipper.files.lines import (
    Block,
    CutLine,
    HalfLine,
    LineReader,
    NoLine,
    ReadBuffer,
    Rewritten,
)
from shipper.files.link_names import OwnerToken, link_name, lock_number, parse_link_name
from shipper.files.mount_table import mounted, type_in_mounts
from shipper.foreign import path_text, words
from tests.files.test_lines import expected
from tests.fuzz.target import Choices, Target, is_text
from tests.fuzz.targets.dead_letters import directory
from tests.support.follower import LIMIT, Line

_T = TypeVar("_T")

_GLOBS = (
    "/logs/*.log",
    "/logs/**/*.log",
    "/logs/[a-z]?*",
    "/**",
    "/logs/./a*/../b",
    "/logs/*a*a*a*a*a*a*b",
)
_PATTERNS = tuple(Pattern(text) for text in _GLOBS)
_MATCHES = Globs(_GLOBS[:3], ["*.tmp", "/logs/x*"])


def check_names(data: bytes) -> None:
    """One name of a file: as text, in a link, matched by globs."""
    name = os.fsdecode(data.replace(b"\0", b""))
    path = f"/logs/{name}"
    path_text(path).encode()
    assert is_text(words(name), 300)
    for pattern in _PATTERNS:
        if pattern.matches(path):
            assert pattern.may_lead_to_match(path)
    assert isinstance(path in _MATCHES, bool)
    base = name.replace("/", "")
    if base:
        made = link_name(OwnerToken("0123456789abcdef"), 2**64 - 1, base)
        assert len(os.fsencode(made)) <= 255
        found = parse_link_name(made)
        assert found is not None
        assert found.inode == 2**64 - 1
        assert os.fsencode(found.base) == os.fsencode(base) or len(os.fsencode(base)) > 200
    foreign = parse_link_name(base)
    if foreign is not None:
        assert foreign.inode >= 0
        assert lock_number(foreign.owner) < 2**62


def check_globs(data: bytes) -> None:
    """A glob and a path, of which nobody knows anything."""
    text, _, path = data.decode("utf-8", "surrogateescape").replace("\0", "").partition("\x01")
    pattern = Pattern(f"/{text}")
    if pattern.matches(f"/{path}"):
        assert pattern.may_lead_to_match(f"/{path}")
    if not set("*?[") & set(text) and "//" not in f"/{text}/" and text:
        assert pattern.matches(f"/{text}"), "a glob without wildcards matches itself"


@cache
def _logs() -> str:
    made = directory() / "logs"
    made.mkdir()
    return str(made)


def check_discovery(data: bytes) -> None:
    """Files whose names are of any bytes: each is found, once."""
    place = os.fsencode(_logs())
    for left in os.listdir(place):
        os.unlink(os.path.join(place, left))
    names = set()
    for name in data.split(b"\0")[:4]:
        base = name.replace(b"/", b"")[:255]
        if base not in (b"", b".", b".."):
            os.close(os.open(os.path.join(place, base), os.O_CREAT | os.O_WRONLY, 0o600))
            names.add(base)
    found = scan(FileSystem(), [f"{_logs()}/*"], [f"{_logs()}/x*"])
    paths = {os.path.basename(os.fsencode(each.path)) for each in found.found.values()}
    assert paths == {each for each in names if not each.startswith((b".", b"x"))}
    assert not found.unreadable
    for each in found.found.values():
        path_text(each.path).encode()


def finished(work: Awaitable[_T]) -> _T:
    """The result of a coroutine that waits for nothing."""
    assert isinstance(work, Coroutine)
    try:
        work.send(None)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    raise AssertionError("it waits")


class _Bytes(PlainContent):
    """A log that is in memory."""

    __slots__ = ("_data", "_step")

    def __init__(self, data: bytes, step: int) -> None:
        """`step`: no read gives more bytes."""
        super().__init__(FileSystem(), -1, 0)
        self._data = data
        self._step = step

    async def read(self, view: memoryview, offset: int) -> int:
        piece = self._data[offset : offset + min(len(view), self._step)]
        view[: len(piece)] = piece
        return len(piece)

    async def next_data(self, offset: int) -> int:
        return offset


def check_lines(data: bytes) -> None:
    """Which lines come out, against the slow and obvious model."""
    choices = Choices(data)
    final = choices.flag()
    block_bytes = choices.one_of((LIMIT + 1, 1, 7, 300, LIMIT))
    step = choices.one_of((1 << 20, 100, 5))
    content = choices.rest[:2000].replace(b"\x01", bytes(70), 9).replace(b"\x02", b"x" * 1020, 3)
    buffer = ReadBuffer(LIMIT)
    buffer.block_bytes = block_bytes
    reader = LineReader(_Bytes(content, step), buffer)
    lines: list[Line] = []
    offset = 0
    for _ in range(10 * len(content) + 10):
        reading = finished(reader.read(offset, final=final))
        match reading:
            case Block(block, end, _, start):
                assert block.endswith(b"\n")
                for line in block.split(b"\n")[:-1]:
                    lines.append(Line(start, line))
                    start += len(line) + 1
            case HalfLine(line, end, _, start):
                lines.append(Line(start, line, half=True))
            case CutLine(head, length, end, _, start):
                lines.append(Line(start, head, length))
            case NoLine.AT_END:
                break
            case Rewritten():
                raise AssertionError(reading.why)
            case _:
                continue
        assert end > offset
        offset = end
    else:
        raise AssertionError("it does not come to an end")
    assert lines == list(expected(content, final=final))


@cache
def _file() -> int:
    return os.memfd_create("fuzz")


def check_gzip(data: bytes) -> None:
    """What is in a gzip, whatever the size of the pieces, against zlib alone."""
    choices = Choices(data)
    count = choices.one_of((256 * 1024, 1, 10, 1000))
    packed = choices.rest
    descriptor = _file()
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, packed, 0)
    stream = GzipStream(descriptor)
    content = io.BytesIO()
    for _ in range(2_000_000):
        piece = stream.take(count)
        content.write(piece)
        assert len(piece) <= 2 * 1024 * 1024
        if stream.at_end and not piece:
            break
        if content.tell() > min(4 * 1024 * 1024, 100_000 * count):
            return  # A bomb, or one that takes long in such pieces: each call was bounded.
    else:
        raise AssertionError("it does not come to an end")
    inflated = content.getvalue()
    assert inflated == (b"" if packed.startswith(b"\0") else _members(packed))
    assert (stream.ending is Ending.COMPLETE) == (not stream.problem)
    assert is_text(stream.problem, 200)
    assert stream.is_the_same()
    assert window(descriptor, 3, 50) == inflated[3:53]


def _members(packed: bytes) -> bytes:
    """What is in all members up to the first damage, inflated byte by byte."""
    made = bytearray()
    inflater = None
    for byte in packed:
        try:
            if inflater is None and not byte:
                continue  # Zeros between members.
            inflater = inflater or zlib.decompressobj(wbits=31)
            made += inflater.decompress(bytes([byte]))
        except zlib.error:
            break
        if inflater.eof:
            inflater = None
    return bytes(made)


def check_mounts(data: bytes) -> None:
    table = io.TextIOWrapper(io.BytesIO(data), "utf-8", "replace", newline="\n")
    found = type_in_mounts(table, "8:1")
    assert " " not in found
    each = mounted(data.decode("utf-8", "surrogateescape"))
    assert each is None or each.number is None or each.number >= 0


def check_notifications(data: bytes) -> None:
    """What inotify says: names are any bytes."""
    found = events_in(data)
    assert len(found) <= len(data) // 16
    for event in found:
        name = os.fsencode(event.name)
        assert name in data
        assert not name.endswith(b"\0")


def check_agent_id(data: bytes) -> None:
    place = directory() / "data"
    place.mkdir(exist_ok=True)
    (place / FILE_NAME).write_bytes(data)
    found = read(place)
    assert found is None or (len(found) == 36 and found.isascii() and found.encode() in data)


def _gzip(data: bytes, level: int = 6) -> bytes:
    made = zlib.compressobj(level, wbits=31)
    return made.compress(data) + made.flush()


_LOG = b'{"a":1}\n{"b":2}\n\n{"c":3}\r\nhalf'
_MOUNTS = (
    b"22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
    b"23 22 0:21 / /proc\\040x rw - proc proc rw\n"
)
_MEMBERS = _gzip(_LOG) + _gzip(b"next\n", 0) + bytes(20)

TARGETS = (
    Target(
        "file_names",
        "any name of a file can be shown, linked, matched and told from others",
        check_names,
        (
            b"tetragon.log",
            b"t-\xff.log",
            b"a/b/c.log",
            b"0123456789abcdef-42-a.log",
            b"01234567-42-a\n.log",
            b"a" * 300 + b".log",
            b"..",
        ),
        (b"/", b".log", b"/../", b"0123456789abcdef-", b"-42-", b"~"),
    ),
    Target(
        "globs",
        "a glob matches a path or not, in bounded time",
        check_globs,
        tuple(
            each[1:].encode() + b"\x01" + path
            for each in _GLOBS
            for path in (b"logs/a.log", b"logs/aaaaaaaaaaaaaaaa")
        ),
        (b"*", b"**/", b"[!", b"]", b"?", b"\x01", b"[z-a]", b"*a" * 30, b"a" * 300, b"**/" * 20),
    ),
    Target(
        "discovery",
        "files are found under names of any bytes, each once",
        check_discovery,
        (b"a.log\0b\xff.log\0.hidden\0x.log", b"\n\0*\0[a]\0" + b"a" * 255, b"\xed\xa0\x80"),
        (b"\0",),
    ),
    Target(
        "lines",
        "a log is cut into the lines that it has, each once, whatever the sizes of reads",
        check_lines,
        tuple(
            bytes([final, size, step]) + content
            for final in (0, 1)
            for size, step in ((0, 0), (1, 0), (2, 1), (4, 2))
            for content in (
                _LOG,
                b"a\0\0 b\n\x01 c\n",
                b"\x02abcd\x01\n",
                b"\x02xy\0",
                b"\x02\x02\x02\n",
            )
        ),
        (b"\0", b"\n", b"\x01", b"\x02", b"\x02\x02", b"\0\n", b"\0 "),
    ),
    Target(
        "gzip",
        "what is in a gzip is given up to where it is damaged, in bounded pieces, and its end told",
        check_gzip,
        (
            b"\0" + _gzip(_LOG),
            b"\1" + _MEMBERS,
            b"\2" + _gzip(_LOG, 0)[:-3],
            b"\0" + _gzip(bytes(100_000)),
            b"\3\x1f\x8b\x08\x1e" + b"x" * 30,
            b"\0text",
            b"\0",
        ),
        (b"\x1f\x8b", b"\x1f\x8b\x08\0", _gzip(b""), bytes(100), b"\x03\0" + bytes(8)),
    ),
    Target(
        "mounts",
        "the table of mounts says the type of a file system, or nothing",
        check_mounts,
        (_MOUNTS, b"22 1 8:1 / /a\rb rw - ext4 x rw\n", b"\n"),
        (b" - ", b"\r", b"\n", b"8:1", b"\\040"),
    ),
    Target(
        "notifications",
        "inotify's events have any names, and come to an end",
        check_notifications,
        (
            struct.pack("iIII", 1, 0x100, 0, 16) + b"tetragon.log".ljust(16, b"\0"),
            struct.pack("iIII", 1, 2, 0, 16) + b"\xff\n.log".ljust(16, b"\0"),
            struct.pack("iIII", -1, 0x4000, 0, 0) * 2,
        ),
        (struct.pack("I", 16), b"\xff" * 4, bytes(4)),
    ),
    Target(
        "agent_id",
        "an agent id is a UUID, or there is none",
        check_agent_id,
        (b"f81d4fae-7dec-11d0-a765-00a0c91e6bf6\n", b"{f81d4fae7dec11d0a76500a0c91e6bf6}", b""),
    ),
)
