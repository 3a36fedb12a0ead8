"""The driver finds what is planted: a target that cannot fail would be none."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.fuzz import __main__ as command
from tests.fuzz import guided
from tests.fuzz.driver import Report, fuzz
from tests.fuzz.table import TARGETS
from tests.fuzz.target import Choices, Target, TooSlowError, is_text


def partial(data: bytes) -> None:
    """Raises for a number of thousands of digits, and for what is not UTF-8."""
    text = data.decode()
    if text.isdigit():
        int(text)


PLANTED = Target("planted", "nothing is raised", partial, (b"12", b'{"a":"b"}'))


def test_what_breaks_a_promise_is_found_once_by_kind_and_made_short() -> None:
    report = fuzz(PLANTED, runs=3000)
    assert report.inputs == 3000
    kinds = {place.split()[0]: found for place, found in report.findings.items()}
    assert kinds.keys() == {"UnicodeDecodeError", "ValueError"}
    assert len(kinds["UnicodeDecodeError"].data) == 1
    assert kinds["UnicodeDecodeError"].count > 10
    assert kinds["ValueError"].data.isdigit()
    assert "Traceback" in kinds["ValueError"].trace


def test_an_input_that_takes_too_long_is_found() -> None:
    def slow(data: bytes) -> None:
        end = time.thread_time() + 0.02
        while b"a" in data and time.thread_time() < end:
            pass

    report = fuzz(Target("slow", "it is quick", slow, (b"a",), seconds=0.01), runs=1)
    (found,) = report.findings
    assert found.startswith(TooSlowError.__name__)


def test_a_run_may_be_bounded_in_time() -> None:
    began = time.monotonic()
    report = fuzz(Target("t", "it is none", lambda data: None, (b"a",)), seconds=0.05)
    assert report.inputs > 10
    assert time.monotonic() - began < 20


def test_what_is_found_is_kept(tmp_path: Path) -> None:
    command.keep(PLANTED, fuzz(PLANTED, runs=500), tmp_path)
    kept = {path.read_bytes() for path in (tmp_path / "planted").iterdir()}
    assert kept
    for data in kept:
        with pytest.raises(ValueError):
            PLANTED.run(data)


def test_the_command_runs_a_target_and_says_how_many_inputs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert command.main(["mounts", "--runs", "50", "--mutations"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].split()[:2] == ["mounts", "50"]
    with pytest.raises(SystemExit):
        command.main(["nothing"])


@pytest.mark.skipif(not guided.is_installed(), reason="atheris is not installed")
@pytest.mark.parametrize("name", ["mounts", "agent_id"], ids=["tokens", "no tokens"])
def test_coverage_guides_a_run_where_atheris_is(name: str) -> None:
    report = guided.fuzz(TARGETS[name], runs=2000)
    assert isinstance(report, Report)
    assert report.inputs >= 2000
    assert not report.findings


def test_choices_are_made_of_the_first_bytes() -> None:
    choices = Choices(b"\x05\x00rest")
    assert (choices.number(4), choices.flag(), choices.rest) == (1, False, b"rest")
    assert Choices(b"").one_of("ab") == "a"


def test_a_text_that_may_be_shown() -> None:
    assert is_text("a b", 3)
    assert not is_text("a\x1b", 3)
    assert not is_text("abcd", 3)
    with pytest.raises(UnicodeEncodeError):
        is_text("\ud800", 3)
