"""The dead letter file: whole lines with the reason, on the disk, for its owner alone, bounded."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from shipper.config.inputs import OnInvalid
from shipper.documents.ecs import EcsDocuments
from shipper.documents.encode import DocumentEncoder
from shipper.documents.encoded import Encoded, RefusedLine
from shipper.files.facts import Inode
from shipper.files.identity import Identity
from shipper.output.appending import write_failure
from shipper.output.dead_letter import (
    DeadLetter,
    bulk_lines,
    dead_letter_of_line,
    dead_letters_of_items,
    encode_dead_letter,
    read_dead_letter,
    rejected_again,
)
from shipper.output.dead_letter_file import DeadLetterFile, DeadLettersFullError
from shipper.pipeline.batch import Body

MIB = 1024**2


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "dead-letter.ndjson"


def dead_letter(line: str) -> DeadLetter:
    return DeadLetter(1.5, 400, "a: b", "id-1", "/logs/a.log", 10, line)


def write(file: DeadLetterFile, *lines: str) -> None:
    asyncio.run(file.write([dead_letter(line) for line in lines]))


class Recorded:
    """Takes what is deleted as recorded."""

    def __init__(self) -> None:
        self.bytes = 0

    async def __call__(self, deleted: Path, others: Sequence[Path]) -> None:
        self.bytes += os.stat(deleted).st_size


def read(path: Path) -> list[dict[str, Any]]:
    """Return the letters. Raises ValueError for a line that is not one."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def lines(*paths: Path) -> list[str]:
    return [found["line"][:3] for path in paths for found in read(path)]


def test_a_letter_says_what_was_refused_where_it_stands_and_why(path: Path) -> None:
    write(DeadLetterFile(path, MIB), '{"a":"é\\n"}')
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
    synced: list[tuple[int, int]] = []

    def fsync(descriptor: int) -> None:
        found = os.fstat(descriptor)
        synced.append((found.st_ino, found.st_size))

    monkeypatch.setattr(os, "fsync", fsync)
    file = DeadLetterFile(path, MIB)
    write(file, "one")
    size = path.stat().st_size
    # A file that is new needs its name in the directory too.
    directory = path.parent.stat()
    assert synced == [(path.stat().st_ino, size), (directory.st_ino, directory.st_size)]
    write(file, "one")
    assert synced[2:] == [(path.stat().st_ino, 2 * size)]


class Syncs:
    """What is synced, by name; `.` is the directory."""

    def __init__(self, directory: Path, patched: pytest.MonkeyPatch) -> None:
        self._directory = directory
        self._names: list[str] = []
        patched.setattr(os, "fsync", self._fsync)

    def take(self) -> list[str]:
        """Return what was synced since the last call."""
        taken, self._names = self._names, []
        return taken

    def _fsync(self, descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        self._names.append("." if path == self._directory else path.name)


def _killed_after_the_first_sync(path: Path) -> None:
    path.write_text('{"of":"a process that was killed"}\n')


def _killed_between_rename_and_sync(path: Path) -> None:
    write(DeadLetterFile(path, MIB), "older")
    path.replace(path.with_name(f"{path.name}.1"))
    path.write_text('{"of":"a process that was killed"}\n')


def _killed_before_it_wrote(path: Path) -> None:
    path.touch()


@pytest.mark.parametrize(
    "killed",
    [_killed_after_the_first_sync, _killed_between_rename_and_sync, _killed_before_it_wrote],
)
@pytest.mark.parametrize("puts_back", [False, True])
def test_the_name_of_a_file_that_another_process_made_is_synced_before_a_letter_counts(
    path: Path, monkeypatch: pytest.MonkeyPatch, killed: Callable[[Path], None], puts_back: bool
) -> None:
    """Who made it was killed before it synced the directory."""
    killed(path)
    syncs = Syncs(path.parent, monkeypatch)
    file = DeadLetterFile(path, MIB)

    def again() -> None:
        if puts_back:
            asyncio.run(file.put_back([encode_dead_letter(dead_letter("back"))]))
        else:
            write(file, "one")

    again()
    assert sorted({*syncs.take()}) == [".", path.name]
    again()
    assert syncs.take() == [path.name]


def test_the_name_of_a_file_that_came_in_place_of_ours_is_synced(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replay moves the file aside, puts a letter back, and is killed."""
    syncs = Syncs(path.parent, monkeypatch)
    file = DeadLetterFile(path, MIB)
    write(file, "one")
    path.rename(path.with_name("dead-letter.replay-0001.ndjson"))
    path.write_text('{"of":"a replay that was killed"}\n')
    syncs.take()
    write(file, "two")
    assert sorted(syncs.take()) == [".", path.name]


def test_the_file_and_its_predecessor_stay_within_the_bound_and_what_goes_is_counted(
    path: Path,
) -> None:
    recorded = Recorded()
    file = DeadLetterFile(path, MIB, recorded)
    older = path.with_name("dead-letter.ndjson.1")
    size = len(b'{"time":1.5,"status":400,"reason":"a: b","id":"id-1","path":"/logs/a.log",')
    for number in range(10):
        write(file, f"{number:03}" + "x" * 200_000)
        kept = path.stat().st_size + (older.stat().st_size if older.exists() else 0)
        assert kept <= MIB
    # Two fit into half of the bound: the file has the last two, its predecessor those before.
    assert lines(older, path) == ["006", "007", "008", "009"]
    assert 6 * (200_000 + size) < recorded.bytes < 6 * (200_000 + 2 * size)
    assert file.size == path.stat().st_size + older.stat().st_size


def test_without_a_record_nothing_is_deleted(path: Path) -> None:
    file = DeadLetterFile(path, MIB)
    with pytest.raises(DeadLettersFullError):
        write(file, *(f"{n:03}" + "x" * 200_000 for n in range(10)))
    assert lines(path.with_name("dead-letter.ndjson.1"), path) == ["000", "001", "002", "003"]


def test_many_letters_at_once_stay_within_the_bound_too(path: Path) -> None:
    recorded = Recorded()
    file = DeadLetterFile(path, MIB, recorded)
    write(file, *(f"{n:03}" + "x" * 200_000 for n in range(10)))
    assert lines(path.with_name("dead-letter.ndjson.1"), path) == ["006", "007", "008", "009"]
    assert recorded.bytes > 6 * 200_000


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
from shipper.output.dead_letter import DeadLetter
from shipper.output.dead_letter_file import DeadLetterFile

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
lost = []

async def record(deleted, others):
    lost.append(deleted.stat().st_size)

file = DeadLetterFile(Path(sys.argv[1]), 400_000, record)
letters = [DeadLetter(1.5, 400, "", "", "", 0, name + "x" * 90_000) for name in ("one", "two")]

def write():
    asyncio.run(file.write(letters))
    return sum(lost)

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


def document_at(offset: int) -> msgspec.Raw:
    return msgspec.Raw(b'{"log":{"offset":%d,"file":{"path":"/a"}}}' % offset)


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
    assert dead_letters_of_items(body, [(1, 400, "no"), (2, 413, "large")], 7.0) == [
        DeadLetter(7.0, 400, "no", "a-9", "/a", 9, "\r\0\ufffd", document=document_at(9)),
        DeadLetter(
            7.0,
            413,
            "large",
            # Sent without an id, and of an unknown file: one that belongs to the whole document.
            "11d906ba3351b9ca-000000000e-8c40219a46b9f81b",
            "/a",
            14,
            "c",
            document=document_at(14),
        ),
    ]


def test_a_line_that_was_never_sent_has_status_0_and_its_bytes_where_they_are_no_text(
    path: Path,
) -> None:
    refused = [
        RefusedLine("/a", 0, "a-0", "not JSON", b"plain"),
        RefusedLine("/a", 6, "a-6", "not JSON", b"\xff\xfe"),
    ]
    dead_letters = [dead_letter_of_line(each, 7.0) for each in refused]
    asyncio.run(DeadLetterFile(path, MIB).write(dead_letters))
    plain, raw = read(path)
    assert (plain["status"], plain["line"], plain.get("line_base64")) == (0, "plain", None)
    assert raw["line"] == "\ufffd\ufffd"
    assert base64.b64decode(raw["line_base64"]) == b"\xff\xfe"


# What a letter is for: sending it again -----------------------------------------------------------

CONSTANTS = {"agent": {"name": "n\u00e4me"}, "fields": {"x": 'a "quoted" \\ \u2028'}, "tags": []}

LINES = {
    "ordinary": b'{"a":"\xc3\xa9\\n","time":"2026-11-24T04:32:37.1Z"}',
    "without a time": b'{"a":1}',
    "not JSON": b"plain \x1b[31m text",
    "NUL": b"\0\0",
    "not UTF-8, but JSON": b'{"a":"\xff\xfe","time":"2026-11-24T04:32:37.1Z"}',
    "neither": b"\xff\xfe plain",
    "an array": b"[1]",
    "nested deeply": b'{"a":' * 2000 + b"1" + b"}" * 2000,
}


def encode(
    line: bytes,
    on_invalid: OnInvalid,
    *,
    content_ids: bool = True,
    ecs: bool = False,
    node: str = "",
) -> Encoded:
    encoder = DocumentEncoder(
        CONSTANTS,
        content_ids=content_ids,
        node=node,
        on_invalid=on_invalid,
        contributions=EcsDocuments(CONSTANTS) if ecs else None,
    )
    template = encoder.template(Identity("00112233445566aa"), "/logs/a.log", Inode(1, 2))
    return encoder.encode(template, 77, line + b"\n", 1_700_000_000.0)


def through_the_file(dead_letter: DeadLetter) -> DeadLetter:
    """Return what is read of what is written."""
    found = read_dead_letter(encode_dead_letter(dead_letter))
    assert found is not None
    return found


@pytest.mark.parametrize("ecs", [False, True])
@pytest.mark.parametrize("gzip", [True, False])
@pytest.mark.parametrize("node", ["", "node-1"])
@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_a_refused_item_can_be_sent_again_byte_for_byte(
    line: bytes, node: str, gzip: bool, ecs: bool
) -> None:
    sent = bytes(encode(line, OnInvalid.SHIP, ecs=ecs, node=node).body).splitlines(keepends=True)
    (dead_letter,) = dead_letters_of_items(Body.of(sent, gzip=gzip), [(0, 400, "no")], 7.0)
    assert dead_letter.line == line.decode("utf-8", "replace")
    assert bulk_lines(through_the_file(dead_letter)) == tuple(sent)


@pytest.mark.parametrize("ecs", [False, True])
@pytest.mark.parametrize("node", ["", "node-1"])
@pytest.mark.parametrize("name", ["not JSON", "NUL", "neither", "an array"])
def test_a_line_that_was_never_sent_can_be_sent_as_if_it_had_been_shipped(
    name: str, node: str, ecs: bool
) -> None:
    line = LINES[name]
    shipped = bytes(encode(line, OnInvalid.SHIP, ecs=ecs, node=node).body).splitlines(keepends=True)
    (refused,) = encode(line, OnInvalid.DEAD_LETTER, ecs=ecs, node=node).refused
    dead_letter = through_the_file(dead_letter_of_line(refused, 7.0))
    assert bulk_lines(dead_letter) == tuple(shipped)
    assert (dead_letter.line_base64 or dead_letter.line.encode()) == line


@pytest.mark.parametrize("ecs", [False, True])
def test_without_ids_of_ours_a_letter_has_one_all_the_same(ecs: bool) -> None:
    """Or what is sent again after a lost answer were there twice."""
    line = LINES["ordinary"]
    (action, document) = bytes(encode(line, OnInvalid.SHIP, ecs=ecs).body).splitlines(keepends=True)
    sent = bytes(encode(line, OnInvalid.SHIP, content_ids=False, ecs=ecs).body).splitlines(
        keepends=True
    )
    assert sent == [b'{"create":{}}\n', document]
    (dead_letter,) = dead_letters_of_items(Body.of(sent, gzip=False), [(0, 400, "no")], 7.0)
    assert bulk_lines(through_the_file(dead_letter)) == (action, document)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(16, "another process writes to it", "/a"), "another process writes to it: /a"),
        (OSError(28, os.strerror(28)), "no space left on device (the disk of /data)"),
        (OSError(122, os.strerror(122), "/data/a"), "disk quota exceeded (the disk of /data)"),
        (
            OSError(30, os.strerror(30), "/data/a.lock"),
            "read-only file system (the disk of /data)",
        ),
        (OSError(13, os.strerror(13)), "permission denied: /data/a"),
        (OSError(13, os.strerror(13), "/data/a.lock"), "permission denied: /data/a.lock"),
        (OSError(5, os.strerror(5)), "input/output error: /data/a"),
    ],
)
def test_why_a_file_cannot_be_written_names_the_file_or_the_disk(
    error: OSError, words: str
) -> None:
    assert write_failure(Path("/data/a"), error) == words


RESHAPED: dict[str, tuple[dict[str, object], str, int]] = {
    "event is text": ({"event": "audit", "message": "m", "log": {"offset": 3}}, "m", 3),
    "log is text": ({"log": "x", "message": "m"}, "m", 0),
    "offset is text": ({"log": {"offset": "3"}, "message": "m"}, "m", 3),
    "offset is no number": ({"log": {"offset": "far"}, "message": "m"}, "m", 0),
    "offset is too large": ({"log": {"offset": 10**30}, "message": "m"}, "m", 0),
    "offset is negative": ({"log": {"offset": -3}, "message": "m"}, "m", 0),
    "path is a list": ({"log": {"offset": 3, "file": {"path": ["/a"]}}, "message": "m"}, "m", 3),
    "message is an object": ({"message": {"a": 1}, "log": {"offset": 3}}, "", 3),
    "message is gone": ({"log": {"offset": 3}}, "", 3),
    "message is empty": ({"message": "", "log": {"offset": 3}}, "", 3),
    "message is an object, and the line is elsewhere": (
        {"message": {"a": 1}, "event": {"original": "m"}},
        "m",
        0,
    ),
    "all is gone": ({}, "", 0),
}


@pytest.mark.parametrize(("document", "line", "offset"), RESHAPED.values(), ids=RESHAPED)
@pytest.mark.parametrize("action", [b'{"create":{"_id":"a-3"}}\n', b'{"create":{}}\n'])
def test_a_letter_is_made_of_a_document_of_any_shape_and_can_be_sent_again(
    document: dict[str, object], line: str, offset: int, action: bytes
) -> None:
    sent = [action, json.dumps(document).encode() + b"\n"]
    (dead_letter,) = dead_letters_of_items(Body.of(sent, gzip=False), [(0, 400, "no")], 7.0)
    found = through_the_file(dead_letter)
    assert (found.reason, found.line, found.offset) == ("no", line, offset)
    assert found.id == "a-3" if b"_id" in action else found.id
    again = bulk_lines(found)
    assert again is not None
    assert json.loads(again[1]) == document


def test_a_letter_names_a_file_whose_name_is_not_utf8() -> None:
    refused = RefusedLine("/logs/t-\udcff.log", 0, "a-0", "not JSON", b"m")
    assert through_the_file(dead_letter_of_line(refused, 7.0)).path == "/logs/t-\ufffd.log"


def test_a_letter_goes_where_its_action_said() -> None:
    sent = [b'{"create":{"_index":"logs-a-b","_id":"x"}}\n', b'{"message":"m"}\n']
    (dead_letter,) = dead_letters_of_items(Body.of(sent, gzip=False), [(0, 400, "no")], 7.0)
    assert dead_letter.index == "logs-a-b"
    assert bulk_lines(through_the_file(dead_letter)) == tuple(sent)
    unsent = b'{"create":{"_index":"logs-a-b"}}\n{"a":1,"message":""}\n'
    dead_letter = dead_letter_of_line(RefusedLine("/a", 0, "a-0", "not JSON", b"m", unsent), 7.0)
    assert bulk_lines(through_the_file(dead_letter)) == (
        b'{"create":{"_index":"logs-a-b","_id":"a-0"}}\n',
        b'{"a":1,"message":"m"}\n',
    )


def test_a_letter_from_before_there_were_replays_cannot_be_sent() -> None:
    assert bulk_lines(through_the_file(dead_letter("old"))) is None


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("document_parsing_exception: [1:9] failed: no", "document_parsing_exception"),
        ("error_400: by the script", "error_400"),
        ("HTTP 413: the request is too large", ""),
        ("the line is not JSON: it is malformed", ""),
        ("", ""),
    ],
)
def test_the_type_of_the_error_is_in_the_letter_if_the_reason_has_it(
    reason: str, kind: str
) -> None:
    body = Body.of([b'{"create":{"_id":"a"}}\n', b'{"message":"m"}\n'], gzip=False)
    (dead_letter,) = dead_letters_of_items(body, [(0, 400, reason)], 7.0)
    assert (dead_letter.reason, dead_letter.type) == (reason, kind)
    later = rejected_again(dead_letter, 413, "other_exception: x", 8.0)
    assert (later.time, later.status, later.type) == (8.0, 413, "other_exception")
    assert bulk_lines(later) == bulk_lines(dead_letter)


@pytest.mark.parametrize(
    "damaged",
    [b"", b"\0\0\0\n", b'{"time":1.5,"sta', b'{"time":"now"}\n', b"[1]\n", b"\xff\n", b"[" * 5000],
)
def test_a_damaged_line_is_no_letter(damaged: bytes) -> None:
    assert read_dead_letter(damaged) is None


# Putting back -------------------------------------------------------------------------------------


def put_back(file: DeadLetterFile, *lines: str) -> None:
    asyncio.run(file.put_back([encode_dead_letter(dead_letter(line)) for line in lines]))


def test_what_is_put_back_is_added_as_it_is_and_cuts_off_half_a_letter(path: Path) -> None:
    file = DeadLetterFile(path, MIB)
    write(file, "one")
    with path.open("ab") as torn:
        torn.write(b'{"time":1.5,"sta')
    asyncio.run(file.put_back([b"\xff damaged\n", encode_dead_letter(dead_letter("two"))]))
    one, damaged, two = path.read_bytes().splitlines()
    assert damaged == b"\xff damaged"
    assert [json.loads(line)["line"] for line in (one, two)] == ["one", "two"]


def test_all_that_two_full_files_hold_fits_in_again(path: Path) -> None:
    file = DeadLetterFile(path, MIB)
    # Sizes that fill the files badly, and letters that come one by one and in bunches.
    for number in range(40):
        write(file, f"{number:03}" + "x" * (7919 * number % 50_000))
    older = path.with_name("dead-letter.ndjson.1")
    held = [line for each in (older, path) for line in each.read_bytes().splitlines(keepends=True)]
    sizes = [older.stat().st_size, path.stat().st_size]
    assert min(sizes) > MIB // 4
    older.unlink()
    path.unlink()
    for begin in range(0, len(held), 3):
        asyncio.run(file.put_back(held[begin : begin + 3]))
    again = [line for each in (older, path) for line in each.read_bytes().splitlines(keepends=True)]
    assert again == held
    assert max(older.stat().st_size, path.stat().st_size) <= MIB // 2


def test_nothing_makes_room_for_what_is_put_back(path: Path) -> None:
    file = DeadLetterFile(path, MIB)
    for number in range(4):
        write(file, f"{number:03}" + "x" * 200_000)
    with pytest.raises(DeadLettersFullError, match="max_bytes"):
        put_back(file, "one", "big" + "x" * 200_000)
    older = path.with_name("dead-letter.ndjson.1")
    assert lines(older, path) == ["000", "001", "002", "003", "one"]


HOLD = """
import sys, time
from pathlib import Path
from shipper.output.appending import locked
with locked(Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.read()
"""


def test_who_writes_waits_for_another_process_that_has_the_lock(path: Path) -> None:
    async def story() -> None:
        holder = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            HOLD,
            str(path.with_name("dead-letter.lock")),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert holder.stdout is not None
        assert await holder.stdout.readline() == b"locked\n"
        writing = asyncio.create_task(DeadLetterFile(path, MIB).write([dead_letter("one")]))
        done, _ = await asyncio.wait([writing], timeout=0.2)
        assert not done
        holder.kill()
        await holder.wait()
        await writing

    asyncio.run(story())
    assert lines(path) == ["one"]
