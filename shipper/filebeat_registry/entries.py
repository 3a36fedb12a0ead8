"""Parses the entries of Filebeat's registry: the identity of a file, and its offset.

    filestream::<input>::native::<inode>-<device>          any of the four may end in -<stream>,
    filestream::<input>::fingerprint::<sha256>             for a `container` input
    filestream::<input>::path::<path>
    filestream::<input>::inode_marker::<inode>-<marker>
    filebeat::logs::native::<inode>-<device>               of the `log` input

(elastic/beats, filebeat/input/filestream/identifier.go and input.go, filebeat/input/file/state.go)
"""

import re
from collections import Counter
from collections.abc import Mapping
from enum import Enum
from typing import Any

from msgspec import Struct

from shipper.filebeat_registry.store import whole_number

_FILESTREAM = re.compile(
    r"filestream::(?P<input>.*?)::(?P<kind>native|fingerprint|path|inode_marker)::(?P<value>.*)",
    re.DOTALL,
)
_LOG = re.compile(r"filebeat::logs::(?P<kind>native|path|inode_marker)::(?P<value>.*)", re.DOTALL)
_STREAM = re.compile(r"(?P<value>.*)-(?P<stream>stdout|stderr)", re.DOTALL)
_NATIVE = re.compile(r"([0-9]{1,20})-([0-9]{1,20})", re.ASCII)
_MARKER = re.compile(r"([0-9]{1,20})-(.*)", re.ASCII | re.DOTALL)
_SHA256 = re.compile(r"[0-9a-f]{64}")

_NANOSECONDS = 1_000_000_000
#: Larger values are not times: Go's zero time is 18446744011573954816, a negative number that is
#: written as unsigned.
_LATEST = 2**34


class Kind(Enum):
    """Filebeat's file identities."""

    NATIVE = "native"
    FINGERPRINT = "fingerprint"
    PATH = "path"
    INODE_MARKER = "inode_marker"


class Unused(Enum):
    """Why a key is not used, for reports."""

    REMOVED = "removed by Filebeat (its ttl is 0)"
    OTHER_INPUT = "of another kind of input"
    UNKNOWN_IDENTITY = "of a file identity that is not known"
    DAMAGED = "without an offset that can be read"
    NO_FILE = "of a file that is not there any more, or that no input follows"


class Entry(Struct, frozen=True):
    """The entry of one file."""

    key: str
    #: The input's id in Filebeat's configuration; empty for the `log` input, which has none.
    input_id: str
    kind: Kind
    #: The digest or the path; empty for kinds with an inode.
    value: str = ""
    inode: int = 0
    #: None if only the inode is known.
    device: int | None = None
    #: `stdout` or `stderr` for a `container` input that reads only one of them.
    stream: str = ""
    #: The last path that Filebeat saw.
    source: str = ""
    #: The acknowledged offset; None if nothing is acknowledged.
    offset: int | None = None
    #: Latest possible time at which the last acknowledged line was read (nanoseconds since the Unix
    #: epoch). None if it is not recorded: the file was only skipped, or imported.
    updated: int | None = None
    #: Whether it was read to its end and cannot grow (gzips only).
    ended: bool = False
    #: Bytes that the digest covers, if fewer than usual.
    covered: int | None = None


def entries_of(values: Mapping[str, Mapping[str, Any]]) -> tuple[list[Entry], Counter[Unused]]:
    """All entries, and the number of keys that are not used, by reason."""
    entries: list[Entry] = []
    unused: Counter[Unused] = Counter()
    for key, value in values.items():
        found = entry_of(key, value)
        if isinstance(found, Entry):
            entries.append(found)
        else:
            unused[found] += 1
    return entries, unused


def entry_of(key: str, value: Mapping[str, Any]) -> Entry | Unused:
    """The entry of a key, or why it is not used."""
    if matched := _FILESTREAM.fullmatch(key):
        input_id, cursor, updated = matched["input"], value.get("cursor"), value.get("updated")
        meta = value.get("meta")
    elif matched := _LOG.fullmatch(key):
        # Entries of the `log` input are flat.
        input_id, cursor, updated, meta = "", value, value.get("timestamp"), value
    elif key.startswith(("filestream::", "filebeat::logs::")):
        return Unused.UNKNOWN_IDENTITY
    else:
        return Unused.OTHER_INPUT
    ttl = value.get("ttl")
    if isinstance(ttl, int | float) and ttl == 0:
        return Unused.REMOVED
    meta = meta if isinstance(meta, dict) else {}
    offset = None
    if cursor is not None:
        offset = whole_number(cursor.get("offset")) if isinstance(cursor, dict) else None
        if offset is None or offset >= 2**63:
            return Unused.DAMAGED
    source = meta.get("source")
    source = source if isinstance(source, str) else ""
    identified = _identified(Kind(matched["kind"]), matched["value"], source)
    if identified is None:
        return Unused.UNKNOWN_IDENTITY
    return Entry(
        key=key,
        input_id=input_id,
        kind=Kind(matched["kind"]),
        value=identified.value,
        inode=identified.inode,
        device=identified.device,
        stream=identified.stream,
        source=source,
        offset=offset,
        updated=moment(updated),
        ended=isinstance(cursor, dict) and cursor.get("eof") is True,
        covered=_covered(meta),
    )


class _Identified(Struct, frozen=True):
    value: str = ""
    inode: int = 0
    device: int | None = None
    stream: str = ""


def _identified(kind: Kind, text: str, source: str) -> _Identified | None:
    """Parses the identity in a key; None if it has another form."""
    streamed = _STREAM.fullmatch(text)
    # A path may end like a stream.
    if streamed is not None and not (kind is Kind.PATH and source != streamed["value"]):
        text, stream = streamed["value"], streamed["stream"]
    else:
        stream = ""
    match kind:
        case Kind.NATIVE:
            found = _NATIVE.fullmatch(text)
            return found and _Identified("", int(found[1]), int(found[2]), stream)
        case Kind.INODE_MARKER:
            found = _MARKER.fullmatch(text)
            return found and _Identified("", int(found[1]), None, stream)
        case Kind.FINGERPRINT:
            return _Identified(text, stream=stream) if _SHA256.fullmatch(text) else None
        case Kind.PATH:
            return _Identified(text, stream=stream) if text else None


def _covered(meta: Mapping[str, Any]) -> int | None:
    """Bytes of the fingerprint of a short file: Filebeat 9.5 uses the part that exists."""
    raw = meta.get("fingerprint")
    if isinstance(raw, str) and raw:
        return len(raw) // 2
    return whole_number(meta.get("fingerprint_len")) or None


def moment(written: object) -> int | None:
    """Nanoseconds since the Unix epoch, from Filebeat's format of times: [zone and nanoseconds,
    seconds]. None for Go's zero time, and for other values.

    The lower half of the first number has the nanoseconds, the upper half the zone, which does not
    affect the seconds. (elastic/go-structform writes a time.Time like this.)
    """
    if not isinstance(written, list) or len(written) != 2:
        return None
    first, seconds = whole_number(written[0]), whole_number(written[1])
    if first is None or seconds is None or not 0 < seconds < _LATEST:
        return None
    return seconds * _NANOSECONDS + min(first % 2**32, _NANOSECONDS - 1)
