"""The table of decisions: every combination has a row, and what no row may do."""

from __future__ import annotations

import itertools

import pytest

from shipper.output.elasticsearch.answers import ItemResults, Rejection, RequestFailed, TooLarge
from shipper.output.elasticsearch.decisions import (
    TABLE,
    Fate,
    HostAction,
    Kind,
    Pause,
    PermitAction,
    Situation,
    decide,
    kind_of_failure,
    kind_of_items,
)

SITUATIONS = [
    Situation(kind, *known)
    for kind in Kind
    for known in itertools.product((False, True), repeat=5)
    # Nothing is proven of a part while nothing else gets through, but of one that is too large.
    if not known[2] or known[1] or kind is Kind.TOO_LARGE
]


def test_every_situation_has_a_decision_and_every_row_is_needed() -> None:
    used = {next(row for row in TABLE if row.matches(situation)) for situation in SITUATIONS}
    assert used == set(TABLE)


@pytest.mark.parametrize("situation", SITUATIONS, ids=str)
def test_what_holds_for_every_decision(situation: Situation) -> None:
    decision = decide(situation)
    if decision.fate is Fate.DEAD_LETTER:
        assert situation.single
        assert situation.proven
    if decision.fate is Fate.HALVE:
        assert not situation.single
        assert situation.proven or situation.kind is Kind.TOO_LONG
    if decision.fate is Fate.PROBE:
        assert situation.stuck
        assert not situation.others
        assert not situation.single
    elif decision.fate is not Fate.AGAIN:
        assert decision.pause is Pause.NONE
    else:
        assert decision.pause is not Pause.NONE
    suspects = (Kind.NOT_TAKEN, Kind.UNUSABLE, Kind.TOO_LONG, Kind.DENIED)
    if situation.others and situation.kind in suspects:
        # A host that takes others is not paused for a part, and a part that waits has no permit.
        assert decision.host in (HostAction.UNCHANGED, HostAction.SUCCEEDED)
        if decision.fate is Fate.AGAIN:
            assert decision.permit is PermitAction.RELEASE
    if situation.kind in (Kind.OVERLOADED, Kind.UNREACHABLE):
        assert decision.fate is Fate.AGAIN
    if decision.pause is Pause.ASKED:
        # Another host would take it.
        assert not situation.able
    if decision.permit is PermitAction.KEEP and decision.fate is Fate.AGAIN:
        # Kept for good only where no event can be at fault: else all permits could be held so.
        assert situation.kind is Kind.UNREACHABLE or not situation.others


@pytest.mark.parametrize(
    ("situation", "fate", "permit", "pause"),
    [
        (Situation(Kind.UNUSABLE), Fate.AGAIN, PermitAction.RELEASE_LATER, Pause.ASKED),
        (
            Situation(Kind.UNUSABLE, others=True, proven=True),
            Fate.HALVE,
            PermitAction.RELEASE,
            Pause.NONE,
        ),
        (
            Situation(Kind.UNUSABLE, single=True, others=True),
            Fate.AGAIN,
            PermitAction.RELEASE,
            Pause.BACKOFF,
        ),
        (
            Situation(Kind.UNUSABLE, single=True, others=True, proven=True),
            Fate.DEAD_LETTER,
            PermitAction.RELEASE,
            Pause.NONE,
        ),
        (Situation(Kind.TOO_LONG), Fate.HALVE, PermitAction.KEEP, Pause.NONE),
        (
            Situation(Kind.TOO_LARGE, single=True),
            Fate.AGAIN,
            PermitAction.RELEASE_LATER,
            Pause.BACKOFF,
        ),
        (
            Situation(Kind.TOO_LARGE, single=True, proven=True),
            Fate.DEAD_LETTER,
            PermitAction.RELEASE,
            Pause.NONE,
        ),
        (Situation(Kind.TOO_LARGE), Fate.AGAIN, PermitAction.RELEASE_LATER, Pause.BACKOFF),
        (Situation(Kind.TOO_LARGE, proven=True), Fate.HALVE, PermitAction.KEEP, Pause.NONE),
        (Situation(Kind.OVERLOADED), Fate.AGAIN, PermitAction.RELEASE, Pause.ASKED),
        (Situation(Kind.OVERLOADED, able=True), Fate.AGAIN, PermitAction.RELEASE, Pause.BACKOFF),
        (Situation(Kind.UNREACHABLE), Fate.AGAIN, PermitAction.KEEP, Pause.ASKED),
        (Situation(Kind.SYSTEMIC), Fate.AGAIN, PermitAction.RELEASE_LATER, Pause.SYSTEMIC),
        (Situation(Kind.FINISHED), Fate.DONE, PermitAction.RELEASE, Pause.NONE),
    ],
    ids=str,
)
def test_what_follows(situation: Situation, fate: Fate, permit: PermitAction, pause: Pause) -> None:
    decision = decide(situation)
    assert (decision.fate, decision.permit, decision.pause) == (fate, permit, pause)


@pytest.mark.parametrize(
    ("verdict", "kind"),
    [
        (TooLarge(413), Kind.TOO_LARGE),
        (TooLarge(429), Kind.TOO_LARGE),
        (RequestFailed("429", "x", 429), Kind.OVERLOADED),
        (RequestFailed("401", "x", 401), Kind.UNREACHABLE),
        (RequestFailed("connect", "x"), Kind.UNREACHABLE),
        (RequestFailed("tls_issuer", "x"), Kind.UNREACHABLE),
        (RequestFailed("proxy_refused", "x"), Kind.UNREACHABLE),
        (RequestFailed("credentials", "x"), Kind.UNREACHABLE),
        (RequestFailed("302", "x", 302), Kind.NOT_TAKEN),
        (RequestFailed("400", "x", 400), Kind.NOT_TAKEN),
        (RequestFailed("403", "x", 403), Kind.NOT_TAKEN),
        (RequestFailed("4xx", "x", 499), Kind.NOT_TAKEN),
        (RequestFailed("408", "x", 408), Kind.UNUSABLE),
        (RequestFailed("500", "x", 500), Kind.UNUSABLE),
        (RequestFailed("502", "x", 502), Kind.UNUSABLE),
        (RequestFailed("503", "x", 503), Kind.UNUSABLE),
        (RequestFailed("204", "x", 204), Kind.UNUSABLE),
        (RequestFailed("timeout", "x"), Kind.UNUSABLE),
        (RequestFailed("disconnected", "x"), Kind.UNUSABLE),
        (RequestFailed("cut_answer", "x"), Kind.UNUSABLE),
        (RequestFailed("invalid_answer", "x"), Kind.UNUSABLE),
        (RequestFailed("garbage", "x"), Kind.UNUSABLE),
        (RequestFailed("answer_too_long", "x"), Kind.TOO_LONG),
    ],
    ids=str,
)
def test_the_kind_of_an_answer_without_items(verdict: RequestFailed | TooLarge, kind: Kind) -> None:
    assert kind_of_failure(verdict) is kind


def items(delivered: int = 0, retry: int = 0, label: str = "item_503") -> ItemResults:
    counts = {label: retry} if retry else {}
    errors = [Rejection(0, 500, "x")] if label == "item_500" and retry else []
    return ItemResults(delivered, 0, list(range(retry)), counts, "x", [], errors)


@pytest.mark.parametrize(
    ("results", "beside", "kind"),
    [
        (items(4), {}, Kind.FINISHED),
        (items(3), {"final": 1}, Kind.FINISHED),
        (items(3, 1), {}, Kind.PROGRESS),
        (items(0, 3), {"final": 1}, Kind.PROGRESS),
        (items(3), {"waiting": 1}, Kind.PROGRESS),
        (items(), {"waiting": 4}, Kind.REJECTED),
        (items(), {"waiting": 4, "systemic": True}, Kind.SYSTEMIC),
        (items(0, 4), {"systemic": True}, Kind.DENIED),
        (items(0, 4), {"is_remainder": True}, Kind.REMAINDER),
        (items(0, 4, "item_429"), {}, Kind.BUSY),
        (items(0, 4, "item_500"), {}, Kind.FAILING),
        (items(0, 4, "item_403"), {}, Kind.DENIED),
    ],
)
def test_the_kind_of_an_answer_with_items(
    results: ItemResults, beside: dict[str, int], kind: Kind
) -> None:
    found = kind_of_items(
        results,
        events=4,
        final=beside.get("final", 0),
        waiting=beside.get("waiting", 0),
        systemic=bool(beside.get("systemic")),
        is_remainder=bool(beside.get("is_remainder")),
    )
    assert found is kind
