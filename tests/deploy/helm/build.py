"""Builds helm from its Go module, once, and renders charts with it.

A program is kept until go.mod or go.sum change, and is built by one process at a time: the others
wait and find it done. The first build takes a minute or two, and a network for the modules.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

from tests.servers.build import locked, run_logged, tail

MODULE = Path(__file__).parent
BUILDS = MODULE.parents[2] / "build" / "helm"
PACKAGE = "helm.sh/helm/v3/cmd/helm"


class HelmError(Exception):
    """Helm could not be built, or refused a chart. The text ends with what the program said."""


def build(build_dir: Path = BUILDS) -> Path:
    """Return the program, built now if need be.

    Raises HelmError, with the end of the compiler's log.
    """
    program = build_dir / f"helm-{_fingerprint()}"
    if not program.exists():
        build_dir.mkdir(parents=True, exist_ok=True)
        with locked(build_dir / "lock"):
            if not program.exists():
                _compile(program)
    return program


def render(program: Path, chart: Path, values: Path, *, namespace: str, home: Path) -> str:
    """Return what `helm template` makes of a chart, as YAML.

    ``home``: where helm may keep its own files. Raises HelmError with helm's words.
    """
    command = [str(program), "template", "tetragon", str(chart), "-n", namespace, "-f", str(values)]
    homes = ("HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME")
    environ = {**os.environ, **dict.fromkeys(homes, str(home))}
    done = subprocess.run(
        command, env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode:
        raise HelmError(f"helm template failed for {chart.name}:\n{done.stderr}")
    return done.stdout


def _fingerprint() -> str:
    digest = hashlib.sha256(PACKAGE.encode())
    for name in ("go.mod", "go.sum"):
        digest.update((MODULE / name).read_bytes())
    return digest.hexdigest()[:16]


def _compile(program: Path) -> None:
    partial = program.with_name("partial")
    log = program.with_name("go.log")
    # Without symbols and optimizations the build takes a third less. It renders a few charts.
    flags = ["-ldflags=-s -w", "-gcflags=all=-N -l -dwarf=false"]
    command = ["go", "build", *flags, "-o", str(partial), PACKAGE]
    if not run_logged(command, log, MODULE):
        raise HelmError(f"go could not build helm ({log}):\n{tail(log)}")
    for outdated in program.parent.glob("helm-*"):
        outdated.unlink()
    partial.rename(program)
