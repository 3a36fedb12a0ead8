"""What the encoder is told of a file, and what it makes of a block of its lines."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import xxhash

from shipper.documents.processors.processing import Failed
from shipper.files.identity import Identity


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


def content_id(identity: str, offset: int, line: bytes) -> str:
    """The `_id` of a line's document: what the fast loop puts together from parts."""
    return f"{identity}-{offset:010x}-{xxhash.xxh3_64_hexdigest(line)}"
