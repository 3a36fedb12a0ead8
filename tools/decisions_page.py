"""docs/decisions.md: the table of `output.elasticsearch.decisions`."""

from collections.abc import Sequence

from shipper.output.elasticsearch.decisions import (
    TABLE,
    Fate,
    HostAction,
    Kind,
    Pause,
    PermitAction,
    Row,
)

_INTRODUCTION = """\
# What follows from an answer

The table by which the Elasticsearch output decides what becomes of a request's events, of its
place in `max_in_flight`, and of the host. The first row that matches counts.
[answers.md](answers.md) says which status belongs to which kind of answer, and why it is decided
so.

@COLUMNS@

An empty cell: either.
"""

_COLUMNS = (
    ("Column", "Meaning"),
    ("---", "---"),
    ("Single", "the request has one event"),
    ("Others", "requests that were sent after it first failed got through at this host"),
    (
        "Proven",
        "the events are at fault, not the host: they failed five times in the same way, at two "
        'hosts where there are two, while others got through. For "unusable" and "too long" of '
        'a single event: for five minutes, while others of its size got through. For "too '
        'large": others got through, or it is larger than any that did; several events, unless '
        "a single one was too large while nothing got through",
    ),
    ("Able", "another host can take requests now"),
    (
        "Stuck",
        "it failed five times more, and nothing else gets through (four times in the life of a "
        "request)",
    ),
)

_ANSWERS = {
    Kind.FINISHED: "items: every event has its outcome",
    Kind.PROGRESS: "items: some events got their outcome",
    Kind.REMAINDER: "items: none did, of what is left of a request whose other events did",
    Kind.BUSY: "items: none did, all 429",
    Kind.FAILING: "items: none did, 500s among them",
    Kind.DENIED: "items: none did: privileges, a block, no index, no shard",
    Kind.REJECTED: "items: rejected, and nothing shows yet whose fault that is",
    Kind.SYSTEMIC: "items: many are rejected, and none is created",
    Kind.OVERLOADED: "429",
    Kind.UNREACHABLE: "no connection, TLS, a proxy, credentials, 401",
    Kind.NOT_TAKEN: "3xx, 4xx",
    Kind.UNUSABLE: "cut, timed out, no bulk answer, 5xx",
    Kind.TOO_LONG: "longer than is read",
    Kind.TOO_LARGE: "413, or a 429 that no node can ever take",
}

_FATES = {
    Fate.DONE: "done",
    Fate.AGAIN: "sent again",
    Fate.HALVE: "halved",
    Fate.PROBE: "one is sent by itself",
    Fate.DEAD_LETTER: "dead letter",
}

_PERMITS = {
    PermitAction.RELEASE: "free",
    PermitAction.KEEP: "kept: nothing new is read",
    PermitAction.RELEASE_LATER: "free after the pause",
}

_PAUSES = {
    Pause.NONE: "at once",
    Pause.BACKOFF: "after the backoff",
    Pause.ASKED: "after the backoff, not before `Retry-After`",
    Pause.SYSTEMIC: "after the backoff of all rejected requests",
}

_HOSTS = {
    HostAction.SUCCEEDED: "available",
    HostAction.BUSY: "takes nothing now",
    HostAction.FAILED: "paused",
    HostAction.UNCHANGED: "unchanged",
}


def page() -> str:
    """The page, without its notice."""
    heads: tuple[str, ...] = ("Answer", "Single", "Others", "Proven", "Able", "Stuck")
    heads += ("The events", "`max_in_flight`", "Next try", "The host")
    table = [_cells(heads), "|" + "---|" * len(heads), *map(_row, TABLE)]
    columns = "\n".join(map(_cells, _COLUMNS))
    return "\n".join([_INTRODUCTION.replace("@COLUMNS@", columns), *table, ""])


def _row(row: Row) -> str:
    decision = row.decision
    known = (row.single, row.others, row.proven, row.able, row.stuck)
    words = ["" if each is None else "yes" if each else "no" for each in known]
    is_over = decision.fate in (Fate.DONE, Fate.DEAD_LETTER)
    permit = _PERMITS[decision.permit]
    if decision.fate is Fate.HALVE and decision.permit is PermitAction.KEEP:
        permit = "kept for the halves"
    return _cells(
        (
            _ANSWERS[row.kind],
            *words,
            _FATES[decision.fate],
            permit,
            "" if is_over else _PAUSES[decision.pause],
            _HOSTS[decision.host],
        )
    )


def _cells(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
