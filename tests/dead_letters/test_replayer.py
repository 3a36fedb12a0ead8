"""What is moved aside is sent or put back, whatever happens, and wherever it is killed."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shipper.dead_letters.files import move_aside
from shipper.dead_letters.replayer import Replayer, ReplayResult
from shipper.dead_letters.selection import Selection
from shipper.output import dead_letter_file as dead_letter_module
from shipper.output.appending import append_synced
from shipper.output.dead_letter_file import DeadLetterFile
from shipper.output.elasticsearch.exchange import Answer
from shipper.pipeline.batch import Body
from tests.dead_letters.world import Elasticsearch, dead_letter, lines_of, standing, working_off

MIB = 2**20


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "dead-letter.ndjson"


def replay_all(path: Path, working: Replayer) -> ReplayResult:
    """Move the files aside and work them off."""

    async def story() -> None:
        for source in move_aside(path):
            await working.replay_all(source)

    asyncio.run(story())
    return working.result


def numbers(path: Path) -> list[int]:
    return [each.offset for each in standing(path)]


def test_all_files_are_worked_off_and_what_a_killed_replay_left_comes_first(path: Path) -> None:
    path.with_name("dead-letter.replay-0009.ndjson").write_bytes(lines_of(dead_letter(2)))
    path.with_name("dead-letter.replay-0010.ndjson").write_bytes(lines_of(dead_letter(3)))
    path.with_name("dead-letter.replay-0003.ndjson").write_bytes(lines_of(dead_letter(1)))
    path.with_name("dead-letter.ndjson.1").write_bytes(lines_of(dead_letter(4)))
    path.write_bytes(lines_of(dead_letter(5), dead_letter(6)))
    assert numbers(path) == [1, 2, 3, 4, 5, 6]
    server = Elasticsearch()
    result = replay_all(path, working_off(path, server.take))
    assert str(result) == "replayed 6, already there 0, rejected again 0, kept 0"
    assert result.succeeded
    assert list(server.documents) == [f"id-{number}" for number in range(1, 7)]
    assert server.documents["id-2"] == {"log": {"offset": 2}, "message": dead_letter(2).line}
    assert [each.name for each in path.parent.iterdir()] == ["dead-letter.lock"]


def test_requests_are_bounded_in_documents_and_in_bytes(path: Path) -> None:
    path.write_bytes(lines_of(*(dead_letter(number) for number in range(25))))
    server = Elasticsearch()
    replay_all(path, working_off(path, server.take, max_events=10))
    assert server.requests == [10, 10, 5]
    path.write_bytes(lines_of(*(dead_letter(number, size=600_000) for number in range(30, 35))))
    server = Elasticsearch()
    replay_all(path, working_off(path, server.take))
    assert server.requests == [2, 2, 1]


def test_what_does_not_fit_beside_newer_letters_stays_where_it_is(path: Path) -> None:
    big = [dead_letter(number, size=200_000) for number in range(4)]
    path.write_bytes(lines_of(*big))
    newer = [dead_letter(number, size=200_000) for number in range(10, 14)]

    def take(body: Body) -> Answer:
        # A daemon fills the files meanwhile.
        if not path.exists():
            path.write_bytes(lines_of(*newer[2:]))
            path.with_name("dead-letter.ndjson.1").write_bytes(lines_of(*newer[:2]))
        return server.take(body)

    server = Elasticsearch(lambda number: 201 if number == 0 else 400)
    result = replay_all(path, working_off(path, take, max_events=1))
    assert not result.succeeded
    assert "do not fit into dead_letter.max_bytes beside newer ones" in result.failure
    assert "nothing is deleted" in result.failure
    assert numbers(path) == [0, 1, 2, 3, 10, 11, 12, 13]
    # With room, the next one goes on.
    server.rule = lambda number: 201
    result = replay_all(path, working_off(path, server.take))
    assert str(result) == "replayed 7, already there 1, rejected again 0, kept 0"
    assert numbers(path) == []


def test_lines_that_are_kept_stay_as_they_are_whoever_wrote_them(path: Path) -> None:
    later = line = lines_of(dead_letter(1)).replace(
        b'"status"', b'"new in 2.0": {"a": 1} ,"status"'
    )
    damaged = b"\0\0\xff not a letter\n"
    last = lines_of(dead_letter(2)).removesuffix(b"\n")
    path.write_bytes(later + damaged + b"\n" + last)
    said: list[str] = []
    choice = Selection(reason="nothing of that kind")
    result = replay_all(path, working_off(path, Elasticsearch().take, choice=choice, said=said))
    assert path.read_bytes() == line + damaged + last + b"\n"
    assert result.kept == 2
    assert [words.partition(",")[2] for words in said] == [" line 2: not a dead letter; skipped"]


class KilledError(BaseException):
    """The process is gone."""


class Death:
    """Kills at the n-th of all calls that change the disk, or are seen by Elasticsearch."""

    def __init__(self, at: int, rng: random.Random) -> None:
        self._left = at
        self._rng = rng

    def comes(self) -> bool:
        """Whether it is now."""
        self._left -= 1
        return self._left == 0

    def context(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return the same call, which may be the last one: made, or not made."""

        def dying(*args: Any, **kwargs: Any) -> Any:
            dies = self.comes()
            result = None if dies and self._rng.random() < 0.5 else call(*args, **kwargs)
            if dies:
                raise KilledError
            return result

        return dying

    def appending(self, target: Path, data: bytes) -> None:
        """Append, or a part of it and die."""
        if self.comes():
            with target.open("ab") as file:
                file.write(data[: self._rng.randrange(len(data) + 1)])
            raise KilledError
        append_synced(target, data)


@pytest.mark.parametrize("seed", range(12))
def test_killed_anywhere_no_letter_is_in_neither_place(
    seed: int, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same history is killed at its first step, at its second, and so on until it lives."""
    rng = random.Random(seed)
    outcomes = {number: rng.choice([201, 201, 400, 429]) for number in range(1000)}
    chosen = rng.random() < 0.5

    def rule(number: int) -> int:
        status = outcomes[number]
        # What is put off once is taken the next time.
        outcomes[number] = 201 if status == 429 else status
        return status

    server = Elasticsearch(rule)
    daemon = DeadLetterFile(path, 10 * MIB)
    written: set[str] = set()

    def write(count: int) -> None:
        """As a daemon does it."""
        dead_letters = [
            dead_letter(len(written) + n, status=rng.choice([400, 413]), size=rng.randrange(3000))
            for n in range(count)
        ]
        written.update(each.id for each in dead_letters)
        asyncio.run(daemon.write(dead_letters))

    deaths = 0
    while True:
        deaths += 1
        write(rng.randrange(8))
        death = Death(deaths, rng)
        with monkeypatch.context() as patch:
            patch.setattr(dead_letter_module, "append_synced", death.appending)
            for owner, name in ((Path, "rename"), (Path, "replace"), (Path, "unlink")):
                patch.setattr(owner, name, death.context(getattr(owner, name)))
            patch.setattr(os, "fsync", death.context(os.fsync))
            working = working_off(
                path,
                death.context(server.take),
                choice=Selection(status=400) if chosen else Selection(),
                limit=rng.choice([None, 3]),
                max_events=rng.randrange(1, 5),
            )
            try:
                replay_all(path, working)
            except KilledError:
                alive = False
            else:
                alive = True
        held = {each.id for each in standing(path)}
        assert held | server.documents.keys() == written
        if alive and deaths > 25:
            break
    outcomes.update(dict.fromkeys(outcomes, 201))
    assert replay_all(path, working_off(path, server.take)).succeeded
    assert server.documents.keys() == written
    assert standing(path) == []
