"""What the privileges of Elasticsearch's security allow, as its own code has it (x-pack-core, of
the version that the tests run), and what its node was asked to do.

The code that enforces privileges is in no jar of Maven Central: a node of the tests cannot do it.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.servers import client
from tests.servers.build import build
from tests.servers.launcher import SearchServer

_TIMEOUT = 60.0

#: Of TaskManager: what is begun, with its name.
_BEGUN = re.compile(r"TaskManager - register \S+ \[[a-z_]+\] \[(\S+?)\] \[")

_LOGGER = "logger.org.elasticsearch.tasks.TaskManager"

#: What the cluster does for itself, with its own rights.
_OWN = ("internal:", "indices:admin/seq_no/", "publish_cluster_state", "cluster:monitor/health")

#: Of the parts of an action that are done where the shards are.
_PARTS = re.compile(r"\[[a-z*]+\]?$")

#: What is looked at for each document of a bulk request that is created.
CREATE = "indices:data/write/index:op_type/create"


@dataclass(frozen=True, slots=True)
class Privilege:
    """A privilege, and on what it is granted."""

    name: str
    on_cluster: bool = False


@dataclass(slots=True)
class Recorded:
    """The actions that a node carried out for others."""

    actions: set[str] = field(default_factory=set)


def allowed(privileges: Iterable[Privilege], actions: Iterable[str]) -> dict[str, set[str]]:
    """For each action the names of those privileges that allow it."""
    built = build("elasticsearch")
    asked = [(privilege, action) for action in sorted(set(actions)) for privilege in privileges]
    lines = "".join(
        f"{'cluster' if each.on_cluster else 'index'} {each.name} {action}\n"
        for each, action in asked
    )
    classpath = f"{built}/jars/*:{built}/privileges/*:{built}/classes"
    done = subprocess.run(
        ["java", "-XX:TieredStopAtLevel=1", "-cp", classpath, "Privileges"],
        input=lines,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT,
        check=True,
    )
    answers = [line for line in done.stdout.splitlines() if line in ("true", "false")]
    found: dict[str, set[str]] = {action: set() for _, action in asked}
    for (privilege, action), answer in zip(asked, answers, strict=True):
        if answer == "true":
            found[action].add(privilege.name)
    return found


@contextmanager
def recorded(server: SearchServer) -> Iterator[Recorded]:
    """The actions that somebody else asks the node for meanwhile; known afterwards."""
    log = server.directory / "server.log"
    found = Recorded()
    _log_tasks(server, "TRACE")
    position = log.stat().st_size
    try:
        yield found
        # The last one of ours marks the end, and is no one's of the test.
    finally:
        _log_tasks(server, None)
    with log.open(errors="replace") as file:
        file.seek(position)
        text = file.read()
    actions = {_PARTS.sub("", each) for each in _BEGUN.findall(text)}
    # The node's own tasks in the background have no names of actions.
    found.actions = {each for each in actions if ":" in each and not each.startswith(_OWN)}
    # That is ours, by which the log ends.
    found.actions.discard("cluster:admin/settings/update")
    if "indices:data/write/bulk" in found.actions:
        found.actions.add(CREATE)


def _log_tasks(server: SearchServer, level: str | None) -> None:
    settings = {"transient": {_LOGGER: level}}
    client.request(server.url, "PUT", "/_cluster/settings", settings).expect(200)
