"""What people are shown of dead letters, and what `--json` prints."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path

import pytest

from shipper.dead_letters.selection import Selection
from shipper.dead_letters.show import show, show_json
from shipper.dead_letters.summary import Summary, format_dead_letter, generalize_reason
from shipper.output.dead_letter import DeadLetter
from tests.dead_letters.world import dead_letter, lines_of

START = 1_800_000_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "dead-letter.ndjson"


def shown(path: Path, choice: Selection | None = None, limit: int | None = None) -> str:
    out, said = io.BytesIO(), list[str]()
    show(path, choice or Selection(), limit, out, said.append)
    assert said == []
    return out.getvalue().decode()


def numbers(path: Path, choice: Selection | None = None, limit: int | None = None) -> list[int]:
    out = io.BytesIO()
    show_json(path, choice or Selection(), limit, out, list[str]().append)
    return [json.loads(line)["offset"] for line in out.getvalue().splitlines()]


def test_a_letter_and_a_summary_by_reason_are_readable(path: Path) -> None:
    path.write_bytes(
        lines_of(
            dead_letter(START, reason="a_type: [1:23] failed for 'x' at 7"),
            dead_letter(START + 60, reason="a_type: [4:5] failed for 'y' at 8"),
            dead_letter(START + 61, status=0, reason="the line is not JSON"),
        )
    )
    assert shown(path, limit=1) == (
        "2027-01-15T08:01:01Z  unsent  /logs/a.log:1800000061\n"
        "    the line is not JSON\n"
        "    1800000061 xxxxxxxxxx\n"
        "\n"
        "the newest 1 of 3; --limit 3 shows all of them\n"
        "\n"
        "   COUNT  STATUS  FIRST                 LAST                  REASON\n"
        "       2  400     2027-01-15T08:00:00Z  2027-01-15T08:01:00Z  a_type: failed for … at …\n"
        "       1  unsent  2027-01-15T08:01:01Z  2027-01-15T08:01:01Z  the line is not JSON\n"
        "\n"
        "3 of 3 dead letters; when the cause is fixed, `shipper deadletter replay` sends them "
        "again\n"
    )
    assert "the newest" not in shown(path)


def test_the_newest_are_last_whatever_file_they_are_in(path: Path) -> None:
    order = list(range(60))
    random.Random(1).shuffle(order)
    path.with_name("dead-letter.replay-0001.ndjson").write_bytes(
        lines_of(*map(dead_letter, order[:20]))
    )
    path.with_name("dead-letter.ndjson.1").write_bytes(lines_of(*map(dead_letter, order[20:40])))
    path.write_bytes(lines_of(*map(dead_letter, order[40:])))
    listed = [line for line in shown(path).splitlines() if "/logs/a.log:" in line]
    assert [int(line.rpartition(":")[2]) for line in listed] == list(range(40, 60))
    assert numbers(path, limit=30) == list(range(30, 60))
    # All of them are printed as they are found: nothing has to be held.
    assert numbers(path) == order


def test_nothing_of_a_line_steers_the_terminal() -> None:
    hostile = "\x1b]0;title\x07\x9b\u202e" + "y" * 5000
    words = format_dead_letter(DeadLetter(1.0, 400, "\x1b[2J", "id", "/logs/\x1b[31m", 7, hostile))
    assert all(char.isprintable() or char == "\n" for char in words)
    assert "\\x1b[2J" in words
    assert len(words) < 500


def test_there_being_none_is_said_with_the_place(path: Path) -> None:
    assert shown(path) == f"no dead letters in {path.parent}\n"
    assert shown(path.parent / "no" / path.name).startswith("no dead letters in ")
    assert numbers(path) == []
    path.write_bytes(lines_of(dead_letter(1)))
    assert shown(path, Selection(status=413)) == "none of the 1 dead letters is selected\n"


@pytest.mark.parametrize(
    ("choice", "taken"),
    [
        (Selection(), [1, 2, 3]),
        (Selection(status=413), [2]),
        (Selection(status=0), [3]),
        (Selection(reason="TOO LARGE"), [2]),
        (Selection(reason="a_type"), [1, 2]),
        (Selection(since=2.0), [2, 3]),
        (Selection(status=400, since=2.0), []),
    ],
)
def test_a_choice_takes_what_is_all_that_it_says(
    choice: Selection, taken: list[int], path: Path
) -> None:
    path.write_bytes(
        lines_of(
            dead_letter(1, reason="a_type: no"),
            dead_letter(2, status=413, reason="a_type: too large"),
            dead_letter(3, status=0, reason="not JSON"),
        )
    )
    assert numbers(path, choice) == taken


@pytest.mark.parametrize(
    ("reason", "general"),
    [
        (
            "document_parsing_exception: [1:374] failed to parse field [process.arg0] of type "
            "[long] in document with id '0011-00-22'. Preview of field's value: 'naïve'",
            "document_parsing_exception: failed to parse field [process.arg0] of type [long] in "
            "document with id …. Preview of field's value: …",
        ),
        ("HTTP 413: too large (4567 bytes)", "HTTP …: too large (… bytes)"),
        ("cut off in 'the mid", "cut off in …"),
        ("the value 'isn't one\n' of 'them'", "the value … of …"),
        ("the line is not JSON", "the line is not JSON"),
    ],
)
def test_reasons_that_differ_in_particulars_are_one(reason: str, general: str) -> None:
    assert generalize_reason(reason) == general


def test_a_summary_tells_a_bounded_number_of_reasons_apart() -> None:
    summary = Summary()
    for number in range(1000):
        name = "".join(chr(ord("a") + int(digit)) for digit in f"{number:03}")
        summary.add(dead_letter(number, reason=name))
    lines = list(summary.lines())
    assert summary.count == 1000
    assert len(lines) == 1 + 200 + 1
    assert lines[1].split()[0] == "800"
    assert lines[1].endswith("other reasons")
