"""The metrics of `metric_table`: counting, and the page that Prometheus reads."""

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from shipper.metric_table import (
    CONFIGURED_LABELS,
    LINK_DIRECTORY_CHANGES,
    LOSS_REASONS,
    LOST_BYTES_REASONS,
    METRICS,
    OTHER,
    OUTCOMES,
    Kind,
    Metric,
)


class _ExternalCounter(Collector):
    """A counter whose values are kept elsewhere."""

    def __init__(self, row: Metric, totals: Callable[[], Mapping[str, float]]) -> None:
        self._row = row
        self._totals = totals

    def collect(self) -> Iterator[CounterMetricFamily]:
        family = CounterMetricFamily(self._row.name, self._row.help, labels=self._row.labels)
        for label, value in self._totals().items():
            family.add_metric([label], value)
        yield family


class Metrics:
    """The metrics of one daemon, in a registry of their own."""

    def __init__(self) -> None:
        # No `_created` series: no query needs the creation time of a counter.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        self._counters: dict[str, Counter] = {}
        self._gauges: dict[str, Gauge] = {}
        self._histograms: dict[str, Histogram] = {}
        self._external: dict[str, _ExternalCounter] = {}
        self._before_reading: list[Callable[[], None]] = []
        # The series of counters, by name and labels.
        self._counted: dict[tuple[str, ...], Counter] = {}
        #: The labels so far of counters with a bound, and the bound.
        self._series: dict[str, tuple[set[tuple[str, ...]], int]] = {}
        for row in METRICS:
            match row.kind:
                case Kind.COUNTER:
                    self._counters[row.name] = Counter(
                        row.name, row.help, row.labels, registry=self._registry
                    )
                    if row.labels and CONFIGURED_LABELS.isdisjoint(row.labels):
                        self._series[row.name] = set(), row.most_series
                case Kind.GAUGE:
                    self._gauges[row.name] = Gauge(
                        row.name, row.help, row.labels, registry=self._registry
                    )
                case Kind.HISTOGRAM:
                    self._histograms[row.name] = Histogram(
                        row.name, row.help, row.labels, registry=self._registry, buckets=row.buckets
                    )
        self.bulk_seconds = self._histograms["shipper_bulk_request_duration_seconds"]
        # Series with alerts exist from the start, with the value 0.
        for outcome in OUTCOMES:
            self.count("shipper_events_total", 0, outcome)
        for reason in LOST_BYTES_REASONS:
            self.count("shipper_lost_bytes_total", 0, reason)
        for reason in LOSS_REASONS:
            self.count("shipper_lost_lines_total", 0, reason)
        for change in LINK_DIRECTORY_CHANGES:
            self.count("shipper_link_directory_changes_total", 0, change)

    def count(self, name: str, amount: float = 1, *labels: str) -> None:
        """Adds to a counter; beyond the bound of its series, to the one with OTHER. Raises KeyError
        for a name that is not in the table."""
        series = self._counted.get((name, *labels))
        if series is None:
            counter, bounded = self._counters[name], self._bounded(name, labels)
            series = counter.labels(*bounded) if labels else counter
            if bounded == labels:
                self._counted[name, *labels] = series
        series.inc(amount)

    def _bounded(self, name: str, labels: tuple[str, ...]) -> tuple[str, ...]:
        if name not in self._series:
            return labels
        known, most = self._series[name]
        if labels in known:
            return labels
        if len(known) >= most:
            return (*labels[:-1], OTHER)
        known.add(labels)
        return labels

    def count_loss(self, reason: str, size: int, lines: int | None) -> None:
        """Counts what the registry has recorded as lost; `lines` is None where nobody knows."""
        self.count("shipper_lost_bytes_total", size, reason)
        self.count("shipper_lost_lines_total", lines or 0, reason)

    def gauge(self, name: str, value: Callable[[], float], *labels: str) -> None:
        """Sets the function that returns the value of a gauge at each scrape."""
        gauge = self._gauges[name]
        (gauge.labels(*labels) if labels else gauge).set_function(value)

    def follow(self, name: str, totals: Callable[[], Mapping[str, float]]) -> None:
        """Sets the function that returns the values of a counter by label at each scrape, for
        values that are counted elsewhere. Raises KeyError for a name that is not in the table."""
        self._registry.unregister(self._counters.pop(name))
        (row,) = (row for row in METRICS if row.name == name)
        external = self._external[name] = _ExternalCounter(row, totals)
        self._registry.register(external)

    def before_reading(self, count: Callable[[], None]) -> None:
        """Has `count` called before values are read: it counts what happens so often that it is
        summed up elsewhere."""
        self._before_reading.append(count)

    def _sum_up(self) -> None:
        for count in self._before_reading:
            count()

    def samples(self) -> Iterator[tuple[str, Mapping[str, str], float]]:
        """Name, labels and value of all series."""
        self._sum_up()
        for family in self._registry.collect():
            for sample in family.samples:
                yield sample.name, sample.labels, sample.value

    def value(self, name: str, *labels: str) -> float:
        """The value of a counter or gauge; with fewer labels, the sum over the others. 0 for a name
        that is none."""
        self._sum_up()
        of_name = self._counters.get(name) or self._external.get(name) or self._gauges.get(name)
        return sum(
            sample.value
            for family in (of_name.collect() if of_name is not None else ())
            for sample in family.samples
            if sample.name == name and tuple(sample.labels.values())[: len(labels)] == labels
        )

    def exposition(self) -> bytes:
        """All metrics in the text format of Prometheus."""
        self._sum_up()
        return generate_latest(self._registry)
