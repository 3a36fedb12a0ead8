"""The thread that writes: whoever reads, or does not, delays nobody else."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from shipper.clock import SystemClock
from shipper.logs.events import Level
from shipper.logs.queue import DropReason, LogLine, LogQueue
from shipper.logs.writer import LogWriter
from tests.support.faults import PATIENCE

SMALLEST_PIPE = 4096


def notice(dropped: Mapping[DropReason, int]) -> bytes:
    return json.dumps({reason.value: count for reason, count in dropped.items()}).encode() + b"\n"


@contextlib.contextmanager
def writer_to(descriptor: int, *, flush: float = PATIENCE) -> Iterator[LogWriter]:
    writer = LogWriter(descriptor, LogQueue(SystemClock(), notice=notice))
    writer.start()
    yield writer
    writer.close(flush)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, SMALLEST_PIPE)
    yield reader, writer
    for descriptor in (reader, writer):
        with contextlib.suppress(OSError):
            os.close(descriptor)


def line(text: str, level: Level = Level.ERROR) -> LogLine:
    return LogLine(f"{text}\n".encode(), level)


def read_to_the_end(descriptor: int) -> str:
    text = b""
    while piece := os.read(descriptor, 65536):
        text += piece
    return text.decode()


def wait_for(is_true: object) -> None:
    """Return once the callable gives something true; at most PATIENCE seconds."""
    deadline = time.monotonic() + PATIENCE
    assert callable(is_true)
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_what_is_offered_is_written_at_once_and_in_order(pipe: tuple[int, int]) -> None:
    reader, descriptor = pipe
    with writer_to(descriptor) as writer:
        writer.offer(line("a"))
        assert os.read(reader, 100) == b"a\n"
        writer.offer(line("b"))
        writer.offer(line("c"))
    os.close(descriptor)
    assert read_to_the_end(reader) == "b\nc\n"


def test_the_last_lines_are_written_before_close_returns(tmp_path: Path) -> None:
    path = tmp_path / "log"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    with writer_to(descriptor) as writer:
        for number in range(500):
            writer.offer(line(str(number)))
    os.close(descriptor)
    assert path.read_text().split() == [str(number) for number in range(500)]


def test_a_reader_that_stalls_delays_nobody_and_what_does_not_fit_is_counted(
    pipe: tuple[int, int],
) -> None:
    reader, descriptor = pipe
    with writer_to(descriptor) as writer:
        began = time.monotonic()
        for _ in range(5000):
            writer.offer(line("x" * 500))
        assert time.monotonic() - began < PATIENCE
        dropped = writer.dropped()[DropReason.QUEUE_FULL]
        assert dropped > 3000
        # The descriptor is everybody's: it is as it was.
        assert os.get_blocking(descriptor)
        # The reader is back.
        reading = threading.Thread(target=lambda: texts.append(read_to_the_end(reader)))
        texts: list[str] = []
        reading.start()
    os.close(descriptor)
    reading.join(PATIENCE)
    *lines, last = texts[0].splitlines()
    assert set(lines) == {"x" * 500}
    assert json.loads(last) == {"queue_full": dropped}
    assert len(lines) + dropped == 5000


def test_close_waits_for_a_reader_that_stalls_no_longer_than_it_may(
    pipe: tuple[int, int],
) -> None:
    _, descriptor = pipe
    with writer_to(descriptor, flush=0.2) as writer:
        for _ in range(100):
            writer.offer(line("x" * 500))
        began = time.monotonic()
    assert 0.15 < time.monotonic() - began < PATIENCE


def test_a_reader_that_has_gone_stops_nothing(pipe: tuple[int, int]) -> None:
    reader, descriptor = pipe
    os.close(reader)
    with writer_to(descriptor) as writer:
        for _ in range(3):
            writer.offer(line("nobody reads this"))
        wait_for(lambda: writer.dropped()[DropReason.WRITE_ERROR] >= 3)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_a_full_disk_is_not_tried_again_and_again() -> None:
    descriptor = os.open("/dev/full", os.O_WRONLY)
    with writer_to(descriptor) as writer:
        used = time.process_time()
        for _ in range(3):
            writer.offer(line("no room"))
        wait_for(lambda: writer.dropped()[DropReason.WRITE_ERROR] >= 3)
        time.sleep(0.2)
        assert time.process_time() - used < 0.15
    # The notices cannot be written either, the one in between and the last: that is no loop.
    assert 3 <= writer.dropped()[DropReason.WRITE_ERROR] <= 5
    assert not any(thread.name == "log" for thread in threading.enumerate())
    os.close(descriptor)


def test_a_line_that_was_cut_by_a_full_disk_does_not_spoil_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    real, room = os.write, [3, 0]

    def write(to: int, data: bytes) -> int:
        if to != descriptor or not room:
            return real(to, data)
        count = room.pop(0)
        if not count:
            raise OSError(28, "No space left on device")
        return real(to, bytes(data)[:count])

    monkeypatch.setattr(os, "write", write)
    with writer_to(descriptor) as writer:
        writer.offer(line("first"))
        wait_for(lambda: writer.dropped()[DropReason.WRITE_ERROR] == 1)
        writer.offer(line("second"))
    os.close(descriptor)
    assert path.read_text().splitlines()[0] == "fir"
    assert "second" in path.read_text().splitlines()


def test_a_descriptor_that_somebody_made_non_blocking_is_waited_for(
    pipe: tuple[int, int],
) -> None:
    reader, descriptor = pipe
    os.set_blocking(descriptor, False)
    texts: list[str] = []
    with writer_to(descriptor) as writer:
        for _ in range(50):
            writer.offer(line("x" * 500))
        reading = threading.Thread(target=lambda: texts.append(read_to_the_end(reader)))
        reading.start()
    os.close(descriptor)
    reading.join(PATIENCE)
    assert texts == [("x" * 500 + "\n") * 50]
    assert writer.dropped() == dict.fromkeys(DropReason, 0)
