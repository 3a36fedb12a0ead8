"""Filters on events in the real daemon: what arrives, what is counted, and what is done with."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MakeShipper
from tests.support.bulk_server import BulkServer
from tests.support.faults import PATIENCE
from tests.support.logdir import LogDirectory
from tests.support.processes import ShipperProcess

RULES = {
    "include": [{"namespace": ["", "prod-*"]}],
    "exclude": [
        {"name": "kube-system noise", "namespace": ["kube-system"], "pod": ["coredns-*"]},
        {"type": ["process_exit"], "binary": ["/usr/bin/*"]},
    ],
}
NOT_JSON = "level=info msg=started"


def event(kind: str, namespace: str, pod: str, binary: str) -> str:
    process: dict[str, object] = {"binary": binary}
    if pod:
        process["pod"] = {"namespace": namespace, "name": pod}
    time = "2026-11-24T04:32:37.123456789Z"
    return json.dumps({kind: {"process": process}, "node_name": "worker-1", "time": time})


SHIPPED = [
    event("process_exec", "prod-eu", "shop-1", "/usr/bin/curl"),
    event("process_exit", "prod-eu", "shop-1", "/shop"),
    event("process_exec", "", "", "/usr/sbin/sshd"),
    event("process_teleport", "prod-eu", "shop-1", "/shop"),
    NOT_JSON,
]
NOISE = [event("process_exec", "kube-system", f"coredns-{n}", "/coredns") for n in range(4)]
EXITS = [event("process_exit", "prod-eu", "shop-1", "/usr/bin/curl") for _ in range(3)]
OTHERS = [event("process_exec", "dev", "test-1", "/usr/bin/curl") for _ in range(2)]
FILTERED = [*NOISE, *EXITS, *OTHERS]


def append(log_directory: LogDirectory, lines: Sequence[str]) -> None:
    log_directory.append("".join(f"{line}\n" for line in lines).encode())


def filtering(log_directory: LogDirectory, rules: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration whose only input has these rules."""
    return {"inputs": [{"id": "tetragon", "paths": [log_directory.glob], "events": rules}]}


def wait_for_lines(process: ShipperProcess, count: int) -> None:
    """Return when so many lines were read by this process, and each of them is done with."""
    process.wait_until(lambda: process.status()["lines_read"] == count, f"{count} lines are read")
    process.wait_until_idle()
    assert process.metrics().uncounted_lines == 0


def by_rule(process: ShipperProcess) -> dict[str, float]:
    return process.metrics().by("shipper_events_filtered_total", "rule")


def by_rule_of(process: ShipperProcess, input_id: str) -> float:
    """How many events of an input were not shipped, by all of its rules."""
    return process.metrics().value("shipper_events_filtered_total", input=input_id)


def outcomes(process: ShipperProcess) -> dict[str, int]:
    """The outcomes that are not 0."""
    return {name: count for name, count in process.status()["events"].items() if count}


def remembered_offset(process: ShipperProcess) -> int | None:
    """What `shipper registry show` says of the only file; None if it says nothing yet."""
    command = [sys.executable, "-m", "shipper", "registry", "show", "--json", "-c"]
    done = subprocess.run(
        [*command, str(process.config_path)], capture_output=True, text=True, check=True
    )
    offsets = [int(json.loads(line)["offset"]) for line in done.stdout.splitlines()]
    return offsets[0] if offsets else None


def test_events_are_shipped_or_counted_by_the_rule_that_kept_them(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    process = shipper(filtering(log_directory, RULES))
    process.start()
    assert by_rule(process) == {"kube-system noise": 0, "exclude[1]": 0, "include": 0}
    lines = [*NOISE[:2], *SHIPPED[:3], *EXITS, *SHIPPED[3:], "", *OTHERS, *NOISE[2:]]
    append(log_directory, lines)
    wait_for_lines(process, len(lines))

    assert sorted(bulk_server.messages()) == sorted(SHIPPED)
    assert by_rule(process) == {"kube-system noise": 4, "exclude[1]": 3, "include": 2}
    assert outcomes(process) == {"delivered": len(SHIPPED), "filtered": 9, "blank": 1}
    # The documents of the others are where their lines are in the file.
    content = log_directory.log.read_bytes()
    for document in bulk_server.documents.values():
        assert content[document["log"]["offset"] :].startswith(document["message"].encode())


def test_each_input_has_rules_of_its_own(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory, tmp_path: Path
) -> None:
    other = LogDirectory(tmp_path / "other")
    append(log_directory, [*SHIPPED, *NOISE])
    append(other, [*NOISE, *EXITS])
    config = {
        "inputs": [
            {"id": "a", "paths": [log_directory.glob], "events": RULES},
            {"id": "b", "paths": [other.glob], "events": {"exclude": [{"type": ["*_exit"]}]}},
        ]
    }
    process = shipper(config)
    process.start()
    wait_for_lines(process, len(SHIPPED) + 2 * len(NOISE) + len(EXITS))
    assert sorted(bulk_server.messages()) == sorted([*SHIPPED, *NOISE])
    assert by_rule_of(process, "a") == 4
    assert by_rule_of(process, "b") == 3
    other.close()


def test_lines_that_are_not_shipped_are_done_with_while_no_host_answers(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    bulk_server.down()
    process = shipper(filtering(log_directory, RULES))
    process.start()
    append(log_directory, FILTERED)
    wait_for_lines(process, len(FILTERED))
    (file,) = process.status()["files"]
    assert file["acknowledged"] == log_directory.log.stat().st_size
    bulk_server.up()
    append(log_directory, SHIPPED[:1])
    bulk_server.wait_for(lambda: bulk_server.messages() == SHIPPED[:1])
    assert len(bulk_server.requests) == 1


@pytest.mark.parametrize("last", [SHIPPED[:1], OTHERS[:1]], ids=["shipped", "filtered"])
def test_a_restart_goes_on_behind_lines_that_were_not_shipped(
    last: list[str], shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    process = shipper(filtering(log_directory, RULES))
    process.start()
    lines = [*SHIPPED, *FILTERED, *last]
    append(log_directory, lines)
    wait_for_lines(process, len(lines))
    size = log_directory.log.stat().st_size
    process.wait_until(lambda: remembered_offset(process) == size, "the offset is in the registry")
    process.kill9()
    before = len(bulk_server.documents)

    process.start()
    append(log_directory, [*NOISE[:1], *SHIPPED[1:2]])
    wait_for_lines(process, 2)
    assert by_rule(process) == {"kube-system noise": 1, "exclude[1]": 0, "include": 0}
    assert outcomes(process) == {"delivered": 1, "filtered": 1}
    assert len(bulk_server.documents) == before + 1


def test_rules_that_are_wrong_stop_the_start_with_the_place(
    shipper: MakeShipper, log_directory: LogDirectory
) -> None:
    process = shipper(filtering(log_directory, {"exclude": [{"name": "everything"}]}))
    process.start(wait=False)
    assert process.wait(PATIENCE) == 2
    assert (
        "inputs[0].events.exclude[0]: the rule has no globs" in process.logs()[-1]["error.message"]
    )
