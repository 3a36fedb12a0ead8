"""Numbers by name and labels, and how they are shown: the text format of Prometheus, version 0.0.4.

prometheus_client has the same, and brings an HTTP server, WSGI and a client along: a thirtieth of a
start, and a megabyte of the memory of an idle daemon. The tests read what is written here with its
parser, and compare it with what prometheus_client writes.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from threading import Lock
from typing import Protocol

#: Values of labels, in the order of their names.
LabelValues = tuple[str, ...]


class Series(Protocol):
    """All series of one name."""

    def samples(self) -> Iterator[tuple[str, Mapping[str, str], float]]:
        """What is added to the name, the labels, and the value."""


class Counter:
    """A number for each combination of labels, which only grows. Any thread may add to it."""

    def __init__(self, labels: LabelValues) -> None:
        self._labels = labels
        self._values: dict[LabelValues, float] = {} if labels else {(): 0.0}
        self._lock = Lock()

    def add(self, amount: float, labels: LabelValues) -> None:
        """Raises ValueError: it would become less, or there are not as many labels as names."""
        if amount < 0:
            raise ValueError(f"a counter does not become less: {amount}")
        _check(self._labels, labels)
        with self._lock:
            self._values[labels] = self._values.get(labels, 0.0) + amount

    def samples(self) -> Iterator[tuple[str, Mapping[str, str], float]]:
        with self._lock:
            values = list(self._values.items())
        for labels, value in values:
            yield "", dict(zip(self._labels, labels, strict=True)), value


class Gauge:
    """A function for each combination of labels, which returns the value now."""

    def __init__(self, labels: LabelValues) -> None:
        self._labels = labels
        self._values: dict[LabelValues, Callable[[], float]] = {} if labels else {(): lambda: 0.0}

    def set(self, value: Callable[[], float], labels: LabelValues) -> None:
        """Raises ValueError: there are not as many labels as names."""
        _check(self._labels, labels)
        self._values[labels] = value

    def samples(self) -> Iterator[tuple[str, Mapping[str, str], float]]:
        for labels, value in list(self._values.items()):
            yield "", dict(zip(self._labels, labels, strict=True)), float(value())


class Histogram:
    """How many values were at most so large, for each of some bounds. Any thread may add one."""

    def __init__(self, bounds: Sequence[float]) -> None:
        """`bounds`: ascending; there is one more bucket for what is larger."""
        self._bounds = (*bounds, math.inf)
        self._counts = [0] * len(self._bounds)
        self._sum = 0.0
        self._lock = Lock()

    def observe(self, value: float) -> None:
        with self._lock:
            self._counts[bisect_left(self._bounds, value)] += 1
            self._sum += value

    def samples(self) -> Iterator[tuple[str, Mapping[str, str], float]]:
        with self._lock:
            counts, total = tuple(self._counts), self._sum
        up_to = 0
        for bound, count in zip(self._bounds, counts, strict=True):
            up_to += count
            yield "_bucket", {"le": _number(bound)}, float(up_to)
        yield "_count", {}, float(up_to)
        yield "_sum", {}, total


class Followed:
    """A counter with one label, whose values are kept elsewhere."""

    def __init__(self, labels: LabelValues, totals: Callable[[], Mapping[str, float]]) -> None:
        (self._label,) = labels
        self._totals = totals

    def samples(self) -> Iterator[tuple[str, Mapping[str, str], float]]:
        for label, value in self._totals().items():
            yield "", {self._label: label}, float(value)


def family(name: str, kind: str, explained: str, series: Series) -> Iterator[str]:
    """The lines of all series of a name."""
    explained = explained.replace("\\", r"\\").replace("\n", r"\n")
    yield f"# HELP {name} {explained}\n"
    yield f"# TYPE {name} {kind}\n"
    for suffix, labels, value in series.samples():
        inside = ",".join(f'{label}="{_escaped(labels[label])}"' for label in sorted(labels))
        yield f"{name}{suffix}{f'{{{inside}}}' if inside else ''} {_number(value)}\n"


def page(families: Iterable[Iterator[str]]) -> bytes:
    """The page with these families."""
    # A label may be the name of a file, which need not be UTF-8.
    return "".join(line for lines in families for line in lines).encode(errors="replace")


def _check(names: LabelValues, values: LabelValues) -> None:
    if len(names) != len(values):
        raise ValueError(f"{len(values)} labels, where {len(names)} are expected: {names}")


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _number(value: float) -> str:
    """As Go prints it, which Prometheus does not need, but who compares text does."""
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if math.isnan(value):
        return "NaN"
    text = repr(float(value))
    whole = text.find(".")
    # Go uses exponents from 10**6 on, Python from 10**16.
    if value > 0 and whole > 6:
        digits = f"{text[0]}.{text[1:whole]}{text[whole + 1 :]}".rstrip("0.")
        return f"{digits}e+{whole - 1:02d}"
    return text
