"""The table of metrics keeps Prometheus's rules, and what is exposed is what the table says."""

from __future__ import annotations

import platform
import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from shipper import __version__
from shipper.metric_table import CONFIGURED_LABELS, METRICS, OTHER, Kind, Metric
from shipper.metrics import Metrics

BY_NAME = pytest.mark.parametrize("metric", METRICS, ids=[metric.name for metric in METRICS])


@BY_NAME
def test_a_metric_has_a_name_of_the_trade(metric: Metric) -> None:
    assert re.fullmatch(r"shipper(_[a-z]+)+", metric.name)
    assert metric.name.endswith("_total") is (metric.kind is Kind.COUNTER)


@BY_NAME
def test_a_metric_is_explained_in_a_sentence(metric: Metric) -> None:
    assert len(metric.help) > 20
    assert metric.help.endswith(".")
    assert "  " not in metric.help


@BY_NAME
def test_units_are_base_units_and_in_the_name(metric: Metric) -> None:
    about_bytes = re.match(r"Bytes\b", metric.help) is not None
    assert ("_bytes" in metric.name) is about_bytes
    assert not re.search(r"milliseconds|minutes|kilobytes|_ms\b|_mb\b", metric.name)
    if metric.kind is Kind.HISTOGRAM:
        assert metric.name.endswith("_seconds")
        assert list(metric.buckets) == sorted(set(metric.buckets))


def test_no_name_is_there_twice() -> None:
    names = [metric.name for metric in METRICS]
    assert len(names) == len(set(names))


def test_labels_are_few_and_none_can_grow_without_bound() -> None:
    labels = {label for metric in METRICS for label in metric.labels}
    assert labels == {
        "input",
        "state",
        "work",
        "outcome",
        "problem",
        "change",
        "status",
        "reason",
        "rule",
        "by",
        "error",
        "processor",
        "version",
        "python",
        # `internal_errors.Where`.
        "where",
        # The kinds of errors that a cluster names; after some dozens all others are one.
        "type",
    }


def filled() -> Metrics:
    """Metrics of which each has a value."""
    metrics = Metrics()
    for row in METRICS:
        labels = [f'{label} "x"\n\\' for label in row.labels]
        match row.kind:
            case Kind.COUNTER:
                metrics.count(row.name, 3, *labels)
            case Kind.GAUGE:
                metrics.gauge(row.name, lambda: 7.0, *labels)
            case Kind.HISTOGRAM:
                metrics.bulk_seconds.observe(0.2)
    return metrics


def test_every_row_is_exposed_with_its_kind_and_help_and_nothing_else_is() -> None:
    families = list(text_string_to_metric_families(filled().exposition().decode()))
    exposed = {family.name: (family.type, family.documentation) for family in families}
    assert exposed == {
        row.name.removesuffix("_total"): (row.kind.value, row.help) for row in METRICS
    }
    for family in families:
        assert family.samples, family.name


def test_what_alerts_are_made_on_is_there_from_the_start() -> None:
    text = Metrics().exposition().decode()
    outcomes = ("delivered", "already_delivered", "dead_letter", "dropped", "filtered", "blank")
    for outcome in outcomes:
        assert f'shipper_events_total{{outcome="{outcome}"}} 0.0' in text
    for reason in ("rewritten", "line_too_long", "dead_letter_full"):
        assert f'shipper_lost_bytes_total{{reason="{reason}"}} 0.0' in text
    assert "shipper_registry_commit_failures_total 0.0" in text
    assert "_created" not in text


def test_a_value_is_that_of_its_labels_or_the_sum_over_all() -> None:
    metrics = Metrics()
    metrics.count("shipper_lines_read_total", 2, "a")
    metrics.count("shipper_lines_read_total", 3, "b")
    assert metrics.value("shipper_lines_read_total", "a") == 2
    assert metrics.value("shipper_lines_read_total") == 5
    assert metrics.value("shipper_lines_read_total", "c") == 0


def test_a_gauge_is_asked_when_it_is_scraped() -> None:
    metrics, held = Metrics(), [1]
    metrics.gauge("shipper_in_flight_bytes", lambda: held[0])
    assert metrics.value("shipper_in_flight_bytes") == 1
    held[0] = 9
    assert b"shipper_in_flight_bytes 9.0" in metrics.exposition()


def test_a_name_that_is_not_in_the_table_is_a_mistake() -> None:
    metrics = Metrics()
    with pytest.raises(KeyError):
        metrics.count("shipper_other_total")
    with pytest.raises(KeyError):
        metrics.gauge("shipper_other", lambda: 1)


def test_two_daemons_in_a_process_share_nothing() -> None:
    one, other = Metrics(), Metrics()
    one.count("shipper_bulk_bytes_total", 5)
    assert other.value("shipper_bulk_bytes_total") == 0


def test_build_information_is_in_labels() -> None:
    metrics = Metrics()
    metrics.gauge("shipper_build_info", lambda: 1, __version__, platform.python_version())
    expected = (
        f'shipper_build_info{{python="{platform.python_version()}",version="{__version__}"}} 1.0'
    )
    assert expected in metrics.exposition().decode()


def test_a_counter_that_somebody_else_keeps_is_asked_for_whenever_it_is_scraped() -> None:
    metrics, name = Metrics(), "shipper_log_messages_dropped_total"
    totals = {"queue_full": 0, "rate_limit": 2}
    metrics.follow(name, lambda: totals)
    assert metrics.value(name) == 2
    totals["queue_full"] = 3
    assert metrics.value(name, "queue_full") == 3
    assert f'{name}{{reason="queue_full"}} 3.0\n' in metrics.exposition().decode()
    with pytest.raises(KeyError):
        metrics.follow("shipper_nothing_total", lambda: totals)


def test_samples_have_names_labels_and_values() -> None:
    metrics = Metrics()
    metrics.count("shipper_events_total", 2, "blank")
    assert ("shipper_events_total", {"outcome": "blank"}, 2.0) in list(metrics.samples())


COUNTERS = [m for m in METRICS if m.kind is Kind.COUNTER and m.labels]


@pytest.mark.parametrize("metric", COUNTERS, ids=[metric.name for metric in COUNTERS])
def test_labels_of_a_counter_are_the_users_or_have_a_bound(metric: Metric) -> None:
    metrics = Metrics()
    for number in range(1000):
        metrics.count(metric.name, 1, *[f"{label}-{number}" for label in metric.labels])
    series = [found for found in metrics.samples() if found[0] == metric.name]
    assert metrics.value(metric.name) == 1000
    if CONFIGURED_LABELS.isdisjoint(metric.labels):
        assert len(series) == metric.most_series + 1
        assert OTHER in {labels[metric.labels[-1]] for _, labels, _ in series}
    else:
        assert len(series) == 1000


def test_a_label_that_is_known_stays_itself_when_the_bound_is_met() -> None:
    metrics = Metrics()
    metrics.count("shipper_retries_total", 1, "429")
    for number in range(1000):
        metrics.count("shipper_retries_total", 1, f"odd_{number}")
    metrics.count("shipper_retries_total", 1, "429")
    assert metrics.value("shipper_retries_total", "429") == 2
