"""The dead letter file: whole lines with the reason, on the disk, for its owner alone, bounded."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from shipper.batch import Body
from shipper.encode import RefusedLine
from shipper.output import dead_letter
from shipper.output.dead_letter import (
    DeadLetter,
    DeadLetterFile,
    Written,
    letter_of_line,
    letters_of_items,
)

MIB = 1024**2


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "dead-letter.ndjson"


def letter(line: str) -> DeadLetter:
    return DeadLetter(1.5, 400, "a: b", "id-1", "/logs/a.log", 10, line)


def write(file: DeadLetterFile, *lines: str) -> Written:
    return asyncio.run(file.write([letter(line) for line in lines]))


def read(path: Path) -> list[dict[str, Any]]:
    """Return the letters. Raises ValueError for a line that is not one."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def lines(*paths: Path) -> list[str]:
    return [found["line"][:3] for path in paths for found in read(path)]


def test_a_letter_says_what_was_refused_where_it_stands_and_why(path: Path) -> None:
    assert write(DeadLetterFile(path, MIB), '{"a":"é\\n"}') == Written(lost=0)
    assert read(path) == [
        {
            "time": 1.5,
            "status": 400,
            "reason": "a: b",
            "id": "id-1",
            "path": "/logs/a.log",
            "offset": 10,
            "line": '{"a":"é\\n"}',
        }
    ]


def test_letters_are_added_also_by_the_next_start(path: Path) -> None:
    write(DeadLetterFile(path, MIB), "one", "two")
    write(DeadLetterFile(path, MIB), "six")
    assert lines(path) == ["one", "two", "six"]


def test_nobody_else_may_read_it(path: Path) -> None:
    before = os.umask(0)
    try:
        write(DeadLetterFile(path, MIB), "one")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_write_returns_once_the_letters_are_synced(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []

    async def fsync(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_size)

    monkeypatch.setattr(dead_letter, "_fsync", fsync)
    write(DeadLetterFile(path, MIB), "one")
    assert synced == [path.stat().st_size]


def test_the_file_and_its_predecessor_stay_within_the_bound_and_what_goes_is_counted(
    path: Path,
) -> None:
    file = DeadLetterFile(path, MIB)
    older = path.with_name("dead-letter.ndjson.1")
    size = len(b'{"time":1.5,"status":400,"reason":"a: b","id":"id-1","path":"/logs/a.log",')
    lost = 0
    for number in range(10):
        lost += write(file, f"{number:03}" + "x" * 200_000).lost
        kept = path.stat().st_size + (older.stat().st_size if older.exists() else 0)
        assert kept <= MIB
    # Two fit into half of the bound: the file has the last two, its predecessor those before.
    assert lines(older, path) == ["006", "007", "008", "009"]
    assert 6 * (200_000 + size) < lost < 6 * (200_000 + 2 * size)


def test_many_letters_at_once_stay_within_the_bound_too(path: Path) -> None:
    written = write(DeadLetterFile(path, MIB), *(f"{n:03}" + "x" * 200_000 for n in range(10)))
    assert lines(path.with_name("dead-letter.ndjson.1"), path) == ["006", "007", "008", "009"]
    assert written.lost > 6 * 200_000


def test_a_letter_larger_than_the_bound_is_kept_whole(path: Path) -> None:
    write(DeadLetterFile(path, MIB), "x" * 2 * MIB, "one")
    assert lines(path) == ["one"]
    assert len(read(path.with_name("dead-letter.ndjson.1"))[0]["line"]) == 2 * MIB


def test_half_a_letter_from_a_kill_makes_no_later_one_unreadable(path: Path) -> None:
    file = DeadLetterFile(path, MIB)
    write(file, "one")
    for half in (b'{"time":1.5,"sta', b"x" * 100_000):
        with path.open("ab") as torn:
            torn.write(half)
        write(file, "two")
    assert lines(path) == ["one", "two", "two"]


def test_a_file_that_is_half_a_letter_is_begun_again(path: Path) -> None:
    path.write_bytes(b'{"time":1.5')
    write(DeadLetterFile(path, MIB), "one")
    assert lines(path) == ["one"]


def test_a_directory_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        write(DeadLetterFile(tmp_path / "no" / "dead-letter.ndjson", MIB), "one")


FULL_DISK = """
import asyncio, resource, signal, sys
from pathlib import Path
from shipper.output.dead_letter import DeadLetter, DeadLetterFile

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
file = DeadLetterFile(Path(sys.argv[1]), 400_000)
letters = [DeadLetter(1.5, 400, "", "", "", 0, name + "x" * 90_000) for name in ("one", "two")]

def write():
    return asyncio.run(file.write(letters)).lost

print(write(), write(), flush=True)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
try:
    write()
except OSError as error:
    print(error.strerror)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(write())
"""


def test_a_full_disk_is_an_error_and_afterwards_every_letter_is_whole_and_every_loss_told(
    path: Path,
) -> None:
    """The limit on the size of files stands in for the disk."""
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path)], capture_output=True, text=True, check=True
    )
    fitting, error, later = done.stdout.splitlines()
    assert fitting == "0 0"
    assert error == "File too large"
    assert lines(path.with_name("dead-letter.ndjson.1"), path) == ["one", "one", "two"]
    # Both earlier writes had to make room, the first of them for the write that then failed.
    assert int(later) == 2 * path.stat().st_size


@pytest.mark.parametrize("gzip", [True, False])
def test_the_letters_of_refused_items_hold_the_lines_that_were_read(gzip: bool) -> None:
    body = Body.of(
        [
            b'{"create":{"_id":"a-0"}}\n',
            b'{"log":{"offset":0,"file":{"path":"/a"}},"message":"{\\"a\\":1}"}\n',
            b'{"create":{"_id":"a-9"}}\n',
            b'{"log":{"offset":9,"file":{"path":"/a"}},"message":"\\r\\u0000\\ufffd"}\n',
            b'{"create":{}}\n',
            b'{"log":{"offset":14,"file":{"path":"/a"}},"message":"c"}\n',
        ],
        gzip=gzip,
    )
    assert letters_of_items(body, [(1, 400, "no"), (2, 413, "large")], 7.0) == [
        DeadLetter(7.0, 400, "no", "a-9", "/a", 9, "\r\0\ufffd"),
        DeadLetter(7.0, 413, "large", "", "/a", 14, "c"),
    ]


def test_a_line_that_was_never_sent_has_status_0_and_its_bytes_where_they_are_no_text(
    path: Path,
) -> None:
    refused = [
        RefusedLine("/a", 0, "a-0", "not JSON", b"plain"),
        RefusedLine("/a", 6, "a-6", "not JSON", b"\xff\xfe"),
    ]
    letters = [letter_of_line(each, 7.0) for each in refused]
    asyncio.run(DeadLetterFile(path, MIB).write(letters))
    plain, raw = read(path)
    assert (plain["status"], plain["line"], plain.get("line_base64")) == (0, "plain", None)
    assert raw["line"] == "\ufffd\ufffd"
    assert base64.b64decode(raw["line_base64"]) == b"\xff\xfe"
