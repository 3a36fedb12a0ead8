"""The dead letter file: events that Elasticsearch will never accept, with the reason, and with the
whole document so that they can be sent again. NDJSON, synced to the disk before the event counts as
processed. The size is limited: one file and its predecessor.

    {"time":…,"status":400,"reason":…,"id":…,"path":…,"offset":…,"line":…,"type":…,"document":{…}}

A daemon and a replay may both write: each holds a lock while it writes.
"""

import asyncio
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import orjson
import xxhash

from shipper.documents.encoded import RefusedLine, content_id
from shipper.documents.origin import Origin, fields_of, origin_of
from shipper.foreign import decoded, path_text
from shipper.output.appending import append_synced, cut_incomplete_line, locked
from shipper.pipeline.batch import Body

_EMPTY = msgspec.Raw()


class DeadLetter(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of the file."""

    #: When it was rejected, in Unix seconds.
    time: float
    #: The HTTP status of the item; 0 if it was never sent (`on_invalid: dead_letter`), NO_STATUS if
    #: no answer had one.
    status: int
    reason: str
    #: With `ids: auto` the id of `ids: content`, so that a replay makes no duplicates.
    id: str
    path: str
    offset: int
    #: The line. Bytes that are not UTF-8 are replaced; then `line_base64` has the original. Empty
    #: if processors have taken it out of the document: `document` has what became of it.
    line: str
    line_base64: bytes = b""
    #: The error type of Elasticsearch (`document_parsing_exception`).
    type: str = ""
    #: The index, if the action named one.
    index: str = ""
    #: The rejected document, without its `message` if that is `line`; else complete.
    #: For a line that was never sent: the document of `on_invalid: ship`. Empty in dead letters of
    #: versions without replay.
    document: msgspec.Raw = _EMPTY
    #: Whether the line belongs into `message`; otherwise the document contains it already.
    in_message: bool = True


class _Target(msgspec.Struct, omit_defaults=True):
    index: str = msgspec.field(default="", name="_index")
    id: str = msgspec.field(default="", name="_id")


class _Action(msgspec.Struct):
    create: _Target


#: The status of an event that was sent, and got no answer with one.
NO_STATUS = -1

#: Below `data_dir`.
FILE_NAME = "dead-letter.ndjson"

_encode = msgspec.json.Encoder().encode
_decode_letter = msgspec.json.Decoder(DeadLetter).decode
_decode_action = msgspec.json.Decoder(_Action).decode

#: Matches "document_parsing_exception: [1:9] failed to parse…", but no sentence.
_TYPE = re.compile(r"([a-z][a-z0-9_]*): ")


def dead_letter_of_line(refused: RefusedLine, now: float) -> DeadLetter:
    """The dead letter of a line that was not sent."""
    try:
        line, raw = refused.line.decode(), b""
    except UnicodeDecodeError:
        line, raw = refused.line.decode("utf-8", "replace"), refused.line
    action, _, unsent = refused.unsent.partition(b"\n")
    fields = fields_of(unsent) or {}
    return DeadLetter(
        now,
        0,
        refused.reason,
        refused.id,
        path_text(refused.path),
        refused.offset,
        line,
        raw,
        index=_target_of(action).index,
        document=_without_message(fields),
        in_message=not fields or "message" in fields,
    )


def dead_letters_of_items(
    body: Body, refusals: Sequence[tuple[int, int, str]], now: float
) -> list[DeadLetter]:
    """The dead letters of rejected events of a body, given as (index, status, reason). One can be
    made of any document: it has the id, the reason, and the document as it was sent."""
    lines = body.lines()
    return [
        _dead_letter_of_item(lines[2 * index], lines[2 * index + 1], status, reason, now)
        for index, status, reason in refusals
    ]


def _dead_letter_of_item(
    action: bytes, document: bytes, status: int, reason: str, now: float
) -> DeadLetter:
    target, origin = _target_of(action), origin_of(document)
    fields = fields_of(document) if _is_utf8(document) else None
    line, raw = origin.line, b""
    if fields is None:
        # Not from our encoder; as text it would make the file unreadable.
        line, raw, kept = document.decode("utf-8", "replace"), document, _EMPTY
    else:
        kept = _without_message(fields) if origin.in_message else msgspec.Raw(document.strip())
    return DeadLetter(
        now,
        status,
        reason,
        target.id or _id_of(origin, document),
        origin.path,
        origin.offset,
        line,
        raw,
        type=_type_in(reason),
        index=target.index,
        document=kept,
        in_message=origin.in_message,
    )


def index_of(action: bytes) -> str:
    """The index that the action line of an event names; empty if it names none."""
    return _target_of(action).index


def _target_of(action: bytes) -> _Target:
    found = decoded(_decode_action, action)
    return found.create if found is not None else _Target()


def _id_of(origin: Origin, document: bytes) -> str:
    """The id of a document that was sent without one."""
    # Without a fingerprint the whole document tells lines apart.
    prefix = origin.fingerprint or xxhash.xxh3_64_hexdigest(document)
    return content_id(prefix, origin.offset, origin.line.encode())


def rejected_again(dead_letter: DeadLetter, status: int, reason: str, now: float) -> DeadLetter:
    """The dead letter with the status and reason of a replay."""
    return msgspec.structs.replace(
        dead_letter, time=now, status=status, reason=reason, type=_type_in(reason)
    )


def bulk_lines(dead_letter: DeadLetter) -> tuple[bytes, bytes] | None:
    """The action and document lines that were rejected, byte for byte (if `message` is the last
    field of the document); None if the dead letter has no document."""
    document = bytes(dead_letter.document).strip()
    if not document.startswith(b"{"):
        return None
    action = _encode(_Action(_Target(dead_letter.index, dead_letter.id))) + b"\n"
    if not dead_letter.in_message or not dead_letter.line:
        return action, document + b"\n"
    comma = b"" if document == b"{}" else b","
    return action, b'%b%b"message":%b}\n' % (document[:-1], comma, orjson.dumps(dead_letter.line))


def encode_dead_letter(dead_letter: DeadLetter) -> bytes:
    """The dead letter as a line of the file, with its newline."""
    return _encode(dead_letter) + b"\n"


def read_dead_letter(line: bytes) -> DeadLetter | None:
    """The dead letter in a line of the file; None if the line is damaged."""
    return decoded(_decode_letter, line)


def _without_message(fields: dict[str, msgspec.Raw]) -> msgspec.Raw:
    if not fields:
        return _EMPTY
    return msgspec.Raw(_encode({name: fields[name] for name in fields if name != "message"}))


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _type_in(reason: str) -> str:
    found = _TYPE.match(reason)
    return found[1] if found else ""


class WriteResult(msgspec.Struct, frozen=True):
    """The result of a write."""

    #: Bytes of the oldest dead letters that were deleted.
    lost: int


class DeadLettersFullError(Exception):
    """Dead letters exceed the size limit, and older ones may not be deleted."""


class DeadLetterFile:
    """Appends dead letters to the file and limits its size."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        """`max_bytes` for the file and its predecessor (`.1`) together."""
        self.path = path
        self._lock = lock_of(path)
        self._limit = max_bytes // 2
        self._turn = asyncio.Lock()
        #: Bytes deleted by a `write` that then failed: the next one reports them.
        self._lost = 0

    @property
    def size(self) -> int:
        """Bytes of the file and its predecessor."""
        return _size_of(self.path) + _size_of(predecessor(self.path))

    @property
    def limit(self) -> int:
        """The most bytes of both."""
        return 2 * self._limit

    async def write(
        self, dead_letters: Sequence[DeadLetter], *, keep_since: float | None = None
    ) -> WriteResult:
        """Returns once the dead letters are on the disk. `keep_since`: dead letters since that Unix
        time are not deleted to make room.

        Raises OSError if they could not be written, and DeadLettersFullError if there is no room.
        Some may have been written then; the caller writes all of them again: a duplicate is better
        than a loss.
        """
        async with self._turn:
            for data in _pieces(dead_letters, self._limit):
                await asyncio.to_thread(self._append, data, keep_since)
            lost, self._lost = self._lost, 0
        return WriteResult(lost)

    async def put_back(self, lines: Sequence[bytes]) -> None:
        """Appends lines that were in the file before, unchanged; deletes nothing for them.

        Raises OSError or DeadLettersFullError; some lines may have been written then, as in
        `write`.
        """
        async with self._turn:
            await asyncio.to_thread(self._append_without_loss, lines)

    def _append(self, data: bytes, keep_since: float | None) -> None:
        with locked(self._lock):
            size = cut_incomplete_line(self.path)
            if size and size + len(data) > self._limit:
                older = predecessor(self.path)
                if older.exists():
                    found = older.stat()
                    # Its time is that of its last dead letter.
                    if keep_since is not None and found.st_mtime >= keep_since:
                        raise DeadLettersFullError("they exceed dead_letter.max_bytes")
                    self._lost += found.st_size
                self.path.replace(older)
            append_synced(self.path, data)

    def _append_without_loss(self, lines: Sequence[bytes]) -> None:
        """Fills the file line by line: the lines of two files fit into two files."""
        older = predecessor(self.path)
        begin = 0
        with locked(self._lock):
            size = cut_incomplete_line(self.path)
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


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def predecessor(path: Path) -> Path:
    """The file with older dead letters, renamed when it was full."""
    return path.with_name(f"{path.name}.1")


def lock_of(path: Path) -> Path:
    """The lock file that protects writing and renaming the file at `path`."""
    return path.with_suffix(".lock")


def _pieces(dead_letters: Sequence[DeadLetter], limit: int) -> Iterator[bytes]:
    """The encoded dead letters in pieces of at most `limit` bytes; a larger one is alone."""
    lines: list[bytes] = []
    size = 0
    for dead_letter in dead_letters:
        line = encode_dead_letter(dead_letter)
        if lines and size + len(line) > limit:
            yield b"".join(lines)
            lines, size = [], 0
        lines.append(line)
        size += len(line)
    yield b"".join(lines)
