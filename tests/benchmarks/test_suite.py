"""The benchmark suite: what arrives is checked, and the report says what was measured."""

import json
import xml.etree.ElementTree
from pathlib import Path

import pytest

from benchmarks import results as kept
from benchmarks.corpus import LARGE, SMALL, USUAL, distinct_lines, numbered, write_corpus
from benchmarks.plots import plots
from benchmarks.receiver import Tally
from benchmarks.report import markdown
from benchmarks.results import Quiet, Results, Soak, Spread, Steady, Throughput
from benchmarks.sink import Arrived, receiving
from benchmarks.targets import verdicts
from benchmarks.throughput import Scenario, Surroundings, measure
from benchmarks.writer import write
from shipper.demo.events import SEQUENCE


def spread(value: float) -> Spread:
    return Spread(value, value * 0.9, value * 1.1)


def row(name: str, ratio: float, *, missing: int = 0) -> Throughput:
    return Throughput(
        scenario="raw, gzip",
        name=name,
        events=300_000,
        rounds=5,
        cpu_per_event=spread(10e-6 / ratio),
        marginal_cpu_per_event=spread(9e-6 / ratio),
        start_cpu=spread(0.3),
        events_per_second=90_000,
        rss_bytes=50 * 2**20,
        peak_rss_bytes=55 * 2**20,
        wire_bytes_per_event=360,
        missing=missing,
        doubled=0,
        ratio=spread(ratio),
        marginal_ratio=spread(ratio),
    )


def results(*rows: Throughput) -> Results:
    return Results("a machine", "2026-01-01", "abc", throughput=list(rows))


class TestCorpus:
    @pytest.mark.parametrize(
        ("size", "least", "most"),
        [(USUAL, 1_500, 2_300), (SMALL, 280, 320), (LARGE, 15_900, 16_500)],
    )
    def test_events_have_about_the_size_that_is_asked_for(
        self, size: int, least: int, most: int
    ) -> None:
        lines = distinct_lines(size)
        average = sum(map(len, lines)) / len(lines)
        assert least <= average <= most
        assert all(json.loads(line) and len(SEQUENCE.findall(line)) == 1 for line in lines)

    def test_each_line_has_a_number_of_its_own(self, tmp_path: Path) -> None:
        write_corpus(tmp_path / "log", 5_000, first=3)
        numbers = SEQUENCE.findall((tmp_path / "log").read_bytes())
        assert [int(number) for number in numbers] == list(range(3, 5_003))

    def test_a_writer_writes_every_line_with_its_time(self, tmp_path: Path) -> None:
        assert write(str(tmp_path / "tetragon.log"), 5_000.0, 0.1) == 500
        lines = (tmp_path / "tetragon.log").read_bytes().splitlines()
        assert len(lines) == 500
        assert all(b" --at=" in line and json.loads(line) for line in lines)

    def test_a_log_that_rotates_keeps_five_older_ones(self, tmp_path: Path) -> None:
        write(str(tmp_path / "tetragon.log"), 20_000.0, 0.1, 200_000)
        names = sorted(path.name for path in tmp_path.iterdir())
        assert len(names) == 6
        assert "tetragon-000001.log" not in names


class TestReceiver:
    def test_missing_and_doubled_lines_are_seen(self) -> None:
        line = distinct_lines()[0]
        documents = [b'{"create":{}}\n' + numbered(line, each) + b"\n" for each in (0, 1, 3, 3)]
        tally = Tally()
        assert tally.take(b"".join(documents), 100) == 4
        arrived = Arrived(tally.events, sum(tally.seen), tally.requests, tally.wire_bytes, ())
        assert (arrived.different, arrived.doubled) == (3, 1)

    def test_a_small_run_from_the_log_to_the_table(self, tmp_path: Path) -> None:
        with receiving(tmp_path / "receiver.log") as sink:
            where = Surroundings(sink, tmp_path, tmp_path / "no-peers", lambda text: None)
            scenario = Scenario("two files", files=2)
            ours, *others = measure(scenario, where, events=600, rounds=1)
        assert {other.name for other in others} <= {"shipper, Python"}
        assert (ours.name, ours.events, ours.missing, ours.doubled) == ("shipper", 600, 0, 0)
        assert ours.cpu_per_event.median > 0
        assert ours.wire_bytes_per_event > 50


class TestReport:
    def test_a_ratio_that_is_above_its_target_is_missed(self) -> None:
        def met(ratio: float) -> bool:
            found = verdicts(results(row("shipper", 1.0), row("vector", ratio)))
            return all(each.is_met for each in found)

        assert met(0.24)
        assert met(0.26)  # A tenth is noise.
        assert not met(0.27)

    def test_what_it_costs_without_the_core_is_compared_with_vector(self) -> None:
        found = verdicts(
            results(row("shipper", 1.0), row("shipper, Python", 0.5), row("vector", 0.23))
        )
        [python] = [each for each in found if "without the native core" in each.what]
        assert (python.value, python.is_met) == (0.46, True)
        assert python.value > python.most

    def test_lines_that_are_missing_are_never_noise(self) -> None:
        found = verdicts(results(row("shipper", 1.0, missing=1)))
        assert [each.is_met for each in found if "missing" in each.what] == [False]

    def test_everything_that_was_measured_is_in_the_report(self) -> None:
        measured = results(row("shipper", 1.0), row("vector", 0.3))
        measured.absent = ["fluent-bit"]
        measured.steady = [
            Steady(rate, name, 0.02, 12.5, 50 * 2**20, (0.5, 1.0, 1.1), 0, 0)
            for rate in (0.0, 1000.0)
            for name in ("shipper", "vector")
        ]
        measured.quiet = [Quiet(1, 0.0003, 47 * 2**20, 0.4), Quiet(2_000, 0.005, 60 * 2**20)]
        measured.soak = Soak(30, 20_000, [(10.0, 50 * 2**20, 20, 5, 3)] * 3, 0.1, 0, 0)
        pictures = plots(measured)
        text = markdown(measured, pictures)
        for expected in ("Vector", "0.30 times that", "Fluent Bit", "12.5", "2.00 %", "30 minutes"):
            assert expected in text
        for picture in pictures:
            assert f"({picture.file})" in text
            xml.etree.ElementTree.fromstring(picture.svg)

    def test_results_can_be_read_again(self, tmp_path: Path) -> None:
        measured = results(row("shipper", 1.0))
        measured.save(tmp_path / "results.json")
        assert kept.load(tmp_path / "results.json") == measured
