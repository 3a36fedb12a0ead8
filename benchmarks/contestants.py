"""The shippers that are measured: shipper as in production, and others if their binaries exist."""

import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

#: The filebeat.yml of Elastic's guide for Tetragon, unchanged.
_GUIDE = Path(__file__).resolve().parents[1] / "tests" / "data" / "filebeat.yml"

_FILEBEAT = "import sys; from shipper.cli.filebeat import entry; sys.exit(entry())"


@dataclass(frozen=True, slots=True)
class Contestant:
    """A shipper and its command."""

    name: str
    command: tuple[str, ...]


def shipper(
    logs: Path, url: str, state: Path, admin: str, form: str = "raw", *, gzip: bool = True
) -> Contestant:
    """shipper with all features: registry, ids, gzip, full documents, metrics."""
    state.mkdir(parents=True)
    config = {
        "inputs": [{"id": "tetragon", "paths": [f"{logs}/*.log"], "format": form}],
        "data_dir": str(state / "data"),
        "output": {"hosts": [url], "compression": "gzip" if gzip else "none"},
        "admin": {"listen": admin},
    }
    file = state / "shipper.yml"
    file.write_text(yaml.safe_dump(config))
    parts = ["shipper", *([form] if form != "raw" else []), *([] if gzip else ["plain"])]
    name = ", ".join(parts)
    return Contestant(name, (sys.executable, "-m", "shipper", "run", "-c", str(file)))


def without_core(contestant: Contestant) -> Contestant:
    """The same shipper without its native core."""
    command = ("env", "SHIPPER_NATIVE=0", *contestant.command)
    return Contestant(f"{contestant.name}, Python", command)


def guide(logs: Path, url: str, state: Path, admin: str) -> Contestant:
    """shipper in place of Filebeat: its command line, and the guide's file with other paths."""
    state.mkdir(parents=True)
    host, _, port = admin.rpartition(":")
    settings = (
        f"filebeat.inputs.0.paths=[{logs}/*.log]",
        f"path.data={state / 'data'}",
        f"output.elasticsearch.hosts=[{url}]",
        "http.enabled=true",
        f"http.host={host}",
        f"http.port={port}",
    )
    arguments = [part for setting in settings for part in ("-E", setting)]
    command = (sys.executable, "-c", _FILEBEAT, "-e", "-c", str(_GUIDE), *arguments)
    return Contestant("shipper, guide", command)


def peers(directory: Path, logs: Path, url: str, state: Path) -> list[Contestant]:
    """Other shippers: those with a script `run-NAME.sh GLOB URL STATE_DIRECTORY` in `directory`."""
    return [
        Contestant(name, (str(script), f"{logs}/*.log", url, str(state / name)))
        for name in ("vector", "fluent-bit")
        if (script := directory / f"run-{name}.sh").exists()
    ]
