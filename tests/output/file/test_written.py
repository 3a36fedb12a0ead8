"""What an output file holds is recognised: that very line, as long as it can come again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from shipper.output.file.written import WrittenDocuments, read_written
from tests.support.odd_documents import documents


def document(file: str, offset: int, message: str) -> bytes:
    log = {"offset": offset, "file": {"path": "/logs/a", "fingerprint": file}}
    return json.dumps({"@timestamp": "2026", "log": log, "message": message}).encode() + b"\n"


def action(number: int) -> bytes:
    return b'{"create":{"_id":"id-%d"}}\n' % number


A0, A9, A20 = document("a", 0, "x"), document("a", 9, "y"), document("a", 20, "z")
B0 = document("b", 0, "x")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.ndjson"


def test_what_is_there_is_recognised_and_what_is_not_is_new(path: Path) -> None:
    path.write_bytes(A0 + B0 + A9)
    found = read_written([path])
    assert len(found) == 3
    assert [found.contains(line) for line in (A0, A9, B0, A20)] == [True, True, True, False]


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(document("c", 9, "y"), id="of another file"),
        pytest.param(document("a", 8, "y"), id="at another offset"),
        pytest.param(document("a", 9, "Y"), id="with another content"),
    ],
)
def test_it_is_this_very_line_or_it_is_new(path: Path, other: bytes) -> None:
    path.write_bytes(A0 + A9 + A20)
    assert not read_written([path]).contains(other)


def test_a_document_of_format_ecs_is_told_by_its_line_as_well(path: Path) -> None:
    def ecs(line: str) -> bytes:
        made = json.loads(document("a", 9, ""))
        del made["message"]
        return json.dumps({**made, "event": {"original": line}}).encode() + b"\n"

    path.write_bytes(ecs("y") + A20)
    assert read_written([path]).contains(ecs("y"))
    assert not read_written([path]).contains(ecs("another y"))
    # The other format is no other line.
    assert read_written([path]).contains(A9)


def test_two_contents_at_one_offset_are_both_known(path: Path) -> None:
    """A log that was cut and written again may begin with the same line."""
    again = document("a", 9, "another y")
    path.write_bytes(A0 + A9 + again)
    found = read_written([path])
    assert found.contains(A9)
    assert found.contains(again)


def test_a_file_is_forgotten_once_a_newer_line_of_it_comes(path: Path) -> None:
    path.write_bytes(A0 + A9 + B0)
    found = read_written([path])
    assert not found.contains(A20)
    assert len(found) == 1
    assert not found.contains(A9)
    assert found.contains(B0)


def test_actions_are_no_documents_and_nothing_strange(path: Path) -> None:
    path.write_bytes(action(1) + A0 + action(2) + A9)
    found = read_written([path])
    assert len(found) == 2
    assert found.invalid_lines == 0


def test_lines_that_are_no_documents_are_counted_and_passed_over(path: Path) -> None:
    path.write_bytes(b"\0\0\0\n" + A0 + b"[1]\n" + b'{"log":\xff}\n')
    found = read_written([path])
    assert len(found) == 1
    assert found.invalid_lines == 3


def test_only_the_end_is_read_in_whole_lines(path: Path) -> None:
    path.write_bytes(A0 + A9 + A20)
    for most, known in (
        (len(A20), [False, False, True]),
        (len(A20) + len(A9) - 1, [False, False, True]),
        (len(A20) + len(A9), [False, True, True]),
        (1, [False, False, False]),
        (10**9, [True, True, True]),
    ):
        found = read_written([path], most)
        assert [found.contains(line) for line in (A0, A9, A20)] == known, most
        assert found.invalid_lines == 0


def test_older_files_are_read_as_far_as_the_newer_ones_leave_room(path: Path) -> None:
    older, oldest = path.with_name("older"), path.with_name("oldest")
    path.write_bytes(A20)
    older.write_bytes(A0 + A9)
    oldest.write_bytes(B0)
    found = read_written([path, older, oldest], len(A20) + len(A9))
    assert [found.contains(line) for line in (A0, A9, A20, B0)] == [False, True, True, False]


def test_nothing_is_known_of_nothing() -> None:
    assert not WrittenDocuments()
    assert not WrittenDocuments().contains(A0)


def test_a_document_that_was_reshaped_is_told_by_what_is_left_of_it(path: Path) -> None:
    """As `decode_json_fields` to the root does with a line that has an `event`."""
    made = json.loads(A9)
    reshaped = json.dumps({**made, "event": "abc", "x": 1}).encode() + b"\n"
    path.write_bytes(reshaped + A20)
    found = read_written([path])
    assert found.invalid_lines == 0
    assert found.contains(reshaped)
    assert not found.contains(json.dumps({**made, "message": {"y": 1}}).encode() + b"\n")


def test_a_document_without_its_place_is_new(path: Path) -> None:
    path.write_bytes(A9 + json.dumps({"log": "x", "message": "y"}).encode() + b"\n")
    found = read_written([path])
    assert (len(found), found.invalid_lines) == (1, 0)
    assert not found.contains(b'{"log":"x","message":"y"}\n')


@pytest.mark.parametrize("seed", range(8))
def test_any_bytes_are_a_document_or_counted(path: Path, seed: int) -> None:
    lines = documents(seed, 400)
    path.write_bytes(b"\n".join(lines) + b"\n[\n")
    found = read_written([path])
    assert 0 < found.invalid_lines < 401
    for line in lines:
        found.contains(line)
