"""The careful loop: gives each line its own outcome, whatever it is. Also what is done with all
documents that Python makes, whichever loop made their parts: processors, and the body.
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

from shipper.config.inputs import OnInvalid
from shipper.documents.actions import Actions
from shipper.documents.contributions import Contributions
from shipper.documents.encoded import DROPPED, Encoded, FileTemplate, RefusedLine, content_id
from shipper.documents.filters import Run
from shipper.documents.line import (
    HALF_LINE,
    Event,
    ParsedLine,
    decode_event,
    parse_line,
    stamp,
    timestamp_of,
)
from shipper.documents.parts import PARTS, Parts, body_of

if TYPE_CHECKING:
    from shipper.documents.processors.processing import Processing

_MESSAGE_KEY = b',"message":'

#: The metric label of a valid event that cannot be mapped to ECS.
_NOT_MAPPED_LABEL = "not_taken_apart"


class CarefulLoop:
    """Makes documents of any lines of one input. All arguments are as in `DocumentEncoder`."""

    def __init__(
        self,
        actions: Actions,
        contributions: Contributions | None,
        processing: "Processing | None",
        *,
        content_ids: bool,
        on_invalid: OnInvalid,
    ) -> None:
        self._actions = actions
        self._contributions = contributions
        self._processing = processing
        self._content_ids = content_ids
        self._on_invalid = on_invalid

    def encode(
        self, template: FileTemplate, runs: Sequence[Run], now: float, *, half: bool = False
    ) -> Encoded:
        """The documents of any lines. `half`: the only line ends without a newline."""
        parts: Parts = []
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
        encoded = self.finish(parts, shipped, template, now, flagged=flagged)
        encoded.blank, encoded.dropped = blank, dropped
        encoded.refused = tuple(refused)
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
        parts: Parts = []
        problem = f"the line has {length} bytes; the first {len(head)} are in message"
        timestamp = timestamp_of(event.time) or stamp(now)
        content, _ = self._content(text, problem, parse=False)
        self._add(parts, template, start, head, content, timestamp, problem, cut=True)
        return self.finish(parts, [head], template, now, flagged={"too_long": 1})

    def finish(
        self,
        parts: Parts,
        lines: Sequence[bytes] | None,
        template: FileTemplate,
        now: float,
        *,
        flagged: Mapping[str, int] | None = None,
    ) -> Encoded:
        """The documents of these parts, after processors. `lines`: their lines; None if no
        processor has to run for each event."""
        encoded = Encoded(b"", len(parts) // PARTS, flagged=flagged or {})
        if self._processing is not None:
            self._processing.count_once(encoded.events, encoded.failures)
            if lines is not None:
                parts = self._processed(self._processing, parts, lines, template, now, encoded)
        if parts:
            encoded.body = body_of(parts, content_ids=self._content_ids)
        return encoded

    def _processed(
        self,
        processing: "Processing",
        parts: Parts,
        lines: Sequence[bytes],
        template: FileTemplate,
        now: float,
        encoded: Encoded,
    ) -> Parts:
        """The parts of the documents after processors; ids do not change."""
        kept: Parts = []
        for index, line in enumerate(lines):
            action, offset, checksum, time, log, constants, content = parts[
                index * PARTS : (index + 1) * PARTS
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
        encoded.events = len(kept) // PARTS
        if dropped := len(lines) - encoded.events:
            encoded.filtered = {DROPPED: dropped}
        return kept

    def _reject(
        self, template: FileTemplate, offset: int, line: bytes, parsed: ParsedLine, now: float
    ) -> RefusedLine:
        parts: Parts = []
        timestamp = parsed.timestamp or stamp(now)
        # The dead letter has the line already; a replay adds the message.
        text = "" if self._contributions is None else parsed.text
        content, problem = self._content(text, parsed.problem, parse=False)
        self._add(parts, template, offset, line, content, timestamp, problem)
        document_id = content_id(template.id_prefix, offset, line)
        return RefusedLine(
            template.path,
            offset,
            document_id,
            parsed.problem,
            line,
            body_of(parts, content_ids=self._content_ids),
        )

    def _add(
        self,
        parts: Parts,
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


def _lines_with_offsets(runs: Iterable[Run]) -> Iterator[tuple[int, bytes]]:
    """Each line with its offset."""
    for run in runs:
        offset = run.offset
        for line in run.lines:
            yield offset, line
            offset += len(line) + 1
