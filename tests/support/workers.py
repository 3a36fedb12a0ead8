"""How a complete run is divided among worker processes (pytest-xdist, ``--dist loadgroup``).

Tests of one group run in one worker, one after another, so that what they share is made once: a
real server with its build, the installed image and helm, the fixtures of a module. An end-to-end
test shares nothing; each goes to the worker that is free.
"""

from __future__ import annotations

import pytest

from tests.servers.launcher import NAMES

DEPLOY = "tests/deploy/"
END_TO_END = "tests/e2e/"


def add_groups(items: list[pytest.Item]) -> None:
    """Mark each test with its group. Without xdist the marks have no effect."""
    for item in items:
        if name := group_of(item):
            item.add_marker(pytest.mark.xdist_group(name))


def group_of(item: pytest.Item) -> str | None:
    """Return the name of the group that a test belongs to; None when it may run in any worker."""
    parameters = getattr(item, "callspec", None)
    values = [] if parameters is None else list(parameters.params.values())
    fixtures = getattr(item, "fixturenames", ())
    for server in NAMES:
        if server in values or f"{server}_server" in fixtures:
            return server
    path = item.nodeid.partition("::")[0]
    if path.startswith(DEPLOY):
        return "deploy"
    return None if path.startswith(END_TO_END) else path
