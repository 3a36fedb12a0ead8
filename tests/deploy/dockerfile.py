"""Reads a Dockerfile, and carries out its steps without docker.

`Dockerfile.parse` knows what our Dockerfile uses: comments, continued lines, JSON or shell form.
`Build` runs COPY and RUN of all stages in one directory that stands for the container's root. The
absolute paths in PLACES are moved below it; everything else is this machine's, so a build shows
that the steps work, not that the base image has what they need.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

PLACES = ("/opt", "/src", "/var/lib/shipper", "/usr/share/shipper", "/usr/share/filebeat")
_PLACE = re.compile(rf"(?<![\w./-])({'|'.join(PLACES)})(?=[/\s]|$)")
_STEPS = {"ARG", "FROM", "ENV", "WORKDIR", "COPY", "RUN", "LABEL", "USER", "ENTRYPOINT", "CMD"}


class DockerfileError(Exception):
    """A line is no instruction, or a step failed; with the end of what it said."""


@dataclass(frozen=True, slots=True)
class Step:
    """One instruction: its name in capitals, and the rest of it in one line."""

    name: str
    value: str

    def items(self) -> list[str]:
        """Return the items of the JSON form; raises DockerfileError for the shell form."""
        try:
            items = json.loads(self.value)
        except json.JSONDecodeError as error:
            raise DockerfileError(f"{self.name} is not in JSON form: {self.value}") from error
        return [str(item) for item in items]

    def paths(self) -> tuple[list[str], str]:
        """Return the sources and the destination of a COPY."""
        *sources, destination = [word for word in self.value.split() if not word.startswith("--")]
        return sources, destination


def parse(text: str) -> list[list[Step]]:
    """Return the stages, each with its steps; before the first FROM is a stage of its own."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    stages: list[list[Step]] = [[]]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        if not line.strip():
            continue
        name, _, value = line.partition(" ")
        if name not in _STEPS:
            raise DockerfileError(f"there is no such instruction here: {line}")
        if name == "FROM":
            stages.append([])
        stages[-1].append(Step(name, " ".join(value.split())))
    return stages


def values(stage: Sequence[Step], name: str) -> list[str]:
    """Return what all instructions of that name say."""
    return [step.value for step in stage if step.name == name]


class Build:
    """A build below `root`, of files that stand in `context`."""

    def __init__(self, context: Path, root: Path) -> None:
        self._context = context
        self._root = root
        self._directory = root

    def run(self, stages: Sequence[Sequence[Step]]) -> None:
        """Carry out all steps. Raises DockerfileError at the first that fails."""
        for stage in stages:
            for step in stage:
                if step.name == "WORKDIR":
                    self._directory = Path(self._moved(step.value))
                    self._directory.mkdir(parents=True)
                elif step.name == "COPY" and "--from=" not in step.value:
                    self._copy(*step.paths())
                elif step.name == "RUN":
                    self._shell(self._moved(step.value))

    def _moved(self, text: str) -> str:
        return _PLACE.sub(lambda found: f"{self._root}{found[1]}", text)

    def _copy(self, sources: list[str], destination: str) -> None:
        target = self._directory / self._moved(destination)
        for source in sources:
            path = self._context / source
            if path.is_dir():
                ignore = shutil.ignore_patterns("__pycache__", "target", "*.so")
                shutil.copytree(path, target, ignore=ignore, dirs_exist_ok=True)
            else:
                file = target / path.name if destination.endswith("/") else target
                file.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, file)

    def _shell(self, command: str) -> None:
        python = str(Path(sys.executable).parent)
        environ = {**os.environ, "PATH": f"{python}:{os.environ['PATH']}"}
        # Nothing of the distribution is installed: a machine without cargo makes an image without
        # the native core. What the checkout has compiled is not compiled again.
        environ["NATIVE"] = "1" if shutil.which("cargo") else "0"
        environ.setdefault("CARGO_TARGET_DIR", str(ROOT / "native" / "target"))
        # A variable of the checkout's environment would let the steps find the checkout itself.
        environ.pop("PYTHONPATH", None)
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=self._directory,
            env=environ,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        if done.returncode:
            raise DockerfileError(f"{command}\n{(done.stdout + done.stderr)[-4000:]}")
