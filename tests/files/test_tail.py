"""One file, followed: whole lines at their offsets, whatever is done to the file meanwhile."""

from __future__ import annotations

import asyncio
import errno
import gzip
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest

from shipper.files.filesystem import FileSystem
from shipper.files.identity import MARK_BYTES, NO_MARK, identity_of, mark_of
from shipper.files.lines import (
    BLOCK_BYTES,
    Block,
    NoLine,
    Rewritten,
)
from shipper.files.tail import State
from tests.support.follower import LIMIT, Follower, Line


class SmallReads(FileSystem):
    """Gives seven bytes at the most, as the kernel may."""

    async def read(
        self, descriptor: int, device: int, buffer: bytearray | memoryview, offset: int
    ) -> int:
        with memoryview(buffer)[:7] as few:
            return await super().read(descriptor, device, few, offset)


class BeforeRead(FileSystem):
    """Does something just before a read, which is counted from the time that it is told."""

    def __init__(self) -> None:
        super().__init__()
        self._left = -1
        self._action: Callable[[], object] = int

    def at(self, number: int, action: Callable[[], object]) -> None:
        """Before the `number`-th read from now on (the next is 1)."""
        self._left, self._action = number, action

    async def read(
        self, descriptor: int, device: int, buffer: bytearray | memoryview, offset: int
    ) -> int:
        self._left -= 1
        if self._left == 0:
            self._action()
        return await super().read(descriptor, device, buffer, offset)


def lines_of(content: bytes, start: int = 0) -> list[Line]:
    """What is to be read of complete lines."""
    found, offset = [], start
    for line in content.split(b"\n")[:-1]:
        found.append(Line(offset, line))
        offset += len(line) + 1
    return found


def append(path: Path, data: bytes) -> None:
    """In a later instant than all that was written before."""
    modified = path.stat().st_mtime_ns if path.exists() else 0
    with path.open("ab") as file:
        file.write(data)
    os.utime(path, ns=(0, modified + 1_000_000))


def rewrite(path: Path, data: bytes) -> None:
    """The same inode with other content, in a later instant."""
    modified = path.stat().st_mtime_ns
    path.write_bytes(data)
    os.utime(path, ns=(0, modified + 1_000_000))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tetragon.log"


# Lines --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("filesystem", [FileSystem, SmallReads])
def test_lines_are_read_once_with_their_offsets(path: Path, filesystem: type[FileSystem]) -> None:
    content = b"".join(b"line %d %s\n" % (n, b"x" * (n % 90)) for n in range(500))
    path.write_bytes(content)
    follower = Follower(path, filesystem=filesystem())
    follower.begin()
    assert follower.read() is NoLine.AT_END
    append(path, b"one more\n\n")
    assert follower.read() is NoLine.AT_END
    assert follower.lines == lines_of(content + b"one more\n\n")


def test_half_a_line_waits_for_its_newline(path: Path) -> None:
    path.write_bytes(b"one\ntw")
    follower = Follower(path)
    follower.begin()
    follower.read()
    assert follower.lines == [Line(0, b"one")]
    append(path, b"o")
    follower.read()
    assert follower.lines == [Line(0, b"one")]
    append(path, b"\nthree")
    follower.read()
    assert follower.lines == [Line(0, b"one"), Line(4, b"two")]


LAST_LINES = [
    (b"one\n", 0),
    (b"one\nhalf", 4),
    (b"half", 4),
    (b"\n\r\n", 0),
    (b"\nhalf", 4),
    (b"one\n" + bytes(100), 0),
    (b"one\n" + bytes(100) + b"half", 4),
    (b"one\nhalf" + bytes(10_000), 4),
    (b"half" + bytes(10_000), 4),
    (bytes(10_000) + b"half", 4),
    (b"one\n" + b"x" * 3000, 3000),
    (b"x" * 2_000_000, 2_000_000),
    (b"one\n" + b"x" * 3000 + bytes(10_000), 3000),
]


@pytest.mark.parametrize(("content", "length"), LAST_LINES)
def test_an_incomplete_last_line_is_no_backlog_until_the_file_grows(
    path: Path, content: bytes, length: int
) -> None:
    path.write_bytes(content)
    follower = Follower(path)
    tail = follower.tail
    if asyncio.run(follower.start(final=False)):
        assert tail.incomplete_line == 0, "nobody has looked at the end yet"
        follower.read()
    tail.look()
    assert (tail.incomplete_line, tail.readable) == (length, 0)
    tail.unread_since = 5.0
    assert not tail.behind_since, "the follower reads at the time 0"
    append(path, b"more")
    tail.look()
    assert tail.incomplete_line == 0, "it may be complete now"
    assert tail.readable >= len(b"more")


def test_a_last_line_may_be_final_when_its_file_is_removed(path: Path) -> None:
    path.write_bytes(b"one\nhalf")
    follower = Follower(path)
    tail = follower.tail
    follower.begin()
    follower.read()
    assert (tail.incomplete_line, tail.readable) == (4, 0)
    assert not tail.is_acknowledged, "it is still to be shipped"
    tail.gone = 1.0
    assert (tail.incomplete_line, tail.readable) == (0, 4)
    # A process writes it still.
    follower.read()
    assert (tail.incomplete_line, tail.readable) == (4, 0)
    assert tail.may_have_data, "it is read again, and shipped when it is final"
    follower.read(final=True)
    assert follower.lines == [Line(0, b"one"), Line(4, b"half")]
    assert (tail.incomplete_line, tail.readable) == (0, 0)


@pytest.mark.parametrize("content", [b"half", b"one\nhalf"])
def test_an_incomplete_line_of_content_that_was_replaced_is_none(
    path: Path, content: bytes
) -> None:
    path.write_bytes(content)
    follower = Follower(path)
    if asyncio.run(follower.start(final=False)):
        follower.read()
    assert follower.tail.incomplete_line == 4
    rewrite(path, b"n")
    follower.tail.look()
    assert follower.tail.incomplete_line == 0
    if len(content) > 4:
        assert isinstance(follower.read(), Rewritten)
    assert follower.tail.incomplete_line == 0


def test_what_is_left_of_a_gzip_is_backlog_whatever_it_ends_with(path: Path) -> None:
    gzipped = path.with_name("a.log.gz")
    gzipped.write_bytes(gzip.compress(b"one\nhalf"))
    follower = Follower(gzipped)
    tail = follower.tail
    tail.look()
    assert tail.backlog, "it waits to be read"
    follower.begin()
    follower.read()
    assert (tail.incomplete_line, tail.readable, tail.unread) == (0, 4, 4)


def test_blocks_are_bounded(path: Path) -> None:
    path.write_bytes((b"x" * 99 + b"\n") * 10_000)
    follower = Follower(path, limit=1024 * 1024)
    follower.begin()
    follower.read()
    assert BLOCK_BYTES // 2 < follower.most_bytes <= BLOCK_BYTES
    assert len(follower.lines) == 10_000


def test_a_read_begins_only_a_little_before_what_is_new(path: Path) -> None:
    class Recording(FileSystem):
        reads: ClassVar[list[int]] = []

        async def read(
            self, descriptor: int, device: int, buffer: bytearray | memoryview, offset: int
        ) -> int:
            self.reads.append(offset)
            return await super().read(descriptor, device, buffer, offset)

    filesystem = Recording()
    path.write_bytes(b"first\n")
    follower = Follower(path, filesystem=filesystem)
    follower.begin()
    follower.read()
    for _ in range(50):
        append(path, b"x" * 99 + b"\n")
        end = follower.tail.offset
        filesystem.reads.clear()
        follower.read()
        assert min(filesystem.reads) >= end - MARK_BYTES
    assert len(follower.lines) == 51


def test_a_line_of_several_blocks_is_one_line(path: Path) -> None:
    long = b"x" * (3 * BLOCK_BYTES)
    path.write_bytes(b"one\n" + long + b"\nthree\n")
    follower = Follower(path, limit=4 * BLOCK_BYTES)
    follower.begin()
    follower.read()
    assert follower.lines == [Line(0, b"one"), Line(4, long), Line(5 + len(long), b"three")]


def test_reading_goes_on_in_the_middle_of_a_file(path: Path) -> None:
    path.write_bytes(b"one\ntwo\nthree\n")
    follower = Follower(path)
    follower.begin(4, b"one\n")
    follower.read()
    assert follower.lines == [Line(4, b"two"), Line(8, b"three")]


def test_nothing_is_read_where_nothing_changed(path: Path) -> None:
    path.write_bytes(b"one\n")
    follower = Follower(path)
    follower.begin()
    follower.read()
    assert not follower.tail.look()
    append(path, b"")
    assert follower.tail.look(), "a newer time may be another content of the same size"
    assert follower.read() is NoLine.AT_END
    assert not follower.tail.look()


# The last line ------------------------------------------------------------------------------------


def test_a_last_line_without_newline_is_complete_when_the_file_will_not_grow(path: Path) -> None:
    path.write_bytes(b"one\ntwo")
    follower = Follower(path)
    follower.begin()
    follower.read()
    assert follower.lines == [Line(0, b"one")]
    follower.read(final=True)
    assert follower.lines == [Line(0, b"one"), Line(4, b"two")]
    assert follower.tail.offset == 7
    assert not follower.tail.look()


@pytest.mark.parametrize("content", [b"", b"one\n"])
def test_a_file_without_a_last_line_has_none_when_it_will_not_grow(
    path: Path, content: bytes
) -> None:
    path.write_bytes(content)
    follower = Follower(path)
    follower.begin()
    assert follower.read(final=True) is NoLine.AT_END
    assert follower.lines == lines_of(content)
    append(path, b"")
    assert follower.read(final=True) is NoLine.AT_END
    assert not follower.tail.look()


def test_a_last_line_that_is_too_long_is_cut_also_without_newline(path: Path) -> None:
    path.write_bytes(b"x" * (LIMIT + 1))
    follower = Follower(path)
    follower.begin()
    assert follower.read() is NoLine.AT_END
    assert follower.read(final=True) is NoLine.AT_END
    assert follower.lines == [Line(0, b"x" * LIMIT, LIMIT + 1)]
    assert follower.tail.offset == LIMIT + 1


def test_a_file_that_grows_although_it_is_gone_is_read_on(path: Path) -> None:
    path.write_bytes(b"one")
    follower = Follower(path)
    follower.begin()
    follower.read(final=True)
    append(path, b"\ntwo\n")
    assert follower.read(final=True) is NoLine.AT_END
    assert follower.lines == [Line(0, b"one"), Line(3, b""), Line(4, b"two")]


# Long lines ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("filesystem", [FileSystem, SmallReads])
@pytest.mark.parametrize("length", [LIMIT - 1, LIMIT, LIMIT + 1, 5 * LIMIT, 5 * LIMIT + 5])
def test_only_a_line_that_is_longer_than_allowed_is_cut(
    path: Path, length: int, filesystem: type[FileSystem]
) -> None:
    long = os.urandom(length).translate(bytes(byte or 1 for byte in range(256)))
    long = long.replace(b"\n", b"?")
    path.write_bytes(b"one\n" + long + b"\nthree\n")
    follower = Follower(path, filesystem=filesystem())
    follower.begin()
    assert follower.read() is NoLine.AT_END
    middle = Line(4, long) if length <= LIMIT else Line(4, long[:LIMIT], length)
    assert follower.lines == [Line(0, b"one"), middle, Line(5 + length, b"three")]


def test_a_long_line_is_given_when_its_end_is_written(path: Path) -> None:
    path.write_bytes(b"x" * 3000)
    follower = Follower(path)
    follower.begin()
    for _ in range(3):
        assert follower.read() is NoLine.AT_END
        assert follower.tail.state is State.SKIPPING
        append(path, b"y" * 3000)
    append(path, b"\nnext\n")
    follower.read()
    assert follower.lines == [Line(0, b"x" * LIMIT, 12_000), Line(12_001, b"next")]
    assert follower.tail.state is State.READING


def test_a_line_just_as_long_as_allowed_is_whole_also_when_its_newline_comes_later(
    path: Path,
) -> None:
    path.write_bytes(b"x" * LIMIT)
    follower = Follower(path)
    follower.begin()
    assert follower.read() is NoLine.AT_END
    append(path, b"\n")
    assert follower.read() is NoLine.AT_END
    assert follower.lines == [Line(0, b"x" * LIMIT)]


def test_a_line_without_end_is_skipped_with_bounded_memory(path: Path) -> None:
    size = 32 * 1024 * 1024
    path.write_bytes(b"x" * size + b"\nnext\n")
    follower = Follower(path, limit=64 * 1024)
    follower.begin()
    tracemalloc.start()
    try:
        follower.read()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert follower.lines == [Line(0, b"x" * 64 * 1024, size), Line(size + 1, b"next")]
    assert peak < 1024 * 1024


# Faults -------------------------------------------------------------------------------------------


def raise_io_error() -> None:
    raise OSError(errno.EIO, "Input/output error")


@pytest.mark.parametrize("number", range(1, 8))
def test_a_read_error_in_the_middle_loses_and_doubles_nothing(path: Path, number: int) -> None:
    content = b"one\n" + b"x" * 3000 + b"\nthree\n" + b"y" * 900 + b"\nfive\n"
    path.write_bytes(content)
    filesystem = BeforeRead()
    follower = Follower(path, filesystem=filesystem)
    follower.begin()
    filesystem.at(number, raise_io_error)
    with pytest.raises(OSError, match="Input/output"):
        follower.read()
    assert follower.read() is NoLine.AT_END
    expected = lines_of(content)
    expected[1] = Line(4, b"x" * LIMIT, 3000)
    assert follower.lines == expected


@pytest.mark.parametrize("number", range(1, 8))
def test_a_file_that_is_cut_during_a_read_is_never_read_as_what_it_is_not(
    path: Path, number: int
) -> None:
    content = b"one\n" + b"x" * 3000 + b"\nthree\n" + b"y" * 900 + b"\nfive\n"
    expected = lines_of(content)
    expected[1] = Line(4, b"x" * LIMIT, 3000)
    path.write_bytes(content)
    filesystem = BeforeRead()
    follower = Follower(path, filesystem=filesystem)
    follower.begin()
    filesystem.at(number, lambda: rewrite(path, b""))
    readings = [follower.read(), follower.read()]
    # Whole lines of the old content, in their order, and nothing else.
    assert follower.lines == expected[: len(follower.lines)]
    # It is noticed, by this call or by the next.
    assert any(isinstance(reading, Rewritten) for reading in readings)


def test_a_last_line_that_is_cut_during_its_read_is_not_given(path: Path) -> None:
    path.write_bytes(b"one\ntwo")
    filesystem = BeforeRead()
    follower = Follower(path, filesystem=filesystem)
    follower.begin()
    follower.read()
    # The first read finds no newline, the second one takes the line.
    filesystem.at(2, lambda: rewrite(path, b"one\nt"))
    assert isinstance(follower.read(final=True), Rewritten)
    assert follower.lines == [Line(0, b"one")]


# Other content ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [b"", b"new\n", b"ONE\nTWO\n", b"other content\n" * 100],
    ids=["empty", "shorter", "same size", "longer"],
)
def test_content_that_was_rewritten_is_noticed_before_a_byte_of_it_is_read(
    path: Path, content: bytes
) -> None:
    path.write_bytes(b"one\ntwo\n")
    follower = Follower(path)
    follower.begin()
    follower.read()
    rewrite(path, content)
    assert follower.tail.look()
    ended = follower.read()
    assert isinstance(ended, Rewritten)
    assert ended.why
    assert follower.lines == lines_of(b"one\ntwo\n")
    # It is over with this tail: the new content is another file to us.
    assert follower.tail.state is State.DONE
    assert not follower.tail.look()
    assert follower.tail.unread == 0


@pytest.mark.parametrize("looks", [False, True])
@pytest.mark.parametrize("lines", [50, 51, 80])
def test_content_is_another_one_although_its_lines_end_alike(
    path: Path, lines: int, looks: bool
) -> None:
    """Events of one length, with the same map of node labels at their end."""
    labels = b"x" * (MARK_BYTES + 44)

    def events(kind: bytes, count: int) -> bytes:
        return b"".join(b"%s %03d %s\n" % (kind, number, labels) for number in range(count))

    path.write_bytes(events(b"one", 50))
    follower = Follower(path, limit=4096)
    follower.begin()
    assert follower.read() is NoLine.AT_END
    rewrite(path, events(b"two", lines))
    if looks:
        follower.tail.look()
    assert isinstance(follower.read(), Rewritten)
    assert follower.lines == lines_of(events(b"one", 50))


@pytest.mark.parametrize("start", [b"", b"one\n"], ids=["first line", "later line"])
@pytest.mark.parametrize("length", [50, 2 * LIMIT, 10 * LIMIT])
def test_content_that_was_rewritten_inside_a_long_line_is_noticed(
    path: Path, start: bytes, length: int
) -> None:
    path.write_bytes(start + b"x" * 5000)
    follower = Follower(path)
    follower.begin()
    assert follower.read() is NoLine.AT_END
    assert follower.tail.state is State.SKIPPING
    rewrite(path, b"other " + b"y" * length + b"\nlast\n")
    assert isinstance(follower.read(), Rewritten)
    assert follower.lines == lines_of(start)


def test_a_first_line_that_was_rewritten_before_it_was_complete_is_noticed(path: Path) -> None:
    # It is long enough to be known, and the id of its document says which file it is of.
    path.write_bytes(b"x" * 5000)
    follower = Follower(path, limit=64 * 1024)
    follower.begin()
    assert follower.read() is NoLine.AT_END
    rewrite(path, b"other\n" * 2000)
    assert isinstance(follower.read(), Rewritten)
    assert follower.lines == []


def test_a_file_that_only_grows_is_never_taken_for_another(path: Path) -> None:
    path.write_bytes(b"")
    append(path, b"a\n")
    follower = Follower(path)
    follower.begin()
    content = b"a\n"
    for number in range(300):
        more = b"%d" % number + b"\n" * (number % 3)
        append(path, more)
        content += more
        assert follower.read() is NoLine.AT_END
    assert follower.lines == lines_of(content)


# What is known of it ------------------------------------------------------------------------------


def test_a_waiting_file_is_identified_by_its_first_line(path: Path) -> None:
    path.write_bytes(b"on")
    tail = Follower(path).tail
    assert asyncio.run(tail.identify(final=False)) is None
    assert asyncio.run(tail.read(final=False)) is NoLine.AT_END
    append(path, b"e\n")
    assert asyncio.run(tail.identify(final=False)) == identity_of(b"one\n")


def test_a_mark_is_looked_for_where_it_was_made(path: Path) -> None:
    content = b"".join(b"line %d\n" % number for number in range(200))
    path.write_bytes(content)
    tail = Follower(path).tail

    def has(offset: int, before: bytes) -> bool | None:
        return asyncio.run(tail.has_mark(offset, mark_of(before)))

    assert has(1000, content[:1000])
    assert not has(1001, content[:1000])
    assert not has(1000, content[:999] + b"?")
    assert not has(len(content) + 1, content + b"x")
    assert asyncio.run(tail.has_mark(0, NO_MARK))
    # A damaged registry may say anything.
    assert not has(-1, b"")
    assert not has(2, content[:3])
    assert mark_of(content[:1000]).length == MARK_BYTES


def test_what_is_behind_is_counted_in_bytes(path: Path) -> None:
    path.write_bytes(b"one\ntwo\nthr")
    follower = Follower(path)
    tail = follower.tail
    follower.begin()
    assert (tail.size, tail.offset, tail.unread, tail.backlog) == (11, 0, 11, 11)
    follower.read()
    # Read, and not acknowledged. Nobody can ship the last line before its newline is there.
    assert (tail.offset, tail.unread, tail.readable, tail.backlog) == (8, 3, 0, 8)
    assert tail.incomplete_line == 3
    rewrite(path, b"new\n")
    assert isinstance(follower.read(), Rewritten)
    assert (tail.unread_lost, tail.unread, tail.backlog) == (3, 0, 8)


def test_the_age_of_what_is_behind_is_that_of_its_oldest_byte(path: Path) -> None:
    path.write_bytes(b"one\n")
    follower = Follower(path)
    tail = follower.tail
    follower.begin()

    def since() -> float | None:
        return tail.behind_since

    assert since() is None
    tail.unread_since = 5.0
    assert since() == 5.0
    first = tail.acks.open(4, NO_MARK, 5.0)
    tail.unread_since = None
    assert since() == 5.0
    first.finish()
    assert since() is None


def test_what_was_seen_and_cut_off_is_not_passed_by_reading_on(path: Path) -> None:
    append(path, b"one\ntwo\n")
    follower = Follower(path)
    follower.begin()
    follower.read()
    append(path, b"three\nfour\nfive\n")
    assert follower.tail.look()
    os.truncate(path, len(b"one\ntwo\nthree\n"))
    append(path, b"six\n")
    assert isinstance(follower.read(), Rewritten)
    assert follower.tail.unread_lost == len(b"three\nfour\nfive\n")


# The fast way -------------------------------------------------------------------------------------


LOG = b"first line\n" + b"x" * 300 + b"\n"


def caught_up(path: Path, content: bytes = LOG) -> Follower:
    """A log of which all is read."""
    path.write_bytes(content)
    follower = Follower(path)
    follower.begin()
    follower.read()
    return follower


def test_whole_lines_that_were_appended_are_taken_at_once_as_a_read_gives_them(
    tmp_path: Path,
) -> None:
    fast, slow = caught_up(tmp_path / "fast"), caught_up(tmp_path / "slow")
    for data in (b"a\n", b"b\n\n", b"y" * 500 + b"\n", b"c\nd\n"):
        for follower in (fast, slow):
            append(Path(follower.tail.path), data)
        taken, read = fast.tail.take(), slow.step()
        assert isinstance(taken, Block)
        assert taken == read
        assert taken.data == data
        fast.tail.acks.open(taken.end, taken.mark, 0.0)
        for follower in (fast, slow):
            assert not follower.tail.may_have_data
            assert not follower.tail.needs_examination
        assert fast.tail.seen == slow.tail.seen
        assert fast.tail.take() is None, "nothing is new"
        # A look finds nothing else, either: nobody examines it again.
        assert not fast.tail.look()
        assert not fast.tail._stat_failed
        assert fast.tail.version == fast.tail._known.examined


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda path: append(path, b"half"), id="half a line"),
        pytest.param(lambda path: append(path, b"a\0\nb\n"), id="NULs"),
        pytest.param(lambda path: append(path, b"z" * (LIMIT + 1) + b"\n"), id="more than a block"),
        pytest.param(lambda path: rewrite(path, b"first"), id="cut"),
        pytest.param(lambda path: rewrite(path, LOG.upper() + b"more\n"), id="written over"),
        pytest.param(
            lambda path: rewrite(path, b"other line\n" + LOG[11:] + b"more\n"),
            id="another beginning, and the same bytes before the offset",
        ),
        pytest.param(lambda path: append(path, b""), id="touched"),
        pytest.param(lambda path: path.unlink(), id="removed"),
    ],
)
def test_whatever_else_happened_is_left_to_a_read(
    path: Path, change: Callable[[Path], object]
) -> None:
    follower = caught_up(path)
    before = follower.tail.offset, follower.tail.size, follower.tail.version, follower.tail.seen
    change(path)
    assert follower.tail.take() is None
    tail = follower.tail
    assert (tail.offset, tail.size, tail.version, tail.seen) == before


def test_a_file_that_is_not_read_to_its_end_is_left_to_a_read(path: Path) -> None:
    follower = caught_up(path)
    append(path, b"half")
    follower.read()
    append(path, b" a line\n")
    assert follower.tail.take() is None
    follower.read()
    assert follower.lines[-1].data == b"half a line"


class NotCached(FileSystem):
    """What is read is on a disk."""

    def appended(self, *args: Any) -> None:
        raise BlockingIOError


def test_what_is_not_in_the_cache_is_left_to_a_read(path: Path) -> None:
    path.write_bytes(LOG)
    follower = Follower(path, filesystem=NotCached())
    follower.begin()
    follower.read()
    append(path, b"more\n")
    assert follower.tail.take() is None
    follower.read()
    assert follower.lines[-1].data == b"more"
