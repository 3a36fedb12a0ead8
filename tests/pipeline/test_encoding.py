"""A line with which the encoder fails for a reason that nobody foresaw: it alone becomes a dead
letter, and its file and others are read on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from shipper.config.inputs import OnInvalid
from shipper.documents.encode import DocumentEncoder
from shipper.documents.encoded import Encoded, FileTemplate
from shipper.files.facts import Inode
from shipper.files.identity import NO_MARK, Identity
from shipper.files.lines import Block, CutLine, HalfLine
from shipper.pipeline.encoding import encode, encode_line_by_line
from tests.pipeline.test_harvest import World
from tests.support.clock import settle
from tests.support.loop import in_a_loop

POISON = b'{"poison":1}'


class BugError(Exception):
    """Nothing that any code expects."""


class Poisoned(DocumentEncoder):
    """Fails with each block that has the line."""

    def encode(self, template: FileTemplate, start: int, block: bytes, now: float) -> Encoded:
        if POISON in block:
            raise BugError
        return super().encode(template, start, block, now)

    def encode_half(self, template: FileTemplate, start: int, line: bytes, now: float) -> Encoded:
        raise BugError

    def encode_cut(
        self, template: FileTemplate, start: int, head: bytes, length: int, now: float
    ) -> Encoded:
        raise BugError


def encoder(kind: type[DocumentEncoder] = Poisoned) -> tuple[DocumentEncoder, FileTemplate]:
    made = kind({}, content_ids=True, on_invalid=OnInvalid.DEAD_LETTER)
    made.refresh(0.0)
    return made, made.template(Identity("0123456789abcdef"), "/logs/a.log", Inode(1, 2))


LINES = (b'{"a":1}', b"", b"no JSON", b'{"time":"2026-11-24T04:32:00Z"}', b"[1]", b'{"b":2}\r')


def test_line_by_line_is_the_same_as_a_block_where_nothing_fails() -> None:
    made, template = encoder(DocumentEncoder)
    data = b"".join(line + b"\n" for line in LINES)
    block = Block(data, 7 + len(data), NO_MARK, 7)
    errors: list[Exception] = []
    found = encode_line_by_line(made, template, block, 5.0, errors.append)
    assert found == encode(made, template, block, 5.0)
    assert errors == []


def test_only_the_line_at_fault_is_refused() -> None:
    made, template = encoder()
    data = b"".join(line + b"\n" for line in (b'{"a":1}', POISON, b'{"b":2}'))
    errors: list[Exception] = []
    block = Block(data, 7 + len(data), NO_MARK, 7)
    found = encode_line_by_line(made, template, block, 5.0, errors.append)
    assert (found.events, found.lines) == (2, 3)
    (refused,) = found.refused
    assert (refused.line, refused.offset, refused.path) == (POISON, 15, "/logs/a.log")
    assert refused.reason == "internal error of shipper: BugError"
    assert refused.id.startswith("0123456789abcdef-000000000f-")
    assert [type(error) for error in errors] == [BugError]


@pytest.mark.parametrize(
    "reading", [HalfLine(b"half", 11, NO_MARK, 7), CutLine(b"half", 100, 108, NO_MARK, 7)]
)
def test_half_a_line_and_one_that_is_cut_are_refused(reading: HalfLine | CutLine) -> None:
    made, template = encoder()
    found = encode_line_by_line(made, template, reading, 5.0, lambda error: None)
    assert [refused.line for refused in found.refused] == [b"half"]
    assert (found.events, found.lines) == (0, 1)


@in_a_loop
async def test_a_file_with_such_a_line_is_read_on_and_others_do_not_wait(tmp_path: Path) -> None:
    world = World(tmp_path, encoder_type=Poisoned)
    world.append(world.lines(3) + POISON + b"\n" + world.lines(3, 3))
    other = tmp_path / "b.log"
    world.append(world.lines(2, 100), other)
    running = asyncio.create_task(world.harvest.run())
    await world.scan()
    await settle()
    assert len(await world.documents()) == 2, "the other file"
    await world.clock.advance(60)
    world.append(world.lines(1, 6))
    await world.scan()
    await world.clock.advance(5)
    documents = await world.documents()
    refused = [line for batch in world.batches for line in batch.refused]
    assert [each.line for each in refused] == [POISON]
    assert len(documents) == 2 + 3 + 3 + 1
    assert len({document["message"] for document in documents}) == 9
    assert world.harvest.in_flight_events == 10
    assert world.metrics.value("shipper_lines_read_total") == 10
    assert world.metrics.value("shipper_internal_errors_total", "file") >= 3
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
