"""The two ways of the encoder: with the native core, and without it.

A module whose tests run both ways says `pytestmark = pytest.mark.usefixtures("way")`.
"""

from __future__ import annotations

import os
import shutil

import pytest

from shipper.documents.native import VARIABLE, core


@pytest.fixture(params=["native", "python"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Has every encoder that a test makes go one way; the test runs for each of them."""
    name: str = request.param
    monkeypatch.setenv(VARIABLE, "1" if name == "native" else "0")
    if name == "native":
        need_core()
    return name


def need_core() -> None:
    """Skip the test without the native core; fail it where CI could have built it."""
    native, state = core({})
    if native is None:
        if os.environ.get("CI") and shutil.which("cargo"):
            pytest.fail(f"the native core: {state}")
        pytest.skip(f"the native core: {state}; `./dev native` builds it")
