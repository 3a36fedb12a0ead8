"""Helm is built once, by one process, and a build that fails shows what the compiler said."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.deploy import helm
from tests.support.programs import runs, stand_in

# Writes the program that it is asked for, and one line for each time it is run.
GO = """#!/bin/sh
echo run >> "$0.runs"
echo "asked for $*"
[ ! -e "$0.sleep" ] || sleep 0.5
[ ! -e "$0.fail" ] || exit 1
while [ "$1" != -o ]; do shift; done
echo program > "$2"
"""


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program `go` that comes before the real one, and can be told to fail or to be slow."""
    return stand_in("go", GO, tmp_path, monkeypatch)


def test_a_second_build_does_not_run_the_compiler(go: Path, tmp_path: Path) -> None:
    program = helm.build(tmp_path / "built")
    assert program.read_text() == "program\n"
    assert helm.build(tmp_path / "built") == program
    assert runs(go) == 1


def test_a_new_program_takes_the_place_of_an_outdated_one(go: Path, tmp_path: Path) -> None:
    outdated = tmp_path / "built" / "helm-of-another-version"
    outdated.parent.mkdir()
    outdated.touch()
    assert helm.build(tmp_path / "built").exists()
    assert not outdated.exists()


def test_builds_at_the_same_time_run_the_compiler_once(go: Path, tmp_path: Path) -> None:
    go.with_name("go.sleep").touch()
    threads = [threading.Thread(target=helm.build, args=(tmp_path / "built",)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert runs(go) == 1


def test_a_build_that_fails_shows_the_log_and_leaves_nothing(go: Path, tmp_path: Path) -> None:
    go.with_name("go.fail").touch()
    with pytest.raises(helm.HelmError, match=r"(?s)could not build helm.*asked for build"):
        helm.build(tmp_path / "built")

    go.with_name("go.fail").unlink()
    assert helm.build(tmp_path / "built").exists()
