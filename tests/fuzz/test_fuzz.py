"""Every parser of foreign bytes keeps its promise, for the kept corpus and for new inputs."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.fuzz.mutation import Mutator
from tests.fuzz.strategies import inputs_of
from tests.fuzz.table import TARGETS
from tests.fuzz.target import CORPUS, LONGEST, Target

KEPT = [
    pytest.param(target, data, id=f"{target.name}/{name}")
    for target in TARGETS.values()
    for name, data in target.kept().items()
]


@pytest.mark.parametrize(("target", "data"), KEPT)
def test_what_once_broke_a_promise_does_not_break_it_again(target: Target, data: bytes) -> None:
    target.run(data)


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_a_promise_holds_for_the_seeds_and_for_mutations_of_them(target: Target) -> None:
    for seed in target.seeds:
        target.run(seed)
    mutator = Mutator(1, target.seeds, target.tokens)
    for _ in range(100):
        target.run(mutator.next())


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_a_promise_holds_for_what_hypothesis_makes(target: Target) -> None:
    @settings(
        max_examples=60,
        derandomize=True,
        database=None,
        deadline=None,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(inputs_of(target))
    def holds(data: bytes) -> None:
        target.run(data)

    holds()


def test_each_folder_of_the_corpus_is_of_a_target() -> None:
    assert {path.name for path in CORPUS.iterdir()} <= set(TARGETS)


def test_the_corpus_is_small() -> None:
    sizes = [len(data) for target in TARGETS.values() for data in target.kept().values()]
    assert max(sizes) <= LONGEST
    assert sum(sizes) < 300_000


def test_a_mutator_makes_the_same_inputs_again() -> None:
    seeds = (b'{"a":1}', b"x")
    first, again = Mutator(7, seeds), Mutator(7, seeds)
    made = [first.next() for _ in range(200)]
    assert made == [again.next() for _ in range(200)]
    assert len(set(made)) > 100
    assert max(map(len, made)) <= LONGEST
