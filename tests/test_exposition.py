"""The page is what prometheus_client writes of the same numbers."""

from __future__ import annotations

import math
import random
import threading

import prometheus_client
import pytest
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from shipper.exposition import Counter, Followed, Gauge, Histogram, family, page

HELP = 'What it is: a "number",\nwith a \\ in it.'
LABELS = ("reason", "by")
ODD_LABELS = ("a", "", 'x"y', "a\nb", "a\\nb", "{}", "ümläut", "日本", "a,b=c", " ")
ODD_NUMBERS = (
    *(0, 1, 0.1, 0.5, 1e-9, 123456, 999999.5, 1e6, 1234567, 1234567.89, 1e15, 1e16, 1.5e300),
    *(math.inf, 2**53, 2**63),
)
BOUNDS = (0.005, 0.01, 0.1, 1.0, 2.5, 30.0, 60.0)


@pytest.fixture(autouse=True)
def no_creation_times() -> None:
    prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]


def latest(registry: prometheus_client.CollectorRegistry) -> str:
    return prometheus_client.generate_latest(registry).decode()


def test_counters() -> None:
    registry, counter = prometheus_client.CollectorRegistry(), Counter(LABELS)
    theirs = prometheus_client.Counter("a_total", HELP, LABELS, registry=registry)
    rng = random.Random(1)
    for _ in range(500):
        labels = (rng.choice(ODD_LABELS), rng.choice(ODD_LABELS))
        amount = rng.choice(ODD_NUMBERS)
        theirs.labels(*labels).inc(amount)
        counter.add(amount, labels)
    assert page([family("a_total", "counter", HELP, counter)]).decode() == latest(registry)


def test_what_has_no_labels_is_there_from_the_start() -> None:
    registry = prometheus_client.CollectorRegistry()
    prometheus_client.Counter("a_total", HELP, registry=registry)
    prometheus_client.Gauge("b", HELP, registry=registry)
    prometheus_client.Gauge("c", HELP, LABELS, registry=registry)
    families = (
        family("a_total", "counter", HELP, Counter(())),
        family("b", "gauge", HELP, Gauge(())),
        family("c", "gauge", HELP, Gauge(LABELS)),
    )
    assert page(families).decode() == latest(registry)


@pytest.mark.parametrize("number", [*ODD_NUMBERS, -1, -1e7, -math.inf, math.nan])
def test_gauges(number: float) -> None:
    registry, gauge = prometheus_client.CollectorRegistry(), Gauge(LABELS)
    theirs = prometheus_client.Gauge("a", HELP, LABELS, registry=registry)
    for label in ODD_LABELS:
        theirs.labels(label, "x").set_function(lambda: number)
        gauge.set(lambda: number, (label, "x"))
    assert page([family("a", "gauge", HELP, gauge)]).decode() == latest(registry)


def test_histograms() -> None:
    registry, histogram = prometheus_client.CollectorRegistry(), Histogram(BOUNDS)
    theirs = prometheus_client.Histogram("a_seconds", HELP, registry=registry, buckets=BOUNDS)
    rng = random.Random(1)
    for value in (*BOUNDS, *(rng.expovariate(1) for _ in range(500)), 0, 61, 1e9):
        theirs.observe(value)
        histogram.observe(value)
    assert page([family("a_seconds", "histogram", HELP, histogram)]).decode() == latest(registry)


def test_counters_that_are_kept_elsewhere() -> None:
    totals = {label: number for number, label in enumerate(ODD_LABELS)}

    class Theirs(Collector):
        def collect(self) -> list[CounterMetricFamily]:
            found = CounterMetricFamily("a_total", HELP, labels=["reason"])
            for label, value in totals.items():
                found.add_metric([label], value)
            return [found]

    registry = prometheus_client.CollectorRegistry()
    registry.register(Theirs())
    followed = Followed(("reason",), lambda: totals)
    assert page([family("a_total", "counter", HELP, followed)]).decode() == latest(registry)


def test_a_label_that_is_not_utf_8_does_not_spoil_the_page() -> None:
    counter = Counter(("file",))
    counter.add(1, ("na\udcefve",))
    assert b'a_total{file="na?ve"} 1.0\n' in page([family("a_total", "counter", HELP, counter)])


def test_what_cannot_be_counted_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="less"):
        Counter(()).add(-1, ())
    with pytest.raises(ValueError, match="labels"):
        Counter(LABELS).add(1, ("a",))
    with pytest.raises(ValueError, match="labels"):
        Gauge(LABELS).set(lambda: 1, ())


def test_nothing_that_several_threads_count_is_lost() -> None:
    counter, histogram = Counter(()), Histogram(BOUNDS)

    def count() -> None:
        for _ in range(20_000):
            counter.add(1, ())
            histogram.observe(1)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert next(counter.samples())[2] == 80_000
    assert {name: value for name, labels, value in histogram.samples() if not labels} == {
        "_count": 80_000,
        "_sum": 80_000,
    }
