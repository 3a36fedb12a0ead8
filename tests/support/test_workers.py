"""A complete run is divided so that what is expensive is made once, and no port is given twice."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.launcher import PORTS, free_port, own_ports

ROOT = Path(__file__).parents[2]


def test_workers_have_no_port_in_common(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", "2")
    shares = []
    for worker in ("gw0", "gw1"):
        monkeypatch.setenv("PYTEST_XDIST_WORKER", worker)
        shares.append(set(own_ports()))
        assert free_port() in shares[-1]
    assert not shares[0] & shares[1]
    assert shares[0] | shares[1] == set(PORTS)


def test_without_workers_every_port_may_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    monkeypatch.delenv("PYTEST_XDIST_WORKER_COUNT", raising=False)
    assert own_ports() == PORTS


def test_tests_that_share_a_server_or_a_module_are_in_one_group(tmp_path: Path) -> None:
    # xdist shows the group behind the test's id; the tests themselves are not run.
    (tmp_path / "groups.py").write_text(
        "import pytest\n"
        "def pytest_collection_finish(session):\n"
        "    for item in session.items:\n"
        "        groups = [mark.args[0] for mark in item.iter_markers('xdist_group')]\n"
        "        print(item.nodeid, *groups)\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "groups", "--collect-only", "-s"]
    command += ["tests/servers/test_answers.py", "tests/servers/test_launcher.py"]
    command += ["tests/e2e/test_kill.py", "tests/deploy/test_pod.py", "tests/files/test_ack.py"]
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    output = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    groups: dict[str, set[str]] = {}
    for line in output.splitlines():
        test, _, group = line.rpartition(" ")
        if "::" in test:
            groups.setdefault(group, set()).add(test)
    servers = groups["elasticsearch"] | groups["opensearch"]
    assert "tests/servers/test_launcher.py::test_a_node_says_its_version[elasticsearch]" in servers
    assert all("[opensearch" not in test for test in groups["elasticsearch"])
    assert all("[elasticsearch" not in test for test in groups["opensearch"])
    assert all(test.startswith("tests/deploy/") for test in groups["deploy"])
    assert all(
        test.startswith("tests/files/test_ack.py") for test in groups["tests/files/test_ack.py"]
    )
    assert not any("test_kill" in test for tests in groups.values() for test in tests)
