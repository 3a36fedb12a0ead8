"""Dead letters: events that Elasticsearch will never take, with the reason, and with all that it
takes to send them again. NDJSON, synced to the disk before the event counts as done, bounded: one
file and its predecessor.

    {"time":…,"status":400,"reason":…,"id":…,"path":…,"offset":…,"line":…,"type":…,"document":{…}}

A daemon and a replay may write at the same time: each holds a lock for as long as it writes.
"""

import asyncio
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import orjson

from shipper.documents.encoded import RefusedLine, content_id
from shipper.output.appending import append_synced, cut_half_line, locked
from shipper.pipeline.batch import Body

_NOTHING = msgspec.Raw()


class DeadLetter(msgspec.Struct, frozen=True, omit_defaults=True):
    """One event in the file."""

    #: Unix seconds when it was refused.
    time: float
    #: What Elasticsearch answered; 0 if it was never sent (`on_invalid: dead_letter`).
    status: int
    reason: str
    #: With `ids: auto` the one that `ids: content` would have made: a replay then doubles nothing.
    id: str
    path: str
    offset: int
    #: The line as it was read; bytes that are not UTF-8 are replaced, and `line_base64` has them.
    line: str
    line_base64: bytes = b""
    #: What Elasticsearch calls the error (`document_parsing_exception`).
    type: str = ""
    #: Where it was to go, if its action said so.
    index: str = ""
    #: The document that was refused, without its `message`, which is `line`; one of `format: ecs`
    #: is whole. Of a line that was never sent: the one of `on_invalid: ship`. Empty in letters of
    #: before there were replays.
    document: msgspec.Raw = _NOTHING
    #: Whether the line is to stand in its `message`; else the document has it where it wants it.
    in_message: bool = True


class _File(msgspec.Struct):
    path: str = ""
    fingerprint: str = ""


class _Log(msgspec.Struct):
    offset: int = 0
    file: _File = msgspec.field(default_factory=_File)


class _Event(msgspec.Struct):
    original: str = ""


class _Document(msgspec.Struct):
    message: str | msgspec.UnsetType = msgspec.UNSET
    #: Where `format: ecs` has the line.
    event: _Event = msgspec.field(default_factory=_Event)
    log: _Log = msgspec.field(default_factory=_Log)

    @property
    def line(self) -> str:
        return self.event.original if self.message is msgspec.UNSET else self.message


class _Target(msgspec.Struct, omit_defaults=True):
    index: str = msgspec.field(default="", name="_index")
    id: str = msgspec.field(default="", name="_id")


class _Action(msgspec.Struct):
    create: _Target


#: Below `data_dir`.
FILE_NAME = "dead-letter.ndjson"

_encode = msgspec.json.Encoder().encode
_decode_letter = msgspec.json.Decoder(DeadLetter).decode
_decode_document = msgspec.json.Decoder(_Document).decode
_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_action = msgspec.json.Decoder(_Action).decode

#: "document_parsing_exception: [1:9] failed to parse…", and nothing that is a sentence.
_TYPE = re.compile(r"([a-z][a-z0-9_]*): ")


def dead_letter_of_line(refused: RefusedLine, now: float) -> DeadLetter:
    """The letter of a line that was not sent."""
    try:
        line, raw = refused.line.decode(), b""
    except UnicodeDecodeError:
        line, raw = refused.line.decode("utf-8", "replace"), refused.line
    index, document, in_message = "", _NOTHING, True
    if refused.unsent:
        action, unsent = refused.unsent.splitlines()
        index, document = _decode_action(action).create.index, _without_message(unsent)
        in_message = _decode_document(unsent).message is not msgspec.UNSET
    return DeadLetter(
        now,
        0,
        refused.reason,
        refused.id,
        refused.path,
        refused.offset,
        line,
        raw,
        index=index,
        document=document,
        in_message=in_message,
    )


def dead_letters_of_items(
    body: Body, refusals: Sequence[tuple[int, int, str]], now: float
) -> list[DeadLetter]:
    """The letters of the events with these (index, status, reason) in a body that was answered."""
    lines = body.lines()
    dead_letters = []
    for index, status, reason in refusals:
        target = _decode_action(lines[2 * index]).create
        sent = lines[2 * index + 1]
        document = _decode_document(sent)
        log = document.log
        document_id = target.id
        if not document_id and log.file.fingerprint:
            document_id = content_id(log.file.fingerprint, log.offset, document.line.encode())
        dead_letters.append(
            DeadLetter(
                now,
                status,
                reason,
                document_id,
                log.file.path,
                log.offset,
                document.line,
                type=_type_in(reason),
                index=target.index,
                document=_without_message(sent),
                in_message=document.message is not msgspec.UNSET,
            )
        )
    return dead_letters


def refused_again(dead_letter: DeadLetter, status: int, reason: str, now: float) -> DeadLetter:
    """The same letter with what it was answered this time."""
    return msgspec.structs.replace(
        dead_letter, time=now, status=status, reason=reason, type=_type_in(reason)
    )


def lines_to_send(dead_letter: DeadLetter) -> tuple[bytes, bytes] | None:
    """The action and document lines that were refused, byte for byte (as far as the document has
    its message at its end); None if the letter does not hold the document."""
    document = bytes(dead_letter.document).strip()
    if not document:
        return None
    action = _encode(_Action(_Target(dead_letter.index, dead_letter.id))) + b"\n"
    if not dead_letter.in_message or not dead_letter.line:
        return action, document + b"\n"
    comma = b"" if document == b"{}" else b","
    return action, b'%b%b"message":%b}\n' % (document[:-1], comma, orjson.dumps(dead_letter.line))


def line_of(dead_letter: DeadLetter) -> bytes:
    """The letter as a line of the file, with its newline."""
    return _encode(dead_letter) + b"\n"


def read_dead_letter(line: bytes) -> DeadLetter | None:
    """The letter in a line of the file; None if there is none: the line is damaged."""
    try:
        return _decode_letter(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _without_message(document: bytes) -> msgspec.Raw:
    fields = _decode_fields(document)
    fields.pop("message", None)
    return msgspec.Raw(_encode(fields))


def _type_in(reason: str) -> str:
    found = _TYPE.match(reason)
    return found[1] if found else ""


@dataclass(frozen=True, slots=True)
class Written:
    """What writing did to what was there."""

    #: Bytes of older letters that had to make room.
    lost: int


class DeadLettersFullError(Exception):
    """Letters do not fit within the bound without others being lost."""


class DeadLetterFile:
    """Appends letters to the file and sees to its bound."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        """`max_bytes` for the file and its predecessor (`.1`) together."""
        self.path = path
        self._lock = lock_of(path)
        self._limit = max_bytes // 2
        self._turn = asyncio.Lock()
        #: Lost by a `write` that then failed: the next one tells of it.
        self._lost = 0

    async def write(self, dead_letters: Sequence[DeadLetter]) -> Written:
        """Returns once the letters are on the disk.

        Raises OSError if they could not be written; part of them may have been, and writing all of
        them again is right: a letter twice is better than none.
        """
        async with self._turn:
            for data in _pieces(dead_letters, self._limit):
                await asyncio.to_thread(self._append, data)
            lost, self._lost = self._lost, 0
        return Written(lost)

    async def put_back(self, lines: Sequence[bytes]) -> None:
        """Appends lines that were in the file before, as they are; nothing makes room for them.

        Raises OSError, or NoRoomError; part of them may have been written then, as with `write`.
        """
        async with self._turn:
            await asyncio.to_thread(self._append_without_loss, lines)

    def _append(self, data: bytes) -> None:
        with locked(self._lock):
            size = cut_half_line(self.path)
            if size and size + len(data) > self._limit:
                older = predecessor(self.path)
                self._lost += older.stat().st_size if older.exists() else 0
                self.path.replace(older)
            append_synced(self.path, data)

    def _append_without_loss(self, lines: Sequence[bytes]) -> None:
        """Fills the file line by line: what was in two files fits into two files."""
        older = predecessor(self.path)
        begin = 0
        with locked(self._lock):
            size = cut_half_line(self.path)
            while begin < len(lines):
                end = begin
                while end < len(lines) and (not size or size + len(lines[end]) <= self._limit):
                    size += len(lines[end])
                    end += 1
                if end > begin:
                    append_synced(self.path, b"".join(lines[begin:end]))
                    begin = end
                elif older.exists():
                    raise DeadLettersFullError(
                        "they do not fit into dead_letter.max_bytes beside newer ones"
                    )
                else:
                    self.path.replace(older)
                    size = 0


def predecessor(path: Path) -> Path:
    """Where letters are once their file was full."""
    return path.with_name(f"{path.name}.1")


def lock_of(path: Path) -> Path:
    """What is locked by whoever writes to the file at `path`, or renames it."""
    return path.with_suffix(".lock")


def _pieces(dead_letters: Sequence[DeadLetter], limit: int) -> Iterator[bytes]:
    """The lines of the letters, in pieces of at most `limit` bytes; a larger one is alone."""
    lines: list[bytes] = []
    size = 0
    for dead_letter in dead_letters:
        line = line_of(dead_letter)
        if lines and size + len(line) > limit:
            yield b"".join(lines)
            lines, size = [], 0
        lines.append(line)
        size += len(line)
    yield b"".join(lines)
