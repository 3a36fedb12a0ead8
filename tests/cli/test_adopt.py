"""`shipper registry adopt` as an operator meets it: text, JSON, exit codes, and what to do next."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from shipper.cli.shipper import main
from shipper.files import agent_id
from shipper.files.link_names import LinkOwner, link_name
from shipper.files.retention import DIRECTORY
from tests.cli.test_shipper import documented, keys_of

SOMEBODY = LinkOwner("somebody else", "theirs", "/var/lib/elsewhere")


@dataclass
class Said:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class World:
    """A configuration with two inputs, a data directory, and a directory of logs."""

    def __init__(self, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.directory = directory
        self.logs = directory / "logs"
        self.place = self.logs / DIRECTORY
        self.place.mkdir(parents=True, mode=0o700)
        self.place.chmod(0o700)
        self.data = directory / "data"
        self.data.mkdir()
        agent_id.write(self.data, agent_id.new())
        self._capsys = capsys
        self.config: dict[str, Any] = {
            "inputs": [
                {"id": "tetragon", "paths": [f"{self.logs}/*.log"]},
                {"id": "second", "paths": [f"{self.logs}/*.txt"]},
            ],
            "output": {"hosts": ["http://127.0.0.1:9"]},
            "data_dir": str(self.data),
        }

    def adopt(self, *arguments: str) -> Said:
        path = self.directory / "shipper.yml"
        path.write_text(json.dumps(self.config))
        code = main(["registry", "adopt", "-c", str(path), *arguments])
        said = self._capsys.readouterr()
        return Said(code, said.out, said.err)

    def link(self, log: str, name: str | None = None) -> Path:
        """A link of another agent that is gone."""
        path = self.logs / log
        path.write_bytes(b"one\n")
        target = self.place / (name or link_name(SOMEBODY.token, path.stat().st_ino, log))
        return path.rename(target)


@pytest.fixture
def world(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> World:
    return World(tmp_path, capsys)


def test_without_foreign_links_it_says_so(world: World) -> None:
    said = world.adopt()
    assert (said.code, said.err) == (0, "")
    assert said.out == "All links belong to an input, or to a shipper that runs.\n"


def test_the_list_has_each_link_with_the_reason_and_the_next_step(world: World) -> None:
    other = world.link("a.out")
    world.link("b.log")
    said = world.adopt()
    assert (said.code, said.err) == (0, "")
    head, *lines, empty, total = said.out.splitlines()
    assert head.split() == ["SINCE", "BYTES", "INODE", "OWNER", "INPUT", "REASON", "LINK"]
    [line] = [line for line in lines if str(other) in line]
    since, size, inode, owner, inputs, *reason, path = line.split()
    assert since.endswith("Z")
    assert (size, inode, owner) == ("4", str(other.stat().st_ino), SOMEBODY.token)
    assert (inputs, " ".join(reason), path) == ("-", "no input's globs match", str(other))
    assert any("tetragon" in line and "adopted at the next start" in line for line in lines)
    assert empty == ""
    assert total.startswith("Total: 2 links, 8 bytes. Adopt one with `shipper registry adopt LINK`")
    assert other.exists()


def test_a_name_that_moves_the_cursor_is_printed_escaped_and_adopted_by_its_inode(
    world: World,
) -> None:
    path = world.link("a.out", "x\x1b[2J\n\udce9")
    said = world.adopt()
    assert "x\\x1b[2J\\n\\udce9" in said.out
    assert world.adopt("--json").json["links"][0]["path"].endswith("x\x1b[2J\n\ufffd")
    said = world.adopt(str(path.stat().st_ino), "--input", "tetragon")
    assert said.code == 0
    assert "adopted by input tetragon" in said.out
    assert not path.exists()


def test_all_are_adopted_that_can_be_and_the_others_are_told(world: World) -> None:
    left = world.link("a.out")
    world.link("b.log")
    world.link("c.txt")
    dry = world.adopt("--all", "--dry-run")
    assert dry.code == 1
    assert "2 links would be adopted, 1 not\n" in dry.out
    assert len(list(world.place.iterdir())) == 3
    said = world.adopt("--all")
    assert said.code == 1
    assert f"{left}: not adopted: no input's globs match {world.logs}/a.out\n" in said.out
    assert "  -> say with --input which input gets it: tetragon, second\n" in said.out
    assert said.out.endswith("2 links adopted, 1 not\n")
    assert left.exists()
    said = world.adopt(str(left), "--input", "second")
    assert (said.code, said.out.splitlines()[-1]) == (0, "1 link adopted")
    assert world.adopt("--json").json["links"] == []


def test_a_link_may_be_named_from_where_one_stands_or_by_a_symbolic_link(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    (world.directory / "way").symlink_to(world.logs)
    first, second = world.link("a.log"), world.link("b.log")
    monkeypatch.chdir(world.place)
    said = world.adopt(first.name, f"{world.directory}/way/{DIRECTORY}/{second.name}", first.name)
    assert (said.code, said.out.splitlines()[-1]) == (0, "2 links adopted")


def test_as_json_it_is_one_object_with_the_keys_that_are_documented(world: World) -> None:
    world.link("a.out")
    said = world.adopt("--json")
    assert (said.code, said.err) == (0, "")
    assert keys_of(said.json) == documented("registry adopt") - {"OK", "FAILED"}
    assert (said.json["status"], said.json["dry_run"], said.json["running"]) == ("OK", True, 0)
    said = world.adopt("--json", "--all")
    assert (said.code, said.json["status"], said.json["dry_run"]) == (1, "FAILED", False)
    [link] = said.json["links"]
    assert (link["adopted_by"], link["reason"]) == ("", "no_input")
    assert "--input" in link["what_to_do"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--all", "x"), 2, "exclude each other"),
        (("--all", "--input", "third"), 2, "one of: tetragon, second"),
        (("123456789",), 1, "for the list"),
        ((f"/nowhere/{DIRECTORY}/x",), 1, "give an input a glob for /nowhere"),
    ],
)
def test_what_cannot_be_meant_is_an_error_with_the_next_step(
    world: World, arguments: tuple[str, ...], code: int, words: str
) -> None:
    path = world.link("a.log")
    said = world.adopt(*arguments)
    assert (said.code, said.out) == (code, "")
    assert words in said.err
    said = world.adopt(*arguments, "--json")
    assert said.code == code
    assert words in said.out
    assert path.exists()


def test_a_link_of_an_input_is_not_named_by_mistake(world: World) -> None:
    agent = agent_id.read(world.data)
    assert agent is not None
    path = world.link("a.log")
    ours = LinkOwner(agent, "tetragon", str(world.data))
    name = link_name(ours.token, path.stat().st_ino, "a.log")
    path = path.rename(path.with_name(name))
    said = world.adopt(str(path))
    assert said.code == 1
    assert "an input of this configuration has it" in said.err


def test_without_an_agent_id_it_says_to_start_shipper_first(world: World) -> None:
    (world.data / "agent.id").unlink()
    said = world.adopt()
    assert said.code == 1
    assert "start shipper once" in said.err


def test_without_retention_links_are_not_looked_at(world: World) -> None:
    world.config["retention"] = {"enabled": False}
    said = world.adopt()
    assert said.code == 2
    assert "retention.enabled is false" in said.err


def test_a_directory_that_cannot_be_read_is_told_and_is_exit_code_1(world: World) -> None:
    world.link("a.log")
    world.place.rename(world.directory / "elsewhere")
    os.symlink(world.directory / "elsewhere", world.place)
    said = world.adopt()
    assert said.code == 1
    assert str(world.place) in said.err
    assert world.adopt("--json").json["warnings"] != []
