"""Tells systemic rejections from rejected events. A rejection is systemic if the cluster or its
configuration (a template, a pipeline, a mapping) is at fault: shipping waits, and no event becomes
a dead letter. A rejected event becomes a dead letter at once.

    most items were accepted                 -> the events are at fault: DEAD_LETTER
    nearly all were rejected, for one reason -> unclear: WAIT, and retry them
        other requests succeeded meanwhile   -> the events are at fault: DEAD_LETTER at the next try
        a few events, rejected repeatedly    -> the events are at fault: DEAD_LETTER
        many events, and none is accepted    -> systemic: WAIT, and report it, until one is

Pure bookkeeping: it neither sends nor waits.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from shipper.output.elasticsearch.answers import Rejection

#: Share of a request's events, rejected for one reason, that counts as nearly all.
_NEARLY_ALL = 0.9

#: This number of events rejected in a row, with none accepted, is systemic; fewer events may be at
#: fault themselves.
_SYSTEMIC_EVENTS = 10

#: Tries before a few events become dead letters when no other request can be compared; and before
#: a request is split that is rejected as a whole while others succeed.
ENOUGH_TRIES = 5

#: Parts of a reason that differ between events: ids, values, field names, numbers.
_PARTICULARS = re.compile(r"\[[^\]]*\]|'[^']*'|\"[^\"]*\"|\d+")


class RejectionVerdict(Enum):
    """What to do with rejected events."""

    DEAD_LETTER = "dead_letter"
    WAIT = "wait"


@dataclass(slots=True)
class SuspectBody:
    """The rejections of one body while it is retried."""

    #: Times it was rejected, and the number of accepted requests before the first time.
    rejections: int = 0
    accepted_before: int = 0


class RejectionDetector:
    """Counts the rejections of one output."""

    def __init__(self) -> None:
        #: Requests whose events were accepted so far.
        self._accepted = 0
        #: Since the last of those: rejected events, rejected requests, and the last reason.
        self._events = 0
        self._requests = 0
        self._reason = ""

    @property
    def systemic(self) -> str | None:
        """Why no event is accepted, for messages; None if there is no systemic rejection."""
        if self._events < _SYSTEMIC_EVENTS or self._requests < 2:
            return None
        return f"nearly all events are refused for the same reason: {self._reason}"

    @property
    def requests_rejected(self) -> int:
        """Requests in a row that were rejected."""
        return self._requests

    def request_accepted(self) -> None:
        """Notes that the events of a request were accepted."""
        self._accepted += 1
        self._events = self._requests = 0

    def evaluate(
        self, suspect: SuspectBody, accepted: int, rejected: Sequence[Rejection]
    ) -> RejectionVerdict:
        """What to do with the rejected events of a request of which `accepted` were accepted."""
        if _same_reason(rejected) < _NEARLY_ALL * (accepted + len(rejected)):
            self.request_accepted()
            return RejectionVerdict.DEAD_LETTER
        if self._rejected_before(suspect):
            return RejectionVerdict.DEAD_LETTER
        if suspect.rejections == 1:
            self._events += len(rejected)
        self._requests += 1
        self._reason = rejected[0].reason
        if suspect.rejections >= ENOUGH_TRIES and self._events < _SYSTEMIC_EVENTS:
            return RejectionVerdict.DEAD_LETTER
        return RejectionVerdict.WAIT

    def is_at_fault(self, suspect: SuspectBody) -> bool:
        """Whether a request that is rejected as a whole, or events that fail, are at fault: they
        failed repeatedly, and other requests succeeded meanwhile."""
        return self._rejected_before(suspect) and suspect.rejections >= ENOUGH_TRIES

    def _rejected_before(self, suspect: SuspectBody) -> bool:
        """Notes one more rejection; returns whether others succeeded since the first one."""
        if not suspect.rejections:
            suspect.accepted_before = self._accepted
        suspect.rejections += 1
        return suspect.accepted_before < self._accepted


def _same_reason(rejected: Sequence[Rejection]) -> int:
    """The number of events with the most frequent reason."""
    reasons = Counter(_PARTICULARS.sub("", rejection.reason) for rejection in rejected)
    return max(reasons.values())
