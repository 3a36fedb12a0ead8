"""How a complete run is divided among worker processes (pytest-xdist).

Tests of one group run in one worker, one after another, so that what they share is made once: a
real server, the installed image and helm, the fixtures of a module, the list of places that have
raised. The id of a test says its group, because the process that divides them knows nothing else: a
test of a real server has the server's name among its parameters. Another end-to-end test shares
nothing; each goes to the worker that is free.
"""

from __future__ import annotations

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.servers.launcher import NAMES

DEPLOY = "tests/deploy/"
END_TO_END = "tests/e2e/"
INJECTION = "tests/e2e/test_internal_errors"
WITH_SERVERS = (END_TO_END, "tests/servers/", "tests/demo/")


def scheduler(config: pytest.Config, log: object) -> object:
    """Return what sends the tests of a group to the same worker, the largest groups first."""
    made = LoadScopeScheduling(config, log)
    # What xdist's own schedulers override: the scope of a test by its id.
    made._split_scope = group_of
    return made


def group_of(test: str) -> str:
    """Return the name of the group that a test belongs to, by its id."""
    path, _, rest = test.partition("::")
    parameters = rest.partition("[")[2].removesuffix("]").split("-")
    if path.startswith(WITH_SERVERS):
        for server in NAMES:
            if server in parameters:
                return server
    for together in (DEPLOY, INJECTION):
        if path.startswith(together):
            return together
    return test if path.startswith(END_TO_END) else path
