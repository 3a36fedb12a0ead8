"""A complete run is divided so that what is expensive is made once, and no port is given twice."""

from __future__ import annotations

import pytest

from tests.servers.launcher import NAMES, PORTS, free_port, own_ports
from tests.support.workers import group_of


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


@pytest.mark.parametrize(
    ("test", "group"),
    [
        ("tests/files/test_ack.py::test_a[1-2]", "tests/files/test_ack.py"),
        ("tests/output/test_a.py::test_a[elasticsearch]", "tests/output/test_a.py"),
        ("tests/servers/test_answers.py::test_a[opensearch-plain]", "opensearch"),
        ("tests/e2e/test_real_servers.py::test_a[plain-elasticsearch]", "elasticsearch"),
        ("tests/deploy/test_pod.py::test_a", "tests/deploy/"),
        ("tests/e2e/test_kill.py::test_a", "tests/e2e/test_kill.py::test_a"),
        ("tests/e2e/test_internal_errors_files.py::test_a[1]", "tests/e2e/test_internal_errors"),
    ],
)
def test_tests_that_share_something_are_in_one_group(test: str, group: str) -> None:
    assert group_of(test) == group


def test_every_test_of_a_shared_server_says_which_in_its_id(request: pytest.FixtureRequest) -> None:
    """Else each worker would start one."""
    for item in request.session.items:
        fixtures = getattr(item, "fixturenames", ())
        for server in NAMES:
            if f"{server}_server" in fixtures:
                assert group_of(item.nodeid) == server
