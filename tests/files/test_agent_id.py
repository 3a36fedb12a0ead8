"""The agent id stays that of its data directory, whatever becomes of the registry."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

import pytest

from shipper.errors import RegistryError
from shipper.files import agent_id
from tests.files.test_registry import opened, record

OTHER = "0d4b2f6a-7d1c-4f6e-9a43-6f0f3c1e2a5b"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "data"


def agent_of(directory: Path) -> str:
    with opened(directory) as (registry, _):
        registry.save([record()])
        return registry.agent_id


@pytest.mark.parametrize("content", [None, b"no database" * 1000, b""])
def test_it_outlives_the_registry(directory: Path, content: bytes | None) -> None:
    before = agent_of(directory)
    for path in directory.glob("registry.db*"):
        path.unlink()
    if content is not None:
        (directory / "registry.db").write_bytes(content)
    assert agent_of(directory) == before


def test_the_registry_has_it_where_the_file_is_missing(directory: Path) -> None:
    before = agent_of(directory)
    (directory / "agent.id").unlink()
    assert agent_of(directory) == before
    assert (directory / "agent.id").read_text() == f"{before}\n"


@pytest.mark.parametrize("content", [b"", b"\xff\0", OTHER.upper().encode(), b"x" * 10**6])
def test_what_is_no_agent_id_is_replaced(directory: Path, content: bytes) -> None:
    before = agent_of(directory)
    (directory / "agent.id").write_bytes(content)
    assert agent_of(directory) == before
    assert (directory / "agent.id").read_text() == f"{before}\n"


def test_the_file_counts_and_the_registry_follows(directory: Path) -> None:
    assert agent_of(directory) != OTHER
    (directory / "agent.id").write_text(OTHER)
    assert agent_of(directory) == OTHER
    with contextlib.closing(sqlite3.connect(directory / "registry.db")) as connection:
        query = "SELECT value FROM properties WHERE name = 'agent.id'"
        assert connection.execute(query).fetchone() == (OTHER,)


def test_one_that_cannot_be_read_is_told_and_not_replaced(directory: Path) -> None:
    agent_of(directory)
    (directory / "agent.id").unlink()
    (directory / "agent.id").symlink_to(directory / "elsewhere")
    with pytest.raises(RegistryError, match="the agent id cannot be read") as caught:
        agent_of(directory)
    assert str(directory / "agent.id") in str(caught.value)


def test_one_that_cannot_be_written_is_in_the_registry_and_said(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, text: str) -> None:
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patch:
        patch.setattr(agent_id, "write", refuse)
        with opened(directory) as (registry, _):
            before = registry.agent_id
            (problem,) = registry.problems
            assert f"{directory}/agent.id" in problem
            assert "no space left on device" in problem
    assert agent_of(directory) == before


def test_what_a_kill_left_of_writing_it_is_no_obstacle(directory: Path) -> None:
    directory.mkdir()
    (directory / "agent.id.new").write_text("half")
    assert agent_of(directory) == agent_of(directory)
    assert not (directory / "agent.id.new").exists()
