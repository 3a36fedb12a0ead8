"""A build is made once, by one process, again when its sources change, and fails with its log."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.servers import ServerError, build
from tests.support.programs import runs, stand_in

# Writes what the goals would, and one line for each time it is run.
MAVEN = """#!/bin/sh
echo run >> "$0.runs"
echo "asked for $*"
for argument in "$@"; do
    case $argument in -Doutput.directory=*) mkdir -p "${argument#*=}/jars" ;; esac
done
[ ! -e "$0.sleep" ] || sleep 0.5
[ ! -e "$0.fail-once" ] || { rm "$0.fail-once"; exit 1; }
[ ! -e "$0.fail" ]
"""


@pytest.fixture
def maven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program `mvn` that comes before the real one, and can be told to fail or to be slow."""
    return stand_in("mvn", MAVEN, tmp_path, monkeypatch)


def test_a_second_build_does_not_run_maven(maven: Path, tmp_path: Path) -> None:
    assert build.build("opensearch", tmp_path / "built") == tmp_path / "built"
    build.build("opensearch", tmp_path / "built")
    assert runs(maven) == 1


def test_a_build_of_other_sources_is_made_again(maven: Path, tmp_path: Path) -> None:
    build.build("opensearch", tmp_path / "built")
    (tmp_path / "built" / "stamp").write_text("of other sources")
    build.build("opensearch", tmp_path / "built")
    assert runs(maven) == 2


def test_builds_at_the_same_time_run_maven_once(maven: Path, tmp_path: Path) -> None:
    maven.with_name("mvn.sleep").touch()
    threads = [
        threading.Thread(target=build.build, args=("opensearch", tmp_path / "built"))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert runs(maven) == 1


def test_a_download_that_fails_once_is_asked_for_again(maven: Path, tmp_path: Path) -> None:
    maven.with_name("mvn.fail-once").touch()
    built = build.build("opensearch", tmp_path / "built")
    assert runs(maven) == 2
    assert "-U" in (built / "maven.log").read_text()


def test_a_build_that_fails_twice_shows_the_log_and_is_made_the_next_time(
    maven: Path, tmp_path: Path
) -> None:
    maven.with_name("mvn.fail").touch()
    with pytest.raises(ServerError, match=r"(?s)could not build opensearch.*asked for -q -B"):
        build.build("opensearch", tmp_path / "built")
    assert runs(maven) == 2

    maven.with_name("mvn.fail").unlink()
    build.build("opensearch", tmp_path / "built")
    assert runs(maven) == 3
