"""Which lines come out of a log with NULs in it, against a slow and obvious model: whatever the
sizes of blocks, however the log grows, and whether it is a file or a gzip."""

from __future__ import annotations

import asyncio
import gzip
import os
import random
import re
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from shipper.files.archive import GzipStream
from shipper.files.filesystem import FileSystem
from shipper.files.identity import HEAD_BYTES, MARK_BYTES, identity_of, mark_of
from shipper.files.lines import BLOCK_BYTES, NoLine, Rewritten
from shipper.files.measure import LastLine, Unread, measure_unread
from shipper.files.tail import State
from tests.support.follower import LIMIT, Follower, Line

SEEDS_A_TEST = 30
GIB = 1024**3


def expected(content: bytes, *, final: bool) -> Iterator[Line]:
    """Byte by byte, as the documentation has it."""
    position = 0
    while True:
        while content[position : position + 1] == b"\0":
            position += 1
        start = position
        while position < len(content) and content[position] not in b"\0\n":
            position += 1
        end, line = content[position : position + 1], content[start:position]
        half = end == b"\0"
        is_last = not end or (half and not content[position:].strip(b"\0"))
        if is_last and (not final or not line):
            return
        cut = len(line) if len(line) > LIMIT else None
        yield Line(start, line[:LIMIT], cut, half=half and cut is None)
        position += end == b"\n"


def some_content(rng: random.Random, lines: int) -> bytes:
    """Lines, half lines, runs of NULs of all lengths around those of blocks and marks."""
    parts = []
    for number in range(rng.randrange(lines)):
        length = rng.choice((0, 1, 10, 100, MARK_BYTES, LIMIT - 12, LIMIT, LIMIT + 1, 3000))
        parts.append(b"<%d>" % number * rng.randrange(2) + b"x" * rng.randrange(length + 1))
        runs = (1, 2, 64, MARK_BYTES, LIMIT, LIMIT + 1, 4096, 10_000)
        nuls = bytes(rng.choice(runs) if rng.random() < 0.3 else 0)
        parts.append(rng.choice((b"\n", b"\n", b"\r\n", b"\n\n", b"")) + nuls)
    return b"".join(parts)


def incomplete(content: bytes) -> int:
    """How long the last line is that waits for its newline."""
    return len(re.split(rb"[\n\0]", content.rstrip(b"\0"))[-1])


def a_follower(path: Path, rng: random.Random) -> Follower:
    follower = Follower(path)
    buffer = follower.tail._buffer
    buffer.block_bytes = rng.choice((1, 7, 300, LIMIT, LIMIT + 1))
    return follower


def touch(path: Path, version: int) -> None:
    """No two versions in one instant of the file system's clock."""
    os.utime(path, ns=(0, version * 1_000_000))


def check(seed: int, found: list[Line], wanted: list[Line]) -> None:
    assert found == wanted, f"seed {seed}"


@pytest.mark.parametrize("first", range(0, 150, SEEDS_A_TEST))
def test_a_log_that_grows_in_random_steps(first: int, tmp_path: Path) -> None:
    path = tmp_path / "a.log"

    async def history(seed: int) -> None:
        rng = random.Random(seed)
        content = some_content(rng, 30)
        cuts = sorted(rng.randrange(len(content) + 1) for _ in range(rng.randrange(5)))
        path.write_bytes(b"")
        follower, begun, done = a_follower(path, rng), False, 0
        for version, end in enumerate([*cuts, len(content)]):
            with path.open("ab") as file:
                file.write(content[done:end])
            touch(path, version)
            done = end
            begun = begun or await follower.start(final=False)
            if begun:
                assert await follower.all() is NoLine.AT_END
                wanted = list(expected(content[:end], final=False))
                assert follower.lines == wanted, f"seed {seed}, at {end}"
            assert follower.tail.incomplete_line == incomplete(content[:end]), f"seed {seed}"
            assert follower.tail.readable == 0, f"seed {seed}"
        if not begun:
            await follower.start()
        assert await follower.all(final=True) is NoLine.AT_END
        check(seed, follower.lines, list(expected(content, final=True)))
        assert follower.tail.unread == 0
        assert not follower.tail.look(), "nothing is left, whatever it ends with"
        follower.tail.close()

    for seed in range(first, first + SEEDS_A_TEST):
        asyncio.run(history(seed))
        path.unlink()


@pytest.mark.parametrize("first", range(0, 120, SEEDS_A_TEST))
def test_a_log_that_is_allocated_in_advance_and_filled_in_place(first: int, tmp_path: Path) -> None:
    path = tmp_path / "a.log"

    async def history(seed: int) -> None:
        rng = random.Random(seed)
        content = some_content(rng, 20).replace(b"\0", b"") + b"the last one\n"
        size = len(content) + rng.choice((0, 1, 5000, 300_000))
        path.write_bytes(bytes(size) if rng.random() < 0.5 else b"")
        os.truncate(path, size)
        cuts = sorted(rng.randrange(len(content) + 1) for _ in range(rng.randrange(6)))
        follower, begun, done = a_follower(path, rng), False, 0
        for version, end in enumerate([*cuts, len(content)]):
            with path.open("r+b") as file:
                file.seek(done)
                file.write(content[done:end])
            touch(path, version)
            done = end
            begun = begun or await follower.start(final=False)
            if begun:
                assert await follower.all() is NoLine.AT_END
                wanted = list(expected(content[:end], final=False))
                assert follower.lines == wanted, f"seed {seed}, at {end}"
            assert follower.tail.incomplete_line == incomplete(content[:end]), f"seed {seed}"
            assert follower.tail.readable == 0, f"seed {seed}"
        assert follower.tail.unread == 0
        assert follower.tail.offset == len(content)
        # It is closed properly: what was not needed is cut off.
        os.truncate(path, len(content))
        touch(path, 99)
        assert await follower.all(final=True) is NoLine.AT_END
        check(seed, follower.lines, list(expected(content, final=True)))
        assert follower.tail.unread_lost == 0
        follower.tail.close()

    for seed in range(first, first + SEEDS_A_TEST):
        asyncio.run(history(seed))
        path.unlink()


@pytest.mark.parametrize("first", range(0, 90, SEEDS_A_TEST))
def test_a_log_that_is_carried_on_in_the_middle(first: int, tmp_path: Path) -> None:
    for seed in range(first, first + SEEDS_A_TEST):
        rng = random.Random(seed)
        content = some_content(rng, 30)
        wanted = list(expected(content, final=True))
        if not wanted:
            continue
        path = tmp_path / rng.choice(("a.log", "a.log.gz"))
        path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
        chosen = rng.randrange(len(wanted))
        last = wanted[chosen]
        end = last.offset + (last.cut_from or len(last.data))
        end += content[end : end + 1] == b"\n"
        before = content[:end]

        async def carry_on(path: Path, rng: random.Random, end: int, before: bytes) -> Follower:
            follower = a_follower(path, rng)
            # A mark of an earlier version covers NULs, too; those of this one none.
            if rng.random() < 0.5:
                before = before[-MARK_BYTES:].rpartition(b"\0")[2]
            assert await follower.start(end, before)
            assert await follower.all(final=True) is NoLine.AT_END
            follower.tail.close()
            return follower

        follower = asyncio.run(carry_on(path, rng, end, before))
        check(seed, follower.lines, wanted[chosen + 1 :])


def packed(rng: random.Random, content: bytes) -> bytes:
    """A gzip of some members, of which some may be empty."""
    step = max(1, len(content) // rng.randrange(1, 5))
    parts = [content[i : i + step] for i in range(0, len(content), step)] or [b""]
    return b"".join(gzip.compress(part, rng.choice((0, 1, 9)), mtime=0) for part in parts)


def inflated(data: bytes) -> bytes:
    """What comes before damage, or the end, byte by byte."""
    found, member = bytearray(), zlib.decompressobj(31)
    try:
        for i in range(len(data)):
            if member.eof:
                if data[i : i + 1] == b"\0":
                    continue
                if not b"\x1f\x8b".startswith(data[i : i + 2]):
                    break
                member = zlib.decompressobj(31)
            found += member.decompress(data[i : i + 1])
    except zlib.error:
        pass  # What it said is not of interest here.
    return bytes(found)


@pytest.mark.parametrize("first", range(0, 150, SEEDS_A_TEST))
def test_a_gzip_whole_cut_or_damaged_that_grows_in_random_steps(
    first: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.log.gz"

    async def history(seed: int) -> None:
        rng = random.Random(seed)
        monkeypatch.setattr("shipper.files.gzip_content._PIECE_BYTES", rng.choice((70, 5000)))
        monkeypatch.setattr("shipper.files.archive._READ_BYTES", rng.choice((9, 4096)))
        data = bytearray(packed(rng, some_content(rng, 20)))
        match rng.randrange(4):
            case 0:
                del data[rng.randrange(len(data)) :]
            case 1 if len(data) > 30:
                data[rng.randrange(2, len(data))] ^= 1 << rng.randrange(8)
        cuts = sorted(rng.randrange(len(data) + 1) for _ in range(rng.randrange(4)))
        path.write_bytes(b"")
        follower, begun, done = a_follower(path, rng), False, 0
        for version, end in enumerate([*cuts, len(data)]):
            with path.open("ab") as file:
                file.write(data[done:end])
            touch(path, version)
            done = end
            begun = begun or await follower.start(final=False)
            if begun:
                assert await follower.all() is NoLine.AT_END
        if not begun:
            await follower.start()
        assert await follower.all(final=True) is NoLine.AT_END
        content = inflated(bytes(data))
        check(seed, follower.lines, list(expected(content, final=True)))
        assert follower.tail.content.at_end
        assert follower.tail.size == len(content)
        assert follower.tail.unread == 0
        follower.tail.close()

    for seed in range(first, first + SEEDS_A_TEST):
        asyncio.run(history(seed))
        path.unlink()


@pytest.mark.parametrize("first", range(0, 90, SEEDS_A_TEST))
def test_identity_last_line_and_what_is_unread(first: int, tmp_path: Path) -> None:
    async def compare(seed: int) -> None:
        rng = random.Random(seed)
        content = some_content(rng, 30)
        (tmp_path / "a.log").write_bytes(content)
        (tmp_path / "a.log.gz").write_bytes(packed(rng, content))
        shifted = bytes(rng.choice((1, 5000))) + content
        (tmp_path / "b.log").write_bytes(shifted)
        followers = [a_follower(tmp_path / name, rng) for name in ("a.log", "a.log.gz", "b.log")]
        plain, archive, later = (follower.tail for follower in followers)
        identities = {await tail.identify(final=True) for tail in (plain, archive, later)}
        assert len(identities) == 1, f"seed {seed}: NULs before it change nothing"
        if b"\0" not in content[:HEAD_BYTES]:
            assert identities == {identity_of(content, final=True)}
        end = content.rfind(b"\n") + 1
        mark = mark_of(content[:end][-MARK_BYTES:].rpartition(b"\0")[2])
        for tail in (plain, archive):
            search = LastLine(rng.choice((1, 7, 300)))
            while (found := await search.find(tail.content)) is None:
                pass
            assert found == (end, mark), f"seed {seed}"
            offset = rng.randrange(len(content) + 1)
            unread = await measure_unread(tail.content, offset, rng.choice((1, 7, 300)), b"")
            rest = content[offset:]
            assert (unread.start, unread.end) == (offset, len(content))
            assert unread.last == rest[-MARK_BYTES:], f"seed {seed}"
            counted = unread.size, unread.lines
            wanted = len(rest) - rest.count(0), len(list(expected(rest, final=True)))
            assert counted == wanted, f"seed {seed}"
        for follower in followers:
            follower.tail.close()

    for seed in range(first, first + SEEDS_A_TEST):
        asyncio.run(compare(seed))


# Cases --------------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tetragon.log"


def all_of(path: Path, *, final: bool = False) -> Follower:
    follower = Follower(path)
    follower.begin()
    assert follower.read(final=final) is NoLine.AT_END
    return follower


def test_nuls_alone_are_no_line_and_nothing_is_unread(path: Path) -> None:
    path.write_bytes(bytes(5000))
    follower = Follower(path)
    tail = follower.tail
    assert not asyncio.run(follower.start(final=False)), "it is not known yet which file it is"
    assert (tail.unread, tail.offset) == (0, 0)
    assert not tail.look()
    with path.open("r+b") as file:
        file.write(b"one\n")
    touch(path, 1)
    assert tail.look()
    assert asyncio.run(follower.start(final=False))
    assert follower.read() is NoLine.AT_END
    assert follower.lines == [Line(0, b"one")]


def test_the_offset_passes_nuls_only_with_a_line(path: Path) -> None:
    path.write_bytes(b"one\n" + bytes(3 * BLOCK_BYTES))
    follower = all_of(path)
    assert follower.tail.offset == 4
    with path.open("ab") as file:
        file.write(b"two\n")
    follower.read()
    assert follower.lines == [Line(0, b"one"), Line(4 + 3 * BLOCK_BYTES, b"two")]
    assert follower.tail.offset == 8 + 3 * BLOCK_BYTES


def test_half_a_line_before_nuls_waits_until_something_follows(path: Path) -> None:
    path.write_bytes(b"one\nha" + bytes(100))
    follower = all_of(path)
    assert follower.lines == [Line(0, b"one")]
    with path.open("ab") as file:
        file.write(b"n")
    follower.read()
    assert follower.lines == [Line(0, b"one"), Line(4, b"ha", half=True)]
    with path.open("ab") as file:
        file.write(b"ext\n")
    follower.read()
    assert follower.lines[2:] == [Line(106, b"next")]


def test_nuls_at_the_end_of_a_file_that_will_not_grow(path: Path) -> None:
    path.write_bytes(b"one\nha" + bytes(100))
    follower = all_of(path, final=True)
    assert follower.lines == [Line(0, b"one"), Line(4, b"ha", half=True)]
    assert (follower.tail.offset, follower.tail.unread) == (6, 0)
    assert follower.tail.is_acknowledged is False, "the lines are under way"
    assert not follower.tail.look()


def test_the_limit_of_a_line_does_not_count_nuls(path: Path) -> None:
    path.write_bytes(b"a\n" + bytes(5 * LIMIT) + b"x" * LIMIT + b"\n")
    assert all_of(path).lines == [Line(0, b"a"), Line(2 + 5 * LIMIT, b"x" * LIMIT)]


def test_a_line_that_is_too_long_ends_before_nuls(path: Path) -> None:
    path.write_bytes(b"x" * 3000 + bytes(3000) + b"next\n")
    assert all_of(path).lines == [Line(0, b"x" * LIMIT, 3000), Line(6000, b"next")]


@pytest.mark.parametrize("before", [b"", b"one\n"], ids=["at the beginning", "after a line"])
def test_a_hole_of_24_gib_takes_no_time(path: Path, before: bytes) -> None:
    path.write_bytes(before)
    os.truncate(path, 24 * GIB)
    with path.open("ab") as file:
        file.write(b"after\n")
    began = time.perf_counter()
    follower = all_of(path)
    assert follower.lines[-1] == Line(24 * GIB, b"after")
    assert time.perf_counter() - began < 0.5


def test_last_line_and_unread_of_a_hole_of_24_gib(path: Path) -> None:
    path.write_bytes(b"one\ntwo")
    os.truncate(path, 24 * GIB)
    tail = Follower(path).tail

    async def measure() -> tuple[object, Unread]:
        while (last := await tail.last_line_end()) is None:
            pass
        return last, await tail.measure_unread(final=True)

    began = time.perf_counter()
    last, unread = asyncio.run(measure())
    assert last == (4, mark_of(b"one\n"))
    assert (unread.end, unread.size, unread.lines) == (24 * GIB, 7, 2)
    assert time.perf_counter() - began < 0.5


def test_long_runs_that_are_no_holes_are_passed_in_bounded_steps(path: Path) -> None:
    class NoHoles(FileSystem):
        blocks = 0

        def next_data(self, descriptor: int, offset: int) -> int:
            self.blocks += 1
            return offset

    path.write_bytes(b"one\n" + bytes(100 * LIMIT) + b"two\n")
    filesystem = NoHoles()
    follower = Follower(path, filesystem=filesystem)
    follower.begin()
    steps = 0
    while (reading := follower.step()) is not NoLine.AT_END:
        steps += reading is NoLine.MORE
    assert follower.lines == [Line(0, b"one"), Line(4 + 100 * LIMIT, b"two")]
    assert steps >= 5
    assert filesystem.blocks < 120, "no step begins anew"


def test_truncated_under_a_writer_that_does_not_append(path: Path) -> None:
    # copytruncate, and what the writer writes next stands where its descriptor is.
    writer = os.open(path, os.O_CREAT | os.O_WRONLY)
    os.write(writer, b"old\n" * 1000)
    follower = all_of(path)
    os.truncate(path, 0)
    os.write(writer, b"new\n")
    touch(path, 1)
    assert isinstance(follower.read(), Rewritten)
    again = all_of(path)
    assert again.lines == [Line(4000, b"new")]
    os.write(writer, b"newer\n")
    os.close(writer)
    again.read()
    assert again.lines == [Line(4000, b"new"), Line(4004, b"newer")]


@pytest.mark.parametrize("hole", [False, True])
@pytest.mark.parametrize("first", [b"", b"one\n"])
def test_what_is_allocated_in_advance_may_be_filled_after_a_gap(
    path: Path, first: bytes, hole: bool
) -> None:
    path.write_bytes(first + (b"" if hole else bytes(100_000)))
    os.truncate(path, 100_000)
    follower = Follower(path)
    begun = asyncio.run(follower.start(final=False))
    assert begun == bool(first)
    follower.read()
    for number, offset in enumerate((50_000, 50_400, 90_000)):
        with path.open("r+b") as file:
            file.seek(offset)
            file.write(b"line %d\n" % number)
        touch(path, number + 1)
        begun = begun or asyncio.run(follower.start(final=False))
        follower.read()
        assert follower.lines[-1] == Line(offset, b"line %d" % number)
    assert len(follower.lines) == 3 + bool(first)


def test_what_earlier_versions_made_of_the_first_line_is_known(path: Path) -> None:
    content = bytes(100) + b"one\ntwo\n"
    path.write_bytes(content)
    tail = Follower(path).tail
    assert asyncio.run(tail.identify(final=False)) == identity_of(b"one\n")
    assert tail.identification.head.legacy == identity_of(content)
    # Their marks cover NULs.
    assert asyncio.run(tail.has_mark(104, mark_of(content[:104])))


# Gzips --------------------------------------------------------------------------------------------


def test_a_gzip_whose_content_begins_with_zeros(tmp_path: Path) -> None:
    path = tmp_path / "a.log.gz"
    zeros = 40 * 1024 * 1024
    path.write_bytes(gzip.compress(bytes(zeros) + b"one\ntwo\n"))
    follower = Follower(path, limit=1024 * 1024)

    async def read() -> tuple[int, NoLine | Rewritten]:
        steps = 1
        while await follower.tail.identify(final=False) is None:
            assert follower.tail.identification.head.searching
            steps += 1
        await follower.start()
        return steps, await follower.all(final=True)

    steps, ended = asyncio.run(read())
    assert ended is NoLine.AT_END
    assert follower.lines == [Line(zeros, b"one"), Line(zeros + 4, b"two")]
    assert steps > 5, "each of them bounded"


def test_a_gzip_is_inflated_once_however_long_its_lines_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.log.gz"
    content = b"one\n" + b"x" * 5000 + b"\n" + b"y" * 9000 + bytes(5000) + b"three\n"
    path.write_bytes(gzip.compress(content))
    streams = []

    def counted(source: int) -> GzipStream:
        streams.append(source)
        return GzipStream(source)

    monkeypatch.setattr("shipper.files.gzip_content.GzipStream", counted)
    follower = all_of(path, final=True)
    assert follower.lines == list(expected(content, final=True))
    assert len(streams) == 1


def test_a_gzip_that_is_written_anew_while_it_is_read_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.log.gz"
    content = b"".join(b"%d\n" % number for number in range(200_000))
    path.write_bytes(gzip.compress(content)[:100_000])
    follower = all_of(path)
    count = len(follower.lines)
    assert count > 10_000
    path.write_bytes(gzip.compress(b"other\n", mtime=7))
    touch(path, 1)
    readings = [follower.step(), follower.step()]
    assert any(isinstance(reading, Rewritten) for reading in readings)
    assert len(follower.lines) == count
    assert follower.tail.state is State.DONE


def test_a_gzip_holds_no_more_than_is_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.log.gz"
    path.write_bytes(gzip.compress(b"one\n" * 100))
    follower = Follower(path)
    monkeypatch.setattr(follower.tail.content, "_largest", 42)
    follower.begin()
    follower.read(final=True)
    assert [line.data for line in follower.lines] == [b"one"] * 10 + [b"on"]
    assert follower.tail.content.ending is not None
    assert follower.tail.content.ending.value == "too_large"
    assert follower.tail.content.problem == "it holds more than 42 bytes"
