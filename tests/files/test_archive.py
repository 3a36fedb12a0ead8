"""What is in the gzip of a rotated log: all of it, or what is sound and a word on the rest."""

from __future__ import annotations

import gzip
import os
import random
import shutil
import struct
import subprocess
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from shipper.files.archive import Ending, GzipStream, window

PIECE = 256 * 1024


def log(lines: int) -> bytes:
    """Lines with as much in common as Tetragon's have; the same ones every time."""
    digits = random.Random(lines)
    return b"".join(
        b'{"process_exec":{"process":{"exec_id":"%016x","pid":%d}},"time":"2026-01-01T00:00:%02dZ"}\n'
        % (digits.getrandbits(64), digits.randrange(40_000), number % 60)
        for number in range(lines)
    )


def lumberjack(plain: bytes) -> bytes:
    """As Go's compress/gzip does it: no name, no time, no system; an empty last block."""
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    blocks = deflate.compress(plain) + deflate.flush(zlib.Z_SYNC_FLUSH) + b"\1\0\0\xff\xff"
    trailer = struct.pack("<II", zlib.crc32(plain), len(plain) % (1 << 32))
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + blocks + trailer


def with_every_header_field(plain: bytes) -> bytes:
    """FHCRC, FEXTRA, FNAME and FCOMMENT (RFC 1952, section 2.3.1)."""
    header = b"\x1f\x8b\x08\x1e\1\2\3\4\2\3" + b"\4\0AB\0\0" + b"a.log\0" + b"a comment\0"
    return header + struct.pack("<H", zlib.crc32(header) & 0xFFFF) + gzip.compress(plain)[10:]


def gzip_command(plain: bytes) -> bytes:
    if shutil.which("gzip") is None:
        pytest.skip("there is no gzip")
    return subprocess.run(["gzip", "-c"], input=plain, capture_output=True, check=True).stdout


def stored(plain: bytes) -> bytes:
    return gzip.compress(plain, 0)


def many_members(plain: bytes) -> bytes:
    step = max(1, len(plain) // 7)
    parts = [gzip.compress(plain[i : i + step]) for i in range(0, len(plain), step)]
    return b"".join(parts) + gzip.compress(b"")


SMALL = log(4)
#: More than is read, and than is unpacked at once, many times.
LARGE = log(20_000)
WRITERS = [
    lumberjack,
    gzip.compress,
    gzip_command,
    stored,
    with_every_header_field,
    many_members,
]


@dataclass(frozen=True, slots=True)
class Archive:
    """A gzip on a disk."""

    path: Path

    def write(self, packed: bytes | bytearray) -> None:
        self.path.write_bytes(packed)

    @contextmanager
    def opened(self) -> Iterator[int]:
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def unpack(self) -> tuple[GzipStream, bytes]:
        """What is said of it, and what was in it."""
        with self.opened() as source:
            stream, found = GzipStream(source), bytearray()
            while not stream.at_end:
                found += stream.take(PIECE)
            return stream, bytes(found)

    def window(self, begin: int, count: int) -> bytes:
        with self.opened() as source:
            return window(source, begin, count)


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "tetragon-1.log.gz")


def before_damage(packed: bytes) -> bytes:
    """What one member gives if it is unpacked byte by byte until that does not go on."""
    inflater, found = zlib.decompressobj(wbits=31), bytearray()
    try:
        for i in range(len(packed)):
            found += inflater.decompress(packed[i : i + 1])
    except zlib.error:
        pass  # What it said is not of interest here.
    return bytes(found)


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("plain", [b"", b"\n", SMALL, LARGE], ids=["no", "one", "few", "many"])
def test_all_that_was_written_is_there(
    archive: Archive, write: Callable[[bytes], bytes], plain: bytes
) -> None:
    archive.write(write(plain))
    unpacked, found = archive.unpack()
    assert found == plain
    assert (unpacked.ending, unpacked.problem) == (Ending.COMPLETE, "")


@pytest.mark.parametrize("zeros", [1, 512, 200_000])
def test_zeros_at_the_end_and_between_members_are_padding(archive: Archive, zeros: int) -> None:
    padding = bytes(zeros)
    archive.write(lumberjack(SMALL) + padding + lumberjack(SMALL) + padding)
    unpacked, found = archive.unpack()
    assert unpacked.ending is Ending.COMPLETE
    assert found == 2 * SMALL


@pytest.mark.parametrize("write", [lumberjack, with_every_header_field])
def test_cut_anywhere_it_gives_all_that_arrived(
    archive: Archive, write: Callable[[bytes], bytes]
) -> None:
    packed = write(SMALL)
    for count in range(len(packed)):
        archive.write(packed[:count])
        unpacked, found = archive.unpack()
        assert SMALL.startswith(found)
        assert found == before_damage(packed[:count])
        assert unpacked.ending is (Ending.CUT if count else Ending.EMPTY)
        assert unpacked.problem == (
            f"it breaks off after {count} bytes" if count else "it is empty"
        )
        # The trailer alone is missing.
        assert count < len(packed) - 8 or found == SMALL


@pytest.mark.parametrize("part", [0.1, 0.5, 0.999])
def test_cut_behind_many_pieces_it_gives_all_that_arrived(archive: Archive, part: float) -> None:
    packed = lumberjack(LARGE)
    packed = packed[: int(len(packed) * part)]
    archive.write(packed)
    unpacked, found = archive.unpack()
    assert unpacked.ending is Ending.CUT
    assert LARGE.startswith(found)
    assert found == zlib.decompressobj(wbits=31).decompress(packed)


def test_cut_in_a_later_member_it_gives_the_earlier_ones(archive: Archive) -> None:
    first, second = lumberjack(SMALL), lumberjack(LARGE)
    for count in (1, 2, 10, 1000, len(second) - 1):
        archive.write(first + second[:count])
        unpacked, found = archive.unpack()
        assert unpacked.ending is Ending.CUT
        assert (SMALL + LARGE).startswith(found)
        assert len(found) >= len(SMALL)


def test_what_grows_meanwhile_is_whole_later(archive: Archive) -> None:
    packed = lumberjack(LARGE)
    archive.write(packed[:-1])
    assert archive.unpack()[0].ending is Ending.CUT
    with archive.path.open("ab") as file:
        file.write(packed[-1:])
    unpacked, found = archive.unpack()
    assert unpacked.ending is Ending.COMPLETE
    assert found == LARGE


@pytest.mark.parametrize("flip", [0x10, 0xFF])
@pytest.mark.parametrize("write", [lumberjack, stored])
def test_a_changed_byte_anywhere_is_noticed_and_nothing_before_it_is_withheld(
    archive: Archive, write: Callable[[bytes], bytes], flip: int
) -> None:
    packed = write(SMALL)
    harmless = []
    for place in range(len(packed)):
        damaged = bytearray(packed)
        damaged[place] ^= flip
        archive.write(damaged)
        unpacked, found = archive.unpack()
        if unpacked.ending is Ending.COMPLETE:
            harmless.append(place)
            assert found == SMALL
            continue
        assert unpacked.ending in (Ending.DAMAGED, Ending.CUT, Ending.NOT_GZIP)
        assert unpacked.problem
        assert found == before_damage(bytes(damaged))
    # Nothing is made of the time, the kind of compression and the system; and before the length of
    # a stored block some bits have no meaning.
    assert harmless[:6] == [4, 5, 6, 7, 8, 9]
    assert len(harmless) <= (8 if flip == 0x10 else 6)


@pytest.mark.parametrize(("read", "piece"), [(1, 1), (2, 3)])
def test_how_much_is_unpacked_at_once_changes_nothing(
    archive: Archive, monkeypatch: pytest.MonkeyPatch, read: int, piece: int
) -> None:
    # So that damage meets every state that there can be between two pieces.
    monkeypatch.setattr("shipper.files.archive._READ_BYTES", read)
    monkeypatch.setattr(f"{__name__}.PIECE", piece)
    packed = lumberjack(500 * b"a" + SMALL[:40])
    for bit in range(8 * 10, 8 * len(packed)):
        damaged = bytearray(packed)
        damaged[bit // 8] ^= 1 << bit % 8
        archive.write(damaged)
        assert archive.unpack()[1] == before_damage(bytes(damaged))


@pytest.mark.parametrize("place", [-8, -1], ids=["checksum", "length"])
def test_a_wrong_trailer_takes_nothing_away(archive: Archive, place: int) -> None:
    damaged = bytearray(lumberjack(LARGE))
    damaged[place] ^= 1
    archive.write(damaged)
    unpacked, found = archive.unpack()
    assert unpacked.ending is Ending.DAMAGED
    assert found == LARGE
    what = "data" if place == -8 else "length"
    assert unpacked.problem.startswith("it is damaged, as shows at byte ")
    assert unpacked.problem.endswith(f": incorrect {what} check")


def test_a_hole_in_the_middle_ends_it_there(archive: Archive) -> None:
    # What a file system leaves of blocks that did not reach the disk.
    damaged = bytearray(stored(LARGE))
    hole = len(damaged) // 2
    damaged[hole : hole + 200_000] = bytes(200_000)
    archive.write(damaged)
    unpacked, found = archive.unpack()
    assert unpacked.ending is Ending.DAMAGED
    # The headers of its blocks are the only difference between what is stored and what it was.
    assert found[: hole - 1000] == LARGE[: hole - 1000]
    assert found == before_damage(bytes(damaged))


def test_damage_in_a_later_member_leaves_the_earlier_ones(archive: Archive) -> None:
    second = bytearray(lumberjack(SMALL))
    second[-8] ^= 1
    first = lumberjack(LARGE)
    archive.write(first + second)
    unpacked, found = archive.unpack()
    assert found == LARGE + SMALL
    noticed = len(first) + len(second) - 5
    assert unpacked.problem == f"it is damaged, as shows at byte {noticed}: incorrect data check"


def test_something_else_behind_the_end_is_told_and_left(archive: Archive) -> None:
    packed = lumberjack(SMALL)
    archive.write(packed + b"\0\0" + SMALL)
    unpacked, found = archive.unpack()
    assert found == SMALL
    assert unpacked.ending is Ending.DAMAGED
    assert unpacked.problem == f"what follows its end, at byte {len(packed) + 2}, is no gzip"


@pytest.mark.parametrize(
    ("content", "begin"),
    [(SMALL, "7b 22"), (bytes(4096), "00 00"), (b"\x28\xb5\x2f\xfd", "28 b5"), (b"\n", "0a")],
    ids=["log", "zeros", "zstd", "newline"],
)
def test_what_is_no_gzip_is_told_by_its_first_bytes(
    archive: Archive, content: bytes, begin: str
) -> None:
    archive.write(content)
    unpacked, found = archive.unpack()
    assert (found, unpacked.ending) == (b"", Ending.NOT_GZIP)
    assert unpacked.problem == f"it is no gzip: it begins with the bytes {begin}"
    assert archive.window(0, 100) == b""


def test_a_window_is_that_of_the_plain_file(archive: Archive) -> None:
    for write in (lumberjack, many_members, stored):
        archive.write(write(LARGE))
        size = len(LARGE)
        for begin in (0, 1, 255_999, 256 * 1024, 256 * 1024 + 1, size - 1, size, size + 1):
            for count in (0, 1, 2, 300_000):
                assert archive.window(begin, count) == LARGE[begin : begin + count]
    archive.write(lumberjack(LARGE)[:-1000])
    assert LARGE.startswith(archive.window(0, len(LARGE)))


def test_a_bomb_costs_no_memory(archive: Archive) -> None:
    mib = 1024 * 1024
    packer = zlib.compressobj(wbits=31)
    archive.write(b"".join(packer.compress(bytes(mib)) for _ in range(200)) + packer.flush())
    size = 0
    with archive.opened() as source:
        stream = GzipStream(source)
        tracemalloc.start()
        try:
            while not stream.at_end:
                size += len(stream.take(PIECE))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert size == 200 * mib
    assert peak < 2 * mib


def test_a_call_does_a_bounded_piece_of_work_also_where_nothing_comes_of_it(
    archive: Archive,
) -> None:
    empty = gzip.compress(b"", mtime=0)
    archive.write(100_000 * empty + gzip.compress(SMALL))
    with archive.opened() as source:
        stream, calls = GzipStream(source), 0
        while not (piece := stream.take(PIECE)):
            assert not stream.at_end
            calls += 1
    assert piece == SMALL
    assert calls >= 100_000 * len(empty) // (512 * 1024)


def test_more_zeros_than_any_padding_has_end_it(archive: Archive) -> None:
    archive.write(lumberjack(SMALL) + bytes(3 * 1024 * 1024) + lumberjack(SMALL))
    unpacked, found = archive.unpack()
    assert (found, unpacked.ending) == (SMALL, Ending.COMPLETE)


def test_a_read_error_is_the_system_calls(archive: Archive) -> None:
    archive.path.mkdir()
    with pytest.raises(IsADirectoryError):
        archive.unpack()
    with pytest.raises(IsADirectoryError):
        archive.window(0, 1)


def test_what_grows_is_taken_on_by_the_same_stream(archive: Archive) -> None:
    packed = lumberjack(LARGE) + lumberjack(SMALL)
    found = bytearray()
    archive.path.touch()
    with archive.opened() as source, archive.path.open("ab", buffering=0) as file:
        stream = GzipStream(source)
        for begin in range(0, len(packed), 9999):
            file.write(packed[begin : begin + 9999])
            assert stream.is_the_same()
            while not stream.at_end or not found:
                found += stream.take(PIECE)
            while piece := stream.take(PIECE):
                found += piece
    assert found == LARGE + SMALL
    assert stream.ending is Ending.COMPLETE


def test_a_gzip_that_was_written_anew_is_not_the_same(archive: Archive) -> None:
    archive.write(lumberjack(LARGE))
    with archive.opened() as source:
        stream = GzipStream(source)
        stream.take(PIECE)
        assert stream.is_the_same()
        for other in (b"", lumberjack(SMALL), stored(LARGE)):
            archive.write(other)
            assert not stream.is_the_same()
