"""What an answer of `_bulk` means: pure functions from bytes to a verdict.

The names of errors differ between Elasticsearch and OpenSearch (`document_parsing_exception`,
`mapper_parsing_exception`), so decisions are made on the status numbers, which do not.

| item status | outcome |
|---|---|
| 200, 201 | delivered |
| 409 | already delivered: the id holds the line's checksum, so it is this very line |
| 429, 5xx | again, this item only; a 500 may be the event's fault all the same (`Taken.failed`) |
| 401, 403, 404 | again: the cluster, not the event, is at fault (rights, a block, no such index) |
| 400: no such pipeline | again: so is every event, until somebody sees to it |
| 400: an alias without a write index, a closed index, no room for another's shards | the same |
| any other | dead letter |
"""

import re
from dataclasses import dataclass, field
from enum import Enum

import msgspec

#: Of an error whose type is none, or no name.
OTHER_TYPE = "other"


class Outcome(Enum):
    """What became of one event in one request."""

    DELIVERED = "delivered"
    ALREADY_DELIVERED = "already_delivered"
    AGAIN = "again"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Refusal:
    """An event that Elasticsearch will never take."""

    index: int
    status: int
    reason: str
    #: The kind of the error, as a metric's label.
    type: str = OTHER_TYPE


@dataclass(frozen=True, slots=True)
class Taken:
    """The request was worked off, item by item."""

    delivered: int
    already_delivered: int
    #: Which items have to be sent again, and the reasons (`item_429`, say) with how many of each.
    again: list[int]
    reasons: dict[str, int]
    #: What the first of them was told, in words.
    why_again: str
    refused: list[Refusal]
    #: Those of `again` that had a 500: a fault of the cluster, or of its pipeline with this event.
    failed: list[Refusal] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class TooLarge:
    """Nothing was done: the body has to be cut into smaller ones."""

    status: int


@dataclass(frozen=True, slots=True)
class Again:
    """The whole request has to be sent again; nobody knows what was done."""

    #: A metric's label.
    reason: str
    #: In words.
    why: str
    #: Whether the credentials were refused.
    unauthorised: bool = False


Verdict = Taken | TooLarge | Again


class _Error(msgspec.Struct):
    type: str = ""
    reason: str | None = None


class _Result(msgspec.Struct):
    status: int
    error: _Error | None = None


class _Item(msgspec.Struct):
    create: _Result


class _Summary(msgspec.Struct):
    errors: bool
    items: msgspec.Raw = msgspec.Raw(b"")


class _Failure(msgspec.Struct):
    error: _Error | str


_decode_summary = msgspec.json.Decoder(_Summary).decode
_decode_items = msgspec.json.Decoder(list[_Item]).decode
_decode_failure = msgspec.json.Decoder(_Failure).decode

#: Type and reason of an item 400 that is the cluster's fault, in the words of Elasticsearch 8 and
#: OpenSearch 2: for most of them no type of its own says it.
_CLUSTERS_FAULT = re.compile(
    r"illegal_argument_exception: pipeline with id \[.*\] does not exist"
    r"|illegal_argument_exception: no write index is defined for alias \[.*"
    r"|validation_exception: Validation Failed: 1: this action would add \[\d+\] .*shards, but .*"
    r"|index_closed_exception: .*",
    re.DOTALL,
)

#: Of `indexing_pressure.memory.limit`, in bytes: what this request takes, and the limit.
_PRESSURE = re.compile(
    rb"coordinating_operation_bytes=(\d+), max_coordinating_and_primary_bytes=(\d+)"
)

_TYPE = re.compile(r"[a-z][a-z0-9_]{0,63}")

#: How much of a foreign text goes into our own messages, in characters.
_EXCERPT = 300


def outcome_of(status: int) -> Outcome:
    """What an item's status means."""
    if 200 <= status < 300:
        return Outcome.DELIVERED
    if status == 409:
        return Outcome.ALREADY_DELIVERED
    if status in (401, 403, 404, 429) or status >= 500:
        return Outcome.AGAIN
    return Outcome.REFUSED


def judge(status: int, body: bytes, events: int) -> Verdict:
    """What the answer to a request of that many events means."""
    if status == 413 or (status == 429 and _never_fits(body)):
        return TooLarge(status)
    if status != 200:
        return Again(
            str(status),
            f"HTTP {status}{_reason(body)}",
            unauthorised=status in (401, 403),
        )
    try:
        return _items(body, events)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        # Half an answer, a proxy's page: the request may well have been carried out.
        return Again("garbage", f"the answer is not that of _bulk: {error}")


def _items(body: bytes, events: int) -> Taken:
    summary = _decode_summary(body)
    listed = bytes(summary.items)
    if not summary.errors and (not listed or listed.count(b'"status":201') == events):
        # `errors: false` says that every item was carried out.
        return Taken(events, 0, [], {}, "", [])
    results = [item.create for item in _decode_items(listed)]
    if len(results) != events:
        raise ValueError(f"{len(results)} items for {events} events")
    counts = dict.fromkeys(Outcome, 0)
    again: list[int] = []
    reasons: dict[str, int] = {}
    why_again = ""
    refused, failed = [], []
    for index, result in enumerate(results):
        outcome = Outcome.AGAIN if _is_clusters_fault(result) else outcome_of(result.status)
        counts[outcome] += 1
        if outcome is Outcome.AGAIN:
            label = f"item_{result.status}"
            reasons[label] = reasons.get(label, 0) + 1
            why_again = why_again or f"item status {result.status}{_words(result.error)}"
            again.append(index)
            if result.status == 500:
                failed.append(_refusal(index, result))
        elif outcome is Outcome.REFUSED:
            refused.append(_refusal(index, result))
    delivered, already = counts[Outcome.DELIVERED], counts[Outcome.ALREADY_DELIVERED]
    return Taken(delivered, already, again, reasons, why_again, refused, failed)


def _refusal(index: int, result: _Result) -> Refusal:
    words = _words(result.error).removeprefix(": ")
    return Refusal(index, result.status, words, _type_of(result.error))


def _is_clusters_fault(result: _Result) -> bool:
    """Whether an item 400 is not for what the event is."""
    error = result.error
    return (
        result.status == 400
        and error is not None
        and _CLUSTERS_FAULT.fullmatch(f"{error.type}: {error.reason or ''}") is not None
    )


def _type_of(error: _Error | None) -> str:
    """The type of an error, which becomes a label: nothing but a short name is taken."""
    return error.type if error is not None and _TYPE.fullmatch(error.type) else OTHER_TYPE


def _never_fits(body: bytes) -> bool:
    """Whether a 429 is for a body that is larger than all that may be under way in a node."""
    found = _PRESSURE.search(body)
    return found is not None and int(found[1]) > int(found[2])


def _reason(body: bytes) -> str:
    try:
        return _words(_decode_failure(body).error)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""


def _words(error: _Error | str | None) -> str:
    if error is None:
        return ""
    text = error if isinstance(error, str) else f"{error.type}: {error.reason or ''}"
    return f": {text[:_EXCERPT]}"
