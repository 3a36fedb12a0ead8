"""Filebeat's registry as it may be found: after any operations, cut or damaged anywhere."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import pytest

from shipper.errors import RegistryError
from shipper.filebeat_registry.store import Store, find_store, read_store
from tests.support.filebeat import IDS, FilebeatRegistry, snapshot, value

KEYS = [f"filestream::tetragon::native::{inode}-64769" for inode in range(8)]


def held(offset: float) -> dict[str, Any]:
    return value("/logs/tetragon.log", offset, updated=1_764_000_000_123_456_789)


@pytest.fixture
def registry(tmp_path: Path) -> FilebeatRegistry:
    return FilebeatRegistry(tmp_path / "filebeat")


def sound(registry: FilebeatRegistry) -> Store:
    """What is read of a registry of which nothing is wrong."""
    store = read_store(registry.directory)
    assert store.problems == []
    assert store.values == registry.state
    return store


def test_a_log_alone(registry: FilebeatRegistry) -> None:
    registry.set(KEYS[0], held(100))
    registry.set(KEYS[1], held(7))
    registry.set(KEYS[0], held(200))
    store = sound(registry)
    assert store.values[KEYS[0]]["cursor"] == {"offset": 200}
    assert store.read == ["log.json: 3 operations"]
    assert store.written == registry.log.stat().st_mtime_ns


def test_a_new_registry_is_empty_and_sound(registry: FilebeatRegistry) -> None:
    assert sound(registry).read == ["log.json: 0 operations"]


def test_a_checkpoint_and_the_log_after_it(registry: FilebeatRegistry) -> None:
    registry.set(KEYS[0], held(100))
    registry.set(KEYS[1], held(100))
    registry.checkpoint()
    registry.set(KEYS[0], held(200))
    assert sound(registry).read == ["3.json: 2 keys", "log.json: 1 operations"]


def test_a_checkpoint_without_a_log(registry: FilebeatRegistry) -> None:
    registry.set(KEYS[0], held(100))
    registry.checkpoint()
    registry.log.unlink()
    sound(registry)


def test_several_generations_of_operations_after_checkpoints(registry: FilebeatRegistry) -> None:
    for generation in range(4):
        for key in KEYS[generation : generation + 3]:
            registry.set(key, held(100 * generation))
        registry.remove(KEYS[generation])
        registry.checkpoint()
    registry.set(KEYS[7], held(1))
    sound(registry)


def test_keys_that_were_removed_are_gone(registry: FilebeatRegistry) -> None:
    registry.set(KEYS[0], held(100))
    registry.checkpoint()
    registry.remove(KEYS[0])
    registry.remove(KEYS[1])
    assert sound(registry).values == {}


def test_operations_from_before_the_checkpoint_are_left_out(registry: FilebeatRegistry) -> None:
    registry.set(KEYS[0], held(100))
    registry.remove(KEYS[0])
    registry.set(KEYS[1], held(1))
    registry.checkpoint(cut_log=False)
    registry.set(KEYS[1], held(2))
    assert sound(registry).read[1] == "log.json: 1 operations"


def test_the_newest_of_several_checkpoints_counts(registry: FilebeatRegistry) -> None:
    registry.set(KEYS[0], held(9))
    for offset in range(10, 13):
        registry.set(KEYS[0], held(offset))
        registry.checkpoint(delete_old=False)
    # By number, not by name: 8.json is after 10.json there.
    assert sorted(path.name for path in registry.checkpoints) == ["3.json", "5.json", "7.json"]
    registry.set(KEYS[0], held(13))
    registry.set(KEYS[0], held(14))
    registry.checkpoint(delete_old=False)
    assert registry.checkpoints[-1].name == "10.json"
    sound(registry)


def test_numbers_wrap_at_two_to_the_sixty_fourth(tmp_path: Path) -> None:
    registry = FilebeatRegistry(tmp_path / "filebeat", number=IDS - 4)
    registry.set(KEYS[0], held(1))
    registry.checkpoint(delete_old=False)
    for offset in range(2, 6):
        registry.set(KEYS[0], held(offset))
    assert registry.number == 2
    assert sound(registry).values[KEYS[0]]["cursor"] == {"offset": 5}
    registry.checkpoint(delete_old=False)
    registry.set(KEYS[0], held(6))
    assert [path.name for path in registry.checkpoints] == [f"{IDS - 2}.json", "3.json"]
    sound(registry)


def test_numbers_may_be_written_as_floats(registry: FilebeatRegistry) -> None:
    lines = ['{"op":"set","id":1.0}', '{"k":"a","v":{"cursor":{"offset":1.1e+06}}}']
    registry.log.write_text("\n".join(lines) + "\n")
    store = read_store(registry.directory)
    assert store.problems == []
    assert store.values == {"a": {"cursor": {"offset": 1_100_000.0}}}


def test_capital_names_and_paths_that_are_no_utf_8(registry: FilebeatRegistry) -> None:
    registry.log.write_bytes(b'{"op":"set","id":1}\n{"K":"a\xff","V":{"ttl":-1}}\n')
    assert read_store(registry.directory).values == {"a�": {"ttl": -1}}


def test_leftovers_are_not_read(registry: FilebeatRegistry) -> None:
    registry.set(KEYS[0], held(100))
    registry.checkpoint()
    registry.set(KEYS[0], held(200))
    for name in (
        "active.dat",
        "active.dat.new",
        "checkpoint.new",
        "99.json.corrupted",
        "099.json",
        "-99.json",
        "99.5.json",
        f"{IDS}.json",
        "9" * 100 + ".json",
        "meta.json.tmp-1",
    ):
        (registry.directory / name).write_text("[nonsense")
    (registry.directory / "98.json").mkdir()
    sound(registry)


def test_a_fifo_in_place_of_the_log_stops_nobody(registry: FilebeatRegistry) -> None:
    registry.log.unlink()
    os.mkfifo(registry.log)
    assert read_store(registry.directory).problems == ["log.json is missing"]


# What is not sound.


def test_after_a_gap_nothing_more_is_read(registry: FilebeatRegistry) -> None:
    registry.set(KEYS[0], held(100))
    before = dict(registry.state)
    registry.number += 1
    registry.set(KEYS[0], held(200))
    registry.set(KEYS[0], held(300))
    store = read_store(registry.directory)
    assert store.values == before
    assert store.problems == [
        "log.json: operation 2 is missing before 3; what comes after is not read"
    ]


def test_a_number_that_comes_again_is_left_out(registry: FilebeatRegistry) -> None:
    registry.set(KEYS[0], held(100))
    registry.set(KEYS[0], held(200))
    registry.number = 1
    registry.set(KEYS[0], held(150))
    assert read_store(registry.directory).values[KEYS[0]]["cursor"] == {"offset": 200}


@pytest.mark.parametrize(
    "bad",
    [
        b'{"op":"set","id":2}\n\x00\x00\x00\x00\x00\n',
        b"\x00" * 4096,
        b'{"op":"set","id":2}\nnonsense\n',
        b'{"op":"grow","id":2}\n{"k":"a","v":{}}\n',
        b'{"op":"set","id":"2"}\n{"k":"a","v":{}}\n',
        b'{"op":"set","id":-2}\n{"k":"a","v":{}}\n',
        b'{"op":"set","id":18446744073709551616}\n{"k":"a","v":{}}\n',
        b'{"op":"set","id":2}\n{"k":17,"v":{}}\n',
        b'{"op":"set","id":2}\n{"k":"a","v":[]}\n',
        b'{"op":"set","id":2}\n["a"]\n',
        b'"set"\n{"k":"a","v":{}}\n',
        b"[" * 100_000 + b"\n",
    ],
)
def test_at_a_line_that_is_wrong_reading_ends(registry: FilebeatRegistry, bad: bytes) -> None:
    registry.set(KEYS[0], held(100))
    before = dict(registry.state)
    with registry.log.open("ab") as file:
        file.write(bad)
    registry.number = 2
    registry.set(KEYS[0], held(200))
    store = read_store(registry.directory)
    assert store.values == before
    (problem,) = store.problems
    assert "line" in problem


def test_of_a_damaged_checkpoint_the_log_is_what_is_left(registry: FilebeatRegistry) -> None:
    registry.set(KEYS[0], held(100))
    registry.set(KEYS[1], held(100))
    registry.checkpoint().write_bytes(b"\0" * 64)
    registry.set(KEYS[1], held(200))
    store = read_store(registry.directory)
    assert store.values == {KEYS[1]: held(200)}
    assert store.problems == ["3.json is damaged", "what was written before operation 4 is lost"]


def test_a_log_that_was_not_cut_makes_up_for_its_checkpoint(registry: FilebeatRegistry) -> None:
    registry.set(KEYS[0], held(100))
    registry.set(KEYS[1], held(100))
    registry.checkpoint(cut_log=False).write_bytes(b"[{")
    registry.set(KEYS[1], held(200))
    store = read_store(registry.directory)
    assert store.values == registry.state
    assert store.problems == ["3.json is damaged"]


def test_before_a_damaged_checkpoint_an_older_one_is_taken(registry: FilebeatRegistry) -> None:
    registry.set(KEYS[0], held(100))
    registry.checkpoint(delete_old=False)
    registry.set(KEYS[1], held(100))
    registry.checkpoint(delete_old=False).write_bytes(b"")
    registry.set(KEYS[2], held(100))
    store = read_store(registry.directory)
    assert store.values == {KEYS[0]: held(100), KEYS[2]: held(100)}
    assert store.problems == [
        "4.json is damaged",
        "2.json before it is older: what came between may be lost",
        "operation 3 is missing before 5",
    ]


def test_nothing_is_lost_with_a_checkpoint_whose_log_was_not_cut(
    registry: FilebeatRegistry,
) -> None:
    registry.set(KEYS[0], held(100))
    registry.checkpoint(delete_old=False)
    registry.set(KEYS[1], held(100))
    registry.checkpoint(delete_old=False, cut_log=False).write_bytes(b"nonsense")
    registry.set(KEYS[2], held(100))
    assert read_store(registry.directory).values == registry.state


@pytest.mark.parametrize("content", ["{}", "null", "[1]", "", "\0" * 100, '[{"_key":"a"}'])
def test_what_is_no_list_of_objects_is_no_checkpoint(
    registry: FilebeatRegistry, content: str
) -> None:
    (registry.directory / "1.json").write_text(content)
    assert read_store(registry.directory).problems == ["1.json is damaged"]


def test_an_object_of_a_checkpoint_without_a_key_is_left_out(registry: FilebeatRegistry) -> None:
    (registry.directory / "1.json").write_text('[{"ttl":-1},{"_key":7},{"_key":"a","ttl":-1}]')
    assert read_store(registry.directory).values == {"a": {"ttl": -1}}


@pytest.mark.parametrize("content", [None, "", "{", "\0\0\0"])
def test_without_its_version_it_is_read_all_the_same(
    registry: FilebeatRegistry, content: str | None
) -> None:
    registry.set(KEYS[0], held(100))
    meta = registry.directory / "meta.json"
    meta.unlink()
    if content is not None:
        meta.write_text(content)
    store = read_store(registry.directory)
    assert store.values == registry.state
    (problem,) = store.problems
    assert problem.endswith("it is read as version 1")


def test_of_another_version_nothing_is_read(registry: FilebeatRegistry) -> None:
    registry.set(KEYS[0], held(100))
    (registry.directory / "meta.json").write_text('{"version":"2"}')
    store = read_store(registry.directory)
    assert store.values == {}
    assert store.problems == ["meta.json says version 2, which is not known: nothing is read"]


def test_a_file_that_cannot_be_read_is_an_error(registry: FilebeatRegistry) -> None:
    # Any trouble but ENOENT; nobody keeps root from reading.
    registry.log.unlink()
    registry.log.symlink_to(registry.log)
    with pytest.raises(RegistryError, match="too many levels of symbolic links") as raised:
        read_store(registry.directory)
    assert raised.value.where == str(registry.log)


def test_any_operations_are_read_as_they_were_written(tmp_path: Path) -> None:
    for seed in range(60):
        rng = random.Random(seed)
        start = rng.choice([0, 0, rng.randrange(1000), IDS - rng.randrange(1, 40)])
        registry = FilebeatRegistry(tmp_path / str(seed), number=start)
        if start:
            registry.checkpoint()
        for _ in range(rng.randrange(40)):
            key = rng.choice(KEYS)
            match rng.randrange(10):
                case 0:
                    registry.checkpoint(cut_log=rng.random() < 0.5, delete_old=rng.random() < 0.5)
                case 1 | 2:
                    registry.remove(key)
                case _:
                    registry.set(key, held(rng.randrange(10**7)))
        store = read_store(registry.directory)
        assert (store.values, store.problems) == (registry.state, []), f"seed {seed}"


def test_a_log_that_is_cut_at_any_byte_is_the_state_of_some_moment(
    registry: FilebeatRegistry,
) -> None:
    rng = random.Random(1)
    registry.set(KEYS[0], held(1))
    registry.checkpoint()
    states = [dict(registry.state)]
    for _ in range(5):
        if rng.random() < 0.3:
            registry.remove(rng.choice(KEYS))
        else:
            registry.set(rng.choice(KEYS), held(rng.randrange(10**7)))
        states.append(dict(registry.state))
    whole = registry.log.read_bytes()
    lines = whole.splitlines(keepends=True)
    # An operation counts once its second line is there, its newline or not.
    ends = [len(b"".join(lines[: 2 * count])) - 1 for count in range(1, len(states))]
    for cut in range(len(whole) + 1):
        done = sum(cut >= end for end in ends)
        for rest in (b"", b"\0" * 7):
            registry.log.write_bytes(whole[:cut] + rest)
            store = read_store(registry.directory)
            # Zeros right after the last brace take that operation with them.
            exact = cut not in ends or not rest
            assert store.values == states[done if exact else done - 1], cut


def test_a_checkpoint_that_is_cut_at_any_byte_costs_no_more_than_itself(
    registry: FilebeatRegistry,
) -> None:
    registry.set(KEYS[0], held(1))
    registry.set(KEYS[1], held(1))
    checkpoint = registry.checkpoint()
    whole = checkpoint.read_bytes()
    registry.set(KEYS[2], held(2))
    for cut in range(len(whole)):
        checkpoint.write_bytes(whole[:cut])
        store = read_store(registry.directory)
        assert store.values == {KEYS[2]: held(2)}
        assert store.problems


def test_bytes_that_are_changed_anywhere_raise_nothing(registry: FilebeatRegistry) -> None:
    rng = random.Random(2)
    for number in range(6):
        registry.set(KEYS[number], held(number))
    checkpoint = registry.checkpoint()
    for number in range(6):
        registry.set(KEYS[number], held(10 + number))
    for path in (checkpoint, registry.log, registry.directory / "meta.json"):
        whole = path.read_bytes()
        for _ in range(150):
            changed = bytearray(whole)
            for _ in range(rng.randrange(1, 4)):
                changed[rng.randrange(len(changed))] = rng.randrange(256)
            path.write_bytes(changed)
            read_store(registry.directory)
        path.write_bytes(whole)


def test_reading_changes_nothing(registry: FilebeatRegistry) -> None:
    registry.set(KEYS[0], held(1))
    registry.checkpoint(delete_old=False).write_bytes(b"[")
    registry.set(KEYS[0], held(2))
    (registry.directory / "checkpoint.new").write_bytes(b"[")
    before = snapshot(registry.data)
    read_store(registry.directory)
    assert snapshot(registry.data) == before


class TestWhereItIs:
    def test_the_data_directory_the_registry_in_it_or_the_directory_itself(
        self, registry: FilebeatRegistry
    ) -> None:
        registry.set(KEYS[0], held(1))
        for place in (registry.data, registry.data / "registry", registry.directory):
            assert find_store(place) == registry.directory

    def test_a_checkpoint_without_a_log_is_one(self, registry: FilebeatRegistry) -> None:
        registry.checkpoint()
        registry.log.unlink()
        assert find_store(registry.data) == registry.directory

    def test_what_is_none(self, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        # Filebeat's data directory has a meta.json as well, with other things in it.
        (tmp_path / "empty" / "meta.json").write_text(json.dumps({"uuid": "1"}))
        (tmp_path / "file").touch()
        for place in ("empty", "file", "nowhere"):
            assert find_store(tmp_path / place) is None

    def test_a_directory_that_cannot_be_looked_at_is_an_error(self, tmp_path: Path) -> None:
        loop = tmp_path / "registry"
        loop.symlink_to(loop)
        with pytest.raises(RegistryError, match="too many levels of symbolic links"):
            find_store(tmp_path)
