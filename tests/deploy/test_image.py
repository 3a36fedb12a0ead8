"""The Dockerfile: what it promises stands in it, and its steps make a shipper that runs."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from shipper import __version__
from shipper.config.load import SEARCH_PATHS
from tests.deploy.dockerfile import Build, DockerfileError, Step, parse, values
from tests.deploy.manifests import ROOT


@pytest.fixture(scope="module")
def stages() -> list[list[Step]]:
    """What precedes the first stage, the build, and the image."""
    return parse((ROOT / "Dockerfile").read_text())


def test_both_stages_stand_on_the_same_slim_python(stages: list[list[Step]]) -> None:
    (base,) = values(stages[0], "ARG")
    assert re.fullmatch(r"BASE=python:3\.1[1-9]-slim", base)
    assert [values(stage, "FROM") for stage in stages[1:]] == [["${BASE} AS build"], ["${BASE}"]]


def test_whatever_is_downloaded_is_a_wheel_with_a_known_hash(stages: list[list[Step]]) -> None:
    steps = " && ".join(values(stages[1], "RUN"))
    commands = [part for part in steps.split("&&") if re.search(r"\b(install|wheel)\b", part)]
    # Debian's packages are signed, and crates have checksums.
    commands = [part for part in commands if "apt-get" not in part]
    assert "--locked" in (ROOT / "pyproject.toml").read_text()
    assert len(commands) == 4
    for command in commands:
        locked = "--require-hashes --only-binary :all: -r" in command
        assert locked or "--no-index --no-deps" in command, command


def test_the_image_has_nothing_of_the_build_but_the_environment(stages: list[list[Step]]) -> None:
    copied = [value for value in values(stages[2], "COPY") if "--from=" in value]
    assert copied == ["--from=build /opt/shipper /opt/shipper"]
    assert not any(re.search(r"\b(pip|apt|apt-get)\b", value) for value in values(stages[2], "RUN"))


def test_the_image_runs_shipper_as_nobody_in_group_0(stages: list[list[Step]]) -> None:
    image = stages[2]
    assert values(image, "USER") == ["65534:0"]
    assert [step.items() for step in image if step.name in {"ENTRYPOINT", "CMD"}] == [
        ["entrypoint"],
        ["run"],
    ]
    names = [step.name for step in image]
    assert names.index("USER") > max(i for i, name in enumerate(names) if name == "RUN")


def test_python_writes_nothing_and_holds_nothing_back(stages: list[list[Step]]) -> None:
    (environment,) = values(stages[2], "ENV")
    assert {"PYTHONDONTWRITEBYTECODE=1", "PYTHONUNBUFFERED=1"} <= set(environment.split())


def test_what_is_copied_is_not_ignored(stages: list[list[Step]]) -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    kept = {line.removeprefix("!") for line in lines if line.startswith("!")}
    steps = [step for stage in stages for step in stage if step.name == "COPY"]
    for step in steps:
        if "--from=" not in step.value:
            for source in step.paths()[0]:
                path = Path(source)
                assert {str(path), *map(str, path.parents)} & kept, source


def run(installed: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Return what the shipper of the image said and ended with, without an environment."""
    return subprocess.run(
        [installed / "opt/shipper/bin/shipper", *arguments],
        cwd=installed,
        env={},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_steps_install_a_shipper_that_runs(installed: Path) -> None:
    done = run(installed, "--version")
    assert (done.returncode, done.stdout) == (0, f"shipper {__version__}\n"), done.stderr


@pytest.mark.skipif(shutil.which("cargo") is None, reason="cargo is not installed")
def test_the_image_has_the_native_core(installed: Path, stages: list[list[Step]]) -> None:
    assert "import shipper._native" in " ".join(values(stages[1], "RUN"))
    found = list((installed / "opt/shipper/lib").glob("python*/site-packages/shipper/_native*.so"))
    assert [path.name for path in found] == ["_native.abi3.so"]


def test_the_image_has_no_pip_in_its_environment(installed: Path) -> None:
    found = [path.name for path in (installed / "opt/shipper").rglob("pip*")]
    assert [name for name in found if re.fullmatch(r"pip|pip[-0-9].*", name)] == []


def test_all_of_the_image_is_byte_compiled_already(installed: Path) -> None:
    packages = next((installed / "opt/shipper/lib").glob("python*/site-packages"))
    sources = list((packages / "shipper").rglob("*.py"))
    assert sources
    for source in sources:
        assert list((source.parent / "__pycache__").glob(f"{source.stem}.*.pyc")), source


def test_the_image_without_hosts_ends_with_what_to_set(installed: Path) -> None:
    config = installed / "usr/share/shipper/shipper.yml"
    done = run(installed, "run", "-c", str(config))
    assert done.returncode == 2
    assert "set ELASTICSEARCH_HOSTS" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_step_that_fails_is_shown_with_its_words(tmp_path: Path) -> None:
    with pytest.raises(DockerfileError, match="no such luck"):
        Build(tmp_path, tmp_path).run(parse("FROM base\nRUN echo no such luck; exit 3\n"))


def run_in(installed: Path, *arguments: str, path: Path | None = None) -> str:
    """What a command of the image says, without anything of this machine but its python."""
    programs = installed / "opt/shipper/bin"
    done = subprocess.run(
        [programs / arguments[0], *arguments[1:]],
        cwd=path or installed,
        env={"PATH": f"{programs}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("filebeat", "version"), f"shipper {__version__}, in place of filebeat"),
        (("entrypoint", "version"), f"shipper {__version__}, in place of filebeat"),
        (("entrypoint", "--version"), f"shipper {__version__}\n"),
        (("entrypoint", "-e", "-c", "/nowhere.yml"), "cannot be read: no such file"),
        (("entrypoint", "run", "-e", "--once"), "unknown flag `--once`"),
        (("entrypoint", "run", "-c", "/nowhere.yml"), "cannot be read: no such file"),
        (("entrypoint", "registry", "show", "-c", "/nowhere.yml"), "cannot be read: no such file"),
    ],
)
def test_the_image_takes_filebeats_arguments_and_its_own(
    installed: Path, arguments: tuple[str, ...], said: str
) -> None:
    assert said in run_in(installed, *arguments)


def test_the_image_tests_a_configuration_of_filebeat(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "filebeat.yml").write_text((ROOT / "tests/data/filebeat.yml").read_text())
    said = run_in(installed, "filebeat", "test", "config", "--path.config", str(tmp_path))
    assert said == f"{tmp_path}/filebeat.yml: Config OK\n"


def test_a_mounted_configuration_wins_over_the_images_own(stages: list[list[Step]]) -> None:
    (built_in,) = (
        step.paths()[1] for step in stages[2] if step.name == "COPY" and "shipper.yml" in step.value
    )
    assert built_in == SEARCH_PATHS[-1]
    assert SEARCH_PATHS[:-1] == ("/etc/shipper/shipper.yml", "/usr/share/filebeat/filebeat.yml")
