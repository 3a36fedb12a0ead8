"""Gets a server's jars: Maven copies them and compiles the small main class beside the pom.

A build is kept until the pom, a source or the goals change, and is made by one process at a time:
the others wait and find it done.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SOURCES = Path(__file__).parent
BUILDS = SOURCES.parents[1] / "build" / "servers"
TIMEOUT = 600.0
"""Seconds that Maven may take, with an empty local repository and a slow line."""


class ServerError(Exception):
    """A server could not be built or started. The text ends with the tail of its output."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """How one kind of server is built."""

    name: str
    goals: tuple[str, ...]
    module_descriptor: str | None = None
    """Where plugin-descriptor.properties goes, from the build directory on."""


COPY = "dependency:copy-dependencies"
DISTRIBUTIONS = {
    "elasticsearch": Distribution(
        "elasticsearch",
        ("compiler:compile", f"{COPY}@jars", f"{COPY}@privileges", f"{COPY}@transport"),
        module_descriptor="home/modules/transport-netty4/plugin-descriptor.properties",
    ),
    "opensearch": Distribution("opensearch", ("compiler:compile", f"{COPY}@jars")),
}


def build(name: str, build_dir: Path | None = None) -> Path:
    """Return the directory with the jars and classes of the server, made now if need be.

    ``build_dir`` is ``build/servers/<name>`` below the repository's root when not given.
    Raises ServerError, with the end of Maven's log, when Maven fails twice.
    """
    distribution = DISTRIBUTIONS[name]
    # Maven would take a relative path from the pom's directory.
    target = (build_dir or BUILDS / name).resolve()
    wanted = _fingerprint(distribution)
    if _stamp(target) != wanted:
        target.mkdir(parents=True, exist_ok=True)
        with locked(target / "lock"):
            if _stamp(target) != wanted:
                _run_maven(distribution, target)
                (target / "stamp").write_text(wanted)
    return target


def _fingerprint(distribution: Distribution) -> str:
    digest = hashlib.sha256("\n".join(distribution.goals).encode())
    for source in sorted((SOURCES / distribution.name).iterdir()):
        if source.is_file():
            digest.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    return digest.hexdigest()


def _stamp(target: Path) -> str | None:
    try:
        return (target / "stamp").read_text()
    except FileNotFoundError:
        return None


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of that name: of all processes one at a time."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _run_maven(distribution: Distribution, target: Path) -> None:
    (target / "stamp").unlink(missing_ok=True)
    for leftover in ("jars", "classes", "home", "privileges"):
        shutil.rmtree(target / leftover, ignore_errors=True)
    source = SOURCES / distribution.name
    command = ["mvn", "-q", "-B", "-f", str(source / "pom.xml"), f"-Doutput.directory={target}"]
    log = target / "maven.log"
    # The second run asks again for what the first one could not download: Maven remembers that.
    if not (
        run_logged([*command, *distribution.goals], log)
        or run_logged([*command, "-U", *distribution.goals], log)
    ):
        raise ServerError(f"Maven could not build {distribution.name} ({log}):\n{tail(log)}")
    if distribution.module_descriptor is not None:
        shutil.copy(
            source / "plugin-descriptor.properties", target / distribution.module_descriptor
        )


def run_logged(command: list[str], log: Path, directory: Path | None = None) -> bool:
    """Run a program whose output goes to ``log``; return whether it ended well within TIMEOUT.

    Raises ServerError when it is not installed.
    """
    with log.open("wb") as output:
        try:
            return (
                subprocess.run(
                    command,
                    cwd=directory,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    timeout=TIMEOUT,
                    check=False,
                ).returncode
                == 0
            )
        except subprocess.TimeoutExpired:
            output.write(f"stopped after {TIMEOUT:.0f} s\n".encode())
            return False
        except FileNotFoundError as error:
            raise ServerError(f"{command[0]} is not installed") from error


def tail(log: Path, lines: int = 40) -> str:
    """Return the last lines of a log file, or a note that it is empty or absent."""
    try:
        text = log.read_text(errors="replace")
    except FileNotFoundError:
        text = ""
    return "\n".join(text.splitlines()[-lines:]) or "(no output)"
