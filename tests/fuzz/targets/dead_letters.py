"""Dead letters: made of anything, read back from a file that anybody may have written to."""

from __future__ import annotations

import atexit
import base64
import io
import json
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

import msgspec

from shipper.dead_letters.files import dead_letters_of
from shipper.dead_letters.selection import Selection
from shipper.dead_letters.show import show, show_json
from shipper.dead_letters.summary import Summary, format_dead_letter
from shipper.documents.encoded import RefusedLine
from shipper.output.appending import append_synced, cut_incomplete_line
from shipper.output.dead_letter import (
    DeadLetter,
    bulk_lines,
    dead_letter_of_line,
    dead_letters_of_items,
    encode_dead_letter,
    read_dead_letter,
    rejected_again,
)
from shipper.output.file.written import WrittenDocuments
from shipper.pipeline.batch import Body
from tests.fuzz.target import Choices, Target, memory
from tests.support.odd_documents import documents

_PATH = "/logs/t-\udcff.log"


@cache
def directory() -> Path:
    """Where targets have their files."""
    made = tempfile.mkdtemp(prefix="shipper-fuzz-", dir=os.environ.get("TMPDIR") or memory())
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return Path(made)


def through_the_file(dead_letter: DeadLetter) -> DeadLetter:
    """The dead letter as it is read back."""
    data = encode_dead_letter(dead_letter)
    data.decode()
    assert data.count(b"\n") == 1
    found = read_dead_letter(data)
    assert found is not None
    return found


def check_item(data: bytes) -> None:
    """Of a document that was sent."""
    choices = Choices(data)
    with_id = choices.flag()
    reason = choices.one_of(("no", "a_b: no", "x: \ufffd\n" * 100))
    document = choices.rest.replace(b"\n", b" ")
    action = b'{"create":{"_id":"a-3"}}\n' if with_id else b'{"create":{}}\n'
    body = Body.of([action, document + b"\n"], gzip=with_id)
    (made,) = dead_letters_of_items(body, [(0, 400, reason)], 7.0)
    found = through_the_file(made)
    assert (found.reason, found.status) == (reason, 400)
    assert found.id == "a-3" if with_id else found.id
    again = bulk_lines(found)
    if found.line_base64:
        assert found.line_base64 == document + b"\n"
        return
    assert again is not None, "it cannot be sent again"
    assert again[1].count(b"\n") == 1
    assert _fields(again[1]) == _fields(document), "another document"
    format_dead_letter(found)


def _fields(document: bytes) -> dict[str, bytes]:
    """The fields as they are written, but for how a text is escaped and for white space."""
    found = msgspec.json.decode(document, type=dict[str, msgspec.Raw])
    fields = {name: bytes(value).strip() for name, value in found.items()}
    try:
        message = msgspec.json.decode(fields.get("message", b"null"), type=str)
        fields["message"] = json.dumps(message).encode()
    except msgspec.MsgspecError:
        pass
    return fields


def check_line(data: bytes) -> None:
    """Of a line that was not sent."""
    line, _, unsent = data.partition(b"\x01")
    refused = RefusedLine(_PATH, 5, "a-5", "not JSON", line, unsent and b"{}\n" + unsent)
    found = through_the_file(dead_letter_of_line(refused, 7.0))
    assert (found.line_base64 or found.line.encode()) == line
    assert (found.id, found.reason) == ("a-5", "not JSON")
    bulk_lines(found)
    format_dead_letter(found)


def check_file(data: bytes) -> None:
    """What is in a file, shown and replayed."""
    path = directory() / "dead-letter.ndjson"
    path.write_bytes(data)
    warnings: list[str] = []
    shown, lines = io.BytesIO(), io.BytesIO()
    summary = Summary()
    show(path, Selection(), None, shown, warnings.append)
    show_json(path, Selection(), None, lines, warnings.append)
    text = shown.getvalue().decode()
    assert all(each.isprintable() for each in text.split("\n"))
    count = 0
    with dead_letters_of(path, warnings.append) as found:
        for each in found:
            assert each.line.rstrip(b"\n") in data
            if each.dead_letter is None:
                continue
            count += 1
            summary.add(each.dead_letter)
            assert each.line in lines.getvalue()
            bulk_lines(each.dead_letter)
            later = rejected_again(each.dead_letter, 413, "a_b: too large", 8.0)
            assert bulk_lines(through_the_file(later)) == bulk_lines(each.dead_letter)
    assert summary.count == count
    msgspec.json.encode(summary.as_json())
    list(summary.lines())


def check_recovery(data: bytes) -> None:
    """A write after a torn one."""
    path = directory() / "torn.ndjson"
    path.write_bytes(data)
    letter = encode_dead_letter(DeadLetter(7.0, 400, "no", "a-3", "/a", 3, "m"))
    size = cut_incomplete_line(path)
    append_synced(path, letter)
    found = path.read_bytes()
    assert found == data[: data.rfind(b"\n") + 1] + letter
    assert size == len(found) - len(letter)


def check_recall(data: bytes) -> None:
    """What the output file of an earlier run says of the documents that it has."""
    written = WrittenDocuments()
    lines = data.split(b"\n")
    for line in lines:
        written.add(line)
        written.add(line + b"\n")
    assert 0 <= written.invalid_lines <= 2 * len(lines)
    for line in reversed(lines):
        written.contains(line)
    mine = _DOCUMENT % 2**40
    written.add(mine)
    assert written.contains(mine)
    assert not written.contains(_DOCUMENT % (2**40 + 1))


_DOCUMENT = (
    b'{"@timestamp":"2026-11-24T04:32:37Z","log":{"offset":%d,"file":{"path":"/logs/a.log",'
    b'"fingerprint":"0123456789abcdef"}},"message":"the line"}'
)
_ECS = (
    b'{"@timestamp":"2026-11-24T04:32:37Z","log":{"offset":7,"file":{"path":"/a",'
    b'"fingerprint":"0123456789abcdef"}},"event":{"original":"the line"}}'
)
_DOCUMENTS = (_DOCUMENT % 77, _ECS, b'{"message":{"a":1},"log":"x","event":7}', b"{}", b"[1]", b"x")
_LETTERS = tuple(
    encode_dead_letter(each)
    for each in (
        DeadLetter(7.0, 400, "a_b: [1:9] failed 'x'", "a-3", "/a", 3, "m"),
        DeadLetter(
            7.5,
            -1,
            "no",
            "a-3",
            "/a",
            3,
            "m",
            line_base64=b"\xff",
            type="x",
            index="i",
            document=msgspec.Raw(_DOCUMENT % 77),
            in_message=False,
        ),
        DeadLetter(8.0, 0, "no", "a-3", "/a", 3, "m", document=msgspec.Raw(b'{"a":1}')),
    )
)
_KEYS = (b'"message":', b'"log":', b'"event":', b'"offset":', b'"original":', b'"line":"\\n"')

TARGETS = (
    Target(
        "dead_letter_of_document",
        "a dead letter can be made of any document, and it can be sent again as it was",
        check_item,
        (
            *(head + each for each in _DOCUMENTS for head in (b"\0\0", b"\1\1")),
            *(b"\1\0" + each for each in documents(1, 30)),
        ),
        _KEYS,
    ),
    Target(
        "dead_letter_of_line",
        "a dead letter can be made of any line, and has it byte for byte",
        check_line,
        (
            b"not JSON\x01" + _DOCUMENTS[0],
            b"\xff\xfe\x01" + _ECS,
            b"[1]",
            b"x\x01",
            *(b"x\x01" + each for each in _DOCUMENTS),
        ),
        (b"\x01", *_KEYS),
    ),
    Target(
        "dead_letter_file",
        "a file of dead letters can be shown, sent and written again whatever is in it",
        check_file,
        (*_LETTERS, b"".join(_LETTERS), b"".join(_LETTERS)[:-30], b"\0\0\0\n" + _LETTERS[0]),
        (
            b'"time":1e300',
            b'"status":99999999999999999999',
            b'"document":[1]',
            base64.b64encode(b"\xff"),
            *_KEYS,
        ),
    ),
    Target(
        "dead_letter_recovery",
        "after a torn write all complete lines are as they were, and the next one is whole",
        check_recovery,
        (b"".join(_LETTERS)[:-30], b"".join(_LETTERS), b"torn", b"\n", b"", bytes(300)),
    ),
    Target(
        "recall",
        "a document is in the output file or not, whatever its other lines are",
        check_recall,
        tuple(each + b"\n" + _DOCUMENT % 78 for each in (*_DOCUMENTS, *documents(2, 20))),
        (b"\n", *_KEYS),
    ),
)
