"""What is in the gzip of a rotated log: all of it, or what is sound and a word on the rest."""

from __future__ import annotations

import asyncio
import gzip
import os
import random
import resource
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
from shipper.files.identity import HEAD_BYTES, identity_of

NO_LIMIT = 1 << 40


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
    """A gzip on a disk, and a directory to unpack it in."""

    path: Path
    directory: Path

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

    def head(self, count: int) -> bytes:
        with self.opened() as source:
            return head(source, count)


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    (tmp_path / "data").mkdir()
    return Archive(tmp_path / "tetragon-1.log.gz", tmp_path / "data")


@contextmanager
def disk_that_is_full_after(count: int) -> Iterator[None]:
    """No file grows beyond `count` bytes: the kernel's own refusal, in the middle of a write."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def open_files() -> list[str]:
    """What this process has open, where it is not a pipe, socket or the like."""
    found = []
    for number in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{number}")
        except FileNotFoundError:
            continue  # That of the listing itself.
        if target.startswith("/"):
            found.append(target)
    return sorted(found)


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
    assert unpacked.size == len(plain)
    assert (unpacked.complete, unpacked.ending, unpacked.problem) == (True, Ending.COMPLETE, "")


def test_it_is_read_at_any_offset_from_a_file_that_has_no_name(archive: Archive) -> None:
    archive.write(lumberjack(LARGE))
    with archive.opened() as source:
        unpacked = asyncio.run(unpack(source, archive.directory, NO_LIMIT))
        # The source is the caller's, and where it stands is nobody else's business.
        assert os.lseek(source, 0, os.SEEK_CUR) == 0
    try:
        assert os.pread(unpacked.descriptor, 100, 1_000_000) == LARGE[1_000_000:1_000_100]
        assert os.fstat(unpacked.descriptor).st_nlink == 0
        assert os.fstat(unpacked.descriptor).st_dev == archive.directory.stat().st_dev
        assert not os.get_inheritable(unpacked.descriptor)
        assert list(archive.directory.iterdir()) == []
    finally:
        os.close(unpacked.descriptor)


@pytest.mark.parametrize("zeros", [1, 512, 200_000])
def test_zeros_at_the_end_and_between_members_are_padding(archive: Archive, zeros: int) -> None:
    padding = bytes(zeros)
    archive.write(lumberjack(SMALL) + padding + lumberjack(SMALL) + padding)
    unpacked, found = archive.unpack()
    assert unpacked.complete
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
        assert unpacked.ending is Ending.CUT
        assert not unpacked.complete
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
    assert unpacked.complete
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
        if unpacked.complete:
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
    monkeypatch.setattr("shipper.files.archive._PIECE_BYTES", piece)
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
    assert (found, unpacked.size, unpacked.ending) == (b"", 0, Ending.NOT_GZIP)
    assert unpacked.problem == f"it is no gzip: it begins with the bytes {begin}"
    assert archive.head(HEAD_BYTES) == b""


@pytest.mark.parametrize("plain", [SMALL, LARGE], ids=["few", "many"])
def test_as_much_as_is_allowed_is_not_too_much(archive: Archive, plain: bytes) -> None:
    archive.write(many_members(plain))
    assert archive.unpack(limit=len(plain))[0].complete
    unpacked, found = archive.unpack(limit=len(plain) - 1)
    assert found == plain[:-1]
    assert unpacked.ending is Ending.TOO_LARGE
    assert unpacked.problem == f"it holds more than {len(plain) - 1} bytes"


def test_a_bomb_costs_neither_memory_nor_disk(archive: Archive) -> None:
    mib = 1024 * 1024
    packer = zlib.compressobj(wbits=31)
    archive.write(b"".join(packer.compress(bytes(mib)) for _ in range(200)) + packer.flush())
    tracemalloc.start()
    try:
        with archive.opened() as source:
            unpacked = asyncio.run(unpack(source, archive.directory, 20 * mib))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    facts = os.fstat(unpacked.descriptor)
    os.close(unpacked.descriptor)
    assert unpacked.ending is Ending.TOO_LARGE
    assert unpacked.size == facts.st_size == 20 * mib
    assert peak < 2 * mib


@pytest.mark.parametrize("room", [0, 500_000, len(LARGE) - 1])
def test_a_full_disk_is_an_error_that_leaves_nothing(archive: Archive, room: int) -> None:
    archive.write(lumberjack(LARGE))
    before = open_files()
    with disk_that_is_full_after(room), pytest.raises(OSError, match="File too large"):
        archive.unpack()
    assert open_files() == before
    assert list(archive.directory.iterdir()) == []


def test_a_directory_that_is_not_there_is_an_error_that_leaves_nothing(archive: Archive) -> None:
    archive.write(lumberjack(SMALL))
    archive.directory.rmdir()
    before = open_files()
    with pytest.raises(FileNotFoundError):
        archive.unpack()
    assert open_files() == before


def test_a_read_error_is_the_system_calls_and_leaves_nothing(archive: Archive) -> None:
    archive.path.mkdir()
    before = open_files()
    with pytest.raises(IsADirectoryError):
        archive.unpack()
    with pytest.raises(IsADirectoryError):
        archive.head(HEAD_BYTES)
    assert open_files() == before


@pytest.mark.parametrize("full", [False, True], ids=["done", "failed"])
def test_a_cancelled_call_leaves_nothing_open(archive: Archive, full: bool) -> None:
    archive.write(lumberjack(LARGE))
    complaints = []

    async def run() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(context))
        with archive.opened() as source:
            task = asyncio.create_task(unpack(source, archive.directory, NO_LIMIT))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        # The thread works on, while its caller's descriptor is closed.
        await loop.shutdown_default_executor()
        await asyncio.sleep(0)

    before = open_files()
    with disk_that_is_full_after(500_000 if full else NO_LIMIT):
        asyncio.run(run())
    assert open_files() == before
    assert complaints == []


def test_a_head_is_that_of_the_plain_file(archive: Archive) -> None:
    for write in (lumberjack, with_every_header_field, many_members, stored):
        archive.write(write(LARGE))
        assert archive.head(HEAD_BYTES) == LARGE[:HEAD_BYTES]
        assert archive.head(1) == LARGE[:1]
        archive.write(write(SMALL))
        assert archive.head(len(SMALL) - 1) == SMALL[:-1]
        archive.write(write(b"short\n"))
        assert archive.head(HEAD_BYTES) == b"short\n"


def test_a_window_is_that_of_the_plain_file(archive: Archive) -> None:
    for write in (lumberjack, many_members, stored):
        archive.write(write(LARGE))
        size = len(LARGE)
        for begin in (0, 1, 255_999, 256 * 1024, 256 * 1024 + 1, size - 1, size, size + 1):
            for count in (0, 1, 2, 300_000):
                assert archive.window(begin, count) == LARGE[begin : begin + count]
    archive.write(lumberjack(LARGE)[:-1000])
    assert LARGE.startswith(archive.window(0, len(LARGE)))


def test_a_head_is_there_as_soon_as_it_is_written(archive: Archive) -> None:
    packed = lumberjack(LARGE)
    known = None
    for count in range(0, 4000, 50):
        archive.write(packed[:count])
        found = archive.head(HEAD_BYTES)
        assert LARGE[:HEAD_BYTES].startswith(found)
        known = identity_of(found)
        if known:
            break
    # Long before the end.
    assert known == identity_of(LARGE)


def test_damage_behind_a_head_does_not_matter_to_it(archive: Archive) -> None:
    packed = stored(LARGE)
    archive.write(packed[: HEAD_BYTES + 2000] + bytes(100_000))
    assert archive.head(HEAD_BYTES) == LARGE[:HEAD_BYTES]


@pytest.mark.parametrize("place", [20, 100, -8])
def test_a_head_that_is_damaged_is_none(archive: Archive, place: int) -> None:
    # Whatever it gave might be the head of a file that never was.
    damaged = bytearray(lumberjack(SMALL))
    damaged[place] ^= 0x10
    archive.write(damaged)
    assert archive.head(HEAD_BYTES) == b""


@pytest.mark.parametrize(
    ("plain_exists", "complete", "unchanged_for", "settled"),
    [
        (True, False, 0.0, False),
        # From an attempt that was interrupted; it will be made again.
        (True, False, 3600.0, False),
        # The plain file is removed next.
        (True, True, 3600.0, False),
        (False, True, 0.0, True),
        # It is copied here from somewhere else, say.
        (False, False, 0.0, False),
        (False, False, SETTLED_AFTER - 0.1, False),
        # Nobody will finish it.
        (False, False, SETTLED_AFTER, True),
    ],
)
def test_a_gzip_is_settled_when_it_is_whole_or_abandoned(
    plain_exists: bool, complete: bool, unchanged_for: float, settled: bool
) -> None:
    found = is_settled(plain_exists=plain_exists, complete=complete, unchanged_for=unchanged_for)
    assert found is settled
