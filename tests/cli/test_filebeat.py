"""Filebeat's command line: what is understood, what is refused with advice, and whose a line is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from shipper import __version__
from shipper.cli import run as run_command
from shipper.cli import shipper
from shipper.cli.filebeat import Arguments, entry, main, parse
from shipper.config.load import LoadedConfig
from shipper.errors import ConfigError
from tests.config.filebeat.samples import LEAST


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, LoadedConfig]]:
    """What the daemon is started with, instead of starting it."""
    started: list[tuple[str, LoadedConfig]] = []

    def run(read: Callable[[], tuple[str, LoadedConfig]]) -> int:
        started.append(read())
        return 0

    monkeypatch.setattr(run_command, "run", run)
    return started


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["-e"], Arguments()),
        (["run", "-e", "-v", "-d", "*"], Arguments(words=["run"])),
        (["-c", "a.yml", "-c", "b.yml"], Arguments(files=["a.yml", "b.yml"])),
        (["-ca.yml", "-Ea=b"], Arguments(files=["a.yml"], settings=["a=b"])),
        (["--c", "a.yml", "--E", "a=b=c"], Arguments(files=["a.yml"], settings=["a=b=c"])),
        (["-c=a.yml", "--E=a=b"], Arguments(files=["a.yml"], settings=["a=b"])),
        (["--path.data", "/d"], Arguments(settings=["path.data=/d"])),
        (["-path.data=/d"], Arguments(settings=["path.data=/d"])),
        (["--strict.perms=false", "-environment", "container"], Arguments()),
        (["test", "config", "-e"], Arguments(words=["test", "config"])),
    ],
)
def test_arguments_are_those_of_filebeat(given: list[str], expected: Arguments) -> None:
    assert parse(given) == expected


@pytest.mark.parametrize(
    ("given", "what", "advice"),
    [
        (["--once"], "unknown flag `--once`", "shipper runs until it is told to stop"),
        (["-M", "x"], "unknown flag `-M`", "list the files in filebeat.inputs"),
        (["--hostname", "x"], "unknown flag `--hostname`", "-E name=HOSTNAME"),
        (["--nonsense"], "unknown flag `--nonsense`", "docs/filebeat.md has all"),
        (["-c"], "the flag c has no value", ""),
    ],
)
def test_a_flag_that_is_not_there_is_refused_with_advice(
    given: list[str], what: str, advice: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        parse(given)
    assert raised.value.what == what
    assert raised.value.what_to_do.startswith(advice)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["keystore", "list"], "unknown command `keystore list`"),
        (["export", "config"], "`shipper convert FILE` prints"),
        (["setup"], "has the index template"),
        (["test", "nothing"], "unknown command `test nothing`"),
    ],
)
def test_a_command_that_is_not_there_is_exit_code_2(
    given: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(given) == 2
    assert said in capsys.readouterr().err


def test_it_runs_with_files_and_settings(
    tmp_path: Path, ran: list[tuple[str, LoadedConfig]]
) -> None:
    (tmp_path / "filebeat.yml").write_text(LEAST)
    (tmp_path / "more.yml").write_text("tags: [a]\n")
    below = ["--path.config", str(tmp_path)]
    more = ["-E", "name=node-1", "--path.data", "/data"]
    assert main(["-e", "-c", "filebeat.yml", "-c", "more.yml", *below, *more]) == 0
    ((name, reading),) = ran
    assert name == f"{tmp_path}/filebeat.yml, {tmp_path}/more.yml"
    config = reading.config
    assert (config.name, config.data_dir, config.inputs[0].tags) == ("node-1", "/data", ("a",))


def test_without_a_file_it_is_the_one_below_path_config(
    tmp_path: Path, ran: list[tuple[str, LoadedConfig]]
) -> None:
    (tmp_path / "filebeat.yml").write_text(LEAST)
    assert main(["run", f"--path.home={tmp_path}"]) == 0
    assert ran[0][1].config.data_dir == f"{tmp_path}/data"


def test_test_config_says_that_it_is_right(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "filebeat.yml"
    path.write_text(LEAST)
    assert main(["test", "config", "-c", str(path)]) == 0
    assert capsys.readouterr().out == f"{path}: Config OK\n"
    path.write_text(f"{LEAST}output.nonsense: 1\n")
    assert main(["test", "config", "-c", str(path)]) == 2
    assert "output.nonsense: unknown option" in capsys.readouterr().err


def test_version_and_help_say_whose_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version"]) == 0
    assert capsys.readouterr().out == f"shipper {__version__}, in place of filebeat\n"
    assert main(["--help"]) == 0
    assert "filebeat test config" in capsys.readouterr().out


def test_settings_are_for_filebeats_dialect(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "shipper.yml"
    path.write_text("inputs: [{id: a, paths: [/a]}]\noutput: {hosts: [http://a:1]}\n")
    assert main(["test", "config", "-c", str(path)]) == 0
    assert main(["test", "config", "-c", str(path), "-E", "name=x"]) == 2
    assert "only configurations of Filebeat can have" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["registry", "show", "-c", "/nowhere"], "cannot be read"),
        (["convert", "/nowhere"], "cannot be read"),
        (["run", "-c", "/nowhere"], "cannot be read"),
        (["-e", "-c", "/nowhere"], "cannot be read"),
        (["run", "-e", "-c", "/nowhere"], "cannot be read"),
        (["run", "-c", "/nowhere", "--once"], "unknown flag `--once`"),
        (["keystore", "list"], "unknown command"),
    ],
)
def test_the_images_entry_point_knows_both_command_lines(
    given: list[str], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert entry(given) == 2
    assert said in capfd.readouterr().err


def test_convert_prints_our_own_dialect(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "filebeat.yml"
    path.write_text(LEAST)
    assert shipper.main(["convert", str(path), "-E", "name=node-1"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"# From {path}, by `shipper convert`.\nname: node-1\ninputs:\n")
