"""The targets: ratios to other shippers in the same run, or limits that do not depend on the
load of the machine.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.contestants import ECS_GZIP, RAW_GZIP, RAW_PLAIN
from benchmarks.results import Results, Spread, Throughput

#: What is above a ratio by no more than this is noise.
NOISE = 1.1

#: shipper's CPU per event as a multiple of another's, at most: by mode, and by name.
_RATIOS = {
    RAW_GZIP.name: {"vector": 0.24, "fluent-bit": 0.20},
    RAW_PLAIN.name: {"vector": 0.19, "fluent-bit": 0.58},
    ECS_GZIP.name: {"vector": 0.18, "fluent-bit": 0.26},
}

#: Without the native core, to Vector.
_PYTHON = {RAW_GZIP.name: 0.42}

#: shipper beside itself.
_OWN = {"shipper, ecs": 2.5, "shipper, guide": 1.1}

#: The same at a steady rate, by events a second.
_STEADY = {1000.0: {"vector": 0.12, "fluent-bit": 0.12}, 50.0: {"fluent-bit": 0.20}}

_IDLE_CPU = 0.0006
_IDLE_RSS = 48 * 2**20
_FULL_RSS = 56 * 2**20
_FIRST_SECONDS = 0.7
#: From writing to the request: `output.bulk.linger`, and 30 ms.
_P99_SECONDS = 1.03
#: Of 2,000 quiet files, and of 20,000: the share of a core; and the memory of any number.
_MANY_CPU = {2_000: 0.01, 20_000: 0.02}
_MANY_RSS = 80 * 2**20
#: Of CPU per event, between the best and the worst of a series that ought to be flat.
_FLAT = 1.5
#: Of a soak, in MiB an hour.
_SLOPE = 2.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """One target, and what was measured."""

    what: str
    value: float
    most: float
    #: Between the rounds, where there are several.
    spread: Spread | None = None
    #: A ratio is allowed to be above it by what is noise.
    is_ratio: bool = False

    @property
    def is_met(self) -> bool:
        return self.value <= self.most * (NOISE if self.is_ratio else 1)

    def line(self) -> str:
        """As it is printed."""
        word = "MISSED" if not self.is_met else "met" if self.value <= self.most else "near"
        rounds = ""
        if (spread := self.spread) is not None:
            rounds = f", rounds {spread.least:.3g} to {spread.most:.3g}"
        return f"{word:<7} {self.what}: {self.value:.3g} (at most {self.most:.3g}{rounds})"


def verdicts(results: Results) -> Iterator[Verdict]:
    """Of everything that was measured and has a target."""
    for row in results.throughput:
        yield from _of_throughput(row)
    yield from _of_python(results)
    yield from _of_steady(results)
    for quiet in results.quiet:
        many = quiet.files > 1
        what = f"{quiet.files} quiet files" if many else "one quiet file"
        cpu = _MANY_CPU.get(quiet.files, _IDLE_CPU)
        yield Verdict(f"{what}: % of a core", quiet.cpu * 100, cpu * 100)
        rss = _MANY_RSS if many else _IDLE_RSS
        yield Verdict(f"{what}: RSS, MiB", quiet.rss_bytes / 2**20, rss / 2**20)
        if quiet.first_seconds is not None:
            what = "seconds from the start to the first line received"
            yield Verdict(what, quiet.first_seconds, _FIRST_SECONDS)
    for name in dict.fromkeys(each.what for each in results.flat):
        series = [each.cpu_per_event for each in results.flat if each.what == name]
        yield Verdict(f"CPU per event over {name}, worst to best", max(series) / min(series), _FLAT)
    if (soak := results.soak) is not None:
        yield Verdict("soak: RSS, MiB an hour", soak.slope, _SLOPE)
        yield Verdict("soak: lines missing or doubled", soak.missing + soak.doubled, 0)


def _of_throughput(row: Throughput) -> Iterator[Verdict]:
    if row.name == "shipper":
        yield Verdict(f"{row.scenario}: lines missing or doubled", row.missing + row.doubled, 0)
        if row.scenario in _RATIOS:
            full = row.rss_bytes / 2**20
            yield Verdict(f"{row.scenario}: RSS, MiB", full, _FULL_RSS / 2**20)
        return
    if (own := _OWN.get(row.name)) is not None:
        value = 1 / row.ratio.median
        yield Verdict(f"CPU per event of {row.name}, times shipper's", value, own, None, True)
        return
    most = _RATIOS.get(row.scenario, {}).get(row.name)
    if most is None:
        return
    what = f"{row.scenario}: CPU per event, times {row.name}'s"
    yield Verdict(what, row.ratio.median, most, row.ratio, True)
    if row.marginal_ratio is not None:
        what = f"{row.scenario}: without the start"
        yield Verdict(what, row.marginal_ratio.median, most, row.marginal_ratio, True)


def _of_python(results: Results) -> Iterator[Verdict]:
    """What shipper costs where there is no native core."""
    for scenario, most in _PYTHON.items():
        ratios = {
            row.name: row.ratio.median for row in results.throughput if row.scenario == scenario
        }
        if "vector" in ratios and (python := ratios.get("shipper, Python")):
            what = f"{scenario}, without the native core: CPU per event, times vector's"
            yield Verdict(what, ratios["vector"] / python, most, None, True)


def _of_steady(results: Results) -> Iterator[Verdict]:
    ours = {row.rate: row for row in results.steady if row.name == "shipper"}
    for rate, row in ours.items():
        if not rate:
            yield Verdict("idle: % of a core", row.cpu * 100, _IDLE_CPU * 100)
            continue
        yield Verdict(f"{rate:g} events/s: p99 to the request, s", row.latencies[1], _P99_SECONDS)
        lost = row.missing + row.doubled
        yield Verdict(f"{rate:g} events/s: lines missing or doubled", lost, 0)
    for row in results.steady:
        most = _STEADY.get(row.rate, {}).get(row.name)
        if most is not None and row.cpu > 0:
            what = f"{row.rate:g} events/s: CPU, times {row.name}'s"
            yield Verdict(what, ours[row.rate].cpu / row.cpu, most, None, True)
