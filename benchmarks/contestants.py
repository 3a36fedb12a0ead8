"""Who is measured: shipper as it is run in production, and the peers where their binaries are."""

import sys
from dataclasses import dataclass
from pathlib import Path

import yaml


@dataclass(frozen=True, slots=True)
class Contestant:
    """A shipper, and how it is started."""

    name: str
    command: tuple[str, ...]


def shipper(logs: Path, url: str, state: Path, admin: str, form: str = "raw") -> Contestant:
    """Ours, with everything on: registry, ids, gzip, full documents, metrics."""
    state.mkdir(parents=True)
    config = {
        "inputs": [{"id": "tetragon", "paths": [f"{logs}/*.log"], "format": form}],
        "data_dir": str(state / "data"),
        "output": {"hosts": [url]},
        "admin": {"listen": admin},
    }
    file = state / "shipper.yml"
    file.write_text(yaml.safe_dump(config))
    name = "shipper" if form == "raw" else f"shipper, {form}"
    return Contestant(name, (sys.executable, "-m", "shipper", "run", "-c", str(file)))


def peers(directory: Path, logs: Path, url: str, state: Path) -> list[Contestant]:
    """The peers of which `directory` holds a script `run-NAME.sh GLOB URL STATE_DIRECTORY`."""
    return [
        Contestant(name, (str(script), f"{logs}/*.log", url, str(state / name)))
        for name in ("vector", "fluent-bit")
        if (script := directory / f"run-{name}.sh").exists()
    ]
