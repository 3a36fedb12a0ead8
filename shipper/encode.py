"""The hot path: a block of lines into the body of a bulk request.

Per line it validates the JSON and finds `time` in one pass (msgspec skips what it is not asked for
without building it), escapes the line as a JSON string (orjson), and takes its checksum (xxh3); all
else of the document is rendered once a file. Working line by line on small objects beats working
on whole blocks by half: a line stays in the nearest cache while four libraries look at it, where
one call a block streams megabytes through fresh pages four times.

A block in which anything is unusual raises in the fast loop and is done again by the careful one,
which gives every line its own outcome. Both make the same document of an ordinary line; a test
holds them, and a slow twin written from the documentation, against each other.
"""

import codecs
import contextlib
import functools
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Protocol

import msgspec
import orjson
import xxhash

from shipper.config.inputs import OnInvalid
from shipper.filesystem import Inode
from shipper.filters import EventFilter, Run
from shipper.identity import Identity
from shipper.index_name import IndexName
from shipper.processors.chain import DROPPED
from shipper.processors.documents import Failed, Processing


@dataclass(frozen=True, slots=True)
class FileTemplate:
    """What is the same in all documents of one file, rendered."""

    identity: Identity
    path: str
    #: Ends the document before, begins the next action up to the id's offset; with a date in the
    #: index's name there is one for each date, and this is empty.
    action: bytes
    #: From the end of `log.offset` to the beginning of what the line contributes.
    constants: bytes
    #: Of the encoder's constants.
    generation: int = 0


@dataclass(frozen=True, slots=True)
class RefusedLine:
    """A line that goes to the dead letter file without having been sent."""

    path: str
    offset: int
    #: The `_id` that its document would have had.
    id: str
    reason: str
    line: bytes
    #: The action and the document line that `on_invalid: ship` would have sent; a message is
    #: empty: the line has it.
    unsent: bytes = b""


@dataclass(slots=True)
class Encoded:
    """What became of a block: every line of it is counted exactly once."""

    body: bytes
    #: Documents in `body`.
    events: int
    #: Blank lines, of which no document is made.
    blank: int = 0
    #: Lines that were dropped because the user said so (`on_invalid: drop`).
    dropped: int = 0
    #: Events that are not shipped, by the rule of `inputs[].events` that says so, or `drop_event`.
    filtered: Mapping[str, int] = field(default_factory=dict)
    refused: tuple[RefusedLine, ...] = ()
    #: Of the documents, how many carry an `error.message`, by reason.
    flagged: Mapping[str, int] = field(default_factory=dict)
    #: Processors that failed, by name.
    failures: dict[str, Failed] = field(default_factory=dict)

    @property
    def lines(self) -> int:
        unsent = self.blank + self.dropped + sum(self.filtered.values()) + len(self.refused)
        return self.events + unsent


class Contributions(Protocol):
    """Makes what a line contributes to its document, where that is more than its text.

    That is bytes of JSON: members of an object, without the braces.
    """

    @property
    def constants(self) -> Mapping[str, object]:
        """What is the same in all documents."""

    def quick(self, line: bytes) -> tuple[bytes, bytes | memoryview]:
        """The `time` of an ordinary line as JSON, and what it contributes.

        Raises msgspec.MsgspecError, ValueError or RecursionError if it is not ordinary.
        """

    def careful(self, text: str, problem: str, *, parse: bool) -> tuple[bytes | memoryview, str]:
        """What a line contributes, whatever it is, and what is wrong with it in words: `problem`,
        or what shows only here. `parse`: whether it is an event, as far as has been looked."""


class _Event(msgspec.Struct, gc=False):
    """The part of an event that is looked at; the rest is validated and skipped."""

    time: msgspec.Raw = msgspec.Raw(b"")


_decode_event = msgspec.json.Decoder(_Event).decode
_decode_times = msgspec.json.Decoder(list[Annotated[datetime, msgspec.Meta(tz=True)]]).decode
_decode_time = msgspec.json.Decoder(str).decode

#: What the problem of a line begins with that is no event; the ingest pipeline of `setup` leaves
#: such lines as they are.
NOT_JSON = "the line is not JSON"
NOT_AN_OBJECT = "the line is JSON, but not an object"
TOO_DEEP = "the line is nested too deeply"

#: `"2026-11-24T04:32:37.123456789Z"`, quotes included: the longest that is taken as it is.
_LONGEST_TIME = 32

#: What Elasticsearch's strict_date_optional_time takes of RFC 3339; the digits are checked by
#: msgspec, which knows the lengths of months.
_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?(Z|[+-](?:0\d|1[0-7]):[0-5]\d)",
    re.IGNORECASE | re.ASCII,
)

_MESSAGE_KEY = b',"message":'

# The fast loops add these parts for each line: action, offset, checksum, time, log.offset,
# constants, what the line contributes.
_Parts = list[bytes | memoryview | msgspec.Raw]
_PARTS = 7
_TIME_PART = 3

#: The metric's label of a line that looks well until it is taken apart.
_NOT_TAKEN_APART = "not_taken_apart"

#: Actions that are remembered, where the time decides the index: files of several inputs, whose
#: events are of the same few days or hours.
_REMEMBERED_ACTIONS = 64


class DocumentEncoder:
    """Makes the documents of one input.

    `{"@timestamp":…,"log":{"offset":…,"file":{…}},…constants…,"message":…}`: the fields of
    Filebeat's filestream, so that the Elastic integration's ingest pipeline finds what it expects.
    Where there are `contributions`, these stand in place of the message; all else is the same, ids
    included.
    """

    def __init__(
        self,
        constants: Mapping[str, object],
        *,
        content_ids: bool,
        on_invalid: OnInvalid,
        contributions: Contributions | None = None,
        events: EventFilter | None = None,
        index: IndexName | None = None,
        processing: Processing | None = None,
    ) -> None:
        """`constants`: what every document carries besides its time, its message and its log.*;
        `contributions`: what makes more of a line than its message, None for `format: raw`;
        `events`: which events there are documents of, None for all; `index`: what each action
        names, None if the path of the request does; `processing`: what is done to documents, which
        says what the constants become."""
        self._processing = processing
        self._contributions = contributions
        if contributions is not None:
            constants = contributions.constants
        elif processing is not None:
            constants = processing.constants
        self._constants = orjson.dumps(constants)[1:-1]
        #: Changes when the constants do: templates of another one are out of date.
        self.generation = 0
        self._content_ids = content_ids
        self._on_invalid = on_invalid
        self._events = events
        self._index = index
        self._index_span = index.span if index else 0
        self._action = functools.lru_cache(_REMEMBERED_ACTIONS)(self._render_action)

    def template(self, identity: Identity, path: str, inode: Inode) -> FileTemplate:
        """What `encode` needs to know of a file; to be made anew when its path changes."""
        file = orjson.dumps(
            {
                "path": os.fsencode(path).decode("utf-8", "replace"),
                # Strings, as Filebeat has them (the index template maps keywords).
                "inode": str(inode.number),
                "device_id": str(inode.device),
                "fingerprint": identity,
            }
        )
        comma = b"," if self._constants else b""
        content = b"," if self._contributions else b',"message":'
        return FileTemplate(
            identity=identity,
            path=path,
            action=b"" if self._index_span else self._render_action(identity, ""),
            constants=b',"file":' + file + b"}" + comma + self._constants + content,
            generation=self.generation,
        )

    def refresh(self, now: float) -> None:
        """Has the constants as they are now (Unix seconds): those of the machine may change."""
        if self._processing and self._processing.refresh(now):
            self._constants = orjson.dumps(self._processing.constants)[1:-1]
            self.generation += 1

    def encode(self, template: FileTemplate, start: int, block: bytes, now: float) -> Encoded:
        """The documents of `block`, whole lines that begin at offset `start` of their file.

        `now` (Unix seconds) is the `@timestamp` of lines that have no time of their own.
        """
        lines = _lines(block)
        sifted = self._events.sift(start, lines) if self._events else None
        runs = sifted.runs if sifted else (Run(start, lines),)
        try:
            if b"\r" in block:
                raise _UnusualError
            encoded = self._encode_ordinary(template, runs, now)
        except (msgspec.MsgspecError, ValueError, RecursionError, _UnusualError):
            encoded = self._encode_carefully(template, runs, now)
        if sifted:
            encoded.filtered = Counter(sifted.filtered) + Counter(encoded.filtered)
        return encoded

    def encode_cut(
        self, template: FileTemplate, start: int, head: bytes, length: int, now: float
    ) -> Encoded:
        """The document of a line of `length` bytes of which only `head` is shipped."""
        text = codecs.getincrementaldecoder("utf-8")("replace").decode(head)
        event = _Event()
        with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            # The time is at the end of Tetragon's lines, and so cut off; a head that is JSON by
            # itself was followed by white space alone.
            event = _decode_event(head)
        parts: _Parts = []
        problem = f"the line has {length} bytes; the first {len(head)} are in message"
        timestamp = _timestamp_of(event.time) or _stamp(now)
        content, _ = self._content(text, problem, parse=False)
        self._add(parts, template, start, head, content, timestamp, problem, cut=True)
        return self._encoded(parts, [head], template, now, flagged={"too_long": 1})

    def _encode_ordinary(self, template: FileTemplate, runs: Sequence[Run], now: float) -> Encoded:
        parts = (
            _message_parts(template, runs)
            if self._contributions is None
            else _contribution_parts(self._contributions, template, runs)
        )
        if not parts:
            return Encoded(b"", 0)
        times = parts[_TIME_PART::_PARTS]
        joined = b",".join(times)
        if (
            len(_decode_times(b"[%b]" % joined)) != len(times)
            or joined.count(b"T") != len(times)
            or joined.count(b'Z"') != len(times)
            or max(map(len, times)) > _LONGEST_TIME
        ):
            raise _UnusualError
        if self._index_span:
            parts[::_PARTS] = self._actions(template.identity, times, joined)
        if self._processing is None:
            return Encoded(self._body(parts), len(times))
        lines = [line for run in runs for line in run.lines] if self._processing.each else None
        return self._encoded(parts, lines, template, now)

    def _encode_carefully(self, template: FileTemplate, runs: Sequence[Run], now: float) -> Encoded:
        parts: _Parts = []
        blank = dropped = 0
        flagged: Counter[str] = Counter()
        refused: list[RefusedLine] = []
        shipped: list[bytes] = []
        for offset, raw in _places(runs):
            line = raw.removesuffix(b"\r")
            if not line.strip():
                blank += 1
                continue
            look = _look_at(line)
            if look.invalid and self._on_invalid is OnInvalid.DROP:
                dropped += 1
                continue
            if look.invalid and self._on_invalid is OnInvalid.DEAD_LETTER:
                refused.append(self._refuse(template, offset, line, look, now))
                continue
            content, problem = self._content(look.text, look.problem, parse=not look.invalid)
            if problem:
                flagged[look.kind or _NOT_TAKEN_APART] += 1
            timestamp = look.timestamp or _stamp(now)
            self._add(parts, template, offset, line, content, timestamp, problem)
            shipped.append(line)
        encoded = self._encoded(parts, shipped, template, now, flagged=flagged)
        encoded.blank, encoded.dropped = blank, dropped
        encoded.refused = tuple(refused)
        return encoded

    def _encoded(
        self,
        parts: _Parts,
        lines: Sequence[bytes] | None,
        template: FileTemplate,
        now: float,
        *,
        flagged: Mapping[str, int] | None = None,
    ) -> Encoded:
        """Documents of these parts, after their processors. `lines`: what the documents are of,
        None if none of the processors has to look at them."""
        encoded = Encoded(b"", len(parts) // _PARTS, flagged=flagged or {})
        if self._processing is not None:
            self._processing.count_once(encoded.events, encoded.failures)
            if lines is not None:
                parts = self._processed(self._processing, parts, lines, template, now, encoded)
        if parts:
            encoded.body = self._body(parts)
        return encoded

    def _processed(
        self,
        processing: Processing,
        parts: _Parts,
        lines: Sequence[bytes],
        template: FileTemplate,
        now: float,
        encoded: Encoded,
    ) -> _Parts:
        """The parts of the documents after their processors; ids are those they had."""
        kept: _Parts = []
        for index, line in enumerate(lines):
            action, offset, checksum, time, log, constants, content = parts[
                index * _PARTS : (index + 1) * _PARTS
            ]
            if self._contributions is None:
                fields, message = bytes(log) + constants[: -len(_MESSAGE_KEY)], bytes(content)
            else:
                fields, message = b"".join((log, constants, content)), None
            done = processing.run(bytes(time), fields, message, line, now, encoded.failures)
            if done is None:
                continue
            if self._index_span:
                action = self._action(template.identity, self._index_time(done.timestamp))
            kept += (action, offset, checksum, done.timestamp)
            kept += (log, constants, content) if done.rest is None else (done.rest, b"", b"")
        encoded.events = len(kept) // _PARTS
        if dropped := len(lines) - encoded.events:
            encoded.filtered = {DROPPED: dropped}
        return kept

    def _refuse(
        self, template: FileTemplate, offset: int, line: bytes, look: "_Look", now: float
    ) -> RefusedLine:
        parts: _Parts = []
        timestamp = look.timestamp or _stamp(now)
        # A letter has the line already, and puts it into the message.
        text = "" if self._contributions is None else look.text
        content, problem = self._content(text, look.problem, parse=False)
        self._add(parts, template, offset, line, content, timestamp, problem)
        document_id = content_id(template.identity, offset, line)
        return RefusedLine(
            template.path, offset, document_id, look.problem, line, self._body(parts)
        )

    def _add(
        self,
        parts: _Parts,
        template: FileTemplate,
        offset: int,
        line: bytes,
        content: bytes | memoryview,
        timestamp: bytes,
        problem: str,
        *,
        cut: bool = False,
    ) -> None:
        log = b',"log":{"flags":["truncated"],"offset":%d' if cut else b',"log":{"offset":%d'
        if problem:
            log = b',"error":{"message":%b}' % orjson.dumps(problem).replace(b"%", b"%%") + log
        parts += (
            template.action or self._action(template.identity, self._index_time(timestamp)),
            b"%010x-" % offset,
            b'%b"}}\n{"@timestamp":' % xxhash.xxh3_64_hexdigest(line).encode(),
            timestamp,
            log % offset,
            template.constants,
            content,
        )

    def _content(self, text: str, problem: str, *, parse: bool) -> tuple[bytes | memoryview, str]:
        if self._contributions is None:
            return orjson.dumps(text), problem
        return self._contributions.careful(text, problem, parse=parse)

    def _actions(
        self, identity: Identity, times: Sequence[bytes | memoryview | msgspec.Raw], joined: bytes
    ) -> list[bytes]:
        """The actions of lines whose times, JSON in UTC, are these, and joined by commas that."""
        # The digits decide: a datetime has microseconds, to which the last nanoseconds of a day
        # are rounded up.
        end = 1 + self._index_span
        first = bytes(times[0])[:end]
        # It begins with a quote, which no time has but around it.
        if joined.count(first) == len(times):
            return [self._action(identity, first[1:].decode())] * len(times)
        return [self._action(identity, bytes(time)[1:end].decode()) for time in times]

    def _render_action(self, identity: Identity, time: str) -> bytes:
        """Ends the document before, begins the next action up to the id's offset; without ids up
        to the document's time."""
        index = b'"_index":%b' % orjson.dumps(self._index.at(time)) if self._index else b""
        if not self._content_ids:
            return b'}\n{"create":{%b}}\n{"@timestamp":' % index
        comma = b"," if index else b""
        return b'}\n{"create":{%b%b"_id":"%b-' % (index, comma, identity.encode())

    def _index_time(self, timestamp: bytes) -> str:
        """As much of a time as decides the index, in UTC."""
        text = timestamp.decode()[1:-1]
        if not text.endswith("Z"):
            written = datetime.fromisoformat(text[: len("2026-11-24T04:32:37")] + text[-6:])
            # The very first and last hours of the calendar may have no other name in UTC.
            with contextlib.suppress(OverflowError):
                text = written.astimezone(UTC).isoformat()
        return text[: self._index_span]

    def _body(self, parts: _Parts) -> bytes:
        if not self._content_ids:
            count = len(parts) // _PARTS
            parts[1::_PARTS] = parts[2::_PARTS] = [b""] * count
        # Each action begins by closing the document before it; the first has none.
        parts[0] = bytes(parts[0])[2:]
        parts.append(b"}\n")
        return b"".join(parts)


def content_id(identity: str, offset: int, line: bytes) -> str:
    """The `_id` of a line's document: what the fast loop puts together from parts."""
    return f"{identity}-{offset:010x}-{xxhash.xxh3_64_hexdigest(line)}"


def _message_parts(template: FileTemplate, runs: Sequence[Run]) -> _Parts:
    """The fast loop where a line's text is all that it contributes."""
    decode, dumps, digest = _decode_event, orjson.dumps, xxhash.xxh3_64_hexdigest
    action, constants = template.action, template.constants
    parts: _Parts = []
    extend = parts.extend
    for run in runs:
        offset = run.offset
        for line in run.lines:
            extend(
                (
                    action,
                    b"%010x-" % offset,
                    b'%b"}}\n{"@timestamp":' % digest(line).encode(),
                    decode(line).time,
                    b',"log":{"offset":%d' % offset,
                    constants,
                    dumps(line.decode()),
                )
            )
            offset += len(line) + 1
    return parts


def _contribution_parts(
    contributions: Contributions, template: FileTemplate, runs: Sequence[Run]
) -> _Parts:
    """The fast loop where it contributes more."""
    quick, digest = contributions.quick, xxhash.xxh3_64_hexdigest
    action, constants = template.action, template.constants
    parts: _Parts = []
    extend = parts.extend
    for run in runs:
        offset = run.offset
        for line in run.lines:
            time, content = quick(line)
            extend(
                (
                    action,
                    b"%010x-" % offset,
                    b'%b"}}\n{"@timestamp":' % digest(line).encode(),
                    time,
                    b',"log":{"offset":%d' % offset,
                    constants,
                    content,
                )
            )
            offset += len(line) + 1
    return parts


class _UnusualError(Exception):
    """The block is not one for the fast loop."""


def _lines(block: bytes) -> list[bytes]:
    lines = block.split(b"\n")
    if lines.pop():
        raise ValueError("a block must end with a newline")
    return lines


def _places(runs: Iterable[Run]) -> Iterator[tuple[int, bytes]]:
    """Each line with its offset."""
    for run in runs:
        offset = run.offset
        for line in run.lines:
            yield offset, line
            offset += len(line) + 1


@dataclass(frozen=True, slots=True)
class _Look:
    """What the careful loop finds out about a line."""

    text: str
    #: The line's own time as JSON, if it is a real one.
    timestamp: bytes | None
    #: In words; empty if there is none.
    problem: str
    #: The same as a metric's label.
    kind: str
    #: Whether the line is not a JSON object (an object without a time is one).
    invalid: bool


def _look_at(line: bytes) -> _Look:
    try:
        text, broken = line.decode(), None
    except UnicodeDecodeError as error:
        text, broken = line.decode("utf-8", "replace"), error.start
    try:
        event = _decode_event(line)
    except RecursionError:
        return _Look(text, None, TOO_DEEP, "too_deep", invalid=False)
    except msgspec.ValidationError:
        return _Look(text, None, NOT_AN_OBJECT, "not_an_object", invalid=True)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return _Look(text, None, f"{NOT_JSON}: {error}", "not_json", invalid=True)
    timestamp = _timestamp_of(event.time)
    if broken is not None:
        problem = f"the line is not UTF-8 from its byte {broken} on; such bytes are replaced"
        return _Look(text, timestamp, problem, "not_utf8", invalid=False)
    if timestamp is None:
        problem = "the line has no `time` that is an RFC 3339 time; @timestamp is when it was read"
        return _Look(text, None, problem, "no_time", invalid=False)
    return _Look(text, timestamp, "", "", invalid=False)


def _timestamp_of(value: msgspec.Raw) -> bytes | None:
    """A `time` as Elasticsearch takes it, as JSON; None if it is not a real time."""
    try:
        text = _decode_time(value)
        _decode_times(b"[%b]" % value)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    found = _TIME.fullmatch(text)
    if not found:
        return None
    day, time, fraction, zone = found.groups()
    fraction = f".{fraction}" if fraction else ""
    return f'"{day}T{time}{fraction}{zone.upper()}"'.encode()


def _stamp(now: float) -> bytes:
    """Unix seconds as JSON, with milliseconds, as Filebeat stamps what it reads."""
    text = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds")
    return f'"{text.removesuffix("+00:00")}Z"'.encode()
