"""The sdist and the wheels of `./dev wheels`: what they contain, what they ask of a machine, and
that they run, with the native core and without it, in every Python of this machine.

`.ci/run` builds them into the directory that SHIPPER_WHEELS names; without it they are not tested.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from shipper import __version__
from shipper.documents.native import VARIABLE, core
from tests.deploy.manifests import ROOT
from tools.wheels import ARCHITECTURES, CORE, GLIBC, BuildError, Target, without_core

MACHINES = {"x86_64": 62, "aarch64": 183}
"""Numbers of `e_machine` in an ELF header."""

SOURCES = ("LICENSE", "README.md", "MANIFEST.in", "pyproject.toml", "native", "shipper")

BODIES = """
import hashlib, random, sys
from shipper.config.inputs import OnInvalid
from shipper.demo.events import EventSource
from shipper.documents.ecs import EcsDocuments
from shipper.documents.encode import DocumentEncoder
from shipper.files.facts import Inode
from shipper.files.identity import Identity

source, hour = EventSource(random.Random(4)), 1_795_000_000_000_000_000
block = b"".join(source.line(n, hour + n) + b"\\n" for n in range(500))
for contributions in (None, EcsDocuments({})):
    encoder = DocumentEncoder(
        {}, content_ids=True, on_invalid=OnInvalid.SHIP, contributions=contributions
    )
    template = encoder.template(Identity("0" * 16), "/logs/tetragon.log", Inode(1, 2))
    encoded = encoder.encode(template, 0, block, 0.0)
    print(encoder.native.is_on and encoded.declined < 100, hashlib.sha256(encoded.body).hexdigest())
"""
"""Prints whether the core encoded 500 lines, and the digest of their body: `raw`, then `ecs`."""


def pythons() -> dict[str, Path]:
    """Every CPython from 3.11 on: this one, those of pyenv, those in the PATH; one a version."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found = {f"{sys.version_info[0]}.{sys.version_info[1]}": Path(sys.executable).resolve()}
    for directory in sorted(pyenv.glob("versions/3.*.*/bin")):
        found.setdefault(".".join(directory.parent.name.split(".")[:2]), directory / "python3")
    for minor in range(11, 20):
        program = shutil.which(f"python3.{minor}")
        # pyenv's shims fail for the versions that are not chosen.
        if program and not Path(program).is_relative_to(pyenv):
            found.setdefault(f"3.{minor}", Path(program))
    return {name: path for name, path in found.items() if int(name.split(".")[1]) >= 11}


@pytest.fixture(scope="module")
def made() -> Path:
    """The directory of the sdist and the wheels."""
    if not (directory := os.environ.get("SHIPPER_WHEELS")):
        reason = "the wheels: `./dev wheels --into DIR` builds them, SHIPPER_WHEELS=DIR"
        if os.environ.get("CI") and core({})[0] is not None:
            pytest.fail(reason)
        pytest.skip(reason)
    return Path(directory)


def wheel_for(made: Path, architecture: str) -> Path:
    """The wheel with the native core; skips where `./dev wheels` said that there is none."""
    found = list(made.glob(f"shipper-{__version__}-cp311-abi3-*_{architecture}.whl"))
    if not found:
        pytest.skip(f"no wheel for {architecture}: Rust cannot compile for it here")
    (wheel,) = found
    return wheel


def pip(python: Path, *arguments: str, path: str | None = None) -> None:
    """Run this machine's pip for another Python."""
    environ = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    environ.pop("PYTHONPATH", None)
    if path is not None:
        environ["PATH"] = path
    command = [sys.executable, "-m", "pip", "--python", str(python), *arguments]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def says(python: Path, *arguments: str, **environ: str) -> str:
    """Standard output of a Python that knows nothing of the checkout."""
    command = [str(python), *arguments]
    done = subprocess.run(
        command, env=environ, cwd="/", capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module", params=pythons())
def environment(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with the dependencies, for each Python of this machine."""
    directory = tmp_path_factory.mktemp(request.param)
    subprocess.run([pythons()[request.param], "-m", "venv", "--without-pip", directory], check=True)
    locked = ("--require-hashes", "--only-binary", ":all:", "-r", str(ROOT / "requirements.lock"))
    pip(directory / "bin" / "python", "install", "--quiet", "--no-compile", *locked)
    return directory / "bin" / "python"


def test_a_wheel_runs_in_every_python(made: Path, environment: Path) -> None:
    offline = ("install", "--quiet", "--no-compile", "--no-index", "--no-deps", "--force-reinstall")
    # What pip chooses of all that is there.
    pip(environment, *offline, "--find-links", str(made), "shipper")
    native, state = core({})
    version = says(environment, "-I", "-m", "shipper", "version")
    assert native is None or f"native core: {state}\n" in version
    bodies = [line.split() for line in says(environment, "-I", "-c", BODIES).splitlines()]
    off = {VARIABLE: "0"}
    assert "turned off by" in says(environment, "-I", "-m", "shipper", "version", **off)
    python = [line.split() for line in says(environment, "-I", "-c", BODIES, **off).splitlines()]
    assert [is_native for is_native, _ in bodies] == ["True", "True"]
    assert [is_native for is_native, _ in python] == ["False", "False"]
    assert [body for _, body in bodies] == [body for _, body in python]

    pip(environment, *offline, str(made / f"shipper-{__version__}-py3-none-any.whl"))
    assert "native core: not installed" in says(environment, "-I", "-m", "shipper", "version")
    pure = [line.split() for line in says(environment, "-I", "-c", BODIES).splitlines()]
    assert pure == python


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_wheel_asks_no_more_of_a_machine_than_its_tag_says(made: Path, architecture: str) -> None:
    wheel = wheel_for(made, architecture)
    assert wheel.name == f"shipper-{__version__}-cp311-abi3-{Target(architecture).tag}.whl"
    with zipfile.ZipFile(wheel) as archive:
        text = archive.read(f"shipper-{__version__}.dist-info/WHEEL").decode()
        library = archive.read(CORE)
    assert f"\nTag: cp311-abi3-{Target(architecture).tag}\n" in text
    assert library[:6] == b"\x7fELF\x02\x01"
    assert int.from_bytes(library[18:20], "little") == MACHINES[architecture]
    versions = re.findall(rb"GLIBC_(\d+)\.(\d+)", library)
    assert versions
    assert all((int(major), int(minor)) <= GLIBC for major, minor in versions)
    # The symbols of Python are in the process; of libraries, only those of glibc are everywhere.
    needed = set(re.findall(rb"(?<=\0)[\w.+-]+\.so[.\d]*(?=\0)", library))
    # Some versions of Rust write the library's own name into it.
    needed.discard(b"libshipper_native.so")
    assert {name.split(b".")[0].split(b"-")[0] for name in needed} <= {
        b"libc",
        b"libdl",
        b"libm",
        b"libpthread",
        b"ld",
    }
    assert str(Path.home()).encode() not in library


def test_all_wheels_have_the_same_python(made: Path) -> None:
    contents = {}
    for wheel in made.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            contents[wheel.name] = {
                info.filename: info.CRC
                for info in archive.infolist()
                if info.filename != CORE and not info.filename.endswith(("/WHEEL", "/RECORD"))
            }
    pure = contents.pop(f"shipper-{__version__}-py3-none-any.whl")
    assert "shipper/__main__.py" in pure
    assert all(content == pure for content in contents.values())


def test_the_sdist_has_what_the_repository_has(made: Path) -> None:
    top = f"shipper-{__version__}"
    with tarfile.open(made / f"{top}.tar.gz") as archive:
        names = [member.name.removeprefix(f"{top}/") for member in archive if member.isfile()]
    files = {name for name in names if not name.startswith("shipper.egg-info/")}
    assert files >= {"native/Cargo.lock", "native/src/lib.rs", "requirements-wheels.lock"}
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout")
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    git = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert files - {"PKG-INFO", "setup.cfg"} == set(git.stdout.splitlines())


@pytest.mark.parametrize("tools", ["without cargo", "without crates"])
def test_pip_install_without_the_means_to_compile_gives_a_shipper_without_the_core(
    tools: str, installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in SOURCES:
        if (ROOT / name).is_dir():
            ignore = shutil.ignore_patterns("__pycache__", "target", "*.so")
            shutil.copytree(ROOT / name, source / name, ignore=ignore)
        else:
            shutil.copy(ROOT / name, source)
    path = "/nonexistent" if tools == "without cargo" else None
    monkeypatch.setenv("CARGO_NET_OFFLINE", "true")
    monkeypatch.setenv("CARGO_HOME", str(tmp_path / "cargo"))
    build, target = installed / "opt/build/bin/python", tmp_path / "target"
    offline = ("--no-index", "--no-deps", "--no-build-isolation", "--no-compile")
    pip(build, "install", "--quiet", *offline, "--target", str(target), str(source), path=path)
    assert not list(target.rglob("_native*.so"))
    said = says(
        installed / "opt/shipper/bin/python", "-m", "shipper", "version", PYTHONPATH=str(target)
    )
    assert "native core: not installed" in said


def test_the_wheel_without_the_core_is_made_from_what_stands_in_pyproject() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    changed = without_core(text)
    assert len(changed.splitlines()) < len(text.splitlines())
    assert "ext-modules" not in changed
    assert "[tool.distutils.bdist_wheel]" in changed
    with pytest.raises(BuildError):
        without_core(changed)
