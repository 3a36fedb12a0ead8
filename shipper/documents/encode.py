"""The hot path: encodes a block of lines as the body of a bulk request.

An ordinary block is encoded by the native core, where it is there (`native`). What follows is the
way without it, and that of a block with anything unusual.

For each line it validates the JSON and finds `time` in one pass (msgspec skips the other fields
without building objects), escapes the line as a JSON string (orjson), and computes its checksum
(xxh3). The rest of the document is rendered once a file. Processing line by line takes half of the
time of processing whole blocks: a line stays in the L1 cache for all four libraries, while calls
for a block stream megabytes through memory four times.

A block with anything unusual raises in the fast loop (`parts`) and is processed by the careful
loop, which gives each line its own outcome (`careful`). All make the same document of an ordinary
line; tests compare them with a slow reference implementation of the documentation.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec
import orjson

from shipper.config.index_name import IndexName
from shipper.config.inputs import OnInvalid
from shipper.documents.actions import Actions
from shipper.documents.careful import CarefulLoop
from shipper.documents.contributions import Contributions
from shipper.documents.encoded import (
    Encoded,
    FileTemplate,
    id_prefix_of,
    joined,
)
from shipper.documents.filters import EventFilter, Run
from shipper.documents.native import Native, OddLine
from shipper.documents.parts import PARTS, TIME_PART, UnusualError, body_of, ordinary_parts
from shipper.files.facts import Inode
from shipper.files.identity import Identity
from shipper.foreign import path_text

if TYPE_CHECKING:
    from shipper.documents.processors.processing import Processing


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
        self._events = events
        self._actions = Actions(index, content_ids=content_ids)
        self._careful = CarefulLoop(
            self._actions,
            contributions,
            processing,
            content_ids=content_ids,
            on_invalid=on_invalid,
        )
        self.native = Native(
            self._actions,
            contributions,
            content_ids=content_ids,
            has_processors=processing is not None and processing.per_event,
        )

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
        filtered_block = self._events.apply(start, _lines(block)) if self._events else None
        runs = filtered_block.runs if filtered_block else None
        encoded = self._encode_natively(template, start, block, runs, now)
        if encoded is None:
            whole = (Run(start, _lines(block)),) if runs is None else runs
            encoded = self._encode_in_python(template, whole, block, now)
            encoded.declined = encoded.lines if self.native.is_on else 0
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
        return self._careful.encode_cut(template, start, head, length, now)

    def _encode_natively(
        self,
        template: FileTemplate,
        start: int,
        block: bytes,
        runs: Sequence[Run] | None,
        now: float,
    ) -> Encoded | None:
        if not block or runs == [] or (self._processing and self._processing.per_event):
            return None
        made = self.native.encode(template, start, block, runs)
        if made is None:
            return None
        encoded = Encoded(made.body, made.events)
        if self._processing is not None:
            self._processing.count_once(encoded.events, encoded.failures)
        return self._with_odd_lines(encoded, made.odd, template, start, block, now)

    def _with_odd_lines(
        self,
        encoded: Encoded,
        odd: Sequence[OddLine],
        template: FileTemplate,
        start: int,
        block: bytes,
        now: float,
    ) -> Encoded:
        """Puts the documents of lines that the core has declined in their places."""
        if not odd:
            return encoded
        body, written = encoded.body, 0
        encoded.body, encoded.declined = b"", len(odd)
        parts = [encoded]
        for line in odd:
            parts.append(Encoded(body[written : line.position], 0))
            text = block[line.start : line.end - 1]
            run = Run(start + line.start, [text])
            parts.append(self._encode_in_python(template, (run,), text, now))
            written = line.position
        parts.append(Encoded(body[written:], 0))
        return joined(parts)

    def _encode_in_python(
        self, template: FileTemplate, runs: Sequence[Run], text: bytes, now: float
    ) -> Encoded:
        """`text`: has the lines, and maybe others."""
        try:
            # It ends a line on some systems, and is white space in JSON.
            if b"\r" in text:
                raise UnusualError
            return self._encode_ordinary(template, runs, now)
        except (msgspec.MsgspecError, ValueError, RecursionError, UnusualError):
            return self._encode_carefully(template, runs, now)

    def _encode_ordinary(self, template: FileTemplate, runs: Sequence[Run], now: float) -> Encoded:
        parts = ordinary_parts(self._contributions, template, runs)
        if not parts:
            return Encoded(b"", 0)
        times = parts[TIME_PART::PARTS]
        if not template.action:
            parts[::PARTS] = self._actions.at_all(template.id_prefix, times)
        if self._processing is None:
            return Encoded(body_of(parts, content_ids=self._content_ids), len(times))
        lines = [line for run in runs for line in run.lines] if self._processing.per_event else None
        return self._careful.finish(parts, lines, template, now)

    def _encode_carefully(
        self, template: FileTemplate, runs: Sequence[Run], now: float, *, half: bool = False
    ) -> Encoded:
        return self._careful.encode(template, runs, now, half=half)


def _lines(block: bytes) -> list[bytes]:
    lines = block.split(b"\n")
    if lines.pop():
        raise ValueError("a block must end with a newline")
    return lines
