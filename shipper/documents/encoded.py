"""Input and output of the encoder: the template of a file, and the encoded block."""

from collections import Counter
from collections.abc import Iterable, Mapping

import xxhash
from msgspec import Struct, field
from msgspec.structs import astuple

from shipper.files.identity import Identity


class FileTemplate(Struct, frozen=True):
    """The rendered parts that all documents of a file share."""

    #: The first part of the ids of its documents.
    id_prefix: str
    path: str
    #: Closes the document before it, and ends before the offset in the id. Empty if the index name
    #: has a date: then it depends on the event.
    action: bytes
    #: The part between `log.offset` and the content of the line.
    constants: bytes
    #: Generation of the encoder's constants.
    generation: int = 0


class RefusedLine(Struct, frozen=True):
    """A line that becomes a dead letter without being sent."""

    path: str
    offset: int
    #: The `_id` that its document would have.
    id: str
    reason: str
    line: bytes
    #: The action and document lines that `on_invalid: ship` would send; the message is empty, as
    #: `line` has it.
    unsent: bytes = b""


#: The rule under which events are counted that the processor `drop_event` drops.
DROPPED = "drop_event"


class Failed(Struct):
    """The number of failures of a processor, and one of the problems."""

    count: int
    problem: str


class Encoded(Struct):
    """The result of a block: each of its lines is counted exactly once."""

    #: A view of memory of the native core, or bytes.
    body: bytes | memoryview
    #: Documents in `body`.
    events: int
    #: Blank lines, which have no document.
    blank: int = 0
    #: Lines that were dropped (`on_invalid: drop`).
    dropped: int = 0
    #: Events that are not shipped, by rule of `inputs[].events`, or `drop_event`.
    filtered: Mapping[str, int] = field(default_factory=dict)
    refused: tuple[RefusedLine, ...] = ()
    #: Documents with an `error.message`, by problem.
    flagged: Mapping[str, int] = field(default_factory=dict)
    #: Failures of processors, by name.
    failures: dict[str, Failed] = field(default_factory=dict)
    #: Lines that the native core declined: how it was made, and no part of the result.
    declined: int = 0

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Encoded):
            return NotImplemented
        # `declined` is the last one.
        return astuple(self)[:-1] == astuple(other)[:-1]

    @property
    def lines(self) -> int:
        unsent = self.blank + self.dropped + sum(self.filtered.values()) + len(self.refused)
        return self.events + unsent


def id_prefix_of(identity: Identity, node: str) -> str:
    """The first part of the ids of a file's documents: 16 hexadecimal digits. `node`: the name that
    tells identical files of two nodes apart (`output.ids: node`); empty: only the content counts.

    The only place where the name comes in: the registry and `log.file.fingerprint` have the
    identity of the content.
    """
    if not node:
        return identity
    return xxhash.xxh3_64_hexdigest(f"{identity}\0{node}".encode())


def content_id(id_prefix: str, offset: int, line: bytes) -> str:
    """The `_id` of a line's document, as the fast loop builds it from parts."""
    return f"{id_prefix}-{offset:010x}-{xxhash.xxh3_64_hexdigest(line)}"


def joined(parts: Iterable[Encoded]) -> Encoded:
    """One result of several, in their order."""
    bodies: list[bytes | memoryview] = []
    refused: list[RefusedLine] = []
    filtered: Counter[str] = Counter()
    flagged: Counter[str] = Counter()
    failures: dict[str, Failed] = {}
    events = blank = dropped = declined = 0
    for part in parts:
        bodies.append(part.body)
        events += part.events
        blank += part.blank
        dropped += part.dropped
        declined += part.declined
        refused += part.refused
        filtered.update(part.filtered)
        flagged.update(part.flagged)
        for name, failed in part.failures.items():
            before = failures.get(name)
            failures[name] = Failed(
                failed.count + (before.count if before else 0),
                before.problem if before else failed.problem,
            )
    return Encoded(
        b"".join(bodies),
        events,
        blank,
        dropped,
        filtered,
        tuple(refused),
        flagged,
        failures,
        declined,
    )
