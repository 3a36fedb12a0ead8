"""Where a document comes from: file, offset and line, read from the document itself.

Processors, `fields_under_root` and the line itself (`decode_json_fields` to the root) may have
reshaped it in any way. What is not as the encoder made it counts as not there; nothing here raises.
"""

import msgspec

from shipper.foreign import decoded

#: The largest offset of a file.
_LARGEST = 2**63 - 1


class Origin(msgspec.Struct, frozen=True):
    """What a document says of its line. Each is empty or 0 if it does not say."""

    path: str = ""
    fingerprint: str = ""
    offset: int = 0
    #: From `message`, or from `event.original` (`format: ecs`).
    line: str = ""
    #: Whether it is `message`.
    in_message: bool = False


class _File(msgspec.Struct):
    path: str = ""
    fingerprint: str = ""


class _Log(msgspec.Struct):
    offset: int = 0
    file: _File = msgspec.field(default_factory=_File)


class _Event(msgspec.Struct):
    original: str = ""


class _Document(msgspec.Struct):
    message: str = ""
    event: _Event = msgspec.field(default_factory=_Event)
    log: _Log = msgspec.field(default_factory=_Log)


_decode_document = msgspec.json.Decoder(_Document).decode
_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_text = msgspec.json.Decoder(str).decode
#: A processor may have made text of it.
_decode_offset = msgspec.json.Decoder(int, strict=False).decode


def origin_of(document: bytes) -> Origin:
    """The origin of a document; of one that is no JSON object, nothing is known."""
    found = decoded(_decode_document, document)
    if found is None:
        return _origin_of_reshaped(document)
    offset = found.log.offset if 0 <= found.log.offset <= _LARGEST else 0
    file = found.log.file
    line = found.message or found.event.original
    return Origin(file.path, file.fingerprint, offset, line, in_message=bool(found.message))


def fields_of(document: bytes) -> dict[str, msgspec.Raw] | None:
    """The fields of a document; None if it is no JSON object."""
    return decoded(_decode_fields, document)


def _origin_of_reshaped(document: bytes) -> Origin:
    """Each field by itself, of whatever type its neighbours are."""
    fields = fields_of(document) or {}
    log = _below(fields, "log")
    file = _below(log, "file")
    path, fingerprint = _text(file, "path"), _text(file, "fingerprint")
    offset = decoded(_decode_offset, log.get("offset", msgspec.Raw())) or 0
    if not 0 <= offset <= _LARGEST:
        offset = 0
    if message := _text(fields, "message"):
        return Origin(path, fingerprint, offset, message, in_message=True)
    return Origin(path, fingerprint, offset, _text(_below(fields, "event"), "original"))


def _below(fields: dict[str, msgspec.Raw], name: str) -> dict[str, msgspec.Raw]:
    return fields_of(fields.get(name, msgspec.Raw())) or {}


def _text(fields: dict[str, msgspec.Raw], name: str) -> str:
    return decoded(_decode_text, fields.get(name, msgspec.Raw())) or ""
