"""Files of letters, and an Elasticsearch that answers by rules, without a process or a network."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from shipper.dead_letters.files import all_dead_letters
from shipper.dead_letters.replayer import Replayer
from shipper.dead_letters.selection import Selection
from shipper.dead_letters.sending import DeadLetterSender
from shipper.output.backoff import Backoff
from shipper.output.dead_letter import DeadLetter, encode_dead_letter
from shipper.output.dead_letter_file import DeadLetterFile
from shipper.output.elasticsearch.exchange import Answer
from shipper.output.elasticsearch.hosts import Hosts
from shipper.pipeline.batch import Body
from tests.output.fakes import answer
from tests.support.clock import ManualClock

EVERYTHING = Selection()


def dead_letter(
    number: int, *, status: int = 400, reason: str = "a_type: no", size: int = 10
) -> DeadLetter:
    """Return one whose line says its number; refused at so many seconds."""
    return DeadLetter(
        float(number),
        status,
        reason,
        f"id-{number}",
        "/logs/a.log",
        number,
        f"{number} " + "x" * size,
        document=msgspec.Raw(b'{"log":{"offset":%d}}' % number),
    )


def lines_of(*dead_letters: DeadLetter) -> bytes:
    return b"".join(map(encode_dead_letter, dead_letters))


class Elasticsearch:
    """Knows what it has; a rule says what becomes of a document that it has not."""

    def __init__(self, rule: Callable[[int], int] = lambda number: 201) -> None:
        """``rule``: the status of an item, from the number of its letter."""
        self.documents: dict[str, dict[str, Any]] = {}
        self.rule = rule
        self.requests: list[int] = []
        """How many documents were in each."""

    def take(self, body: Body) -> Answer:
        """Return the answer to a request."""
        self.requests.append(body.events)
        lines = [json.loads(line) for line in body.lines()]
        pairs = zip(lines[::2], lines[1::2], strict=True)
        return answer(
            *[self._item(action["create"]["_id"], document) for action, document in pairs]
        )

    def _item(self, document_id: str, document: dict[str, Any]) -> int:
        if document_id in self.documents:
            return 409
        status = self.rule(document["log"]["offset"])
        if status == 201:
            self.documents[document_id] = document
        return status


class DirectTransport:
    """Hands requests to an Elasticsearch in the same process."""

    def __init__(self, take: Callable[[Body], Answer]) -> None:
        self._take = take

    async def post(self, host: str, body: Body) -> Answer:
        return self._take(body)

    async def probe(self, host: str) -> Answer:
        raise AssertionError("a replay asks for nothing but documents")

    def answered_wrongly(self) -> None:
        """There are no connections."""

    def credentials_refused(self) -> None:
        raise AssertionError("they were not")


def working_off(
    path: Path,
    take: Callable[[Body], Answer],
    *,
    choice: Selection = EVERYTHING,
    limit: int | None = None,
    max_events: int = 1000,
    max_bytes: int = 2**20,
    said: list[str] | None = None,
) -> Replayer:
    """Return what works off files beside ``path``; nothing waits."""
    clock, rng, backoff = ManualClock(), random.Random(1), Backoff(0.0, 0.0)
    sender = DeadLetterSender(
        DirectTransport(take),
        Hosts(["http://es"], backoff, clock, rng),
        backoff,
        clock=clock,
        rng=rng,
        timeout=60.0,
        gzip=True,
        on_wait=lambda why: None,
    )
    return Replayer(
        DeadLetterFile(path, max_bytes),
        sender,
        choice,
        limit=limit,
        max_events=max_events,
        warn=(said if said is not None else []).append,
    )


def standing(path: Path, said: list[str] | None = None) -> list[DeadLetter]:
    """Return every letter that there is."""
    with all_dead_letters(path, (said if said is not None else []).append) as found:
        return [each.dead_letter for each in found if each.dead_letter is not None]
