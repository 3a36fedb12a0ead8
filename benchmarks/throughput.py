"""Shippers that catch up with the same log, in turn, several rounds of it.

Each is a whole process, from its start until everything has arrived and it has ended. Two sizes of
the log tell apart what an event costs and what a start costs.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contestants import (
    ECS_GZIP,
    MODES,
    RAW_GZIP,
    Contestant,
    Mode,
    guide,
    peers,
    shipper,
    without_core,
)
from benchmarks.corpus import LARGE, SMALL, USUAL, write_corpus
from benchmarks.measure import Cost, cost_of, running
from benchmarks.results import Spread, Throughput
from benchmarks.sink import Sink
from shipper.documents.native import core


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is shipped, and how."""

    name: str
    mode: Mode = RAW_GZIP
    event_bytes: int = USUAL
    files: int = 1
    #: Of --events.
    share: float = 1.0
    #: Beside it: how much a loop costs that does as little as can be.
    floor: bool = False


_SMALL_EVENTS = Scenario("300 B events, raw, gzip", event_bytes=SMALL)
_LARGE_EVENTS = Scenario("16 kB events, raw, gzip", event_bytes=LARGE, share=0.15)
_MANY_FILES = Scenario("200 files, raw, gzip", files=200)

SCENARIOS = (
    *(Scenario(mode.name, mode, floor=mode is RAW_GZIP) for mode in MODES),
    _SMALL_EVENTS,
    _LARGE_EVENTS,
    _MANY_FILES,
)

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where it is measured."""

    sink: Sink
    directory: Path
    peers: Path
    progress: Progress


@dataclass(frozen=True, slots=True)
class _Result:
    cost: Cost
    wire_bytes: int
    missing: int
    doubled: int


def measure(
    scenario: Scenario, surroundings: Surroundings, *, events: int, rounds: int
) -> list[Throughput]:
    """All shippers in turn, `rounds` times; shipper is the first of the result."""

    def contestants(logs: Path, state: Path) -> list[Contestant]:
        url, mode = surroundings.sink.url, scenario.mode
        found = [shipper(logs, url, state / "shipper", mode)]
        if core()[0] is not None:
            found.append(without_core(shipper(logs, url, state / "python", mode)))
        return [*found, *peers(surroundings.peers, logs, url, state, mode)]

    return _measure(scenario, surroundings, contestants, events, rounds)


def measure_own(
    what: str, surroundings: Surroundings, *, events: int, rounds: int
) -> list[Throughput]:
    """shipper beside itself: `ecs` beside raw, or the `guide`'s filebeat.yml beside our format."""

    def contestants(logs: Path, state: Path) -> list[Contestant]:
        url = surroundings.sink.url
        own = shipper(logs, url, state / "shipper")
        if what == "guide":
            return [own, guide(logs, url, state / "guide")]
        ecs = shipper(logs, url, state / "ecs", ECS_GZIP)
        return [own, Contestant("shipper, ecs", ecs.command)]

    return _measure(Scenario(what), surroundings, contestants, events, rounds)


def _measure(
    scenario: Scenario,
    surroundings: Surroundings,
    contestants: Callable[[Path, Path], list[Contestant]],
    events: int,
    rounds: int,
) -> list[Throughput]:
    sizes = [int(events * scenario.share / 3), int(events * scenario.share)]
    place = surroundings.directory / scenario.name.replace(" ", "-").replace(",", "")
    for size in sizes:
        _write(place / f"{size}", scenario, size)
    found: dict[str, dict[int, list[_Result]]] = {}
    for number in range(rounds):
        # Interleaved, so that other load on the machine affects all of them.
        for size in sizes:
            logs, state = place / f"{size}", place / f"round-{number}-{size}"
            for contestant in contestants(logs, state):
                log = state / f"{contestant.name}.log"
                result = _ship(contestant, surroundings.sink, size, log)
                found.setdefault(contestant.name, {}).setdefault(size, []).append(result)
            if scenario.floor:
                command = (sys.executable, "-m", "benchmarks.floor", str(logs / "0.log"))
                floor = _Result(cost_of(command, state / "floor.log"), 0, 0, 0)
                found.setdefault("floor", {}).setdefault(size, []).append(floor)
        surroundings.progress(f"{scenario.name}: round {number + 1} of {rounds} is done")
    ours = found["shipper"]
    return [_row(scenario.name, name, results, ours, sizes) for name, results in found.items()]


def _write(logs: Path, scenario: Scenario, events: int) -> None:
    logs.mkdir(parents=True)
    each, rest = divmod(events, scenario.files)
    first = 0
    for number in range(scenario.files):
        count = each + (number < rest)
        write_corpus(logs / f"{number}.log", count, event_bytes=scenario.event_bytes, first=first)
        first += count


def _ship(contestant: Contestant, sink: Sink, events: int, log: Path) -> _Result:
    sink.reset()
    with running(contestant.command, log, contestant.environ) as process:
        process.wait_until(lambda: sink.events() >= events, f"{contestant.name}: all received")
        cost = process.stop()
    arrived = sink.arrived()
    return _Result(cost, arrived.wire_bytes, events - arrived.different, arrived.doubled)


def _row(
    scenario: str,
    name: str,
    results: dict[int, list[_Result]],
    ours: dict[int, list[_Result]],
    sizes: Sequence[int],
) -> Throughput:
    small, large = sizes
    total, marginal, start = _costs(results, small, large)
    our_total, our_marginal, _ = _costs(ours, small, large)
    every = [result for some in results.values() for result in some]
    costs = [result.cost for result in results[large]]
    return Throughput(
        scenario=scenario,
        name=name,
        events=large,
        rounds=len(costs),
        cpu_per_event=Spread.of(total),
        marginal_cpu_per_event=Spread.of(marginal),
        start_cpu=Spread.of(start),
        events_per_second=Spread.of([large / cost.wall_seconds for cost in costs]).median,
        rss_bytes=int(Spread.of([cost.rss_bytes for cost in costs]).median),
        peak_rss_bytes=int(Spread.of([cost.peak_rss_bytes for cost in costs]).median),
        wire_bytes_per_event=results[large][0].wire_bytes / large,
        missing=sum(result.missing for result in every),
        doubled=sum(result.doubled for result in every),
        ratio=Spread.ratio(our_total, total),
        marginal_ratio=Spread.ratio(our_marginal, marginal),
    )


def _costs(
    results: dict[int, list[_Result]], small: int, large: int
) -> tuple[list[float], list[float], list[float]]:
    """Of each round: CPU per event with the start and without, and CPU of the start."""
    pairs = [
        (one.cost.cpu_seconds, other.cost.cpu_seconds)
        for one, other in zip(results[small], results[large], strict=True)
    ]
    total = [more / large for _, more in pairs]
    marginal = [(more - less) / (large - small) for less, more in pairs]
    start = [less - each * small for (less, _), each in zip(pairs, marginal, strict=True)]
    return total, marginal, start
