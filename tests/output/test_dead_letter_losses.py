"""Dead letters that are deleted: each is recorded as lost once, before it goes, with its log."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from shipper.documents.loss import document_id
from shipper.errors import RegistryError
from shipper.files.commits import RecordedLosses, RegistryThread
from shipper.files.identity import NO_IDENTITY
from shipper.files.losses import Loss, LossReason
from shipper.files.registry import Registry, read_losses
from shipper.metrics import Metrics
from shipper.output.dead_letter import DeadLetter, encode_dead_letter, read_dead_letter
from shipper.output.dead_letter_file import FILE_NAME, DeadLetterFile, NotRecordedError
from shipper.output.dead_letter_losses import MOST_LOGS, DeadLetterLosses, LossesOnce, lost_lines
from tests.support.clock import ManualClock
from tests.support.logs import RecordedLog

LIMIT = 10_000
ROOT = Path(__file__).parent.parent.parent


def letter(number: int, path: str = "/logs/a.log", size: int = 500, **other: str) -> DeadLetter:
    """A line of 500 bytes with its newline, one after the other in the log."""
    log = {"offset": number * size, "file": {"path": path, "fingerprint": "f" * 16}}
    document = msgspec.Raw(json.dumps({"log": log}).encode())
    line = f"{number:04}".ljust(size - 1, "x")
    known = DeadLetter(
        1.5, 400, "no", f"id-{path}-{number}", path, number * size, line, document=document
    )
    return msgspec.structs.replace(known, **other)


def written(path: Path, *letters: DeadLetter | bytes) -> Path:
    """A file with these letters."""
    lines = (each if isinstance(each, bytes) else encode_dead_letter(each) for each in letters)
    path.write_bytes(b"".join(lines))
    return path


def losses_in(store: LossesOnce, metrics: Metrics | None = None) -> DeadLetterLosses:
    clock = ManualClock()
    return DeadLetterLosses(
        store,
        input_of=lambda path: f"input of {path}",
        on_recorded=lambda: None,
        clock=clock,
        metrics=metrics or Metrics(),
        log=RecordedLog(clock).log,
    )


class TestWhatADeletedFileHolds:
    def test_one_for_each_log_with_the_range_that_its_lines_are_from(self, tmp_path: Path) -> None:
        deleted = written(
            tmp_path / "deleted", letter(7), letter(3), letter(9), letter(4, "/logs/b.log")
        )
        first, second = lost_lines(deleted, [])
        assert (first.path, first.identity, first.start, first.end) == (
            "/logs/a.log",
            "f" * 16,
            1500,
            5000,
        )
        assert (first.bytes, first.letters) == (1500, 3)
        assert (second.path, second.start, second.end) == ("/logs/b.log", 2000, 2500)

    def test_rotated_logs_of_one_name_are_told_apart(self, tmp_path: Path) -> None:
        other = letter(2)
        other = msgspec.structs.replace(
            other,
            id="other",
            document=msgspec.Raw(bytes(other.document).replace(b"f" * 16, b"0" * 16)),
        )
        found = lost_lines(written(tmp_path / "deleted", letter(1), other), [])
        assert [each.identity for each in found] == ["f" * 16, "0" * 16]

    def test_an_event_with_two_letters_is_lost_once(self, tmp_path: Path) -> None:
        deleted = written(tmp_path / "deleted", letter(1), letter(2), letter(1))
        [lost] = lost_lines(deleted, [])
        assert lost.letters == 2

    def test_an_event_that_has_another_letter_is_not_lost(self, tmp_path: Path) -> None:
        """A write that failed half, or a replay that was killed."""
        deleted = written(tmp_path / "deleted", letter(1), letter(2))
        there = written(tmp_path / "there", letter(2), letter(3))
        [lost] = lost_lines(deleted, [tmp_path / "gone", there])
        assert (lost.letters, lost.start) == (1, 500)

    def test_further_logs_are_one(self, tmp_path: Path) -> None:
        many = [letter(1, f"/logs/{number}.log") for number in range(MOST_LOGS + 50)]
        found = lost_lines(written(tmp_path / "deleted", *many, letter(2, "/logs/0.log")), [])
        assert len(found) == MOST_LOGS + 1
        assert (found[0].letters, found[0].bytes) == (2, 1000)
        assert (found[-1].path, found[-1].start, found[-1].end) == ("", 0, 0)
        assert (found[-1].letters, found[-1].bytes) == (50, 50 * 500)

    @pytest.mark.parametrize(
        ("odd", "size", "is_line"),
        [
            (letter(1, path=""), 500, True),
            (letter(1, path="/" + "x" * 100_000), 500, True),
            (b"\xff damaged\n", 10, False),
            (b"{}\n", 3, False),
            (b'{"half":', 8, False),
        ],
    )
    def test_of_odd_ones_only_the_size_is_known(
        self, odd: DeadLetter | bytes, size: int, is_line: bool, tmp_path: Path
    ) -> None:
        [lost] = lost_lines(written(tmp_path / "deleted", b"\n", odd), [])
        assert (lost.bytes, lost.letters, lost.are_lines) == (size, 1, is_line)
        assert (lost.path, lost.start, lost.end) == ("", 0, 0)

    def test_a_line_that_is_no_text_counts_with_its_bytes(self, tmp_path: Path) -> None:
        odd = msgspec.structs.replace(letter(1), line_base64=b"\xff" * 9)
        [lost] = lost_lines(written(tmp_path / "deleted", odd), [])
        assert (lost.bytes, lost.start, lost.end) == (10, 500, 510)

    def test_a_letter_without_its_line_counts_with_its_document(self, tmp_path: Path) -> None:
        [lost] = lost_lines(written(tmp_path / "deleted", letter(1, line="")), [])
        assert lost.bytes == len(bytes(letter(1).document))

    def test_what_processors_made_of_the_document_is_no_trouble(self, tmp_path: Path) -> None:
        rng = random.Random(3)
        odd = [b"1", b'"x"', b"[]", b"{}", b'{"log":3}', b'{"log":{"file":{"fingerprint":7}}}']
        odd.append(b'{"log":{"file":{"fingerprint":"%b"}}}' % (b"9" * 10_000))
        letters = [
            msgspec.structs.replace(
                letter(number), document=msgspec.Raw(rng.choice(odd)), offset=rng.randrange(2**62)
            )
            for number in range(200)
        ]
        [lost] = lost_lines(written(tmp_path / "deleted", *letters), [])
        assert (lost.letters, lost.identity) == (200, "")


class TestTheRegistry:
    @staticmethod
    def run(
        directory: Path, story: Callable[[RecordedLosses, DeadLetterFile], Awaitable[None]]
    ) -> Metrics:
        """Runs it with the registry of a directory, and returns what was counted."""
        metrics = Metrics()

        async def main() -> None:
            registry, thread = Registry.open(directory)[0], RegistryThread()
            store = RecordedLosses(registry, thread)
            file = DeadLetterFile(directory / FILE_NAME, LIMIT, losses_in(store, metrics))
            try:
                await story(store, file)
            finally:
                await thread(registry.close)

        asyncio.run(main())
        return metrics

    def test_a_flood_is_few_rows_and_its_sum_is_right(self, tmp_path: Path) -> None:
        async def story(store: RecordedLosses, file: DeadLetterFile) -> None:
            for number in range(300):
                await file.write([letter(number, f"/logs/{number % 3}.log")])

        metrics = self.run(tmp_path, story)
        kept = [
            json.loads(line)["offset"] // 500
            for path in tmp_path.glob(f"{FILE_NAME}*")
            for line in path.read_bytes().splitlines()
        ]
        rows = [stored.loss for stored in read_losses(tmp_path)]
        assert {loss.path for loss in rows} == {f"/logs/{number}.log" for number in range(3)}
        assert len(rows) == 3
        assert sum(loss.lines or 0 for loss in rows) == 300 - len(kept)
        assert sum(loss.bytes for loss in rows) == 500 * (300 - len(kept))
        assert {loss.input_id for loss in rows} == {f"input of {loss.path}" for loss in rows}
        assert metrics.value("shipper_lost_lines_total", "dead_letter_full") == 300 - len(kept)
        assert sum(loss.merged for loss in rows) == 300 - len(kept)
        assert {loss.reason for loss in rows} == {LossReason.DEAD_LETTER_FULL}

    def test_their_documents_have_ids_of_their_own(self) -> None:
        loss = Loss("i", "/a", NO_IDENTITY, 0, 9, 9, 1, LossReason.DEAD_LETTER_FULL, 1.0)
        assert document_id(loss, "agent") != document_id(replace(loss, path="/b"), "agent")

    def test_nothing_is_deleted_while_it_cannot_be_recorded(self, tmp_path: Path) -> None:
        class Store:
            async def record_once(self, name: str, losses: Sequence[Loss]) -> bool:
                raise RegistryError("no space left on device", where="x", what_to_do="free some")

        file = DeadLetterFile(tmp_path / FILE_NAME, LIMIT, losses_in(Store()))

        async def story() -> None:
            for number in range(300):
                await file.write([letter(number)])

        with pytest.raises(NotRecordedError, match="no space left on device"):
            asyncio.run(story())
        # Nor is anything written meanwhile, however often it is tried.
        size = sum(path.stat().st_size for path in tmp_path.glob(f"{FILE_NAME}*"))
        for _ in range(3):
            with pytest.raises(NotRecordedError):
                asyncio.run(file.write([letter(9999)]))
        assert size == sum(path.stat().st_size for path in tmp_path.glob(f"{FILE_NAME}*"))
        there = {
            json.loads(line)["offset"] // 500
            for path in tmp_path.glob(f"{FILE_NAME}*")
            for line in path.read_bytes().splitlines()
        }
        assert there == set(range(len(there)))

        # When the registry can be written again, all of it is.
        async def again(store: RecordedLosses, file: DeadLetterFile) -> None:
            await file.write([letter(len(there))])

        self.run(tmp_path, again)
        rows = [stored.loss for stored in read_losses(tmp_path)]
        kept = sum(len(path.read_bytes().splitlines()) for path in tmp_path.glob(f"{FILE_NAME}*"))
        assert sum(loss.lines or 0 for loss in rows) + kept == len(there) + 1

    def test_the_same_file_is_recorded_once(self, tmp_path: Path) -> None:
        deleted = written(tmp_path / f"{FILE_NAME}.deleted-1", letter(1))

        async def story(store: RecordedLosses, file: DeadLetterFile) -> None:
            record = losses_in(store)
            await record(deleted, [])
            await record(deleted, [])

        self.run(tmp_path, story)
        self.run(tmp_path, story)
        assert [stored.loss.lines for stored in read_losses(tmp_path)] == [1]


NURSERY = """
import asyncio, json, os, signal, sys
from pathlib import Path
from tests.output import test_dead_letter_losses as this

def child(directory, step):
    count = 0
    def hook(event, arguments):
        nonlocal count
        if event in this.STEPS and str(directory) in str(arguments):
            count += 1
            if count == step:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)
    fsync = os.fsync
    def synced(descriptor):
        hook("os.remove", str(directory))
        fsync(descriptor)
    os.fsync = synced
    this.one_life(directory)

results = []
for step in range(1, 500):
    directory = Path(sys.argv[1], str(step))
    directory.mkdir()
    this.prepare(directory)
    pid = os.fork()
    if not pid:
        try:
            child(directory, step)
            os._exit(0)
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
    _, status = os.waitpid(pid, 0)
    assert status in (0, signal.SIGKILL), status
    this.one_life(directory)
    results.append((step, this.lost_and_kept(directory)))
    if status == 0:
        break
print(json.dumps(results))
"""

STEPS = {"open", "os.rename", "os.remove", "os.listdir", "os.scandir"}
"""What is a step, besides each fsync."""

LETTERS = 20


def prepare(directory: Path) -> None:
    """A registry, and letters that nearly fill the files."""
    Registry.open(directory)[0].close()
    file = DeadLetterFile(directory / FILE_NAME, LIMIT)
    asyncio.run(file.write([letter(number) for number in range(10)]))


def one_life(directory: Path) -> None:
    """Finishes what an earlier life began, and writes the letters that nobody has yet."""

    async def story(store: RecordedLosses, file: DeadLetterFile) -> None:
        await file.finish_deletions()
        known = {offset // 500 for offset in offsets(directory)}
        lost = sum(stored.loss.lines or 0 for stored in read_losses(directory))
        first = max(known, default=lost - 1) + 1
        for number in range(first, LETTERS):
            await file.write([letter(number)])

    TestTheRegistry.run(directory, story)


def offsets(directory: Path) -> list[int]:
    found = (
        read_dead_letter(line)
        for path in directory.glob(f"{FILE_NAME}*")
        for line in path.read_bytes().splitlines()
    )
    return [each.offset for each in found if each is not None]


def lost_and_kept(directory: Path) -> tuple[int, int]:
    lost = sum(stored.loss.lines or 0 for stored in read_losses(directory))
    return lost, len(set(offsets(directory)))


def test_a_kill_at_any_step_loses_no_record_and_makes_none_twice(tmp_path: Path) -> None:
    """Takes some seconds: a process for each of the steps, killed with SIGKILL before it."""
    done = subprocess.run(
        [sys.executable, "-c", NURSERY, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert len(results) > 50
    wrong = [(step, found) for step, found in results if sum(found) != LETTERS]
    assert wrong == []
