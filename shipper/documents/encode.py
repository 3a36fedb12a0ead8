"""The hot path: encodes a block of lines as the body of a bulk request.

For each line it validates the JSON and finds `time` in one pass (msgspec skips the other fields
without building objects), escapes the line as a JSON string (orjson), and computes its checksum
(xxh3). The rest of the document is rendered once a file. Processing line by line takes half of the
time of processing whole blocks: a line stays in the L1 cache for all four libraries, while calls
for a block stream megabytes through memory four times.

A block with anything unusual raises in the fast loop and is processed by the careful loop, which
gives each line its own outcome. Both make the same document of an ordinary line; a test compares
them with a slow reference implementation of the documentation.
"""

import codecs
import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec
import orjson
import xxhash
from msgspec.structs import replace

from shipper.config.index_name import IndexName
from shipper.config.inputs import OnInvalid
from shipper.documents.actions import Actions
from shipper.documents.contributions import Contributions
from shipper.documents.encoded import (
    DROPPED,
    Encoded,
    FileTemplate,
    RefusedLine,
    content_id,
    id_prefix_of,
)
from shipper.documents.filters import EventFilter, Run
from shipper.documents.line import (
    HALF_LINE,
    Event,
    ParsedLine,
    decode_event,
    decode_times,
    parse_line,
    stamp,
    timestamp_of,
)
from shipper.files.filesystem import Inode
from shipper.files.identity import Identity
from shipper.foreign import path_text

if TYPE_CHECKING:
    from shipper.documents.processors.processing import Processing

#: `"2026-11-24T04:32:37.123456789Z"` with quotes: the longest time that the fast loop accepts.
_LONGEST_TIME = 32

_MESSAGE_KEY = b',"message":'

# The fast loops add these parts for each line: action, offset, checksum, time, log.offset,
# constants, content of the line.
_Parts = list[bytes | memoryview | msgspec.Raw]
_PARTS = 7
_TIME_PART = 3

#: The metric label of a valid event that cannot be mapped to ECS.
_NOT_MAPPED_LABEL = "not_taken_apart"


class DocumentEncoder:
    """Makes the documents of one input.

    `{"@timestamp":…,"log":{"offset":…,"file":{…}},…constants…,"message":…}`: the fields of
    Filebeat's filestream, as the ingest pipeline of the Elastic integration expects them.
    `contributions` replace the message; the rest, including ids, is the same.
    """

    def __init__(
        self,
        constants: Mapping[str, object],
        *,
        content_ids: bool,
        node: str = "",
        on_invalid: OnInvalid,
        contributions: Contributions | None = None,
        events: EventFilter | None = None,
        index: IndexName | None = None,
        processing: "Processing | None" = None,
    ) -> None:
        """`constants`: constant fields of the documents; `node`: part of the ids, if it is not
        empty (`id_prefix_of`); `contributions`: makes the content of lines, None for `format: raw`;
        `events`: selects events, None for all; `index`: the index name in actions, None if the path
        of the request has it; `processing`: processors, which may also change the constants."""
        self._processing = processing
        self._contributions = contributions
        if contributions is not None:
            constants = contributions.constants
        elif processing is not None:
            constants = processing.constants
        self._constants = orjson.dumps(constants)[1:-1]
        #: Incremented when the constants change: then older templates are outdated.
        self.generation = 0
        self._content_ids = content_ids
        self._node = node
        self._on_invalid = on_invalid
        self._events = events
        self._actions = Actions(index, content_ids=content_ids)

    def template(self, identity: Identity, path: str, inode: Inode) -> FileTemplate:
        """The template of a file for `encode`; a new one is needed when its path changes."""
        file = orjson.dumps(
            {
                "path": path_text(path),
                # Strings, as Filebeat has them (the index template maps keywords).
                "inode": str(inode.number),
                "device_id": str(inode.device),
                "fingerprint": identity,
            }
        )
        id_prefix = id_prefix_of(identity, self._node)
        comma = b"," if self._constants else b""
        content = b"," if self._contributions else b',"message":'
        return FileTemplate(
            id_prefix=id_prefix,
            path=path,
            action=self._actions.constant(id_prefix),
            constants=b',"file":' + file + b"}" + comma + self._constants + content,
            generation=self.generation,
        )

    def refresh(self, now: float) -> None:
        """Updates the constants, as metadata of the machine may change. `now`: Unix seconds."""
        if self._processing and self._processing.refresh(now):
            self._constants = orjson.dumps(self._processing.constants)[1:-1]
            self.generation += 1

    def encode(self, template: FileTemplate, start: int, block: bytes, now: float) -> Encoded:
        """The documents of `block`: complete lines that begin at offset `start` of their file.

        `now` (Unix seconds) is the `@timestamp` of lines without a time.
        """
        lines = _lines(block)
        filtered_block = self._events.apply(start, lines) if self._events else None
        runs = filtered_block.runs if filtered_block else (Run(start, lines),)
        try:
            if b"\r" in block:
                raise _UnusualError
            encoded = self._encode_ordinary(template, runs, now)
        except (msgspec.MsgspecError, ValueError, RecursionError, _UnusualError):
            encoded = self._encode_carefully(template, runs, now)
        if filtered_block:
            encoded.filtered = Counter(filtered_block.filtered) + Counter(encoded.filtered)
        return encoded

    def encode_half(self, template: FileTemplate, start: int, line: bytes, now: float) -> Encoded:
        """The document of a line that ends without a newline, as NULs follow it."""
        filtered_block = self._events.apply(start, [line]) if self._events else None
        runs = filtered_block.runs if filtered_block else (Run(start, [line]),)
        encoded = self._encode_carefully(template, runs, now, half=True)
        if filtered_block:
            encoded.filtered = Counter(filtered_block.filtered) + Counter(encoded.filtered)
        return encoded

    def encode_cut(
        self, template: FileTemplate, start: int, head: bytes, length: int, now: float
    ) -> Encoded:
        """The document of a line of `length` bytes that is truncated to `head`."""
        text = codecs.getincrementaldecoder("utf-8")("replace").decode(head)
        event = Event()
        with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            # The time is at the end of Tetragon's lines, and so is cut off. A head that is valid
            # JSON was followed by white space only.
            event = decode_event(head)
        parts: _Parts = []
        problem = f"the line has {length} bytes; the first {len(head)} are in message"
        timestamp = timestamp_of(event.time) or stamp(now)
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
            len(decode_times(b"[%b]" % joined)) != len(times)
            or joined.count(b"T") != len(times)
            or joined.count(b'Z"') != len(times)
            or max(map(len, times)) > _LONGEST_TIME
        ):
            raise _UnusualError
        if not template.action:
            parts[::_PARTS] = self._actions.at_all(template.id_prefix, times, joined)
        if self._processing is None:
            return Encoded(self._body(parts), len(times))
        lines = [line for run in runs for line in run.lines] if self._processing.per_event else None
        return self._encoded(parts, lines, template, now)

    def _encode_carefully(
        self, template: FileTemplate, runs: Sequence[Run], now: float, *, half: bool = False
    ) -> Encoded:
        parts: _Parts = []
        blank = dropped = 0
        flagged: Counter[str] = Counter()
        refused: list[RefusedLine] = []
        shipped: list[bytes] = []
        for offset, raw in _lines_with_offsets(runs):
            line = raw.removesuffix(b"\r")
            if not line.strip():
                blank += 1
                continue
            parsed = parse_line(line)
            if half:
                problem = f"{parsed.problem}; {HALF_LINE}" if parsed.problem else HALF_LINE
                parsed = replace(parsed, problem=problem, kind="half_line")
            if parsed.invalid and self._on_invalid is OnInvalid.DROP:
                dropped += 1
                continue
            if parsed.invalid and self._on_invalid is OnInvalid.DEAD_LETTER:
                refused.append(self._reject(template, offset, line, parsed, now))
                continue
            content, problem = self._content(parsed.text, parsed.problem, parse=not parsed.invalid)
            if problem:
                flagged[parsed.kind or _NOT_MAPPED_LABEL] += 1
            timestamp = parsed.timestamp or stamp(now)
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
        """The documents of these parts, after processors. `lines`: their lines; None if no
        processor has to run for each event."""
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
        processing: "Processing",
        parts: _Parts,
        lines: Sequence[bytes],
        template: FileTemplate,
        now: float,
        encoded: Encoded,
    ) -> _Parts:
        """The parts of the documents after processors; ids do not change."""
        kept: _Parts = []
        for index, line in enumerate(lines):
            action, offset, checksum, time, log, constants, content = parts[
                index * _PARTS : (index + 1) * _PARTS
            ]
            if self._contributions is None:
                fields, message = bytes(log) + constants[: -len(_MESSAGE_KEY)], bytes(content)
            else:
                fields, message = b"".join((log, constants, content)), None
            result = processing.run(bytes(time), fields, message, line, now, encoded.failures)
            if result is None:
                continue
            if not template.action:
                action = self._actions.at(template.id_prefix, result.timestamp)
            kept += (action, offset, checksum, result.timestamp)
            kept += (log, constants, content) if result.rest is None else (result.rest, b"", b"")
        encoded.events = len(kept) // _PARTS
        if dropped := len(lines) - encoded.events:
            encoded.filtered = {DROPPED: dropped}
        return kept

    def _reject(
        self, template: FileTemplate, offset: int, line: bytes, parsed: ParsedLine, now: float
    ) -> RefusedLine:
        parts: _Parts = []
        timestamp = parsed.timestamp or stamp(now)
        # The dead letter has the line already; a replay adds the message.
        text = "" if self._contributions is None else parsed.text
        content, problem = self._content(text, parsed.problem, parse=False)
        self._add(parts, template, offset, line, content, timestamp, problem)
        document_id = content_id(template.id_prefix, offset, line)
        return RefusedLine(
            template.path, offset, document_id, parsed.problem, line, self._body(parts)
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
            template.action or self._actions.at(template.id_prefix, timestamp),
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

    def _body(self, parts: _Parts) -> bytes:
        if not self._content_ids:
            count = len(parts) // _PARTS
            parts[1::_PARTS] = parts[2::_PARTS] = [b""] * count
        # Each action closes the document before it; the first one has no document before it.
        parts[0] = bytes(parts[0])[2:]
        parts.append(b"}\n")
        return b"".join(parts)


def _message_parts(template: FileTemplate, runs: Sequence[Run]) -> _Parts:
    """The fast loop of `format: raw`."""
    decode, dumps, digest = decode_event, orjson.dumps, xxhash.xxh3_64_hexdigest
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
    """The fast loop of other formats."""
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
    """The block cannot be processed by the fast loop."""


def _lines(block: bytes) -> list[bytes]:
    lines = block.split(b"\n")
    if lines.pop():
        raise ValueError("a block must end with a newline")
    return lines


def _lines_with_offsets(runs: Iterable[Run]) -> Iterator[tuple[int, bytes]]:
    """Each line with its offset."""
    for run in runs:
        offset = run.offset
        for line in run.lines:
            yield offset, line
            offset += len(line) + 1
