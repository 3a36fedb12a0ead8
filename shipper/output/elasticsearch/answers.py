"""Evaluates answers of `_bulk`: pure functions from bytes to a verdict.

The names of errors differ between Elasticsearch and OpenSearch (`document_parsing_exception`,
`mapper_parsing_exception`), so decisions are made on the status numbers, which do not.

| item status | outcome |
|---|---|
| 200, 201 | delivered; 200 (dropped by the pipeline) and `failure_store: used` create no event |
| 409 | already delivered: the id contains the line's checksum, so it is the same line |
| 429, 5xx | retry this item; a 500 may be caused by the event (`ItemResults.server_errors`) |
| 401, 403, 404 | retry: the cluster is at fault (privileges, a block, no such index) |
| 400: no such pipeline | retry: all events fail until the pipeline exists |
| 400: an alias without a write index, a closed index, the shard limit | retry |
| any other | dead letter |
"""

import re
from dataclasses import dataclass, field
from enum import Enum
from http import HTTPStatus

import msgspec

from shipper.foreign import words
from shipper.output.elasticsearch.items import (
    LARGEST_STATUS,
    LEAST_STATUS,
    Item,
    ItemError,
    error_of,
    items_of,
)
from shipper.output.elasticsearch.redaction import nothing_to_cut
from shipper.output.elasticsearch.said import Redact, is_html, page_text, said, shown

#: The reason of an answer that is not one of `_bulk`.
NOT_BULK = "garbage"

#: Of what is said of such an answer, and of its beginning, in characters.
_LONGEST_WHY, _LONGEST_SHOWN = 150, 100

#: The label of an error without a type, or with one that is not a plain name.
OTHER_TYPE = "other"


#: Statuses that have a label of their own.
_KNOWN_STATUSES = frozenset(status.value for status in HTTPStatus)


class Outcome(Enum):
    """The result of one event in one request."""

    DELIVERED = "delivered"
    ALREADY_DELIVERED = "already_delivered"
    RETRY = "retry"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Rejection:
    """An event that Elasticsearch will never accept."""

    index: int
    status: int
    reason: str
    #: The type of the error, as a metric label.
    type: str = OTHER_TYPE


@dataclass(frozen=True, slots=True)
class ItemResults:
    """The request was processed, item by item."""

    delivered: int
    already_delivered: int
    #: Indexes of the items to send again, and their number by metric label (such as `item_429`).
    retry: list[int]
    retry_counts: dict[str, int]
    #: The error text of the first of them.
    retry_reason: str
    rejected: list[Rejection]
    #: Those of `retry` with a 500: the cluster failed, or its pipeline failed for this event.
    server_errors: list[Rejection] = field(default_factory=list)
    #: Indexes of the items that were there already, ascending.
    conflicts: list[int] = field(default_factory=list)
    #: Indexes of delivered items that created no event: dropped by the pipeline, or in a failure
    #: store; and how many of them are in one.
    not_created: list[int] = field(default_factory=list)
    failure_store: int = 0

    def created(self, events: int) -> list[int]:
        """Indexes of the items that created an event, of a request with so many."""
        others = {*self.retry, *self.conflicts, *self.not_created}
        others.update(rejection.index for rejection in self.rejected)
        return [index for index in range(events) if index not in others]


@dataclass(frozen=True, slots=True)
class TooLarge:
    """Nothing was processed: the body must be split."""

    status: int


@dataclass(frozen=True, slots=True)
class RequestFailed:
    """The whole request must be sent again; which events were stored is unknown."""

    #: A metric label.
    reason: str
    #: The error text.
    message: str
    #: The status; 0 if there is no valid answer.
    status: int = 0
    #: Whether the credentials were rejected.
    unauthorised: bool = False


Verdict = ItemResults | TooLarge | RequestFailed


#: Type and reason of an item 400 that the cluster causes, as Elasticsearch 8 and OpenSearch 2
#: write them. Most of these errors have no type of their own.
_CLUSTERS_FAULT = re.compile(
    r"illegal_argument_exception: pipeline with id \[.*\] does not exist"
    r"|illegal_argument_exception: no write index is defined for alias \[.*"
    r"|validation_exception: Validation Failed: 1: this action would add \[\d+\] .*shards, but .*"
    r"|index_closed_exception: .*",
    re.DOTALL,
)

#: Indexing pressure (`indexing_pressure.memory.limit`), in bytes: size of this request, and limit.
#: Java's longs have 19 digits; a number of thousands of digits is more than `int` converts.
_PRESSURE = re.compile(
    rb"coordinating_operation_bytes=(\d{1,19}), max_coordinating_and_primary_bytes=(\d{1,19})(?!\d)"
)

_TYPE = re.compile(r"[a-z][a-z0-9_]{0,63}")


def outcome_of_status(status: int) -> Outcome:
    """The outcome for the status of an item."""
    if 200 <= status < 300:
        return Outcome.DELIVERED
    if status == 409:
        return Outcome.ALREADY_DELIVERED
    if status in (401, 403, 404, 429) or status >= 500:
        return Outcome.RETRY
    return Outcome.REJECTED


def status_label(status: int) -> str:
    """A metric label for a status, from a closed set."""
    if status in _KNOWN_STATUSES:
        return str(status)
    in_range = LEAST_STATUS <= status <= LARGEST_STATUS
    return f"{status // 100}xx" if in_range else "invalid"


def verdict_of(
    status: int,
    body: bytes,
    events: int,
    *,
    redact: Redact = nothing_to_cut,
    location: str = "",
) -> Verdict:
    """The verdict on the answer to a request with this number of events. `redact` cuts our secrets
    out of all texts; `location`: the header of a redirect."""
    if not LEAST_STATUS <= status <= LARGEST_STATUS:
        return RequestFailed("invalid_answer", f"{status} is not a status of HTTP")
    if status == 413 or (status == 429 and _never_fits(body)):
        return TooLarge(status)
    if status != 200:
        return RequestFailed(
            status_label(status),
            f"HTTP {status}{said(status, body, redact, location)}",
            status,
            unauthorised=status in (401, 403),
        )
    try:
        return _items(body, events, redact)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        # A truncated answer or a proxy's page: the request may have been processed.
        if is_html(body):
            return RequestFailed(NOT_BULK, f"HTML, not a bulk answer: {page_text(body, redact)}")
        # The error may have a piece of the answer in it.
        why = "nested too deep" if isinstance(error, RecursionError) else str(error)
        why = shown(why, redact, _LONGEST_WHY)
        beginning = words(page_text(body, redact), _LONGEST_SHOWN)
        return RequestFailed(
            NOT_BULK, ": ".join(filter(None, ("the answer is not that of _bulk", why, beginning)))
        )


def _items(body: bytes, events: int, redact: Redact) -> ItemResults:
    results = items_of(body, events)
    if results is None:
        return ItemResults(events, 0, [], {}, "", [])
    counts = dict.fromkeys(Outcome, 0)
    retry: list[int] = []
    retry_counts: dict[str, int] = {}
    retry_reason = ""
    rejected, server_errors = [], []
    conflicts: list[int] = []
    not_created: list[int] = []
    failure_store = 0
    for index, result in enumerate(results):
        # Of a conflict nobody needs to know more, and there may be thousands.
        error = error_of(result) if result.status != HTTPStatus.CONFLICT else None
        if _is_clusters_fault(result.status, error):
            outcome = Outcome.RETRY
        else:
            outcome = outcome_of_status(result.status)
        counts[outcome] += 1
        if outcome is Outcome.DELIVERED:
            failure_store += result.is_in_failure_store
            if result.is_in_failure_store or result.status != HTTPStatus.CREATED:
                not_created.append(index)
        elif outcome is Outcome.RETRY:
            label = f"item_{status_label(result.status)}"
            retry_counts[label] = retry_counts.get(label, 0) + 1
            retry_reason = (
                retry_reason or f"item status {result.status}{_error_text(error, redact)}"
            )
            retry.append(index)
            if result.status == 500:
                server_errors.append(_rejection(index, result, error, redact))
        elif outcome is Outcome.ALREADY_DELIVERED:
            conflicts.append(index)
        elif outcome is Outcome.REJECTED:
            rejected.append(_rejection(index, result, error, redact))
    delivered, already = counts[Outcome.DELIVERED], counts[Outcome.ALREADY_DELIVERED]
    return ItemResults(
        delivered,
        already,
        retry,
        retry_counts,
        retry_reason,
        rejected,
        server_errors,
        conflicts,
        not_created,
        failure_store,
    )


def _rejection(index: int, item: Item, error: ItemError | None, redact: Redact) -> Rejection:
    text = _error_text(error, redact).removeprefix(": ")
    return Rejection(index, item.status, text, _type_of(error, redact))


def _is_clusters_fault(status: int, error: ItemError | None) -> bool:
    """Whether the cluster, not the event, causes an item 400."""
    return (
        status == 400
        and error is not None
        and _CLUSTERS_FAULT.fullmatch(f"{error.type}: {error.reason}") is not None
    )


def _type_of(error: ItemError | None, redact: Redact) -> str:
    """The type of an error as a metric label; OTHER_TYPE if it is not a short name."""
    if error is None or not _TYPE.fullmatch(error.type) or redact(error.type) != error.type:
        return OTHER_TYPE
    return error.type


def _never_fits(body: bytes) -> bool:
    """Whether a 429 is for a body that exceeds the indexing pressure limit of a node."""
    found = _PRESSURE.search(body)
    return found is not None and int(found[1]) > int(found[2])


def _error_text(error: ItemError | None, redact: Redact) -> str:
    if error is None:
        return ""
    text = ": ".join(each for each in (error.type, error.reason) if each)
    return f": {shown(text, redact)}"
