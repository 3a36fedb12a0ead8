"""What is left of a scenario, as text: what arrived, what is remembered, what was counted.

What differs from run to run has a fixed name: the directory, ports, the version, and the random ids
of the data directory and of each process.
"""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path

from tests.golden import world
from tests.golden.changed import row_line
from tests.golden.scenarios import Scenario
from tests.golden.stage import Stage
from tests.golden.surroundings import Arrival, RecordingServer

FILES = "files.txt"
METRICS = "metrics.txt"
REGISTRY = "registry.txt"
REQUESTS = "requests.ndjson"

#: How much that is depends on how well the library of this machine compresses.
_ROUGH = ("shipper_bulk_bytes_total", "shipper_in_flight_bytes")

#: Of the directory of a scenario: what holds its name has the same size everywhere.
_ROOT_LENGTH = 200

_HEADERS = ("content-type", "content-encoding", "authorization", "user-agent", "x-team")

_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_EPHEMERAL = re.compile(rf'"ephemeral_id":"({_UUID})"')
# What tells the links of one agent and input from others' is made of the agent id.
_OWNER = re.compile(r"(?<=\.shipper/)[0-9a-f]{16}-")
_PYTHON = re.compile(r'python="[^"]*"')


def play(scenario: Scenario, root: Path) -> dict[str, str]:
    """Return what is left of a scenario that is played below an empty directory, by file name."""
    missing = _ROOT_LENGTH - len(str(root)) - 1
    assert missing > 0, f"{root} is too long a name"
    root = root / ("-" * missing)
    root.mkdir()
    with RecordingServer() as server:
        stage = Stage(root, server)
        try:
            asyncio.run(scenario.play(stage))
            return _results(stage, ordered=scenario.ordered)
        finally:
            stage.files.release()


def _results(stage: Stage, *, ordered: bool) -> dict[str, str]:
    letters = sorted(stage.data.glob("dead-letter.ndjson*"))
    found = {
        REQUESTS: _requests(stage.server.arrivals, ordered=ordered),
        REGISTRY: _registry(stage.data / "registry.db"),
        METRICS: "".join(_metrics(stage)),
        FILES: "".join(_files(stage)),
        "dead-letters.ndjson": "".join(path.read_text("utf-8") for path in letters),
        "output.ndjson": "".join(_output(stage.root / "output")),
    }
    fixed = _Fixed(stage, found[REGISTRY], found[REQUESTS] + found["output.ndjson"])
    return {name: fixed.text(text) for name, text in found.items() if text}


class _Fixed:
    """Puts fixed names in the place of what differs from run to run."""

    def __init__(self, stage: Stage, registry: str, documents: str) -> None:
        agent = re.search(_UUID, registry)
        lives = list(dict.fromkeys(_EPHEMERAL.findall(documents)))
        self._names = {
            str(stage.root): "/ROOT",
            f"127.0.0.1:{stage.server.port}": "SERVER",
            f"127.0.0.1:{stage.port}": "ADMIN",
            f'"version":"{world.VERSION}"': '"version":"VERSION"',
            f'version="{world.VERSION}"': 'version="VERSION"',
            f"shipper/{world.VERSION}": "shipper/VERSION",
            **({agent[0]: "AGENT"} if agent else {}),
            **{life: f"LIFE-{number}" for number, life in enumerate(lives, 1)},
        }

    def text(self, text: str) -> str:
        for name, fixed in self._names.items():
            text = text.replace(name, fixed)
        return _PYTHON.sub('python="PYTHON"', text)


def _requests(arrivals: Iterable[Arrival], *, ordered: bool) -> str:
    """The bodies as they came, each below a line that says how; or what was in them, by id."""
    if ordered:
        return "".join(f"{_heading(each)}\n{each.body.decode()}" for each in arrivals)
    pairs = []
    for each in arrivals:
        lines = each.body.decode().splitlines(keepends=True)
        pairs += [
            action + document for action, document in zip(lines[::2], lines[1::2], strict=True)
        ]
    return "".join(sorted(pairs))


def _heading(arrival: Arrival) -> str:
    request = arrival.request
    headers = {name: request.headers[name] for name in _HEADERS if name in request.headers}
    query = {name: request.query[name] for name in sorted(request.query)}
    said = json.dumps({"query": query, "headers": headers, "status": request.status})
    return f"# {request.method} {request.path} {said}"


def _registry(path: Path) -> str:
    """All rows of all tables, and the version of the schema."""
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        lines = [row_line("user_version", {"value": version})]
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        for (table,) in sorted(map(tuple, tables)):
            rows = [dict(row) for row in connection.execute(f'SELECT * FROM "{table}" ORDER BY 1')]
            lines += [row_line(table, row) for row in rows]
    return "".join(f"{line}\n" for line in lines)


def _metrics(stage: Stage) -> Iterable[str]:
    """All samples at the first moment, and then what differs from the moment before."""
    before: dict[str, str] = {}
    for moment in stage.moments:
        if not moment.metrics:
            continue
        yield f"# {moment.label}\n"
        rows = [row for row in moment.metrics.splitlines() if not row.startswith("#")]
        now = dict(_rough(*row.rsplit(" ", 1)) for row in rows)
        yield from (f"{name} {value}\n" for name, value in now.items() if before.get(name) != value)
        yield from (f"{name} gone\n" for name in before if name not in now)
        before = now


def _rough(name: str, value: str) -> tuple[str, str]:
    return name, "some" if name in _ROUGH and float(value) else value


def _files(stage: Stage) -> Iterable[str]:
    # SQLite has two more files while a registry is open, whose coming and going is its own affair.
    for moment in stage.moments:
        yield f"# {moment.label}\n"
        names = (_OWNER.sub("OWNER-", name) for name in moment.files)
        yield from (f"{name}\n" for name in sorted(names) if not name.endswith(("-wal", "-shm")))


def _output(directory: Path) -> Iterable[str]:
    for path in sorted(directory.glob("*")):
        yield f"# {path.name}\n"
        yield path.read_text("utf-8")


def read(directory: Path) -> Mapping[str, str]:
    """Return what was recorded in a directory, by file name."""
    return {path.name: path.read_text("utf-8") for path in sorted(directory.iterdir())}
