"""Dead letters that are deleted to make room are losses like all others: recorded in the registry
before they go, with the log and the range of it that they are from.

A deletion makes one loss for each log and MOST_LOGS at the most; those of further logs are one.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import xxhash

from shipper.clock import Clock
from shipper.documents.origin import origin_of
from shipper.errors import RegistryError
from shipper.files.identity import NO_IDENTITY, Identity
from shipper.files.loss_recorder import make_loss
from shipper.files.losses import Loss, LossReason
from shipper.logs import Log
from shipper.logs.events import DEAD_LETTERS_DELETED
from shipper.metrics import Metrics
from shipper.offload import in_a_thread
from shipper.option_names import OWN_NAMES, OptionNames
from shipper.output.dead_letter import DeadLetter, read_dead_letter
from shipper.output.dead_letter_file import NotRecordedError

#: How many logs have losses of their own in one deletion.
MOST_LOGS = 100

#: Of so many dead letters it is known that they were counted, so that an event with two is lost
#: once, when the last one goes. Two are near each other: a write that failed, or a replay.
_MOST_KNOWN = 100_000

#: Processors may have made anything of the path of a document, and of the fingerprint.
_LONGEST_PATH = 4096
_LONGEST_IDENTITY = 64


class LossesOnce(Protocol):
    """Where losses are recorded; as `files.commits.RecordedLosses`."""

    async def record_once(self, name: str, losses: Sequence[Loss]) -> bool:
        """As `files.registry.Registry.save_losses_once`."""


@dataclass(slots=True)
class LostLines:
    """Dead letters of one log that are lost; without a path: of several, or nobody knows which."""

    path: str = ""
    identity: Identity = NO_IDENTITY
    #: The range of the log that they are from.
    start: int = 0
    end: int = 0
    #: Of the lines with their newlines; of the document where a letter has no line.
    bytes: int = 0
    #: How many there are.
    letters: int = 0
    #: Whether each is one line; False of what is damaged.
    are_lines: bool = True

    def add(self, start: int, size: int) -> None:
        """One more."""
        if self.path:
            self.start = min(self.start, start) if self.letters else start
            self.end = max(self.end, start + size)
        self.bytes += size
        self.letters += 1


def lost_lines(deleted: Path, others: Iterable[Path]) -> list[LostLines]:
    """The dead letters in the file `deleted` that are not in the `others`. Blocks on the disk.

    Raises OSError if the file cannot be read.
    """
    known: dict[int, None] = {}
    for other in others:
        try:
            for line in _lines(other):
                if len(known) >= _MOST_KNOWN:
                    break
                _is_new(line, read_dead_letter(line), known)
        except FileNotFoundError:
            continue  # A replay has moved it aside, or is over.
    logs: dict[tuple[str, str], LostLines] = {}
    rest, damaged = LostLines(), LostLines(are_lines=False)
    for line in _lines(deleted):
        letter = read_dead_letter(line)
        if not line.strip() or not _is_new(line, letter, known):
            continue
        if letter is None:
            damaged.add(0, len(line))
            continue
        log = rest
        if 0 < len(letter.path) <= _LONGEST_PATH:
            identity = _identity(letter)
            key = letter.path, identity
            if key not in logs and len(logs) < MOST_LOGS:
                logs[key] = LostLines(letter.path, identity)
            log = logs.get(key, rest)
        log.add(max(letter.offset, 0), _size(letter))
    return [lost for lost in (*logs.values(), rest, damaged) if lost.letters]


class DeadLetterLosses:
    """Records the losses of one daemon's dead letters: a `DeletionRecord`."""

    def __init__(
        self,
        store: LossesOnce,
        *,
        input_of: Callable[[str], str],
        on_recorded: Callable[[], None],
        clock: Clock,
        metrics: Metrics,
        log: Log,
        names: OptionNames = OWN_NAMES,
    ) -> None:
        """`input_of`: the id of the input that a path belongs to; empty if none does.
        `on_recorded`: there is something to be shipped. `names`: what messages call the options."""
        self._store = store
        self._input_of = input_of
        self._on_recorded = on_recorded
        self._clock = clock
        self._metrics = metrics
        self._log = log
        self._names = names

    async def __call__(self, deleted: Path, others: Sequence[Path]) -> None:
        """As in `DeletionRecord`."""
        found = await in_a_thread(lambda: lost_lines(deleted, others), name="dead-letters")
        losses = [self._loss(lost) for lost in found]
        try:
            is_new = await self._store.record_once(deleted.name, losses)
        except RegistryError as error:
            raise NotRecordedError(str(error.in_words_of(self._names))) from error
        if not is_new:
            return  # By an earlier process, which was killed before it deleted them.
        for loss in losses:
            self._metrics.count_loss(loss.reason.value, loss.bytes, loss.lines)
        self._log.emit(
            DEAD_LETTERS_DELETED,
            key="dead_letters_deleted",
            events=sum(lost.letters for lost in found),
            lost_bytes=sum(lost.bytes for lost in found),
        )
        self._on_recorded()

    def _loss(self, lost: LostLines) -> Loss:
        return make_loss(
            LossReason.DEAD_LETTER_FULL,
            lost.path,
            lost.start,
            lost.end,
            now=self._clock.now(),
            input_id=self._input_of(lost.path) if lost.path else "",
            identity=lost.identity,
            size=lost.bytes,
            lines=lost.letters if lost.are_lines else None,
            merged=lost.letters,
        )


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from file


def _is_new(line: bytes, letter: DeadLetter | None, known: dict[int, None]) -> bool:
    """Whether that event was not met yet; it is known from now on, the oldest is not any more."""
    name = line
    if letter is not None and letter.id:
        name = f"{letter.id}\0{letter.path}\0{letter.offset}".encode("utf-8", "surrogatepass")
    key = xxhash.xxh3_64_intdigest(name)
    if key in known:
        return False
    known[key] = None
    if len(known) > _MOST_KNOWN:
        del known[next(iter(known))]
    return True


def _identity(letter: DeadLetter) -> Identity:
    fingerprint = origin_of(letter.document).fingerprint
    return Identity(fingerprint) if len(fingerprint) <= _LONGEST_IDENTITY else NO_IDENTITY


def _size(letter: DeadLetter) -> int:
    """How long its line was, with the newline; of one that is not there: its document."""
    line = letter.line_base64 or letter.line.encode("utf-8", "surrogatepass")
    return len(line) + 1 if line else len(bytes(letter.document))
