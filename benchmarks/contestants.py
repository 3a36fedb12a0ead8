"""The shippers that are measured: shipper as in production, and others if their binaries exist."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from shipper.demo.process import free_port

#: The filebeat.yml of Elastic's guide for Tetragon, unchanged.
_GUIDE = Path(__file__).resolve().parents[1] / "tests" / "data" / "filebeat.yml"

_FILEBEAT = "import sys; from shipper.cli.filebeat import entry; sys.exit(entry())"

#: The names of peers that a directory may have: `run-NAME.sh GLOB URL STATE_DIRECTORY`, with MODE
#: (raw or parse) and GZIP (1 or 0) in the environment.
PEERS = ("vector", "fluent-bit")


@dataclass(frozen=True, slots=True)
class Mode:
    """What is made of a line, and whether requests are compressed."""

    name: str
    #: shipper's `format`; peers parse the line's JSON where it is `ecs`.
    form: str = "raw"
    gzip: bool = True


RAW_GZIP = Mode("raw, gzip")
RAW_PLAIN = Mode("raw, not compressed", gzip=False)
ECS_GZIP = Mode("ecs against parsed JSON, gzip", form="ecs")
MODES = (RAW_GZIP, RAW_PLAIN, ECS_GZIP)


@dataclass(frozen=True, slots=True)
class Contestant:
    """A shipper, its command, and what its environment has besides ours."""

    name: str
    command: tuple[str, ...]
    environ: Mapping[str, str] = field(default_factory=dict)


def shipper(logs: Path, url: str, state: Path, mode: Mode = RAW_GZIP) -> Contestant:
    """shipper with all features: registry, ids, full documents, metrics."""
    state.mkdir(parents=True, exist_ok=True)
    config = {
        "inputs": [{"id": "tetragon", "paths": [f"{logs}/*.log"], "format": mode.form}],
        "data_dir": str(state / "data"),
        "output": {"hosts": [url], "compression": "gzip" if mode.gzip else "none"},
        "admin": {"listen": free_address()},
    }
    file = state / "shipper.yml"
    file.write_text(yaml.safe_dump(config))
    return Contestant("shipper", (sys.executable, "-m", "shipper", "run", "-c", str(file)))


def without_core(contestant: Contestant) -> Contestant:
    """The same shipper without its native core."""
    environ = {**contestant.environ, "SHIPPER_NATIVE": "0"}
    return Contestant(f"{contestant.name}, Python", contestant.command, environ)


def guide(logs: Path, url: str, state: Path) -> Contestant:
    """shipper in place of Filebeat: its command line, and the guide's file with other paths."""
    state.mkdir(parents=True, exist_ok=True)
    host, _, port = free_address().rpartition(":")
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


def peers(
    directory: Path, logs: Path, url: str, state: Path, mode: Mode = RAW_GZIP
) -> list[Contestant]:
    """Those of the PEERS that `directory` has."""
    environ = {"MODE": "parse" if mode.form == "ecs" else "raw", "GZIP": str(int(mode.gzip))}
    found = []
    for name in PEERS:
        script = directory / f"run-{name}.sh"
        if script.exists():
            (state / name).mkdir(parents=True, exist_ok=True)
            command = (str(script), f"{logs}/*.log", url, str(state / name))
            found.append(Contestant(name, command, environ))
    return found


def free_address() -> str:
    """A loopback address that nobody listens on."""
    return f"127.0.0.1:{free_port()}"
