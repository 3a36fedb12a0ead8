"""What follows from an answer: one table, from what the answer was and what is known beside it, to
what becomes of the part, of its permit, of the time until it is sent again, and of the host.

Pure: `delivery` carries it out. What is known beside the answer is the evidence of `evidence`:

- *single*: the part is one event.
- *others*: other requests got through at this host since it first failed to take this part; or,
  when that just happened, were sent later than this one and got through.
- *proven*: the part itself is at fault, not the host. What proves it depends on the answer:
  `NOT_TAKEN`: it failed five times in the same way, at two hosts where there are two. `UNUSABLE`
  and `TOO_LONG`: the same; and a single event only after it failed for minutes while others of its
  size got through, as it may have been stored. `TOO_LARGE`: others got through, or it is larger
  than any that did; several events, unless a single one was too large while nothing got through.
- *able*: another host can take requests now.
- *stuck*: it failed five times more, and nothing else gets through: perhaps because every body has
  an event that makes it fail. A few times in the life of a part.
"""

from dataclasses import dataclass
from enum import Enum

from shipper.output.elasticsearch.answers import ItemResults, RequestFailed, TooLarge
from shipper.output.elasticsearch.exchange import ANSWER_TOO_LONG


class Kind(Enum):
    """The kinds of answers. Those of items first."""

    #: Every event has its outcome.
    FINISHED = "finished"
    #: Some events got their outcome.
    PROGRESS = "progress"
    #: None did, of what is left of a request whose other events did.
    REMAINDER = "remainder"
    #: None did: all 429.
    BUSY = "busy"
    #: None did: 500s among them, of the cluster or of its pipeline for these events.
    FAILING = "failing"
    #: None did: privileges, a block, no index, no shard.
    DENIED = "denied"
    #: Events are rejected, and nothing shows yet whether that is their own fault.
    REJECTED = "rejected"
    #: The same, of many: a systemic rejection.
    SYSTEMIC = "systemic"
    #: The request was answered 429.
    OVERLOADED = "overloaded"
    #: No request gets to the host: no connection, TLS, a proxy, credentials, 401.
    UNREACHABLE = "unreachable"
    #: Refused as a whole, unread: 3xx and 4xx.
    NOT_TAKEN = "not taken"
    #: Cut, timed out, no bulk answer, 5xx: it may have been executed.
    UNUSABLE = "unusable"
    #: An answer of more bytes than are read.
    TOO_LONG = "too long"
    #: 413, or a 429 that no node can ever take.
    TOO_LARGE = "too large"


class Fate(Enum):
    """What becomes of the part."""

    DONE = "done"
    #: Sent again.
    AGAIN = "again"
    #: Its halves are sent.
    HALVE = "halve"
    #: One of its events is sent first: it shows whether the host takes anything.
    PROBE = "probe"
    #: A single event: dead letter.
    DEAD_LETTER = "dead letter"


class PermitAction(Enum):
    """What happens to the permit."""

    #: Released at once: other requests continue while this part waits.
    RELEASE = "release"
    #: Kept: no event is accepted, so nothing new is read.
    KEEP = "keep"
    #: Kept while this part waits, then released: another request shows which side is at fault.
    RELEASE_LATER = "release later"


class Pause(Enum):
    """How long until the part is sent again."""

    NONE = "none"
    BACKOFF = "backoff"
    #: As long as the host asks (`Retry-After`), and the backoff at the least.
    ASKED = "asked"
    #: The backoff of all rejected requests together.
    SYSTEMIC = "systemic"


class HostAction(Enum):
    """What is noted of the host."""

    SUCCEEDED = "succeeded"
    #: It answers and accepts nothing.
    BUSY = "busy"
    #: It is paused.
    FAILED = "failed"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class Situation:
    """An answer, and what is known beside it."""

    kind: Kind
    single: bool = False
    others: bool = False
    proven: bool = False
    able: bool = False
    stuck: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """What follows."""

    fate: Fate
    permit: PermitAction
    pause: Pause
    host: HostAction


@dataclass(frozen=True, slots=True)
class Row:
    """One row: None matches both."""

    kind: Kind
    decision: Decision
    single: bool | None = None
    others: bool | None = None
    proven: bool | None = None
    able: bool | None = None
    stuck: bool | None = None

    def matches(self, situation: Situation) -> bool:
        wanted = (self.single, self.others, self.proven, self.able, self.stuck)
        found = (
            situation.single,
            situation.others,
            situation.proven,
            situation.able,
            situation.stuck,
        )
        return situation.kind is self.kind and all(
            want is None or want is have for want, have in zip(wanted, found, strict=True)
        )


_DONE, _AGAIN, _PROBE = Fate.DONE, Fate.AGAIN, Fate.PROBE
_HALVE, _LETTER = Fate.HALVE, Fate.DEAD_LETTER
_RELEASE, _KEEP, _LATER = PermitAction.RELEASE, PermitAction.KEEP, PermitAction.RELEASE_LATER
_NONE, _BACKOFF, _ASKED = Pause.NONE, Pause.BACKOFF, Pause.ASKED
_GOOD, _BUSY = HostAction.SUCCEEDED, HostAction.BUSY
_FAILED, _SAME = HostAction.FAILED, HostAction.UNCHANGED

#: The first row that matches counts.
TABLE: tuple[Row, ...] = (
    # Items: the request got through.
    Row(Kind.FINISHED, Decision(_DONE, _RELEASE, _NONE, _GOOD)),
    Row(Kind.PROGRESS, Decision(_AGAIN, _RELEASE, _BACKOFF, _GOOD)),
    Row(Kind.REMAINDER, Decision(_AGAIN, _RELEASE, _BACKOFF, _SAME)),
    Row(Kind.BUSY, Decision(_AGAIN, _RELEASE, _BACKOFF, _BUSY), able=True),
    Row(Kind.BUSY, Decision(_AGAIN, _RELEASE, _ASKED, _BUSY)),
    Row(Kind.FAILING, Decision(_AGAIN, _LATER, _BACKOFF, _FAILED), others=False),
    Row(Kind.FAILING, Decision(_AGAIN, _RELEASE, _BACKOFF, _SAME)),
    Row(Kind.DENIED, Decision(_AGAIN, _KEEP, _BACKOFF, _FAILED), others=False),
    Row(Kind.DENIED, Decision(_AGAIN, _RELEASE, _BACKOFF, _SAME)),
    Row(Kind.REJECTED, Decision(_AGAIN, _RELEASE, _BACKOFF, _GOOD)),
    Row(Kind.SYSTEMIC, Decision(_AGAIN, _LATER, Pause.SYSTEMIC, _GOOD)),
    # A pause that one host asks for is that host's alone.
    Row(Kind.OVERLOADED, Decision(_AGAIN, _RELEASE, _BACKOFF, _BUSY), able=True),
    Row(Kind.OVERLOADED, Decision(_AGAIN, _RELEASE, _ASKED, _BUSY)),
    # No event can be at fault.
    Row(Kind.UNREACHABLE, Decision(_AGAIN, _KEEP, _BACKOFF, _FAILED), able=True),
    Row(Kind.UNREACHABLE, Decision(_AGAIN, _KEEP, _ASKED, _FAILED)),
    # While nothing else gets through, the host is at fault, and each body has its turn.
    Row(Kind.NOT_TAKEN, Decision(_PROBE, _LATER, _BACKOFF, _FAILED), False, False, stuck=True),
    Row(Kind.UNUSABLE, Decision(_PROBE, _LATER, _BACKOFF, _FAILED), False, False, stuck=True),
    Row(Kind.NOT_TAKEN, Decision(_AGAIN, _LATER, _BACKOFF, _FAILED), others=False, able=True),
    Row(Kind.NOT_TAKEN, Decision(_AGAIN, _LATER, _ASKED, _FAILED), others=False),
    Row(Kind.NOT_TAKEN, Decision(_AGAIN, _RELEASE, _BACKOFF, _SAME), proven=False),
    Row(Kind.NOT_TAKEN, Decision(_HALVE, _KEEP, _NONE, _GOOD), single=False),
    Row(Kind.NOT_TAKEN, Decision(_LETTER, _RELEASE, _NONE, _GOOD)),
    Row(Kind.UNUSABLE, Decision(_AGAIN, _LATER, _BACKOFF, _FAILED), others=False, able=True),
    Row(Kind.UNUSABLE, Decision(_AGAIN, _LATER, _ASKED, _FAILED), others=False),
    Row(Kind.UNUSABLE, Decision(_AGAIN, _RELEASE, _BACKOFF, _SAME), proven=False),
    Row(Kind.UNUSABLE, Decision(_HALVE, _RELEASE, _NONE, _GOOD), single=False),
    Row(Kind.UNUSABLE, Decision(_LETTER, _RELEASE, _NONE, _GOOD)),
    # The host answers. With fewer events the answer is shorter.
    Row(Kind.TOO_LONG, Decision(_HALVE, _KEEP, _NONE, _GOOD), single=False),
    Row(Kind.TOO_LONG, Decision(_AGAIN, _LATER, _BACKOFF, _FAILED), others=False),
    Row(Kind.TOO_LONG, Decision(_AGAIN, _RELEASE, _BACKOFF, _SAME), proven=False),
    Row(Kind.TOO_LONG, Decision(_LETTER, _RELEASE, _NONE, _GOOD)),
    # A host that finds everything too large is at fault, as any other that takes nothing.
    Row(Kind.TOO_LARGE, Decision(_AGAIN, _LATER, _BACKOFF, _BUSY), proven=False),
    Row(Kind.TOO_LARGE, Decision(_HALVE, _KEEP, _NONE, _SAME), single=False),
    Row(Kind.TOO_LARGE, Decision(_LETTER, _RELEASE, _NONE, _SAME)),
)


def decide(situation: Situation) -> Decision:
    """What follows from an answer."""
    return next(row.decision for row in TABLE if row.matches(situation))


#: Reasons of `RequestFailed` for which no event can be at fault; `tls_…` and `proxy…` as well.
_UNREACHABLE = frozenset({"connect", "dns", "credentials"})

#: A proxy that gave up reading the request.
_REQUEST_TIMEOUT = 408


def kind_of_failure(verdict: RequestFailed | TooLarge) -> Kind:
    """The kind of an answer without items."""
    match verdict:
        case TooLarge():
            return Kind.TOO_LARGE
        case RequestFailed(status=429):
            return Kind.OVERLOADED
        case RequestFailed(status=401):
            return Kind.UNREACHABLE
        case RequestFailed(reason=reason) if reason == ANSWER_TOO_LONG:
            return Kind.TOO_LONG
        case RequestFailed(status=status) if 300 <= status < 500 and status != _REQUEST_TIMEOUT:
            return Kind.NOT_TAKEN
        case RequestFailed(reason=reason) if reason in _UNREACHABLE or reason.startswith(
            ("tls", "proxy")
        ):
            return Kind.UNREACHABLE
    return Kind.UNUSABLE


def kind_of_items(
    results: ItemResults,
    *,
    events: int,
    final: int,
    waiting: int,
    systemic: bool,
    is_remainder: bool,
) -> Kind:
    """The kind of an answer with items. `final`: rejected events that become dead letters;
    `waiting`: those of which it is not known yet whose fault it is."""
    ended = results.delivered + results.already_delivered + final
    if ended == events:
        return Kind.FINISHED
    if waiting and systemic:
        return Kind.SYSTEMIC
    if ended:
        return Kind.PROGRESS
    if waiting:
        return Kind.REJECTED
    if is_remainder:
        return Kind.REMAINDER
    if "item_429" in results.retry_counts:
        return Kind.BUSY
    return Kind.FAILING if results.server_errors else Kind.DENIED
