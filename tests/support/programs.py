"""Programs that stand in for real ones: scripts that come first in the PATH."""

from __future__ import annotations

from pathlib import Path

import pytest


def stand_in(name: str, script: str, directory: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have this script run wherever a program of that name is asked for; return its file."""
    program = directory / "bin" / name
    program.parent.mkdir()
    program.write_text(script)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    return program


def runs(program: Path) -> int:
    """Return how often it was run: a script writes a line to PROGRAM.runs each time."""
    record = program.with_name(f"{program.name}.runs")
    return len(record.read_text().splitlines()) if record.exists() else 0
