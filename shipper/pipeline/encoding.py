"""What was read of a file, encoded; and line by line, when the encoder failed with it for a reason
that nobody foresaw: then only the lines that are at fault become dead letters.
"""

from collections.abc import Callable

from msgspec import Struct

from shipper.documents.encode import DocumentEncoder
from shipper.documents.encoded import Encoded, FileTemplate, RefusedLine, content_id, joined
from shipper.files.lines import Block, CutLine, HalfLine
from shipper.files.tracked_input import TrackedInput
from shipper.logs import Log
from shipper.logs.events import LINE_TRUNCATED, PROCESSOR_FAILED
from shipper.metrics import Metrics

#: What has documents, of all that reading a file gives.
ReadLines = Block | HalfLine | CutLine


class Input(Struct, frozen=True):
    """One input: where its lines come from, and what is made of them."""

    files: TrackedInput
    encoder: DocumentEncoder


def count(encoded: Encoded, input_id: str, path: str, metrics: Metrics, log: Log) -> None:
    """Counts what is special about lines of the file at `path` that are on their way."""
    if encoded.declined:
        metrics.count("shipper_native_declined_lines_total", encoded.declined, input_id)
    for rule, events in encoded.filtered.items():
        metrics.count("shipper_events_filtered_total", events, input_id, rule)
    for problem, events in encoded.flagged.items():
        metrics.count("shipper_events_flagged_total", events, problem)
    for name, failed in encoded.failures.items():
        metrics.count("shipper_processor_failures_total", failed.count, name)
        log.emit(
            PROCESSOR_FAILED,
            key=f"processor:{name}",
            processor=name,
            path=path,
            events=failed.count,
            reason=failed.problem,
        )


def count_cut(line: CutLine, path: str, metrics: Metrics, log: Log) -> None:
    """Counts what is lost of a line that is longer than allowed."""
    log.emit(LINE_TRUNCATED, key="too_long", path=path, offset=line.start, bytes=line.length)
    metrics.count("shipper_lost_bytes_total", line.length - len(line.head), "line_too_long")


def encode(
    encoder: DocumentEncoder,
    template: FileTemplate,
    reading: ReadLines,
    now: float,
) -> Encoded:
    """The documents of what was read. `now` (Unix seconds) as in `DocumentEncoder`."""
    match reading:
        case Block(data, _, _, start):
            return encoder.encode(template, start, data, now)
        case HalfLine(data, _, _, start):
            return encoder.encode_half(template, start, data, now)
        case CutLine(head, length, _, _, start):
            return encoder.encode_cut(template, start, head, length, now)


def encode_line_by_line(
    encoder: DocumentEncoder,
    template: FileTemplate,
    reading: ReadLines,
    now: float,
    on_error: Callable[[Exception], None],
) -> Encoded:
    """As `encode`; a line with which the encoder fails is refused, and `on_error` is told why."""

    def one(part: ReadLines, line: bytes) -> Encoded:
        try:
            return encode(encoder, template, part, now)
        except Exception as error:
            on_error(error)
            reason = f"internal error of shipper: {type(error).__name__}"
            document_id = content_id(template.id_prefix, part.start, line)
            refused = RefusedLine(template.path, part.start, document_id, reason, line)
            return Encoded(b"", 0, refused=(refused,))

    match reading:
        case Block(data, _, mark, start):
            parts, at = [], start
            for line in data.split(b"\n")[:-1]:
                end = at + len(line) + 1
                parts.append(one(Block(line + b"\n", end, mark, at), line))
                at = end
            return joined(parts)
        case HalfLine(line):
            return one(reading, line)
        case CutLine(head):
            return one(reading, head)
