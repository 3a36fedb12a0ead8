"""`./dev wheels`: the sdist and the wheels, each built from the sdist.

Wheels with the native core are linked by zig against the glibc of manylinux2014, and serve CPython
from 3.11 on. The one for another architecture is cross-compiled, where Rust's standard library for
it is installed. The wheel without the core is for all other machines. What cannot be built here is
said and left out. The tools come from `requirements-wheels.lock`, by hash.
"""

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import venv
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements-wheels.lock"
CORE = "shipper/_native.abi3.so"
#: manylinux2014. It is also the oldest glibc that Rust supports.
GLIBC = (2, 17)
ARCHITECTURES = ("x86_64", "aarch64")

_BUILD = ROOT / "build" / "wheels"
_CORE_TABLE = re.compile(
    r"^\[\[tool\.setuptools-rust\.ext-modules\]\]\n(?:[^\[\n].*\n|\n)*", re.MULTILINE
)


class BuildError(Exception):
    """A step failed, or what it made is not what it should be."""


class Target(NamedTuple):
    """A machine that wheels with the native core are built for."""

    architecture: str

    @property
    def rust(self) -> str:
        return f"{self.architecture}-unknown-linux-gnu"

    @property
    def zig(self) -> str:
        return f"{self.architecture}-linux-gnu.{GLIBC[0]}.{GLIBC[1]}"

    @property
    def tag(self) -> str:
        return f"manylinux_{GLIBC[0]}_{GLIBC[1]}_{self.architecture}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev wheels", description=__doc__)
    parser.add_argument("--into", type=Path, default=ROOT / "dist", help="default: dist")
    into: Path = parser.parse_args().into.absolute()
    into.mkdir(parents=True, exist_ok=True)
    try:
        python = _environment()
        began = time.monotonic()
        # setuptools would add the files that were there at an earlier build.
        (ROOT / "shipper.egg-info" / "SOURCES.txt").unlink(missing_ok=True)
        sdist = _build(python, ROOT, "--sdist", into, os.environ)
        _report(sdist, began)
        _wheel(python, sdist, into, None)
        for architecture in ARCHITECTURES:
            target = Target(architecture)
            if reason := _missing(target):
                _say(f"NO WHEEL FOR {architecture}: {reason}")
            else:
                _check(python, _wheel(python, sdist, into, target), target)
    except BuildError as error:
        _say(str(error))
        return 1
    return 0


def without_core(pyproject: str) -> str:
    """Return a pyproject.toml without the native core. Raises BuildError if it has none."""
    changed, count = _CORE_TABLE.subn("", pyproject)
    if count != 1:
        raise BuildError("pyproject.toml does not have one table of setuptools-rust")
    return changed


def _environment() -> Path:
    """The Python of an environment with the tools, which is made when the lock has changed."""
    directory = _BUILD / "env"
    python, stamp = directory / "bin" / "python", directory / LOCK.name
    if not stamp.exists() or stamp.read_bytes() != LOCK.read_bytes():
        _say(f"making {directory.relative_to(ROOT)} from {LOCK.name}")
        venv.create(directory, clear=True, with_pip=True)
        install = ["install", "--quiet", "--disable-pip-version-check", "--no-input"]
        locked = ["--require-hashes", "--only-binary", ":all:", "-r", str(LOCK)]
        _run([str(python), "-m", "pip", *install, *locked], os.environ)
        shutil.copyfile(LOCK, stamp)
    return python


def _missing(target: Target) -> str:
    """Why the core cannot be compiled for a target; empty if it can."""
    rustc = shutil.which("rustc", path=_path())
    if rustc is None or shutil.which("cargo", path=_path()) is None:
        return "Rust is not installed"
    command = [rustc, "--print", "target-libdir", "--target", target.rust]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    if done.returncode or not list(Path(done.stdout.strip()).glob("libstd-*")):
        return f"its standard library of Rust is not installed (rustup target add {target.rust})"
    return ""


def _wheel(python: Path, sdist: Path, into: Path, target: Target | None) -> Path:
    """The wheel for a target, or without the core."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(dir=_BUILD) as directory:
        with tarfile.open(sdist) as archive:
            # Python before 3.11.4 has no filters; the archive is our own.
            archive.extraction_filter = getattr(tarfile, "data_filter", lambda member, _: member)
            archive.extractall(directory)
        (source,) = Path(directory).iterdir()
        if target is None:
            pyproject = source / "pyproject.toml"
            pyproject.write_text(without_core(pyproject.read_text()))
            wheel = _build(python, source, "--wheel", into, os.environ)
        else:
            option = f"-C--build-option=--plat-name={target.tag}"
            wheel = _build(python, source, "--wheel", into, _compiler(python, target), option)
    _report(wheel, began)
    return wheel


def _compiler(python: Path, target: Target) -> dict[str, str]:
    """The environment in which setuptools-rust compiles for a target, with zig as the linker."""
    linker = _BUILD / f"link-{target.architecture}"
    command = shlex.join([str(python), "-m", "ziglang", "cc", "-target", target.zig])
    linker.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    linker.chmod(0o755)
    # The messages of panics name the files of the crates: not where they are on this machine.
    flags = f"{os.environ.get('RUSTFLAGS', '')} --remap-path-prefix={_cargo_home()}=cargo"
    prefix = f"CARGO_TARGET_{target.rust.upper().replace('-', '_')}"
    return {
        **os.environ,
        "PATH": _path(),
        "RUSTFLAGS": flags.strip(),
        "CARGO_BUILD_TARGET": target.rust,
        "CARGO_TARGET_DIR": str(_BUILD / "target"),
        f"{prefix}_LINKER": str(linker),
        "ZIG_GLOBAL_CACHE_DIR": str(_BUILD / "zig"),
        "ZIG_LOCAL_CACHE_DIR": str(_BUILD / "zig"),
    }


def _check(python: Path, wheel: Path, target: Target) -> None:
    """Raises BuildError if a wheel has no core, or one that needs more than its tag says."""
    # The core is optional for setuptools: a failure of cargo is no error there.
    if CORE not in zipfile.ZipFile(wheel).namelist():
        wheel.unlink()
        raise BuildError(f"the native core was not compiled:\n{_log().read_text()[-4000:]}")
    said = _run([str(python), "-m", "auditwheel", "show", "--json", str(wheel)], os.environ)
    needs = str(json.loads(said)["overall_tag"])
    found = re.fullmatch(rf"manylinux_(\d+)_(\d+)_{target.architecture}", needs)
    if found is None or (int(found[1]), int(found[2])) > GLIBC:
        wheel.unlink()
        raise BuildError(f"{wheel.name}: auditwheel finds that it needs {needs}")


def _build(
    python: Path, source: Path, kind: str, into: Path, environ: Mapping[str, str], *options: str
) -> Path:
    """What `python -m build` makes of a source tree."""
    with tempfile.TemporaryDirectory(dir=into) as directory:
        command = [str(python), "-m", "build", kind, "--no-isolation", "--outdir", directory]
        _run([*command, *options, str(source)], environ)
        (made,) = Path(directory).iterdir()
        return made.replace(into / made.name)


def _run(command: list[str], environ: Mapping[str, str]) -> str:
    """Standard output of a command. Raises BuildError with the end of what it said."""
    # The checkout must not be found in place of the tools, nor in place of the unpacked sdist.
    environment = {name: value for name, value in environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False
    )
    said = done.stdout + done.stderr
    _log().write_text(said)
    if done.returncode:
        raise BuildError(f"{shlex.join(command)} failed:\n{said[-4000:]}")
    return done.stdout


def _log() -> Path:
    """What the last command said."""
    _BUILD.mkdir(parents=True, exist_ok=True)
    return _BUILD / "log"


def _path() -> str:
    """The PATH, and where rustup installs cargo."""
    return os.pathsep.join([os.environ.get("PATH", os.defpath), f"{_cargo_home()}/bin"])


def _cargo_home() -> str:
    return os.environ.get("CARGO_HOME", str(Path.home() / ".cargo"))


def _report(made: Path, began: float) -> None:
    core = ""
    if made.suffix == ".whl":
        with zipfile.ZipFile(made) as archive:
            sizes = [info.file_size for info in archive.infolist() if info.filename == CORE]
        core = f", native core {sizes[0] / 1000:.0f} kB" if sizes else ", without the native core"
    size, seconds = made.stat().st_size / 1000, time.monotonic() - began
    _say(f"{made.name}: {size:.0f} kB{core}, built in {seconds:.0f} s")


def _say(text: str) -> None:
    sys.stderr.write(f"wheels: {text}\n")


if __name__ == "__main__":
    sys.exit(main())
