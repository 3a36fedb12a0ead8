"""Dead letters: events that Elasticsearch will never accept, with the reason, and with the whole
document so that they can be sent again. Each is a line of the dead letter file:

    {"time":…,"status":400,"reason":…,"id":…,"path":…,"offset":…,"line":…,"type":…,"document":{…}}
"""

import re
from collections.abc import Sequence

import msgspec
import orjson
import xxhash

from shipper.documents.encoded import RefusedLine, content_id
from shipper.documents.origin import Origin, fields_of, origin_of
from shipper.foreign import decoded, path_text
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
    unsent = unsent.partition(b"\n")[0]  # One line, as the dead letter.
    fields = (fields_of(unsent) if _is_utf8(unsent) else None) or {}
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
    # The decoder does not look into `document`.
    return decoded(_decode_letter, line) if _is_utf8(line) else None


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
