"""Tells a systemic rejection from rejected events: are all events refused because of the cluster,
or of what it was told about them (a template, a pipeline, a mapping); or are these at fault?
While a rejection is systemic shipping waits, and nothing is given up for it; a rejected event goes
to the dead letter file, and nothing waits for it.

    most items of the request were taken     -> the refused ones are at fault: DEAD_LETTER
    nearly all were refused, for one reason  -> suspicious: WAIT, and try them again
        other requests got through meanwhile -> at fault after all: DEAD_LETTER at the next refusal
        a few, and refused again and again   -> at fault: DEAD_LETTER
        many, and nothing gets through       -> systemic: WAIT, and say so, until something does

Pure bookkeeping: it neither sends nor waits.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from shipper.output.elasticsearch.answers import Refusal

#: This part of a request's events refused for one reason is nearly all of them.
_NEARLY_ALL = 0.9

#: So many events refused in a row, and none taken, are systemic; fewer may be at fault themselves.
_MANY = 10

#: So often are a few events tried that are refused with nothing else to compare them with; and a
#: whole request that others get past.
ENOUGH_TRIES = 5

#: What differs between the reasons of one cause: ids, values, names of fields, numbers.
_PARTICULARS = re.compile(r"\[[^\]]*\]|'[^']*'|\"[^\"]*\"|\d+")


class RejectionVerdict(Enum):
    """What is done with refused events."""

    DEAD_LETTER = "dead_letter"
    WAIT = "wait"


@dataclass(slots=True)
class SuspectBody:
    """What is remembered of one body while it is tried again."""

    #: How often it was refused, and how many requests had got through when it first was.
    refusals: int = 0
    passed_before: int = 0


class RejectionDetector:
    """Watches the requests of one output."""

    def __init__(self) -> None:
        #: Requests that got their events through so far.
        self._passed = 0
        #: Since the last of those: events refused, requests refused, and why.
        self._events = 0
        self._requests = 0
        self._why = ""

    @property
    def systemic(self) -> str | None:
        """Why nothing gets through, in words; None if something does."""
        if self._events < _MANY or self._requests < 2:
            return None
        return f"nearly all events are refused for the same reason: {self._why}"

    @property
    def requests_refused(self) -> int:
        """How many requests in a row were refused."""
        return self._requests

    def took(self) -> None:
        """A request got its events through."""
        self._passed += 1
        self._events = self._requests = 0

    def rule(
        self, suspect: SuspectBody, taken: int, refused: Sequence[Refusal]
    ) -> RejectionVerdict:
        """What to do with the refused events of a request of which `taken` were taken."""
        if _same_reason(refused) < _NEARLY_ALL * (taken + len(refused)):
            self.took()
            return RejectionVerdict.DEAD_LETTER
        if self._rejected_before(suspect):
            return RejectionVerdict.DEAD_LETTER
        if suspect.refusals == 1:
            self._events += len(refused)
        self._requests += 1
        self._why = refused[0].reason
        if suspect.refusals >= ENOUGH_TRIES and self._events < _MANY:
            return RejectionVerdict.DEAD_LETTER
        return RejectionVerdict.WAIT

    def blames(self, suspect: SuspectBody) -> bool:
        """Whether what fails is to blame itself: a request that is refused as a whole, or events
        that fail. It did so again and again, and others got through meanwhile."""
        return self._rejected_before(suspect) and suspect.refusals >= ENOUGH_TRIES

    def _rejected_before(self, suspect: SuspectBody) -> bool:
        """Notes one more refusal; whether others got through since the first one."""
        if not suspect.refusals:
            suspect.passed_before = self._passed
        suspect.refusals += 1
        return suspect.passed_before < self._passed


def _same_reason(refused: Sequence[Refusal]) -> int:
    """How many were refused for the commonest reason."""
    reasons = Counter(_PARTICULARS.sub("", refusal.reason) for refusal in refused)
    return max(reasons.values())
